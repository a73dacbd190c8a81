"""The only door of the session to the disk and to randomness; tests put scripted ones in their place."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import IO, Protocol

from neurostim.session.errors import JournalError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class DurableFile(Protocol):
    """A file that is only ever appended to."""

    def write(self, data: bytes) -> int:
        """Hand bytes to the system; may take fewer than asked."""

    def sync(self) -> None:
        """Return once everything written is on the disk."""

    def truncate(self, size: int) -> None:
        """Cut the file to ``size`` bytes."""

    def close(self) -> None:
        """Close the file."""


class DiskFile:
    """A `DurableFile` on a real disk."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> int:
        """Hand bytes to the system."""
        return os.write(self._descriptor, data)

    def sync(self) -> None:
        """Flush to the disk itself."""
        os.fsync(self._descriptor)

    def truncate(self, size: int) -> None:
        """Cut the file."""
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class Opener(Protocol):
    """How a journal opens its file: a new one, or one that exists."""

    def __call__(self, path: Path, *, new: bool) -> DurableFile:
        """Open ``path`` for appending."""


def open_durable(path: Path, *, new: bool) -> DurableFile:
    """Open a file for appending; a new one is on the disk by name before this returns.

    Raises
    ------
    OSError
        What the system said; ``FileExistsError`` where a new file already exists.
    """
    flags = os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags | (os.O_CREAT | os.O_EXCL if new else 0), 0o600)
    if new:
        sync_folder(path.parent)
    return DiskFile(descriptor)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; systems without that notion (Windows) have nothing to do."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Lock(Protocol):
    """What keeps a folder for one session."""

    def acquire(self) -> None:
        """Take it; `JournalError` with the code ``journal-locked`` where somebody holds it."""

    def release(self) -> None:
        """Drop it; idempotent."""


class Locker(Protocol):
    """How a folder is kept for one session."""

    def __call__(self, folder: Path, /) -> Lock:
        """Lock of ``folder``, not taken yet."""


class FolderLock:
    """A lock that the system drops by itself when the program dies, however it dies."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "neurostim.lock"
        self._file: IO[bytes] | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises
        ------
        JournalError
            Code ``journal-locked`` where another program, or this one, holds it.
        """
        file = self._path.open("a+b")
        try:
            if sys.platform == "win32":
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise JournalError(
                f"another session keeps its journal in {self._path.parent}",
                remedy="Finish that session first, or give this one a folder of its own.",
                code="journal-locked",
            ) from error
        self._file = file

    def release(self) -> None:
        """Drop the lock; idempotent."""
        if self._file is not None:
            self._file.close()
            self._file = None


def new_session_id() -> str:
    """32 random hexadecimal digits."""
    return secrets.token_hex(16)
