"""Exactness at the far ends: a day, a year, and every bound of the format at once."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.core import bounds
from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.image import Grid
from neurostim.core.kernels import floor_sum as kernel_floor_sum
from neurostim.core.kernels import muldiv
from neurostim.core.program import Area, Burst, Cycle, Pulse, Ramp, Recharge, Share, Train
from neurostim.core.schedule import Schedule
from neurostim.core.timing import floor_sum
from support.core_programs import DAY, HOUR, MS, US, S, area, microseconds, program

YEAR = 365 * DAY
HF10 = Pulse(30 * US, Recharge.ACTIVE_SYMMETRIC, 20 * US)


@pytest.mark.parametrize(
    "train",
    [
        Train(Fraction(2401, 2)),
        Train(Fraction(3333, 10)),
        Train(Fraction(1, 3), from_interval=True),
        Train(Fraction(9999_999, 1000)),
    ],
    ids=["1200.5 Hz", "333.3 Hz", "3 s", "9999.999 Hz"],
)
def test_onsets_of_a_whole_day_are_those_of_the_format_and_balance_is_exact(train: Train) -> None:
    schedule = compile_program(program(area(pulse=HF10, train=train)), microseconds())
    period = 10**9 / train.rate_hz / 1000
    for start in (0, 7 * HOUR + 123_456_789, 23 * HOUR, DAY - 2 * S, YEAR - S):
        first = -(-start // 1000)
        k = -(-first * period.denominator // period.numerator)
        seen = 0
        net = 0
        for block in schedule.events(start, 4 * S):
            onset = block.start_ns[(block.contact == 3) & (block.kind == 0)]
            want = [floor((k + seen + i) * period) * 1000 for i in range(len(onset))]
            assert onset.tolist() == want
            assert (
                block.unit[(block.contact == 3) & (block.kind == 0)] == np.arange(len(onset)) + k + seen
            ).all()
            seen += len(onset)
            net += int((block.amplitude_na.astype(np.int64) * block.duration_ns).sum())
            assert set(block.duration_ns.tolist()) == {30_000}
        assert seen >= floor(4 * S / 1000 / period)
    dose = schedule.dose(YEAR).areas[0]
    assert [one.net_ac for one in dose.contacts] == [0, 0]
    assert dose.units == -(-YEAR // 1000 * period.denominator // period.numerator)


def test_a_year_of_dose_is_exact_to_the_attocoulomb() -> None:
    ramped = area(amplitude=3_000_000, pulse=HF10, train=Train(Fraction(10_000)), ramp=Ramp())
    dose = compile_program(program(ramped), microseconds()).dose(YEAR)
    # Up 2 s: unit k of 20000 has floor(k x 3 mA / 20000 / 10 uA) steps of 10 uA.
    lost = sum(300 - k * 300 // 20_000 for k in range(20_000)) * 10_000
    assert dose.stimulation_ac == (10_000 * 86_400 * 365 * 3_000_000 - lost) * 30_000


def test_an_hour_of_cycles_counts_every_window_whatever_the_tick() -> None:
    one = area(pulse=HF10, train=Train(Fraction(1000)), cycle=Cycle(100_000_001, 33_333_333), delay_ns=1)
    schedule = compile_program(program(one, duration_ns=HOUR), Grid.of(30_517, 10_000))
    nominal = fitting = 0
    timing = schedule.area_timing(0)
    for window in timing.windows():
        assert window.length is not None
        assert timing.nominal_before(window.number) == nominal
        nominal += timing.units_before(window.length)
        fitting += timing.units_fitting(window.length)
    dose = schedule.dose().areas[0]
    assert (dose.nominal_units, dose.units) == (nominal, fitting)
    last = [block.unit[-1] for block in schedule.events(HOUR - S, S)][-1]
    assert last in (nominal - 1, nominal - 2)


FASTEST = Train(Fraction(20_000))
EXTREMES: list[tuple[Area, Grid, tuple[int | None, ...]]] = [
    (
        area(amplitude=150_000_000, pulse=Pulse(US, Recharge.ACTIVE_SYMMETRIC), train=FASTEST),
        Grid.of(1, 1),
        (None, YEAR),
    ),
    (
        area(
            amplitude=149_999_999,
            pulse=Pulse(US, Recharge.ACTIVE_ASYMMETRIC, 0, 20),
            train=Train(Fraction(19_999_999, 1000)),
            ramp=Ramp(60 * S, 60 * S),
            cycle=Cycle(DAY, DAY),
            shares=(Share("1", -999), Share("2", -1), Share("3", 1), Share("return", 999)),
            delay_ns=60 * S,
        ),
        Grid.of(7, 1003),
        (YEAR,),
    ),
    (
        area(
            pulse=Pulse(10 * MS, Recharge.PASSIVE, 10 * MS),
            train=Train(Fraction(1, 1000)),
            cycle=Cycle(100 * MS, 0),
            ramp=Ramp(60 * S, 60 * S),
        ),
        Grid.of(1_000_000, 10_000_000, 10 * MS, 60 * MS),
        (None, YEAR),
    ),
    (
        area(
            amplitude=150_000_000,
            pulse=Pulse(US, Recharge.PASSIVE_AFTER_BURST),
            train=Train(Fraction(1, 1000), Burst(1000, Fraction(20_000))),
        ),
        Grid.of(1000, 1),
        (None, YEAR),
    ),
    (
        area(pulse=Pulse(US, Recharge.TRIPHASIC), train=Train(Fraction(S, 50_001), from_interval=True)),
        Grid.of(13, 1),
        (None, YEAR),
    ),
]


@pytest.mark.parametrize(("one", "grid", "limits"), EXTREMES)
def test_the_last_second_of_a_year_at_the_bounds_of_the_format(
    one: Area, grid: Grid, limits: tuple[int | None, ...]
) -> None:
    duration = YEAR
    for limit in limits:
        schedule = compile_program(program(one, duration_ns=limit), grid)
        timing = schedule.area_timing(0)
        period = Fraction(S) / one.train.rate_hz / grid.tick_ns
        start = duration - 30 * MS
        for block in schedule.events(start, 10 * MS, 4096):
            for row in range(0, len(block), 97):
                tick = int(block.start_ns[row]) // grid.tick_ns
                begun = (int(block.start_ns[row]) - one.delay_ns) // timing.cycle_ns if timing.cycle_ns else 0
                window = timing.window(begun)
                k = int(block.unit[row]) - timing.nominal_before(begun)
                if k < 0:
                    continue  # the recovery of a pulse of the window before
                at = window.start + floor(k * period) + floor(int(block.pulse[row]) * timing.burst_period)
                assert 0 <= tick - at <= timing.pulse_length + timing.area.interphase_ticks
        assert schedule.envelope(0, duration, 37).shape == (len(schedule.contacts), 37, 2)
        assert schedule.dose(duration).areas[0].units == _units(schedule, duration)


def _units(schedule: Schedule, until: int) -> int:
    """Fitting units counted by windows of like length, from the definition."""
    timing = schedule.area_timing(0)
    tick = timing.tick_ns
    stop = -(-until // tick)
    if timing.cycle_ns == 0:
        window = timing.window(0)
        units = timing.units_before(stop - window.start)
        return units if window.length is None else min(units, timing.units_fitting(window.length))
    whole = (until - timing.area.delay_ns) // timing.cycle_ns
    total = sum(
        timing.units_fitting(timing.area.on_ns // tick + extra) * many
        for extra, many in ((0, whole - timing.long_windows(whole)), (1, timing.long_windows(whole)))
    )
    rest = timing.window(whole)
    if rest.start >= stop or (timing.window_count is not None and whole >= timing.window_count):
        return total
    assert rest.length is not None
    return total + min(timing.units_before(stop - rest.start), timing.units_fitting(rest.length))


@given(st.integers(0, 2**60), st.integers(0, 2**44), st.integers(1, 2**44))
def test_products_beyond_64_bits_divide_exactly(a: int, b: int, c: int) -> None:
    if a * b // c >= 2**61:
        return
    assert muldiv(np.int64(a), np.int64(b), np.int64(c)) == divmod(a * b, c)


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 10**6), st.integers(0, 2 * 10**6))
def test_floor_sums_of_both_kinds_agree(count: int, modulus: int, slope: int, offset: int) -> None:
    slope %= modulus
    offset %= 2 * modulus
    assert kernel_floor_sum(count, modulus, slope, offset) == floor_sum(count, modulus, slope, offset)


@given(st.integers(0, 60), st.integers(1, 50), st.integers(0, 120), st.integers(0, 200))
def test_the_floor_sum_is_the_sum_of_floors(count: int, modulus: int, slope: int, offset: int) -> None:
    assert floor_sum(count, modulus, slope, offset) == sum(
        (slope * i + offset) // modulus for i in range(count)
    )


def test_every_integer_product_of_the_kernels_fits_its_type() -> None:
    """The table of bounds, multiplied out."""
    longest, tick = int(bounds.DURATION_NS.high), int(bounds.TICK_NS.high)
    numerator = 10**12  # the period of 0.001 Hz [ns]; an interval is at most as long
    denominator = 20_000_000 * tick  # 20 kHz in 0.001 Hz, times the coarsest tick
    assert longest < bounds.HORIZON_NS < 2**62
    # Carries: a numerator or denominator and one more step.
    assert 2 * denominator < 2**63
    assert 2 * numerator < 2**63
    # muldiv: quotient below 2^62, remainder of the estimate below quotient x 2^-51 x divisor + divisor.
    assert (bounds.HORIZON_NS * 2**-50 + 4) * denominator < 2**63
    # Window starts in ns, and ticks as ns.
    assert bounds.HORIZON_NS + 2 * int(bounds.ON_NS.high + bounds.OFF_NS.high) < 2**63
    # Ramp tables: a block of 65536 onsets, and the split product of rule 6.
    assert 65536 * numerator + denominator < 2**63
    asked = int(bounds.AMPLITUDE_NA.high) * 1000
    ramp = int(bounds.RAMP_NS.high)
    assert (asked >> 19) * ramp < 2**63
    assert (ramp << 19) + (1 << 19) * ramp < 2**63
    assert int(bounds.AMPLITUDE_NA.high) < 2**31
    # Units of a ramp times the largest current, as summed by the dose.
    assert 2 * 60 * 20_000 * int(bounds.AMPLITUDE_NA.high) < 2**63
    # Floor sums over the most windows a horizon holds.
    windows = bounds.HORIZON_NS // int(bounds.ON_NS.low)
    assert windows * 2 < 2**63


@pytest.mark.parametrize(
    "ask",
    [
        lambda s: s.dose(),
        lambda s: s.dose(-1),
        lambda s: s.dose(2**61),
        lambda s: s.events(-1),
        lambda s: s.events(0, -1),
        lambda s: s.events(0, 1, 0),
        lambda s: s.envelope(0, 0, 1),
        lambda s: s.envelope(0, 1, 0),
        lambda s: s.envelope(-1, 1, 1),
        lambda s: s.render(-1, 1, 1_000_000),
        lambda s: s.render(0, 1, 1_000_000, [], "int16"),
        lambda s: s.render(0, 1, 1_000_000, [3], "int32"),
        lambda s: s.render(0, 1, 1_000_000, [3], "int16", np.zeros((2, 1), np.int16)),
    ],
)
def test_questions_that_make_no_sense_are_refused(ask: Any) -> None:
    schedule = compile_program(program(), microseconds())
    with pytest.raises(ConfigError):
        ask(schedule)
