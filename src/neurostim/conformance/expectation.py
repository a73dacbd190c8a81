"""What the record must hold in any stretch of time, from the reading alone: phases and shorted stretches.

The stretch is computed with margins wide enough for everything that can reach into it, so the answer
does not depend on where a stretch is cut.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurostim.conformance.commands import CommandLog
from neurostim.conformance.currents import UnitCurrents, unit_currents
from neurostim.conformance.onsets import NEVER, Nominal, Train
from neurostim.conformance.placing import place
from neurostim.conformance.reading import MAX_PASSIVE_NS, AreaReading, ProgramReading

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
MAX_UNITS = 20_000_000


@dataclass(frozen=True, slots=True)
class Drive:
    """Driven phases in time order, times in ticks; ``current_na`` has a column a contact of the judge."""

    start: I64
    length: I64
    recharge: Flags
    area: I64
    unit: I64
    pulse: I64
    onset: I64
    first: Flags
    clipped: Flags
    scaled: Flags
    occupied: I64
    current_na: I64

    def __len__(self) -> int:
        return len(self.start)

    def take(self, which: Flags | I64) -> Drive:
        """Some of the phases."""
        return Drive(**{name: getattr(self, name)[which] for name in Drive.__dataclass_fields__})


@dataclass(frozen=True, slots=True)
class Passive:
    """Shorted stretches, one a contact, in order of start, contact, end; times in ticks."""

    start: I64
    end: I64
    contact: I64
    area: I64
    unit: I64
    pulse: I64
    opening: Flags

    def __len__(self) -> int:
        return len(self.start)

    def take(self, which: Flags) -> Passive:
        """Some of the stretches."""
        return Passive(**{name: getattr(self, name)[which] for name in Passive.__dataclass_fields__})

    def joined(self, later: Passive) -> Passive:
        """These stretches and those of a later block."""
        return Passive(
            **{
                name: np.concatenate([getattr(self, name), getattr(later, name)])
                for name in Passive.__dataclass_fields__
            }
        )


@dataclass(frozen=True, slots=True)
class Stretch:
    """The expectation of one stretch of time, and what the format objects to in it."""

    drive: Drive
    passive: Passive
    dropped: int
    first_dropped: tuple[int, int] | None
    crowded: tuple[int, int] | None

    def with_passive(self, passive: Passive) -> Stretch:
        """The same stretch with other shorted stretches."""
        return replace(self, passive=passive)

    def between(self, begin: int, end: int) -> Stretch:
        """Only what starts in [begin, end); a pulse that loses a phase there counts as clipped."""
        drive, passive = self.drive, self.passive
        inside = (drive.start >= begin) & (drive.start < end)
        if not inside.all():
            torn = np.isin(drive.onset, drive.onset[~inside])
            drive = replace(drive, clipped=drive.clipped | torn).take(inside)
        within = (passive.start >= begin) & (passive.start < end)
        return Stretch(drive, passive.take(within), self.dropped, self.first_dropped, self.crowded)


@dataclass(frozen=True, slots=True)
class _Pulses:
    area: AreaReading
    onset: I64
    row: I64
    unit: I64
    pulse: I64
    last: Flags
    alive: Flags
    currents: UnitCurrents


@dataclass(frozen=True, slots=True)
class Expectation:
    """Answers, for any stretch, what a device that keeps the format delivers.

    Parameters
    ----------
    program : ProgramReading
        The program on the device's grid.
    log : CommandLog
        What the host asked for during the dose.
    columns : dict
        Column of each contact label in the current arrays.
    at_halt : bool
        Whether a pulse that starts exactly at the hard stop is still delivered; both are within the format,
        so the caller decides from the record.
    clip_fault : bool
        Whether a fault cut the pulse under way; likewise.
    """

    program: ProgramReading
    log: CommandLog
    columns: dict[str, int]
    at_halt: bool = False
    clip_fault: bool = False

    @property
    def settle(self) -> int:
        """Longest passive stretch [ticks]."""
        return MAX_PASSIVE_NS // self.program.grid.tick_ns

    @property
    def longest(self) -> int:
        """Longest unit with the interphase that follows it [ticks]."""
        return max(area.drive_end + area.interphase for area in self.program.areas)

    @property
    def loose_from(self) -> int:
        """Tick from which recovery is judged by bounds only: a hard stop or the end of a fade.

        A guard earlier, for a stretch may have been opened for a pulse that the stop then forbade.
        """
        return min(self.log.halt, self.log.faded) - self.program.grid.guard

    def stretch(self, low: int, high: int) -> Stretch:
        """Driven phases of pulses with onset in [low, high), passive stretches with start in [low, high)."""
        order = sorted(self.program.areas, key=lambda area: (area.priority, area.index))
        grid = self.program.grid
        reach = [a.interval // 4 + a.unit_occupancy + 2 * grid.guard + 1 for a in order]
        longest = self.longest
        recovering = any(area.passive for area in order)
        back = longest + 1 + (self.settle if recovering else 0)
        ahead = (self.settle + grid.guard + longest) if recovering else 0
        busy: list[tuple[I64, I64]] = []
        pulses: list[_Pulses] = []
        dropped = 0
        first_dropped: tuple[int, int] | None = None
        crowded: tuple[int, int] | None = None
        for level, area in enumerate(order):
            margin = sum(reach[level:]) if len(order) > 1 else 0
            train = Train(area, grid.tick_ns, self.program.duration_ns)
            nominal = train.nominal(low - back - margin, high + ahead + margin, MAX_UNITS)
            busy_from, busy_to = _merged(busy)
            onset, emitted, lost = place(
                area, nominal, busy_from, busy_to, guard=grid.guard, first=level == 0
            )
            here = (nominal.onset >= low) & (nominal.onset < high)
            if (lost & here).any():
                where = int(np.flatnonzero(lost & here)[0])
                dropped += int((lost & here).sum())
                first_dropped = min(first_dropped or (NEVER, 0), (int(nominal.onset[where]), area.index))
            tight = emitted & here & (onset + area.unit_occupancy > nominal.following)
            if tight.any() and crowded is None:
                crowded = (int(nominal.onset[np.flatnonzero(tight)[0]]), area.index)
            if len(order) > 1:
                spans = np.array(area.spans, dtype=np.int64)
                kept = onset[emitted]
                busy.append(((kept[:, None] + spans[:, 0]).ravel(), (kept[:, None] + spans[:, 1]).ravel()))
            pulses.append(self._pulses(area, nominal, onset, emitted))
        return Stretch(
            drive=self._drive(pulses, low, high),
            passive=self._passive(pulses, low, high),
            dropped=dropped,
            first_dropped=first_dropped,
            crowded=crowded,
        )

    def _pulses(self, area: AreaReading, nominal: Nominal, onset: I64, emitted: Flags) -> _Pulses:
        kept = nominal.take(emitted)
        placed = onset[emitted]
        currents = unit_currents(area, kept, placed, self.log, self.program.grid.tick_ns)
        if not currents.started.all():
            begun = currents.started
            kept, placed, currents = kept.take(begun), placed[begun], currents.take(begun)
        offsets = np.array(area.offsets, dtype=np.int64)
        count = len(offsets)
        row = np.repeat(np.arange(len(placed)), count)
        pulse = np.tile(np.arange(count), len(placed))
        return _Pulses(
            area=area,
            onset=(placed[:, None] + offsets).ravel(),
            row=row,
            unit=kept.unit[row],
            pulse=pulse,
            last=pulse == count - 1,
            alive=np.any(currents.current_na != 0, axis=1)[row],
            currents=currents,
        )

    def _drive(self, pulses: list[_Pulses], low: int, high: int) -> Drive:
        parts = [self._area_drive(entry, low, high) for entry in pulses]
        if len(parts) == 1:
            return parts[0]
        start = np.concatenate([part.start for part in parts])
        order = np.argsort(start, kind="stable")

        names = Drive.__dataclass_fields__
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return Drive(**joined).take(order)

    def _area_drive(self, entry: _Pulses, low: int, high: int) -> Drive:
        area, log = entry.area, self.log
        chosen = (entry.onset >= low) & (entry.onset < high) & entry.alive
        chosen &= (entry.onset < log.halt) | (self.at_halt & (entry.onset == log.halt))
        at = np.flatnonzero(chosen)
        phases = area.phases
        count = len(phases)
        onset = np.repeat(entry.onset[at], count)
        which = np.tile(np.arange(count), len(at))
        start = onset + np.array([p.offset for p in phases], dtype=np.int64)[which]
        length = np.array([p.length for p in phases], dtype=np.int64)[which]
        pulse_row = np.repeat(at, count)
        sign = np.array([p.sign for p in phases], dtype=np.int64)[which]
        divisor = np.array([p.divisor for p in phases], dtype=np.int64)[which]
        unit_row = entry.row[pulse_row]
        current = np.zeros((len(start), len(self.columns)), dtype=np.int64)
        for column, (label, _) in enumerate(area.shares):
            # Magnitudes are whole multiples of divisor x step, so this division is exact.
            current[:, self.columns[label]] = entry.currents.current_na[unit_row, column] // divisor * sign
        cut = min(log.cut, log.halt if self.clip_fault and log.halt_name == "fault" else NEVER)
        clipped = start + length > cut
        length = np.where(clipped, cut - start, length)
        # A pulse of a burst that recovers as one blocks the output until the burst's end.
        whole = area.passive == "last"
        offsets = np.array(area.offsets, dtype=np.int64)[entry.pulse[pulse_row]]
        last = entry.last[pulse_row]
        occupied = (
            onset - offsets + area.unit_occupancy
            if whole
            else onset + np.where(last, area.last_occupancy, area.occupancy)
        )
        live = start < cut
        return Drive(
            start=start[live],
            length=length[live],
            recharge=np.array([p.recharge for p in phases], dtype=np.bool_)[which][live],
            area=np.full(int(live.sum()), area.index, dtype=np.int64),
            unit=entry.unit[pulse_row][live],
            pulse=entry.pulse[pulse_row][live],
            onset=onset[live],
            first=(which == 0)[live],
            clipped=np.repeat(clipped.reshape(-1, count).any(axis=1), count)[live],
            scaled=entry.currents.scaled[unit_row][live],
            occupied=occupied[live],
            current_na=current[live],
        )

    def _passive(self, pulses: list[_Pulses], low: int, high: int) -> Passive:
        guard = self.program.grid.guard
        columns: list[list[I64]] = []
        for entry in pulses:
            area = entry.area
            if not area.passive:
                continue
            cuts = _merged(
                [
                    (other.onset - guard, other.onset + other.area.length + guard)
                    for other in pulses
                    if other is not entry
                ]
            )
            following = np.append(entry.onset[1:], NEVER)
            begin = entry.onset + area.length + area.interphase
            end = np.minimum(following - guard, begin + self.settle)
            chosen = entry.alive & (entry.last | (area.passive == "each")) & (begin < high) & (end > begin)
            at = np.flatnonzero(chosen)
            start, stop, owner = _without(begin[at], end[at], *cuts)
            opening = start == begin[at][owner]
            keep = (start >= low) & (start < high) & (stop < self.loose_from)
            pulse = at[owner[keep]]
            labels = np.array([self.columns[label] for label, _ in area.shares], dtype=np.int64)
            count = len(labels)
            columns.append(
                [
                    np.repeat(start[keep], count),
                    np.repeat(stop[keep], count),
                    np.tile(labels, len(pulse)),
                    np.full(len(pulse) * count, area.index, dtype=np.int64),
                    np.repeat(entry.unit[pulse], count),
                    np.repeat(entry.pulse[pulse], count),
                    np.repeat(opening[keep].astype(np.int64), count),
                ]
            )
        if not columns:
            empty = np.empty(0, dtype=np.int64)
            return Passive(empty, empty, empty, empty, empty, empty, np.empty(0, dtype=np.bool_))
        fields = [np.concatenate([column[i] for column in columns]) for i in range(7)]
        if len(columns) > 1:
            order = np.lexsort((fields[1], fields[2], fields[0]))
            fields = [values[order] for values in fields]
        start, end, contact, owner_area, unit, number, first = fields
        return Passive(start, end, contact, owner_area, unit, number, first.astype(np.bool_))


def _merged(pieces: list[tuple[I64, I64]]) -> tuple[I64, I64]:
    """Intervals from several sources as disjoint intervals in time order."""
    if not pieces:
        empty = np.empty(0, dtype=np.int64)
        return empty, empty
    start = np.concatenate([piece[0] for piece in pieces])
    end = np.concatenate([piece[1] for piece in pieces])
    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    fresh = np.ones(len(start), dtype=np.bool_)
    fresh[1:] = start[1:] > end[:-1]
    last = np.append(fresh[1:], True) if len(fresh) else fresh
    return start[fresh], end[last]


def _without(begin: I64, end: I64, cut_from: I64, cut_to: I64) -> tuple[I64, I64, I64]:
    """Spans less the cuts: start, end and index of the span each remaining piece belongs to."""
    free_from = np.concatenate([np.array([-NEVER], dtype=np.int64), cut_to])
    free_to = np.concatenate([cut_from, np.array([NEVER], dtype=np.int64)])
    first = np.searchsorted(free_to, begin, side="right")
    after = np.searchsorted(free_from, end, side="left")
    count = np.maximum(after - first, 0)
    owner = np.repeat(np.arange(len(begin)), count)
    piece = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    start = np.maximum(begin[owner], free_from[piece])
    stop = np.minimum(end[owner], free_to[piece])
    some = stop > start
    return start[some], stop[some], owner[some]
