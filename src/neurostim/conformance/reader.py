"""Read an event table or trace (CSV or npz) with its sidecar, strictly: doubt is refused, never mended."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neurostim.conformance.reading import contact_order
from neurostim.conformance.trace import EXTRA, KINDS, MAX_LABELS, TraceTable, read_sidecar
from neurostim.core.errors import ConfigError

I64 = NDArray[np.int64]
REQUIRED: Final = ("start_ns", "duration_ns", "contact", "kind", "amplitude_na")
TEXT: Final = frozenset({"contact", "kind"})
MAX_HEADER: Final = 1024
MAX_SIDECAR_BYTES: Final = 64 << 20
MAX_TEXT: Final = 8

# What zipfile, zlib and numpy raise on a broken archive; RuntimeError stands for one that claims encryption,
# NotImplementedError is zipfile's word for a compression it does not know.
_ARCHIVE_FAULTS: Final = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    RuntimeError,
    NotImplementedError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)

_FAULTS: Final = {
    1: "no whole number",
    2: "a number of more than 18 digits",
    3: "text that is empty, longer than 8 characters or no plain text",
    4: "too few columns",
    5: "too many columns",
}


def read_trace(path: str | Path) -> tuple[TraceTable, dict[str, Any]]:
    """Read a record and its sidecar.

    Parameters
    ----------
    path : path
        ``<stem>.csv`` or ``<stem>.npz``; the sidecar is ``<stem>.json`` beside it.

    Returns
    -------
    TraceTable, dict
        Rows [ns, nA] in file order, and the sidecar as parsed.

    Raises
    ------
    ConfigError
        Where the file or its sidecar is missing, truncated, unsorted, of the wrong type, or the two disagree.
    """
    place = Path(path)
    if place.suffix not in (".csv", ".npz"):
        raise _refused(f"{place.name} is neither CSV nor npz", "a .csv or .npz file")
    sidecar = _read_json(place.with_suffix(".json"))
    side = read_sidecar(sidecar)
    columns = _read_csv(place) if place.suffix == ".csv" else _read_npz(place)
    given = [name for name in EXTRA if name in columns]
    if given and len(given) < len(EXTRA):
        lacking = ", ".join(name for name in EXTRA if name not in columns)
        raise _refused(
            f"{place.name} lacks the columns {lacking}", "all of " + ", ".join(EXTRA) + ", or none"
        )
    if side.format == "neurostim-trace/1" and not given:
        raise _refused(
            f"{place.name} lacks the columns of a trace", ", ".join(EXTRA) + " beside the event columns"
        )
    rows = len(columns["start_ns"])
    if side.rows is not None and side.rows != rows:
        raise _refused(
            f"{place.name} holds {rows} rows, its sidecar says {side.rows}",
            "a complete file",
            "The file was cut short or belongs to another sidecar.",
        )
    contact, labels = _contacts(columns["contact"], place)
    kind = _kinds(columns["kind"], place)
    table = TraceTable(
        start_ns=columns["start_ns"],
        duration_ns=columns["duration_ns"],
        contact=contact,
        labels=labels,
        kind=kind,
        amplitude_na=columns["amplitude_na"],
        area=columns.get("area"),
        unit=columns.get("unit"),
        pulse=columns.get("pulse"),
        charge_ac=columns.get("charge_ac"),
    )
    start = table.start_ns
    if rows > 1:
        same = start[1:] == start[:-1]
        unsorted = (start[1:] < start[:-1]) | (same & (contact[1:] < contact[:-1]))
        if unsorted.any():
            row = int(np.flatnonzero(unsorted)[0]) + 2
            raise _refused(
                f"{place.name}: row {row} comes before the row above it", "rows sorted by start, then contact"
            )
    return table, sidecar


def _refused(message: str, allowed: str, remedy: str = "") -> ConfigError:
    return ConfigError(message, allowed=allowed, remedy=remedy, code="trace-file")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_SIDECAR_BYTES:
            raise _refused(f"the sidecar {path.name} is too large", f"at most {MAX_SIDECAR_BYTES} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _refused(
            f"the sidecar {path.name} cannot be read: {error.strerror}", "a JSON sidecar beside the record"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _refused(f"the sidecar {path.name} is no JSON: {error}", "a JSON object") from error
    if not isinstance(content, dict):
        raise _refused(f"the sidecar {path.name} holds no object", "a JSON object")
    return content


def _check_names(names: list[str], place: Path) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise _refused(f"{place.name} lacks the columns {', '.join(missing)}", ", ".join(REQUIRED))
    unknown = [name for name in names if name not in (*REQUIRED, *EXTRA)]
    if unknown:
        raise _refused(
            f"{place.name} has the unknown columns {', '.join(unknown)}"[:200], ", ".join((*REQUIRED, *EXTRA))
        )
    if len(set(names)) < len(names):
        raise _refused(f"{place.name} names a column twice", "each column once")


def _read_csv(place: Path) -> dict[str, I64]:
    try:
        raw = np.fromfile(place, dtype=np.uint8)
    except OSError as error:
        raise _refused(f"{place.name} cannot be read: {error.strerror}", "a readable file") from error
    newline = np.flatnonzero(raw[:MAX_HEADER] == ord("\n"))
    if not len(newline):
        raise _refused(f"{place.name} has no header line", "a header with " + ", ".join(REQUIRED))
    if raw[-1] != ord("\n"):
        raise _refused(
            f"{place.name} ends in the middle of a line", "a complete file", "The file was cut short."
        )
    begin = int(newline[0]) + 1
    header = bytes(raw[: begin - 1]).rstrip(b"\r")
    if not header.isascii():
        raise _refused(f"{place.name} has no plain text in its header", ", ".join(REQUIRED))
    names = header.decode("ascii").split(",")
    _check_names(names, place)
    lines = int(np.count_nonzero(raw[begin:] == ord("\n")))
    text = np.array([name in TEXT for name in names], dtype=np.bool_)
    values = np.zeros((len(names), lines), dtype=np.int64)
    fault, line, column = _parse(raw, begin, text, values)
    if fault:
        raise _refused(
            f"{place.name}: line {line + 2}, column {names[min(column, len(names) - 1)]}: {_FAULTS[fault]}",
            "whole numbers, contact labels and kinds",
        )
    return {name: values[index] for index, name in enumerate(names)}


@njit(cache=True)
def _parse(
    raw: NDArray[np.uint8], begin: int, text: NDArray[np.bool_], values: I64
) -> tuple[int, int, int]:  # pragma: no cover - compiled
    """Parse comma-separated lines; returns (fault, line, column), fault 0 where all is well."""
    columns, lines = values.shape
    at = begin
    for line in range(lines):
        for column in range(columns):
            word = np.int64(0)
            size = 0
            negative = False
            while True:
                c = raw[at]
                if c == 13 and raw[at + 1] == 10:
                    at += 1
                    continue
                if c == 44 or c == 10:  # noqa: PLR1714 - a set would be built for every byte
                    break
                if text[column]:
                    if size >= 8 or c <= 32 or c >= 127:
                        return 3, line, column
                    word |= np.int64(c) << np.int64(8 * size)
                    size += 1
                elif c == 45 and size == 0 and not negative:
                    negative = True
                else:
                    if c < 48 or c > 57:
                        return 1, line, column
                    size += 1
                    if size > 18:
                        return 2, line, column
                    word = word * 10 + np.int64(c - 48)
                at += 1
            if size == 0:
                return (3 if text[column] else 1), line, column
            values[column, line] = -word if negative else word
            if raw[at] == 10:
                if column < columns - 1:
                    return 4, line, column + 1
            elif column == columns - 1:
                return 5, line, column
            at += 1
    return 0, 0, 0


def _read_npz(place: Path) -> dict[str, I64]:
    try:
        # Opened here, for numpy leaves the file it opens behind when the archive is broken.
        with place.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise _refused(f"{place.name} is no npz archive", "an npz file of named columns")
            with archive:
                _check_names(list(archive.files), place)
                columns = {name: archive[name] for name in archive.files}
    except ConfigError:
        raise
    except MemoryError as error:
        raise _refused(f"{place.name} claims more rows than fit in memory", "a complete npz file") from error
    except _ARCHIVE_FAULTS as error:
        # The words of numpy stay in the chain: for any damage they advise to load the file "unsafely".
        why = f"cannot be read: {error}" if isinstance(error, OSError) else "is damaged or no npz"
        raise _refused(f"{place.name} {why}", "a complete npz file without pickles") from error
    rows = columns["start_ns"].shape
    for name, column in columns.items():
        if column.ndim != 1 or column.shape != rows:
            raise _refused(
                f"{place.name}: column {name} has the shape {column.shape}",
                "one-dimensional columns of one length",
            )
        if name in TEXT:
            if column.dtype.kind != "U":
                raise _refused(f"{place.name}: column {name} is {column.dtype}", "unicode text")
            columns[name] = _packed(column, name, place)
        elif column.dtype != np.int64:
            raise _refused(f"{place.name}: column {name} is {column.dtype}", "int64")
    return columns


def _packed(column: NDArray[np.str_], name: str, place: Path) -> I64:
    """Text of up to 8 ASCII characters as one integer a row, first character lowest."""
    width = column.dtype.itemsize // 4
    packed = np.zeros(len(column), dtype=np.int64)
    if not width or not len(column):
        return packed
    native = np.ascontiguousarray(column.astype(column.dtype.newbyteorder("="), copy=False))
    letters = native.view(np.uint32).reshape(len(column), width)
    for index in range(width):
        letter = letters[:, index]
        if (letter >= 127).any() or (index >= MAX_TEXT and letter.any()):
            raise _refused(f"{place.name}: column {name} holds {_FAULTS[3]}", "contact labels and kinds")
        if index < MAX_TEXT:
            packed |= letter.astype(np.int64) << (8 * index)
    return packed


def _unpacked(word: int) -> str:
    return int(word).to_bytes(MAX_TEXT, "little").rstrip(b"\0").decode("ascii")


def _contacts(packed: I64, place: Path) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    words = _distinct(packed, place)
    try:
        labels = sorted((_unpacked(word) for word in words), key=contact_order)
    except ConfigError as error:
        raise _refused(f"{place.name}: {error.message}", error.allowed) from error
    index = np.zeros(len(packed), dtype=np.int16)
    for word in words:
        index[packed == word] = labels.index(_unpacked(word))
    return index, tuple(labels)


def _kinds(packed: I64, place: Path) -> NDArray[np.int8]:
    kind = np.full(len(packed), -1, dtype=np.int8)
    for number, name in enumerate(KINDS):
        kind[packed == int.from_bytes(name.encode(), "little")] = number
    unknown = np.flatnonzero(kind < 0)
    if len(unknown):
        row = int(unknown[0])
        raise _refused(
            f"{place.name}: row {row + 1} is of the kind {_unpacked(int(packed[row]))!r}", ", ".join(KINDS)
        )
    return kind


def _distinct(packed: I64, place: Path) -> list[int]:
    """The distinct words of a column that holds few of them, without sorting it."""
    words: list[int] = []
    left = packed
    while len(left):
        if len(words) == MAX_LABELS:
            raise _refused(f"{place.name} names more than {MAX_LABELS} contacts", "contacts of one device")
        words.append(int(left[0]))
        left = left[left != left[0]]
    return words
