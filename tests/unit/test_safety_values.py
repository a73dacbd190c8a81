"""Values of the rules worked by hand, and what several settings do together."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import pytest

from neurostim.core.hardware import ContactImpedance, Impedances, PortKind
from neurostim.core.program import Recharge
from neurostim.core.schedule import Schedule
from neurostim.electrode.circuit import Circuit, Phase, Phases, steady_state
from neurostim.electrode.library import lead
from neurostim.safety.context import build
from neurostim.safety.findings import Severity
from neurostim.safety.gate import AmplitudeRange, check
from neurostim.safety.physics import physics
from support.safety_cases import (
    MA,
    MS,
    PAD_UM2,
    PASSIVE,
    STANDING,
    S,
    area,
    burst,
    coil,
    device,
    interleaved,
    judged,
    leads_of,
    readings,
    schedule,
    severity,
    surface,
    value,
    with_port,
)


def test_the_numbers_of_the_paradigm_table_come_out() -> None:
    tonic = judged(area(6 * MA, width_ns=300_000, rate=50, recharge=PASSIVE))
    assert float(value(tonic, "SAF-CHARGE-PHASE")) == 1.80
    assert round(float(value(tonic, "SAF-DENSITY")), 1) == 14.7
    assert value(tonic, "SAF-SHANNON") == Fraction(142, 100)
    drg = judged(area(800_000, width_ns=300_000, rate=20, recharge=PASSIVE), port="drg")
    assert round(float(value(drg, "SAF-DENSITY")), 1) == 6.1
    burstdr = burst(1_500_000)
    assert value(burstdr, "SAF-CHARGE-BURST") == Fraction(15, 2)
    assert round(float(value(burstdr, "SAF-DENSITY-BURST"))) == 61
    assert value(burstdr, "SAF-SHANNON-BURST") == Fraction(266, 100)
    hf10 = judged(area(3 * MA, width_ns=30_000, rate=10_000, interphase_ns=20_000, up_ns=1, down_ns=1))
    assert round(float(value(hf10, "SAF-CHARGE-DAY")), 1) == 77.8
    assert value(hf10, "SAF-MISMATCH") == 9000


@pytest.mark.hazard("density")
def test_the_routine_setting_above_k_185_needs_a_reason_and_is_not_refused() -> None:
    verdict = judged(area(8 * MA, width_ns=400_000, rate=50, recharge=PASSIVE))
    assert value(verdict, "SAF-SHANNON-DAMAGE") == Fraction(192, 100)
    assert severity(verdict, "SAF-DENSITY") is Severity.PASS
    assert "SAF-SHANNON-DAMAGE" in verdict.to_acknowledge
    assert not verdict.refused


@pytest.mark.hazard("density")
def test_a_device_maximum_on_one_contact_is_refused() -> None:
    verdict = judged(area(25_500_000, width_ns=MS, rate=40, recharge=PASSIVE))
    refused = {one.code for one in verdict.refused}
    assert {"SAF-CONTACT-CURRENT", "SAF-DENSITY", "SAF-CHARGE-PHASE"} <= refused
    assert round(float(value(verdict, "SAF-DENSITY"))) == 208


def test_a_triphasic_pulse_is_judged_by_its_middle_phase() -> None:
    plain = judged(area(5 * MA, width_ns=200_000))
    tri = judged(area(5 * MA, width_ns=200_000, recharge=Recharge.TRIPHASIC))
    assert value(tri, "SAF-DENSITY") == 2 * value(plain, "SAF-DENSITY")
    wide = judged(area(width_ns=500_100, recharge=Recharge.TRIPHASIC))
    assert severity(wide, "SAF-WIDTH-HIGH") is Severity.REFUSE


@pytest.mark.hazard("density")
def test_a_small_anode_alone_can_refuse() -> None:
    one = lead("octrode")
    shrunk = tuple(
        replace(contact, area_um2=2_000_000) if contact.number == 2 else contact for contact in one.contacts
    )
    verdict = judged(area(3 * MA, width_ns=400_000), leads=(replace(one, contacts=shrunk),))
    assert [one.place for one in verdict.refused if one.code == "SAF-DENSITY"] == ["area[1].contacts.2"]


@pytest.mark.hazard("together")
def test_areas_safe_alone_are_refused_together() -> None:
    def alone(shares: tuple[tuple[int, int], ...], delay_ns: int, priority: int) -> object:
        return area(
            6 * MA,
            width_ns=980_000,
            rate=40,
            recharge=PASSIVE,
            shares=shares,
            delay_ns=delay_ns,
            priority=priority,
        )

    areas = [alone(((1, -1000), (place, 1000)), (place - 2) * 6 * MS, place) for place in (2, 3, 4)]
    for one in areas:
        verdict = judged(one)  # type: ignore[arg-type]
        assert severity(verdict, "SAF-CHARGE-STACK") is None
        assert severity(verdict, "SAF-DENSITY") is Severity.WARN
    together = judged(*areas[:2])  # type: ignore[arg-type]
    assert severity(together, "SAF-CHARGE-STACK") is Severity.WARN
    assert severity(judged(*areas), "SAF-CHARGE-STACK") is Severity.WARN  # type: ignore[arg-type]
    assert value(judged(*areas), "SAF-CHARGE-STACK") > value(together, "SAF-CHARGE-STACK")  # type: ignore[arg-type]
    doses = [value(judged(one), "SAF-CHARGE-DAY") for one in areas]  # type: ignore[arg-type]
    assert value(judged(*areas), "SAF-CHARGE-DAY") == sum(doses)  # type: ignore[arg-type]


def test_recovery_that_another_area_takes_away_counts() -> None:
    mine = area(MA, width_ns=200_000, rate=100, recharge=PASSIVE)
    other = area(
        MA, width_ns=300_000, rate=1000, shares=((3, -1000), (4, 1000)), priority=2, delay_ns=800_000
    )
    alone, starved = judged(mine), judged(mine, other, drop=True)
    assert value(starved, "SAF-RECOVERY") > 2 * value(alone, "SAF-RECOVERY")


def test_compliance_of_a_burst_counts_the_voltage_built_up_until_its_last_pulse() -> None:
    single = judged(area(1_500_000, width_ns=MS, rate=40, recharge=PASSIVE))
    whole = burst(1_500_000)
    circuit = lead("octrode").circuit
    rise = 4 * 1_500_000 * MS / (circuit.low_nf * 10**9) * 2 / 18
    assert float(value(whole, "SAF-COMPLIANCE") - value(single, "SAF-COMPLIANCE")) == pytest.approx(
        rise * 100, rel=0.02
    )


def test_compliance_follows_the_measured_impedance() -> None:
    low, high = (judged(area(5 * MA), impedances=readings(ohm)) for ohm in (300, 1500))
    difference = value(high, "SAF-COMPLIANCE") - value(low, "SAF-COMPLIANCE")
    assert float(difference) == pytest.approx(100 * 2 * 1200 * 0.005 / 18, rel=1e-3)
    late = judged(area(5 * MA), impedances=readings(300))
    assert next(one for one in late.findings if one.code == "SAF-COMPLIANCE").detail == "measured impedance"


@pytest.mark.parametrize("status", ["open", "clipped", "burnt"])
def test_a_reading_the_device_calls_invalid_refuses(status: str) -> None:
    verdict = judged(impedances=readings(status=status))
    assert severity(verdict, "SAF-IMPEDANCE-OPEN") is Severity.REFUSE


def test_a_reading_the_device_calls_short_refuses() -> None:
    verdict = judged(impedances=readings(status="short"))
    assert severity(verdict, "SAF-IMPEDANCE-SHORT") is Severity.REFUSE


def test_a_bench_program_without_recharge_is_judged_and_not_refused() -> None:
    verdict = judged(area(MA, rate=1000, recharge=Recharge.NONE), port="bench")
    assert not verdict.refused
    assert severity(verdict, "SAF-NET-DC") is Severity.WARN


def test_unplaced_units_beyond_a_proof_count_as_a_possible_drop() -> None:
    verdict = interleaved(0, 0, "first units")
    assert severity(verdict, "SAF-INTERLEAVE") is Severity.WARN


def test_the_open_coil_and_the_contact_lead_have_limits_of_their_own_on_one_port() -> None:
    assert severity(coil(rate=200), "SAF-RATE") is Severity.PASS
    assert severity(coil(rate=201), "SAF-RATE") is Severity.REFUSE
    contacts = judged(area(rate=1500), port="pns")
    assert severity(contacts, "SAF-RATE") is Severity.PASS
    assert severity(judged(area(10_000_001), port="pns"), "SAF-CONTACT-CURRENT") is Severity.REFUSE
    assert severity(coil(amplitude_na=10_000_001), "SAF-CONTACT-CURRENT") is Severity.PASS


def test_a_program_that_ends_is_counted_as_often_as_a_day_holds_it() -> None:
    endless = schedule(area(MA)).image
    bounded = Schedule.from_image(replace(endless, duration_ns=1200 * S))
    verdict = check(bounded, leads_of("scs"), device(), impedances=readings())
    once = bounded.dose(1200 * S).by_contact()[1][0]
    assert value(verdict, "SAF-CHARGE-DAY") == Fraction(72 * once, 10**18)
    odd = Schedule.from_image(replace(endless, duration_ns=50_000 * S))
    verdict = check(odd, leads_of("scs"), device(), impedances=readings())
    assert value(verdict, "SAF-CHARGE-DAY") == Fraction(2 * odd.dose(50_000 * S).by_contact()[1][0], 10**18)


def test_a_lead_that_does_not_fit_its_ports_is_refused_with_the_reason() -> None:
    two_kinds = judged(
        capabilities=with_port(device(), PortKind.SCS, PortKind.BENCH), leads=(lead("infinion-16"),)
    )
    assert "spans ports of different kinds" in two_kinds.refused[0].message
    few = judged(capabilities=with_port(device(), PortKind.SCS), leads=(lead("octrode"), lead("octrode")))
    assert [one.code for one in few.refused] == ["SAF-FIT-LEAD"]
    assert few.refused[0].place == "lead[2]"
    cuff = judged(area(), leads=(lead("nerve-cuff"),))
    assert "SAF-FIT-LEAD" in {one.code for one in cuff.refused}


def test_the_circuit_rules_agree_with_phases_written_by_hand() -> None:
    amplitude = 6 * MA
    verdict = judged(area(amplitude, width_ns=300_000, rate=50, recharge=PASSIVE), impedances=readings(300))
    phases = Phases.of(
        2,
        [
            Phase(300_000, {0: -amplitude, 1: amplitude}),
            Phase(20 * MS - 300_000 - 20_000, {}, (0, 1)),
            Phase(20_000),
        ],
    )
    nominal = lead("octrode").circuit
    quick = steady_state(Circuit([nominal.at_low().at_leaky()] * 2, 500), phases)
    slow = steady_state(Circuit([nominal.at_high()] * 2, 500), phases)
    expected = {
        "SAF-FARADAIC-DC": abs(quick.net_dc_na[0]),
        "SAF-POTENTIAL-LOW": min(slow.start_uv[0], 0) / 1e6,
        "SAF-EXCURSION-LOW": quick.start_up.potential_low_uv[0] / 1e6,
        "SAF-EXCURSION-HIGH": quick.start_up.potential_high_uv[1] / 1e6,
        "SAF-RECHARGE-PEAK": quick.start_up.recharge_peak_na[0] / 1e6,
        "SAF-COMPLIANCE": float(quick.start_up.compliance_peak_uv) / 18e6 * 100,
        "SAF-RECOVERY": abs(slow.residue_ac[0]) / (amplitude * 300_000) * 100,
    }
    for code, figure in expected.items():
        found = max(abs(one.value or 0) for one in verdict.findings if one.code == code)
        unit = 1.0 if code == "SAF-FARADAIC-DC" else abs(figure) * 1e-4 + 2e-6
        assert abs(figure) <= float(found) + 1e-12 <= abs(figure) + unit, code


def test_what_areas_leave_on_one_contact_is_added() -> None:
    first = area(3 * MA, width_ns=180_000, rate=200, recharge=PASSIVE)
    second = area(
        2 * MA,
        width_ns=180_000,
        rate=200,
        recharge=PASSIVE,
        shares=((1, -1000), (3, 1000)),
        delay_ns=2_500_000,
        priority=2,
    )
    together = judged(first, second)
    parts = [physics(build(together.case), one) for one in build(together.case).areas]
    leak = sum(abs(part.quick.net_dc_na[0, 0]) for part in parts if part.quick is not None)
    assert float(value(together, "SAF-FARADAIC-DC")) == pytest.approx(leak, abs=2)
    low = sum(min(0, part.slow.start_uv[0, 0]) for part in parts if part.slow is not None)
    assert float(value(together, "SAF-POTENTIAL-LOW")) == pytest.approx(low / 1e6, abs=3e-6)
    alone = [value(judged(one), "SAF-FARADAIC-DC") for one in (first, second)]
    assert value(together, "SAF-FARADAIC-DC") > max(alone)


@pytest.mark.hazard("overlap")
def test_unbalanced_areas_on_one_contact_are_added() -> None:
    one = area(600, width_ns=100_000, rate=1000, recharge=Recharge.NONE)
    other = replace(one, shares=((1, -1000), (3, 1000)), delay_ns=500_000, priority=2)
    for single in (one, other):
        assert severity(judged(single, bench=True), "SAF-NET-DC") is Severity.PASS
    both = judged(one, other, bench=True)
    assert value(both, "SAF-NET-DC") == 120
    assert severity(both, "SAF-NET-DC") is Severity.REFUSE


def test_pads_are_no_metal_electrodes() -> None:
    places = {one.code: one.place for one in coil().findings}
    assert places["SAF-EXCURSION-LOW"] == "area[1].contacts.1"
    assert places["SAF-EXCURSION-HIGH"] == "area[1].contacts.1"
    on_coil = {one.place for one in coil().findings if one.code == "SAF-FARADAIC-DC"}
    assert on_coil == {"contacts.1"}
    assert not [
        one for one in coil().findings if one.code.startswith("SAF-POTENTIAL") and "return" in one.place
    ]
    passive = judged(
        area(20 * MA, shares=((1, -1000), (255, 1000)), recharge=PASSIVE, rate=100), port="surface"
    )
    on_skin = {one.place for one in passive.findings if one.code == "SAF-FARADAIC-DC"}
    assert on_skin == {"contacts.1", "contacts.return"}


def test_an_early_short_and_a_series_break_are_seen() -> None:
    short = Impedances({c: ContactImpedance(c, 50, 500) for c in (1, 2)})
    assert severity(judged(impedances=short), "SAF-IMPEDANCE-SHORT") is Severity.REFUSE
    broken = Impedances({c: ContactImpedance(c, 5000, 100) for c in (1, 2)})
    assert severity(judged(impedances=broken), "SAF-IMPEDANCE-OPEN") is Severity.REFUSE
    assert severity(judged(impedances=broken), "SAF-IMPEDANCE-SHORT") is Severity.PASS


def test_asymmetric_recharge_counts_with_its_own_current_and_time() -> None:
    asymmetric = area(
        10 * MA,
        width_ns=200_000,
        rate=100,
        shares=((1, -1000), (255, 1000)),
        recharge=Recharge.ACTIVE_ASYMMETRIC,
        ratio=4,
    )
    verdict = judged(asymmetric, port="surface")
    driven = 200_000 + 4 * 200_000
    assert value(verdict, "SAF-DUTY") == Fraction(driven * 100 * 100, S)
    assert value(verdict, "SAF-POWER") == Fraction(240_000 * 10 * MA * 2 * 200_000 * 100, S * 10**9)
    energy = 500 * (10 * MA) ** 2 * 200_000 + 500 * (10 * MA // 4) ** 2 * 800_000
    assert value(verdict, "SAF-ENERGY") == Fraction(energy, 10**24)
    mean_square = Fraction((10 * MA) ** 2 * 200_000 + (10 * MA // 4) ** 2 * 800_000, 10 * MS)
    expected = math.sqrt(mean_square) / (PAD_UM2 / 1e8) / 1e6
    assert float(value(verdict, "SAF-SURFACE-DENSITY")) == pytest.approx(expected, rel=1e-5)


def test_every_pulse_of_a_burst_counts() -> None:
    single = judged(area(rate=20, width_ns=100_000))
    five = judged(area(rate=20, width_ns=100_000, burst=(5, 500)))
    for code in ("SAF-MISMATCH", "SAF-DUTY", "SAF-POWER"):
        assert value(five, code) == 5 * value(single, code)
    skin = [surface(MA, rate=20, width_ns=100_000, burst=burst_of) for burst_of in (None, (4, 200))]
    assert float(value(skin[1], "SAF-SURFACE-DENSITY")) == pytest.approx(
        2 * float(value(skin[0], "SAF-SURFACE-DENSITY")), rel=1e-3
    )


def test_power_and_compliance_follow_the_range_too() -> None:
    verdict = judged(area(2 * MA), ranges=[AmplitudeRange(0, 0, 6 * MA, 100_000)])
    for code in ("SAF-POWER", "SAF-COMPLIANCE", "SAF-MISMATCH", "SAF-RAMP-SECOND"):
        assert float(value(verdict, f"{code}-RANGE")) == pytest.approx(
            3 * float(value(verdict, code)), rel=1e-3
        )


def test_limits_of_an_area_are_the_tightest_of_its_contacts() -> None:
    mixed = (lead("pns-8"), lead("open-coil"))
    one = area(shares=((1, -1000), (9, 1000)), width_ns=200_000, rate=200)
    verdict = judged(one, port="pns", leads=mixed)
    assert severity(verdict, "SAF-WIDTH-HIGH") is Severity.PASS
    wide = judged(replace(one, width_ticks=2001), port="pns", leads=mixed)
    assert severity(wide, "SAF-WIDTH-HIGH") is Severity.REFUSE
    fast = judged(area(shares=((1, -1000), (9, 1000)), rate=201), port="pns", leads=mixed)
    assert severity(fast, "SAF-RATE") is Severity.REFUSE


def test_the_margin_of_a_lower_limit_is_counted_upward() -> None:
    finding = next(one for one in judged(area(width_ns=40_000)).findings if one.code == "SAF-WIDTH-LOW")
    assert finding.margins == {"refuse": 100}
    low = next(one for one in judged(area(width_ns=10_000)).findings if one.code == "SAF-WIDTH-LOW")
    assert low.margin == -50


def test_a_pass_shows_the_tier_that_is_nearest() -> None:
    verdict = judged(area(MA, **STANDING))
    low = next(one for one in verdict.findings if one.code == "SAF-POTENTIAL-LOW")
    assert low.severity is Severity.PASS
    assert (low.limit, low.layer) == (Fraction(-3, 10), "port")
    assert low.margin == min(low.margins.values())


@pytest.mark.hazard("step")
def test_a_ramp_shorter_than_an_interval_is_one_whole_step() -> None:
    verdict = judged(area(rate=2, up_ns=S // 10))
    assert value(verdict, "SAF-RAMP-PULSE") == 100
    assert severity(verdict, "SAF-RAMP-PULSE") is Severity.REFUSE


def test_dropped_units_are_counted_in_the_charge_of_a_day() -> None:
    mine = area(MA, rate=1000, width_ns=200_000)
    other = area(MA, rate=999, width_ns=200_000, shares=((1, -1000), (3, 1000)), priority=2)
    together = judged(mine, other, drop=True)
    assert severity(together, "SAF-INTERLEAVE") in (Severity.WARN, Severity.REFUSE)
    alone = [value(judged(one), "SAF-CHARGE-DAY") for one in (mine, other)]
    assert value(together, "SAF-CHARGE-DAY") == sum(alone)
