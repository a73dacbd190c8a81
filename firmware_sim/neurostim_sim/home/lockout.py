"""How often a patient may start; what cycles faster has to wait.

Engineering judgement (grade C). A person who tries programs starts a few times in a minute; more is a stuck
or played-with button, and current switched on and off by the second is a load of its own (extreme cycling).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

RULES: Final = ((60_000_000, 5, 300), (3_600_000_000, 20, 1800))
"""In so many us, so many starts are allowed; the next attempt locks for so many s."""


def lock_after(starts_us: Sequence[int], now_us: int) -> int:
    """Seconds for which an attempt to start now locks; 0 where it is allowed.

    Parameters
    ----------
    starts_us : sequence of int
        Earlier starts, in powered time [us].
    now_us : int
        Now, in powered time [us].
    """
    seconds = 0
    for window_us, allowed, lock_s in RULES:
        if sum(now_us - at < window_us for at in starts_us) >= allowed:
            seconds = max(seconds, lock_s)
    return seconds


def remembered(starts_us: Sequence[int], now_us: int) -> tuple[int, ...]:
    """The starts that still count, with one now."""
    longest = max(window_us for window_us, _, _ in RULES)
    return (*(at for at in starts_us if now_us - at < longest), now_us)
