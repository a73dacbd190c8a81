"""The simulated device over USB/IP on real sockets: a port for its hosts, and the bench that serves it."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from neurostim_sim.servers.bench import Bench
from neurostim_sim.servers.clock import Clock
from neurostim_sim.servers.ports import READ_BYTES, ListeningSocket
from neurostim_sim.usb.attached import UsbAttachedDevice
from neurostim_sim.usb.connection import Connection, UsbIpBus
from neurostim_sim.usb.protocol import BUS_ID, Malformed

MOST_CONNECTIONS: Final = 16
KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""After how long a host that vanished without a word no longer holds the device [s], where settable."""


class UsbIpClient:
    """One host's socket."""

    def __init__(self, link: socket.socket, bus: UsbIpBus) -> None:
        link.setblocking(False)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEP_ALIVE.items():
            if hasattr(socket, name):
                link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._link = link
        self._bus = bus
        self._said_all = False
        self.connection = Connection(bus)

    def fileno(self) -> int:
        """Descriptor to wait for."""
        return self._link.fileno()

    @property
    def events(self) -> int:
        """What to wait for: room where something is unsent; bytes where more may be taken."""
        wanted = selectors.EVENT_WRITE if self.connection.unsent else 0
        if self.connection.ending or not self.connection.stuffed:
            wanted |= selectors.EVENT_READ
        return wanted

    def read(self, now_ns: int) -> bool:
        """Take what the host has sent; False where the connection is over."""
        try:
            data = self._link.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return bool(data) and self.feed(data, now_ns)

    def feed(self, data: bytes, now_ns: int) -> bool:
        """Take bytes; False where they are not the protocol."""
        try:
            self.connection.feed(data, now_ns)
        except Malformed:
            return False
        return True

    def send(self) -> bool:
        """Send what is unsent, in one piece as far as the system takes it; False where the host has gone.

        At the end only this side's half is closed, until the host has closed its own: a socket closed with
        bytes unread resets the connection, and the last words would be lost.
        """
        unsent = self.connection.unsent
        try:
            while unsent:
                count = self._link.send(unsent)
                self.connection.sent(count)
                unsent = unsent[count:]
            if self.connection.ending and not self._said_all:
                self._said_all = True
                self._link.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Hang up: for the device, the cable is pulled."""
        self._bus.release(self.connection)
        self._link.close()


class UsbIpPort(ListeningSocket):
    """A port whose hosts speak USB/IP."""

    @property
    def url(self) -> str:
        """What a host opens."""
        return f"usbip://{self.host}:{self.port}/{BUS_ID}"


class UsbIpBench(Bench):
    """One device exported over USB/IP.

    Parameters
    ----------
    device : UsbAttachedDevice
    port : UsbIpPort
    clock : Clock
    tell : callable
        Where answers to orders go.
    """

    def __init__(
        self,
        device: UsbAttachedDevice,
        port: UsbIpPort,
        clock: Clock,
        tell: Callable[[Mapping[str, Any]], None],
    ) -> None:
        super().__init__(device, port, clock, tell)
        self._usb = device
        self._bus = UsbIpBus(device)
        self._clients: list[UsbIpClient] = []

    def plug(self) -> None:
        """Begin to listen, or put the cable back."""
        if not self._plugged:
            self._port.plug()
            self._selector.register(self._port, selectors.EVENT_READ)
            self._plugged = True
        self._usb.plug()

    def unplug(self) -> None:
        """Pull the cable: the device leaves the bus, and whoever has imported it is cut off."""
        self._usb.unplug()
        self._send(self._now_ns())

    def hang_up(self) -> None:
        """Cut everyone off and stop listening."""
        self.unplug()
        for client in list(self._clients):
            self._drop(client)
        if self._plugged:
            self._selector.unregister(self._port)
            self._port.close()
            self._plugged = False

    def _send(self, now_ns: int) -> None:
        self._bus.collect()
        for client in list(self._clients):
            was_stuffed = client.connection.stuffed
            alive = client.send()
            if alive and was_stuffed and not client.connection.stuffed:
                # What had to wait in here can go on.
                alive = client.feed(b"", now_ns) and client.send()
            if not alive:
                self._drop(client)
            else:
                self._selector.modify(client, client.events)

    def _ready(self, source: Any) -> None:
        if isinstance(source, UsbIpPort):
            self._welcome(source.take())
        elif isinstance(source, UsbIpClient):
            reads = source in self._clients and source.events & selectors.EVENT_READ
            if reads and not source.read(self._now_ns()):
                source.send()
                self._drop(source)
            self._send(self._now_ns())
        else:
            super()._ready(source)

    def _welcome(self, link: socket.socket | None) -> None:
        if link is None:
            return
        idle = [one for one in self._clients if one.connection is not self._bus.importer]
        if len(self._clients) >= MOST_CONNECTIONS and idle:
            # A host says at once what it wants; one that has not longest makes room.
            self._drop(idle[0])
        client = UsbIpClient(link, self._bus)
        self._clients.append(client)
        self._selector.register(client, client.events)

    def _drop(self, client: UsbIpClient) -> None:
        self._clients.remove(client)
        self._selector.unregister(client)
        client.close()
