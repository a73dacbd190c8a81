"""A host that is killed at a chosen place of its session: a warm parent forks it, kills it and tells when.

One order a line comes in, one answer a line goes out, both JSON. The parent has one thread, so that a child
made by ``fork`` begins whole, and it kills only the child that it made.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from neurostim.core.program_file import parse_program
from neurostim.device import DeviceKey
from neurostim.device.native import NativeStimulator
from neurostim.electrode.library import lead
from neurostim.session import Session
from neurostim.session.adapters import DiskFile, DurableFile, open_durable

PROGRAM: Final = """
format = "neurostim-program/1"
name = "a host that is killed a thousand times"
therapy = "scs"
lead = "octrode"
[[area]]
amplitude = "1 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "200 us", recharge = "active-symmetric" }
train = { rate = "100 Hz" }
ramp = { up = "500 ms", down = "500 ms" }
"""
LINGER_S: Final = 3.0
STEPS: Final = ("measure", "check", "approve", "load", "start")


@dataclass(frozen=True)
class Place:
    """A place of a session: held there until it is killed, or going on for up to ``within_us``.

    ``in_dose`` are those between the announcement of a dose and the record of its end.
    """

    name: str
    within_us: int = 0
    in_dose: bool = False

    @property
    def held(self) -> bool:
        """Whether the host goes no further than this."""
        return self.within_us == 0


PLACES: Final = tuple(
    Place(*one)
    for one in (
        ("opening", 30_000),
        ("measuring", 300_000),
        ("measurement announced",),
        ("loading", 15_000),
        ("before the announcement",),
        ("half an announcement",),
        ("announced, not synced",),
        ("announced",),
        ("firing", 12_000, True),
        ("start not recorded", 0, True),
        ("in mid-dose", 700_000, True),
        ("in an amplitude step", 8_000, True),
        ("in a soft stop", 600_000, True),
        ("in a stop", 12_000, True),
        ("reconciling", 60_000),
        ("half a reconciliation",),
    )
)


class Marks:
    """Tells the parent where the host is, and holds it at the place that was ordered."""

    def __init__(self, wanted: Place, pipe: int) -> None:
        self.wanted = wanted
        self._pipe = pipe

    def at(self, name: str) -> None:
        """The host is at a place."""
        if name != self.wanted.name:
            return
        os.write(self._pipe, b"!")
        while self.wanted.held:
            signal.pause()


class WatchedFile:
    """A journal's file that marks what is being written."""

    def __init__(self, file: DurableFile, marks: Marks) -> None:
        self._file = file
        self._marks = marks
        self._unsynced = b""

    def write(self, data: bytes) -> int:
        start = b'"kind":"start_intended"' in data and b'"kind":"stimulation"' in data
        if start:
            self._marks.at("before the announcement")
            self._half(data, "half an announcement")
        if b'"kind":"started"' in data:
            self._marks.at("start not recorded")
        if b'"kind":"reconciled"' in data:
            self._half(data, "half a reconciliation")
        written = self._file.write(data)
        if start:
            self._marks.at("announced, not synced")
        self._unsynced += data
        return written

    def sync(self) -> None:
        self._file.sync()
        synced, self._unsynced = self._unsynced, b""
        if b'"kind":"start_intended"' in synced:
            if b'"kind":"impedance"' in synced:
                self._marks.at("measurement announced")
            else:
                self._marks.at("announced")
                self._marks.at("firing")
        if b'"kind":"amplitude_intended"' in synced:
            self._marks.at("in an amplitude step")
        if b'"kind":"soft_stop_asked"' in synced:
            self._marks.at("in a soft stop")

    def truncate(self, size: int) -> None:
        self._file.truncate(size)

    def close(self) -> None:
        self._file.close()

    def _half(self, data: bytes, name: str) -> None:
        """The place at which only half of a record is in the file."""
        if self._marks.wanted.name == name:
            self._file.write(data[: len(data) // 2])
            self._marks.at(name)


class OneKey:
    """The key of one device, as the campaign was given it."""

    def __init__(self, key: DeviceKey) -> None:
        self._key = key

    def get(self, serial_number: str) -> DeviceKey | None:
        return self._key if serial_number == self._key.serial_number else None


def live(order: dict[str, Any], marks: Marks) -> None:
    """Run a session as any host does, until it is killed; one that is not has missed its place."""
    key = DeviceKey(order["serial"], bytes.fromhex(order["key"]), bytes.fromhex(order["host_id"]))
    chance = random.Random(order["seed"])

    def opened(path: Path, *, new: bool) -> DurableFile:
        file = open_durable(path, new=new)
        assert isinstance(file, DiskFile)
        return WatchedFile(file, marks)

    marks.at("opening")
    stimulator = NativeStimulator(order["url"], keys=OneKey(key))
    stimulator.open()
    program, folder = parse_program(PROGRAM), Path(order["folder"])
    session = Session(stimulator, program, [lead("octrode")], folder, opener=opened)
    session.open()
    for step in STEPS:
        if step in ("measure", "load"):
            marks.at({"measure": "measuring", "load": "loading"}[step])
        getattr(session, step)()
    marks.at("in mid-dose")
    session.run_for(chance.uniform(0.0, 0.3))
    session.step_down(0)
    session.run_for(chance.uniform(0.0, 0.1))
    session.step_up(0)
    if order["place"] == "in mid-dose":
        session.run_for(LINGER_S)
    if order["place"] == "in a stop" or (order["place"] != "in a soft stop" and chance.random() < 0.5):
        marks.at("in a stop")
        session.stop()
    else:
        session.soft_stop()
    marks.at("reconciling")
    session.finish()
    time.sleep(LINGER_S)


def end(order: dict[str, Any]) -> dict[str, Any]:
    """Fork a host, wait until it is where it is wanted, kill it there, and tell when that was."""
    wanted = next(place for place in PLACES if place.name == order["place"])
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        _be(lambda: live(order, Marks(wanted, tell)), Path(order["folder"]))
    os.close(tell)
    try:
        reached = bool(select.select([told], [], [], 20.0)[0]) and os.read(told, 1) == b"!"
        if reached and order["delay_us"]:
            time.sleep(order["delay_us"] / 1_000_000)
        before_ns = time.monotonic_ns()
        os.kill(child, signal.SIGKILL)
        after_ns = time.monotonic_ns()
        _, status = os.waitpid(child, 0)
    finally:
        os.close(told)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {"reached": reached, "killed": killed, "before_ns": before_ns, "after_ns": after_ns}


def _be(life: Callable[[], None], folder: Path) -> NoReturn:
    """What the child is: it never returns into its parent's code, and says what went wrong."""
    code = 1
    try:
        life()
        code = 0
    finally:
        error = sys.exc_info()[1]
        if error is not None:
            (folder / "error").write_text(repr(error), encoding="utf-8")
        os._exit(code)


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(end(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
