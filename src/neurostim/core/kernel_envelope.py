"""Kernels of the exact envelope: least and greatest current of each contact in each column of time.

A column also counts how long each contact is driven, because it holds a zero exactly where that is less
than its width. Units near the edge of a column are walked pulse by pulse; those inside are taken
from the runs of their window in closed form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from neurostim.core.kernels import (
    first_window,
    long_windows,
    muldiv,
    place_range,
    run_at,
    units_before,
    window_of,
)
from neurostim.core.tables import (
    CONTACTS,
    CYCLE_NS,
    DELAY_NS,
    LONG,
    ON_NS,
    PERIOD_DEN,
    PERIOD_NUM,
    PHASES,
    PULSE_LEN,
    PULSES,
    SHORT,
    WINDOWS,
)

REACHING, FROM = range(2)
"""Sides of an edge in ``places``: the first unit that may reach over it, and the first from it on."""


@njit(cache=True, nogil=True)
def build_trees(tables: Any, bottom: Any, top: Any, least: Any, most: Any, driven: Any) -> None:
    """Extremes of the pulses of each run, their range trees, and running counts of driven units.

    ``bottom``, ``top`` int32[rows, columns] take the least and greatest current over the phases of
    each run's pulses; ``least``, ``most`` int32[2 rows, columns] a binary tree of those for the runs
    of each window kind; ``driven`` int64[rows, columns] counts units with current in the runs before.
    """
    columns = tables.currents.shape[1]
    for index in range(len(tables.area)):
        for kind in range(tables.run_first.shape[1]):
            first, count = tables.run_first[index, kind], tables.run_count[index, kind]
            root = 2 * first
            for i in range(count):
                row = first + i
                for c in range(columns):
                    current = np.int64(tables.currents[row, c])
                    low, high = current, current
                    for p in range(tables.area[index, PHASES]):
                        # The divisor divides every current exactly (rule 6).
                        value = tables.phases[index, p, 2] * current // tables.phases[index, p, 3]
                        low, high = min(low, value), max(high, value)
                    bottom[row, c], top[row, c] = low, high
                    least[root + count + i, c], most[root + count + i, c] = low, high
                    if i > 0:
                        units = tables.run_starts[row] - tables.run_starts[row - 1]
                        before = tables.currents[row - 1, c] != 0
                        driven[row, c] = driven[row - 1, c] + (units if before else 0)
            for i in range(count - 1, 0, -1):
                for c in range(columns):
                    least[root + i, c] = min(least[root + 2 * i, c], least[root + 2 * i + 1, c])
                    most[root + i, c] = max(most[root + 2 * i, c], most[root + 2 * i + 1, c])


@njit(cache=True, nogil=True)
def unit_drive_ns(tables: Any, index: Any) -> Any:
    """How long one pulse of an area drives [ns]."""
    total = np.int64(0)
    for p in range(tables.area[index, PHASES]):
        total += tables.phases[index, p, 1] * tables.tick_ns
    return total


@njit(cache=True, nogil=True)
def walk_units(
    tables: Any,
    bottom: Any,
    top: Any,
    index: Any,
    count: Any,
    onset: Any,
    run: Any,
    edges: Any,
    rows: Any,
    floor: Any,
    ceiling: Any,
    driven_ns: Any,
) -> None:
    """Take placed units, ascending, pulse by pulse into the columns between ``edges`` [ns]."""
    area, tick = tables.area[index], tables.tick_ns
    pulses, contacts, phases, length = area[PULSES], area[CONTACTS], area[PHASES], area[PULSE_LEN]
    columns = len(edges) - 1
    drive_ns = unit_drive_ns(tables, index)
    column = np.int64(0)
    for i in range(count):
        row = run[i]
        silent = True
        for c in range(contacts):
            if tables.currents[row, c] != 0:
                silent = False
        if silent:
            continue
        j = np.int64(0)
        while j < pulses:
            begin = (onset[i] + tables.offsets[index, j]) * tick
            while column < columns and edges[column + 1] <= begin:
                column += 1
            if column == columns:
                return
            stop = edges[column + 1]
            if begin >= edges[column] and begin + length * tick <= stop:
                # All following pulses that end in this column are alike: find the last by bisection.
                low, high = j, pulses
                while high - low > 1:
                    middle = (low + high) // 2
                    if (onset[i] + tables.offsets[index, middle] + length) * tick <= stop:
                        low = middle
                    else:
                        high = middle
                for c in range(contacts):
                    if tables.currents[row, c] != 0:
                        to = rows[c]
                        driven_ns[to, column] += (low + 1 - j) * drive_ns
                        floor[to, column] = min(floor[to, column], bottom[row, c])
                        ceiling[to, column] = max(ceiling[to, column], top[row, c])
                j = low + 1
                continue
            for p in range(phases):
                phase_begin = begin + tables.phases[index, p, 0] * tick
                phase_end = phase_begin + tables.phases[index, p, 1] * tick
                sign, divisor = tables.phases[index, p, 2], tables.phases[index, p, 3]
                at = column
                while at < columns and edges[at] < phase_end:
                    overlap = min(phase_end, edges[at + 1]) - max(phase_begin, edges[at])
                    if overlap > 0:
                        for c in range(contacts):
                            current = np.int64(tables.currents[row, c])
                            if current != 0:
                                to = rows[c]
                                value = sign * current // divisor
                                driven_ns[to, at] += overlap
                                floor[to, at] = min(np.int64(floor[to, at]), value)
                                ceiling[to, at] = max(np.int64(ceiling[to, at]), value)
                    at += 1
            j += 1


@njit(cache=True, nogil=True)
def locate_all(tables: Any, index: Any, ticks: Any, shift: Any, places: Any) -> None:
    """Window, unit and kind of window of the first unit that fits at or after each of ``ticks + shift``.

    ``ticks`` ascend; ``places`` is int64[ticks, 3]. The unit is the number that fit where the window
    holds none any more.
    """
    area, tick_ns = tables.area[index], tables.tick_ns
    # What the next window changes is kept until a tick lies in that.
    until = np.int64(-1)
    number = start = kind = fitting = np.int64(0)
    for at in range(len(ticks)):
        tick = max(ticks[at] + shift, np.int64(0))
        if tick >= until:
            number = min(first_window(area, tick, tick_ns), area[WINDOWS] - 1)
            start, _, kind = window_of(area, number, tick_ns)
            fitting = tables.fitting[index, kind]
            until = np.int64(1 << 62)
            if number + 1 < area[WINDOWS] and area[CYCLE_NS] > 0:
                until = -(-(area[DELAY_NS] + (number + 1) * area[CYCLE_NS]) // tick_ns)
        places[at, 0] = number
        places[at, 1] = min(units_before(area, tick - start), fitting)
        places[at, 2] = kind


@njit(cache=True, nogil=True)
def locate_edges(tables: Any, margins: Any, floors: Any, ceilings: Any, places: Any) -> None:
    """Find the first units of each area about each edge, given as ticks rounded down and up.

    ``margins`` [areas] is each unit's length and worst shift [ticks]; ``places`` int64[areas, 2, edges, 3]
    takes, for each side, what `locate_all` says.
    """
    for index in range(len(tables.area)):
        locate_all(tables, index, floors, np.int64(1) - margins[index], places[index, REACHING])
        locate_all(tables, index, ceilings, np.int64(0), places[index, FROM])


@njit(cache=True, nogil=True)
def run_near(run_starts: Any, first: Any, count: Any, k: Any, hint: Any) -> Any:
    """As `run_at`, but looks at the last run and at ``hint`` before it searches."""
    last = first + count - 1
    if k >= run_starts[last]:
        return last
    if first <= hint < last and run_starts[hint] <= k < run_starts[hint + 1]:
        return hint
    return run_at(run_starts, first, count, k)


@njit(cache=True, nogil=True)
def stretches(area: Any, fitting: Any, tick_ns: Any, places: Any, column: Any, pieces: Any) -> Any:
    """Units wholly inside a column as (kind of window, first unit, end, times) each; returns how many.

    Takes the rows of one area, not the tables, which are many arrays and slow to hand on.
    """
    head, k, kind = places[FROM, column, 0], places[FROM, column, 1], places[FROM, column, 2]
    tail, stop, last = (
        places[REACHING, column + 1, 0],
        places[REACHING, column + 1, 1],
        places[REACHING, column + 1, 2],
    )
    if tail < head:
        return 0
    found = 0
    end = stop if tail == head else fitting[kind]
    if k < end:
        pieces[0, 0], pieces[0, 1], pieces[0, 2], pieces[0, 3] = kind, k, end, 1
        found = 1
    if tail > head and stop > 0:
        pieces[found, 0], pieces[found, 1], pieces[found, 2], pieces[found, 3] = last, 0, stop, 1
        found += 1
    between = tail - head - 1
    if between > 0:
        longer = np.int64(0)
        if area[ON_NS] % tick_ns > 0:
            longer = long_windows(area, tail, tick_ns) - long_windows(area, head + 1, tick_ns)
        for middle in (SHORT, LONG):
            times = longer if middle == LONG else between - longer
            end = fitting[middle]
            if times > 0 and end > 0:
                pieces[found, 0], pieces[found, 1] = middle, 0
                pieces[found, 2], pieces[found, 3] = end, times
                found += 1
    return found


@njit(cache=True, nogil=True)
def inside_columns(
    tables: Any,
    least: Any,
    most: Any,
    driven: Any,
    index: Any,
    places: Any,
    rows: Any,
    floor: Any,
    ceiling: Any,
    driven_ns: Any,
) -> None:
    """Take all units that lie wholly inside a column wherever placement moved them, in closed form."""
    area, fitting, tick_ns = tables.area[index], tables.fitting[index], tables.tick_ns
    contacts = area[CONTACTS]
    drive_ns = area[PULSES] * unit_drive_ns(tables, index)
    pieces = np.empty((4, 4), dtype=np.int64)
    near = np.int64(-1)
    for column in range(places.shape[1] - 1):
        for piece in range(stretches(area, fitting, tick_ns, places, column, pieces)):
            kind, k, stop, times = pieces[piece, 0], pieces[piece, 1], pieces[piece, 2], pieces[piece, 3]
            first, count = tables.run_first[index, kind], tables.run_count[index, kind]
            head = run_near(tables.run_starts, first, count, k, near)
            tail = run_near(tables.run_starts, first, count, stop - 1, head)
            near = tail
            for c in range(contacts):
                units = driven[tail, c] - driven[head, c]
                if tables.currents[tail, c] != 0:
                    units += stop - tables.run_starts[tail]
                if tables.currents[head, c] != 0:
                    units -= k - tables.run_starts[head]
                left = head - first + count
                low, high = least[2 * first + left, c], most[2 * first + left, c]
                if head == first and tail == first + count - 1:
                    low, high = least[2 * first + 1, c], most[2 * first + 1, c]
                elif head < tail:
                    right = tail - first + count + 1
                    while left < right:
                        if left & 1:
                            low = min(low, least[2 * first + left, c])
                            high = max(high, most[2 * first + left, c])
                            left += 1
                        if right & 1:
                            right -= 1
                            low = min(low, least[2 * first + right, c])
                            high = max(high, most[2 * first + right, c])
                        left >>= 1
                        right >>= 1
                to = rows[c]
                driven_ns[to, column] += units * times * drive_ns
                floor[to, column] = min(floor[to, column], low)
                ceiling[to, column] = max(ceiling[to, column], high)


@njit(cache=True, nogil=True)
def lone_edge_units(tables: Any, places: Any, found_onset: Any, found_run: Any) -> Any:
    """Gather the units near the edges where one area is alone, so that none moves; returns how many.

    ``places`` [2, edges, 3] as of `locate_edges`; ``found_onset``, ``found_run`` take the units.
    """
    area, tick = tables.area[0], tables.tick_ns
    found = np.int64(0)
    near = np.int64(-1)
    for at in range(places.shape[1]):
        number, k = places[REACHING, at, 0], places[REACHING, at, 1]
        last, end = places[FROM, at, 0], places[FROM, at, 1]
        while number < last or (number == last and k < end):
            start, _, kind = window_of(area, number, tick)
            stop = end if number == last else tables.fitting[0, kind]
            first, count = tables.run_first[0, kind], tables.run_count[0, kind]
            while k < stop:
                near = run_near(tables.run_starts, first, count, k, near)
                found_onset[found] = start + muldiv(k, area[PERIOD_NUM], area[PERIOD_DEN])[0]
                found_run[found] = near
                found += 1
                k += 1
            number += 1
            k = np.int64(0)
    return found


@njit(cache=True, nogil=True)
def any_between(tables: Any, index: Any, places: Any, at: Any) -> Any:
    """Whether a unit that fits lies between the two places of an edge."""
    begun, k, kind = (
        places[index, REACHING, at, 0],
        places[index, REACHING, at, 1],
        places[index, REACHING, at, 2],
    )
    number, stop = places[index, FROM, at, 0], places[index, FROM, at, 1]
    if begun == number:
        return k < stop
    return k < tables.fitting[index, kind] or stop > 0 or number > begun + 1


@njit(cache=True, nogil=True)
def edge_units(
    tables: Any,
    margins: Any,
    places: Any,
    floors: Any,
    ceilings: Any,
    onset: Any,
    unit: Any,
    run: Any,
    nominal: Any,
    occupied: Any,
    counts: Any,
    found_onset: Any,
    found_run: Any,
    found: Any,
) -> Any:
    """Gather the placed units that `inside_columns` leaves out, those near each edge, area by area.

    ``margins`` .. ``ceilings`` as of `locate_edges`; ``onset`` .. ``counts`` are scratch as for
    `place_range`; ``found_onset``, ``found_run`` [areas, capacity] take the units and ``found`` [areas]
    their number. False where they do not fit.
    """
    areas = len(tables.area)
    reach = margins.max()
    for at in range(len(floors)):
        high = ceilings[at]
        low = floors[at] - reach + 1
        near = False
        for index in range(areas):
            near = near or any_between(tables, index, places, at)
        if not near:
            continue
        place_range(tables, low, high, onset, unit, run, nominal, occupied, counts)
        for index in range(areas):
            begin = floors[at] - margins[index] + 1
            if at > 0:
                begin = max(begin, ceilings[at - 1])
            for i in range(counts[index, 0]):
                if begin <= nominal[index, i] < high:
                    if found[index] == found_onset.shape[1]:
                        return False
                    found_onset[index, found[index]] = onset[index, i]
                    found_run[index, found[index]] = run[index, i]
                    found[index] += 1
    return True
