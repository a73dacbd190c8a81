"""The host's disk in memory: what was written, what is durable, and failures at any operation."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, Self

from neurostim.session.errors import JournalError


class HostKilled(BaseException):
    """The host's program is gone: nothing of it runs any more."""


class VirtualFile:
    """One file; ``durable`` bytes survive the power, ``data`` survives the program."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.durable = 0


class VirtualDisk:
    """Files by path, with failures planned by the number of operations still to go.

    Parameters
    ----------
    on_durable : callable
        Told the path and the bytes that have just become durable.

    Attributes
    ----------
    dead : bool
        Whether the program is gone that had the files open: nothing of it reaches the disk any more.
    """

    def __init__(self, on_durable: Callable[[str, bytes], None]) -> None:
        self.files: dict[str, VirtualFile] = {}
        self.locked: set[str] = set()
        self.operations = 0
        self.fails_in: int | None = None
        self.kills_in: int | None = None
        self.on_durable = on_durable
        self.failed = 0
        self.dead = False
        self.on_killed: Callable[[], None] = lambda: None

    def folder(self, name: str = "/journals") -> VirtualPath:
        """A folder of this disk."""
        return VirtualPath(self, name)

    def opened(self, path: Any, *, new: bool) -> OpenFile:
        """Open for appending, as `neurostim.session.adapters.Opener`."""
        self._operate(str(path), b"")
        if new:
            if str(path) in self.files:
                raise FileExistsError(errno.EEXIST, "the file exists", str(path))
            self.files[str(path)] = VirtualFile()
        return OpenFile(self, str(path))

    def lock(self, folder: Any) -> VirtualLock:
        """The lock of a folder, as `neurostim.session.adapters.Locker`."""
        return VirtualLock(self, str(folder))

    def write(self, path: str, data: bytes) -> int:
        """Append; a failing disk takes nothing, a killed program leaves a part."""
        self._operate(path, data)
        self.files[path].data += data
        return len(data)

    def sync(self, path: str) -> None:
        """Make what is written durable."""
        self._operate(path, b"")
        file = self.files[path]
        fresh = bytes(file.data[file.durable :])
        file.durable = len(file.data)
        if fresh:
            self.on_durable(path, fresh)

    def truncate(self, path: str, size: int) -> None:
        """Cut a file."""
        self._operate(path, b"")
        file = self.files[path]
        del file.data[size:]
        file.durable = min(file.durable, size)

    def _operate(self, path: str, data: bytes) -> None:
        if self.dead:
            raise HostKilled
        self.operations += 1
        if self.kills_in is not None:
            self.kills_in -= 1
            if self.kills_in <= 0:
                self.kills_in = None
                self.dead = True
                if data:
                    self.files[path].data += data[: len(data) // 2]
                self.on_killed()
                raise HostKilled
        if self.fails_in is not None:
            self.fails_in -= 1
            if self.fails_in <= 0:
                self.fails_in = 0
                self.failed += 1
                raise OSError(errno.ENOSPC, "no space left on the disk", path)


class OpenFile:
    """A `neurostim.session.adapters.DurableFile` of a virtual disk."""

    def __init__(self, disk: VirtualDisk, path: str) -> None:
        self._disk = disk
        self._path = path

    def write(self, data: bytes) -> int:
        """Append."""
        return self._disk.write(self._path, data)

    def sync(self) -> None:
        """Make durable."""
        self._disk.sync(self._path)

    def truncate(self, size: int) -> None:
        """Cut."""
        self._disk.truncate(self._path, size)

    def close(self) -> None:
        """Nothing is held."""


class VirtualLock:
    """A lock that a killed program loses, as the system would drop it."""

    def __init__(self, disk: VirtualDisk, folder: str) -> None:
        self._disk = disk
        self._folder = folder
        self._held = False

    def acquire(self) -> None:
        """Take the lock."""
        if self._folder in self._disk.locked:
            raise JournalError("another session keeps its journal there", code="journal-locked")
        self._disk.locked.add(self._folder)
        self._held = True

    def release(self) -> None:
        """Drop the lock."""
        if self._held:
            self._disk.locked.discard(self._folder)
            self._held = False


class VirtualPath:
    """As much of a `pathlib.Path` as journals use."""

    def __init__(self, disk: VirtualDisk, name: str) -> None:
        self._disk = disk
        self._name = name

    def __truediv__(self, name: str) -> Self:
        return type(self)(self._disk, f"{self._name}/{name}")

    def __str__(self) -> str:
        return self._name

    def __lt__(self, other: VirtualPath) -> bool:
        return self._name < other._name

    @property
    def parent(self) -> VirtualPath:
        """The folder it is in."""
        return VirtualPath(self._disk, str(PurePosixPath(self._name).parent))

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None:
        """Folders exist by themselves."""
        assert parents and exist_ok  # noqa: PT018

    def glob(self, pattern: str) -> Iterator[VirtualPath]:
        """Files of this folder that match."""
        for name in self._disk.files:
            path = PurePosixPath(name)
            if str(path.parent) == self._name and path.match(pattern):
                yield VirtualPath(self._disk, name)

    def read_bytes(self) -> bytes:
        """Everything written, durable or not: it is the program that died, not the computer."""
        return bytes(self._disk.files[self._name].data)
