"""Real descriptors for a simulated device: a pty behind a stable symlink, and a TCP port on this computer."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Final, Protocol, Self

from neurostim.core.errors import ConfigError, TransportError
from neurostim_sim.servers.unsent import Unsent

READ_BYTES: Final = 1 << 14


class Endpoint(Protocol):
    """One open descriptor that a host may be on the other side of."""

    def fileno(self) -> int:
        """Descriptor to wait for."""

    def read(self) -> bytes | None:
        """Bytes from the host, or None where it has gone."""

    def write(self, data: bytes) -> None:
        """Send to the host, and what it did not take before; see `Unsent` for what it never takes."""

    @property
    def unsent(self) -> Unsent:
        """What waits for the host."""

    def close(self) -> None:
        """Close the descriptor."""


class PtyPort:
    """A pty that looks like a serial port under the name ``link``.

    The slave side stays open here, so that hosts may come and go; it is raw, so that nothing is echoed.
    """

    def __init__(self, link: Path) -> None:
        self._link = link
        self._master = -1
        self._slave = -1
        self.unsent = Unsent()

    @property
    def url(self) -> str:
        """What a host opens."""
        return str(self._link)

    def plug(self) -> PtyPort:
        """Make the pty and point the link at it, in one step for those who look.

        Raises
        ------
        ConfigError
            Where the name belongs to something that is not a link.
        TransportError
            Where this system has no ptys or the link cannot be made.
        """
        try:
            import tty
        except ImportError as error:
            raise TransportError(
                "this system has no ptys", remedy="Use --tcp 127.0.0.1:0 instead.", code="no-pty"
            ) from error
        if self._link.exists() and not self._link.is_symlink():
            raise ConfigError(
                f"{self._link} exists and is no link", allowed="a new name, or an old link", code="pty-link"
            )
        try:
            self._master, self._slave = os.openpty()
            tty.setraw(self._slave)
            os.set_blocking(self._master, False)
            fresh = self._link.with_name(f".{self._link.name}.{os.getpid()}")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(os.ttyname(self._slave))
            os.replace(fresh, self._link)
        except OSError as error:
            raise TransportError(
                f"cannot make the pty {self._link}: {error.strerror}", code="pty-link"
            ) from error
        return self

    def fileno(self) -> int:
        """Descriptor to wait for."""
        return self._master

    def read(self) -> bytes | None:
        """Bytes from whichever host has it open."""
        try:
            return os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Send as much as the line takes; the rest waits."""
        self.unsent.put(data)
        self.unsent.send(lambda piece: os.write(self._master, piece))

    def close(self) -> None:
        """Unplug: the host's reads fail from now on, and the link is gone."""
        if self._master < 0:
            return
        # Another simulator may have taken the name over.
        with contextlib.suppress(OSError):
            if os.readlink(self._link) == os.ttyname(self._slave):
                self._link.unlink()
        os.close(self._master)
        os.close(self._slave)
        self._master = self._slave = -1
        self.unsent = Unsent()


class TcpClient:
    """One host on the TCP port."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connection = connection
        self.unsent = Unsent()

    def fileno(self) -> int:
        """Descriptor to wait for."""
        return self._connection.fileno()

    def read(self) -> bytes | None:
        """Bytes from this host, or None where it has gone."""
        try:
            return self._connection.recv(READ_BYTES) or None
        except BlockingIOError:
            return b""
        except OSError:
            return None

    def write(self, data: bytes) -> None:
        """Send as much as the connection takes; the rest waits."""
        self.unsent.put(data)
        self.unsent.send(self._connection.send)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


class ListeningSocket:
    """A listening TCP socket of this computer.

    Parameters
    ----------
    host : str
    port : int
        0 for a free one, which stays the same from then on.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._listener: socket.socket | None = None

    def plug(self) -> Self:
        """Begin to listen.

        Raises
        ------
        TransportError
            Where the port cannot be had.
        """
        try:
            self._listener = socket.create_server((self.host, self.port))
        except OSError as error:
            raise TransportError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror}",
                remedy="Choose another port; 0 takes a free one.",
                code="tcp-listen",
            ) from error
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        return self

    def fileno(self) -> int:
        """Descriptor to wait for."""
        return self._listener.fileno() if self._listener else -1

    def take(self) -> socket.socket | None:
        """Take the next host in."""
        if self._listener is None:
            return None
        try:
            return self._listener.accept()[0]
        except OSError:  # gone again, or no descriptor is left: whoever is served goes on being served
            return None

    def close(self) -> None:
        """Stop listening."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None


class TcpPort(ListeningSocket):
    """A port whose hosts speak the protocol; several may connect, as on a shared line."""

    @property
    def url(self) -> str:
        """What a host opens."""
        return f"socket://{self.host}:{self.port}"

    def accept(self) -> TcpClient | None:
        """Take the next host in."""
        link = self.take()
        return None if link is None else TcpClient(link)
