"""The only door of the torture to real time: how long a campaign took. No schedule ever passes through it."""

from __future__ import annotations

import time


def seconds() -> float:
    """Processor time of this process [s], for speeds alone: other programs on the machine do not count."""
    return time.process_time()
