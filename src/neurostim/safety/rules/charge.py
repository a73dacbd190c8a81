"""Rules of charge: a phase, an unrecovered burst, several areas on one contact, a day."""

from __future__ import annotations

from collections.abc import Callable

from neurostim.core.program import Recharge
from neurostim.safety.context import DAY_NS, AreaUse, ContactUse, Context, both
from neurostim.safety.findings import Finding, worst
from neurostim.safety.measures import Exact, Measure, ShannonK

Charge = Callable[[AreaUse, int], int]
Weigh = Callable[[int, ContactUse], Measure]


def phase_charge(area: AreaUse, current_na: int) -> int:
    """Charge of the longest stimulation phase at a contact current [aC]."""
    return current_na * area.phase_ns


def burst_charge(area: AreaUse, current_na: int) -> int:
    """Charge of a unit before any of it is taken back [aC]."""
    return phase_charge(area, current_na) * area.unrecovered_pulses


def _judged(context: Context, code: str, charge: Charge, weigh: Weigh, *, bursts: bool) -> list[Finding]:
    findings = []
    for area, contact in context.contacts():
        if bursts and area.unrecovered_pulses == 1:
            continue
        findings += both(
            code,
            contact.limits,
            contact.place,
            weigh(charge(area, contact.setting_na), contact),
            weigh(charge(area, contact.reach_na), contact),
            reach_at_na=contact.reach_at_na,
        )
    return worst(findings)


def _plain(charge_ac: int, _: ContactUse) -> Measure:
    return Exact(charge_ac)


def _density(charge_ac: int, contact: ContactUse) -> Measure:
    return Exact(charge_ac, contact.site.area_um2)


def _shannon(charge_ac: int, contact: ContactUse) -> Measure:
    return ShannonK(charge_ac, contact.site.area_um2)


def charge_phase(context: Context) -> list[Finding]:
    """Charge of a phase (SAF-CHARGE-PHASE)."""
    return _judged(context, "SAF-CHARGE-PHASE", phase_charge, _plain, bursts=False)


def charge_burst(context: Context) -> list[Finding]:
    """Charge of an unrecovered burst (SAF-CHARGE-BURST)."""
    return _judged(context, "SAF-CHARGE-BURST", burst_charge, _plain, bursts=True)


def density(context: Context) -> list[Finding]:
    """Charge density of a phase (SAF-DENSITY)."""
    return _judged(context, "SAF-DENSITY", phase_charge, _density, bursts=False)


def density_burst(context: Context) -> list[Finding]:
    """Charge density of an unrecovered burst (SAF-DENSITY-BURST)."""
    return _judged(context, "SAF-DENSITY-BURST", burst_charge, _density, bursts=True)


def shannon(context: Context) -> list[Finding]:
    """Shannon k of a phase (SAF-SHANNON)."""
    return _judged(context, "SAF-SHANNON", phase_charge, _shannon, bursts=False)


def shannon_damage(context: Context) -> list[Finding]:
    """Shannon k at which damage was seen (SAF-SHANNON-DAMAGE)."""
    return _judged(context, "SAF-SHANNON-DAMAGE", phase_charge, _shannon, bursts=False)


def shannon_burst(context: Context) -> list[Finding]:
    """Shannon k of an unrecovered burst (SAF-SHANNON-BURST)."""
    return _judged(context, "SAF-SHANNON-BURST", burst_charge, _shannon, bursts=True)


def charge_stack(context: Context) -> list[Finding]:
    """Charge of several areas standing on one contact (SAF-CHARGE-STACK)."""
    findings = []
    for index, uses in context.by_contact.items():
        waiting = [
            (area, contact)
            for area, contact in uses
            if area.area.recharge.is_passive or area.area.recharge is Recharge.NONE
        ]
        if len(waiting) < 2:
            continue
        first = waiting[0][1]
        measures = [
            Exact(
                _larger_side([(sign(c) * burst_charge(a, current(c))) for a, c in waiting]),
                first.site.area_um2,
            )
            for current in (_setting, _reached)
        ]
        findings += both(
            "SAF-CHARGE-STACK",
            first.limits,
            f"contacts.{context.schedule.labels[index]}",
            measures[0],
            measures[1],
        )
    return worst(findings)


def sign(contact: ContactUse) -> int:
    """-1 for a cathode, 1 for an anode."""
    return -1 if contact.share < 0 else 1


def _setting(contact: ContactUse) -> int:
    return contact.setting_na


def _reached(contact: ContactUse) -> int:
    return contact.reach_na


def _larger_side(charges: list[int]) -> int:
    positive = sum(charge for charge in charges if charge > 0)
    negative = -sum(charge for charge in charges if charge < 0)
    return max(positive, negative)


def charge_day(context: Context) -> list[Finding]:
    """Charge of a contact in a day, all areas (SAF-CHARGE-DAY)."""
    duration = context.schedule.duration_ns
    span = DAY_NS if duration is None else min(duration, DAY_NS)
    runs = -(-DAY_NS // span)
    setting = context.dose_ac(span, reached=False)
    ranged = any(area.has_range for area in context.areas)
    reached = context.dose_ac(span, reached=True) if ranged else setting
    findings = []
    for index, uses in context.by_contact.items():
        findings += both(
            "SAF-CHARGE-DAY",
            uses[0][1].limits,
            f"contacts.{context.schedule.labels[index]}",
            Exact(setting[index] * runs),
            Exact(reached[index] * runs),
        )
    return worst(findings)
