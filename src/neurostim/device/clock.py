"""Time for the host: the only place of the device layer that asks the system for it."""

from __future__ import annotations

import datetime
import os
import time
from typing import Protocol


class Clock(Protocol):
    """A source of time; tests and simulations put their own in its place."""

    def monotonic_ns(self) -> int:
        """Time that never jumps [ns]; its zero means nothing."""

    def wall_text(self) -> str:
        """The time of day as text, recorded for people and never computed with."""


class SystemClock:
    """The computer's own clocks."""

    def monotonic_ns(self) -> int:
        """Time that never jumps [ns]."""
        return time.monotonic_ns()

    def wall_text(self) -> str:
        """UTC with milliseconds, ISO 8601."""
        return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def new_host_id() -> bytes:
    """16 random bytes by which a device tells one running host from another."""
    return os.urandom(16)
