"""A device core with its cable: what is sent arrives, in device time, through lines that can be faulty."""

from __future__ import annotations

from typing import Final, Protocol

from neurostim_sim.home.controls import Button, Signal, Unheeded
from neurostim_sim.servers.line import LINE_FAULTS, Line

LINES_APART: Final = 1_000_003
"""Between the seeds of two lines."""


class Core(Protocol):
    """What a server needs of a device core; times in virtual ns since the supply was switched on."""

    @property
    def label_code(self) -> str:
        """Code on the device's label."""

    def receive(self, data: bytes, line: int = 0) -> None:
        """Take bytes off a line at the present moment."""

    def advance(self, to_ns: int) -> None:
        """Let time pass."""

    def take_output(self, line: int = 0) -> bytes:
        """Bytes to put on a line."""

    def drop_line(self, line: int) -> None:
        """A line is gone."""

    def next_event_ns(self) -> int | None:
        """When the device next does something on its own."""

    def inject(self, name: str, at_ns: int) -> None:
        """Schedule a fault by name."""

    @property
    def autonomous(self) -> bool:
        """Whether the device is released for use at home."""

    @property
    def signals(self) -> frozenset[Signal]:
        """What the patient's control shows."""

    def press(self, button: Button) -> Unheeded | None:
        """Press a button of the patient's control and let it go; why it did nothing, where it did not."""

    def hold(self, button: Button) -> Unheeded | None:
        """Press a button and keep it down."""

    def let_go(self) -> None:
        """Let go of the button that is held."""

    def off_button(self) -> None:
        """Press the off button."""

    def change_battery(self) -> None:
        """Put a fresh battery in."""

    def close(self) -> None:
        """Finish what is being recorded."""


class _Cable:
    """Both directions of one line."""

    def __init__(self, seed: int, number: int) -> None:
        self.to_device = Line(2 * seed + number * LINES_APART)
        self.to_host = Line(2 * seed + number * LINES_APART + 1)

    def inject(self, name: str, at_ns: int) -> None:
        self.to_device.inject(name, at_ns)
        self.to_host.inject(name, at_ns)

    def cut(self) -> None:
        self.to_device.cut()
        self.to_host.cut()


class AttachedDevice:
    """A core behind cables: one, or more where several hosts have a line each.

    Parameters
    ----------
    core : Core
    seed : int
        Decides what faults of a line do to which frame.
    """

    def __init__(self, core: Core, seed: int = 0) -> None:
        self.core = core
        self._seed = seed
        self._cables = {0: _Cable(seed, 0)}
        self._line_faults: list[tuple[str, int]] = []

    def inject(self, name: str, at_ns: int) -> None:
        """Schedule a fault of the lines or of the device."""
        if name not in LINE_FAULTS:
            self.core.inject(name, at_ns)
            return
        self._line_faults.append((name, at_ns))
        for cable in self._cables.values():
            cable.inject(name, at_ns)

    def join(self, line: int) -> None:
        """Put one more cable in; the same faults act on it."""
        cable = self._cables[line] = _Cable(self._seed, line)
        for name, at_ns in self._line_faults:
            cable.inject(name, at_ns)

    def leave(self, line: int) -> None:
        """Take a cable out for good."""
        self._cables.pop(line, None)
        self.core.drop_line(line)

    def hear(self, data: bytes, now_ns: int, line: int = 0) -> None:
        """Take bytes from a host."""
        self._cables[line].to_device.send(data, now_ns)

    def advance(self, now_ns: int) -> None:
        """Let the device live up to ``now_ns``: bytes reach it, and it answers, each at its own time."""
        while (at_ns := self._next_inside()) is not None and at_ns <= now_ns:
            self._step(at_ns)
        self._step(now_ns)

    def take(self, now_ns: int, line: int = 0) -> bytes:
        """Bytes that have reached a host by now."""
        return self._cables[line].to_host.due(now_ns)

    def next_ns(self) -> int | None:
        """When something happens next, without further bytes from a host."""
        times = [self._next_inside(), *(cable.to_host.next_ns() for cable in self._cables.values())]
        return min((at_ns for at_ns in times if at_ns is not None), default=None)

    def cut(self) -> None:
        """The cables are out: what was under way is lost."""
        for cable in self._cables.values():
            cable.cut()

    def _step(self, at_ns: int) -> None:
        self.core.advance(at_ns)
        for line, cable in self._cables.items():
            arrived = cable.to_device.due(at_ns)
            if arrived:
                self.core.receive(arrived, line)
        for line, cable in self._cables.items():
            answer = self.core.take_output(line)
            if answer:
                cable.to_host.send(answer, at_ns)

    def _next_inside(self) -> int | None:
        times = [self.core.next_event_ns(), *(cable.to_device.next_ns() for cable in self._cables.values())]
        return min((at_ns for at_ns in times if at_ns is not None), default=None)
