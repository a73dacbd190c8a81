"""The device's lasting memory: one document in two banks, so that power may fail at any write.

A write goes to the bank that does not hold the newest document, its header last; a reader takes the newest
bank whose checksum holds. What is read is therefore the old document or the new one, never half of each.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import weakref
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

    def close(self) -> None:
        """The device is gone for good; what it wrote stays."""


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

    def close(self) -> None:
        """Nothing to do: another device may take the memory over."""


class FileMedium:
    """A medium in a file; every write is synchronised before it counts.

    A file that cannot be written, on a full disk for instance, is to the device a supply that fails.

    Raises
    ------
    ConfigError
        For a file that cannot be opened, that another device uses, or that holds something else.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(f"cannot open the store {path}: {error.strerror}", code="store") from error
        self._closing = weakref.finalize(self, os.close, self._descriptor)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self.close()
            raise ConfigError(
                f"another device uses the store {path}",
                remedy="Give each simulated device a store of its own.",
                code="store",
            ) from error
        starts = [self.read(bank * BANK_BYTES, len(_MAGIC)) for bank in (0, 1)]
        if any(starts) and not any(
            start == _MAGIC[: len(start)] or not any(start) for start in starts if start
        ):
            self.close()
            raise ConfigError(
                f"{path} is no store of a simulated device",
                remedy="Name another file: this one would be overwritten.",
                code="store",
            )

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on."""
        return os.pread(self._descriptor, size, offset)

    def write(self, offset: int, data: bytes) -> None:
        """Write and synchronise."""
        try:
            while data:
                written = os.pwrite(self._descriptor, data, offset)
                offset, data = offset + written, data[written:]
            os.fsync(self._descriptor)
        except OSError as error:
            raise PowerCut(f"the store cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Close the file; another device may use it from now on."""
        self._closing()


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
            written |= any(head)
            if len(head) < _HEADER.size:
                continue
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
