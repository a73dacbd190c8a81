"""One block of the record against one stretch of the expectation: the verdicts that need a program."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurostim.conformance.expectation import Drive, Expectation, Passive
from neurostim.conformance.matching import match_equal, match_nearest
from neurostim.conformance.observed import Groups, Rows
from neurostim.conformance.tally import Owners, Tallies

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Comparison:
    """Carries what one block must remember for the next: the last pulse of each area and of all.

    Parameters
    ----------
    expectation : Expectation
        What the record must hold.
    tallies : Tallies
        Where verdicts are counted.
    slack : int
        Deviation of times that passes [ticks]; zero unless the clock is free.
    record_end : int
        Tick at which the record ends; phases and stretches may be cut there.
    """

    def __init__(self, expectation: Expectation, tallies: Tallies, slack: int, record_end: int) -> None:
        self.expectation = expectation
        self.tallies = tallies
        self.slack = slack
        self.record_end = record_end
        self.last_drive_end = 0
        areas = expectation.program.areas
        self._reach = np.array([self._match_reach(i) for i in range(len(areas))], dtype=np.int64)
        self._recharged = np.array([len(area.phases) > 1 for area in areas], dtype=np.bool_)
        self._last_deviation: dict[int, int] = {}
        self._last_pulse: tuple[int, int] | None = None

    def _match_reach(self, index: int) -> int:
        area = self.expectation.program.areas[index]
        shortest = area.period if area.burst_period is None else min(area.period, area.burst_period)
        return max(int(shortest / 2), 1)

    def drive(self, expected: Drive, groups: Groups, rows: Rows) -> None:
        """Compare driven phases.

        Parameters
        ----------
        expected : Drive
            What the format asks for.
        groups : Groups
            The recorded phases of this block.
        rows : Rows
            The recorded driven rows ``groups`` were made of.
        """
        tallies = self.tallies
        answers = match_nearest(expected.start, self._reach[expected.area], groups.start)
        self._extra(groups, answers)
        found = np.full(len(expected), -1, dtype=np.int64)
        found[answers[answers >= 0]] = np.flatnonzero(answers >= 0)
        tallies.judge(
            "missing",
            found < 0,
            expected.start,
            who=_owners(expected),
        )
        if len(groups.end):
            self.last_drive_end = max(self.last_drive_end, int(groups.end.max()))
        self._indices(expected, groups, answers, rows)
        if (found < 0).any():
            kept = found >= 0
            self._matched(expected.take(kept), groups, found[kept])
        else:
            self._matched(expected, groups, found)

    def _extra(self, groups: Groups, answers: I64) -> None:
        extra = answers < 0
        silent_from = min(self.expectation.log.halt, self.expectation.log.faded)
        after = extra & (groups.start >= silent_from)
        self.tallies.judge("extra", extra & ~after, groups.start)
        self.tallies.judge(
            "stops", after, groups.start, judged=int(np.count_nonzero(groups.start >= silent_from))
        )

    def _matched(self, expected: Drive, groups: Groups, found: I64) -> None:
        """Everything about phases that have an answer."""
        start, end = groups.start[found], groups.end[found]
        current = groups.current_na[found]
        length = end - start
        if self.slack:
            start = _snapped(start, expected.start, self.slack)
            length = _snapped(length, expected.length, self.slack)
        # A record may cut the phase under way at its end.
        want = np.where(
            (expected.start + expected.length > self.record_end) & (start + length >= self.record_end),
            length,
            expected.length,
        )
        who = _owners(expected)
        tallies = self.tallies
        tallies.judge("widths", length != want, start, deviation=length - want, who=who)
        self._timing(expected, start, who)
        self._currents(expected, current, groups.recharge[found], start, who)
        # Within the slack of a free clock a width counts as what it should be.
        charge = current * length[:, None] if self.slack else groups.charge[found]
        should = expected.current_na * want[:, None]
        tick = tallies.tick_ns
        tallies.judge_contacts("charge", (charge - should) * tick, start, who)
        self._balance(expected, charge * tick)

    def _timing(self, expected: Drive, start: I64, who: Owners) -> None:
        tallies = self.tallies
        deviation = start - expected.start
        first = expected.first
        head = np.maximum.accumulate(np.where(first, np.arange(len(first)), -1))
        later = ~first & (head >= 0)
        later[later] = expected.onset[head[later]] == expected.onset[later]
        gap = deviation[later] - deviation[head[later]]
        part = who.take(later)
        tallies.judge("interphase", gap != 0, start[later], deviation=gap, who=part)
        onsets = who.take(first)
        at, late = start[first], deviation[first]
        tallies.judge("onsets", late != 0, at, deviation=late, who=onsets)
        for area in np.unique(onsets.area):
            own = onsets.area == area
            steps = np.diff(late[own], prepend=self._last_deviation.get(int(area), int(late[own][0])))
            own_who = onsets.take(own)
            tallies.judge("intervals", steps != 0, at[own], deviation=steps, who=own_who)
            self._last_deviation[int(area)] = int(late[own][-1])
        self._guard(expected, first, at, late, onsets)

    def _guard(self, expected: Drive, first: Flags, at: I64, late: I64, who: Owners) -> None:
        """Each pulse against the occupancy of the pulse before it, where that is another area's."""
        if len(self.expectation.program.areas) == 1 or not len(at):
            return
        free, area = expected.occupied[first] + late, who.area
        free_before, area_before = self._last_pulse or (int(at[0]), int(area[0]))
        room = at - np.concatenate([[free_before], free[:-1]]) - self.expectation.program.grid.guard
        meets = area != np.concatenate([[area_before], area[:-1]])
        met = who.take(meets)
        short = np.minimum(room[meets], 0)
        self.tallies.judge("guard", short < -self.slack, at[meets], deviation=short, who=met)
        self._last_pulse = (int(free[-1]), int(area[-1]))

    def _currents(self, expected: Drive, current: I64, recharge: Flags, start: I64, who: Owners) -> None:
        tallies = self.tallies
        turned = np.where(
            (np.sign(current) * np.sign(expected.current_na) < 0), current - expected.current_na, 0
        )
        tallies.judge_contacts("polarity", np.asarray(turned, dtype=np.int64), start, who)
        named = recharge != expected.recharge
        if named.any():
            tallies.judge("polarity", named, start, note="stim and recharge are exchanged", judged=0, who=who)
        off = np.abs(current) - np.abs(expected.current_na)
        # A contact that carries nothing in the program has no sign of its own.
        scaled = expected.scaled
        for name, rows in (("amplitude", ~scaled), ("ramp", scaled)):
            if rows.all():
                tallies.judge_contacts(name, off, start, who)
            elif rows.any():
                part = who.take(rows)
                tallies.judge_contacts(name, off[rows], start[rows], part)

    def _balance(self, expected: Drive, charge_ac: I64) -> None:
        """Net charge of each pulse that recharges actively; a pulse that lost its recharge counts."""
        use = self._recharged[expected.area] & ~expected.clipped
        if not use.any():
            return
        if not use.all():
            at = np.flatnonzero(use)
            expected, charge_ac = expected.take(use), charge_ac[at]
        fresh = np.ones(len(expected), dtype=np.bool_)
        fresh[1:] = expected.onset[1:] != expected.onset[:-1]
        head = np.flatnonzero(fresh)
        net = np.add.reduceat(charge_ac, head, axis=0)
        self.tallies.judge_contacts(
            "balance",
            net,
            expected.onset[head],
            Owners(expected.area[head], expected.unit[head], expected.pulse[head]),
        )

    def _indices(self, expected: Drive, groups: Groups, answers: I64, rows: Rows) -> None:
        if rows.area is None or rows.unit is None or rows.pulse is None or not len(rows):
            return
        fresh = np.zeros(len(rows), dtype=np.int64)
        fresh[groups.row] = 1
        answer = answers[np.cumsum(fresh) - 1]
        at = np.flatnonzero(answer >= 0)
        want = answer[at]
        wrong = rows.area[at] != expected.area[want]
        wrong |= rows.unit[at] != expected.unit[want]
        wrong |= rows.pulse[at] != expected.pulse[want]
        self.tallies.judge(
            "indices",
            wrong,
            rows.start[at],
            who=Owners(rows.area[at], rows.unit[at], rows.pulse[at], rows.column[at]),
        )

    def passive(self, expected: Passive, rows: Rows) -> None:
        """Compare shorted stretches that end before a stop makes their end a matter of bounds."""
        exact = rows.end < self.expectation.loose_from
        rows = rows if exact.all() else rows.take(exact)
        order = np.lexsort((rows.end, rows.column, rows.start))
        start, end, column = rows.start[order], rows.end[order], rows.column[order]
        want_end = np.minimum(expected.end, self.record_end)
        end = np.minimum(end, self.record_end)
        if (
            len(start) == len(expected)
            and np.array_equal(start, expected.start)
            and np.array_equal(column, expected.contact)
        ):
            found = np.arange(len(start), dtype=np.int64)
        else:
            found = self._matched_passive(expected, start, column)
        tallies = self.tallies
        lost = found < 0
        who = Owners(expected.area, expected.unit, expected.pulse, expected.contact)
        here = np.flatnonzero(~lost) if lost.any() else slice(None)
        seen = who.take(here)
        late = start[found[here]] - expected.start[here]
        over = end[found[here]] - want_end[here]
        if self.slack:
            late = np.where(np.abs(late) <= self.slack, 0, late)
            over = np.where(np.abs(over) <= self.slack, 0, over)
        worst = np.where(np.abs(late) >= np.abs(over), late, over)
        tallies.judge("recovery", worst != 0, expected.start[here], deviation=worst, who=seen)
        tallies.judge(
            "recovery", lost, expected.start, note="the stretch is missing", judged=int(lost.sum()), who=who
        )
        surplus = np.ones(len(start), dtype=np.bool_)
        surplus[found[here]] = False
        if surplus.any():
            tallies.judge(
                "recovery",
                surplus,
                start,
                column=column,
                note="no stretch belongs here",
                judged=int(surplus.sum()),
            )
        self._recovery_time(expected, start, end, found, who)

    def _matched_passive(self, expected: Passive, start: I64, column: I64) -> I64:
        """Recorded stretch of each expected one, -1 where there is none: equal starts, then nearest."""
        found = match_equal(expected.start, expected.contact, start, column)
        used = np.zeros(len(start), dtype=np.bool_)
        used[found[found >= 0]] = True
        for contact in np.unique(expected.contact[found < 0]):
            mine = np.flatnonzero((expected.contact == contact) & (found < 0))
            theirs = np.flatnonzero((column == contact) & ~used)
            reach = np.full(len(mine), self.expectation.settle, dtype=np.int64)
            answers = match_nearest(expected.start[mine], reach, start[theirs])
            hit = answers >= 0
            found[mine[answers[hit]]] = theirs[hit]
        return found

    def _recovery_time(self, expected: Passive, start: I64, end: I64, found: I64, who: Owners) -> None:
        opening = expected.opening
        had = np.where(found >= 0, end[found] - start[found], 0) if len(start) else np.zeros_like(found)
        least = np.minimum(
            np.minimum(expected.end, self.record_end) - expected.start,
            self.expectation.program.grid.recovery_min,
        )
        short = np.minimum(had + self.slack - least, 0)[opening]
        part = who.take(opening)
        self.tallies.judge("recovery_time", short < 0, expected.start[opening], deviation=short, who=part)


def _snapped(values: I64, wanted: I64, slack: int) -> I64:
    return np.where(np.abs(values - wanted) <= slack, wanted, values)


def _owners(expected: Drive) -> Owners:
    return Owners(expected.area, expected.unit, expected.pulse)
