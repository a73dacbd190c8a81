"""The device's lasting memory: named sections that change together, whatever byte the supply fails at.

Two banks. One holds a checkpoint of all sections, and after it a journal: each commit appends the sections
that it changed as one entry, whole or not there at all. When a bank is full, a checkpoint goes to the other
one, its header last, and the old bank is marked as closed. So a reader finds the state before or after a
commit; what it finds broken and cannot be a torn write is damage, and told.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from neurostim.core.errors import ConfigError
from neurostim_sim import medium as media
from neurostim_sim.medium import Medium, MemoryMedium, PowerCut
from neurostim_sim.region import Region

__all__ = ["BANK_BYTES", "Edited", "FileMedium", "Medium", "MemoryMedium", "PowerCut", "Replaced", "Store"]

_HEADER: Final = struct.Struct("<4sQII")
_MAGIC: Final = b"NSS2"
_ENTRY: Final = struct.Struct("<4sIII")
_ENTRY_MAGIC: Final = b"NSJ>"
_END: Final = struct.Struct("<4sIQI")
_NUMBERS: Final = struct.Struct("<QI")
_END_MAGIC: Final = b"<NSJ"
_CLOSED: Final = "closed"
_NULL: Final = "null"
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"))
BANK_BYTES: Final = 1 << 18
JOURNAL_BYTES: Final = 1 << 15
REGIONS_AT: Final = 2 * BANK_BYTES
_CLOSING_BYTES: Final = 256


class Replaced(dict[str, Any]):
    """A document that is replaced by another one, never changed: it is looked at once."""


class Edited(dict[str, Any]):
    """A document that changes value by value: what stays the same object is not encoded again.

    What changes in place must be a plain list or dict; all else is a number, a text, a tuple or `Replaced`.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self._texts: dict[str, tuple[Any, str]] = {}

    def text(self) -> str:
        """As the store keeps it."""
        texts = self._texts
        for name, value in self.items():
            held = texts.get(name)
            if held is None or held[0] is not value or type(value) is list or type(value) is dict:
                texts[name] = (value, str(value) if type(value) is int else _text(value))
        return "{" + ",".join([f'"{name}":{texts[name][1]}' for name in self]) + "}"


class FileMedium(media.FileMedium):
    """A store's medium in a file."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, [(bank * BANK_BYTES, _MAGIC) for bank in (0, 1)])


class Store:
    """The sections of a medium.

    Attributes
    ----------
    damaged : bool
        Whether something that had been durable could not be read at the last `load`.
    """

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._sequence = 0
        self._bank = 1
        self._number = 0
        self._seal = 0
        self._end = 0
        self._journal_at = 0
        self._written = 0
        self._mend = b""
        self._texts: dict[str, str] = {}
        self._open_older = False
        self.damaged = False

    def region(self, offset: int, record_bytes: int, count: int, floor: int = 1) -> Region:
        """A region of records beside the sections, ``offset`` bytes after the first that is free for them."""
        return Region(self._medium, REGIONS_AT + offset, record_bytes, count, floor)

    def load(self) -> dict[str, Any]:
        """All sections by name; empty on a fresh medium, and on a `damaged` one which holds nothing whole."""
        banks = [_Bank.read(self._medium, bank) for bank in (0, 1)]
        whole = [bank for bank in banks if bank.body is not None]
        if not whole:
            fresh = not any(bank.written for bank in banks) or _torn_at_first(banks)
            self._forget(2 + max((bank.claimed for bank in banks if not fresh), default=-2))
            self.damaged = not fresh
            return {}
        newest = max(whole, key=lambda bank: bank.sequence)
        other = banks[1 - newest.number]
        found = newest.sections()
        self._texts = {name: _text(value) for name, value in found.items() if name != _CLOSED}
        self._bank, self._sequence = newest.number, newest.sequence
        self._number, self._seal = newest.entries, newest.seal
        self._journal_at, self._end = newest.journal_at, newest.end
        held = self._medium.read(newest.start, self._end - newest.start)
        # An entry that is whole but for its end counts; what is missing of it is written with the next one.
        self._mend = newest.end_mark if newest.entries and not held.endswith(newest.end_mark) else b""
        self._written = zlib.crc32(held.ljust(self._end - newest.start, b"\0"))
        self._open_older = other.body is not None and not other.closed
        closed = found.pop(_CLOSED, None)
        # A closed bank was followed by another one, which then is what cannot be read.
        self.damaged = newest.rotten or closed is not None
        if self.damaged:
            self._sequence += 1
            self._end = BANK_BYTES * 2
        return found

    def commit(self, changes: Mapping[str, Any]) -> None:
        """Make sections the present ones, all or none; durable when this returns. None erases one.

        Raises
        ------
        PowerCut
            Where the supply fails in it: then either all of the changes or none are there at the next boot.
        """
        changed: dict[str, str] = {}
        for name, value in changes.items():
            text = value.text() if type(value) is Edited else _text(value)
            if self._texts.get(name, _NULL) == text:
                continue
            changed[name] = text
            if text == _NULL:
                del self._texts[name]
            else:
                self._texts[name] = text
        if not changed:
            return
        entry = self._entry(_body(changed))
        room = self._bank * BANK_BYTES + BANK_BYTES - _CLOSING_BYTES
        if (
            self._sequence == 0
            or self._end + len(entry) > room
            or self._end + len(entry) > self._journal_at + JOURNAL_BYTES
        ):
            self._checkpoint()
            return
        if self._open_older:
            self._close(1 - self._bank)
        self._append(entry)

    def save(self, document: Mapping[str, Any]) -> None:
        """Make a document the only sections, as a checkpoint; durable when this returns."""
        self._texts = {name: _text(value) for name, value in document.items()}
        self._checkpoint()

    def verify(self) -> bool:
        """Whether the medium still holds what was written last: the self-test of the banks."""
        if self._sequence == 0 or self.damaged:
            return not self.damaged
        start = self._bank * BANK_BYTES
        return zlib.crc32(self._medium.read(start, self._end - start)) == self._written

    def rewrite(self) -> None:
        """Write everything anew, into the other bank: what the medium has lost is whole again."""
        self._checkpoint()

    def purge(self) -> None:
        """Write everything anew into both banks and overwrite the rest: nothing that was erased is left."""
        for _ in range(2):
            self._checkpoint(wipe=True)

    def flip(self) -> None:
        """Turn over one bit of what was written last, as a worn medium would."""
        place = self._end - _END.size - 2
        self._medium.write(place, bytes([self._medium.read(place, 1)[0] ^ 1]))

    def _forget(self, sequence: int) -> None:
        self._sequence, self._bank, self._texts = sequence, 1, {}
        self._end = 2 * BANK_BYTES

    def _entry(self, body: bytes) -> bytes:
        number = self._number + 1
        checksum = zlib.crc32(_NUMBERS.pack(self._sequence, number) + body, self._seal)
        head = _ENTRY.pack(_ENTRY_MAGIC, number, len(body), checksum)
        return head + body + _END.pack(_END_MAGIC, self._seal, self._sequence, number)

    def _append(self, entry: bytes) -> None:
        if self._mend:
            mark, self._mend = self._mend, b""
            self._medium.write(self._end - len(mark), mark)
            start = self._bank * BANK_BYTES
            self._written = zlib.crc32(self._medium.read(start, self._end - start))
        self._medium.write(self._end, entry)
        self._end += len(entry)
        self._number += 1
        self._written = zlib.crc32(entry, self._written)

    def _close(self, bank: int) -> None:
        """Say in the older bank that a newer checkpoint was whole: if it is gone one day, that is damage."""
        older = _Bank.read(self._medium, bank)
        self._open_older = False
        if older.body is None or older.closed or older.rotten:
            return
        writer = Store(self._medium)
        writer._sequence, writer._seal = older.sequence, older.seal
        writer._number, writer._end = older.entries, older.end
        writer._append(writer._entry(_body({_CLOSED: str(self._sequence)})))

    def _checkpoint(self, *, wipe: bool = False) -> None:
        body = _body(self._texts)
        if len(body) > BANK_BYTES - _HEADER.size - JOURNAL_BYTES - _CLOSING_BYTES:
            raise ConfigError(f"a document of {len(body)} bytes does not fit the store", code="store")
        bank, sequence = 1 - self._bank, self._sequence + 1
        start = bank * BANK_BYTES
        # The old header of this bank dies first, so that it can never lead to the new body.
        if any(self._medium.read(start, _HEADER.size)):
            self._medium.write(start, bytes(_HEADER.size))
        self._medium.write(start + _HEADER.size, body)
        if wipe:
            end = _HEADER.size + len(body)
            self._medium.write(start + end, bytes(BANK_BYTES - end))
        seal = _seal(sequence, body)
        header = _HEADER.pack(_MAGIC, sequence, len(body), seal)
        self._medium.write(start, header)
        self._bank, self._sequence, self._number, self._seal = bank, sequence, 0, seal
        self._journal_at = self._end = start + _HEADER.size + len(body)
        self._mend = b""
        self._written = zlib.crc32(header + body)
        self.damaged = False
        self._close(1 - bank)


class _Bank:
    """What a bank holds: its checkpoint, the journal after it, and whether that can be a torn write."""

    def __init__(self, number: int, head: bytes) -> None:
        self.number = number
        self.start = number * BANK_BYTES
        self.head = head
        self.written = any(head)
        self.sequence = self.claimed = self.entries = self.seal = 0
        self.body: bytes | None = None
        self.journal: list[bytes] = []
        self.journal_at = self.end = 0
        self.rotten = False
        self.raw = b""

    @classmethod
    def read(cls, medium: Medium, number: int) -> _Bank:
        bank = cls(number, medium.read(number * BANK_BYTES, _HEADER.size))
        if not bank.written:
            return bank
        raw = bank.raw = medium.read(bank.start, BANK_BYTES)
        if len(bank.head) == _HEADER.size:
            magic, sequence, length, seal = _HEADER.unpack(bank.head)
            bank.claimed = min(sequence, 1 << 48)
            body = raw[_HEADER.size : _HEADER.size + length]
            if magic == _MAGIC and len(body) == length and _seal(sequence, body) == seal:
                bank.body, bank.sequence, bank.seal = body, sequence, seal
                bank._read_journal(raw, _HEADER.size + length)
        return bank

    def _read_journal(self, raw: bytes, at: int) -> None:
        self.journal_at = self.start + at
        while at + _ENTRY.size <= len(raw):
            magic, told, length, checksum = _ENTRY.unpack_from(raw, at)
            begin = at + _ENTRY.size
            body = raw[begin : begin + length]
            number = self.entries + 1
            if (
                magic != _ENTRY_MAGIC
                or told != number
                or len(body) != length
                or zlib.crc32(_NUMBERS.pack(self.sequence, number) + body, self.seal) != checksum
            ):
                break
            self.journal.append(body)
            self.entries = number
            at = begin + length + _END.size
        self.end = self.start + at
        self.rotten = self._was_whole(raw, at)

    def _was_whole(self, raw: bytes, at: int) -> bool:
        """Whether an entry that should follow was once written to its end: a torn one never was."""
        mark = _END.pack(_END_MAGIC, self.seal, self.sequence, 0)[:-4]
        # The first byte alone is found fast among the zeros of an empty bank, the whole mark is not.
        while (at := raw.find(mark[:1], at)) >= 0:
            whole = raw.startswith(mark, at) and at + _END.size <= len(raw)
            if whole and _END.unpack_from(raw, at)[3] > self.entries:
                return True
            at += 1
        return False

    @property
    def end_mark(self) -> bytes:
        """What the last entry of the journal ends with."""
        return _END.pack(_END_MAGIC, self.seal, self.sequence, self.entries)

    @property
    def closed(self) -> bool:
        """Whether a newer checkpoint was whole once."""
        return bool(self.journal) and _CLOSED in json.loads(self.journal[-1])

    def sections(self) -> dict[str, Any]:
        """The checkpoint with the journal applied."""
        assert self.body is not None
        found: dict[str, Any] = json.loads(self.body)
        for changes in json.loads(b"[" + b",".join(self.journal) + b"]"):
            found.update(changes)
        return {name: value for name, value in found.items() if value is not None}


def _torn_at_first(banks: list[_Bank]) -> bool:
    """Whether the supply failed in the header of the very first checkpoint, before anything depended on it.

    A torn header is that of checkpoint 1 up to some byte, any byte, and zeros; nothing follows the body.
    """
    first, second = banks
    rest = first.raw[_HEADER.size :]
    if second.written or len(first.head) < _HEADER.size or _ENTRY_MAGIC in rest:
        return False
    length = int.from_bytes(first.head[12:16], "little")
    body = rest[:length]
    whole = _HEADER.pack(_MAGIC, 1, length, _seal(1, body))
    return any(
        first.head[:cut] == whole[:cut] and not any(first.head[cut + 1 :]) for cut in range(_HEADER.size)
    )


def _seal(sequence: int, body: bytes) -> int:
    return zlib.crc32(_NUMBERS.pack(sequence, len(body)) + body)


def _text(value: Any) -> str:
    return _ENCODER.encode(value)


def _body(texts: Mapping[str, str]) -> bytes:
    return ("{" + ",".join(f'"{name}":{text}' for name, text in texts.items()) + "}").encode()
