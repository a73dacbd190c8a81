"""Every rule at every tier: just inside it stays silent, one step outside it fires."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

import pytest

from neurostim.core.hardware import PortKind
from neurostim.core.image import Grid
from neurostim.core.program import Recharge
from neurostim.core.schedule import Adjustment, Schedule
from neurostim.electrode.library import lead
from neurostim.safety.findings import Severity
from neurostim.safety.gate import AmplitudeRange, Verdict, check
from neurostim.safety.limits import TIERS, packaged
from neurostim.safety.measures import shannon_charge
from neurostim.wire.image import encode_image
from support.safety_cases import (
    FINE,
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
    with_port,
)

Make = Callable[[], Verdict]
OCTRODE_UM2 = lead("octrode").contacts[0].area_um2
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
    stepped(
        "SAF-STEP", "refuse", lambda step: judged(ranges=[AmplitudeRange(0, MA - step, MA, step)]), 500_000
    ),
    stepped(
        "SAF-STEP-BURST",
        "refuse",
        lambda step: judged(
            area(width_ns=100_000, burst=(5, 500)), ranges=[AmplitudeRange(0, MA - step, MA, step)]
        ),
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
