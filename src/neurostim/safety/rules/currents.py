"""Rules of current, width, rate and duty: what an output port and a lead may carry."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from neurostim.core.program import Recharge
from neurostim.core.units import format_current, format_time
from neurostim.safety.context import AreaUse, Context, both, one
from neurostim.safety.findings import Finding, worst
from neurostim.safety.measures import Exact

PPM = 1_000_000


def contact_current(context: Context) -> list[Finding]:
    """Current of a contact, anodes included (SAF-CONTACT-CURRENT)."""
    findings = []
    for _, contact in context.contacts():
        findings += both(
            "SAF-CONTACT-CURRENT",
            contact.limits,
            contact.place,
            Exact(contact.setting_na),
            Exact(contact.reach_na),
            reach_at_na=contact.reach_at_na,
        )
    return worst(findings)


def area_current(context: Context) -> list[Finding]:
    """Current of an area: the sum of its cathodes (SAF-AREA-CURRENT)."""
    findings = []
    for area in context.areas:
        findings += both(
            "SAF-AREA-CURRENT",
            area.limits,
            area.place,
            Exact(area.setting_na),
            Exact(area.reach.total_na),
        )
    return worst(findings)


def amplitude_step(context: Context) -> list[Finding]:
    """One step of the patient's range (SAF-STEP)."""
    findings = []
    for area in context.areas:
        findings += one("SAF-STEP", area.limits, area.place, Exact(area.range.step_na))
    return worst(findings)


def amplitude_step_burst(context: Context) -> list[Finding]:
    """One step of the patient's range in an area with bursts (SAF-STEP-BURST)."""
    findings = []
    for area in context.areas:
        if area.area.burst_pulses > 1:
            findings += one("SAF-STEP-BURST", area.limits, area.place, Exact(area.range.step_na))
    return worst(findings)


def width_low(context: Context) -> list[Finding]:
    """Shortest stimulation phase (SAF-WIDTH-LOW)."""
    tick = context.schedule.image.grid.tick_ns
    findings = []
    for area in context.areas:
        findings += one("SAF-WIDTH-LOW", area.limits, area.place, Exact(area.area.width_ticks * tick))
    return worst(findings)


def width_high(context: Context) -> list[Finding]:
    """Longest stimulation phase; of a triphasic pulse its middle (SAF-WIDTH-HIGH)."""
    findings = []
    for area in context.areas:
        findings += one("SAF-WIDTH-HIGH", area.limits, area.place, Exact(area.phase_ns))
    return worst(findings)


def width_given(context: Context) -> list[Finding]:
    """Times given as asked (SAF-WIDTH-GIVEN)."""
    findings = []
    for area in context.areas:
        asked = [
            entry
            for entry in context.schedule.adjustments
            if entry.unit == "ns" and entry.place.startswith(f"{area.place}.")
        ]
        if not asked:
            findings += one("SAF-WIDTH-GIVEN", area.limits, area.place, Exact(0))
        for entry in asked:
            off = entry.relative * PPM
            findings += one(
                "SAF-WIDTH-GIVEN",
                area.limits,
                entry.place,
                Exact(off.numerator, off.denominator),
                detail=f"asked {format_time(entry.asked)}, given {format_time(entry.given)}",
            )
    return worst(findings)


def share_given(context: Context) -> list[Finding]:
    """Currents of the setting given as asked (SAF-SHARE-GIVEN)."""
    findings = []
    for area, contact in context.contacts():
        asked = area.area.amplitude_na * abs(contact.share)
        if asked == 0:
            continue
        off = abs(contact.setting_na * 1000 - asked) * PPM
        detail = ""
        if off:
            given = format_current(contact.setting_na)
            detail = f"asked {format_current(Fraction(asked, 1000))}, given {given}"
        findings += one(
            "SAF-SHARE-GIVEN",
            contact.limits,
            contact.place,
            Exact(off, asked),
            detail=detail,
        )
    return worst(findings)


def rate(context: Context) -> list[Finding]:
    """Rate of the units, and of the pulses in a burst (SAF-RATE)."""
    findings = []
    for area in context.areas:
        for place, period_num, period_den in _periods(area):
            findings += one("SAF-RATE", area.limits, place, Exact(10**12 * period_den, period_num))
    return worst(findings)


def _periods(area: AreaUse) -> Iterator[tuple[str, int, int]]:
    yield f"{area.place}.train", area.area.period_num, area.area.period_den
    if area.area.burst_pulses > 1:
        yield f"{area.place}.train.burst", area.area.burst_period_num, area.area.burst_period_den


def duty(context: Context) -> list[Finding]:
    """Share of the time an area drives (SAF-DUTY)."""
    findings = []
    for area in context.areas:
        driven = duty_of(area)
        findings += one("SAF-DUTY", area.limits, area.place, Exact(driven.numerator, driven.denominator))
    return worst(findings)


def duty_of(area: AreaUse) -> Fraction:
    """Driven time over interval [ppm], exact, inside an on-window."""
    return Fraction(area.driven_ns * area.area.period_den * PPM, area.area.period_num)


def mismatch(context: Context) -> list[Finding]:
    """Direct current a source mismatch of 1 % would leave with active recharge (SAF-MISMATCH)."""
    findings = []
    for area, contact in context.contacts():
        if area.area.recharge.is_passive or area.area.recharge is Recharge.NONE:
            continue
        measures = [
            Exact(
                current * area.phase_ns * area.area.burst_pulses * area.area.period_den,
                100 * area.area.period_num,
            )
            for current in (contact.setting_na, contact.reach_na)
        ]
        findings += both("SAF-MISMATCH", contact.limits, contact.place, measures[0], measures[1])
    return worst(findings)
