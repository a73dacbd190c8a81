"""Golden vectors of the wire protocol, read from their files, and a CRC-32 written from its definition."""

from __future__ import annotations

import dataclasses
import enum
import re
import tomllib
from typing import Any, get_args, get_type_hints

from neurostim.core.image import Grid, ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim.core.resources import protocols
from neurostim.wire.layout import Kind, Message, Record
from neurostim.wire.messages import MESSAGES

_REPEAT = re.compile(r"x([0-9a-f]{2})\*([0-9]+)")
_RUN = re.compile(r"([0-9a-f]{2})\.\.([0-9a-f]{2})")


def golden(name: str) -> dict[str, Any]:
    """One file of golden vectors."""
    return tomllib.loads((protocols("wire") / "golden" / f"{name}.toml").read_text(encoding="utf-8"))


def octets(text: str) -> bytes:
    """Bytes of a vector: hex pairs, ``x11*254``, ``01..fe``, and ``#`` comments to the end of a line."""
    out = bytearray()
    for line in text.splitlines():
        for word in line.partition("#")[0].split():
            if found := _REPEAT.fullmatch(word):
                out += bytes.fromhex(found[1]) * int(found[2])
            elif found := _RUN.fullmatch(word):
                out += bytes(range(int(found[1], 16), int(found[2], 16) + 1))
            else:
                out += bytes.fromhex(word)
    return bytes(out)


def crc32_by_definition(data: bytes) -> int:
    """CRC-32 bit by bit, from the text of the specification; shares no code with zlib."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0xEDB88320 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def message_class(name: str, kind: str) -> type[Message]:
    """Class of a message, by its name in the description."""
    (found,) = (cls for cls in MESSAGES.values() if name == cls.NAME and cls.KIND is Kind[kind])
    return found


def build(cls: type[Record], values: dict[str, Any]) -> Record:
    """Record of the values of a vector: enums by name, bytes in hex, lists of tables."""
    hints = get_type_hints(cls)
    made = {
        field.name: _value(hints[field.name], values[field.name])
        for field in dataclasses.fields(cls)  # type: ignore[arg-type]
    }
    assert set(made) == set(values), f"{cls.__name__}: the vector names other fields"
    return cls(**made)


def _value(kind: Any, value: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, enum.IntEnum):
        return kind[value]
    if kind is bytes:
        return bytes.fromhex(value)
    if isinstance(value, list):
        item = get_args(kind)[0]
        return tuple(_value(item, each) for each in value)
    if isinstance(value, dict):
        return build(kind, value)
    return value


def image_of(vector: dict[str, Any]) -> ProgramImage:
    """Program image of a vector."""
    areas = []
    for entry in vector["area"]:
        shares = tuple((contact, permille) for contact, permille in entry["shares"])
        recharge = Recharge[entry["recharge"].upper().replace("-", "_")]
        areas.append(ImageArea(**{**entry, "shares": shares, "recharge": recharge}))
    return ProgramImage(
        Grid(**vector["grid"]),
        tuple(areas),
        vector["duration_ns"],
        vector["interleave_drop"],
        vector["bench"],
    )
