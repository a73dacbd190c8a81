"""Integer kernels: exact onsets from any time, and the placement of areas against each other (rules 1, 4, 8).

No period is ever added up without its carry, and every product that could pass 64 bits goes
through `muldiv`, which is exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from neurostim.core.tables import (
    CUT,
    CUT_END,
    CUT_WINDOW,
    CYCLE_NS,
    DELAY_NS,
    LAST_OCCUPANCY,
    LONG,
    LONG_UNITS,
    MAX_SHIFT,
    OCCUPANCY,
    ON_NS,
    PERIOD_DEN,
    PERIOD_NUM,
    PULSES,
    SHORT,
    SHORT_UNITS,
    SOLID,
    UNIT_LEN,
    UNIT_OCCUPANCY,
    WINDOWS,
)


@njit(cache=True, nogil=True)
def muldiv(a: Any, b: Any, c: Any) -> Any:
    """``divmod(a x b, c)`` for a, b >= 0, c > 0, exact although ``a x b`` may pass 64 bits.

    The quotient is estimated in floating point to within 2^-51 of itself. The remainder for that
    estimate is then right modulo 2^64, and right outright because it stays below
    ``quotient x 2^-51 x c + c`` < 2^63; within the bounds of the format the quotient stays below 2^62
    and c below 2^45. Integer division of that remainder corrects the estimate.
    """
    estimate = np.int64(np.float64(a) * np.float64(b) / np.float64(c))
    remainder = np.int64(np.uint64(a) * np.uint64(b) - np.uint64(estimate) * np.uint64(c))
    if remainder < 0 or remainder >= c:
        correction = remainder // c
        return estimate + correction, remainder - correction * c
    return estimate, remainder


@njit(cache=True, nogil=True)
def units_before(area: Any, ticks: Any) -> Any:
    """How many k have T(k) < ``ticks``."""
    if ticks <= 0:
        return np.int64(0)
    quotient, remainder = muldiv(ticks, area[PERIOD_DEN], area[PERIOD_NUM])
    return quotient + np.int64(remainder > 0)


@njit(cache=True, nogil=True)
def window_of(area: Any, number: Any, tick_ns: Any) -> Any:
    """Start, end [ticks] and kind of window ``number``."""
    start_ns = area[DELAY_NS] + number * area[CYCLE_NS]
    start = start_ns // tick_ns
    if number == area[CUT_WINDOW]:
        return start, area[CUT_END], np.int64(CUT)
    end = (start_ns + area[ON_NS]) // tick_ns
    kind = np.int64(SHORT) if end - start == area[ON_NS] // tick_ns else np.int64(LONG)
    return start, end, kind


@njit(cache=True, nogil=True)
def first_window(area: Any, ticks: Any, tick_ns: Any) -> Any:
    """The last window that starts at or before ``ticks``, or the first."""
    if area[CYCLE_NS] == 0:
        return np.int64(0)
    since_ns = ticks * tick_ns - area[DELAY_NS]
    return max(np.int64(0), since_ns // area[CYCLE_NS])


@njit(cache=True, nogil=True)
def floor_sum(count: Any, modulus: Any, slope: Any, offset: Any) -> Any:
    """Sum of ``floor((slope i + offset) / modulus)`` over i < count, for slope and offset of a few moduli."""
    total = np.int64(0)
    while count > 0:
        total += (count - 1) * count // 2 * (slope // modulus) + count * (offset // modulus)
        slope %= modulus
        offset %= modulus
        top = slope * count + offset
        if top < modulus:
            break
        count = top // modulus
        offset = top % modulus
        modulus, slope = slope, modulus
    return total


@njit(cache=True, nogil=True)
def long_windows(area: Any, number: Any, tick_ns: Any) -> Any:
    """How many of the first ``number`` uncut windows are one tick longer than ``floor(on)``."""
    on = area[ON_NS] % tick_ns
    if on == 0:
        return np.int64(0)
    first = area[DELAY_NS] % tick_ns
    cycle = area[CYCLE_NS] % tick_ns
    return floor_sum(number, tick_ns, cycle, first + on) - floor_sum(number, tick_ns, cycle, first)


@njit(cache=True, nogil=True)
def nominal_before(area: Any, number: Any, tick_ns: Any) -> Any:
    """Running index of unit 0 of window ``number``."""
    if area[CYCLE_NS] == 0:
        return np.int64(0)
    longer = long_windows(area, number, tick_ns)
    return (number - longer) * area[SHORT_UNITS] + longer * area[LONG_UNITS]


@njit(cache=True, nogil=True)
def run_at(run_starts: Any, first: Any, count: Any, k: Any) -> Any:
    """Row of the run that holds unit ``k``, by bisection."""
    low, high = first, first + count
    while high - low > 1:
        middle = (low + high) // 2
        if run_starts[middle] <= k:
            low = middle
        else:
            high = middle
    return low


@njit(cache=True, nogil=True)
def fill_run(
    area: Any, t: Any, carry: Any, number: Any, row: Any, at: Any, count: Any,
    onset: Any, latest: Any, unit: Any, run: Any,
) -> Any:  # fmt: skip
    """Write ``count`` units of one run from ``at`` on, the first nominal at ``t`` with remainder ``carry``.

    Returns onset and remainder of the unit after them.
    """
    denominator = area[PERIOD_DEN]
    period, rest = area[PERIOD_NUM] // denominator, area[PERIOD_NUM] % denominator
    # Unsigned indices spare each store a test for negative ones; without a carry the stores become wide.
    to = np.uint64(at)
    if rest == 0:
        for i in range(np.uint64(count)):
            onset[to + i] = t + np.int64(i) * period
            latest[to + i] = t + np.int64(i) * period
            unit[to + i] = number + np.int64(i)
            run[to + i] = row
        return t + count * period, carry
    for i in range(np.uint64(count)):
        onset[to + i] = t
        latest[to + i] = t
        unit[to + i] = number + np.int64(i)
        run[to + i] = row
        carry += rest
        late = np.int64(carry >= denominator)
        carry -= late * denominator
        t += period + late
    return t, carry


@njit(cache=True, nogil=True)
def limit_moves(
    area: Any, at: Any, count: Any, following: Any, end: Any, next_start: Any, onset: Any, latest: Any
) -> None:
    """Write the last onset to which rule 8 may move each of ``count`` units from ``at`` on.

    ``following`` is the nominal onset after them, ``end`` the end of their window and ``next_start``
    the start of the next window.
    """
    limit = min(end - area[UNIT_LEN], next_start - area[UNIT_OCCUPANCY])
    for i in range(at, at + count):
        after = onset[i + 1] if i + 1 < at + count else following
        latest[i] = min(onset[i] + area[MAX_SHIFT], limit, after - area[UNIT_OCCUPANCY])


@njit(cache=True, nogil=True)
def fill_units(
    tables: Any, index: Any, low: Any, high: Any, moves: Any, onset: Any, latest: Any, unit: Any, run: Any
) -> Any:
    """Write the units of an area with nominal onset in [low, high) that fit their window (rule 4).

    ``onset`` takes the nominal onset; ``latest`` too, or, where the area ``moves`` for others, the last
    onset to which rule 8 may move it; ``unit`` the running index; ``run`` its row in the current table.
    Returns how many.
    """
    area, tick_ns = tables.area[index], tables.tick_ns
    low = max(low, np.int64(0))
    number = first_window(area, low, tick_ns)
    base = nominal_before(area, number, tick_ns)
    written = np.int64(0)
    while number < area[WINDOWS]:
        start, end, kind = window_of(area, number, tick_ns)
        if start >= high:
            break
        next_start = np.int64(1 << 62)
        if number + 1 < area[WINDOWS]:
            next_start = (area[DELAY_NS] + (number + 1) * area[CYCLE_NS]) // tick_ns
        k = units_before(area, low - start)
        stop = min(tables.fitting[index, kind], units_before(area, high - start))
        if k < stop:
            since, carry = muldiv(k, area[PERIOD_NUM], area[PERIOD_DEN])
            t = start + since
            row = run_at(tables.run_starts, tables.run_first[index, kind], tables.run_count[index, kind], k)
            row_end = tables.run_first[index, kind] + tables.run_count[index, kind]
            while k < stop:
                row_stop = stop
                if row + 1 < row_end:
                    row_stop = min(stop, tables.run_starts[row + 1])
                count = row_stop - k
                t, carry = fill_run(area, t, carry, base + k, row, written, count, onset, latest, unit, run)
                if moves:
                    limit_moves(area, written, count, t, end, next_start, onset, latest)
                written += count
                k = row_stop
                row += 1
        if area[CYCLE_NS] == 0:
            break
        base += units_before(area, end - start)
        number += 1
    return written


@njit(cache=True, nogil=True)
def first_move(tables: Any, index: Any, at: Any, begins: Any, ends: Any, count: Any, pointer: Any) -> Any:
    """Where a unit that starts at ``at`` must move for the first occupancy it meets; ``at`` if for none."""
    area, guard = tables.area[index], tables.guard
    if area[SOLID]:
        while pointer < count and ends[pointer] + guard <= at:
            pointer += 1
        if pointer < count and begins[pointer] - guard < at + area[UNIT_OCCUPANCY]:
            return ends[pointer] + guard
        return at
    pulses = area[PULSES]
    for j in range(pulses):
        begin = at + tables.offsets[index, j]
        end = begin + (area[LAST_OCCUPANCY] if j == pulses - 1 else area[OCCUPANCY])
        while pointer < count and ends[pointer] + guard <= begin:
            pointer += 1
        if pointer < count and begins[pointer] - guard < end:
            return at + ends[pointer] + guard - begin
    return at


@njit(cache=True, nogil=True)
def place_units(
    tables: Any,
    index: Any,
    low: Any,
    high: Any,
    units: Any,
    onset: Any,
    latest: Any,
    unit: Any,
    run: Any,
    begins: Any,
    ends: Any,
    taken: Any,
) -> Any:
    """Move each unit to its place after the occupancies before it, dropping what finds none (rule 8).

    ``begins``, ``ends`` [taken] are the occupancies of areas placed earlier, ascending. The arrays
    of units are compacted in place, and ``latest`` then holds the nominal onset. Returns units kept,
    and, of the nominal onsets in [low, high), units dropped and the worst shift.
    """
    guard = tables.guard
    kept = np.int64(0)
    dropped = np.int64(0)
    worst = np.int64(0)
    base = np.int64(0)
    for i in range(units):
        nominal = onset[i]
        while base < taken and ends[base] + guard <= nominal:
            base += 1
        at = nominal
        while at <= latest[i]:
            moved = first_move(tables, index, at, begins, ends, taken, base)
            if moved == at:
                break
            at = moved
        inside = low <= nominal < high
        if at <= latest[i]:
            if inside:
                worst = max(worst, at - nominal)
            onset[kept] = at
            unit[kept] = unit[i]
            run[kept] = run[i]
            latest[kept] = nominal
            kept += 1
        elif inside:
            dropped += 1
    return kept, dropped, worst


@njit(cache=True, nogil=True)
def merge_occupancies(
    tables: Any,
    index: Any,
    count: Any,
    onset: Any,
    begins: Any,
    ends: Any,
    taken: Any,
    new_begins: Any,
    new_ends: Any,
) -> Any:
    """Merge the occupancies of an area's placed units into those taken; returns how many there are then."""
    area = tables.area[index]
    pieces = np.int64(1) if area[SOLID] else area[PULSES]
    old = np.int64(0)
    written = np.int64(0)
    for i in range(count):
        for j in range(pieces):
            begin = onset[i] + (np.int64(0) if area[SOLID] else tables.offsets[index, j])
            if area[SOLID]:
                end = begin + area[UNIT_OCCUPANCY]
            else:
                end = begin + (area[LAST_OCCUPANCY] if j == pieces - 1 else area[OCCUPANCY])
            while old < taken and begins[old] <= begin:
                new_begins[written] = begins[old]
                new_ends[written] = ends[old]
                old += 1
                written += 1
            new_begins[written] = begin
            new_ends[written] = end
            written += 1
    while old < taken:
        new_begins[written] = begins[old]
        new_ends[written] = ends[old]
        old += 1
        written += 1
    return written


@njit(cache=True, nogil=True)
def place_range(
    tables: Any,
    low: Any,
    high: Any,
    onset: Any,
    unit: Any,
    run: Any,
    nominal: Any,
    occupied: Any,
    counts: Any,
) -> Any:
    """Placed units of all areas nominal in [low, high), and of earlier areas as far as they matter.

    ``onset``, ``unit``, ``run``, ``nominal`` are [areas, capacity]; ``occupied`` [4, capacity] is scratch;
    ``counts`` [areas, 3] takes, for each area, units written and, of those nominal in [low, high), how
    many are dropped and the worst shift. The first area in order keeps its onsets.
    """
    ranks = len(tables.order)
    taken = np.int64(0)
    side = 0
    for rank in range(ranks):
        index = tables.order[rank]
        count = fill_units(
            tables,
            index,
            low - tables.look_back[rank],
            high + tables.look_ahead[rank],
            rank > 0,
            onset[index],
            nominal[index],
            unit[index],
            run[index],
        )
        dropped = np.int64(0)
        worst = np.int64(0)
        if rank > 0:
            count, dropped, worst = place_units(
                tables,
                index,
                low,
                high,
                count,
                onset[index],
                nominal[index],
                unit[index],
                run[index],
                occupied[side],
                occupied[side + 1],
                taken,
            )
        counts[index, 0], counts[index, 1], counts[index, 2] = count, dropped, worst
        if rank + 1 < ranks:
            taken = merge_occupancies(
                tables,
                index,
                count,
                onset[index],
                occupied[side],
                occupied[side + 1],
                taken,
                occupied[2 - side],
                occupied[3 - side],
            )
            side = 2 - side
