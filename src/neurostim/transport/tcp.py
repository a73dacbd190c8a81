"""A TCP link (``socket://host:port``), without Nagle's delay: each frame leaves at once."""

from __future__ import annotations

import socket
from typing import Final

from neurostim.core.errors import TransportError
from neurostim.transport.descriptor import DescriptorTransport

CONNECT_SECONDS: Final = 5.0


class TcpTransport(DescriptorTransport):
    """A connected TCP socket as a link; made by `open_tcp`."""

    def __init__(self, link: socket.socket, description: str) -> None:
        super().__init__(description, link.fileno())
        self._link = link

    def _read_some(self, size: int) -> bytes:
        return self._link.recv(size)

    def _write_some(self, data: bytes) -> int:
        return self._link.send(data)

    def _flush_system_buffer(self) -> None:
        # TCP has no way to take bytes back; the host's bound on unacknowledged bytes is what
        # keeps a stop from waiting behind more than one short stretch of them.
        return

    def _close_link(self) -> None:
        self._link.close()


def open_tcp(host: str, port: int) -> TcpTransport:
    """Connect.

    Raises
    ------
    TransportError
        With what the system said and what to check.
    """
    where = f"{host}:{port}"
    try:
        link = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
    except OSError as error:
        raise TransportError(
            f"cannot connect to {where}: {error}",
            remedy="Check that the stimulator or simulator is running there and listens on this port.",
            code="link-open",
        ) from error
    link.setblocking(False)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return TcpTransport(link, where)
