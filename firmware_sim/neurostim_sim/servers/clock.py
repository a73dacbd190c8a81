"""Real time for the servers; everything else of the simulator is told the time."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time; tests put their own in its place."""

    def monotonic_ns(self) -> int:
        """Time that never jumps [ns]."""

    def sleep_until(self, at_ns: int) -> None:
        """Wait for a moment of `monotonic_ns`; one that has passed is not waited for."""


class SystemClock:
    """The computer's clock."""

    def monotonic_ns(self) -> int:
        """Time that never jumps [ns]."""
        return time.monotonic_ns()

    def sleep_until(self, at_ns: int) -> None:
        """Wait for a moment of `monotonic_ns`; one that has passed is not waited for."""
        time.sleep(max(at_ns - time.monotonic_ns(), 0) / 1_000_000_000)
