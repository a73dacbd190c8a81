"""What bytes are kept on, in memory or in a file, and how a failing supply tears what is being written."""

from __future__ import annotations

import fcntl
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from neurostim.core.errors import ConfigError


class PowerCut(Exception):
    """The supply failed during a write."""


class Medium(Protocol):
    """Bytes that survive a reset. What was never written reads as nothing or as zeros."""

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on; fewer where fewer are held."""

    def write(self, offset: int, data: bytes) -> None:
        """Make bytes durable.

        Raises
        ------
        PowerCut
            Where the supply fails in it: then any number of the first bytes are written.
        """

    def close(self) -> None:
        """The device is gone for good; what it wrote stays."""


class MemoryMedium:
    """A medium in memory whose supply can be made to fail.

    Attributes
    ----------
    data : bytearray
        What is held.
    writes, written : int
        Writes and bytes so far.
    cut_after : int or None
        The supply fails in the middle of this write, counted from 0, and in all after it.
    bytes_left : int or None
        The supply fails when this many more bytes are written, wherever that is.
    torn_bits : int
        What the byte that was being written when the supply failed differs in, from the old one (0 to 255).
    """

    def __init__(self) -> None:
        self.data = bytearray()
        self.writes = 0
        self.written = 0
        self.cut_after: int | None = None
        self.bytes_left: int | None = None
        self.torn_bits = 0

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from ``offset`` on."""
        return bytes(memoryview(self.data)[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        """Write, or the first bytes of it where the supply fails."""
        room = len(data)
        if self.cut_after is not None and self.writes >= self.cut_after:
            room = len(data) // 2
        if self.bytes_left is not None:
            room = min(room, self.bytes_left)
            self.bytes_left -= room
        cut = room < len(data)
        self.writes += 1
        self.written += room
        self._put(offset, data[:room])
        if cut:
            if self.torn_bits:
                at = offset + room
                old = self.data[at] if at < len(self.data) else 0
                self._put(at, bytes([old ^ self.torn_bits]))
            raise PowerCut

    def close(self) -> None:
        """Nothing to do: another device may take the memory over."""

    def _put(self, offset: int, data: bytes) -> None:
        if len(self.data) < offset + len(data):
            self.data.extend(bytes(offset + len(data) - len(self.data)))
        self.data[offset : offset + len(data)] = data


class FileMedium:
    """A medium in a file; every write is synchronised before it counts.

    A file that cannot be written, on a full disk for instance, is to the device a supply that fails.

    Parameters
    ----------
    path : Path
    starts : sequence of (int, bytes)
        Places of which one must begin with these bytes, unless all are blank: else it is another file.

    Raises
    ------
    ConfigError
        For a file that cannot be opened, that another device uses, or that holds something else.
    """

    def __init__(self, path: Path, starts: Sequence[tuple[int, bytes]] = ()) -> None:
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
        found = [(self.read(offset, len(magic)), magic) for offset, magic in starts]
        held = [(head, magic) for head, magic in found if head]
        if held and not any(head == magic[: len(head)] or not any(head) for head, magic in held):
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
