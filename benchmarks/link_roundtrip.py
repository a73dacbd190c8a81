"""Round trip of a command over a pty, against a bare descriptor echo of the same line in the same run.

The far end is a process of its own in both cases: an echo of bytes, and a peer that decodes each command
and answers it. Measured for the command, an amplitude step: from the caller's thread through the link's
thread, encoding, line, peer, line, decoding and back to the caller. Goal: median at most 3 times the echo,
or 80 us more, whichever is larger.
"""

from __future__ import annotations

import multiprocessing
import os
import pty
import statistics
import time
import tty
from multiprocessing.connection import Connection

from neurostim.device.native import NativeStimulator
from neurostim.wire import messages as m
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder

ROUNDS = 3000
WARM = 300
ALLOWED_TIMES = 3
ALLOWED_MORE_US = 80

MESSAGE = bytes(range(1, 33))


def echo(line: int) -> None:
    while data := os.read(line, 4096):
        os.write(line, data)


def answer(request: object, clock_us: int) -> m.Reply | None:
    match request:
        case m.Hello(nonce=nonce, host_id=host_id):
            granted = (m.Role.CONTROL, m.ErrorCode.NONE, host_id, clock_us, 0, 1, 0, m.DeviceState.DELIVERING)
            return m.HelloReply(1, nonce, *granted)
        case m.Identify():
            return m.IdentifyReply("peer", "0", "0", "bench", 1, 1)
        case m.Capabilities():
            return m.CapabilitiesReply(
                1000, 1000, 20000, 400000, 1, 1, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 0, 1500
            )
        case m.Ports():
            return m.PortsReply((m.PortInfo(m.PortKind.BENCH, 1, 8, False),))
        case m.SetAmplitude(dose_number=dose, area=area, to_na=to_na):
            return m.SetAmplitudeReply(dose, area, to_na, clock_us)
        case m.ClockSync(host_ns=host_ns):
            return m.ClockSyncReply(host_ns, clock_us, clock_us, 1000)
        case m.Goodbye():
            return m.GoodbyeReply(1)
    return None


def peer(line: int) -> None:
    decoder = FrameDecoder()
    sequence = 0
    while data := os.read(line, 4096):
        for frame in decoder.feed(data):
            if not isinstance(frame, Frame):
                continue
            clock_us = time.monotonic_ns() // 1000
            reply = answer(unpack(frame), clock_us)
            if reply is not None:
                sequence += 1
                os.write(
                    line,
                    pack(
                        reply,
                        session=frame.session,
                        sequence=sequence,
                        command_id=frame.command_id,
                        lease_us=clock_us,
                    ),
                )


def serve(kind: str, ready: Connection) -> None:
    """Hold one end of a pty in this process and tell the name of the other."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    ready.send(os.ttyname(slave))
    (echo if kind == "echo" else peer)(master)


def start(kind: str) -> tuple[str, multiprocessing.Process]:
    near, far = multiprocessing.Pipe()
    process = multiprocessing.Process(target=serve, args=(kind, far), daemon=True)
    process.start()
    return near.recv(), process


def measure_echo(path: str) -> list[float]:
    line = os.open(path, os.O_RDWR | os.O_NOCTTY)
    took = []
    for _ in range(ROUNDS + WARM):
        begin = time.perf_counter_ns()
        os.write(line, MESSAGE)
        left = len(MESSAGE)
        while left:
            left -= len(os.read(line, 4096))
        took.append((time.perf_counter_ns() - begin) / 1000)
    os.close(line)
    return took[WARM:]


def measure_commands(path: str) -> tuple[list[float], list[float]]:
    """Round trips of an amplitude step, and the times from asking for a stop to the caller going on."""
    took, pressed = [], []
    with NativeStimulator(path) as stimulator:
        stimulator.open()
        for _ in range(ROUNDS + WARM):
            begin = time.perf_counter_ns()
            stimulator.set_amplitude(1, 0, 1000, 2000).result()
            took.append((time.perf_counter_ns() - begin) / 1000)
        for _ in range(WARM):
            begin = time.perf_counter_ns()
            stimulator.stop()
            pressed.append((time.perf_counter_ns() - begin) / 1000)
    return took[WARM:], pressed


def spread(values: list[float]) -> str:
    ordered = sorted(values)
    return f"median {statistics.median(ordered):6.1f} us, 99 % {ordered[len(ordered) * 99 // 100]:7.1f} us"


def main() -> int:
    processes = []
    echo_path, process = start("echo")
    processes.append(process)
    peer_path, process = start("peer")
    processes.append(process)
    try:
        raw = measure_echo(echo_path)
        commands, pressed = measure_commands(peer_path)
    finally:
        for process in processes:
            process.terminate()
            process.join()
    floor, figure = statistics.median(raw), statistics.median(commands)
    allowed = max(ALLOWED_TIMES * floor, floor + ALLOWED_MORE_US)
    print(f"echo of 32 bytes over a pty     {spread(raw)}")
    print(f"amplitude step and its answer   {spread(commands)}")
    print(f"calling stop() until it returns {spread(pressed)}")
    print(f"ratio {figure / floor:.2f}, {figure - floor:+.1f} us; allowed {allowed:.1f} us: ", end="")
    print("reached" if figure <= allowed else "NOT reached")
    return 0 if figure <= allowed else 1


if __name__ == "__main__":
    raise SystemExit(main())
