"""The only door of the torture to real time: how long a campaign took. No schedule ever passes through it."""

from __future__ import annotations

import time


def seconds() -> float:
    """Time that never jumps [s], for speeds alone."""
    return time.perf_counter()
