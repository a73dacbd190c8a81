"""Serial ports and ptys, opened through ``serial.serial_for_url`` and locked against a second program."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
from typing import Final

import serial

from neurostim.core.errors import TransportError
from neurostim.transport.base import Transport
from neurostim.transport.descriptor import REPLUG, DescriptorTransport

if sys.platform != "win32":
    import grp
    import termios

MAX_WAIT_SECONDS: Final = 0.05


class PosixSerialTransport(DescriptorTransport):
    """A serial port or pty as a link; made by `open_serial`."""

    def __init__(self, port: serial.Serial, description: str) -> None:
        self._port = port
        self._line: int = port.fileno()
        super().__init__(description, self._line)

    def _read_some(self, size: int) -> bytes:
        return os.read(self._line, size)

    def _write_some(self, data: bytes) -> int:
        return os.write(self._line, data)

    def _flush_system_buffer(self) -> None:
        try:
            termios.tcflush(self._line, termios.TCOFLUSH)
        except termios.error as error:
            raise OSError(*error.args) from error

    def _close_link(self) -> None:
        # A port that vanished may refuse to be closed; nothing is left to do about it then.
        with contextlib.suppress(OSError, serial.SerialException):
            self._port.close()


class PortableSerialTransport:
    """A serial port where its handle cannot be waited for together with others (Windows)."""

    def __init__(self, port: serial.Serial, description: str) -> None:
        self._port = port
        self._description = description
        self._closed = False

    @property
    def description(self) -> str:
        """What a person would call this link."""
        return self._description

    def read(self, timeout: float) -> bytes:
        """Return what has arrived, or ``b""`` after ``timeout`` seconds or a `wake`."""
        self._check_open()
        try:
            # A wake between two reads cancels nothing, so a single wait is kept short.
            self._port.timeout = min(timeout, MAX_WAIT_SECONDS)
            first: bytes = self._port.read(1)
            waiting = self._port.in_waiting
            return first + self._port.read(waiting) if first and waiting else first
        except (OSError, serial.SerialException) as error:
            raise self._gone(str(error)) from error

    def write(self, data: bytes) -> None:
        """Send everything."""
        self._check_open()
        try:
            self._port.write(data)
        except (OSError, serial.SerialException) as error:
            raise self._gone(str(error)) from error

    def drop_pending_output(self) -> None:
        """Discard what was written and has not left yet."""
        if self._closed:
            return
        try:
            self._port.reset_output_buffer()
        except (OSError, serial.SerialException) as error:
            raise self._gone(str(error)) from error

    def urgent(self, frame: bytes) -> bool:
        """There is no second way to the device on this link."""
        del frame
        return False

    def wake(self) -> None:
        """Make a `read` under way return at once; from any thread."""
        self._port.cancel_read()

    def close(self) -> None:
        """Close the link; idempotent."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError, serial.SerialException):
            self._port.close()

    def _check_open(self) -> None:
        if self._closed:
            raise self._gone("it was closed")

    def _gone(self, why: str) -> TransportError:
        return TransportError(f"the link {self._description} is gone: {why}", remedy=REPLUG, code="link-lost")


def open_serial(path: str, baud: int) -> Transport:
    """Open a serial port or pty for this program alone.

    Raises
    ------
    TransportError
        Codes ``port-missing``, ``port-permission``, ``port-busy``, ``port-kind`` or ``link-open``.
    """
    try:
        port = serial.serial_for_url(path, baudrate=baud, timeout=0, write_timeout=0, exclusive=True)
    except (OSError, serial.SerialException, ValueError) as error:
        raise _explained(path, error) from error
    if sys.platform == "win32":
        return PortableSerialTransport(port, path)
    return PosixSerialTransport(port, path)


def _explained(path: str, error: Exception) -> TransportError:
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return TransportError(
            f"no permission to open {path}", remedy=_permission_remedy(path), code="port-permission"
        )
    if number in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EBUSY):
        return TransportError(
            f"the port {path} is in use by another program",
            remedy="Close the other program; one program at a time controls a stimulator.",
            code="port-busy",
        )
    if number == errno.ENOENT or not os.path.lexists(path):
        return TransportError(
            f"there is no port {path}",
            remedy="Plug the stimulator in, or list the ports with: neurostim devices.",
            code="port-missing",
        )
    if not _is_terminal(path):
        return TransportError(
            f"{path} is not a serial port",
            remedy="Give a serial device, a pty, or an address such as socket://127.0.0.1:7700.",
            code="port-kind",
        )
    return TransportError(f"cannot open {path}: {error}", remedy=REPLUG, code="link-open")


def _is_terminal(path: str) -> bool:
    try:
        return stat.S_ISCHR(os.stat(path).st_mode)
    except OSError:
        return False


def _permission_remedy(path: str) -> str:
    if sys.platform == "win32":
        return "Close other programs that use this port."
    try:
        group = grp.getgrgid(os.stat(path).st_gid).gr_name
    except (OSError, KeyError):
        return "Ask an administrator for access to this port."
    return (
        f"The port belongs to the group {group!r}: add yourself with 'sudo usermod -aG {group} $USER', "
        "then log out and in again."
    )
