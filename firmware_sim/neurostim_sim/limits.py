"""The firmware's own hard limits, in its own code: what it never delivers, whatever a host approved.

Judged when an image is committed and again when it is armed, at every step of each approved range.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from neurostim.core.hardware import PortKind
from neurostim.core.image import RETURN_INDEX, ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim.wire.messages import RangeOfArea
from neurostim_sim.engine.levels import share_out
from neurostim_sim.engine.plan import AreaPlan, misfits
from neurostim_sim.profiles import Profile


@dataclass(frozen=True, slots=True)
class Breach:
    """One limit that an image or range breaks: which, in words, and the limit as a number."""

    what: str
    limit: int


def range_fits(image: ProgramImage, ranges: Sequence[RangeOfArea]) -> bool:
    """Whether each area has its range, in order, of whole device steps, the image's amplitude on one."""
    if [one.area for one in ranges] != list(range(len(image.areas))):
        return False
    return all(
        one.min_na <= one.max_na
        and one.step_na % image.grid.step_na == 0
        and (one.max_na - one.min_na) % one.step_na == 0
        and one.min_na <= area.amplitude_na <= one.max_na
        and (area.amplitude_na - one.min_na) % one.step_na == 0
        for one, area in zip(ranges, image.areas, strict=True)
    )


def breaches(image: ProgramImage, ranges: Sequence[RangeOfArea], profile: Profile) -> list[Breach]:
    """Every hard limit that this image, over these ranges, does not keep."""
    able = profile.capabilities
    found: list[Breach] = []
    bench = able.ports[0].kind is PortKind.BENCH
    if len(image.areas) > able.max_areas:
        found.append(Breach("areas", able.max_areas))
    if image.bench and not bench:
        found.append(Breach("a bench program", 0))
    for index, (area, one) in enumerate(zip(image.areas, ranges, strict=True)):
        plan = AreaPlan(index, area, image.grid, image.duration_ns)
        found += [Breach(text, 0) for text in misfits(plan)]
        found += _timing(area, plan, profile, bench=bench)
        found += _contacts(area, profile)
        found += _currents(area, one, plan, profile)
    return found


def _timing(area: ImageArea, plan: AreaPlan, profile: Profile, *, bench: bool) -> list[Breach]:
    able = profile.capabilities
    tick = able.grid.tick_ns
    found = []
    shortest, longest = area.width_ticks * tick, area.width_ticks * tick * area.ratio
    if area.recharge is Recharge.TRIPHASIC:
        longest = 2 * shortest
    if shortest < able.min_width_ns:
        found.append(Breach("a phase is too short", able.min_width_ns))
    if longest > able.max_width_ns:
        found.append(Breach("a phase is too long", able.max_width_ns))
    periods = [(area.period_num, area.period_den)]
    if plan.has_burst:
        periods.append((area.burst_period_num, area.burst_period_den))
    if any(den * 10**12 > able.max_rate_mhz * num for num, den in periods):
        found.append(Breach("the rate is too high", able.max_rate_mhz))
    if min(area.ramp_up_ns, area.ramp_down_ns) < able.min_ramp_ns:
        found.append(Breach("a ramp is too short", able.min_ramp_ns))
    if area.recharge is Recharge.NONE and not bench:
        found.append(Breach("no recharge", 0))
    return found


def _contacts(area: ImageArea, profile: Profile) -> list[Breach]:
    ports = profile.capabilities.ports
    has_return = any(port.has_return for port in ports)
    count = profile.capabilities.contact_count
    known = all(c <= count or (c == RETURN_INDEX and has_return) for c, _ in area.shares)
    return [] if known else [Breach("a contact this device does not have", count)]


def _currents(area: ImageArea, one: RangeOfArea, plan: AreaPlan, profile: Profile) -> list[Breach]:
    able = profile.capabilities
    q_na = able.grid.step_na * area.ratio
    tick = able.grid.tick_ns
    longest = area.width_ticks * tick * (2 if area.recharge is Recharge.TRIPHASIC else 1)
    found: dict[str, Breach] = {}
    # From the top, where a breach is likeliest: one is enough, and a refusal must not take long.
    for amplitude in reversed(range(one.min_na, one.max_na + 1, one.step_na)):
        currents = share_out(amplitude, 1, 1, area.shares, q_na)
        largest = max(map(abs, currents))
        if sum(currents) != 0:
            found["balance"] = Breach("currents that do not balance", 0)
        if sum(map(abs, currents)) // 2 > able.max_total_na:
            found["total"] = Breach("the total current is too high", able.max_total_na)
        if largest > able.max_contact_na:
            found["contact"] = Breach("the current of a contact is too high", able.max_contact_na)
        if largest * longest > profile.max_phase_ac:
            found["charge"] = Breach("the charge of a phase is too high", profile.max_phase_ac // 10**9)
        if found:
            break
    return list(found.values())
