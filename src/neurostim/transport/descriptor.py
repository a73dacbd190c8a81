"""Links that are a descriptor of the operating system: serial ports and ptys on POSIX, TCP everywhere.

A read waits for bytes, for a `wake` from another thread, and for room to write, all at once; it asks for
whatever has arrived and never for a number of bytes.
"""

from __future__ import annotations

import abc
import errno
import select
import socket
import sys
from typing import Final

from neurostim.core.errors import TransportError

READ_BYTES: Final = 4096
REPLUG: Final = (
    "Check the cable and the supply, then connect again; output stays off until a deliberate start."
)

_AGAIN: Final = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)


class _Poll:
    """Waits with ``poll``: half the cost of the standard selectors, which a round trip feels."""

    def __init__(self, wake: int, link: int) -> None:
        self._wake = wake
        self._link = link
        self._poll = select.poll()
        self._poll.register(wake, select.POLLIN)
        self._poll.register(link, select.POLLIN)

    def watch_writes(self, wanted: bool) -> None:
        self._poll.modify(self._link, select.POLLIN | (select.POLLOUT if wanted else 0))

    def wait(self, timeout: float) -> tuple[bool, bool, bool]:
        """Wait at most ``timeout`` [s]; whether woken, readable (or broken), writable."""
        woken = readable = writable = False
        for descriptor, mask in self._poll.poll(max(0, -int(-timeout * 1000 // 1))):
            if descriptor == self._wake:
                woken = True
            else:
                readable = bool(mask & ~select.POLLOUT)
                writable = bool(mask & select.POLLOUT)
        return woken, readable, writable


class _Select:
    """Waits with ``select``, where ``poll`` is missing (Windows) or fails on terminals (macOS)."""

    def __init__(self, wake: int, link: int) -> None:
        self._wake = wake
        self._link = link
        self._writes: list[int] = []

    def watch_writes(self, wanted: bool) -> None:
        self._writes = [self._link] if wanted else []

    def wait(self, timeout: float) -> tuple[bool, bool, bool]:
        """Wait at most ``timeout`` [s]; whether woken, readable (or broken), writable."""
        ready, room, _ = select.select([self._wake, self._link], self._writes, [], max(timeout, 0))
        return self._wake in ready, self._link in ready, bool(room)


def make_waiter(wake: int, link: int) -> _Poll | _Select:
    """Make what waits on this system."""
    return _Poll(wake, link) if sys.platform == "linux" else _Select(wake, link)


class DescriptorTransport(abc.ABC):
    """A link over one non-blocking descriptor; subclasses say how to read, write, flush and close it."""

    def __init__(self, description: str, descriptor: int) -> None:
        self._description = description
        self._pending = bytearray()
        self._closed = False
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._waiter = make_waiter(self._wake_read.fileno(), descriptor)
        self._watching = False

    @property
    def description(self) -> str:
        """What a person would call this link."""
        return self._description

    def read(self, timeout: float) -> bytes:
        """Return what has arrived, or ``b""`` after ``timeout`` seconds or a `wake`.

        Raises
        ------
        TransportError
            Where the link is gone.
        """
        if self._closed:
            raise self._gone("it was closed")
        woken, readable, writable = self._waiter.wait(timeout)
        if woken:
            self._drain_wakes()
        if writable:
            self._push()
        return self._receive() if readable else b""

    def write(self, data: bytes) -> None:
        """Send; what the system does not take at once leaves during later reads and writes.

        Raises
        ------
        TransportError
            Where the link is gone.
        """
        if self._closed:
            raise self._gone("it was closed")
        self._pending += data
        self._push()

    def drop_pending_output(self) -> None:
        """Discard what was written and has not left yet, here and in the system's buffers."""
        if self._closed:
            return
        self._pending.clear()
        self._watch_writes(False)
        try:
            self._flush_system_buffer()
        except OSError as error:
            raise self._gone(str(error)) from error

    def urgent(self, frame: bytes) -> bool:
        """There is no second way to the device on this link."""
        del frame
        return False

    def wake(self) -> None:
        """Make a `read` under way, or else the next one, return at once; from any thread."""
        try:
            self._wake_write.send(b"\x00")
        except OSError as error:
            # A full pipe already wakes the reader, and a closed link has no reader to wake.
            if error.errno not in (*_AGAIN, errno.EBADF):
                raise

    def close(self) -> None:
        """Close the link; idempotent."""
        if self._closed:
            return
        self._closed = True
        self._wake_read.close()
        self._wake_write.close()
        self._close_link()

    def _receive(self) -> bytes:
        try:
            data = self._read_some(READ_BYTES)
        except OSError as error:
            if error.errno in _AGAIN:
                return b""
            raise self._gone(str(error)) from error
        if not data:
            raise self._gone("the other side closed it")
        return data

    def _push(self) -> None:
        try:
            while self._pending:
                sent = self._write_some(bytes(self._pending))
                del self._pending[:sent]
        except OSError as error:
            if error.errno not in _AGAIN:
                raise self._gone(str(error)) from error
        self._watch_writes(bool(self._pending))

    def _watch_writes(self, wanted: bool) -> None:
        if wanted != self._watching:
            self._watching = wanted
            self._waiter.watch_writes(wanted)

    def _drain_wakes(self) -> None:
        try:
            self._wake_read.recv(READ_BYTES)
        except BlockingIOError:
            return

    def _gone(self, why: str) -> TransportError:
        return TransportError(f"the link {self._description} is gone: {why}", remedy=REPLUG, code="link-lost")

    @abc.abstractmethod
    def _read_some(self, size: int) -> bytes: ...

    @abc.abstractmethod
    def _write_some(self, data: bytes) -> int: ...

    @abc.abstractmethod
    def _flush_system_buffer(self) -> None: ...

    @abc.abstractmethod
    def _close_link(self) -> None: ...
