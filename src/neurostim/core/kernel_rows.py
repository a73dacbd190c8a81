"""Kernels that write the rows of the event table from placed units (rules 3, 5, 7 and 9), and merge areas."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from neurostim.core.tables import (
    CONTACTS,
    INTERPHASE,
    PASSIVE,
    PASSIVE_LIMIT,
    PHASES,
    PULSE_LEN,
    PULSES,
    TRIPHASIC,
    UNIT_LEN,
)

STIM = np.int8(0)
RECHARGE = np.int8(1)
SHORTED = np.int8(2)


@njit(cache=True, nogil=True)
def other_pulses(tables: Any, index: Any, onset: Any, counts: Any, begins: Any, ends: Any) -> Any:
    """Driven intervals of all areas but ``index``, merged in time; returns how many."""
    total = np.int64(0)
    for other in range(len(tables.order)):
        if other == index:
            continue
        length, pulses = tables.area[other, PULSE_LEN], tables.area[other, PULSES]
        # Merge in place from the back: both lists ascend.
        added = counts[other, 0] * pulses
        to = total + added - 1
        old = total - 1
        new = added - 1
        while new >= 0:
            begin = onset[other, new // pulses] + tables.offsets[other, new % pulses]
            if old >= 0 and begins[old] > begin:
                begins[to] = begins[old]
                ends[to] = ends[old]
                old -= 1
            else:
                begins[to] = begin
                ends[to] = begin + length
                new -= 1
            to -= 1
        total += added
    return total


@njit(cache=True, nogil=True)
def pulse_rows(
    tables: Any, index: Any, row: Any, offsets: Any, widths: Any, contacts: Any, kinds: Any, currents: Any
) -> Any:
    """Write the driven rows of one pulse of a run, relative to its onset [ns]; returns how many."""
    area, tick = tables.area[index], tables.tick_ns
    written = np.int64(0)
    for p in range(area[PHASES]):
        sign, divisor = tables.phases[index, p, 2], tables.phases[index, p, 3]
        for c in range(area[CONTACTS]):
            current = np.int64(tables.currents[row, c])
            if current != 0:
                offsets[written] = tables.phases[index, p, 0] * tick
                widths[written] = tables.phases[index, p, 1] * tick
                contacts[written] = tables.contacts[index, c]
                kinds[written] = RECHARGE if (p > 0 and area[TRIPHASIC] == 0) else STIM
                # The divisor divides every current exactly (rule 6), so flooring changes nothing.
                currents[written] = sign * (current // divisor)
                written += 1
    return written


@njit(cache=True, nogil=True)
def write_rows(
    tables: Any,
    index: Any,
    count: Any,
    onset: Any,
    unit: Any,
    run: Any,
    low: Any,
    high: Any,
    cut_begins: Any,
    cut_ends: Any,
    cuts: Any,
    start_ns: Any,
    duration_ns: Any,
    contact: Any,
    kind: Any,
    amplitude: Any,
    area_of: Any,
    unit_of: Any,
    pulse_of: Any,
    at: Any,
) -> Any:
    """Write the rows of one area that start in [low, high) ticks, from ``at`` on; returns the end.

    Units must reach far enough past ``high`` to know the onset that ends each passive stretch;
    ``cut_begins``, ``cut_ends`` [cuts] are the driven intervals of other areas, ascending.
    """
    area, tick, guard = tables.area[index], tables.tick_ns, tables.guard
    pulses, contacts, phases = area[PULSES], area[CONTACTS], area[PHASES]
    length, gap, passive = area[PULSE_LEN], area[INTERPHASE], area[PASSIVE]
    tail = area[UNIT_LEN] + (gap + area[PASSIVE_LIMIT] if passive else np.int64(0))
    label = np.int16(index)
    offsets = np.empty(phases * contacts, dtype=np.int64)
    widths = np.empty(phases * contacts, dtype=np.int64)
    contacts_of = np.empty(phases * contacts, dtype=np.int16)
    kinds = np.empty(phases * contacts, dtype=np.int8)
    currents = np.empty(phases * contacts, dtype=np.int32)
    known = np.int64(-1)
    rows = np.int64(0)
    base = np.int64(0)
    # An unsigned index spares each of the eight stores a test for negative ones.
    to = np.uint64(at)
    for i in range(count):
        first = onset[i]
        if first >= high:
            break
        if first + tail < low:
            continue
        if run[i] != known:
            known = run[i]
            rows = pulse_rows(tables, index, known, offsets, widths, contacts_of, kinds, currents)
        if rows == 0:
            continue
        for j in range(pulses):
            begin = first + tables.offsets[index, j]
            if begin >= high:
                break
            whole = begin >= low and begin + length <= high
            for r in range(np.uint64(rows)):
                begun = begin * tick + offsets[r]
                if whole or low * tick <= begun < high * tick:
                    start_ns[to] = begun
                    duration_ns[to] = widths[r]
                    contact[to] = contacts_of[r]
                    kind[to] = kinds[r]
                    amplitude[to] = currents[r]
                    area_of[to] = label
                    unit_of[to] = unit[i]
                    pulse_of[to] = j
                    to += np.uint64(1)
            if passive == 0 or (passive == 2 and j < pulses - 1):
                continue
            cursor = begin + length + gap
            end = cursor + area[PASSIVE_LIMIT]
            if j < pulses - 1:
                end = min(end, first + tables.offsets[index, j + 1] - guard)
            elif i + 1 < count:
                end = min(end, onset[i + 1] - guard)
            while base < cuts and cut_ends[base] + guard <= cursor:
                base += 1
            following = base
            while cursor < end:
                piece_end = end
                resume = end
                if following < cuts and cut_begins[following] - guard < end:
                    piece_end = cut_begins[following] - guard
                    resume = max(cursor, cut_ends[following] + guard)
                    following += 1
                if piece_end > cursor and low <= cursor < high:
                    for c in range(contacts):
                        start_ns[to] = cursor * tick
                        duration_ns[to] = (piece_end - cursor) * tick
                        contact[to] = tables.contacts[index, c]
                        kind[to] = SHORTED
                        amplitude[to] = 0
                        area_of[to] = label
                        unit_of[to] = unit[i]
                        pulse_of[to] = j
                        to += np.uint64(1)
                cursor = resume
    return np.int64(to)


@njit(cache=True, nogil=True)
def merge_order(start_ns: Any, contact: Any, kind: Any, bounds: Any, order: Any) -> None:
    """Order of rows of several areas by start, contact, kind, area; ``bounds`` are the areas' ends."""
    areas = len(bounds) - 1
    heads = bounds[:-1].copy()
    for to in range(len(order)):
        best = -1
        for a in range(areas):
            head = heads[a]
            if head >= bounds[a + 1]:
                continue
            if best < 0:
                best = a
                continue
            other = heads[best]
            if start_ns[head] != start_ns[other]:
                earlier = start_ns[head] < start_ns[other]
            elif contact[head] != contact[other]:
                earlier = contact[head] < contact[other]
            else:
                earlier = kind[head] < kind[other]
            if earlier:
                best = a
        order[to] = heads[best]
        heads[best] += 1
