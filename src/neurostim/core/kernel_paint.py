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
def stamp(out: Any, at: Any, pattern: Any, size: Any) -> None:
    """Copy ``pattern[:size]`` to ``out[at:]``; the caller has seen that it fits."""
    # One plain loop over unsigned indices becomes wide copies; slices or nested blocks cost ten times more.
    base = np.uint64(at)
    for i in range(np.uint64(size)):
        out[base + i] = pattern[i]


@njit(cache=True, nogil=True)
def paint_pulses(
    tables: Any,
    index: Any,
    begin: Any,
    end: Any,
    done: Any,
    onset: Any,
    run: Any,
    levels: Any,
    template: Any,
    pattern: Any,
    rate_num: Any,
    rate_den: Any,
    first: Any,
    out: Any,
) -> Any:
    """Write units ``begin <= i < end`` pulse by pulse, and zeros from sample ``done`` on between them.

    Arguments as of `paint_alone`; ``pattern`` is scratch for one pulse and the zeros after it. What a
    stamp writes past the next onset is zeros, and the next pulse is written over it. Returns the
    sample up to which all is written.
    """
    area = tables.area[index]
    pulses, phases = area[PULSES], area[PHASES]
    stop = np.int64(len(out))
    size = np.int64(len(pattern))
    # The zero of the buffer's type, and never the negative zero of a negative level.
    zero = abs(levels[0, 0] * 0)
    known = np.int64(-1)
    for i in range(begin, end):
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
                stamp(out, at, pattern, size)
                done = at + size
                continue
            fill(out, min(done, at), at, zero)
            for p in range(phases):
                low = at + template[p, 0]
                fill(out, low, low + template[p, 1], levels[row, p])
                if p + 1 < phases:
                    fill(out, low + template[p, 1], at + template[p + 1, 0], zero)
            # A stamp before may have written zeros farther than this pulse reaches.
            done = max(done, at + template[phases - 1, 0] + template[phases - 1, 1])
    return done


@njit(cache=True, nogil=True)
def even_units(onset: Any, run: Any, begin: Any, count: Any, step: Any) -> Any:
    """How many units from ``begin`` on follow each other by ``step`` ticks with the same currents."""
    row = run[begin]
    last = begin + 1
    while last < count and onset[last] - onset[last - 1] == step and run[last] == row:
        last += 1
    return last - begin


@njit(cache=True, nogil=True)
def paint_stretch(
    out: Any, at: Any, units: Any, pitch: Any, levels: Any, template: Any, pattern: Any
) -> None:
    """Write ``units`` pulses alike, one every ``pitch`` samples from ``at`` on, and the zeros after each.

    ``levels`` [phases] is the value of each phase; ``pattern`` is scratch for several pulses.
    """
    room = np.int64(len(pattern)) // pitch
    fill(pattern, np.int64(0), room * pitch, abs(levels[0] * 0))
    for u in range(room):
        for p in range(len(template)):
            begin = u * pitch + template[p, 0]
            fill(pattern, begin, begin + template[p, 1], levels[p])
    for u in range(0, units, room):
        stamp(out, at + u * pitch, pattern, min(room, units - u) * pitch)


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
    step: Any,
    pitch: Any,
    stretch: Any,
    rate_num: Any,
    rate_den: Any,
    first: Any,
    out: Any,
) -> None:
    """Write one contact's samples ``first ..`` of the only area that drives it.

    ``levels`` [runs, phases] is the value of each phase for each run of currents; ``template``
    [phases, 2] offset and width in samples; ``pattern`` and ``stretch`` are scratch for one pulse and for
    several. Where units are ``step`` ticks apart they are just ``pitch`` samples apart; 0 where none are.
    """
    stop = np.int64(len(out))
    done = np.int64(0)
    i = np.int64(0)
    while i < count:
        units = count - i
        even = begin = np.int64(0)
        if pitch > 0:
            units = even_units(onset, run, i, count, step)
            at = sample_of(onset[i], rate_num, rate_den) - first
            # Only those that lie in the buffer with all zeros after them.
            begin = min(units, max(np.int64(0), -(at // pitch)))
            even = min(units - begin, max(np.int64(0), (stop - at) // pitch - begin))
        if even * pitch <= 2 * len(stretch):
            even = np.int64(0)
            begin = units
        done = paint_pulses(
            tables, index, i, i + begin, done, onset, run, levels, template, pattern,
            rate_num, rate_den, first, out,
        )  # fmt: skip
        if even > 0:
            at = sample_of(onset[i + begin], rate_num, rate_den) - first
            fill(out, done, at, abs(levels[0, 0] * 0))
            paint_stretch(out, at, even, pitch, levels[run[i]], template, stretch)
            done = at + even * pitch
            done = paint_pulses(
                tables, index, i + begin + even, i + units, done, onset, run, levels, template, pattern,
                rate_num, rate_den, first, out,
            )  # fmt: skip
        i += units
    fill(out, done, stop, abs(levels[0, 0] * 0))


@njit(cache=True, nogil=True)
def paint_onto(
    tables: Any,
    index: Any,
    count: Any,
    onset: Any,
    run: Any,
    levels: Any,
    template: Any,
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
