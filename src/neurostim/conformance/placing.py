"""Rule 8: where the units of several areas go when they meet, judged on its own.

A kernel walks the units of one area past the occupancies placed before it; nothing is remembered
from one unit to the next but a search hint, so any stretch can be placed alone.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neurostim.conformance.onsets import NEVER, Nominal
from neurostim.conformance.reading import AreaReading

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]


@njit(cache=True)
def _first_ending_after(ends: I64, time: int) -> int:
    low = 0
    high = len(ends)
    while low < high:
        middle = (low + high) // 2
        if ends[middle] > time:
            high = middle
        else:
            low = middle + 1
    return low


@njit(cache=True)
def _walk(
    onset: I64, latest: I64, spans: I64, guard: int, busy_from: I64, busy_to: I64, placed: I64, kept: Flags
) -> None:
    for i in range(len(onset)):
        at = onset[i]
        settled = False
        while not settled and at <= latest[i]:
            settled = True
            for j in range(len(spans)):
                # The first obstacle that ends too late is the only one that can be in the way.
                k = _first_ending_after(busy_to, at + spans[j, 0] - guard)
                if k < len(busy_from) and busy_from[k] < at + spans[j, 1] + guard:
                    at = busy_to[k] + guard - spans[j, 0]
                    settled = False
                    break
        placed[i] = at
        kept[i] = settled and at <= latest[i]


def place(
    area: AreaReading, nominal: Nominal, busy_from: I64, busy_to: I64, *, guard: int, first: bool
) -> tuple[I64, Flags, Flags]:
    """Place the units of one area among the occupancies of the areas placed before it.

    Parameters
    ----------
    area : AreaReading
        The area to place.
    nominal : Nominal
        Its nominal units [ticks].
    busy_from, busy_to : int64 arrays
        Disjoint occupancies placed before, in time order [ticks].
    guard : int
        Distance to keep [ticks].
    first : bool
        Whether the area is the first in order, which keeps its onsets.

    Returns
    -------
    onset, emitted, dropped
        Actual onsets [ticks]; which units are emitted; which are dropped by rule 8 and not by rule 4.
    """
    end = nominal.end
    fits = (end == NEVER) | (nominal.onset + area.drive_end <= end)
    if first:
        return nominal.onset, fits, np.zeros(len(fits), dtype=np.bool_)
    latest = np.minimum(nominal.onset + area.interval // 4, nominal.following - area.unit_occupancy)
    latest = np.minimum(latest, np.where(end == NEVER, NEVER, end - area.drive_end))
    placed = np.empty_like(nominal.onset)
    kept = np.empty(len(placed), dtype=np.bool_)
    spans = np.array(area.spans, dtype=np.int64)
    _walk(nominal.onset, latest, spans, guard, busy_from, busy_to, placed, kept)
    return placed, kept, fits & ~kept
