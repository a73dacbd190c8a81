"""A slow reading of the program format in exact rationals, for tests: every unit, every tick, no cleverness.

Written from docs/program-format.md alone. It shares nothing with `neurostim.core` but the
definitions of a program and a grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

from neurostim.core.image import Grid
from neurostim.core.program import Area, Program, Recharge

Row = tuple[int, int, int, int, int, int, int, int]
"""start_ns, duration_ns, contact, kind, amplitude_na, area, unit, pulse."""

STIM, RECHARGE, PASSIVE = 0, 1, 2


@dataclass
class Unit:
    number: int
    nominal: int
    window: tuple[int, int | None]
    next_nominal: int | None
    placed: int | None = None
    dropped: bool = False
    currents: dict[int, int] = field(default_factory=dict)


@dataclass
class Meaning:
    """Everything of one area, in ticks."""

    area: Area
    width: int
    gap: int
    length: int
    phases: list[tuple[int, int, Fraction, int]]
    offsets: list[int]
    occupancies: list[tuple[int, int]]
    interval: int
    units: list[Unit] = field(default_factory=list)

    @property
    def unit_length(self) -> int:
        return self.offsets[-1] + self.length

    @property
    def unit_occupancy(self) -> int:
        return self.occupancies[-1][1]


def contact_index(label: str) -> int:
    return 255 if label == "return" else int(label)


def share_out(amplitude: int, factor: Fraction, area: Area, step: int) -> dict[int, int]:
    """Rule 6, dealing the rest out one quantum at a time, round and round."""
    q = step * (area.pulse.ratio if area.pulse.recharge is Recharge.ACTIVE_ASYMMETRIC else 1)
    shares = sorted((contact_index(one.contact), Fraction(one.permille, 1000)) for one in area.shares)
    carried = {}
    for contact, share in shares:
        if share < 0:
            carried[contact] = -floor(amplitude * factor * -share / q) * q
    total = -sum(carried.values())
    for contact, share in shares:
        if share > 0:
            carried[contact] = floor(total * share / q) * q
    while sum(carried.values()) != 0:
        for contact, share in shares:
            if share > 0 and sum(carried.values()) != 0:
                carried[contact] += q
    return dict(sorted(carried.items()))


def rounded(time_ns: int, tick: int) -> int:
    ticks = round(Fraction(time_ns, tick))
    return 1 if time_ns and not ticks else ticks


def understand(area: Area, grid: Grid) -> Meaning:
    tick = grid.tick_ns
    w, gap = rounded(area.pulse.width_ns, tick), rounded(area.pulse.interphase_ns, tick)
    kind = area.pulse.recharge
    one = Fraction(1)
    if kind is Recharge.TRIPHASIC:
        phases = [(0, w, one, STIM), (w + gap, 2 * w, -one, STIM), (3 * w + 2 * gap, w, one, STIM)]
    elif kind is Recharge.ACTIVE_SYMMETRIC:
        phases = [(0, w, one, STIM), (w + gap, w, -one, RECHARGE)]
    elif kind is Recharge.ACTIVE_ASYMMETRIC:
        n = area.pulse.ratio
        phases = [(0, w, one, STIM), (w + gap, w * n, Fraction(-1, n), RECHARGE)]
    else:
        phases = [(0, w, one, STIM)]
    length = phases[-1][0] + phases[-1][1]
    burst = area.train.burst
    pulses = burst.pulses if burst else 1
    offsets = [0]
    if burst:
        spacing = Fraction(10**9) / burst.rate_hz / tick
        offsets = [floor(j * spacing) for j in range(pulses)]
    rest = gap + grid.recovery_min_ticks
    occupancies = []
    for j, offset in enumerate(offsets):
        recovers = kind is Recharge.PASSIVE or (kind is Recharge.PASSIVE_AFTER_BURST and j == pulses - 1)
        occupancies.append((offset, offset + length + (rest if recovers else 0)))
    if kind is Recharge.PASSIVE_AFTER_BURST:
        occupancies = [(0, occupancies[-1][1])]
    interval = floor(Fraction(10**9) / area.train.rate_hz / tick)
    return Meaning(area, w, gap, length, phases, offsets, occupancies, interval)


def windows(area: Area, duration: int | None, until_ns: int) -> list[tuple[int, int | None]]:
    """Window ends in ns, those that start before ``until_ns``."""
    if area.cycle is None:
        return [(area.delay_ns, duration)]
    found = []
    start = area.delay_ns
    while start < until_ns and (duration is None or start < duration):
        end = start + area.cycle.on_ns
        found.append((start, end if duration is None else min(end, duration)))
        start += area.cycle.on_ns + area.cycle.off_ns
    return found


def all_units(meaning: Meaning, duration: int | None, until_ns: int, grid: Grid) -> list[Unit]:
    """Nominal units of all windows that start before ``until_ns``, cut a little after it."""
    tick, area = grid.tick_ns, meaning.area
    period = Fraction(10**9) / area.train.rate_hz / tick
    spans = windows(area, duration, until_ns + (area.cycle.on_ns + area.cycle.off_ns if area.cycle else 0))
    found: list[Unit] = []
    number = 0
    for n, (start_ns, end_ns) in enumerate(spans):
        s = start_ns // tick
        e = None if end_ns is None else end_ns // tick
        following = spans[n + 1][0] // tick if n + 1 < len(spans) else None
        k = 0
        while True:
            t = s + floor(k * period)
            if (e is not None and t >= e) or (e is None and t * tick >= until_ns):
                break
            after = s + floor((k + 1) * period)
            if following is not None:
                after = min(after, following)
            found.append(Unit(number, t, (s, e), after))
            number += 1
            k += 1
    return found


def factor_of(unit: Unit, area: Area, tick: int) -> Fraction:
    s, e = unit.window
    terms = [Fraction(1)]
    if area.ramp.up_ns:
        terms.append(Fraction((unit.nominal - s) * tick, area.ramp.up_ns))
    if area.ramp.down_ns and e is not None:
        terms.append(Fraction((e - unit.nominal) * tick, area.ramp.down_ns))
    return min(terms)


def place(program: Program, grid: Grid, until_ns: int) -> list[Meaning]:
    """Rule 8, trying every tick. Units of each area in file order; ``placed`` None is not emitted."""
    meanings = [understand(area, grid) for area in program.areas]
    for meaning in meanings:
        meaning.units = all_units(meaning, program.duration_ns, until_ns, grid)
    order = sorted(range(len(meanings)), key=lambda i: (program.areas[i].priority, i))
    taken: list[tuple[int, int]] = []
    for rank, index in enumerate(order):
        meaning = meanings[index]
        mine: list[tuple[int, int]] = []
        for unit in meaning.units:
            end = unit.window[1]
            if end is not None and unit.nominal + meaning.unit_length > end:
                continue
            unit.currents = share_out(
                meaning.area.amplitude,
                factor_of(unit, meaning.area, grid.tick_ns),
                meaning.area,
                grid.step_na,
            )
            if rank == 0:
                unit.placed = unit.nominal
            else:
                near = [
                    (b, e)
                    for b, e in taken
                    if e + grid.guard_ticks > unit.nominal
                    and b - grid.guard_ticks < unit.nominal + 2 * meaning.interval
                ]
                for shift in range(meaning.interval // 4 + 1):
                    at = unit.nominal + shift
                    if at + meaning.unit_occupancy > unit.next_nominal or (
                        end is not None and at + meaning.unit_length > end
                    ):
                        break
                    if all(
                        at + b >= taken_end + grid.guard_ticks or at + e + grid.guard_ticks <= taken_begin
                        for b, e in meaning.occupancies
                        for taken_begin, taken_end in near
                    ):
                        unit.placed = at
                        break
                unit.dropped = unit.placed is None
            if unit.placed is not None:
                mine.extend((unit.placed + b, unit.placed + e) for b, e in meaning.occupancies)
        taken = sorted([*taken, *mine])
    return meanings


def rows(program: Program, grid: Grid, until_ns: int) -> list[Row]:
    """Every row of the event table that starts before ``until_ns``."""
    # Later units shape earlier rows: the next onset ends a passive stretch, others cut it.
    horizon = until_ns + 400_000_000
    meanings = place(program, grid, horizon)
    pulses = []
    for index, meaning in enumerate(meanings):
        for unit in meaning.units:
            if unit.placed is not None:
                pulses.extend((unit.placed + offset, index) for offset in meaning.offsets)
    pulses.sort()
    found: list[Row] = []
    tick = grid.tick_ns
    for index, meaning in enumerate(meanings):
        own = [onset for onset, area in pulses if area == index]
        others = [(onset, onset + meanings[area].length) for onset, area in pulses if area != index]
        for unit in meaning.units:
            if unit.placed is None or not any(unit.currents.values()):
                continue
            for j, offset in enumerate(meaning.offsets):
                onset = unit.placed + offset
                for start, width, scale, kind in meaning.phases:
                    for contact, current in unit.currents.items():
                        if current:
                            value = current * scale
                            assert value.denominator == 1
                            found.append(
                                (
                                    (onset + start) * tick,
                                    width * tick,
                                    contact,
                                    kind,
                                    int(value),
                                    index,
                                    unit.number,
                                    j,
                                )
                            )
                recharge = meaning.area.pulse.recharge
                last = j == len(meaning.offsets) - 1
                if recharge is Recharge.PASSIVE or (recharge is Recharge.PASSIVE_AFTER_BURST and last):
                    begin = onset + meaning.length + meaning.gap
                    end = begin + 100_000_000 // tick
                    following = [other for other in own if other > onset]
                    if following:
                        end = min(end, following[0] - grid.guard_ticks)
                    for b, e in cut(begin, end, others, grid.guard_ticks):
                        for contact in unit.currents:
                            row = (b * tick, (e - b) * tick, contact, PASSIVE, 0, index, unit.number, j)
                            found += [row]
    return sorted(
        (row for row in found if row[0] < until_ns), key=lambda row: (row[0], row[2], row[3], row[5])
    )


def cut(begin: int, end: int, others: list[tuple[int, int]], guard: int) -> list[tuple[int, int]]:
    """What is left of [begin, end) without ``guard`` before to ``guard`` after each other pulse."""
    pieces = []
    cursor = begin
    for b, e in others:
        if e + guard <= cursor or b - guard >= end:
            continue
        if b - guard > cursor:
            pieces.append((cursor, b - guard))
        cursor = max(cursor, e + guard)
    if cursor < end:
        pieces.append((cursor, end))
    return pieces


def charge(program: Program, grid: Grid, until_ns: int) -> list[dict[int, tuple[int, int]]]:
    """Per area and contact: stimulation and net charge [aC] of units nominal before ``until_ns``."""
    result = []
    for meaning in place(program, grid, until_ns + 400_000_000):
        forward = sum(width for _, width, scale, _ in meaning.phases if scale > 0) * grid.tick_ns
        net = sum(width * scale for _, width, scale, _ in meaning.phases) * grid.tick_ns
        sums: dict[int, tuple[int, int]] = {contact_index(one.contact): (0, 0) for one in meaning.area.shares}
        for unit in meaning.units:
            if unit.placed is None or unit.nominal * grid.tick_ns >= until_ns:
                continue
            for contact, current in unit.currents.items():
                stimulation, total = sums[contact]
                many = len(meaning.offsets)
                sums[contact] = (
                    stimulation + abs(current) * forward * many,
                    total + int(current * net) * many,
                )
        result.append(dict(sorted(sums.items())))
    return result
