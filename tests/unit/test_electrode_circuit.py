"""The contact circuit against closed forms, fine-step integration and the printed facts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from neurostim.core.errors import ConfigError
from neurostim.electrode import library
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
from support.electrode_reference import currents, integrate

NO_LEAK = 10**15
OCTRODE = library.lead("octrode").circuit


def _pulse(amplitude_na: float, width_ns: int, contacts: tuple[int, int] = (0, 1)) -> Phase:
    cathode, anode = contacts
    return Phase(width_ns, {cathode: -amplitude_na, anode: amplitude_na})


def _burstdr(amplitude_na: float = 1_500_000, contacts: tuple[int, int] = (0, 1)) -> list[Phase]:
    """Five pulses of 1 ms at 500 Hz, recovered after the fifth, at 40 Hz."""
    phases: list[Phase] = []
    for number in range(5):
        phases.append(_pulse(amplitude_na, 1_000_000, contacts))
        if number < 4:
            phases.append(Phase(1_000_000))
    return [*phases, Phase(15_980_000, shorted=contacts), Phase(20_000)]


MIXED = (
    ContactCircuit(300, 3676, 816_200),
    ContactCircuit(450, 1200, 2_500_000),
    ContactCircuit(700, 1178, 50_000),
    ContactCircuit(150, 1000, 2_500),
    ContactCircuit(300, 6126, 8_162_000),
    ContactCircuit(600, 785, 254_650),
    ContactCircuit(350, 2827, 106_100),
    ContactCircuit(500, 3142, 63_660),
)


def test_two_unequal_contacts_recover_as_one_resistance_and_one_capacitance() -> None:
    one, other = ContactCircuit(300, 2000, NO_LEAK), ContactCircuit(500, 3000, NO_LEAK)
    circuit = Circuit([one, other], 400)
    charged = run(circuit, Phases.of(2, [_pulse(2_000_000, 500_000)]))
    assert charged.residue_ac == pytest.approx([-1e12, 1e12], rel=1e-9)
    # 1 uC on 2 and 3 uF in series behind 300 + 500 + 2 x 400 ohm
    tau_ns = (300 + 500 + 2 * 400) * (2000 * 3000 / (2000 + 3000))
    recovered = run(circuit, Phases.of(2, [Phase(1_500_000, shorted=(0, 1))]), charged.end_uv)
    left = math.exp(-1_500_000 / tau_ns)
    assert recovered.residue_ac == pytest.approx([-1e12 * left, 1e12 * left], rel=1e-9)
    peak_na = (1e12 / 2000 + 1e12 / 3000) / 1600
    assert recovered.extremes.recharge_peak_na == pytest.approx([peak_na, peak_na], rel=1e-9)


def test_the_steady_state_of_a_pair_is_its_closed_form() -> None:
    circuit = Circuit([OCTRODE, OCTRODE], 400)
    width, recovery, rest = 300_000, 19_680_000, 20_000
    amplitude = 6_000_000.0
    found = steady_state(
        circuit,
        Phases.of(2, [_pulse(amplitude, width), Phase(recovery, shorted=(0, 1)), Phase(rest)]),
    )
    leak_ns = OCTRODE.faradaic_ohm * OCTRODE.double_layer_nf
    loop_ns = (OCTRODE.series_ohm + 400) * OCTRODE.double_layer_nf
    after_pulse = amplitude * OCTRODE.faradaic_ohm * -math.expm1(-width / leak_ns)
    fast = math.exp(-recovery * (1 / loop_ns + 1 / leak_ns)) * math.exp(-rest / leak_ns)
    keep = math.exp(-width / leak_ns)
    expected_uv = after_pulse * fast / (1 - keep * fast) / 1000
    assert found.start_uv == pytest.approx([-expected_uv, expected_uv], rel=1e-9)
    assert found.residue_ac == pytest.approx(found.start_uv * 1000 * OCTRODE.double_layer_nf)
    assert found.period_ns == 20_000_000


def test_eight_unlike_contacts_agree_with_kirchhoff_in_fine_steps() -> None:
    phases = [
        Phase(300_000, {0: -4e6, 1: 1.5e6, 2: 2.5e6}),
        Phase(100_000),
        Phase(2_000_000, shorted=(0, 1, 2, 4)),
        Phase(400_000, {3: 1e6, 4: -2e6, 5: 1e6}),
        Phase(1_500_000, shorted=(0, 1, 2, 3, 4, 5)),
        Phase(250_000, {6: 3e6, 7: -3e6}),
        Phase(300_000, shorted=(7,)),
    ]
    start = np.array([5e4, -2e4, 0.0, 1e3, -8e4, 3e4, 0.0, 7e3])
    found = run(Circuit(MIXED, 250), Phases.of(8, phases), start)
    end_uv, charge_ac = integrate(MIXED, 250, phases, start)
    assert found.end_uv == pytest.approx(end_uv, rel=1e-7, abs=1e-3)
    assert found.charge_ac == pytest.approx(charge_ac, rel=1e-7, abs=1e3)


@pytest.mark.parametrize("leak_ohm", [10**9, 10**15, 10**21, 10**30])
def test_however_small_the_leak_recovered_charge_is_exact(leak_ohm: int) -> None:
    contacts = [ContactCircuit(300, 2000, leak_ohm), ContactCircuit(500, 3000, leak_ohm)]
    recovery = Phases.of(2, [Phase(30_000_000, shorted=(0, 1))])
    found = run(Circuit(contacts, 400), recovery, np.array([-5e5, 1e6 / 3]))
    assert found.charge_ac == pytest.approx([1e12, -1e12], rel=1e-5)
    assert found.charge_ac.sum() == pytest.approx(0, abs=1e3)
    # 5/6 V as two exponentials: the mean over 30 ms is what 1920 us of the start would be
    assert found.faradaic_ac * leak_ohm == pytest.approx([-5e8 * 1.92e6, 1e9 / 3 * 1.92e6], rel=1e-3)


def test_a_step_is_the_run_of_its_one_phase() -> None:
    circuit = Circuit(MIXED, 250)
    start = np.linspace(-5e4, 5e4, 8)
    drive = np.array([-4e6, 1.5e6, 2.5e6, 0, 0, 0, 0, 0])
    shorted = np.array([True, True, True, False, True, False, False, False])
    for phase, step in (
        (Phase(300_000, dict(enumerate(drive.tolist()))), circuit.advance(start, 300_000, drive)),
        (Phase(700_000, shorted=(0, 1, 2, 4)), circuit.advance(start, 700_000, shorted=shorted)),
        (Phase(900_000), circuit.advance(start, 900_000)),
    ):
        whole = run(circuit, Phases.of(8, [phase]), start)
        assert step.potential_uv == pytest.approx(whole.end_uv, rel=1e-12)
        assert step.charge_ac == pytest.approx(whole.charge_ac, rel=1e-9, abs=1.0)
    with pytest.raises(ConfigError, match="drives while"):
        circuit.advance(start, 1000, drive, shorted)
    with pytest.raises(ConfigError, match="sum to zero"):
        circuit.advance(start, 1000, np.ones(8))


@pytest.mark.hazard("imbalance")
def test_one_percent_mismatch_at_10_khz_leaves_9_ua() -> None:
    phases = [
        _pulse(3_000_000, 30_000),
        Phase(20_000),
        Phase(30_000, {0: 3_000_000 * 0.99, 1: -3_000_000 * 0.99}),
        Phase(20_000),
    ]
    found = steady_state(Circuit([OCTRODE] * 2, 400), Phases.of(2, phases))
    for current in (found.net_dc_na, found.source_dc_na, found.forced_dc_na):
        assert current == pytest.approx([-9000, 9000], rel=1e-9)
    # nothing but the leak takes it: 9 uA x 8.162 Mohm
    assert found.mean_uv == pytest.approx([-73.458e6, 73.458e6], rel=1e-3)


def test_passive_recovery_takes_a_mismatch_back() -> None:
    phases = [
        _pulse(3_000_000, 30_000),
        Phase(20_000),
        Phase(30_000, {0: 3_000_000 * 0.99, 1: -3_000_000 * 0.99}),
        Phase(20_000, shorted=(0, 1)),
    ]
    found = steady_state(Circuit([OCTRODE] * 2, 400), Phases.of(2, phases))
    assert found.source_dc_na == pytest.approx([-9000, 9000], rel=1e-9)
    assert found.forced_dc_na == pytest.approx([0, 0], abs=1e-6)
    assert np.abs(found.net_dc_na).max() < 20


def test_what_is_never_shorted_keeps_its_forced_current() -> None:
    phases = [
        Phase(100_000, {0: -3e6, 1: 1e6, 2: 2e6, 3: 0.0}),
        Phase(9_900_000, shorted=(0, 1)),
    ]
    circuit = Circuit([OCTRODE] * 4, 400)
    found = steady_state(circuit, Phases.of(4, phases))
    # contacts 0 and 1 together miss 2 mA x 100 us every 10 ms; 2 has it; 3 takes no part
    assert found.forced_dc_na == pytest.approx([-10_000, -10_000, 20_000, 0], rel=1e-9)
    assert found.net_dc_na.sum() == pytest.approx(0, abs=1e-3)
    no_leak = [ContactCircuit(300, 3676, 8_162_000_00)] * 4
    assert steady_state(Circuit(no_leak, 400), Phases.of(4, phases)).net_dc_na == pytest.approx(
        found.forced_dc_na, rel=1e-3
    )


def test_groups_shorted_at_different_times_join_where_they_share_a_contact() -> None:
    phases = [
        Phase(100_000, {0: -3e6, 1: 1e6, 2: 2e6}),
        Phase(5_000_000, shorted=(0, 1)),
        Phase(4_900_000, shorted=(1, 2)),
    ]
    found = steady_state(Circuit([OCTRODE] * 3, 400), Phases.of(3, phases))
    assert found.forced_dc_na == pytest.approx([0, 0, 0], abs=1e-6)


def test_a_group_shares_its_forced_current_as_its_leaks_do() -> None:
    contacts = [ContactCircuit(300, 3676, ohm) for ohm in (500_000, 100_000_000, 300_000_000)]
    phases = [Phase(100_000, {0: -3e6, 1: 1e6, 2: 2e6}), Phase(9_900_000, shorted=(1, 2))]
    found = steady_state(Circuit(contacts, 400), Phases.of(3, phases))
    assert found.forced_dc_na == pytest.approx([-30_000, 22_500, 7_500], rel=1e-9)
    assert found.net_dc_na == pytest.approx(found.forced_dc_na, rel=1e-3)


def test_the_source_current_of_a_tree_counts_every_repeat() -> None:
    unit = Phases.of(2, [_pulse(1e6, 100_000), Phase(900_000)])
    tree = Chain((Repeat(unit, 30), Phases.of(2, [Phase(70_000_000, shorted=(0, 1))])))
    found = steady_state(Circuit([OCTRODE] * 2, 400), tree)
    assert found.period_ns == 100_000_000
    assert found.source_dc_na == pytest.approx([-30_000, 30_000], rel=1e-12)


def test_extremes_that_lie_deep_inside_a_long_repeat_are_found() -> None:
    contacts = [
        ContactCircuit(5000, 500, NO_LEAK),
        ContactCircuit(5000, 500, NO_LEAK),
        ContactCircuit(60_000, 4000, NO_LEAK),
    ]
    circuit = Circuit(contacts, 50)
    start = np.array([-9e5, 0.0, 2e5])
    shorted = Phase(50_000, shorted=(0, 1, 2))
    repeated = run(circuit, Repeat(Phases.of(3, [shorted]), 4000), start)
    fine = run(circuit, Phases.of(3, [shorted] * 4000), start)
    low, high = fine.extremes.potential_low_uv, fine.extremes.potential_high_uv
    every = np.arange(0, 200_000_000, 50_000)
    samples = run(circuit, Repeat(Phases.of(3, [shorted]), 4000), start, at_ns=every).samples
    assert samples is not None
    turn = np.argmin(samples.potential_uv[:, 1])
    assert 20 < turn < 3000
    assert repeated.extremes.potential_low_uv == pytest.approx(low, rel=3e-3)
    assert repeated.extremes.potential_high_uv == pytest.approx(high, rel=3e-3, abs=1.0)
    assert repeated.extremes.recharge_peak_na == pytest.approx(fine.extremes.recharge_peak_na, rel=3e-3)


def test_the_end_of_a_repeat_belongs_to_its_last_phase() -> None:
    circuit = Circuit([OCTRODE] * 2, 400)
    unit = Phases.of(2, [_pulse(1e6, 100_000), Phase(900_000)])
    found = run(circuit, Repeat(unit, 3), at_ns=[2_000_000, 3_000_000]).samples
    assert found is not None
    assert found.current_na.tolist() == [[-1e6, 1e6], [0.0, 0.0]]


@pytest.mark.parametrize(("which", "peak_ma"), [("at_low", 6.1), ("at_high", 2.45)])
def test_burstdr_leaves_7_5_uc_and_drives_the_recharge_peak_of_the_facts(which: str, peak_ma: float) -> None:
    contact = getattr(OCTRODE, which)()
    circuit = Circuit([contact] * 2, 200)  # a loop of 300 + 300 + 2 x 200 = 1000 ohm
    burst = Phases.of(2, _burstdr())
    first = run(circuit, burst, at_ns=[9_000_000])
    assert first.samples is not None
    left = first.samples.potential_uv[0] * 1000 * contact.double_layer_nf
    assert left == pytest.approx([-7.5e12, 7.5e12], rel=1e-3)
    assert first.extremes.recharge_peak_na == pytest.approx([peak_ma * 1e6] * 2, rel=0.01)
    steady = steady_state(circuit, burst).steady
    assert np.all(steady.recharge_peak_na >= first.extremes.recharge_peak_na * 0.9)


def test_compliance_of_a_burst_is_largest_at_pulse_five() -> None:
    found = steady_state(Circuit([OCTRODE] * 2, 400), Phases.of(2, _burstdr()))
    (voltage,) = found.steady.compliance_uv
    pulses = voltage[0:9:2]
    assert np.all(np.diff(pulses) > 0)
    assert found.steady.compliance_peak_uv == pulses[4]
    # 1.5 mA through 600 ohm, then 1.5 uC more on each 3.676 uF at every pulse
    assert pulses[4] - pulses[3] == pytest.approx(2 * 1.5e12 / 3676 / 1000, rel=2e-3)
    assert pulses[4] == pytest.approx(0.9e6 + 10 * 1.5e12 / 3676 / 1000, rel=5e-3)
    assert voltage[1:8:2] == pytest.approx([0, 0, 0, 0])


def test_20_us_of_shorting_recovers_about_one_percent() -> None:
    contact = ContactCircuit(300, 3676, NO_LEAK)
    circuit = Circuit([contact] * 2, 200)
    start = np.array([-1e5, 1e5])
    after = run(circuit, Phases.of(2, [Phase(20_000, shorted=(0, 1))]), start)
    assert 1 - after.end_uv[1] / start[1] == pytest.approx(0.0108, abs=0.0002)


def test_a_run_of_many_phases_far_beyond_the_time_constants_equals_single_steps() -> None:
    circuit = Circuit(MIXED[2:4], 250)  # the faster leak has 2.5 ms
    phases = [
        Phase(duration, {0: current, 1: -current})
        for duration, current in [(40_000, 1e6), (60_000, -7e5), (30_000_000, 0.0), (100_000, 2e6)] * 100
    ]
    found = run(circuit, Phases.of(2, phases), [1e5, -3e5])
    state = np.array([1e5, -3e5])
    charge, low = np.zeros(2), state
    for phase in phases:
        step = circuit.advance(state, phase.duration_ns, [phase.currents[0], phase.currents[1]])
        state, charge, low = step.potential_uv, charge + step.charge_ac, np.minimum(low, step.potential_uv)
    assert found.end_uv == pytest.approx(state, rel=1e-9)
    assert found.charge_ac == pytest.approx(charge, rel=1e-9)
    assert found.extremes.potential_low_uv == pytest.approx(low, rel=1e-9)


def test_the_steady_state_comes_back_to_itself() -> None:
    circuit = Circuit(MIXED[:2], 400)
    burst = Phases.of(2, _burstdr())
    found = steady_state(circuit, burst)
    period = run(circuit, burst, found.start_uv)
    assert period.end_uv == pytest.approx(found.start_uv, rel=1e-9)
    assert period.mean_dc_na == pytest.approx(found.net_dc_na, rel=1e-6)
    assert period.faradaic_ac / found.period_ns == pytest.approx(found.net_dc_na, rel=1e-9)


def test_a_cycle_builds_charge_up_in_its_on_window_and_loses_it_in_the_off_window() -> None:
    leaky = ContactCircuit(300, 3676, 100_000)
    circuit = Circuit([leaky] * 2, 400)
    unit = Phases.of(
        2, [_pulse(1e6, 100_000), Phase(10_000), Phase(90_000, {0: 1e6, 1: -1e6}), Phase(9_800_000)]
    )
    off = Phases.of(2, [Phase(5_000_000_000)])
    found = steady_state(circuit, Chain((Repeat(unit, 100), off)))
    # by hand: every period once more, in order
    state, low = found.start_uv, found.start_uv
    for _ in range(100):
        one = run(circuit, unit, state)
        low = np.minimum(low, one.extremes.potential_low_uv)
        state = one.end_uv
    assert found.steady.potential_low_uv == pytest.approx(low, rel=1e-9)
    assert abs(state[0]) > 100 * abs(found.start_uv[0])
    assert found.steady.potential_low_uv[0] < steady_state(circuit, unit).start_uv[0] * 0.9


def test_start_up_extremes_are_those_of_every_period_from_rest() -> None:
    circuit = Circuit(MIXED[5:8], 1000)
    unit = Phases.of(3, [Phase(400_000, {0: -3e6, 1: 1e6, 2: 2e6}), Phase(600_000, shorted=(0, 1, 2))])
    found = steady_state(circuit, unit)
    low, high = np.zeros(3), np.zeros(3)
    peak, volts = np.zeros(3), np.zeros(2)
    state = np.zeros(3)
    for _ in range(3000):
        one = run(circuit, unit, state)
        low = np.minimum(low, one.extremes.potential_low_uv)
        high = np.maximum(high, one.extremes.potential_high_uv)
        peak = np.maximum(peak, one.extremes.recharge_peak_na)
        volts = np.maximum(volts, one.extremes.compliance_uv[0])
        state = one.end_uv
    assert found.start_up.potential_low_uv == pytest.approx(low, rel=2e-3)
    assert found.start_up.potential_high_uv == pytest.approx(high, rel=2e-3)
    assert found.start_up.recharge_peak_na == pytest.approx(peak, rel=2e-3)
    assert found.start_up.compliance_uv[0] == pytest.approx(volts, rel=2e-3)
    assert np.all(found.start_up.potential_low_uv <= found.steady.potential_low_uv)


def test_a_contact_that_charges_another_first_is_seen_inside_a_shorted_phase() -> None:
    contacts = [
        ContactCircuit(100, 500, NO_LEAK),
        ContactCircuit(100, 500, NO_LEAK),
        ContactCircuit(2000, 4000, NO_LEAK),
    ]
    circuit = Circuit(contacts, 50)
    recovery = Phases.of(3, [Phase(40_000_000, shorted=(0, 1, 2))])
    start = np.array([-9e5, 0.0, 2e5])
    fine = run(circuit, recovery, start, at_ns=np.linspace(0, 40_000_000, 20_001).astype(np.int64))
    assert fine.samples is not None
    lowest = fine.samples.potential_uv.min(axis=0)
    assert lowest[1] < min(start[1], fine.end_uv[1]) - 1e4
    assert fine.extremes.potential_low_uv == pytest.approx(lowest, rel=5e-3)
    assert fine.extremes.potential_high_uv == pytest.approx(
        fine.samples.potential_uv.max(axis=0), rel=5e-3, abs=1.0
    )
    assert fine.extremes.recharge_peak_na == pytest.approx(
        np.abs(fine.samples.current_na).max(axis=0), rel=5e-3
    )


def test_samples_show_series_drop_potential_and_recharge() -> None:
    phases = [
        Phase(300_000, {0: -4e6, 1: 1.5e6, 2: 2.5e6}),
        Phase(100_000),
        Phase(1_000_000, shorted=(0, 1, 2)),
    ]
    circuit = Circuit(MIXED[:3], 250)
    found = run(
        circuit, Phases.of(3, phases), at_ns=[0, 150_000, 299_999, 300_000, 400_000, 900_000, 1_400_000]
    )
    samples = found.samples
    assert samples is not None
    assert samples.current_na[0] == pytest.approx([-4e6, 1.5e6, 2.5e6])
    assert samples.voltage_uv[0] == pytest.approx([-1.2e6, 0.675e6, 1.75e6])
    assert samples.current_na[3] == pytest.approx([0, 0, 0])
    assert samples.voltage_uv[3] == pytest.approx(samples.potential_uv[3])
    for row in (4, 5, 6):
        expected = currents(MIXED[:3], 250, phases[2], samples.potential_uv[row] * 1e-6) * 1e9
        assert samples.current_na[row] == pytest.approx(expected, rel=1e-9)
    assert samples.potential_uv[6] == pytest.approx(found.end_uv, rel=1e-12)
    assert samples.voltage_uv[1] - samples.potential_uv[1] == pytest.approx([-1.2e6, 0.675e6, 1.75e6])


def test_samples_late_in_a_long_run_equal_those_of_the_steady_state() -> None:
    circuit = Circuit([OCTRODE] * 2, 400)
    unit = Phases.of(2, _burstdr())
    day = Repeat(Chain((unit, unit)), 40 * 43_200)
    steady = steady_state(circuit, unit)
    late = run(circuit, day, at_ns=[86_390_000_000_000, 86_390_009_000_000, 86_400_000_000_000]).samples
    one = run(circuit, unit, steady.start_uv, at_ns=[0, 9_000_000, 25_000_000]).samples
    assert late is not None
    assert one is not None
    assert late.potential_uv == pytest.approx(one.potential_uv, rel=1e-6)


def test_samples_fall_into_the_right_part_of_a_chain_that_repeats_one_part() -> None:
    circuit = Circuit(MIXED[:2], 250)
    unit = Phases.of(2, [_pulse(1e6, 100_000), Phase(900_000, shorted=(0, 1))])
    pause = Phases.of(2, [Phase(500_000)])
    tree = Chain((unit, Repeat(pause, 3), unit, Chain((pause, unit))))
    flat = Chain((unit, pause, pause, pause, unit, pause, unit))
    at = np.arange(0, 5_000_001, 50_000)
    nested, plain = run(circuit, tree, at_ns=at), run(circuit, flat, at_ns=at)
    assert nested.samples is not None
    assert plain.samples is not None
    assert nested.samples.voltage_uv == pytest.approx(plain.samples.voltage_uv, rel=1e-9, abs=1e-6)
    assert nested.end_uv == pytest.approx(plain.samples.potential_uv[-1], rel=1e-9)
    assert np.abs(nested.samples.current_na[0:2, 0]) == pytest.approx([1e6, 1e6])


def test_many_cases_are_solved_as_if_one_by_one() -> None:
    circuit = Circuit(MIXED[:3], 400)
    base = Phases.of(
        3, [Phase(300_000, {0: -3e6, 1: 1e6, 2: 2e6}), Phase(50_000), Phase(9_650_000, shorted=(0, 1, 2))]
    )
    factors = np.array([0.0, 0.2, 1.0, -1.5])
    many = Phases(base.duration_ns, base.current_na * factors[:, np.newaxis, np.newaxis], base.shorted)
    found = steady_state(circuit, Repeat(many, 7))
    assert found.start_uv.shape == (4, 3)
    assert found.steady.compliance_peak_uv.shape == (4,)
    for row, factor in enumerate(factors):
        one = steady_state(
            circuit, Repeat(Phases(base.duration_ns, base.current_na[0] * factor, base.shorted), 7)
        )
        assert found.start_uv[row] == pytest.approx(one.start_uv, rel=1e-9, abs=1e-9)
        assert found.net_dc_na[row] == pytest.approx(one.net_dc_na, rel=1e-9, abs=1e-9)
        assert found.source_dc_na[row] == pytest.approx(one.source_dc_na, rel=1e-9, abs=1e-9)
        for ours, theirs in ((found.steady, one.steady), (found.start_up, one.start_up)):
            assert ours.potential_low_uv[row] == pytest.approx(theirs.potential_low_uv, rel=1e-9, abs=1e-6)
            assert ours.potential_high_uv[row] == pytest.approx(theirs.potential_high_uv, rel=1e-9, abs=1e-6)
            assert ours.recharge_peak_na[row] == pytest.approx(theirs.recharge_peak_na, rel=1e-9, abs=1e-6)
            assert ours.compliance_uv[0][row] == pytest.approx(theirs.compliance_uv[0], rel=1e-9, abs=1e-6)
    assert found.steady.compliance_peak_uv[0] == 0
    many_run = run(circuit, many, found.start_uv)
    assert many_run.end_uv.shape == (4, 3)


def test_settling_time_is_when_one_percent_of_a_departure_is_left() -> None:
    circuit = Circuit([OCTRODE] * 2, 400)
    found = steady_state(circuit, Phases.of(2, [_pulse(1e6, 50_000), Phase(50_000, {0: 1e6, 1: -1e6})]))
    assert found.settling_ns == pytest.approx(math.log(100) * 8_162_000 * 3676, rel=1e-6)


@pytest.mark.parametrize(
    ("durations", "currents_na", "shorted", "rule"),
    [
        ([], np.zeros((0, 2)), None, "one row"),
        ([1.5], np.zeros((1, 2)), None, "whole nanoseconds"),
        ([0], np.zeros((1, 2)), None, "at least 1 ns"),
        ([-5], np.zeros((1, 2)), None, "at least 1 ns"),
        ([2**62, 2**62], np.zeros((2, 2)), None, "all together"),
        ([5], np.zeros(2), None, "shape"),
        ([5, 6], np.zeros((1, 2)), None, "shape"),
        ([5], np.array([[1.0, -2.0]]), None, "sum to zero"),
        ([5], np.array([[math.nan, 0.0]]), None, "finite"),
        ([5], np.array([[math.inf, -math.inf]]), None, "finite"),
        ([5], np.array([[1.0, -1.0]]), np.array([[True, False]]), "no source drives"),
        ([5], np.zeros((1, 2)), np.array([[1, 0]]), "boolean"),
        ([5], np.zeros((1, 2)), np.array([[True]]), "boolean"),
    ],
)
def test_phases_that_make_no_sense_are_refused(
    durations: list[float], currents_na: np.ndarray, shorted: np.ndarray | None, rule: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        Phases(durations, currents_na, shorted)
    assert rule in caught.value.allowed


def test_trees_and_circuits_that_do_not_fit_are_refused() -> None:
    circuit = Circuit([OCTRODE] * 2, 400)
    phases = Phases.of(2, [Phase(1000)])
    for broken in (0, -1, True, 10**12 + 1):
        with pytest.raises(ConfigError):
            Repeat(phases, broken)
    with pytest.raises(ConfigError):
        Chain(())
    with pytest.raises(ConfigError, match="3 contacts"):
        steady_state(circuit, Phases.of(3, [Phase(1000)]))
    with pytest.raises(ConfigError, match="driven into"):
        Phases.of(2, [Phase(1000, shorted=(2,))])
    with pytest.raises(ConfigError, match="shape"):
        run(circuit, phases, [0.0])
    with pytest.raises(ConfigError, match="finite"):
        run(circuit, phases, [0.0, math.nan])
    many = Phases([1000], np.zeros((3, 1, 2)))
    with pytest.raises(ConfigError, match="cases"):
        run(circuit, Chain((many, Phases([1000], np.zeros((2, 1, 2))))))
    with pytest.raises(ConfigError, match="one case"):
        run(circuit, many, at_ns=[0])
    for times in ([1001], [-1], [5, 4], [0.5]):
        with pytest.raises(ConfigError, match="sampling"):
            run(circuit, phases, at_ns=times)


@pytest.mark.parametrize(
    ("contact", "discharge"),
    [
        (ContactCircuit(0, 1000, 1000), 100.0),
        (ContactCircuit(100, 0, 1000), 100.0),
        (ContactCircuit(100, 1000, -1), 100.0),
        (ContactCircuit(100, 1000, 1000), -1.0),
        (ContactCircuit(100, 1000, 1000), math.nan),
    ],
)
def test_circuits_without_physical_values_are_refused(contact: ContactCircuit, discharge: float) -> None:
    with pytest.raises(ConfigError):
        Circuit([contact], discharge)


def test_a_circuit_needs_a_contact() -> None:
    with pytest.raises(ConfigError):
        Circuit([], 100)


def test_a_drift_too_slow_for_a_steady_state_is_an_error_not_a_guess() -> None:
    circuit = Circuit([ContactCircuit(300, 3676, NO_LEAK)] * 2, 400)
    with pytest.raises(ConfigError) as caught:
        steady_state(circuit, Phases.of(2, [_pulse(1e6, 1000)]))
    assert caught.value.code == "no-steady-state"
