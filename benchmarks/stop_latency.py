"""From ``stop()`` on the caller's thread to the frame on the line and to the device's word, on every path.

The device is the simulator as a process of its own, paired, on a pty, TCP and USB/IP; sessions are
authenticated. Stops are asked for while nothing happens, while a program is being loaded with readings beside
it, in mid-dose with heartbeats and telemetry, idle and in mid-dose with a thread of this process that holds
the interpreter in bursts of 20 ms; and with the device's process suspended and 256 bytes waiting, when
only the time to the line and the escalation mean anything. "On the line" is the return of the write
to the descriptor; over USB of the control request, which the device has then taken, or where it takes none
of the next write.
Compared with an echo of 32 bytes by a bare process on the same kind of path in the same run.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from link_roundtrip import MESSAGE, measure_echo
from link_roundtrip import start as start_echo
from neurostim.cli.demo_device import SimulatedDevice
from neurostim.cli.demo_keys import pair
from neurostim.core.errors import NeurostimError
from neurostim.core.program_file import parse_program
from neurostim.device.native import NativeStimulator
from neurostim.device.notices import Notice, NoticeKind
from neurostim.electrode.library import lead
from neurostim.session import Session
from neurostim.transport import Transport, open_url
from neurostim.wire.messages import DeviceState, FaultCode
from usb_roundtrip import bare as bare_usb
from usb_roundtrip import start as start_usb

IDLE, LOADS, DOSES, FROZEN = 150, 40, 12, 3
ECHOES = 1500
BURST_S, PAUSE_S = 0.020, 0.005
ESCALATED_MS, TOLD_MS = 250, 600
LATE_MS = 50
SEED = 5
PROGRAM = """
format = "neurostim-program/1"
name = "stopped again and again"
therapy = "scs"
lead = "octrode"
[[area]]
amplitude = "1 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "200 us", recharge = "active-symmetric" }
train = { rate = "50 Hz" }
ramp = { up = "500 ms", down = "500 ms" }
"""


class Watched:
    """A link that notes when what was flushed for a stop has been taken, and passes everything on."""

    def __init__(self, link: Transport) -> None:
        self._link = link
        self._flushed = False
        self.taken_ns: int | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._link, name)

    def drop_pending_output(self) -> None:
        self._link.drop_pending_output()
        self._flushed = True

    def urgent(self, frame: bytes) -> bool:
        taken = self._link.urgent(frame)
        if taken:
            self._note()
        return taken

    def write(self, data: bytes) -> None:
        self._link.write(data)
        if self._flushed:
            self._flushed = False
            self._note()

    def _note(self) -> None:
        if self.taken_ns is None:
            self.taken_ns = time.perf_counter_ns()


@dataclass
class Times:
    """Times of one kind of stop [us]: to the line, and to the device's word."""

    line: list[float] = field(default_factory=list)
    word: list[float] = field(default_factory=list)

    def show(self, name: str, echo_us: float) -> None:
        for what, values in (("on the line", self.line), ("confirmed", self.word)):
            if values:
                middle = statistics.median(values)
                worst = max(values)
                print(
                    f"  {name:32} {what:12} median {middle / 1000:6.2f} ms, worst {worst / 1000:6.2f} ms, "
                    f"{len(values):3} times, {middle / echo_us:6.1f} echoes"
                )


class Bench:
    """One path to one device: a session, and stops on it."""

    def __init__(self, device: SimulatedDevice, folder: Path) -> None:
        self.device = device
        self.links: list[Watched] = []
        keys, _ = pair(device.url, device.label_code)

        def opened(url: str) -> Transport:
            self.links.append(Watched(open_url(url)))
            return self.links[-1]

        self.stimulator = NativeStimulator(device.url, keys=keys, opener=opened)
        self.stimulator.open()
        assert self.stimulator.authenticated
        self.session = Session(self.stimulator, parse_program(PROGRAM), [lead("octrode")], folder)
        self.session.open()
        for step in ("measure", "check", "approve", "load"):
            getattr(self.session, step)()
        self._chance = random.Random(SEED)

    def close(self) -> None:
        self.session.close()
        self.stimulator.close()

    def stop(self, times: Times) -> None:
        """Stop, and note how long it took."""
        link = self.links[-1]
        link.taken_ns = None
        begin = time.perf_counter_ns()
        self.stimulator.stop().result()
        times.word.append((time.perf_counter_ns() - begin) / 1000)
        assert link.taken_ns is not None
        times.line.append((link.taken_ns - begin) / 1000)

    def clear(self) -> None:
        """Release what the stop has latched."""
        status = self.stimulator.status().result()
        if status.state is DeviceState.STOPPED:
            self.stimulator.clear(status.stop_cause, FaultCode.NONE).result()

    def idle(self, count: int) -> Times:
        times = Times()
        for _ in range(count):
            self.stop(times)
        self.clear()
        return times

    def loading(self, count: int) -> tuple[Times, int]:
        """Stops while a program is loaded again and again with readings beside; how many cut a load off."""
        approved = self.session.approved
        assert approved is not None
        times, cut = Times(), 0
        for _ in range(count):
            loads = [self.stimulator.load(approved, 1) for _ in range(3)]
            readings = [self.stimulator.status() for _ in range(12)]
            time.sleep(self._chance.uniform(0.0, 0.003))
            self.stop(times)
            cut += any(load.error(5.0) is not None for load in loads)
            for reading in readings:
                reading.error(5.0)
        self.clear()
        return times, cut

    def delivering(self, count: int) -> Times:
        times = Times()
        for _ in range(count):
            self.session.start()
            self.session.run_for(self._chance.uniform(0.05, 0.25))
            self.stop(times)
            found = self.session.finish()
            assert found.agrees, found.disagreements
            self.session.clear(self.session.stop_cause)
        return times

    def frozen(self, count: int) -> tuple[Times, list[float], list[float]]:
        """Stops of a suspended device: to the line, and until the escalation and the alarm [ms]."""
        times, escalated, told = Times(), [], []
        for _ in range(count):
            self.stimulator.take_critical()
            link = self.links[-1]
            with suspended(self.device.pid):
                readings = [self.stimulator.status() for _ in range(40)]
                time.sleep(0.02)
                link.taken_ns = None
                begin, begin_ns = time.perf_counter_ns(), time.monotonic_ns()
                error = self.stimulator.stop().error(3.0)
                assert isinstance(error, NeurostimError)
                assert error.code == "stop-not-confirmed"
                assert link.taken_ns is not None
                times.line.append((link.taken_ns - begin) / 1000)
                noticed = self._notices(begin_ns)
                escalated.append(noticed[NoticeKind.STOP_ESCALATED])
                told.append(noticed[NoticeKind.STOP_NOT_CONFIRMED])
            self.stimulator.stop().result(5.0)
            for reading in readings:
                reading.error(5.0)
        self.clear()
        return times, escalated, told

    def _notices(self, begin_ns: int) -> dict[NoticeKind, float]:
        """When the link told what, up to the alarm [ms]."""
        noticed: dict[NoticeKind, float] = {}
        while NoticeKind.STOP_NOT_CONFIRMED not in noticed:
            assert self.stimulator.wait(1.0)
            for one in self.stimulator.take_critical():
                if isinstance(one, Notice):
                    noticed[one.kind] = (one.at_ns - begin_ns) / 1e6
        return noticed


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def busy() -> Iterator[None]:
    """Within: a thread of this process holds the interpreter in bursts."""
    ending = threading.Event()

    def burn() -> None:
        while not ending.is_set():
            end = time.perf_counter() + BURST_S
            number = 1
            while time.perf_counter() < end:
                for _ in range(200):
                    number = number * 7 % 1_000_003
            time.sleep(PAUSE_S)

    thread = threading.Thread(target=burn, name="busy")
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def echo_tcp(ready: Connection) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ready.send(server.getsockname()[1])
        line, _ = server.accept()
        with line:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while data := line.recv(4096):
                line.sendall(data)


def bare_tcp() -> list[float]:
    near, far = multiprocessing.Pipe()
    process = multiprocessing.Process(target=echo_tcp, args=(far,), daemon=True)
    process.start()
    took = []
    with socket.create_connection(("127.0.0.1", near.recv())) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(ECHOES):
            begin = time.perf_counter_ns()
            line.sendall(MESSAGE)
            left = len(MESSAGE)
            while left:
                left -= len(line.recv(4096))
            took.append((time.perf_counter_ns() - begin) / 1000)
    process.join()
    return took


def bare_of(start: Callable[[str], tuple[str, Any]], measure: Callable[[str], Any]) -> Any:
    address, process = start("echo")
    try:
        return measure(address)
    finally:
        process.terminate()
        process.join()


def bare(name: str) -> list[float]:
    """Round trips of a bare echo on a path [us]."""
    if name == "pty":
        return list(bare_of(start_echo, measure_echo))
    if name == "TCP":
        return bare_tcp()
    return list(bare_of(start_usb, bare_usb)[0])


def run(name: str, option: list[str], folder: Path) -> bool:
    echo_us = statistics.median(bare(name))
    print(f"{name}: a bare echo of 32 bytes takes {echo_us:.0f} us (median)")
    options = [*option, "--profile", "scs", "--lead", "octrode"]
    with SimulatedDevice(options, folder / "log") as device:
        bench = Bench(device, folder / "journal")
        try:
            bench.idle(IDLE).show("nothing else happens", echo_us)
            times, cut = bench.loading(LOADS)
            times.show(f"a load under way ({cut} cut off)", echo_us)
            bench.delivering(DOSES).show("in mid-dose", echo_us)
            with busy():
                bench.idle(IDLE // 3).show("nothing else, a busy thread", echo_us)
                bench.delivering(DOSES).show("in mid-dose, a busy thread", echo_us)
            times, escalated, told = bench.frozen(FROZEN)
            times.show("the device suspended, 256 B wait", echo_us)
        finally:
            with suppress(NeurostimError):
                bench.close()
    print(
        f"  then: emergency stop after {max(escalated):.0f} ms, person told after {max(told):.0f} ms (worst)"
    )
    late = max(max(escalated) - ESCALATED_MS, max(told) - TOLD_MS)
    early = min(min(escalated) - ESCALATED_MS, min(told) - TOLD_MS)
    return late < LATE_MS and early > -1


def main() -> int:
    begun = time.monotonic()
    print(f"busy thread: {BURST_S * 1000:.0f} ms of arithmetic, {PAUSE_S * 1000:.0f} ms of sleep, by turns")
    with TemporaryDirectory() as top:
        kept = []
        for name in ("pty", "TCP", "USB/IP"):
            folder = Path(top) / name.replace("/", "")
            folder.mkdir()
            option = {
                "pty": ["--pty", str(folder / "stimulator")],
                "TCP": ["--tcp", "127.0.0.1:0"],
                "USB/IP": ["--usbip", "127.0.0.1:0"],
            }[name]
            kept.append(run(name, option, folder))
    print(f"in all {time.monotonic() - begun:.0f} s; escalation at {ESCALATED_MS} and {TOLD_MS} ms: ", end="")
    print("kept" if all(kept) else "NOT kept")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    raise SystemExit(main())
