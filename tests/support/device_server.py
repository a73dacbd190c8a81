"""Serves a scripted device over a real pty or TCP connection, in real time, from a thread of its own."""

from __future__ import annotations

import os
import pty
import select
import socket
import threading
import time
import tty
from collections.abc import Callable
from typing import TypeVar

from support.scripted_device import ScriptedDevice

T = TypeVar("T")


class DeviceServer:
    """Use as a context manager; `url` is where the device is. `ask` runs something on its thread."""

    def __init__(self, device: ScriptedDevice, *, tcp: bool = False) -> None:
        self.device = device
        self._tcp = tcp
        self._wake_read, self._wake_write = os.pipe()
        self._requests: list[Callable[[], None]] = []
        self._closing = False
        self._end: int | None = None
        self._slave: int | None = None
        self._listener: socket.socket | None = None
        self._link: socket.socket | None = None
        self.url = ""

    def __enter__(self) -> DeviceServer:
        if self._tcp:
            self._listener = socket.create_server(("127.0.0.1", 0))
            host, port = self._listener.getsockname()
            self.url = f"socket://{host}:{port}"
        else:
            self._plug()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        os.write(self._wake_write, b"x")
        self._thread.join()
        self._unplug()
        if self._listener is not None:
            self._listener.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def ask(self, what: Callable[[], T]) -> T:
        """Run `what` on the device's thread and return its result."""
        found: list[T] = []
        done = threading.Event()

        def act() -> None:
            found.append(what())
            done.set()

        self._requests.append(act)
        os.write(self._wake_write, b"x")
        assert done.wait(10)
        return found[0]

    def until(self, condition: Callable[[ScriptedDevice], bool], seconds: float = 10) -> None:
        """Wait until the device is as wanted."""
        end = time.monotonic() + seconds
        while not self.ask(lambda: condition(self.device)):
            assert time.monotonic() < end, "the device never came to be as wanted"

    def unplug(self) -> None:
        self.ask(self._unplug)

    def plug(self) -> str:
        """Plug in again; a pty gets another name."""
        self.ask(self._plug)
        return self.url

    def _plug(self) -> None:
        if self._tcp:
            return
        self._end, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._end, False)
        self.url = os.ttyname(self._slave)

    def _unplug(self) -> None:
        if self._tcp:
            if self._link is not None:
                self._link.close()
            self._link = None
            self._end = None
            return
        for descriptor in (self._end, self._slave):
            if descriptor is not None:
                os.close(descriptor)
        self._end = self._slave = None

    def _serve(self) -> None:
        while not self._closing:
            while self._requests:
                self._requests.pop(0)()
            watched: list[object] = [self._wake_read]
            if self._end is not None:
                watched.append(self._end)
            elif self._listener is not None:
                watched.append(self._listener)
            due = self.device.next_event_ns()
            timeout = 0.05 if due is None else min(max(due - time.monotonic_ns(), 0) / 1e9, 0.05)
            ready, _, _ = select.select(watched, [], [], timeout)
            if self._wake_read in ready:
                os.read(self._wake_read, 100)
            if self._listener is not None and self._listener in ready:
                self._link, _ = self._listener.accept()
                self._link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._end = self._link.fileno()
            now = time.monotonic_ns()
            if self._end is not None and self._end in ready:
                data = self._read()
                self.device.receive(data, now)
            self.device.advance(now)
            answer = self.device.take_output()
            if answer and self._end is not None:
                self._write(answer)

    def _read(self) -> bytes:
        assert self._end is not None
        try:
            data = os.read(self._end, 4096)
        except OSError:
            return b""
        if not data and self._tcp:
            self._unplug()
        return data

    def _write(self, data: bytes) -> None:
        assert self._end is not None
        try:
            os.write(self._end, data)
        except OSError:
            return
