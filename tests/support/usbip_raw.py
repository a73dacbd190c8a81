"""USB/IP on a plain socket, written from the protocol's description alone; and a bench that serves it."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from neurostim_sim.servers.clock import SystemClock
from neurostim_sim.servers.usbip import UsbIpBench, UsbIpPort
from neurostim_sim.settings import Settings
from neurostim_sim.usb.attached import switch_on
from neurostim_sim.warm import warm_up

IN, OUT = 1, 0
SUBMIT, UNLINK, RET_SUBMIT, RET_UNLINK = 1, 2, 3, 4


class Served:
    """A served device; `order` gives the bench an order and waits for its answer."""

    def __init__(self, bench: UsbIpBench, answers: list[Any], answered: threading.Event) -> None:
        self.bench = bench
        self.url = bench.url
        self.port = int(bench.url.split(":")[2].partition("/")[0])
        self._answers = answers
        self._answered = answered

    def order(self, text: str) -> Any:
        self._answered.clear()
        self.bench.order(text)
        assert self._answered.wait(10)
        return self._answers[-1]


@contextmanager
def served(*faults: str, **settings: Any) -> Iterator[Served]:
    """A simulated device over USB/IP on a free port, in a thread."""
    answers: list[Any] = []
    answered = threading.Event()

    def tell(answer: Any) -> None:
        answers.append(answer)
        answered.set()

    warm_up()
    device = switch_on(Settings("scs", faults=faults, **settings))
    bench = UsbIpBench(device, UsbIpPort("127.0.0.1", 0), SystemClock(), tell)
    bench.plug()
    thread = threading.Thread(target=bench.run, name="usbip bench")
    thread.start()
    try:
        yield Served(bench, answers, answered)
    finally:
        bench.order("quit")
        thread.join(10)
        assert not thread.is_alive()


class Raw:
    """One connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._numbers = itertools.count(1)
        self.returned: dict[int, tuple[int, int, bytes]] = {}
        self.unlinked: dict[int, int] = {}
        self.directions: dict[int, int] = {}
        self.order: list[tuple[str, int]] = []

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionError(f"closed after {len(data)} of {count} bytes")
            data += piece
        return data

    def is_closed(self) -> bool:
        """Whether the other side has closed, after whatever it still had to say."""
        try:
            while self.socket.recv(4096):
                continue
        except ConnectionError:
            return True
        return True

    def devices(self) -> list[tuple[bytes, list[bytes]]]:
        self.socket.sendall(struct.pack(">HHI", 0x0111, 0x8005, 0))
        assert struct.unpack(">HHI", self.exactly(8)) == (0x0111, 0x0005, 0)
        [count] = struct.unpack(">I", self.exactly(4))
        found = []
        for _ in range(count):
            device = self.exactly(312)
            found.append((device, [self.exactly(4) for _ in range(device[-1])]))
        return found

    def attach(self, bus_id: str = "1-1") -> tuple[int, bytes]:
        """Import the device; the status, and the device where that is 0."""
        self.socket.sendall(struct.pack(">HHI32s", 0x0111, 0x8003, 0, bus_id.encode()))
        version, code, status = struct.unpack(">HHI", self.exactly(8))
        assert (version, code) == (0x0111, 0x0003)
        return status, b"" if status else self.exactly(312)

    def submit(
        self,
        endpoint: int,
        direction: int,
        length: int,
        data: bytes = b"",
        setup: bytes = bytes(8),
        flags: int = 0,
    ) -> int:
        number = next(self._numbers)
        self.directions[number] = direction
        head = struct.pack(">IIIII", SUBMIT, number, 0x00010002, direction, endpoint)
        self.socket.sendall(head + struct.pack(">Iiiii8s", flags, length, 0, 0, 0, setup) + data)
        return number

    def unlink(self, number: int) -> int:
        own = next(self._numbers)
        self.socket.sendall(struct.pack(">IIIIII24x", UNLINK, own, 0x00010002, 0, 0, number))
        return own

    def hear(self) -> None:
        """Take one answer."""
        code, number, device, direction, endpoint = struct.unpack(">IIIII", self.exactly(20))
        status, actual, start, packets, errors = struct.unpack(">iiiii8x", self.exactly(28))
        assert (device, direction, endpoint, start, packets, errors) == (0, 0, 0, 0, 0, 0)
        if code == RET_UNLINK:
            self.unlinked[number] = status
            self.order.append(("unlinked", number))
            return
        assert code == RET_SUBMIT
        assert number not in self.returned, "a transfer was answered twice"
        data = self.exactly(actual) if self.directions[number] == IN else b""
        self.returned[number] = (status, actual, data)
        self.order.append(("returned", number))

    def result(self, number: int) -> tuple[int, int, bytes]:
        while number not in self.returned:
            self.hear()
        return self.returned[number]

    def unlink_status(self, number: int) -> int:
        own = self.unlink(number)
        while own not in self.unlinked:
            self.hear()
        return self.unlinked[own]

    def control(
        self, kind: int, request: int, value: int, index: int, data: bytes | int
    ) -> tuple[int, int, bytes]:
        length = data if isinstance(data, int) else len(data)
        setup = struct.pack("<BBHHH", kind, request, value, index, length)
        sent = b"" if isinstance(data, int) else data
        return self.result(self.submit(0, kind >> 7, length, sent, setup))

    def read(self, endpoint: int, length: int = 512) -> tuple[int, int, bytes]:
        return self.result(self.submit(endpoint, IN, length))

    def write(self, endpoint: int, data: bytes) -> tuple[int, int, bytes]:
        return self.result(self.submit(endpoint, OUT, len(data), data))

    def start(self) -> None:
        """Import and configure."""
        assert self.attach()[0] == 0
        assert self.control(0x00, 9, 1, 0, b"")[0] == 0
