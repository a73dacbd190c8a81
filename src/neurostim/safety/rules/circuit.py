"""Rules of direct current, potential, recovery, compliance and impedance: what the circuit does."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from neurostim.core.hardware import PortKind
from neurostim.electrode.circuit import SteadyState
from neurostim.safety.context import AreaUse, ContactUse, Context, both, is_for_people, one, reading_of
from neurostim.safety.findings import Finding, judge, worst
from neurostim.safety.limits import EffectiveLimit
from neurostim.safety.measures import Exact, Measure, State, Unknown, from_physics
from neurostim.safety.physics import FAILED, largest, physics, standing_ppm

PPM = 1_000_000
Values = NDArray[np.float64]
Pick = Callable[[SteadyState], Values]


def net_dc(context: Context) -> list[Finding]:
    """Direct current that nothing takes back, all areas, exact (SAF-NET-DC)."""
    findings = []
    for index, uses in context.by_contact.items():
        totals = [Fraction(0), Fraction(0)]
        for area, contact in uses:
            net_ns = 0 if area.area.recharge.is_passive else _net_ns(area)
            share = Fraction(net_ns * area.area.burst_pulses * area.area.period_den, area.area.period_num)
            totals = [totals[0] + contact.setting_na * share, totals[1] + contact.reach_na * share]
        findings += both(
            "SAF-NET-DC",
            uses[0][1].limits,
            f"contacts.{context.schedule.labels[index]}",
            Exact(totals[0].numerator, totals[0].denominator),
            Exact(totals[1].numerator, totals[1].denominator),
        )
    return worst(findings)


def _net_ns(area: AreaUse) -> int:
    """Magnitude of the signed time of all phases of a pulse, weighed by current [ns]."""
    ticks = sum(sign * (width // divisor) for _, width, sign, divisor in area.timing.phases)
    return abs(ticks) * area.timing.tick_ns


def faradaic_dc(context: Context) -> list[Finding]:
    """Direct current through the electrode reaction, all areas (SAF-FARADAIC-DC)."""
    return _over_areas(context, "SAF-FARADAIC-DC", "quick", lambda state: np.abs(state.net_dc_na))


def potential_low(context: Context) -> list[Finding]:
    """Standing electrode potential, cathodic side (SAF-POTENTIAL-LOW)."""
    return _over_areas(context, "SAF-POTENTIAL-LOW", "slow", lambda state: np.minimum(state.start_uv, 0))


def potential_high(context: Context) -> list[Finding]:
    """Standing electrode potential, anodic side (SAF-POTENTIAL-HIGH)."""
    return _over_areas(context, "SAF-POTENTIAL-HIGH", "slow", lambda state: np.maximum(state.start_uv, 0))


def _over_areas(context: Context, code: str, corner: str, pick: Pick) -> list[Finding]:
    """Sum a quantity of one sign over the areas of each contact; pads count on a surface port only."""
    findings = []
    for index, uses in context.by_contact.items():
        contact = uses[0][1]
        if not contact.is_metal and contact.port.kind is not PortKind.SURFACE:
            continue
        columns = [_column(context, area, use, corner, pick) for area, use in uses]
        known = [column for column in columns if column is not None]
        setting: Measure = Unknown(FAILED)
        reached: Measure = setting
        if len(known) == len(columns):
            setting = from_physics(sum(float(column[0]) for column in known))
            reached = from_physics(sum(float(column[int(np.abs(column).argmax())]) for column in known))
        place = f"contacts.{context.schedule.labels[index]}"
        findings += both(code, contact.limits, place, setting, reached)
    return worst(findings)


def _column(context: Context, area: AreaUse, use: ContactUse, corner: str, pick: Pick) -> Values | None:
    """One value a case for a contact of an area, at one corner of its circuit."""
    result = physics(context, area)
    state = result.quick if corner == "quick" else result.slow
    if state is None:
        return None
    values: Values = pick(state)[:, area.contacts.index(use)]
    return values


def excursion_low(context: Context) -> list[Finding]:
    """Electrode potential inside a unit, cathodic side (SAF-EXCURSION-LOW)."""
    return _each(context, "SAF-EXCURSION-LOW", lambda state: state.start_up.potential_low_uv)


def excursion_high(context: Context) -> list[Finding]:
    """Electrode potential inside a unit, anodic side (SAF-EXCURSION-HIGH)."""
    return _each(context, "SAF-EXCURSION-HIGH", lambda state: state.start_up.potential_high_uv)


def recharge_peak(context: Context) -> list[Finding]:
    """Peak current when passive recovery begins (SAF-RECHARGE-PEAK)."""
    return _each(
        context, "SAF-RECHARGE-PEAK", lambda state: state.start_up.recharge_peak_na, pads=True, passive=True
    )


def _each(
    context: Context, code: str, pick: Pick, *, pads: bool = False, passive: bool = False
) -> list[Finding]:
    findings = []
    for area in context.areas:
        if passive and not area.area.recharge.is_passive:
            continue
        state = physics(context, area).quick
        values = None if state is None else pick(state)
        for column, contact in enumerate(area.contacts):
            if not (contact.is_metal or pads):
                continue
            setting, reached = largest(None if values is None else values[:, column])
            findings += both(code, contact.limits, contact.place, setting, reached)
    return worst(findings)


def recovery(context: Context) -> list[Finding]:
    """Charge that passive recovery does not take back before the next unit (SAF-RECOVERY)."""
    findings = []
    for area in context.areas:
        if not area.area.recharge.is_passive:
            continue
        shares = standing_ppm(physics(context, area))
        for column, contact in enumerate(area.contacts):
            measure = Unknown(FAILED) if shares is None else from_physics(float(shares[:, column].max()))
            findings += one("SAF-RECOVERY", contact.limits, contact.place, measure)
    return worst(findings)


def compliance(context: Context) -> list[Finding]:
    """Voltage the output must reach (SAF-COMPLIANCE)."""
    findings = []
    rail = context.capabilities.rail_mv
    for area in context.areas:
        measured = all(reading_of(context.case, contact.index) for contact in area.contacts)
        voltages = physics(context, area).compliance_uv
        if voltages is None or rail <= 0:
            setting = reached = Unknown(FAILED)
            findings += both("SAF-COMPLIANCE", area.limits, area.place, setting, reached)
            continue
        # uV over mV: a thousandth; in ppm of the rail.
        needed = [math.ceil(float(value)) for value in (voltages[0], voltages.max())]
        findings += both(
            "SAF-COMPLIANCE",
            area.limits,
            area.place,
            Exact(needed[0] * PPM, rail * 1000),
            Exact(needed[1] * PPM, rail * 1000),
            detail="measured impedance" if measured else "nominal circuit of the lead",
        )
    return worst(findings)


def impedance_missing(context: Context) -> list[Finding]:
    """Impedance is measured; refused at a run outside bench (SAF-IMPEDANCE-MISSING)."""
    findings = []
    for _, contact in context.contacts():
        if "SAF-IMPEDANCE-MISSING" not in contact.limits:
            continue
        limit = contact.limits["SAF-IMPEDANCE-MISSING"]
        if context.case.at_run and is_for_people(contact.port) and limit.warn is not None:
            limit = EffectiveLimit(limit.row, refuse=limit.warn)
        missing = reading_of(context.case, contact.index) is None
        findings.append(judge(limit, contact.place, State(missing)))
    return worst(findings)


def impedance_open(context: Context) -> list[Finding]:
    """No contact is open (SAF-IMPEDANCE-OPEN)."""
    findings = []
    for _, contact in context.contacts():
        reading = reading_of(context.case, contact.index)
        if reading is None:
            continue
        measure: Measure = Exact(max(reading.late_ohm, reading.series_ohm))
        if reading.status not in ("ok", "short"):
            measure = Unknown(f"the device calls the reading {reading.status!r}")
        findings += one("SAF-IMPEDANCE-OPEN", contact.limits, contact.place, measure)
    return worst(findings)


def impedance_short(context: Context) -> list[Finding]:
    """No contact is shorted (SAF-IMPEDANCE-SHORT)."""
    findings = []
    for _, contact in context.contacts():
        reading = reading_of(context.case, contact.index)
        if reading is None:
            continue
        measure: Measure = Exact(reading.series_ohm)
        if reading.status == "short":
            measure = Unknown("the device calls the reading short")
        findings += one("SAF-IMPEDANCE-SHORT", contact.limits, contact.place, measure)
    return worst(findings)
