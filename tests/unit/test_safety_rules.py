"""Every rule at every tier: just inside it stays silent, one step outside it fires."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import pytest

from neurostim.core.hardware import ContactImpedance, Impedances, PortKind
from neurostim.core.image import Grid
from neurostim.core.placement import AreaInterleave, Interleave
from neurostim.core.program import Recharge
from neurostim.core.schedule import Adjustment, Schedule
from neurostim.electrode.circuit import Circuit, Phase, Phases, steady_state
from neurostim.electrode.library import lead
from neurostim.safety.context import build
from neurostim.safety.findings import Severity
from neurostim.safety.gate import AmplitudeRange, Verdict, check
from neurostim.safety.limits import TIERS, packaged
from neurostim.safety.measures import shannon_charge
from neurostim.safety.physics import physics
from neurostim.wire.image import encode_image
from support.safety_cases import (
    FINE,
    MA,
    MS,
    S,
    area,
    device,
    judged,
    leads_of,
    readings,
    schedule,
    severity,
    value,
    with_port,
)

Make = Callable[[], Verdict]
OCTRODE_UM2 = lead("octrode").contacts[0].area_um2
PAD_UM2 = lead("surface-pair").contacts[0].area_um2
PASSIVE, AFTER_BURST, ACTIVE = Recharge.PASSIVE, Recharge.PASSIVE_AFTER_BURST, Recharge.ACTIVE_SYMMETRIC
UC = 10**12


@dataclass(frozen=True)
class Edge:
    """One tier of one rule: a verdict just inside and one just outside."""

    code: str
    tier: str
    inside: Make
    outside: Make

    @property
    def name(self) -> str:
        return f"{self.code} {self.tier}"


def stepped(code: str, tier: str, make: Callable[[int], Verdict], last: int, step: int = 1) -> Edge:
    """``last`` is the last value inside; ``last + step`` is outside."""
    return Edge(code, tier, lambda: make(last), lambda: make(last + step))


def current(**options: object) -> Callable[[int], Verdict]:
    """A verdict by amplitude."""
    port = options.pop("port", "scs")
    return lambda amplitude: judged(area(amplitude, **options), port=port)  # type: ignore[arg-type]


def charged(limit_ac: int, width_ns: int, pulses: int = 1) -> int:
    """The largest current [nA] whose charge stays at or below a limit."""
    return limit_ac // (width_ns * pulses)


def burst(amplitude: int) -> Verdict:
    return judged(area(amplitude, width_ns=MS, recharge=AFTER_BURST, burst=(5, 500)))


def two(amplitude: int, **options: object) -> Verdict:
    """Two areas that share contact 1; the second with its own amplitude."""
    first = area(3 * MA, width_ns=400_000, recharge=PASSIVE)
    second = area(
        amplitude,
        width_ns=400_000,
        recharge=PASSIVE,
        shares=((1, -1000), (3, 1000)),
        delay_ns=12 * MS,
        priority=2,
    )
    return judged(first, second)


def half_duty(width_ns: int) -> Verdict:
    """Two areas at 500 Hz, half an interval apart."""
    first = area(MA, width_ns=width_ns, rate=500)
    second = area(MA, width_ns=width_ns, rate=500, delay_ns=MS, priority=2)
    return judged(first, second)


def given(relative: Fraction) -> Verdict:
    image = schedule().image
    asked = Fraction(200_000)
    entry = Adjustment.of("area[1].pulse.width", asked, asked * (1 - relative), "ns")
    return check(Schedule(image, adjustments=(entry,)), leads_of("scs"), device(), impedances=readings())


def shared(asked: int) -> Verdict:
    return judged(area(asked, grid=Grid.of(100, MA)), grid=Grid.of(100, MA))


def interleaved(shift_ticks: int, dropped: int, proof: str = "hyperperiod", units: int = 100) -> Verdict:
    made = schedule(area(), area(shares=((3, -1000), (4, 1000)), delay_ns=5 * MS, priority=2))
    known = AreaInterleave(shift_ticks, units, dropped)
    made.interleave = Interleave((AreaInterleave(0, units, 0), known), proof, dropped > 0)
    return check(made, leads_of("scs"), device(), impedances=readings())


def small(area_um2: int) -> Verdict:
    one = lead("octrode")
    contacts = tuple(replace(contact, area_um2=area_um2) for contact in one.contacts)
    return judged(area(10_000), leads=(replace(one, contacts=contacts),))


def image_bytes(spare: int) -> Verdict:
    size = len(encode_image(schedule(area()).image))
    return judged(area(), capabilities=device(max_image_bytes=size + spare))


def many_areas(count: int) -> Verdict:
    areas = [area(delay_ns=place * 4 * MS, priority=place) for place in range(count)]
    return judged(*areas, capabilities=device(max_areas=2))


def crossing(second: PortKind) -> Verdict:
    capabilities = with_port(device(), PortKind.SCS, second)
    one = area(shares=((1, -1000), (9, 1000)))
    return judged(one, capabilities=capabilities, leads=(lead("octrode"), lead("octrode")))


def coil(**options: object) -> Verdict:
    one = area(shares=((1, -1000), (255, 1000)), width_ns=100_000, **options)  # type: ignore[arg-type]
    return judged(one, port="pns", leads=(lead("open-coil"),))


def surface(amplitude: int, **options: object) -> Verdict:
    one = area(amplitude, shares=((1, -1000), (255, 1000)), **options)  # type: ignore[arg-type]
    return judged(one, port="surface")


def rail(rail_mv: int) -> Verdict:
    capabilities = replace(device("surface"), rail_mv=rail_mv)
    return judged(area(shares=((1, -1000), (255, 1000))), port="surface", capabilities=capabilities)


def found_at(code: str, tier: str, make: Callable[[int], Verdict], high: int, low: int = 1) -> Edge:
    """The edge of a rule that physics decides, found by bisection over a whole parameter."""

    def fires(parameter: int) -> bool:
        found = severity(make(parameter), code)
        return found is not None and found >= Severity[tier.upper()]

    @cache
    def edge() -> int:
        inside, outside = low, high
        assert not fires(inside)
        assert fires(outside)
        while outside - inside > 1:
            middle = (inside + outside) // 2
            inside, outside = (inside, middle) if fires(middle) else (middle, outside)
        return inside

    return Edge(code, tier, lambda: make(edge()), lambda: make(edge() + 1))


STANDING = {"width_ns": 180_000, "rate": 1200, "recharge": PASSIVE}
SLOW = {"width_ns": 400_000, "rate": 40, "recharge": PASSIVE}


def recovering(width_ns: int) -> Verdict:
    """Passive recovery at 1200 Hz gets the shorter, the longer the pulse."""
    return judged(area(MA, width_ns=width_ns * 100, rate=1200, recharge=PASSIVE))


def recovering_at(millihertz: int) -> Verdict:
    return judged(area(MA, width_ns=100_000, rate=Fraction(millihertz, 1000), recharge=PASSIVE))


EDGES = [
    Edge("SAF-FIT-CONTACT", "refuse", judged, lambda: judged(area(shares=((1, -1000), (9, 1000))))),
    Edge("SAF-FIT-LEAD", "refuse", judged, lambda: judged(leads=(lead("slimtip-drg"),))),
    Edge("SAF-FIT-PORTS", "refuse", lambda: crossing(PortKind.SCS), lambda: crossing(PortKind.BENCH)),
    Edge(
        "SAF-FIT-GRID",
        "refuse",
        judged,
        lambda: judged(capabilities=device(grid=replace(FINE, guard_ticks=FINE.guard_ticks + 1))),
    ),
    stepped("SAF-FIT-AREAS", "refuse", many_areas, 2),
    Edge("SAF-FIT-IMAGE", "refuse", lambda: image_bytes(0), lambda: image_bytes(-1)),
    Edge("SAF-BENCH-ONLY", "refuse", judged, lambda: judged(bench=True)),
    Edge("SAF-RECHARGE-NONE", "refuse", judged, lambda: judged(area(recharge=Recharge.NONE), bench=True)),
    Edge("SAF-MATERIAL", "note", judged, coil),
    Edge("SAF-SMALL-CONTACT", "warn", lambda: small(1_000_000), lambda: small(999_999)),
    stepped("SAF-CONTACT-CURRENT", "refuse", current(width_ns=20_000), 12_700_000),
    stepped(
        "SAF-AREA-CURRENT",
        "refuse",
        current(width_ns=20_000, shares=((1, -500), (2, -500), (3, 500), (4, 500))),
        25_500_000,
        2,
    ),
    stepped("SAF-STEP", "refuse", lambda step: judged(ranges=[AmplitudeRange(0, 0, MA, step)]), 500_000),
    stepped(
        "SAF-STEP-BURST",
        "refuse",
        lambda step: judged(area(width_ns=100_000, burst=(5, 500)), ranges=[AmplitudeRange(0, 0, MA, step)]),
        200_000,
    ),
    Edge(
        "SAF-WIDTH-LOW",
        "refuse",
        lambda: judged(area(width_ns=20_000)),
        lambda: judged(area(width_ns=19_900)),
    ),
    stepped("SAF-WIDTH-HIGH", "refuse", lambda width: judged(area(width_ns=width)), MS, 100),
    Edge("SAF-WIDTH-GIVEN", "warn", lambda: given(Fraction(5, 100)), lambda: given(Fraction(50_001, 10**6))),
    Edge(
        "SAF-WIDTH-GIVEN", "refuse", lambda: given(Fraction(20, 100)), lambda: given(Fraction(200_001, 10**6))
    ),
    stepped("SAF-SHARE-GIVEN", "warn", shared, 1_111_111),
    stepped("SAF-RATE", "refuse", lambda mhz: judged(area(rate=Fraction(mhz, 1000))), 1_200_000),
    Edge(
        "SAF-RATE",
        "refuse",
        lambda: judged(area(rate=10_000, width_ns=30_000)),
        lambda: judged(area(rate=Fraction("9999.999"), width_ns=30_000)),
    ),
    Edge(
        "SAF-RATE",
        "refuse",
        lambda: judged(area(rate=10_000, width_ns=30_000)),
        lambda: judged(area(rate=Fraction("10000.001"), width_ns=30_000)),
    ),
    Edge(
        "SAF-RATE",
        "refuse",
        lambda: judged(area(rate=2)),
        lambda: judged(area(rate=Fraction("1.999"))),
    ),
    Edge(
        "SAF-RATE",
        "refuse",
        lambda: judged(area(width_ns=100_000, burst=(5, 1200))),
        lambda: judged(area(width_ns=100_000, burst=(5, Fraction("1200.001")))),
    ),
    *(
        stepped("SAF-DUTY", tier, lambda width: judged(area(rate=1000, width_ns=width)), last, 100)
        for tier, last in (("note", 250_000), ("warn", 325_000), ("refuse", 450_000))
    ),
    stepped("SAF-CHARGE-PHASE", "warn", current(width_ns=MS), 5 * MA),
    stepped("SAF-CHARGE-PHASE", "refuse", current(width_ns=MS), 10 * MA),
    stepped("SAF-CHARGE-BURST", "warn", burst, 1_500_000),
    stepped("SAF-CHARGE-BURST", "refuse", burst, 4_000_000),
    *(
        stepped("SAF-DENSITY", tier, current(width_ns=400_000), charged(limit * 10**4 * OCTRODE_UM2, 400_000))
        for tier, limit in (("warn", 30), ("refuse", 50))
    ),
    *(
        stepped("SAF-DENSITY-BURST", tier, burst, charged(limit * 10**4 * OCTRODE_UM2, MS, 5))
        for tier, limit in (("warn", 30), ("refuse", 150))
    ),
    *(
        stepped(code, tier, current(width_ns=400_000), charged(shannon_charge(limit, OCTRODE_UM2), 400_000))
        for code, tier, limit in (
            ("SAF-SHANNON", "note", 150),
            ("SAF-SHANNON", "warn", 175),
            ("SAF-SHANNON-DAMAGE", "warn", 185),
        )
    ),
    *(
        stepped("SAF-SHANNON-BURST", tier, burst, charged(shannon_charge(limit, OCTRODE_UM2), MS, 5))
        for tier, limit in (("note", 150), ("warn", 185))
    ),
    *(
        stepped("SAF-CHARGE-STACK", tier, two, charged(limit * 10**4 * OCTRODE_UM2, 400_000) - 3 * MA)
        for tier, limit in (("warn", 30), ("refuse", 150))
    ),
    *(
        stepped(
            "SAF-CHARGE-DAY",
            tier,
            current(rate=1000, width_ns=200_000, up_ns=1, down_ns=1),
            limit * 10**18 // (200_000 * 86_399_999),
        )
        for tier, limit in (("warn", 150), ("refuse", 400))
    ),
    stepped(
        "SAF-NET-DC", "warn", current(port="bench", width_ns=100_000, rate=1000, recharge=Recharge.NONE), 1000
    ),
    stepped(
        "SAF-NET-DC",
        "refuse",
        lambda amplitude: judged(
            area(amplitude, width_ns=100_000, rate=1000, recharge=Recharge.NONE), bench=True
        ),
        1000,
    ),
    found_at("SAF-FARADAIC-DC", "warn", current(**SLOW), 10 * MA),
    found_at("SAF-FARADAIC-DC", "refuse", current(**STANDING), 20 * MA),
    stepped("SAF-MISMATCH", "note", current(width_ns=100_000, rate=1000), 100_000),
    found_at("SAF-POTENTIAL-LOW", "note", current(port="bench", **STANDING), 20 * MA),
    found_at("SAF-POTENTIAL-LOW", "warn", current(**STANDING), 20 * MA),
    found_at("SAF-POTENTIAL-LOW", "refuse", current(**STANDING), 20 * MA),
    found_at("SAF-POTENTIAL-HIGH", "note", current(port="bench", **STANDING), 20 * MA),
    found_at("SAF-POTENTIAL-HIGH", "warn", current(**STANDING), 20 * MA),
    found_at("SAF-POTENTIAL-HIGH", "refuse", current(**STANDING), 20 * MA),
    found_at("SAF-EXCURSION-LOW", "note", current(**SLOW), 20 * MA),
    found_at("SAF-EXCURSION-HIGH", "note", current(**SLOW), 20 * MA),
    found_at("SAF-RECOVERY", "note", recovering_at, 1_200_000, 40_000),
    found_at("SAF-RECOVERY", "warn", recovering_at, 1_200_000, 40_000),
    found_at("SAF-RECOVERY", "refuse", recovering, 4_000, 500),
    found_at("SAF-RECHARGE-PEAK", "warn", burst, 20 * MA),
    found_at("SAF-RECHARGE-PEAK", "refuse", burst, 20 * MA),
    found_at("SAF-COMPLIANCE", "warn", current(), 50 * MA),
    found_at("SAF-COMPLIANCE", "refuse", current(), 50 * MA),
    Edge("SAF-IMPEDANCE-MISSING", "warn", judged, lambda: judged(impedances=None)),
    Edge(
        "SAF-IMPEDANCE-MISSING",
        "refuse",
        lambda: judged(at_run=True),
        lambda: judged(impedances=readings(contacts=(1,)), at_run=True),
    ),
    *(
        stepped("SAF-IMPEDANCE-OPEN", tier, lambda ohm: judged(area(MA), impedances=readings(ohm)), last)
        for tier, last in (("warn", 3000), ("refuse", 4000))
    ),
    stepped("SAF-IMPEDANCE-SHORT", "refuse", lambda ohm: judged(impedances=readings(ohm)), 100, -1),
    Edge(
        "SAF-RAMP-MIN",
        "refuse",
        lambda: judged(area(up_ns=S // 2, down_ns=S // 2)),
        lambda: judged(area(up_ns=S // 2 - 1)),
    ),
    Edge("SAF-RAMP-MIN", "refuse", judged, lambda: judged(area(down_ns=S // 2 - 1))),
    stepped("SAF-RAMP-SECOND", "warn", current(width_ns=20_000), 12 * MA),
    stepped("SAF-RAMP-SECOND", "refuse", current(width_ns=20_000), 30 * MA),
    stepped("SAF-RAMP-PULSE", "warn", lambda up: judged(area(rate=10, up_ns=up)), S // 2, -1),
    stepped("SAF-RAMP-PULSE", "refuse", lambda up: judged(area(rate=4, up_ns=up)), S // 2, -1),
    *(
        stepped("SAF-CYCLE-ON", tier, lambda on: judged(area(on_ns=on, off_ns=S)), last, -1)
        for tier, last in (("warn", S), ("refuse", S // 2))
    ),
    *(
        stepped("SAF-CYCLE-OFF", tier, lambda off: judged(area(on_ns=S, off_ns=off)), last, -1)
        for tier, last in (("warn", S), ("refuse", S // 2))
    ),
    Edge("SAF-INTERLEAVE", "warn", lambda: interleaved(0, 0), lambda: interleaved(0, 1)),
    Edge("SAF-INTERLEAVE", "refuse", lambda: interleaved(0, 50), lambda: interleaved(0, 51)),
    stepped("SAF-INTERLEAVE-SHIFT", "note", lambda shift: interleaved(shift, 0), 25_000),
    *(
        stepped("SAF-DUTY-TOTAL", tier, half_duty, last, 100)
        for tier, last in (("note", 250_000), ("warn", 325_000), ("refuse", 450_000))
    ),
    *(
        stepped("SAF-POWER", tier, current(rate=1000, width_ns=250_000), limit * 10**9 * 2 // 18_000)
        for tier, limit in (("warn", 100), ("refuse", 250))
    ),
    stepped(
        "SAF-ENERGY",
        "refuse",
        lambda amplitude: surface(amplitude, width_ns=10 * MS, rate=1, recharge=Recharge.TRIPHASIC),
        math.isqrt(3 * 10**26 // (500 * 40 * MS)),
    ),
    stepped("SAF-OPEN-VOLTAGE", "refuse", rail, 500_000),
    stepped(
        "SAF-SURFACE-DENSITY",
        "warn",
        lambda amplitude: surface(amplitude, width_ns=250_000, rate=1000),
        math.isqrt(2 * (2 * MA * PAD_UM2 // 10**8) ** 2),
    ),
]


@pytest.mark.parametrize("edge", EDGES, ids=[edge.name for edge in EDGES])
def test_a_rule_is_silent_just_inside_a_tier_and_fires_just_outside(edge: Edge) -> None:
    tier = Severity[edge.tier.upper()]
    inside = severity(edge.inside(), edge.code)
    assert inside is None or inside < tier
    assert severity(edge.outside(), edge.code) is tier


def test_every_tier_of_every_rule_has_an_edge() -> None:
    expected = {
        (code, tier)
        for code, row in packaged().rules.items()
        for group in (row.tiers, *row.port.values(), *row.lead.values())
        for tier in TIERS
        if tier in group
    }
    assert {(edge.code, edge.tier) for edge in EDGES} >= expected


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


def test_the_routine_setting_above_k_185_needs_a_reason_and_is_not_refused() -> None:
    verdict = judged(area(8 * MA, width_ns=400_000, rate=50, recharge=PASSIVE))
    assert value(verdict, "SAF-SHANNON-DAMAGE") == Fraction(192, 100)
    assert severity(verdict, "SAF-DENSITY") is Severity.PASS
    assert "SAF-SHANNON-DAMAGE" in verdict.to_acknowledge
    assert not verdict.refused


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


def test_a_small_anode_alone_can_refuse() -> None:
    one = lead("octrode")
    shrunk = tuple(
        replace(contact, area_um2=2_000_000) if contact.number == 2 else contact for contact in one.contacts
    )
    verdict = judged(area(3 * MA, width_ns=400_000), leads=(replace(one, contacts=shrunk),))
    assert [one.place for one in verdict.refused if one.code == "SAF-DENSITY"] == ["area[1].contacts.2"]


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


# ------------------------------------------------------------------------------- values by hand


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
