"""A small file that several programs change: one at a time, each time as a whole, durable when it returns."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from neurostim.core.errors import NeurostimError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

TRIES: Final = 500
BETWEEN_SECONDS: Final = 0.02


@contextmanager
def alone(path: Path, busy: Callable[[], NeurostimError]) -> Iterator[None]:
    """Keep other programs, and other threads, from changing a file; what it holds is to be read inside.

    The lock is advisory, on a file of its own beside it, and gone with the program that holds it.

    Parameters
    ----------
    path : Path
        The file that is changed; its folder is made.
    busy : callable
        Makes the error that is raised where another holds it for ten seconds.

    Raises
    ------
    OSError
        Where no lock can be had in this folder at all.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        never = threading.Event()
        for _ in range(TRIES):
            if _taken(handle):
                break
            never.wait(BETWEEN_SECONDS)
        else:
            raise busy()
        yield
    finally:
        os.close(handle)


def replace(path: Path, data: bytes) -> None:
    """Replace a file as a whole: a loss of power leaves the old one or the new one; for its owner only.

    Raises
    ------
    OSError
        Where the new one could not be made durable; the old one is then as it was, or the new one in place.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    fresh = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError:
        with suppress(OSError):
            fresh.unlink()
        raise
    _sync_folder(path.parent)


def _taken(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there; replacing is durable by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
