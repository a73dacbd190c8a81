"""Placing several areas on one output (rule 8): placed units of any time range, and the proof of no drop.

Placement needs no history, so a range is placed by looking no farther back than units and their
largest shifts reach.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from neurostim.core.dose import UnitTotals
from neurostim.core.tables import SOLID, Tables, placement_order
from neurostim.core.timing import AreaTiming

if TYPE_CHECKING:
    from neurostim.core.schedule import Schedule

HYPERPERIOD_UNITS: Final = 10**7
"""Most units over which "no drop" is proven by placing them all (rule 8)."""

_CHUNK_UNITS: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class AreaInterleave:
    """What placing did to one area, over the units that were placed to know it.

    ``worst_shift_ticks`` is the largest move (where proven by a bound: an upper bound of it);
    ``dropped`` of ``units`` nominal units that fit their window were dropped.
    """

    worst_shift_ticks: int
    units: int
    dropped: int

    @property
    def share_dropped(self) -> Fraction:
        """Exact share of units dropped."""
        return Fraction(self.dropped, self.units) if self.units else Fraction(0)


@dataclass(frozen=True, slots=True)
class Interleave:
    """How areas share the output, and how that is known.

    ``proof`` is ``"one area"``, ``"every unit"``, ``"hyperperiod"``, ``"bound"`` or, only where
    drops are accepted, ``"first units"``: the first 10^7 units were placed. ``dropping`` says that
    units are, or may be, dropped.
    """

    areas: tuple[AreaInterleave, ...]
    proof: str
    dropping: bool


@dataclass
class Placed:
    """Placed units of all areas for a range of nominal onsets; row ``i`` of each array is area ``i``.

    ``onset``, ``nominal`` [ticks], ``unit`` (running index) and ``run`` (row of the current table) are
    int64[areas, capacity], of which ``counts[i, 0]`` are filled; ``counts[i, 1:]`` are units dropped
    and the worst shift among those nominal in the range.
    """

    onset: npt.NDArray[np.int64]
    nominal: npt.NDArray[np.int64]
    unit: npt.NDArray[np.int64]
    run: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]


class Placer:
    """Places ranges of a schedule, keeping its scratch memory between calls."""

    def __init__(self, tables: Tables, timings: tuple[AreaTiming, ...]) -> None:
        self._tables = tables
        self._timings = timings
        self._capacity = 0
        self._taken_capacity = 0
        self.reach = sum(timing.unit_occupancy + timing.max_shift + tables.guard for timing in timings)

    def place(self, low: int, high: int) -> Placed:
        """Place all units with nominal onset in [low, high); the result is valid until the next call."""
        from neurostim.core.kernels import place_range

        self._reserve(low - 2 * self.reach, high + 2 * self.reach)
        place_range(
            self._tables,
            low,
            high,
            self._placed.onset,
            self._placed.unit,
            self._placed.run,
            self._placed.nominal,
            self._occupied,
            self._placed.counts,
        )
        return self._placed

    def scratch(self, ticks: int) -> tuple[Placed, npt.NDArray[np.int64]]:
        """The placer's memory, large enough to place any range of ``ticks`` by the kernel itself."""
        self._reserve(-2 * self.reach, ticks + 2 * self.reach)
        return self._placed, self._occupied

    def _reserve(self, low: int, high: int) -> None:
        most = [unit_bound(timing, high - low) for timing in self._timings]
        capacity = max(most)
        taken = 1
        if len(most) > 1:
            taken = sum(
                count * (1 if self._tables.area[index, SOLID] else timing.pulses)
                for index, (count, timing) in enumerate(zip(most, self._timings, strict=True))
            )
        if capacity > self._capacity:
            self._capacity = capacity
            shape = (len(most), capacity)
            self._placed = Placed(
                np.empty(shape, dtype=np.int64),
                np.empty(shape, dtype=np.int64),
                np.empty(shape, dtype=np.int64),
                np.empty(shape, dtype=np.int64),
                np.zeros((len(most), 3), dtype=np.int64),
            )
        if taken > self._taken_capacity:
            self._taken_capacity = taken
            self._occupied = np.empty((4, taken), dtype=np.int64)


def unit_bound(timing: AreaTiming, ticks: int) -> int:
    """An upper bound of the units of an area with nominal onset in any range of ``ticks``."""
    windows = ticks * timing.tick_ns // timing.cycle_ns + 2 if timing.cycle_ns else 1
    return ticks // timing.interval + 2 * windows + 1


@dataclass(frozen=True, slots=True)
class Span:
    """A range of nominal onsets that stands for ``times`` ranges alike."""

    low: int
    high: int
    times: int


def spans(timings: tuple[AreaTiming, ...], reach: int, stop: int | None) -> list[Span]:
    """Ranges to place so that all units nominal before ``stop`` ticks are known.

    After the last delay and first ramp the program repeats with the hyperperiod, until the duration
    cuts it.
    ``stop`` None: the whole program; an endless one is then known from its head and one hyperperiod.
    """
    tick, duration_ns = timings[0].tick_ns, timings[0].duration_ns
    period = hyperperiod(timings)
    end = -(-duration_ns // tick) if duration_ns else None
    limit, tail = 0, None
    if stop is not None and (end is None or stop < end):
        limit = tail = stop
    elif end is not None:
        # Units this near the end may be cut by it.
        limit, tail = end, max(0, end - _tail(timings, reach))
    head = reach + max(
        -(-(timing.area.delay_ns + (0 if timing.cycle_ns else timing.area.ramp_up_ns)) // tick)
        for timing in timings
    )
    if tail is None:
        return [Span(0, head, 1), Span(head, head + period, 1)]
    repeats = (tail - head) // period if tail > head else 0
    if repeats <= 1:
        return [Span(0, limit, 1)]
    middle = head + repeats * period
    return [Span(0, head, 1), Span(head, head + period, repeats), Span(middle, limit, 1)]


def _tail(timings: tuple[AreaTiming, ...], reach: int) -> int:
    # A window that the duration cuts is of its own kind (its ramp down too), so all of it counts.
    cycle = max(-(-timing.cycle_ns // timing.tick_ns) for timing in timings)
    down = max(-(-timing.area.ramp_down_ns // timing.tick_ns) for timing in timings)
    return reach + cycle + down + 2


def hyperperiod(timings: tuple[AreaTiming, ...]) -> int:
    """Ticks after which onsets of all areas repeat exactly, once every area has begun."""
    return lcm(*(_repeat(timing) for timing in timings))


def _repeat(timing: AreaTiming) -> int:
    if timing.cycle_ns:
        return Fraction(timing.cycle_ns, timing.tick_ns).numerator
    return timing.period.numerator


def interleave_of(schedule: Schedule, placer: Placer) -> Interleave | str:
    """Judge how the areas of a schedule meet; a text says why it is refused (rule 8)."""
    timings = schedule.timings
    if len(timings) == 1:
        return Interleave((AreaInterleave(0, 0, 0),), "one area", False)
    ranges = spans(timings, placer.reach, None)
    if all(_units(timings, one) <= HYPERPERIOD_UNITS for one in ranges):
        found = _place_all(timings, placer, ranges)
        proof = "every unit" if len(ranges) == 1 and timings[0].duration_ns else "hyperperiod"
        return _verdict(schedule, found, proof)
    if not schedule.image.interleave_drop:
        bound = bound_of_shifts(schedule, placer)
        if isinstance(bound, str):
            return bound
        return Interleave(bound, "bound", False)
    first = _first_units(timings)
    found = _place_all(timings, placer, [Span(0, first, 1)])
    areas = tuple(AreaInterleave(worst, units, dropped) for worst, units, dropped in found)
    return Interleave(areas, "first units", True)


def _verdict(schedule: Schedule, found: list[tuple[int, int, int]], proof: str) -> Interleave | str:
    areas = tuple(AreaInterleave(worst, units, dropped) for worst, units, dropped in found)
    dropping = any(area.dropped for area in areas)
    if dropping and not schedule.image.interleave_drop:
        losses = ", ".join(
            f"{schedule.names[index]!r} {area.dropped} of {area.units}"
            for index, area in enumerate(areas)
            if area.dropped
        )
        return f"units without a place between those of areas before them: {losses}"
    return Interleave(areas, proof, dropping)


def _units(timings: tuple[AreaTiming, ...], one: Span) -> int:
    return sum(timing.nominal_until(one.high) - timing.nominal_until(one.low) for timing in timings)


def _first_units(timings: tuple[AreaTiming, ...]) -> int:
    """The largest power of two of ticks that holds at most 10^7 units (and one second of them)."""
    ticks = 1
    while sum(timing.nominal_until(2 * ticks) for timing in timings) <= HYPERPERIOD_UNITS and ticks < 1 << 55:
        ticks *= 2
    return ticks


def _place_all(
    timings: tuple[AreaTiming, ...], placer: Placer, ranges: list[Span]
) -> list[tuple[int, int, int]]:
    worst = [0] * len(timings)
    units = [0] * len(timings)
    dropped = [0] * len(timings)
    for one in ranges:
        for low, high in chunks(timings, one.low, one.high):
            placed = placer.place(low, high)
            for index in range(len(timings)):
                count = int(placed.counts[index, 0])
                nominal = placed.nominal[index, :count]
                inside = int(np.searchsorted(nominal, high) - np.searchsorted(nominal, low))
                units[index] += (inside + int(placed.counts[index, 1])) * one.times
                dropped[index] += int(placed.counts[index, 1]) * one.times
                worst[index] = max(worst[index], int(placed.counts[index, 2]))
    return list(zip(worst, units, dropped, strict=True))


def chunks(timings: tuple[AreaTiming, ...], low: int, high: int) -> Iterator[tuple[int, int]]:
    """Cut [low, high) so that no piece holds many more than 65536 units of any area."""
    step = min(timing.interval for timing in timings) * _CHUNK_UNITS
    while low < high:
        yield low, min(low + step, high)
        low += step


def dropped_totals(schedule: Schedule, placer: Placer, tables: Tables, limit_ns: int) -> list[UnitTotals]:
    """Sums over the placed units nominal before ``limit_ns`` where rule 8 drops units.

    One hyperperiod stands for all alike; where it is longer than the program, every unit is placed.
    """
    timings = schedule.timings
    tick = timings[0].tick_ns
    totals = [UnitTotals(len(timing.area.shares)) for timing in timings]
    ranges = spans(timings, placer.reach, -(-limit_ns // tick))
    for one in ranges:
        for low, high in chunks(timings, one.low, one.high):
            placed = placer.place(low, high)
            for index, timing in enumerate(timings):
                total = totals[index]
                nominal = timing.nominal_until(high) - timing.nominal_until(low)
                total.nominal += nominal * one.times
                total.dropped += int(placed.counts[index, 1]) * one.times
                known = placed.nominal[index, : int(placed.counts[index, 0])]
                begin, end = (int(at) for at in np.searchsorted(known, (low, high)))
                rows, counts = np.unique(placed.run[index, begin:end], return_counts=True)
                for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
                    total.units += count * one.times
                    total.add(count * one.times, tables.currents[row, : total.contacts].tolist())
    return totals


def bound_of_shifts(schedule: Schedule, placer: Placer) -> tuple[AreaInterleave, ...] | str:
    """Bound the shift of every unit without placing them, or say which area it cannot be bounded for.

    A unit as one block of length D moves past blocks of areas before it. In a move of s, at most
    n(s) blocks can be met, each forbidding less than its length + D + 2 guards of starting places; the
    least s that covers all it meets bounds every shift.
    """
    timings = schedule.timings
    order = placement_order(schedule)
    guard = schedule.image.grid.guard_ticks
    results = [AreaInterleave(0, 0, 0)] * len(timings)
    for rank, index in enumerate(order):
        if rank == 0:
            continue
        mine = timings[index]
        earlier = [(timings[other], results[other].worst_shift_ticks) for other in order[:rank]]
        shift = _bounded_shift(mine, earlier, guard)
        reason = f"no bound below the allowed shift of {mine.max_shift} ticks was found"
        if shift is None or mine.interval - mine.unit_occupancy < shift:
            return _unproven(schedule, index, reason)
        if _slack(mine) < shift:
            return _unproven(schedule, index, "its windows end too close to their last unit")
        results[index] = AreaInterleave(shift, 0, 0)
    return tuple(results)


def _unproven(schedule: Schedule, index: int, reason: str) -> str:
    return (
        "that no unit is dropped cannot be proven: the hyperperiod has more than "
        f"{HYPERPERIOD_UNITS} units, and for {schedule.names[index]!r} {reason}"
    )


def _bounded_shift(mine: AreaTiming, earlier: list[tuple[AreaTiming, int]], guard: int) -> int | None:
    def covered(shift: int) -> int:
        total = 0
        for other, moved in earlier:
            forbids = other.unit_occupancy + mine.unit_occupancy + 2 * guard
            reach = shift + forbids + moved
            meets = reach // other.interval + 1
            if other.cycle_ns:
                meets += 1 + reach * other.tick_ns // other.cycle_ns
            total += meets * forbids
        return total

    shift = covered(0)
    while shift <= mine.max_shift:
        larger = covered(shift)
        if larger == shift:
            return shift
        shift = larger
    return None


def _slack(timing: AreaTiming) -> int:
    """The least ticks by which any window outlasts its last unit, or the next window that unit's recovery."""
    slack = timing.interval
    kinds = timing.window_kinds() if timing.cycle_ns else {(timing.window(0).length, None)}
    for length, distance in kinds:
        if length is None or timing.units_fitting(length) == 0:
            continue
        last = timing.onset(timing.units_fitting(length) - 1)
        slack = min(slack, length - last - timing.unit_length)
        if distance is not None:
            slack = min(slack, distance - last - timing.unit_occupancy)
    return slack
