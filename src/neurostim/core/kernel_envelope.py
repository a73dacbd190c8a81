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
    locate,
    long_windows,
    place_range,
    run_at,
)
from neurostim.core.tables import (
    CONTACTS,
    LONG,
    ON_NS,
    PHASES,
    PULSE_LEN,
    PULSES,
    SHORT,
)


@njit(cache=True, nogil=True)
def build_trees(tables: Any, least: Any, most: Any, driven: Any) -> None:
    """Range minima and maxima of the runs of each window kind, and running counts of driven units.

    ``least``, ``most`` int32[2 rows, columns] hold a binary tree for the runs of each window kind;
    ``driven`` int64[rows, columns] counts units with current in the runs before.
    """
    columns = tables.currents.shape[1]
    for index in range(len(tables.area)):
        for kind in range(tables.run_first.shape[1]):
            first, count = tables.run_first[index, kind], tables.run_count[index, kind]
            root = 2 * first
            for i in range(count):
                for c in range(columns):
                    current = tables.currents[first + i, c]
                    least[root + count + i, c] = current
                    most[root + count + i, c] = current
                    if i > 0:
                        units = tables.run_starts[first + i] - tables.run_starts[first + i - 1]
                        before = tables.currents[first + i - 1, c] != 0
                        driven[first + i, c] = driven[first + i - 1, c] + (units if before else 0)
            for i in range(count - 1, 0, -1):
                for c in range(columns):
                    least[root + i, c] = min(least[root + 2 * i, c], least[root + 2 * i + 1, c])
                    most[root + i, c] = max(most[root + 2 * i, c], most[root + 2 * i + 1, c])


@njit(cache=True, nogil=True)
def mark(
    tables: Any, index: Any, phase: Any, low: Any, high: Any, row: Any, column: Any, floor: Any, ceiling: Any
) -> None:
    """Take a phase of units whose contact current lies between ``low`` and ``high`` into a column."""
    sign, divisor = tables.phases[index, phase, 2], tables.phases[index, phase, 3]
    bottom = low if sign > 0 else -high // divisor
    top = high if sign > 0 else -low // divisor
    floor[row, column] = min(np.int64(floor[row, column]), bottom)
    ceiling[row, column] = max(np.int64(ceiling[row, column]), top)


@njit(cache=True, nogil=True)
def walk_units(
    tables: Any,
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
    drive_ns = np.int64(0)
    for p in range(phases):
        drive_ns += tables.phases[index, p, 1] * tick
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
                    current = np.int64(tables.currents[row, c])
                    if current != 0:
                        driven_ns[rows[c], column] += (low + 1 - j) * drive_ns
                        for p in range(phases):
                            mark(tables, index, p, current, current, rows[c], column, floor, ceiling)
                j = low + 1
                continue
            for p in range(phases):
                phase_begin = begin + tables.phases[index, p, 0] * tick
                phase_end = phase_begin + tables.phases[index, p, 1] * tick
                at = column
                while at < columns and edges[at] < phase_end:
                    overlap = min(phase_end, edges[at + 1]) - max(phase_begin, edges[at])
                    if overlap > 0:
                        for c in range(contacts):
                            current = np.int64(tables.currents[row, c])
                            if current != 0:
                                driven_ns[rows[c], at] += overlap
                                mark(tables, index, p, current, current, rows[c], at, floor, ceiling)
                    at += 1
            j += 1


@njit(cache=True, nogil=True)
def inside_range(
    tables: Any,
    least: Any,
    most: Any,
    driven: Any,
    index: Any,
    kind: Any,
    k: Any,
    stop: Any,
    times: Any,
    column: Any,
    rows: Any,
    floor: Any,
    ceiling: Any,
    driven_ns: Any,
) -> None:
    """Take units ``k <= unit < stop`` of ``times`` windows of one kind, all wholly inside a column."""
    if k >= stop or times <= 0:
        return
    area = tables.area[index]
    first, count = tables.run_first[index, kind], tables.run_count[index, kind]
    head = run_at(tables.run_starts, first, count, k)
    tail = run_at(tables.run_starts, first, count, stop - 1)
    drive_ns = np.int64(0)
    for p in range(area[PHASES]):
        drive_ns += tables.phases[index, p, 1] * tables.tick_ns
    for c in range(area[CONTACTS]):
        units = driven[tail, c] - driven[head, c]
        if tables.currents[tail, c] != 0:
            units += stop - tables.run_starts[tail]
        if tables.currents[head, c] != 0:
            units -= k - tables.run_starts[head]
        if units > 0:
            driven_ns[rows[c], column] += units * times * area[PULSES] * drive_ns
        low = np.int64(tables.currents[head, c])
        high = low
        left = head - first + count
        right = tail - first + count + 1
        if head == tail:
            left = right
        elif head == first and tail == first + count - 1:
            low, high = np.int64(least[2 * first + 1, c]), np.int64(most[2 * first + 1, c])
            left = right
        while left < right:
            if left & 1:
                low = min(low, np.int64(least[2 * first + left, c]))
                high = max(high, np.int64(most[2 * first + left, c]))
                left += 1
            if right & 1:
                right -= 1
                low = min(low, np.int64(least[2 * first + right, c]))
                high = max(high, np.int64(most[2 * first + right, c]))
            left //= 2
            right //= 2
        for p in range(area[PHASES]):
            mark(tables, index, p, low, high, rows[c], column, floor, ceiling)


@njit(cache=True, nogil=True)
def locate_edges(tables: Any, margins: Any, edges: Any, places: Any) -> None:
    """For each area and edge, `locate` the edge and the first unit that may reach over it.

    ``margins`` [areas] is each unit's length and worst shift [ticks]; ``places`` int64[areas, edges, 6].
    """
    tick = tables.tick_ns
    for index in range(len(tables.area)):
        for at in range(len(edges)):
            place = locate(tables, index, -(-edges[at] // tick))
            places[index, at, 0], places[index, at, 1], places[index, at, 2] = place
            place = locate(tables, index, edges[at] // tick - margins[index] + 1)
            places[index, at, 3], places[index, at, 4], places[index, at, 5] = place


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
    area, tick = tables.area[index], tables.tick_ns
    for column in range(places.shape[1] - 1):
        head, k, kind = places[index, column, 0], places[index, column, 1], places[index, column, 2]
        tail, stop, last = (
            places[index, column + 1, 3],
            places[index, column + 1, 4],
            places[index, column + 1, 5],
        )
        if tail < head or (tail == head and stop <= k):
            continue
        if tail == head:
            inside_range(
                tables, least, most, driven, index, kind, k, stop, 1, column, rows, floor, ceiling, driven_ns
            )
            continue
        fitting = tables.fitting[index, kind]
        inside_range(
            tables, least, most, driven, index, kind, k, fitting, 1, column, rows, floor, ceiling, driven_ns
        )
        zero = np.int64(0)
        inside_range(
            tables, least, most, driven, index, last, zero, stop, 1, column, rows, floor, ceiling, driven_ns
        )
        between = tail - head - 1
        if between > 0:
            longer = np.int64(0)
            if area[ON_NS] % tick > 0:
                longer = long_windows(area, tail, tick) - long_windows(area, head + 1, tick)
            for middle in (SHORT, LONG):
                times = longer if middle == LONG else between - longer
                fitting = tables.fitting[index, middle]
                inside_range(
                    tables, least, most, driven, index, middle, zero, fitting, times, column, rows, floor,
                    ceiling, driven_ns,
                )  # fmt: skip


@njit(cache=True, nogil=True)
def any_between(tables: Any, index: Any, places: Any, at: Any) -> Any:
    """Whether a unit that fits lies between the two places of an edge."""
    begun, k, kind = places[index, at, 3], places[index, at, 4], places[index, at, 5]
    number, stop = places[index, at, 0], places[index, at, 1]
    if begun == number:
        return k < stop
    return k < tables.fitting[index, kind] or stop > 0 or number > begun + 1


@njit(cache=True, nogil=True)
def edge_units(
    tables: Any,
    margins: Any,
    places: Any,
    edges: Any,
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

    ``margins`` and ``places`` as of `locate_edges`; ``onset`` .. ``counts`` are scratch as for
    `place_range`; ``found_onset``, ``found_run`` [areas, capacity] take the units and ``found`` [areas]
    their number. False where they do not fit.
    """
    areas = len(tables.area)
    tick = tables.tick_ns
    reach = margins.max()
    for at in range(len(edges)):
        high = -(-edges[at] // tick)
        low = edges[at] // tick - reach + 1
        near = False
        for index in range(areas):
            near = near or any_between(tables, index, places, at)
        if not near:
            continue
        place_range(tables, low, high, onset, unit, run, nominal, occupied, counts)
        for index in range(areas):
            begin = edges[at] // tick - margins[index] + 1
            if at > 0:
                begin = max(begin, -(-edges[at - 1] // tick))
            for i in range(counts[index, 0]):
                if begin <= nominal[index, i] < high:
                    if found[index] == found_onset.shape[1]:
                        return False
                    found_onset[index, found[index]] = onset[index, i]
                    found_run[index, found[index]] = run[index, i]
                    found[index] += 1
    return True
