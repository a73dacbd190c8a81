"""Reading of program files: bytes to text to document to `Program`.

All faults of a file are collected and raised as one `ConfigError`, in the order of its lines.
"""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Iterable, Mapping
from fractions import Fraction
from pathlib import Path as FilePath
from typing import Any, Final

from pydantic import ValidationError

from neurostim.core.errors import ConfigError, Problem
from neurostim.core.program import (
    Area,
    Burst,
    Cycle,
    Program,
    Pulse,
    Ramp,
    Recharge,
    RelativeAmplitude,
    Share,
    Train,
    contact_key,
)
from neurostim.core.program_bounds import AREAS, MAX_FILE_BYTES
from neurostim.core.program_lines import Path
from neurostim.core.program_rules import cross_faults
from neurostim.core.program_schema import (
    KEYS,
    REQUIRED,
    AreaModel,
    BurstModel,
    DocumentModel,
    RelativeModel,
    TrainModel,
)
from neurostim.core.program_syntax import Document, read_document
from neurostim.core.program_values import did_you_mean, is_reserved, show
from neurostim.core.units import NS_PER_S

_REMEDY: Final = "Correct the places below; the format is described in docs/program-format.md."


def load_program(path: str | os.PathLike[str]) -> Program:
    """Read a program file.

    Parameters
    ----------
    path : path-like
        A TOML file of format 1, at most 64 KiB.

    Returns
    -------
    Program
        As its author wrote it; no device is known yet.

    Raises
    ------
    ConfigError
        With every fault of the file in ``problems``: place and line, what was found, what is allowed.
    """
    name = os.fspath(path)
    return parse_program(_decode(_read_bytes(FilePath(path)), name), name)


def parse_program(text: str, name: str = "<text>") -> Program:
    """Read the text of a program file; ``name`` stands for it in messages.

    Raises
    ------
    ConfigError
        As `load_program`.
    """
    if len(text) > MAX_FILE_BYTES:
        raise _refused(name, [Problem("file", f"{len(text)} characters", f"at most {MAX_FILE_BYTES}")])
    document = read_document(text)
    if document.table is None:
        raise _refused(name, document.problems)
    problems = list(document.problems)
    model, faults = _validate(document.table)
    seen: set[tuple[Path, str]] = set()
    for path, found, allowed in sorted(faults, key=lambda fault: _order(fault[0], document.lines)):
        if _is_lost(path, found, document) or (path, found) in seen:
            continue
        seen.add((path, found))
        problems.append(Problem(_place(path, document.lines), found, allowed))
    if model is None or problems:
        raise _refused(name, problems)
    return _program(model)


def _is_lost(path: Path, found: str, document: Document) -> bool:
    """Whether a key is missing only because its line could not be read."""
    area = path[1] if len(path) > 1 and isinstance(path[1], int) else -1
    return found == "nothing" and (area, str(path[-1])) in document.keys_lost


def _refused(name: str, problems: Iterable[Problem]) -> ConfigError:
    problems = tuple(problems)
    many = f"{len(problems)} problems" if len(problems) != 1 else "1 problem"
    return ConfigError(
        f"{name} is not a valid program: {many}.", problems=problems, remedy=_REMEDY, code="program"
    )


def _read_bytes(path: FilePath) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise _refused(str(path), [Problem("file", "a folder", "a program file (TOML)")])
        if not stat.S_ISREG(status.st_mode):
            raise _refused(str(path), [Problem("file", "a device, pipe or socket", "a regular file")])
        if status.st_size > MAX_FILE_BYTES:
            raise _too_large(path, status.st_size)
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise _refused(
            str(path), [Problem("file", "nothing at this path", "the path of a program file")]
        ) from error
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise _refused(str(path), [Problem("file", reason, "a file that can be read")]) from error
    if len(content) > MAX_FILE_BYTES:
        raise _too_large(path, len(content))
    return content


def _too_large(path: FilePath, size: int) -> ConfigError:
    allowed = f"at most {MAX_FILE_BYTES} bytes; a program of 8 areas takes about 4000"
    return _refused(str(path), [Problem("file", f"{size} bytes", allowed)])


def _decode(content: bytes, name: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise _refused(name, [Problem("file", "text in UTF-16", "text in UTF-8: save it again as UTF-8")])
    zero = content.find(b"\0")
    if zero >= 0:
        raise _refused(name, [Problem("file", f"a zero byte at {zero}: a binary file", "text in UTF-8")])
    try:
        return content.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{content[error.start]:02x}, which is not UTF-8"
        raise _refused(name, [Problem(f"line {line}", found, "text in UTF-8")]) from error


def _validate(table: dict[str, Any]) -> tuple[DocumentModel | None, list[tuple[Path, str, str]]]:
    """Judge single keys and the rules between keys together."""
    faults = cross_faults(table)
    try:
        return DocumentModel.model_validate(table), faults
    except ValidationError as error:
        return None, [*(_fault(entry, table) for entry in error.errors(include_url=False)), *faults]


def _fault(entry: Mapping[str, Any], table: dict[str, Any]) -> tuple[Path, str, str]:
    path = _bare(entry["loc"])
    kind = entry["type"]
    found = entry["input"]
    cause = entry.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return path, cause.message.removeprefix("found "), cause.allowed
    names = tuple(part for part in path if isinstance(part, str))
    if kind == "missing":
        return path, "nothing", REQUIRED[names]
    if kind == "extra_forbidden":
        return path, f"an unknown key {show(str(path[-1]))}", _known_keys(names, found)
    if kind == "list_type":
        return path, show(found), "one [[area]] for each area, with two pairs of brackets"
    if kind in {"too_short", "too_long"}:
        allowed = f"{AREAS.low} to {AREAS.high} areas" if names == ("area",) else "1 to 32 leads"
        return path, f"{len(found)} of them", allowed
    return path, show(found), REQUIRED.get(names, "a table")


def _known_keys(names: tuple[str, ...], found: object) -> str:
    options = KEYS.get(names[:-1], ())
    known = ", ".join(options)
    if is_reserved(names[-1]) or is_reserved(found):
        word = names[-1] if is_reserved(names[-1]) else found
        return f"{known}; {word} is reserved for a later format and refused in format 1"
    return f"{known}{did_you_mean(names[-1], options)}"


def _bare(loc: Iterable[str | int]) -> Path:
    """The path in the file: without pydantic's marks for the arms of a union and for keys."""
    return tuple(
        part for part in loc if isinstance(part, int) or not (part.startswith("<") or part == "[key]")
    )


def _order(path: Path, lines: Mapping[Path, int]) -> tuple[int, int]:
    return (_line(path, lines) or 0, len(path))


def _line(path: Path, lines: Mapping[Path, int]) -> int | None:
    """The line of a path, or of the nearest table around it."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return None


def _place(path: Path, lines: Mapping[Path, int]) -> str:
    """A place for people, areas and leads counted from 1: ``area[2].train.burst.rate (line 14)``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part + 1}]"
        else:
            shown = part if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", part) else show(part)
            text += f".{shown}" if text else shown
    line = _line(path, lines)
    return f"{text} (line {line})" if line else text


def _program(model: DocumentModel) -> Program:
    leads = model.lead if isinstance(model.lead, list) else [model.lead]
    return Program(
        name=model.name,
        therapy=model.therapy,
        leads=tuple(leads),
        areas=tuple(_area(area, number) for number, area in enumerate(model.area, start=1)),
        duration_ns=model.duration,
        source=model.source or "",
        evidence=model.evidence or "",
        interleave_drop=model.interleave == "drop",
    )


def _area(area: AreaModel, number: int) -> Area:
    shares = (Share(contact, permille) for contact, permille in area.contacts.items())
    pulse = area.pulse
    recharge = Recharge[pulse.recharge.upper().replace("-", "_")]
    return Area(
        name=area.name if area.name is not None else f"area {number}",
        amplitude=_amplitude(area.amplitude),
        shares=tuple(sorted(shares, key=lambda share: contact_key(share.contact))),
        pulse=Pulse(pulse.width, recharge, pulse.interphase, pulse.ratio or 1),
        train=_train(area.train),
        ramp=Ramp(area.ramp.up, area.ramp.down),
        cycle=None if area.cycle is None else Cycle(area.cycle.on, area.cycle.off),
        delay_ns=area.delay,
        priority=area.priority,
    )


def _amplitude(amplitude: int | RelativeModel) -> int | RelativeAmplitude:
    if isinstance(amplitude, RelativeModel):
        return RelativeAmplitude(amplitude.of, amplitude.percent, amplitude.mark)
    return amplitude


def _train(train: TrainModel) -> Train:
    return Train(_rate(train), _burst(train.burst), from_interval=train.interval is not None)


def _burst(burst: BurstModel | None) -> Burst | None:
    if burst is None:
        return None
    return Burst(burst.pulses, _rate(burst), from_interval=burst.interval is not None)


def _rate(table: TrainModel | BurstModel) -> Fraction:
    if table.interval is not None:
        return Fraction(NS_PER_S, table.interval)
    if table.rate is None:
        raise AssertionError("the rules let no train pass without rate or interval")
    return table.rate
