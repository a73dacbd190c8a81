"""Properties of the gate: tightening is monotone, refusals last, comparisons are exact."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurostim.core.image import Grid
from neurostim.core.program import Recharge
from neurostim.core.sharing import contact_currents
from neurostim.safety.findings import RANGE_SUFFIX, Finding, Severity
from neurostim.safety.gate import AmplitudeRange, Verdict, check
from neurostim.safety.limits import LimitLayer, Tightening, describe, packaged
from neurostim.safety.measures import Exact, Root, ShannonK, Unknown, from_physics, shannon_charge
from neurostim.safety.reach import reach
from support.safety_cases import FINE, MA, MS, area, device, judged, leads_of, readings, schedule


@st.composite
def shares(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    """One to four cathodes and anodes that sum to 100 %, on contacts 1 to 8 in any order."""

    def split() -> list[int]:
        cuts = sorted(draw(st.sets(st.integers(1, 999), max_size=3)))
        return [high - low for low, high in zip([0, *cuts], [*cuts, 1000], strict=True)]

    values = [-one for one in split()] + split()
    order = draw(st.permutations(values))
    return tuple(enumerate(order, 1))


@settings(max_examples=60)
@given(shares(), st.sampled_from([1, 7, 10, 50]), st.sampled_from([1, 2, 9]), st.integers(0, 900))
def test_the_reach_of_a_range_is_that_of_all_its_levels(
    given_shares: tuple[tuple[int, int], ...], step: int, ratio: int, top: int
) -> None:
    found = reach(area(shares=given_shares, ratio=ratio), step, top)
    levels = {Fraction(level) for level in range(top + 1)}
    for _, share in given_shares:
        if share < 0:
            quantum = Fraction(1000 * step * ratio, -share)
            levels |= {quantum * m for m in range(1, int(top / quantum) + 1)}
    largest = {contact: (0, Fraction(0)) for contact, _ in given_shares}
    total = 0
    for level in sorted(levels):
        factor = level / top if top else Fraction(0)
        currents = contact_currents(top, factor, given_shares, step, ratio)
        total = max(total, sum(current for current in currents.values() if current > 0))
        for contact, current in currents.items():
            if abs(current) > largest[contact][0]:
                largest[contact] = (abs(current), level)
    assert found.total_na == total
    assert found.peaks_na == {contact: peak for contact, (peak, _) in largest.items()}
    assert found.at_na == {contact: math.ceil(level) for contact, (_, level) in largest.items()}
    assert not found.vectors_na.sum(axis=1).any()


@given(st.integers(0, 10**15), st.integers(1, 10**10), st.integers(-300, 400))
def test_shannon_is_compared_as_sixty_digits_of_logarithm_say(charge: int, um2: int, limit: int) -> None:
    measure = ShannonK(charge, um2)
    if charge == 0:
        assert not measure.fires("at least", limit)
        return
    with localcontext() as context:
        context.prec = 60
        k = 2 * Decimal(charge).log10() - Decimal(um2).log10() - 16
        assert measure.fires("at least", limit) == (k >= Decimal(limit) / 100)


@given(st.integers(1, 10**10), st.integers(-100, 300))
def test_the_charge_at_a_shannon_limit_is_the_last_below_it(um2: int, limit: int) -> None:
    charge = shannon_charge(limit, um2)
    assert not ShannonK(charge, um2).fires("at least", limit)
    assert ShannonK(charge + 1, um2).fires("at least", limit)


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**20), st.integers(-(10**15), 10**15))
def test_exact_values_compare_as_fractions(top: int, bottom: int, limit: int) -> None:
    measure, exact = Exact(top, bottom), Fraction(top, bottom)
    assert measure.fires("above", limit) == (exact > limit)
    assert measure.fires("at least", limit) == (exact >= limit)
    assert measure.fires("below", limit) == (exact < limit)
    assert measure.fires("outside", 0, [(limit, limit + 5)]) == (not limit <= exact <= limit + 5)


@given(st.integers(0, 10**30), st.integers(1, 10**20), st.integers(-5, 10**15))
def test_roots_compare_by_their_squares(top: int, bottom: int, limit: int) -> None:
    measure = Root(top, bottom)
    expected = limit < 0 or Fraction(top, bottom) > limit * limit
    assert measure.fires("above", limit) == expected


@given(st.floats())
def test_what_physics_gives_is_rounded_away_from_zero_and_never_lost(found: float) -> None:
    measure = from_physics(found)
    if not math.isfinite(found):
        assert isinstance(measure, Unknown)
        assert all(measure.fires(how, 10**30) for how in ("above", "below", "at least", "outside"))
        return
    assert isinstance(measure, Exact)
    assert measure.denominator == 1
    assert abs(measure.numerator) >= abs(Fraction(found))
    assert abs(measure.numerator) < abs(Fraction(found)) + 1


@cache
def case(amplitude: int, top: int) -> Verdict:
    return judged(
        area(amplitude, width_ns=300_000, rate=50, recharge=Recharge.PASSIVE),
        ranges=[AmplitudeRange(0, 0, top, 50_000)],
    )


def heaviest(findings: tuple[Finding, ...]) -> dict[str, Severity]:
    found: dict[str, Severity] = {}
    for one in findings:
        found[one.code] = max(found.get(one.code, Severity.PASS), one.severity)
    return found


SCALAR = [code for code, row in packaged().rules.items() if row.fires not in ("state", "outside")]


@settings(max_examples=80)
@given(
    st.sampled_from(SCALAR),
    st.sampled_from(["note", "warn", "refuse"]),
    st.fractions(0, 1, max_denominator=1000),
    st.sampled_from(["device", "subject"]),
)
def test_a_tightened_limit_never_makes_a_finding_lighter(
    code: str, tier: str, part: Fraction, layer: str
) -> None:
    verdict = case(6 * MA, 8 * MA)
    limits = [one.effective for one in verdict.findings if one.code == code]
    if not limits:
        return
    row = limits[0].row
    bounds = [bound.value for limit in limits if (bound := limit.tier(tier)) is not None]
    start = bounds[0] if bounds else 10**6
    if row.fires == "below":
        value = max(bounds, default=start) + math.ceil(part * (abs(start) + 1))
    else:
        value = min(bounds, default=start) - math.ceil(part * (abs(start) + 1))
    tightened = LimitLayer(layer, (Tightening(code, tier, value, "tightened for this test"),))
    after = judged(
        area(6 * MA, width_ns=300_000, rate=50, recharge=Recharge.PASSIVE),
        ranges=[AmplitudeRange(0, 0, 8 * MA, 50_000)],
        **{f"{layer}_limits": tightened},
    )
    before = heaviest(verdict.findings)
    for name, weight in heaviest(after.findings).items():
        base = name.removesuffix(RANGE_SUFFIX)
        if base == code:
            assert weight >= before[name]
        else:
            assert weight == before[name], describe(row, limits[0].refuse) if limits[0].refuse else name
    assert after.limits_sha256 != verdict.limits_sha256


@settings(max_examples=40)
@given(st.integers(1, 250), st.integers(0, 100), st.integers(0, 100))
def test_what_is_refused_stays_refused_when_scaled_up(start: int, more: int, above: int) -> None:
    lower = case(start * 100_000, start * 100_000)
    higher = case((start + more) * 100_000, (start + more + above) * 100_000)
    refused = {one.code.removesuffix(RANGE_SUFFIX) for one in lower.refused}
    assert refused <= {one.code.removesuffix(RANGE_SUFFIX) for one in higher.refused}
    warned = {one.code.removesuffix(RANGE_SUFFIX) for one in (*lower.warnings, *lower.refused)}
    assert warned <= {one.code.removesuffix(RANGE_SUFFIX) for one in (*higher.warnings, *higher.refused)}


@settings(max_examples=40)
@given(shares(), st.integers(1, 200), st.integers(0, 200))
def test_a_wider_range_is_never_lighter(
    given_shares: tuple[tuple[int, int], ...], top: int, more: int
) -> None:
    grid = Grid.of(100, 50_000)
    one = area(0, width_ns=400_000, shares=given_shares, grid=grid)

    def ranged(end: int) -> dict[str, Severity]:
        verdict = judged(
            one,
            grid=grid,
            ranges=[AmplitudeRange(0, 0, end * 100_000, 100_000)],
            impedances=readings(contacts=range(1, 9)),
        )
        return heaviest(verdict.findings)

    narrow, wide = ranged(top), ranged(top + more)
    for code in ("SAF-CONTACT-CURRENT", "SAF-AREA-CURRENT", "SAF-DENSITY", "SAF-SHANNON", "SAF-CHARGE-PHASE"):
        name = code + RANGE_SUFFIX
        assert wide.get(name, Severity.PASS) >= narrow.get(name, Severity.PASS)


@settings(max_examples=30)
@given(
    st.integers(1, 12_000),
    st.sampled_from(list(Recharge)[1:]),
    st.integers(20, 600),
    st.integers(2_000, 400_000),
)
def test_every_verdict_is_made_of_integers_and_repeats_exactly(
    amplitude: int, recharge: Recharge, width_us: int, millihertz: int
) -> None:
    ratio = 2 if recharge is Recharge.ACTIVE_ASYMMETRIC else 1
    rate = Fraction(min(millihertz, 200_000), 1000)
    one = area(
        amplitude * 1000,
        width_ns=width_us * 1000,
        rate=rate,
        recharge=recharge,
        ratio=ratio,
        burst=(2, 500) if recharge is Recharge.PASSIVE_AFTER_BURST else None,
    )
    made = schedule(one)
    first, second = (check(made, leads_of("scs"), device(grid=FINE), impedances=readings()) for _ in range(2))
    assert first.findings == second.findings
    for finding in first.findings:
        measure = finding.measure
        if isinstance(measure, (Exact, Root)):
            assert type(measure.numerator) is type(measure.denominator) is int
        elif isinstance(measure, ShannonK):
            assert type(measure.charge_ac) is int


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1.0, True, None, "1"])
def test_a_measure_takes_nothing_but_integers(bad: object) -> None:
    from neurostim.core.errors import ConfigError

    for make in (
        lambda: Exact(bad),  # type: ignore[arg-type]
        lambda: Exact(1, bad),  # type: ignore[arg-type]
        lambda: Root(bad),  # type: ignore[arg-type]
        lambda: ShannonK(bad, 1),  # type: ignore[arg-type]
        lambda: ShannonK(1, bad),  # type: ignore[arg-type]
    ):
        with pytest.raises(ConfigError):
            make()


def test_a_long_burst_at_the_bounds_of_the_format_does_not_overflow() -> None:
    verdict = judged(
        area(
            150 * MA,
            width_ns=MS,
            recharge=Recharge.PASSIVE_AFTER_BURST,
            burst=(1000, 500),
            rate=Fraction(1, 4),
        ),
        port="bench",
    )
    charges = [one.value for one in verdict.findings if one.code == "SAF-CHARGE-BURST"]
    assert max(one for one in charges if one is not None) == 150_000
