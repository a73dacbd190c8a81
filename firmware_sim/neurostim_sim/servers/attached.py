"""A device core with its cable: what is sent arrives, in device time, through lines that can be faulty."""

from __future__ import annotations

from typing import Protocol

from neurostim_sim.servers.line import LINE_FAULTS, Line


class Core(Protocol):
    """What a server needs of a device core; times in virtual ns since the supply was switched on."""

    @property
    def label_code(self) -> str:
        """Code on the device's label."""

    def receive(self, data: bytes) -> None:
        """Take bytes off the line at the present moment."""

    def advance(self, to_ns: int) -> None:
        """Let time pass."""

    def take_output(self) -> bytes:
        """Bytes to put on the line."""

    def next_event_ns(self) -> int | None:
        """When the device next does something on its own."""

    def inject(self, name: str, at_ns: int) -> None:
        """Schedule a fault by name."""

    def close(self) -> None:
        """Finish what is being recorded."""


class AttachedDevice:
    """A core behind a cable.

    Parameters
    ----------
    core : Core
    seed : int
        Decides what faults of the line do to which frame.
    """

    def __init__(self, core: Core, seed: int = 0) -> None:
        self.core = core
        self._to_device = Line(2 * seed)
        self._to_host = Line(2 * seed + 1)

    def inject(self, name: str, at_ns: int) -> None:
        """Schedule a fault of the line or of the device."""
        if name in LINE_FAULTS:
            self._to_device.inject(name, at_ns)
            self._to_host.inject(name, at_ns)
        else:
            self.core.inject(name, at_ns)

    def hear(self, data: bytes, now_ns: int) -> None:
        """Take bytes from the host."""
        self._to_device.send(data, now_ns)

    def advance(self, now_ns: int) -> None:
        """Let the device live up to ``now_ns``: bytes reach it, and it answers, each at its own time."""
        while (at_ns := self._next_inside()) is not None and at_ns <= now_ns:
            self._step(at_ns)
        self._step(now_ns)

    def take(self, now_ns: int) -> bytes:
        """Bytes that have reached the host by now."""
        return self._to_host.due(now_ns)

    def next_ns(self) -> int | None:
        """When something happens next, without further bytes from the host."""
        times = [at_ns for at_ns in (self._next_inside(), self._to_host.next_ns()) if at_ns is not None]
        return min(times, default=None)

    def cut(self) -> None:
        """The cable is out: what was under way is lost."""
        self._to_device.cut()
        self._to_host.cut()

    def _step(self, at_ns: int) -> None:
        self.core.advance(at_ns)
        arrived = self._to_device.due(at_ns)
        if arrived:
            self.core.receive(arrived)
        answer = self.core.take_output()
        if answer:
            self._to_host.send(answer, at_ns)

    def _next_inside(self) -> int | None:
        times = [
            at_ns for at_ns in (self.core.next_event_ns(), self._to_device.next_ns()) if at_ns is not None
        ]
        return min(times, default=None)
