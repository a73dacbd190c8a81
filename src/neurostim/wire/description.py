"""Reads ``protocols/wire/messages.toml`` and checks that it describes a protocol that can be built."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from neurostim.core.errors import ConfigError
from neurostim.wire.frame import MAX_PAYLOAD_BYTES

INTEGERS: Final = {
    "u8": ("B", 1, 0, 2**8 - 1),
    "u16": ("H", 2, 0, 2**16 - 1),
    "u32": ("I", 4, 0, 2**32 - 1),
    "u64": ("Q", 8, 0, 2**64 - 1),
    "i32": ("i", 4, -(2**31), 2**31 - 1),
    "i64": ("q", 8, -(2**63), 2**63 - 1),
}
_SIZED: Final = re.compile(r"(bytes|text|data)\[([0-9]+)\]")
_LIST: Final = re.compile(r"list\[([A-Za-z0-9]+),([0-9]+)\]")


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a record. ``kind`` is integer, bool, enum, bytes, text, data or list."""

    name: str
    type: str
    kind: str
    meaning: str
    unit: str
    low: int
    high: int
    size: int
    item: str = ""

    @property
    def is_variable(self) -> bool:
        """Whether its length depends on its value."""
        return self.kind in ("data", "list")

    @property
    def sizes(self) -> tuple[int, int]:
        """Fewest and most bytes it takes; ``size`` of a list is that of an item."""
        if self.kind == "data":
            return 2 + self.low, 2 + self.high
        if self.kind == "list":
            return 1, 1 + self.size * self.high_count
        return self.size, self.size

    @property
    def high_count(self) -> int:
        """Most items of a list."""
        found = _LIST.fullmatch(self.type)
        return int(found[2]) if found else 0


@dataclass(frozen=True, slots=True)
class RecordText:
    """A struct, or one direction of a message."""

    name: str
    place: str
    meaning: str
    fields: tuple[Field, ...]

    @property
    def fixed_size(self) -> int:
        """Bytes of the fixed part."""
        return sum(field.size for field in self.fields if not field.is_variable)

    @property
    def sizes(self) -> tuple[int, int]:
        """Fewest and most bytes."""
        return sum(field.sizes[0] for field in self.fields), sum(field.sizes[1] for field in self.fields)


@dataclass(frozen=True, slots=True)
class EnumText:
    """An enum; ``python`` names the module that already holds it, if one does."""

    name: str
    meaning: str
    values: tuple[tuple[str, int, str], ...]
    python: str


@dataclass(frozen=True, slots=True)
class MessageText:
    """A command with its reply."""

    name: str
    type: int
    meaning: str
    needs: str
    raises_output: bool
    lease: bool
    once: bool
    keyed: bool
    request: RecordText
    reply: RecordText


@dataclass(frozen=True, slots=True)
class EventText:
    """An event, or the refusal (whose ``lane`` is empty)."""

    name: str
    type: int
    meaning: str
    lane: str
    record: RecordText


@dataclass(frozen=True, slots=True)
class Description:
    """The whole protocol."""

    protocol_version: int
    constants: tuple[tuple[str, int, str, str], ...]
    enums: tuple[EnumText, ...]
    structs: tuple[RecordText, ...]
    messages: tuple[MessageText, ...]
    error: EventText
    events: tuple[EventText, ...]

    @property
    def records(self) -> tuple[RecordText, ...]:
        """Every record: structs, both directions of the messages, the refusal and the events."""
        directions = [record for message in self.messages for record in (message.request, message.reply)]
        return (*self.structs, *directions, self.error.record, *(event.record for event in self.events))


@dataclass(frozen=True, slots=True)
class _Known:
    """Names that a field's type may use, with the size of each struct."""

    enums: frozenset[str]
    sizes: dict[str, int]


def class_name(name: str) -> str:
    """``LOAD_BEGIN`` -> ``LoadBegin``."""
    return "".join(word.capitalize() for word in name.split("_"))


def load_description(path: Path) -> Description:
    """Read the message description.

    Raises
    ------
    ConfigError
        Where the file describes something that cannot be built.
    """
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    enums = tuple(
        EnumText(
            entry["name"],
            entry["meaning"],
            tuple((value["name"], value["value"], value["meaning"]) for value in entry["values"]),
            entry.get("python", ""),
        )
        for entry in raw["enum"]
    )
    known = _Known(frozenset(entry.name for entry in enums), {})
    structs = []
    for entry in raw["struct"]:
        struct = _record(entry["name"], entry["name"], entry["meaning"], entry["fields"], known)
        if any(field.is_variable for field in struct.fields):
            raise ConfigError(f"{struct.name}: a struct has a fixed length")
        known.sizes[struct.name] = struct.fixed_size
        structs.append(struct)
    messages = tuple(_message(entry, known) for entry in raw["message"])
    events = tuple(_event(entry, known) for entry in raw["event"])
    description = Description(
        raw["protocol_version"],
        tuple((c["name"], c["value"], c["unit"], c["meaning"]) for c in raw["constants"]),
        enums,
        tuple(structs),
        messages,
        _event(raw["error"], known),
        events,
    )
    _check_unique(description)
    return description


def _message(entry: Mapping[str, Any], known: _Known) -> MessageText:
    name, meaning = entry["name"], entry["meaning"]
    if entry["needs"] not in ("none", "session", "control"):
        raise ConfigError(f"{name}: needs {entry['needs']!r}", allowed="none, session, control")
    if entry.get("raises_output", False) and not (entry.get("lease", False) and entry.get("once", False)):
        raise ConfigError(f"{name}: a command that raises output needs lease and once")
    return MessageText(
        name,
        entry["type"],
        meaning,
        entry["needs"],
        entry.get("raises_output", False),
        entry.get("lease", False),
        entry.get("once", False),
        entry.get("keyed", False),
        _record(class_name(name), name, meaning, entry["fields"], known),
        _record(class_name(name) + "Reply", name + " reply", f"Answer to {name}.", entry["reply"], known),
    )


def _event(entry: Mapping[str, Any], known: _Known) -> EventText:
    name = entry["name"]
    record = _record(class_name(name), name, entry["meaning"], entry["fields"], known)
    return EventText(name, entry["type"], entry["meaning"], entry.get("lane", ""), record)


def _record(
    name: str,
    place: str,
    meaning: str,
    fields: Sequence[Mapping[str, Any]],
    known: _Known,
) -> RecordText:
    made = tuple(_field(f"{place}.{entry['name']}", entry, known) for entry in fields)
    if any(field.is_variable for field in made[:-1]):
        raise ConfigError(f"{place}: only the last field may have a variable length")
    record = RecordText(name, place, meaning, made)
    if record.sizes[1] > MAX_PAYLOAD_BYTES:
        raise ConfigError(f"{place}: up to {record.sizes[1]} bytes", allowed=f"{MAX_PAYLOAD_BYTES} bytes")
    return record


def _field(place: str, entry: Mapping[str, Any], known: _Known) -> Field:
    unknown = set(entry) - {"name", "type", "meaning", "unit", "min", "max"}
    if unknown:
        raise ConfigError(f"{place}: unknown keys {sorted(unknown)}")
    name, kind = entry["name"], entry["type"]
    meaning, unit = entry["meaning"], entry.get("unit", "")
    if kind in INTEGERS:
        _, size, least, most = INTEGERS[kind]
        low, high = entry.get("min", least), entry.get("max", most)
        if not least <= low <= high <= most:
            raise ConfigError(f"{place}: bounds {low}..{high} do not fit {kind}")
        return Field(name, kind, "integer", meaning, unit, low, high, size)
    if kind == "bool":
        return Field(name, kind, "bool", meaning, unit, 0, 1, 1)
    if kind in known.enums:
        return Field(name, kind, "enum", meaning, unit, 0, 255, 1)
    if (sized := _SIZED.fullmatch(kind)) is not None:
        length = int(sized[2])
        if sized[1] == "data":
            return Field(name, kind, "data", meaning, unit, entry.get("min", 0), length, 0)
        return Field(name, kind, sized[1], meaning, unit, length, length, length)
    if (listed := _LIST.fullmatch(kind)) is not None and (listed[1] in INTEGERS or listed[1] in known.sizes):
        item = listed[1]
        if item in INTEGERS:
            _, size, least, most = INTEGERS[item]
            return Field(
                name, kind, "list", meaning, unit, entry.get("min", least), entry.get("max", most), size, item
            )
        return Field(name, kind, "list", meaning, unit, 0, 0, known.sizes[item], item)
    raise ConfigError(f"{place}: unknown type {kind!r}")


def _check_unique(description: Description) -> None:
    types = [message.type for message in description.messages]
    types += [event.type for event in (*description.events, description.error)]
    if len(set(types)) != len(types) or not all(0 < value < 0x80 for value in types):
        raise ConfigError("message types must be distinct and in 0x01..0x7F")
    for enum in description.enums:
        values = [value for _, value, _ in enum.values]
        if sorted(set(values)) != values or not all(0 <= value < 256 for value in values):
            raise ConfigError(f"{enum.name}: values must ascend, be distinct and fit a byte")
