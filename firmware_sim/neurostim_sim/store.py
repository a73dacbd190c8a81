"""The device's lasting memory: one document in two banks, so that power may fail at any write.

A write goes to the bank that does not hold the newest document, its header last; a reader takes the newest
bank whose checksum holds. What is read is therefore the old document or the new one, never half of each.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any, Final, Protocol

from neurostim.core.errors import ConfigError

_HEADER: Final = struct.Struct("<4sQII")
_MAGIC: Final = b"NSST"
BANK_BYTES: Final = 1 << 20
PIECE_BYTES: Final = 4096


class PowerCut(Exception):
    """The supply failed during a write."""


class Medium(Protocol):
    """Bytes that survive a reset."""

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on; fewer where fewer are held."""

    def write(self, offset: int, data: bytes) -> None:
        """Make bytes durable."""


class MemoryMedium:
    """A medium in memory; ``cut_after`` lets the supply fail in the middle of that write, counted from 0."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.writes = 0
        self.cut_after: int | None = None

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on."""
        return bytes(self.data[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        """Write, or half of it where the supply fails."""
        cut = self.cut_after is not None and self.writes >= self.cut_after
        self.writes += 1
        if cut:
            data = data[: len(data) // 2]
        if len(self.data) < offset + len(data):
            self.data.extend(bytes(offset + len(data) - len(self.data)))
        self.data[offset : offset + len(data)] = data
        if cut:
            raise PowerCut


class FileMedium:
    """A medium in a file; every write is synchronised before it counts."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot open the store {path}: {error.strerror}", code="store") from error

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on."""
        return os.pread(self._descriptor, size, offset)

    def write(self, offset: int, data: bytes) -> None:
        """Write and synchronise."""
        os.pwrite(self._descriptor, data, offset)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class Store:
    """The newest document of a medium."""

    def __init__(self, medium: Medium) -> None:
        self._medium = medium
        self._sequence = 0
        self._bank = 1
        self.damaged = False

    def load(self) -> dict[str, Any]:
        """The newest whole document; empty on a fresh medium, and on a `damaged` one, which holds none."""
        newest: dict[str, Any] = {}
        written = False
        for bank in (0, 1):
            head = self._medium.read(bank * BANK_BYTES, _HEADER.size)
            if len(head) < _HEADER.size:
                continue
            written |= any(head)
            magic, sequence, length, checksum = _HEADER.unpack(head)
            if magic != _MAGIC or length > BANK_BYTES - _HEADER.size or sequence <= self._sequence:
                continue
            body = self._medium.read(bank * BANK_BYTES + _HEADER.size, length)
            if len(body) != length or zlib.crc32(struct.pack("<QI", sequence, length) + body) != checksum:
                continue
            newest, self._sequence, self._bank = json.loads(body), sequence, bank
        self.damaged = written and not newest
        return newest

    def save(self, document: dict[str, Any]) -> None:
        """Make a document the newest; durable when this returns."""
        body = json.dumps(document, separators=(",", ":")).encode()
        if len(body) > BANK_BYTES - _HEADER.size:
            raise ConfigError(f"a document of {len(body)} bytes does not fit the store", code="store")
        bank, sequence = 1 - self._bank, self._sequence + 1
        start = bank * BANK_BYTES
        # The old header of this bank dies first, so that it can never lead to the new body.
        self._medium.write(start, bytes(_HEADER.size))
        for offset in range(0, len(body), PIECE_BYTES):
            self._medium.write(start + _HEADER.size + offset, body[offset : offset + PIECE_BYTES])
        checksum = zlib.crc32(struct.pack("<QI", sequence, len(body)) + body)
        self._medium.write(start, _HEADER.pack(_MAGIC, sequence, len(body), checksum))
        self._bank, self._sequence = bank, sequence
