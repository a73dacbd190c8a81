"""What the contact circuits do under a program: standing potential, leak, recharge peak, compliance.

Each area is judged alone in its periodic steady state and on the way there from rest, at two corners of
what is plausible for its contacts: ``quick`` (small double layer, large leak: highest voltages, peaks and
leak) and ``slow`` (large double layer, small leak: most left behind). The time that other areas take from
its recovery is bounded from above and taken away. Floats are physics here; what leaves for a verdict is
rounded away from zero to whole base units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neurostim.core.errors import ConfigError
from neurostim.core.program import Recharge
from neurostim.electrode.circuit import Circuit, Phases, SteadyState, run, steady_state
from neurostim.electrode.lead import ContactCircuit
from neurostim.safety.context import AreaUse, ContactUse, Context, reading_of
from neurostim.safety.measures import Measure, Unknown, from_physics

SETTING: Final = 0
FAILED: Final = "the circuit has no steady state"


@dataclass(frozen=True)
class AreaPhysics:
    """One area's circuit results; the first case is the setting, the others are ends of the range.

    ``quick`` and ``slow`` are None where a steady state cannot be computed. ``unit_charge_ac`` is the charge
    of a unit's stimulation phases, (cases, contacts); ``compliance_uv`` the voltage needed, one a case, or
    None where it is not finite. Where nothing is ever taken back (bench) no steady state is meaningful for
    it, and one unit from rest is judged.
    """

    quick: SteadyState | None
    slow: SteadyState | None
    unit_charge_ac: NDArray[np.float64]
    compliance_uv: NDArray[np.float64] | None


def physics(context: Context, area: AreaUse) -> AreaPhysics:
    """The circuit results of one area, computed once a check."""
    key = f"physics {area.number}"
    if key not in context.extra:
        context.extra[key] = _solve(context, area)
    found: AreaPhysics = context.extra[key]
    return found


def _solve(context: Context, area: AreaUse) -> AreaPhysics:
    setting = list(context.schedule.unit_currents(area.number).values())
    ends = area.reach.vectors_na
    other = ends[(ends != np.array(setting)).any(axis=1)]
    cases = np.vstack([np.array([setting], dtype=np.int64), other])
    phases = _phases(context, area, cases)
    quick = [_circuit(context, contact).at_low().at_leaky() for contact in area.contacts]
    slow = [_circuit(context, contact).at_high() for contact in area.contacts]
    passive = area.area.recharge.is_passive
    discharge = context.capabilities.discharge_ohm
    width_ns = area.area.width_ticks * context.schedule.image.grid.tick_ns
    unit = np.abs(cases).astype(np.float64) * width_ns * area.area.burst_pulses
    quick_state = _steady(quick, discharge, phases)
    # Without passive recovery nothing recovers slowly, and a small double layer has the larger voltages.
    slow_state = _steady(slow, discharge, phases) if passive else quick_state
    peak: NDArray[np.float64] | None = None
    if area.area.recharge is Recharge.NONE:
        peak = run(Circuit(quick, discharge), phases).extremes.compliance_peak_uv
    elif quick_state is not None:
        peak = quick_state.start_up.compliance_peak_uv
    if peak is not None:
        peak = np.atleast_1d(peak) if bool(np.isfinite(peak).all()) else None
    return AreaPhysics(quick_state, slow_state, unit, peak)


def _steady(contacts: list[ContactCircuit], discharge_ohm: int, phases: Phases) -> SteadyState | None:
    try:
        return steady_state(Circuit(contacts, discharge_ohm), phases)
    except ConfigError as error:
        if error.code != "no-steady-state":
            raise
        return None


def _circuit(context: Context, contact: ContactUse) -> ContactCircuit:
    """The contact's circuit, its series resistance as measured where it was.

    A measurement against all other contacts tied holds a part of theirs too; that errs to the safe side.
    """
    nominal = contact.site.circuit
    reading = reading_of(context.case, contact.index)
    if reading is None or reading.status != "ok":
        return nominal
    return replace(nominal, series_ohm=max(1, reading.series_ohm, reading.late_ohm))


def _phases(context: Context, area: AreaUse, cases: NDArray[np.int64]) -> Phases:
    """One interval of an area: its pulses, the shorted time others leave it, and rest."""
    timing, tick = area.timing, context.schedule.image.grid.tick_ns
    steps: list[tuple[int, int, int, bool]] = []  # ticks, sign, divisor, shorted
    now = 0
    for pulse in range(timing.pulses):
        onset = timing.pulse_onset(pulse)
        last = pulse == timing.pulses - 1
        for offset, width, sign, divisor in timing.phases:
            steps.append((onset + offset - now, 0, 1, False))
            steps.append((width, sign, divisor, False))
            now = onset + offset + width
        if timing.area.recharge is Recharge.PASSIVE or (timing.area.recharge.is_passive and last):
            steps.append((timing.area.interphase_ticks, 0, 1, False))
            now += timing.area.interphase_ticks
            until = timing.interval if last else timing.pulse_onset(pulse + 1)
            for ticks, shorted in _recovery(context, area, until - now):
                steps.append((ticks, 0, 1, shorted))
                now += ticks
    steps.append((timing.interval - now, 0, 1, False))
    kept = [step for step in steps if step[0] > 0]
    durations = np.array([ticks * tick for ticks, _, _, _ in kept], dtype=np.int64)
    factors = np.array([sign / divisor for _, sign, divisor, _ in kept])
    currents = cases[:, np.newaxis, :] * factors[np.newaxis, :, np.newaxis]
    # Rule 9 shorts all contacts of the area that have a share.
    tied = np.array([[short] * cases.shape[1] for _, _, _, short in kept], dtype=np.bool_)
    return Phases(durations, currents, tied)


def _recovery(context: Context, area: AreaUse, room: int) -> list[tuple[int, bool]]:
    """Ticks shorted and not, from the end of the interphase on; ``room`` is the time to the next onset."""
    grid = context.schedule.image.grid
    span = min(room - grid.guard_ticks, area.timing.passive_limit)
    if span <= 0:
        return []
    sure = min(span, grid.recovery_min_ticks)
    taken = min(span - sure, stolen_ticks(context, area, span))
    return [(sure, True), (taken, False), (span - sure - taken, True)]


def stolen_ticks(context: Context, area: AreaUse, span: int) -> int:
    """A bound on how much of a recovery of ``span`` ticks the other areas can interrupt.

    Units of another area start at least ``interval - max_shift`` apart; each of its pulses takes its
    length and a guard on both sides (rule 9). The first ``recovery_min`` is the area's own (rule 8).
    """
    guard = context.schedule.image.grid.guard_ticks
    total = 0
    for other in context.areas:
        if other.number == area.number:
            continue
        timing = other.timing
        apart = max(1, timing.interval - timing.max_shift)
        units = (span + timing.unit_length + 2 * guard) // apart + 1
        total += units * timing.pulses * (timing.pulse_length + 2 * guard)
    return total


def largest(values: NDArray[np.float64] | None) -> tuple[Measure, Measure]:
    """Setting and range of one quantity over its cases (first axis), rounded away from zero.

    ``values`` holds one number a case, the setting first; None where it could not be computed.
    """
    if values is None:
        return Unknown(FAILED), Unknown(FAILED)
    return from_physics(float(values[SETTING])), from_physics(float(values[_extreme(values)]))


def _extreme(values: NDArray[np.float64]) -> int:
    return int(np.abs(values).argmax())


def standing_ppm(result: AreaPhysics) -> NDArray[np.float64] | None:
    """Charge left before a unit over the unit's charge [ppm], (cases, contacts); None if unknown."""
    if result.slow is None:
        return None
    unit = np.where(result.unit_charge_ac > 0, result.unit_charge_ac, np.inf)
    share: NDArray[np.float64] = np.abs(result.slow.residue_ac) / unit * 1_000_000
    return share
