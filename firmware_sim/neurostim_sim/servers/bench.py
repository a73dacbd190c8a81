"""The bench: serves one simulated device on real descriptors in real time, and takes orders while it runs."""

from __future__ import annotations

import contextlib
import json
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, Protocol, TextIO

from neurostim.core.errors import ConfigError, NeurostimError
from neurostim_sim.servers.attached import AttachedDevice
from neurostim_sim.servers.clock import Clock
from neurostim_sim.servers.line import DELIMITER, HOLD_BYTES
from neurostim_sim.servers.ports import Endpoint, PtyPort, TcpPort

LONGEST_WAIT_NS: Final = 200_000_000
CLOSING_NS: Final = 1_000_000_000

ORDERS: Final = {
    "unplug": "pull the cable: hosts are cut off",
    "plug": "put the cable back",
    "fault NAME": "inject a fault now",
    "quit": "finish the records and end",
}


class Hosts:
    """Those connected; the bytes of each reach the device in whole frames, so that none garbles another."""

    def __init__(self) -> None:
        self._held: dict[Endpoint, bytes] = {}

    def add(self, endpoint: Endpoint) -> None:
        """Take a host in."""
        self._held[endpoint] = b""

    def remove(self, endpoint: Endpoint) -> None:
        """Let a host go; a frame it had not finished is lost."""
        self._held.pop(endpoint, None)
        endpoint.close()

    def whole_frames(self, endpoint: Endpoint, data: bytes) -> bytes:
        """The frames that ``data`` completes."""
        data = self._held[endpoint] + data
        whole, delimiter, rest = data.rpartition(DELIMITER)
        if len(rest) > HOLD_BYTES:
            whole, delimiter, rest = data, b"", b""
        self._held[endpoint] = rest
        return whole + delimiter

    def send(self, data: bytes) -> None:
        """Send to every host: the line is shared."""
        for endpoint in list(self._held):
            try:
                endpoint.write(data)
            except OSError:
                continue  # its next read tells that it has gone

    def clear(self) -> None:
        """Cut everyone off."""
        for endpoint in list(self._held):
            self.remove(endpoint)

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(list(self._held))


class Port(Protocol):
    """Where hosts come in."""

    @property
    def url(self) -> str:
        """What a host opens."""

    def plug(self) -> object:
        """Open it."""

    def fileno(self) -> int:
        """Descriptor to wait for."""

    def close(self) -> None:
        """Close it."""


class Bench:
    """One device on one port.

    Parameters
    ----------
    device : AttachedDevice
    port : PtyPort or TcpPort
        Or that of a bench derived from this one.
    clock : Clock
    tell : callable
        Where answers to orders go.
    """

    def __init__(
        self,
        device: AttachedDevice,
        port: Port,
        clock: Clock,
        tell: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._device = device
        self._port = port
        self._clock = clock
        self._tell = tell
        self._origin_ns = clock.monotonic_ns()
        self._hosts = Hosts()
        self._selector = selectors.DefaultSelector()
        self._orders: list[str] = []
        self._awake, self._waker = socket.socketpair()
        self._awake.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._awake, selectors.EVENT_READ)
        self._plugged = False
        self._ending = False

    @property
    def url(self) -> str:
        """What a host opens."""
        return self._port.url

    @property
    def label_code(self) -> str:
        """Code on the device's label, for pairing."""
        return self._device.core.label_code

    def order(self, text: str) -> None:
        """Give an order, from any thread."""
        self._orders.append(text)
        with contextlib.suppress(BlockingIOError):
            self._waker.send(b"!")

    def plug(self) -> None:
        """Put the cable in.

        Raises
        ------
        ConfigError, TransportError
            Where the port cannot be had.
        """
        if self._plugged:
            return
        self._port.plug()
        self._selector.register(self._port, selectors.EVENT_READ)
        if isinstance(self._port, PtyPort):
            self._hosts.add(self._port)
        self._plugged = True

    def unplug(self) -> None:
        """Pull the cable."""
        if not self._plugged:
            return
        for endpoint in self._hosts:
            if not isinstance(endpoint, PtyPort):
                self._selector.unregister(endpoint)
        self._selector.unregister(self._port)
        self._hosts.clear()
        self._port.close()
        self._device.cut()
        self._plugged = False

    def hang_up(self) -> None:
        """Cut everyone off and close the port."""
        self.unplug()

    def run(self) -> None:
        """Serve until told to end; then let the dead-man end any output and finish the records."""
        try:
            while not self._ending:
                self._serve_once()
        finally:
            self.hang_up()
            self._device.advance(self._now_ns() + CLOSING_NS)
            self._device.core.close()
            self._selector.close()
            self._awake.close()
            self._waker.close()

    def _serve_once(self) -> None:
        now_ns = self._now_ns()
        self._device.advance(now_ns)
        self._send(now_ns)
        next_ns = self._device.next_ns()
        wait_ns = LONGEST_WAIT_NS if next_ns is None else min(max(next_ns - now_ns, 0), LONGEST_WAIT_NS)
        for key, _ in self._selector.select(wait_ns / 1_000_000_000):
            self._ready(key.fileobj)
        while self._orders:
            self._obey(self._orders.pop(0).split())

    def _send(self, now_ns: int) -> None:
        data = self._device.take(now_ns)
        if data:
            self._hosts.send(data)

    def _ready(self, source: Any) -> None:
        if source is self._awake:
            with contextlib.suppress(BlockingIOError):
                self._awake.recv(4096)
        elif isinstance(source, TcpPort):
            client = source.accept()
            if client is not None:
                self._hosts.add(client)
                self._selector.register(client, selectors.EVENT_READ)
        elif self._plugged:
            self._hear(source)

    def _hear(self, endpoint: Endpoint) -> None:
        data = endpoint.read()
        if data is None:
            self._selector.unregister(endpoint)
            self._hosts.remove(endpoint)
            return
        frames = self._hosts.whole_frames(endpoint, data)
        if frames:
            now_ns = self._now_ns()
            self._device.hear(frames, now_ns)
            self._device.advance(now_ns)
            self._send(now_ns)

    def _obey(self, words: list[str]) -> None:
        try:
            match words:
                case []:
                    return
                case ["unplug"]:
                    self.unplug()
                case ["plug"]:
                    self.plug()
                case ["fault", name]:
                    self._device.inject(name, self._now_ns())
                case ["quit"]:
                    self._ending = True
                case _:
                    raise ConfigError(
                        f"found the order {' '.join(words)!r}", allowed=", ".join(ORDERS), code="order"
                    )
        except NeurostimError as error:
            self._tell({"order": " ".join(words), "ok": False, "error": str(error)})
        else:
            self._tell({"order": " ".join(words), "ok": True, "at_ns": self._now_ns()})

    def _now_ns(self) -> int:
        return self._clock.monotonic_ns() - self._origin_ns


def take_orders(bench: Bench, source: TextIO) -> None:
    """Pass lines of ``source`` on as orders, from a thread of its own; its end is the order to quit."""

    def listen() -> None:
        for line in source:
            bench.order(line.strip())
        bench.order("quit")

    threading.Thread(target=listen, name="orders", daemon=True).start()


@contextmanager
def ending_on_signals(bench: Bench) -> Iterator[None]:
    """Within: Ctrl-C and termination end the bench in good order."""

    def heard(_number: int, _frame: FrameType | None) -> None:
        bench.order("quit")

    before = {kind: signal.signal(kind, heard) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def json_line(document: Mapping[str, Any]) -> None:
    """Write one line of JSON to standard output at once."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()
