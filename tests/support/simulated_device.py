"""The simulated device as the far end of a virtual stimulator: its own time begins at zero."""

from __future__ import annotations

from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile

MOMENT_NS = 1000


class SimulatedDevice:
    """Adapts `DeviceCore` to the clock of the test."""

    def __init__(self, name: str = "scs", origin_ns: int = 1_000_000_000, **more: object) -> None:
        self.core = DeviceCore(profile(name), **more)  # type: ignore[arg-type]
        self._origin_ns = origin_ns
        self._now_ns = origin_ns

    def receive(self, data: bytes, now_ns: int) -> None:
        self.advance(now_ns)
        self.core.receive(data)

    def advance(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self.core.advance(now_ns - self._origin_ns)

    def take_output(self) -> bytes:
        return self.core.take_output()

    def next_event_ns(self) -> int | None:
        due = self.core.next_event_ns()
        # What is due already was done just now: time has to move on for more.
        return None if due is None else max(due + self._origin_ns, self._now_ns + MOMENT_NS)
