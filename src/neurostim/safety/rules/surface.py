"""Rules for skin electrodes, from the standard for surface stimulators (IEC 60601-2-10)."""

from __future__ import annotations

from typing import Final

from neurostim.core.hardware import PortKind
from neurostim.safety.context import Context, both, one
from neurostim.safety.findings import Finding, worst
from neurostim.safety.measures import Exact, Root

LOAD_OHM: Final = 500
"""The load of the standard [ohm]."""

UM2_PER_CM2: Final = 10**8


def energy(context: Context) -> list[Finding]:
    """Energy of a pulse into 500 ohm (SAF-ENERGY)."""
    findings = []
    for area in context.areas:
        time = area.square_ns
        findings += both(
            "SAF-ENERGY",
            area.limits,
            area.place,
            Exact(LOAD_OHM * area.setting_na**2 * time.numerator, time.denominator),
            Exact(LOAD_OHM * area.reach.total_na**2 * time.numerator, time.denominator),
        )
    return worst(findings)


def open_voltage(context: Context) -> list[Finding]:
    """Open-circuit voltage of a surface output (SAF-OPEN-VOLTAGE)."""
    return one("SAF-OPEN-VOLTAGE", context.limits, "device", Exact(context.capabilities.rail_mv * 1000))


def surface_density(context: Context) -> list[Finding]:
    """Root mean square current density under a pad (SAF-SURFACE-DENSITY)."""
    findings = []
    for area, contact in context.contacts():
        if contact.port.kind is not PortKind.SURFACE:
            continue
        time = area.square_ns * area.area.burst_pulses
        squares = time.numerator * area.area.period_den * UM2_PER_CM2**2
        over = contact.site.area_um2**2 * area.area.period_num * time.denominator
        findings += both(
            "SAF-SURFACE-DENSITY",
            contact.limits,
            contact.place,
            Root(contact.setting_na**2 * squares, over),
            Root(contact.reach_na**2 * squares, over),
        )
    return worst(findings)
