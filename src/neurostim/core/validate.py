"""What the format refuses in a program image: bounds, shares and static fit (rule 3). All problems at once.

Several areas meeting in time (rule 8) is judged by `neurostim.core.placement`.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from neurostim.core import bounds
from neurostim.core.bounds import Bound
from neurostim.core.errors import Problem
from neurostim.core.image import RETURN_INDEX, Grid, ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim.core.timing import AreaTiming
from neurostim.core.units import format_time

Report = Callable[[str, str, str], None]


def grid_problems(grid: Grid) -> list[Problem]:
    """What is wrong with a device's grid."""
    tick = grid.tick_ns
    checks = [("tick", tick, bounds.TICK_NS), ("step", grid.step_na, bounds.STEP_NA)]
    if tick > 0:
        checks.append(("guard", (grid.guard_ticks - 1) * tick + 1, bounds.GUARD_NS))
        checks.append(("recovery_min", (grid.recovery_min_ticks - 1) * tick + 1, bounds.RECOVERY_MIN_NS))
    found = [
        Problem(f"grid.{name}", str(value), bound.text)
        for name, value, bound in checks
        if not bound.admits(value if value > 0 or name in {"tick", "step"} else 0)
    ]
    if grid.guard_ticks < 0 or grid.recovery_min_ticks < 0:
        found.append(Problem("grid", "a negative guard or recovery time", "whole ticks from 0"))
    return found


def image_problems(image: ProgramImage) -> list[Problem]:
    """Everything format 1 refuses in an image before areas are placed against each other."""
    problems = grid_problems(image.grid)
    if problems:
        return problems
    if not bounds.AREAS.admits(len(image.areas)):
        problems.append(Problem("area", f"{len(image.areas)} areas", bounds.AREAS.text))
    if image.duration_ns and not bounds.DURATION_NS.admits(image.duration_ns):
        problems.append(Problem("duration", f"{image.duration_ns} ns", bounds.DURATION_NS.text))
    for number, area in enumerate(image.areas, 1):
        problems.extend(area_problems(area, f"area[{number}]", image))
    return problems


def area_problems(area: ImageArea, place: str, image: ProgramImage) -> list[Problem]:
    """What format 1 refuses in one area, on the grid and for the duration and therapy of ``image``."""
    problems: list[Problem] = []

    def report(where: str, found: str, allowed: str) -> None:
        problems.append(Problem(f"{place}.{where}", found, allowed))

    _check_fields(area, image, report)
    if not problems:
        _check_fit(AreaTiming.of(area, image.grid, image.duration_ns), report)
    return problems


def _check_fields(area: ImageArea, image: ProgramImage, report: Report) -> None:
    tick = image.grid.tick_ns

    def within(where: str, value: Fraction | int, bound: Bound, unit: str) -> None:
        if not bound.admits(value):
            report(where, f"{value} {unit}".rstrip(), bound.text)

    within("amplitude", area.amplitude_na, bounds.AMPLITUDE_NA, "nA")
    _check_shares(area, report)
    # Widths here are already rounded: up to one tick beyond the bound is the grid's doing.
    width = Bound(1, max(1, -(-int(bounds.WIDTH_NS.high) // tick)), bounds.WIDTH_NS.text)
    gap = Bound(0, -(-int(bounds.INTERPHASE_NS.high) // tick), bounds.INTERPHASE_NS.text)
    within("pulse.width", area.width_ticks, width, "ticks")
    within("pulse.interphase", area.interphase_ticks, gap, "ticks")
    if area.recharge is Recharge.ACTIVE_ASYMMETRIC:
        within("pulse.ratio", area.ratio, bounds.RATIO, "")
    elif area.ratio != 1:
        report("pulse.ratio", str(area.ratio), "only with active-asymmetric")
    if area.recharge is Recharge.NONE and not image.bench:
        report("pulse.recharge", "none", "only for therapy bench")
    _check_period("train", area.period_num, area.period_den, report)
    if area.burst_pulses == 1:
        if (area.burst_period_num, area.burst_period_den) != (0, 1):
            report("train.burst.rate", "a burst rate without burst", "0/1 where a unit is one pulse")
        if area.recharge is Recharge.PASSIVE_AFTER_BURST:
            report("pulse.recharge", "passive-after-burst without burst", "passive, or a burst")
    else:
        within("train.burst.pulses", area.burst_pulses, bounds.BURST_PULSES, "pulses")
        _check_period("train.burst", area.burst_period_num, area.burst_period_den, report)
    for where, ramp in (("ramp.up", area.ramp_up_ns), ("ramp.down", area.ramp_down_ns)):
        within(where, ramp, bounds.RAMP_NS, "ns")
        if ramp == 0 and not image.bench:
            report(where, "0 s", "more than 0 s; 0 s only for therapy bench")
    if area.on_ns or area.off_ns:
        within("cycle.on", area.on_ns, bounds.ON_NS, "ns")
        within("cycle.off", area.off_ns, bounds.OFF_NS, "ns")
    within("delay", area.delay_ns, bounds.DELAY_NS, "ns")
    if image.duration_ns and area.delay_ns >= image.duration_ns:
        report(
            "delay", format_time(area.delay_ns), f"less than the duration, {format_time(image.duration_ns)}"
        )
    within("priority", area.priority, bounds.PRIORITY, "")


def _check_period(where: str, num: int, den: int, report: Report) -> None:
    if num < 1 or den < 1:
        report(f"{where}.rate", f"a period of {num}/{den} ns", bounds.RATE_HZ.text)
        return
    rate = Fraction(den * 10**9, num)
    is_rate = bounds.RATE_HZ.admits(rate) and (rate * 1000).denominator == 1
    is_interval = den == 1 and bounds.INTERVAL_NS.admits(num)
    if not (is_rate or is_interval) or Fraction(num, den) != Fraction(num) / den:
        report(
            f"{where}.rate",
            f"a period of {num}/{den} ns",
            f"{bounds.RATE_HZ.text}; or {bounds.INTERVAL_NS.text}",
        )


def _check_shares(area: ImageArea, report: Report) -> None:
    contacts = [contact for contact, _ in area.shares]
    if contacts != sorted(set(contacts)):
        report("contacts", f"contacts {contacts}", "each contact once, in ascending order")
    for contact in contacts:
        if contact != RETURN_INDEX and not bounds.CONTACT.admits(contact):
            report("contacts", f"device contact {contact}", bounds.CONTACT.text)
    for contact, share in area.shares:
        if share == 0 or not bounds.SHARE_PERMILLE.admits(share):
            report("contacts", f"share {share} permille of contact {contact}", bounds.SHARE_PERMILLE.text)
    cathodes = sum(share for _, share in area.shares if share < 0)
    anodes = sum(share for _, share in area.shares if share > 0)
    if (cathodes, anodes) != (-1000, 1000):
        report(
            "contacts",
            f"cathodes at {cathodes / 10:g} % and anodes at {anodes / 10:g} %",
            "cathodes sum to -100 % and anodes to +100 %",
        )


def _check_fit(timing: AreaTiming, report: Report) -> None:
    tick = timing.tick_ns
    burst_interval = int(timing.burst_period)
    if timing.pulses > 1 and timing.occupancy > burst_interval:
        report(
            "train.burst",
            f"a pulse that occupies {format_time(timing.occupancy * tick)}",
            f"at most {format_time(burst_interval * tick)}, the shortest interval within the burst "
            "(width, interphase, recharge and least recovery)",
        )
        return
    if timing.unit_occupancy > timing.interval:
        report(
            "train",
            f"a unit that occupies {format_time(timing.unit_occupancy * tick)}",
            f"at most {format_time(timing.interval * tick)}, the shortest interval of the train "
            "(burst, width, interphase, recharge and least recovery)",
        )
        return
    late = _latest_overrun(timing)
    if late > 0:
        report(
            "cycle",
            f"the last unit of a window still occupies {format_time(late * tick)} of the next window",
            "a recovery that ends before the next window starts: a longer off time, or an on time that "
            "is no whole number of intervals",
        )


def _latest_overrun(timing: AreaTiming) -> int:
    """Ticks by which the last unit of some window reaches into the next window (0: it never does)."""
    if timing.cycle_ns == 0:
        return 0
    worst = 0
    for length, distance in timing.window_kinds():
        units = timing.units_fitting(length)
        if units and distance is not None:
            worst = max(worst, timing.onset(units - 1) + timing.unit_occupancy - distance)
    return worst
