"""Round trip and throughput over USB/IP through the whole driver, as ratios to bare pyusb on the same path.

The far end is a process of its own that serves the simulator's USB device model with nothing behind it: it
echoes bytes, or decodes each command and answers it. Bare: pyusb's own ``write`` and ``read`` in one thread.
Goals: an answered command at most 4 times the bare echo, or 250 us more; events read and
decoded at 0.15 times the rate of bare reading. Stops of the simulator are timed from asking to its word, also
while its pipe takes nothing.
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import usb.core
import usb.util

from link_roundtrip import answer, spread
from neurostim.cli.demo_device import SimulatedDevice
from neurostim.device.native import NativeStimulator
from neurostim.transport import open_url, parse_address
from neurostim.transport.usbip_backend import attach
from neurostim.wire import messages as m
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim_sim.servers.clock import SystemClock
from neurostim_sim.servers.usbip import UsbIpBench, UsbIpPort
from neurostim_sim.settings import Settings
from neurostim_sim.usb.attached import UsbAttachedDevice

ROUNDS = 2000
WARM = 200
BURSTS = 60
EVENTS = 400
STOPS = 200
REFUSING_S = 0.8  # of the second in which the device takes no data packet
ALLOWED_TIMES = 4
ALLOWED_MORE_US = 250
ALLOWED_SHARE = 0.15

OUT, IN = 0x03, 0x83
MESSAGE = b"\0" + bytes(range(1, 31)) + b"\0"
BURST = 2  # what asks for a burst of events instead of an echo


class BareDevice(UsbAttachedDevice):
    """The USB side of the simulator with an answering function in place of a stimulator."""

    def __init__(self, reply: Callable[[bytes], bytes]) -> None:
        super().__init__(Settings("bench").core())
        self._reply = reply

    def _live(self, at_ns: int) -> None:
        del at_ns
        heard = self.usb.take_heard()
        if heard:
            self.usb.feed(self._reply(heard))

    def next_ns(self) -> int | None:
        return None


def events(session: int) -> bytes:
    """A burst of telemetry, as a device sends it."""
    area = m.AreaDose(0, 2_000_000, 100, 0, 0)
    return b"".join(
        pack(
            m.Telemetry(number, number, m.DeviceState.DELIVERING, 1, number, 1, 900, 0, 0, (area,)),
            session=session,
            sequence=number + 1,
            command_id=0,
            lease_us=number,
        )
        for number in range(EVENTS)
    )


def echo(heard: bytes) -> bytes:
    return events(1) if heard[1] == BURST else heard


class Peer:
    """Answers commands at once, and a reading of the counters' event log with a burst before the answer."""

    def __init__(self) -> None:
        self._decoder = FrameDecoder()
        self._sequence = EVENTS

    def __call__(self, heard: bytes) -> bytes:
        answers = []
        for frame in self._decoder.feed(heard):
            if not isinstance(frame, Frame):
                continue
            request = unpack(frame)
            clock_us = time.monotonic_ns() // 1000
            reply = answer(request, clock_us)
            if reply is None:
                continue
            if isinstance(request, m.SetAmplitude) and request.area == BURST:
                answers.append(events(frame.session))
            self._sequence += 1
            answers.append(
                pack(
                    reply,
                    session=frame.session,
                    sequence=self._sequence,
                    command_id=frame.command_id,
                    lease_us=clock_us,
                )
            )
        return b"".join(answers)


def serve(kind: str, ready: Connection) -> None:
    bench = UsbIpBench(
        BareDevice(echo if kind == "echo" else Peer()),
        UsbIpPort("127.0.0.1", 0),
        SystemClock(),
        lambda _told: None,
    )
    bench.plug()
    ready.send(bench.url)
    bench.run()


def start(kind: str) -> tuple[str, Any]:
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    process = context.Process(target=serve, args=(kind, far), daemon=True)
    process.start()
    return near.recv(), process


def bare(url: str) -> tuple[list[float], float]:
    """Round trips of 32 bytes [us], and bytes a second of reading bursts, with nothing but pyusb."""
    address = parse_address(url)
    device = usb.core.find(backend=attach(address.host, address.port, address.path))
    device.set_configuration()
    size = len(events(1))
    took = []
    for _ in range(ROUNDS + WARM):
        begin = time.perf_counter_ns()
        device.write(OUT, MESSAGE, 1000)
        left = len(MESSAGE)
        while left:
            left -= len(device.read(IN, 4096, 1000))
        took.append((time.perf_counter_ns() - begin) / 1000)
    begin = time.perf_counter_ns()
    for _ in range(BURSTS):
        device.write(OUT, bytes((0, BURST, 0)), 1000)
        left = size
        while left > 0:
            left -= len(device.read(IN, 4096, 1000))
    seconds = (time.perf_counter_ns() - begin) / 1e9
    usb.util.dispose_resources(device)
    return took[WARM:], BURSTS * size / seconds


def transport(url: str) -> list[float]:
    """Round trips of 32 bytes through the link alone, without protocol [us]."""
    link = open_url(url)
    took = []
    for _ in range(ROUNDS + WARM):
        begin = time.perf_counter_ns()
        link.write(MESSAGE)
        left = len(MESSAGE)
        while left:
            left -= len(link.read(1.0))
        took.append((time.perf_counter_ns() - begin) / 1000)
    link.close()
    return took[WARM:]


def driver(url: str) -> tuple[list[float], float]:
    """Round trips of an amplitude step [us], and bytes a second of events that the driver has decoded."""
    took, size = [], len(events(1))
    with NativeStimulator(url) as stimulator:
        stimulator.open()
        for _ in range(ROUNDS + WARM):
            begin = time.perf_counter_ns()
            stimulator.set_amplitude(1, 0, 1000, 2000).result()
            took.append((time.perf_counter_ns() - begin) / 1000)
        begin = time.perf_counter_ns()
        for _ in range(BURSTS):
            stimulator.set_amplitude(1, BURST, 1000, 2000).result()
        seconds = (time.perf_counter_ns() - begin) / 1e9
    return took[WARM:], BURSTS * size / seconds


def stops() -> tuple[list[float], list[float]]:
    """From asking the simulated stimulator for a stop to its word [us]; the same with its pipe refusing."""
    blocked = []
    with TemporaryDirectory() as folder:
        options = ["--usbip", "127.0.0.1:0", "--profile", "bench"]
        with (
            SimulatedDevice(options, Path(folder) / "log") as device,
            NativeStimulator(device.url) as stimulator,
        ):
            stimulator.open()
            took = [stopped(stimulator) for _ in range(STOPS)]
            device.order("fault usb-refuse")
            until = time.monotonic() + REFUSING_S
            while time.monotonic() < until:
                blocked.append(stopped(stimulator))
    return took, blocked


def stopped(stimulator: NativeStimulator) -> float:
    begin = time.perf_counter_ns()
    stimulator.stop().result()
    return (time.perf_counter_ns() - begin) / 1000


def main() -> int:
    processes = []
    echo_url, process = start("echo")
    processes.append(process)
    peer_url, process = start("peer")
    processes.append(process)
    try:
        raw, raw_rate = bare(echo_url)
        linked = transport(echo_url)
        commands, rate = driver(peer_url)
    finally:
        for process in processes:
            process.terminate()
            process.join()
    took, blocked = stops()
    floor, figure = statistics.median(raw), statistics.median(commands)
    allowed = max(ALLOWED_TIMES * floor, floor + ALLOWED_MORE_US)
    share = rate / raw_rate
    print(f"bare pyusb, echo of 32 bytes       {spread(raw)}")
    print(f"the link alone, echo of 32 bytes   {spread(linked)}")
    print(f"amplitude step and its answer      {spread(commands)}")
    print(f"a stop until it is confirmed       {spread(took)}, worst {max(took):.0f} us")
    print(f"the same, the pipe taking nothing  {spread(blocked)}, worst {max(blocked):.0f} us")
    print(f"ratio {figure / floor:.2f}, {figure - floor:+.1f} us; allowed {allowed:.1f} us: ", end="")
    print("reached" if figure <= allowed else "NOT reached")
    print(f"bare pyusb reads {raw_rate / 1e6:.2f} MB/s; the driver reads and decodes {rate / 1e6:.2f} MB/s")
    print(f"ratio {share:.2f}; at least {ALLOWED_SHARE}: ", end="")
    print("reached" if share >= ALLOWED_SHARE else "NOT reached")
    return 0 if figure <= allowed and share >= ALLOWED_SHARE else 1


if __name__ == "__main__":
    raise SystemExit(main())
