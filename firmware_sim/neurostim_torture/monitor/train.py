"""Across pulses: the ramp's line, steps of amplitude, the rate, and areas that keep apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from neurostim_torture.monitor.asked import asked_of
from neurostim_torture.monitor.dose import Bools, Dose, Floats, Ints, differences
from neurostim_torture.monitor.excuses import touched
from neurostim_torture.monitor.history import History, first_answers, once
from neurostim_torture.monitor.records import SECOND, STIM, Area, Violation
from neurostim_torture.monitor.rule import rule


class Units(NamedTuple):
    """The units of one area in order of time: index, first tick, row range in `Dose.pulses`, window."""

    unit: Ints
    start: Ints
    start_ns: Ints
    window: Ints
    since: Ints
    struck: Bools


def area_of(dose: Dose, index: int) -> Area:
    """One area of the program that a dose ran."""
    assert dose.program is not None
    return dose.program.areas[index]


@once
def units_of(history: History, dose: Dose, index: int) -> Units:
    """Units with current of one area; ``since`` counts from the start of their window [ns, device clock]."""
    area = area_of(dose, index)
    pulses = dose.pulses
    mine = np.flatnonzero(pulses.area == index)
    unit = pulses.unit[mine]
    first = mine[np.flatnonzero(np.diff(unit, prepend=-1))] if mine.size else mine
    start = pulses.start[first]
    since = start * dose.tick_ns - area.delay_ns
    window = np.zeros_like(since)
    if area.on_ns:
        # The windows' starts are floored to ticks: one tick more keeps a unit in the window it began.
        window, since = np.divmod(since + dose.tick_ns - 1, area.on_ns + area.off_ns)
    else:
        since = since + dose.tick_ns - 1
    struck = touched(history, dose, "open", "short", "out")[first]
    return Units(pulses.unit[first], start, dose.true_ns(start), window, since, struck)


def _shift_ns(dose: Dose, area: Area) -> int:
    """How much later than its place a unit of this area may start, because another area was there first."""
    if dose.program is None or len(dose.program.areas) == 1:
        return 0
    numerator, denominator = area.period
    return numerator // denominator // 4 + dose.tick_ns


def _factor(since: Ints, up_ns: int) -> Floats:
    """Highest factor of the ramp this long after the start of a window."""
    if up_ns == 0:
        return np.ones(len(since))
    factor: Floats = np.clip(since / up_ns, 0.0, 1.0)
    return factor


@rule(
    "no current above the amplitude that was last asked for times the ramp since the start of the window",
    "program format, rules 5 and 6; hazard: a current step where a ramp was meant",
)
def below_the_ramp(history: History) -> Iterator[Violation]:
    """Judge each stimulation row of a dose by what its unit may carry at most."""
    for dose in history.doses:
        if dose.program is None or not len(dose.driven):
            continue
        rows = dose.driven
        for index, area in enumerate(dose.program.areas):
            mine = np.flatnonzero((rows.area == index) & (rows.kind == STIM))
            if not mine.size:
                continue
            units = units_of(history, dose, index)
            asked = asked_of(history, dose, index, area)
            most = asked.at_most(units.start_ns - 2 * dose.tick_ns, units.start_ns)
            line = most * _factor(units.since, area.ramp_up_ns)
            place = np.searchsorted(units.unit, rows.unit[mine])
            share = dose.share[mine]
            step = history.setting.step_na * area.ratio
            spare = np.where(share > 0, step + 1, 1)
            wrong = np.abs(rows.amplitude[mine]) > line[place] * np.abs(share) / 1000 + spare
            if wrong.any():
                at = int(mine[np.flatnonzero(wrong)[0]])
                limit = float((line[place] * np.abs(share) / 1000)[np.flatnonzero(wrong)[0]])
                yield Violation(
                    "below-the-ramp",
                    int(dose.start_ns[at]),
                    f"area {index}, unit {int(rows.unit[at])}, contact {int(rows.contact[at])}: "
                    f"{int(rows.amplitude[at])} nA, at most {limit:.0f} nA asked for and ramped up by then",
                    dose.number,
                )


@rule("no amplitude outside the approved range, at any unit", "safety facts; issue 3, section 1")
def approved_range(history: History) -> Iterator[Violation]:
    """Judge each stimulation row by the highest amplitude that was approved (by the patient's at home)."""
    for dose in history.doses:
        if dose.program is None or not len(dose.driven):
            continue
        rows = dose.driven
        for index, area in enumerate(dose.program.areas):
            limit = area.approved.max_na
            if dose.flow.by == "patient" and area.patient is not None:
                limit = min(limit, area.patient.max_na)
            step = history.setting.step_na * area.ratio
            share = np.abs(dose.share)
            wrong = (
                (rows.area == index)
                & (rows.kind == STIM)
                & (np.abs(rows.amplitude) * 1000 > limit * share + np.where(dose.share > 0, step * 1000, 0))
            )
            if wrong.any():
                at = int(np.flatnonzero(wrong)[0])
                yield Violation(
                    "approved-range",
                    int(dose.start_ns[at]),
                    f"area {index}, contact {int(rows.contact[at])}: {int(rows.amplitude[at])} nA of an area "
                    f"approved to {limit} nA",
                    dose.number,
                )


@rule(
    "after a soft stop each area stays below its ramp down to zero, within 2 s",
    "program format, rule 10: a soft stop at x multiplies by (x + d - t)/d",
)
def falls_after_soft_stop(history: History) -> Iterator[Violation]:
    """Judge each stimulation row after the device confirmed the soft stop."""
    for reply in first_answers(history, "SOFT_STOP"):
        for dose in history.doses:
            if dose.program is not None and dose.began_ns <= reply.at_ns <= dose.last_ns:
                yield from _above_the_fall(history, dose, reply.at_ns)


def _above_the_fall(history: History, dose: Dose, at_ns: int) -> Iterator[Violation]:
    assert dose.program is not None
    rows = dose.driven
    for index, area in enumerate(dose.program.areas):
        down = min(area.ramp_down_ns, history.setting.bounds.soft_stop_ns)
        # The device's clock is true to one part in a thousand.
        down += down // 1000
        units = units_of(history, dose, index)
        mine = np.flatnonzero((rows.area == index) & (rows.kind == STIM))
        if not mine.size:
            continue
        left = at_ns + 2 * dose.tick_ns + down - (units.start_ns - _shift_ns(dose, area))
        asked = float(asked_of(history, dose, index, area).at_most(np.array([at_ns]))[0])
        line = asked * np.clip(left / max(down, 1), 0.0, 1.0)
        place = np.searchsorted(units.unit, rows.unit[mine])
        share = dose.share[mine]
        spare = np.where(share > 0, history.setting.step_na * area.ratio + 1, 1)
        after = units.start_ns[place] > at_ns + dose.tick_ns
        wrong = after & (np.abs(rows.amplitude[mine]) > line[place] * np.abs(share) / 1000 + spare)
        if wrong.any():
            at = int(mine[np.flatnonzero(wrong)[0]])
            yield Violation(
                "falls-after-soft-stop",
                int(dose.start_ns[at]),
                f"area {index}, contact {int(rows.contact[at])}: {int(rows.amplitude[at])} nA, "
                f"{int(dose.start_ns[at]) - at_ns} ns after a soft stop over {down} ns",
                dose.number,
            )


class Levels(NamedTuple):
    """Least and greatest amplitude that explains what a unit's strongest cathode carried [nA]."""

    least: Floats
    greatest: Floats


@once
def _levels(history: History, dose: Dose, index: int) -> Levels:
    """The amplitude of an area, unit by unit, as its strongest cathode shows it."""
    area, units = area_of(dose, index), units_of(history, dose, index)
    cathode, share = min(area.shares, key=lambda one: one[1])
    rows = dose.driven
    mine = np.flatnonzero(
        (rows.area == index) & (rows.kind == STIM) & (rows.contact == cathode) & (rows.amplitude < 0)
    )
    unit, first = np.unique(rows.unit[mine], return_index=True)
    carried = np.zeros(len(units.unit))
    carried[np.searchsorted(units.unit, unit)] = -rows.amplitude[mine[first]]
    step = history.setting.step_na * area.ratio
    high = _factor(units.since, area.ramp_up_ns)
    low = _factor(np.maximum(units.since - _shift_ns(dose, area) - 2 * dose.tick_ns, 0), area.ramp_up_ns)
    part = -share / 1000
    least = carried / np.maximum(high * part, 1e-12)
    greatest = (carried + step) / np.maximum(low * part, 1e-12)
    return Levels(least, greatest)


@rule(
    "from one unit of a window to the next the amplitude rises at most one step of the approved range",
    "safety facts, amplitude: each change at most one step at a unit's boundary",
)
def one_step_a_unit(history: History) -> Iterator[Violation]:
    """Judge the amplitude that each unit shows, apart from the ramp, against the unit before."""
    for dose, index, area, units in _areas(history):
        if len(units.unit) < 2:
            continue
        levels = _levels(history, dose, index)
        good = np.flatnonzero(~units.struck)
        if good.size < 2:
            continue
        window = units.window[good]
        rise = levels.least[good][1:] - levels.greatest[good][:-1]
        wrong = (window[1:] == window[:-1]) & (rise > _step_na(dose, area) + 1)
        if wrong.any():
            at = int(good[1:][np.flatnonzero(wrong)[0]])
            before = int(good[:-1][np.flatnonzero(wrong)[0]])
            yield Violation(
                "one-step-a-unit",
                int(units.start_ns[at]),
                f"area {index}, unit {int(units.unit[at])}: at least {levels.least[at]:.0f} nA after at most "
                f"{levels.greatest[before]:.0f} nA, one step is {_step_na(dose, area)} nA",
                dose.number,
            )


@rule("at most 3 steps upward in any second, as the electrode shows them", "safety facts, amplitude")
def three_steps_a_second(history: History) -> Iterator[Violation]:
    """Count the steps upward that the units of an area show in less than a second.

    A change waits for the next unit, so that steps may come nearer by one period than they were accepted.
    """
    allowed = history.setting.bounds.steps_per_s
    for dose, index, area, units in _areas(history):
        levels = _levels(history, dose, index)
        full = np.flatnonzero(~units.struck & (units.since >= area.ramp_up_ns + _shift_ns(dose, area)))
        if full.size < 2:
            continue
        step = _step_na(dose, area)
        same = differences(units.window[full]) == 0
        rises = np.maximum(differences(np.round(levels.least[full])), 0)
        steps = np.where(same & (rises * 2 > step), np.maximum(np.round(rises / step), 1), 0).astype(np.int64)
        if int(steps.sum()) <= allowed:
            continue
        times = np.repeat(units.start_ns[full[1:]], steps)
        numerator, denominator = area.period
        near = times[allowed:] - times[:-allowed] < SECOND - numerator // denominator - SECOND // 1000
        if near.any():
            at = int(np.flatnonzero(near)[0])
            yield Violation(
                "three-steps-a-second",
                int(times[at + allowed]),
                f"area {index}: {allowed + 1} steps upward in {int(times[at + allowed] - times[at])} ns",
                dose.number,
            )


def _step_na(dose: Dose, area: Area) -> int:
    if dose.flow.by == "patient" and area.patient is not None:
        return area.patient.step_na
    return area.approved.step_na


def _areas(history: History) -> Iterator[tuple[Dose, int, Area, Units]]:
    for dose in history.doses:
        if dose.program is None or not len(dose.driven):
            continue
        for index, area in enumerate(dose.program.areas):
            units = units_of(history, dose, index)
            if len(units.unit):
                yield dose, index, area, units


@rule(
    "no unit nearer to the one before than the programmed period, less what another area may move it",
    "program format, rules 2 and 8",
)
def rate(history: History) -> Iterator[Violation]:
    """Judge the spacing of units in one window, and of pulses in one burst."""
    for dose, index, area, units in _areas(history):
        tick = dose.tick_ns
        numerator, denominator = area.period
        least = (numerator // (denominator * tick)) * tick - _shift_ns(dose, area)
        gaps = differences(units.start) * tick
        apart = differences(units.unit)
        wrong = (differences(units.window) == 0) & (gaps < least * apart) & (apart > 0)
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0]) + 1
            yield Violation(
                "rate",
                int(units.start_ns[at]),
                f"area {index}, unit {int(units.unit[at])}: {int(gaps[at - 1])} ns after the unit before, "
                f"at least {least} ns",
                dose.number,
            )
        if area.burst_pulses > 1:
            yield from _burst_rate(dose, index, area)


def _burst_rate(dose: Dose, index: int, area: Area) -> Iterator[Violation]:
    pulses = dose.pulses
    mine = np.flatnonzero(pulses.area == index)
    numerator, denominator = area.burst_period
    least = numerator // (denominator * dose.tick_ns)
    same = differences(pulses.unit[mine]) == 0
    wrong = same & (differences(pulses.start[mine]) < least)
    wrong |= same & (pulses.pulse[mine][1:] >= area.burst_pulses)
    if wrong.any():
        at = int(mine[1:][np.flatnonzero(wrong)[0]])
        yield Violation(
            "rate",
            int(dose.pulse_start_ns[at]),
            f"area {index}, unit {int(pulses.unit[at])}: a pulse of the burst too early, or one too many",
            dose.number,
        )


@rule("two areas never drive within the guard of each other", "program format, rule 8")
def areas_apart(history: History) -> Iterator[Violation]:
    """Judge the pulses of a dose in order of time, whichever area they are of."""
    guard = -(-history.setting.guard_ns // history.setting.tick_ns)
    for dose in history.doses:
        pulses = dose.pulses
        if len(pulses.start) < 2:
            continue
        order = np.argsort(pulses.start, kind="stable")
        start, end, area = pulses.start[order], pulses.end[order], pulses.area[order]
        farthest = np.maximum.accumulate(end)[:-1]
        other = area[1:] != area[:-1]
        wrong = np.where(other, start[1:] < farthest + guard, start[1:] < farthest)
        if wrong.any():
            at = int(order[1:][np.flatnonzero(wrong)[0]])
            yield Violation(
                "areas-apart",
                int(dose.pulse_start_ns[at]),
                f"area {int(pulses.area[at])} drives within {guard * dose.tick_ns} ns of another pulse",
                dose.number,
            )


RULES = (
    below_the_ramp,
    approved_range,
    falls_after_soft_stop,
    one_step_a_unit,
    three_steps_a_second,
    rate,
    areas_apart,
)
