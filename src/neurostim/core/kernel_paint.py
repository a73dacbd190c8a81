"""Kernels that write dense samples from placed units: onsets quantised, widths whole samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from neurostim.core.kernels import muldiv
from neurostim.core.tables import PHASES, PULSES

LANE = 32
"""Patterns are a multiple of this many samples, so that a copy has no odd end."""


@njit(cache=True, nogil=True)
def sample_of(ticks: Any, rate_num: Any, rate_den: Any) -> Any:
    """Index of the sample in which an instant falls: ``floor(ticks x rate)``."""
    if rate_den == 1:
        return ticks * rate_num
    return muldiv(ticks, rate_num, rate_den)[0]


@njit(cache=True, nogil=True)
def fill(out: Any, begin: Any, end: Any, value: Any) -> None:
    """Set ``out[begin:end]``, both clipped to the array."""
    low = max(begin, np.int64(0))
    high = min(end, np.int64(len(out)))
    # Unsigned indices spare the test for negative ones, which would keep the loop from vectorising.
    for i in range(np.uint64(low), np.uint64(max(low, high))):
        out[i] = value


@njit(cache=True, nogil=True)
def stamp(out: Any, at: Any, pattern: Any) -> None:
    """Copy ``pattern`` to ``out[at:]``; the caller has seen that it fits."""
    # One plain loop over unsigned indices becomes wide copies; slices or nested blocks cost ten times more.
    base = np.uint64(at)
    for i in range(np.uint64(len(pattern))):
        out[base + i] = pattern[i]


@njit(cache=True, nogil=True)
def paint_alone(
    tables: Any,
    index: Any,
    count: Any,
    onset: Any,
    run: Any,
    levels: Any,
    template: Any,
    pattern: Any,
    rate_num: Any,
    rate_den: Any,
    first: Any,
    out: Any,
) -> None:
    """Write one contact's samples ``first ..`` of the only area that drives it.

    ``levels`` [runs, phases] is the value of each phase for each run of currents; ``template``
    [phases, 2] offset and width in samples; ``pattern`` is scratch for one pulse and the zeros
    after it. What a stamp writes past the next onset is zeros, and the next pulse is written over it.
    """
    area = tables.area[index]
    pulses, phases = area[PULSES], area[PHASES]
    done = np.int64(0)
    stop = np.int64(len(out))
    size = np.int64(len(pattern))
    # The zero of the buffer's type, and never the negative zero of a negative level.
    zero = abs(levels[0, 0] * 0)
    known = np.int64(-1)
    for i in range(count):
        row = run[i]
        for j in range(pulses):
            at = sample_of(onset[i] + tables.offsets[index, j], rate_num, rate_den) - first
            if at >= stop:
                break
            if at >= 0 and at + size <= stop:
                if row != known:
                    known = row
                    for p in range(phases):
                        fill(pattern, template[p, 0], template[p, 0] + template[p, 1], levels[row, p])
                if done < at:
                    fill(out, done, at, zero)
                stamp(out, at, pattern)
                done = at + size
                continue
            fill(out, min(done, at), at, zero)
            for p in range(phases):
                begin = at + template[p, 0]
                fill(out, begin, begin + template[p, 1], levels[row, p])
                if p + 1 < phases:
                    fill(out, begin + template[p, 1], at + template[p + 1, 0], zero)
            # A stamp before may have written zeros farther than this pulse reaches.
            done = max(done, at + template[phases - 1, 0] + template[phases - 1, 1])
    fill(out, done, stop, zero)


@njit(cache=True, nogil=True)
def paint_onto(
    tables: Any,
    index: Any,
    count: Any,
    onset: Any,
    run: Any,
    levels: Any,
    template: Any,
    pattern: Any,
    rate_num: Any,
    rate_den: Any,
    first: Any,
    out: Any,
) -> None:
    """As `paint_alone`, but adding to what other areas wrote before."""
    area = tables.area[index]
    stop = np.int64(len(out))
    for i in range(count):
        row = run[i]
        for j in range(area[PULSES]):
            at = sample_of(onset[i] + tables.offsets[index, j], rate_num, rate_den) - first
            for p in range(area[PHASES]):
                begin = max(np.int64(0), at + template[p, 0])
                end = min(stop, at + template[p, 0] + template[p, 1])
                for x in range(begin, end):
                    out[x] += levels[row, p]
