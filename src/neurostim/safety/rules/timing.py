"""Rules of ramps and cycles: no step where a ramp was meant, per second and per pulse."""

from __future__ import annotations

from neurostim.core.units import NS_PER_S
from neurostim.safety.context import Context, both, one
from neurostim.safety.findings import Finding, worst
from neurostim.safety.measures import Exact, Measure, Unknown

PPM = 1_000_000


def ramp_min(context: Context) -> list[Finding]:
    """Shortest ramp, up and down (SAF-RAMP-MIN)."""
    findings = []
    for area in context.areas:
        for name, length in (("up", area.area.ramp_up_ns), ("down", area.area.ramp_down_ns)):
            findings += one("SAF-RAMP-MIN", area.limits, f"{area.place}.ramp.{name}", Exact(length))
    return worst(findings)


def ramp_second(context: Context) -> list[Finding]:
    """Rise of current a second (SAF-RAMP-SECOND)."""
    findings = []
    for area in context.areas:
        up = area.area.ramp_up_ns
        measures: list[Measure] = [
            Exact(total * NS_PER_S, up) if up else Unknown("there is no ramp")
            for total in (area.setting_na, area.reach.total_na)
        ]
        findings += both("SAF-RAMP-SECOND", area.limits, area.place, measures[0], measures[1])
    return worst(findings)


def ramp_pulse(context: Context) -> list[Finding]:
    """Rise of current from one unit to the next (SAF-RAMP-PULSE)."""
    findings = []
    for area in context.areas:
        interval, up = area.area.period_num, area.area.period_den * area.area.ramp_up_ns
        rise = Exact(interval * PPM, up) if interval < up else Exact(PPM)
        findings += one("SAF-RAMP-PULSE", area.limits, area.place, rise)
    return worst(findings)


def cycle_on(context: Context) -> list[Finding]:
    """Shortest on-time of a cycle (SAF-CYCLE-ON)."""
    findings = []
    for area in context.areas:
        if area.timing.cycle_ns:
            findings += one("SAF-CYCLE-ON", area.limits, f"{area.place}.cycle.on", Exact(area.area.on_ns))
    return worst(findings)


def cycle_off(context: Context) -> list[Finding]:
    """Shortest off-time of a cycle (SAF-CYCLE-OFF)."""
    findings = []
    for area in context.areas:
        if area.area.off_ns:
            findings += one("SAF-CYCLE-OFF", area.limits, f"{area.place}.cycle.off", Exact(area.area.off_ns))
    return worst(findings)
