"""What must hold for any circuit and any phases: charge is kept, nothing is lost between ways to compute."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from neurostim.electrode.circuit import (
    Chain,
    Circuit,
    ContactCircuit,
    Phase,
    Phases,
    Repeat,
    run,
    steady_state,
)

CONTACTS = st.builds(
    ContactCircuit,
    series_ohm=st.integers(20, 5_000),
    double_layer_nf=st.integers(100, 20_000),
    faradaic_ohm=st.integers(10_000, 10_000_000),
)
DURATIONS = st.integers(1_000, 20_000_000)


@st.composite
def circuits(draw: st.DrawFn, lowest: int = 2, highest: int = 6) -> Circuit:
    contacts = draw(st.lists(CONTACTS, min_size=lowest, max_size=highest))
    return Circuit(contacts, draw(st.integers(0, 2_000)))


@st.composite
def driven(draw: st.DrawFn, contacts: int) -> Phase:
    values = draw(st.lists(st.integers(-5_000_000, 5_000_000), min_size=contacts - 1, max_size=contacts - 1))
    currents = dict(enumerate([*values, -sum(values)]))
    return Phase(draw(st.integers(1_000, 2_000_000)), {k: float(v) for k, v in currents.items()})


@st.composite
def phase_lists(draw: st.DrawFn, contacts: int) -> list[Phase]:
    shorted = st.sets(st.integers(0, contacts - 1), min_size=1)
    one = st.one_of(
        driven(contacts),
        st.builds(Phase, DURATIONS),
        st.builds(Phase, DURATIONS, st.just({}), shorted),
    )
    return draw(st.lists(one, min_size=1, max_size=5))


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Circuit, list[Phase], np.ndarray]:
    circuit = draw(circuits())
    start = draw(st.lists(st.integers(-800_000, 800_000), min_size=circuit.size, max_size=circuit.size))
    return circuit, draw(phase_lists(circuit.size)), np.array(start, dtype=np.float64)


def _scale(circuit: Circuit, phases: list[Phase], start_uv: np.ndarray) -> float:
    """Size of the charges at play [aC], against which rounding is judged."""
    driven_ac = sum(phase.duration_ns * sum(map(abs, phase.currents.values())) for phase in phases)
    return float(driven_ac + (np.abs(start_uv) * 1000 * circuit.capacitance_nf).sum() + 1.0)


@given(worlds())
def test_charge_is_conserved(world: tuple[Circuit, list[Phase], np.ndarray]) -> None:
    circuit, phases, start = world
    found = run(circuit, Phases.of(circuit.size, phases), start)
    scale = _scale(circuit, phases, start)
    # what enters the tissue leaves it, and what passes a contact is stored or leaks
    assert abs(found.charge_ac.sum()) <= 1e-9 * scale
    stored = found.residue_ac - start * 1000 * circuit.capacitance_nf
    assert np.abs(stored + found.faradaic_ac - found.charge_ac).max() <= 1e-9 * scale
    assert np.all(np.abs(found.mean_dc_na * found.duration_ns - found.charge_ac) <= 1e-9 * scale)


@given(worlds(), st.data())
def test_a_phase_cut_in_two_does_what_it_did_whole(
    world: tuple[Circuit, list[Phase], np.ndarray], data: st.DataObject
) -> None:
    circuit, phases, start = world
    number = data.draw(st.integers(0, len(phases) - 1))
    phase = phases[number]
    first = data.draw(st.integers(1, phase.duration_ns - 1))
    halves = [Phase(part, phase.currents, phase.shorted) for part in (first, phase.duration_ns - first)]
    whole = run(circuit, Phases.of(circuit.size, phases), start)
    cut = run(circuit, Phases.of(circuit.size, [*phases[:number], *halves, *phases[number + 1 :]]), start)
    scale = _scale(circuit, phases, start)
    assert np.abs(whole.residue_ac - cut.residue_ac).max() <= 1e-9 * scale
    assert np.abs(whole.charge_ac - cut.charge_ac).max() <= 1e-9 * scale


@given(circuits(), st.data())
def test_the_residue_shrinks_with_every_moment_of_recovery(circuit: Circuit, data: st.DataObject) -> None:
    start = np.array(
        data.draw(st.lists(st.integers(-800_000, 800_000), min_size=circuit.size, max_size=circuit.size)),
        dtype=np.float64,
    )
    members = data.draw(st.sets(st.integers(0, circuit.size - 1), min_size=2))
    before = np.inf
    for _ in range(4):
        duration = data.draw(st.integers(10_000, 3_000_000))
        end = run(circuit, Phases.of(circuit.size, [Phase(duration, shorted=members)]), start).end_uv
        # the energy on the double layers falls, and so does the spread between what is shorted
        energy = float((circuit.capacitance_nf * end**2).sum())
        assert energy <= before * (1 + 1e-12)
        spread = np.ptp(np.append(end[list(members)], 0.0))
        assert spread <= np.ptp(np.append(start[list(members)], 0.0)) * (1 + 1e-9) + 1e-9
        before, start = energy, end


@given(CONTACTS, st.integers(1_000, 5_000_000), st.integers(10_000, 1_000_000), st.data())
def test_more_recovery_time_leaves_less_residue_in_the_steady_state(
    contact: ContactCircuit, amplitude: int, width: int, data: st.DataObject
) -> None:
    # alike contacts: unlike leaks leave a common part that no shorting can move
    circuit = Circuit([contact] * 2, 400)
    short = data.draw(st.integers(100_000, 10_000_000))
    longer = data.draw(st.integers(short + 100_000, 40_000_000))
    pulse = Phase(width, {0: -float(amplitude), 1: float(amplitude)})
    residues = [
        np.abs(steady_state(circuit, Phases.of(2, [pulse, Phase(recovery, shorted=(0, 1))])).residue_ac).min()
        for recovery in (short, longer)
    ]
    assert residues[1] <= residues[0] * (1 + 1e-9) + 1e-9 * amplitude * width


@given(circuits(), st.data())
def test_symmetric_active_pulses_force_no_current(circuit: Circuit, data: st.DataObject) -> None:
    pulse = data.draw(driven(circuit.size))
    back = Phase(pulse.duration_ns, {contact: -current for contact, current in pulse.currents.items()})
    gap = data.draw(st.integers(1, 200_000))
    rest = data.draw(st.integers(1_000, 20_000_000))
    found = steady_state(circuit, Phases.of(circuit.size, [pulse, Phase(gap), back, Phase(rest)]))
    assert np.all(found.source_dc_na == 0)
    assert np.all(found.forced_dc_na == 0)
    # no imbalance: in the steady state the mean potential, and with it the DC, is zero for each contact
    peak = max(map(abs, pulse.currents.values()))
    assert np.abs(found.net_dc_na).max() <= 1e-6 * (peak + 1)
    # what is left is the leak of one phase: no more than what a phase of full charge loses
    charge = np.array([abs(pulse.currents[contact]) * pulse.duration_ns for contact in range(circuit.size)])
    assert np.all(np.abs(found.residue_ac) <= charge * (1 + 1e-9) + 1e-6)


@given(circuits(2, 5), st.data())
def test_a_mismatch_of_the_source_is_the_net_dc_where_nothing_recovers(
    circuit: Circuit, data: st.DataObject
) -> None:
    pulse = data.draw(driven(circuit.size))
    percent = data.draw(st.integers(-50, 50))
    back = Phase(pulse.duration_ns, {c: -i * (100 + percent) / 100 for c, i in pulse.currents.items()})
    rest = data.draw(st.integers(1_000, 20_000_000))
    found = steady_state(circuit, Phases.of(circuit.size, [pulse, back, Phase(rest)]))
    period = 2 * pulse.duration_ns + rest
    expected = np.array(
        [-pulse.currents[c] * percent / 100 * pulse.duration_ns / period for c in range(circuit.size)]
    )
    peak = max(map(abs, pulse.currents.values())) + 1
    assert np.abs(found.source_dc_na - expected).max() <= 1e-9 * peak
    assert np.abs(found.net_dc_na - expected).max() <= 1e-6 * peak
    assert np.abs(found.forced_dc_na - expected).max() <= 1e-9 * peak


@given(worlds(), st.integers(-20, 20), st.integers(-20, 20))
def test_the_circuit_is_linear(world: tuple[Circuit, list[Phase], np.ndarray], one: int, other: int) -> None:
    circuit, phases, start = world
    base = Phases.of(circuit.size, phases)
    reverse = base.current_na[0, :, ::-1].copy()
    combined = Phases(base.duration_ns, one * base.current_na[0] + other * reverse, base.shorted)
    first = run(circuit, base, start)
    second = run(circuit, Phases(base.duration_ns, reverse, base.shorted), start / 2)
    both = run(circuit, combined, one * start + other * start / 2)
    scale = 40 * _scale(circuit, phases, start)
    assert np.abs(both.residue_ac - one * first.residue_ac - other * second.residue_ac).max() <= 1e-9 * scale
    assert np.abs(both.charge_ac - one * first.charge_ac - other * second.charge_ac).max() <= 1e-9 * scale


@given(worlds(), st.integers(1, 12))
def test_a_repeat_is_its_body_written_out(world: tuple[Circuit, list[Phase], np.ndarray], count: int) -> None:
    circuit, phases, start = world
    body = Phases.of(circuit.size, phases)
    repeated = run(circuit, Repeat(body, count), start)
    written = run(circuit, Phases.of(circuit.size, phases * count), start)
    scale = count * _scale(circuit, phases, start)
    assert np.abs(repeated.residue_ac - written.residue_ac).max() <= 1e-9 * scale
    assert np.abs(repeated.charge_ac - written.charge_ac).max() <= 1e-9 * scale
    chained = run(circuit, Chain((body,) * count), start)
    assert np.abs(repeated.residue_ac - chained.residue_ac).max() <= 1e-9 * scale
    if count <= 8:
        # every repeat is looked at, so extremes are the same
        for ours, theirs in (
            (repeated.extremes.potential_low_uv, written.extremes.potential_low_uv),
            (repeated.extremes.potential_high_uv, written.extremes.potential_high_uv),
            (repeated.extremes.compliance_peak_uv, written.extremes.compliance_peak_uv),
        ):
            assert np.abs(ours - theirs).max() <= 1e-6 * (np.abs(theirs).max() + 1)


@given(worlds())
def test_the_steady_state_is_a_state_that_returns(world: tuple[Circuit, list[Phase], np.ndarray]) -> None:
    circuit, phases, start = world
    period = Phases.of(circuit.size, phases)
    found = steady_state(circuit, period)
    once = run(circuit, period, found.start_uv)
    scale = _scale(circuit, phases, start)
    assert np.abs(once.residue_ac - found.residue_ac).max() <= 1e-7 * scale
    assert np.abs(once.charge_ac - found.net_dc_na * found.period_ns).max() <= 1e-6 * scale
    assert abs(found.net_dc_na.sum() * found.period_ns) <= 1e-6 * scale


@settings(max_examples=60)
@given(worlds(), st.data())
def test_nothing_sampled_lies_outside_the_extremes(
    world: tuple[Circuit, list[Phase], np.ndarray], data: st.DataObject
) -> None:
    circuit, phases, start = world
    tree = Repeat(Phases.of(circuit.size, phases), data.draw(st.integers(1, 200)))
    length = tree.count * sum(phase.duration_ns for phase in phases)
    at = np.unique(data.draw(st.lists(st.integers(0, length), min_size=1, max_size=60)))
    found = run(circuit, tree, start, at_ns=at)
    assert found.samples is not None
    potential = found.samples.potential_uv
    room = 0.01 * np.ptp(
        np.append(potential, [found.extremes.potential_low_uv, found.extremes.potential_high_uv])
    )
    assert np.all(potential >= found.extremes.potential_low_uv - room)
    assert np.all(potential <= found.extremes.potential_high_uv + room)
    drives = (found.samples.current_na != 0) & (np.abs(found.samples.current_na).sum(axis=1) > 0)[
        :, np.newaxis
    ]
    assert math.isfinite(float(found.extremes.compliance_peak_uv))
    for row in range(at.size):
        offset = int(at[row]) % (length // tree.count)
        ends = np.cumsum([phase.duration_ns for phase in phases])
        number = int(np.searchsorted(ends, offset, side="right")) if at[row] < length else len(phases) - 1
        if phases[number].currents and drives[row].any():
            between = np.ptp(found.samples.voltage_uv[row][drives[row]])
            assert between <= found.extremes.compliance_uv[0][number] + room + 1e-3
        if phases[number].shorted:
            peak = found.extremes.recharge_peak_na
            assert np.all(np.abs(found.samples.current_na[row]) <= peak + 0.01 * peak.max() + 1e-3)


@settings(max_examples=60)
@given(worlds(), st.integers(1, 400))
def test_start_up_bounds_every_number_of_periods(
    world: tuple[Circuit, list[Phase], np.ndarray], count: int
) -> None:
    circuit, phases, _ = world
    period = Phases.of(circuit.size, phases)
    found = steady_state(circuit, period)
    some = run(circuit, Repeat(period, count)).extremes
    room = (
        0.01 * (np.abs(found.start_up.potential_low_uv) + np.abs(found.start_up.potential_high_uv)).max()
        + 1e-3
    )
    assert np.all(some.potential_low_uv >= found.start_up.potential_low_uv - room)
    assert np.all(some.potential_high_uv <= found.start_up.potential_high_uv + room)
    assert np.all(found.steady.potential_low_uv >= found.start_up.potential_low_uv - 1e-3)
    assert some.compliance_peak_uv <= found.start_up.compliance_peak_uv + 2 * room


@settings(max_examples=60)
@given(CONTACTS, st.booleans(), st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.data())
def test_start_up_bounds_any_ramp_of_a_pair_of_alike_contacts(
    contact: ContactCircuit, active: bool, permille: list[int], data: st.DataObject
) -> None:
    circuit = Circuit([contact] * 2, 400)
    amplitude = float(data.draw(st.integers(1_000, 5_000_000)))
    width = data.draw(st.integers(10_000, 1_000_000))
    rest = data.draw(st.integers(100_000, 20_000_000))

    def period(factor: float) -> list[Phase]:
        pulse = {0: -amplitude * factor, 1: amplitude * factor}
        if active:
            back = {contact: -current for contact, current in pulse.items()}
            return [Phase(width, pulse), Phase(20_000), Phase(width, back), Phase(rest)]
        return [Phase(width, pulse), Phase(20_000), Phase(rest, shorted=(0, 1))]

    full = steady_state(circuit, Phases.of(2, period(1.0))).start_up
    phases = [phase for factor in permille for phase in period(factor / 1000)]
    ramped = run(circuit, Phases.of(2, phases)).extremes
    room = 1e-6 * (np.abs(full.potential_low_uv) + np.abs(full.potential_high_uv)).max()
    assert np.all(ramped.potential_low_uv >= full.potential_low_uv - room)
    assert np.all(ramped.potential_high_uv <= full.potential_high_uv + room)
    assert np.all(ramped.recharge_peak_na <= full.recharge_peak_na * (1 + 1e-6))
    assert ramped.compliance_peak_uv <= full.compliance_peak_uv * (1 + 1e-6)
