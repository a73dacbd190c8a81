"""Rules of the whole program: areas that are safe alone and not together."""

from __future__ import annotations

from fractions import Fraction

from neurostim.safety.context import Context, both, one
from neurostim.safety.findings import Finding, worst
from neurostim.safety.measures import Exact
from neurostim.safety.rules.currents import PPM, duty_of


def duty_total(context: Context) -> list[Finding]:
    """Share of the time the output drives, all areas (SAF-DUTY-TOTAL)."""
    total = sum((duty_of(area) for area in context.areas), Fraction(0))
    return one("SAF-DUTY-TOTAL", context.limits, "program", Exact(total.numerator, total.denominator))


def power(context: Context) -> list[Finding]:
    """Power drawn from the rail, all areas (SAF-POWER)."""
    rail = context.capabilities.rail_mv
    shares = [
        Fraction(area.weighed_ns * area.area.period_den, area.area.period_num) for area in context.areas
    ]
    setting = sum(
        (area.setting_na * share for area, share in zip(context.areas, shares, strict=True)), Fraction(0)
    )
    reached = sum(
        (area.reach.total_na * share for area, share in zip(context.areas, shares, strict=True)), Fraction(0)
    )
    drawn = [rail * current for current in (setting, reached)]
    return both(
        "SAF-POWER",
        context.limits,
        "program",
        Exact(drawn[0].numerator, drawn[0].denominator),
        Exact(drawn[1].numerator, drawn[1].denominator),
    )


def interleave(context: Context) -> list[Finding]:
    """Units dropped where areas meet (SAF-INTERLEAVE)."""
    findings = []
    for area in context.areas:
        known = context.schedule.interleave.areas[area.number]
        dropped = known.share_dropped * PPM
        if context.schedule.interleave.proof == "first units":
            # Beyond the units placed a drop cannot be excluded: at least one is assumed.
            dropped = max(dropped, Fraction(PPM, known.units + 1))
        findings += one(
            "SAF-INTERLEAVE", area.limits, area.place, Exact(dropped.numerator, dropped.denominator)
        )
    return worst(findings)


def interleave_shift(context: Context) -> list[Finding]:
    """Shift of units where areas meet (SAF-INTERLEAVE-SHIFT)."""
    findings = []
    for area in context.areas:
        shift = context.schedule.interleave.areas[area.number].worst_shift_ticks
        findings += one(
            "SAF-INTERLEAVE-SHIFT", area.limits, area.place, Exact(shift * PPM, area.timing.interval)
        )
    return worst(findings)
