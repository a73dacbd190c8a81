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
from neurostim_sim.home.controls import Button, Signal, Unheeded
from neurostim_sim.servers.attached import AttachedDevice
from neurostim_sim.servers.clock import Clock
from neurostim_sim.servers.ports import Endpoint, PtyPort, TcpPort

MOST_HOSTS: Final = 32
LONGEST_WAIT_NS: Final = 200_000_000
CLOSING_NS: Final = 1_000_000_000

ORDERS: Final = {
    "unplug": "pull the cable: hosts are cut off",
    "plug": "put the cable back",
    "fault NAME": "inject a fault now",
    "press BUTTON": "press start, up, down, switch or stop of the patient's control",
    "hold BUTTON": "press a button and keep it down",
    "let-go": "let go of the button that is held",
    "off-button": "press the off button",
    "battery": "put a fresh battery in",
    "look": "tell what the patient's control shows",
    "quit": "finish the records and end",
}


class Hosts:
    """Those connected, each with a line of its own to the device."""

    def __init__(self, device: AttachedDevice) -> None:
        self._device = device
        self._lines: dict[Endpoint, int] = {}
        self._last = 0

    def add(self, endpoint: Endpoint) -> None:
        """Take a host in."""
        self._last += 1
        self._lines[endpoint] = self._last
        self._device.join(self._last)

    def remove(self, endpoint: Endpoint) -> None:
        """Let a host go, with a frame that it had not finished and what was on its way."""
        line = self._lines.pop(endpoint, None)
        if line is not None:
            self._device.leave(line)
        endpoint.close()

    def hear(self, endpoint: Endpoint, data: bytes, now_ns: int) -> None:
        """Pass on what a host has said."""
        self._device.hear(data, now_ns, self._lines[endpoint])
        self._lines[endpoint] = self._lines.pop(endpoint)

    def send(self, now_ns: int) -> None:
        """Send to each host what is for it."""
        for endpoint, line in list(self._lines.items()):
            try:
                endpoint.write(self._device.take(now_ns, line))
            except OSError:
                continue  # its next read tells that it has gone

    def clear(self) -> None:
        """Cut everyone off."""
        for endpoint in list(self._lines):
            self.remove(endpoint)

    def __iter__(self) -> Iterator[Endpoint]:
        """All of them, who was heard last at the end."""
        return iter(list(self._lines))

    def __len__(self) -> int:
        return len(self._lines)


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
        self._hosts = Hosts(device)
        self._selector = selectors.DefaultSelector()
        self._orders: list[str] = []
        self._controlled = False
        self._shown: list[str] = []
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

    def obey(self) -> None:
        """From here on orders are expected: what the patient's control shows is told when it changes."""
        self._controlled = True

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
        if self._controlled and self._device.core.autonomous:
            self._tell_shown()

    def _send(self, now_ns: int) -> None:
        self._hosts.send(now_ns)
        for endpoint in self._hosts:
            room = selectors.EVENT_WRITE if endpoint.unsent else 0
            self._selector.modify(endpoint, selectors.EVENT_READ | room)

    def _ready(self, source: Any) -> None:
        if source is self._awake:
            with contextlib.suppress(BlockingIOError):
                self._awake.recv(4096)
        elif isinstance(source, TcpPort):
            client = source.accept()
            if client is not None:
                if len(self._hosts) >= MOST_HOSTS:
                    # A host that lives is heard all the time; who was not for longest makes room.
                    self._hang_up_on(next(iter(self._hosts)))
                self._hosts.add(client)
                self._selector.register(client, selectors.EVENT_READ)
        elif self._plugged:
            self._hear(source)

    def _hear(self, endpoint: Endpoint) -> None:
        if endpoint not in self._hosts:
            return  # it made room for another meanwhile
        data = endpoint.read()
        if data is None:
            self._hang_up_on(endpoint)
            return
        if data:
            now_ns = self._now_ns()
            self._hosts.hear(endpoint, data, now_ns)
            self._device.advance(now_ns)
            self._send(now_ns)

    def _hang_up_on(self, endpoint: Endpoint) -> None:
        self._selector.unregister(endpoint)
        self._hosts.remove(endpoint)

    def _tell_shown(self) -> None:
        shown = shows(self._device.core.signals)
        if shown != self._shown:
            self._shown = shown
            self._tell({"shows": shown, "at_ns": self._now_ns()})

    def _obey(self, words: list[str]) -> None:
        answer: dict[str, Any] = {}
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
                case ["press" | "hold" | "let-go" | "off-button" | "battery" | "look", *rest]:
                    answer = self._touch(words[0], rest)
                case ["quit"]:
                    self._ending = True
                case _:
                    raise ConfigError(
                        f"found the order {' '.join(words)!r}", allowed=", ".join(ORDERS), code="order"
                    )
        except NeurostimError as error:
            self._tell({"order": " ".join(words), "ok": False, "error": str(error)})
        else:
            self._tell({"order": " ".join(words), "ok": True, "at_ns": self._now_ns(), **answer})

    def _touch(self, act: str, rest: list[str]) -> dict[str, Any]:
        """Do something to the device by hand, at the present moment; what the patient sees of it."""
        core = self._device.core
        buttons = {button.value: button for button in Button}
        button = buttons.get(rest[0]) if act in ("press", "hold") and len(rest) == 1 else None
        if (button is None) is (act in ("press", "hold")) or (button is None and rest):
            raise ConfigError(
                f"found the order {' '.join([act, *rest])!r}", allowed=", ".join(buttons), code="order"
            )
        self._device.advance(self._now_ns())
        unheeded: Unheeded | None = None
        if button is not None:
            unheeded = (core.press if act == "press" else core.hold)(button)
        elif act == "let-go":
            core.let_go()
        elif act == "off-button":
            core.off_button()
        elif act == "battery":
            core.change_battery()
        self._shown = shows(core.signals)
        answer: dict[str, Any] = {"shows": self._shown}
        return answer if unheeded is None else {**answer, "ok": False, "error": unheeded.value}

    def _now_ns(self) -> int:
        return self._clock.monotonic_ns() - self._origin_ns


def shows(signals: frozenset[Signal]) -> list[str]:
    """What a patient's control shows, in words and in one order."""
    return [one.value for one in Signal if one in signals]


def take_orders(bench: Bench, source: TextIO) -> None:
    """Pass lines of ``source`` on as orders, from a thread of its own; its end is the order to quit."""
    bench.obey()

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


def in_words(document: Mapping[str, Any]) -> str:
    """An answer to an order, or a change of what the patient's control shows, as a line for people."""
    shown = ", ".join(document.get("shows", ())) or "nothing"
    if "order" not in document:
        return f"the patient's control shows: {shown}"
    answer = "done" if document["ok"] else document["error"]
    return f"{document['order']}: {answer}" + (f" (shows: {shown})" if "shows" in document else "")


def json_line(document: Mapping[str, Any]) -> None:
    """Write one line of JSON to standard output at once."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()
