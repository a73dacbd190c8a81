"""The simulator's pulse engine on any program: the rows of the schedule, in any pieces, and its own sums."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.image import Grid, ImageArea, ProgramImage
from neurostim.core.program import Program, Recharge
from neurostim.core.program_file import load_preset
from neurostim.core.schedule import Schedule
from neurostim_sim.engine import PulseEngine, repeating
from neurostim_sim.engine.plan import misfits, plans_of
from neurostim_sim.tissue import OutputPhysics
from support.conformance_engine import PHYSICS, bench_tissue
from support.core_programs import grids, programs

MS = 1_000_000
SHOWN_NS = 620 * MS
SHORTING_NS = 100 * MS


def compiled(program: Program, grid: Grid) -> Schedule:
    try:
        return compile_program(program, grid)
    except ConfigError:
        assume(False)
        raise


def engine(image: ProgramImage, **options: bool) -> PulseEngine:
    return PulseEngine(image, bench_tissue(), PHYSICS, **options)


def expected(schedule: Schedule, until_ticks: int) -> list[tuple[int, ...]]:
    tick = schedule.image.grid.tick_ns
    rows: list[tuple[int, ...]] = []
    for block in schedule.events(0, until_ticks * tick):
        columns = (
            block.start_ns // tick,
            block.duration_ns // tick,
            block.contact,
            block.kind,
            block.amplitude_na,
            block.area,
            block.unit,
            block.pulse,
        )
        rows += zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    return sorted(rows)


def made(device: PulseEngine, until_ticks: int) -> list[tuple[int, ...]]:
    # A shorted stretch becomes a row when it has ended, and a phase when its pulse began.
    device.advance(until_ticks + SHORTING_NS // device.image.grid.tick_ns + 1)
    rows = [tuple(row[:8]) for row in device.take_rows().tolist()]
    return sorted(row for row in rows if row[0] < until_ticks)


@settings(max_examples=100)
@given(programs(), grids())
def test_every_row_of_any_area_is_that_of_the_schedule(program: Program, grid: Grid) -> None:
    schedule = compiled(program, grid)
    until = SHOWN_NS // grid.tick_ns
    assert made(engine(schedule.image, record=True), until) == expected(schedule, until)


@pytest.mark.hazard("overlap")
@settings(max_examples=25)
@given(programs(many=True), grids(ticks=(1000, 20_000, 30_517)))
def test_every_row_of_several_areas_is_that_of_the_schedule(program: Program, grid: Grid) -> None:
    schedule = compiled(program, grid)
    until = SHOWN_NS // grid.tick_ns
    assert made(engine(schedule.image, record=True), until) == expected(schedule, until)


@settings(max_examples=20)
@given(programs(many=True), grids(ticks=(1000, 30_517)), st.data())
def test_pieces_of_time_change_no_byte_of_the_record(
    program: Program, grid: Grid, data: st.DataObject
) -> None:
    image = compiled(program, grid).image
    until = SHOWN_NS // grid.tick_ns
    whole, pieces = engine(image, record=True), engine(image, record=True)
    whole.advance(until)
    taken = []
    for at in sorted(data.draw(st.lists(st.integers(0, until), max_size=12))):
        pieces.advance(at)
        taken.append(pieces.take_rows())
    pieces.advance(until)
    taken.append(pieces.take_rows())
    rows, others = whole.take_rows(), np.concatenate(taken)
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], others[np.lexsort(others.T)])
    assert whole.totals() == pieces.totals()
    assert whole.voltages() == pieces.voltages()


@settings(max_examples=20)
@given(programs(many=True), grids())
def test_contacts_sum_to_zero_in_every_phase_and_active_recharge_is_exact(
    program: Program, grid: Grid
) -> None:
    image = compiled(program, grid).image
    device = engine(image, record=True)
    device.advance(SHOWN_NS // grid.tick_ns)
    sums: dict[tuple[int, ...], int] = defaultdict(int)
    carried: dict[tuple[int, ...], int] = defaultdict(int)
    balanced = {i for i, area in enumerate(image.areas) if not area.recharge.is_passive}
    for start, length, contact, kind, amplitude, area, unit, pulse, _ in device.take_rows().tolist():
        sums[start, area, kind] += amplitude
        if area in balanced and image.areas[area].recharge.name != "NONE":
            carried[area, unit, pulse, contact] += amplitude * length
    assert set(sums.values()) <= {0}
    assert set(carried.values()) <= {0}


@settings(max_examples=20)
@given(programs(many=True), grids(), st.integers(1, 40))
def test_totals_without_a_record_are_those_of_pulse_by_pulse(
    program: Program, grid: Grid, parts: int
) -> None:
    image = compiled(program, grid).image
    until = 4_000 * MS // grid.tick_ns
    sums, pulses = engine(image), engine(image, closed_form=False)
    for part in range(1, parts + 1):
        sums.advance(until * part // parts)
    pulses.advance(until)
    assert_same(sums, pulses)


@settings(max_examples=20)
@given(programs(), grids(), st.integers(1, 40))
def test_totals_of_one_area_in_closed_form_are_those_of_pulse_by_pulse(
    program: Program, grid: Grid, parts: int
) -> None:
    image = compiled(program, grid).image
    until = 4_000 * MS // grid.tick_ns
    sums, pulses = engine(image), engine(image, closed_form=False)
    for part in range(1, parts + 1):
        sums.advance(until * part // parts)
    pulses.advance(until)
    assert_same(sums, pulses)


@st.composite
def recurring(draw: st.DrawFn) -> ProgramImage:
    """Two or three areas, of every kind of recharge, whose trains come round within half a second."""
    areas = []
    for number in range(draw(st.integers(2, 3))):
        recharge = draw(st.sampled_from(Recharge))
        burst = recharge is Recharge.PASSIVE_AFTER_BURST or draw(st.booleans())
        cycled = draw(st.booleans())
        areas.append(
            ImageArea(
                amplitude_na=draw(st.integers(0, 9_000_000)),
                shares=draw(st.sampled_from([((3, -700), (4, -300), (5, 1000)), ((1, -1000), (3, 1000))])),
                width_ticks=draw(st.integers(20, 250)),
                interphase_ticks=draw(st.sampled_from([0, 50])),
                recharge=recharge,
                ratio=3 if recharge is Recharge.ACTIVE_ASYMMETRIC else 1,
                period_num=draw(st.sampled_from([20_000_000, 25_000_000, 50_000_000, 100_000_000])),
                period_den=draw(st.sampled_from([1, 3])),
                burst_pulses=2 if burst else 1,
                burst_period_num=5_000_000 if burst else 0,
                burst_period_den=3 if burst else 1,
                ramp_up_ns=draw(st.sampled_from([0, 50_000_000])),
                ramp_down_ns=draw(st.sampled_from([0, 30_000_000])),
                delay_ns=draw(st.sampled_from([0, 700_000, 3_000_000, 333_000_000])),
                on_ns=draw(st.sampled_from([100_000_000, 150_000_000])) if cycled else 0,
                off_ns=draw(st.sampled_from([0, 50_000_000])) if cycled else 0,
                priority=number,
            )
        )
    duration = draw(st.sampled_from([0, 9_876_543_210]))
    return ProgramImage(Grid.of(1000, 10_000), tuple(areas), duration, True, True)


RAIL_18_V = OutputPhysics(18.0, 500.0, 4000.0, 100.0)


@settings(max_examples=60)
@given(recurring(), st.sampled_from([1, 3]), st.sampled_from([PHYSICS, RAIL_18_V]))
def test_periods_of_several_areas_summed_are_those_of_pulse_by_pulse(
    image: ProgramImage, parts: int, physics: OutputPhysics
) -> None:
    assume(not any(misfits(plan) for plan in plans_of(image)))
    until = 10_000_000
    sums = PulseEngine(image, bench_tissue(), physics)
    pulses = PulseEngine(image, bench_tissue(), physics, closed_form=False)
    seen = [event for part in range(1, parts + 1) for event in sums.advance(until * part // parts)]
    assert seen == pulses.advance(until)
    assert_same(sums, pulses)
    assert sums.voltages() == pytest.approx(pulses.voltages(), rel=1e-6, abs=1e-9)
    # What follows the sums is pulse by pulse again, at the same ticks.
    sums.set_amplitude(0, 1_000_000, until)
    pulses.set_amplitude(0, 1_000_000, until)
    sums.advance(until + 400_000)
    pulses.advance(until + 400_000)
    sums.stop(until + 400_000)
    pulses.stop(until + 400_000)
    assert_same(sums, pulses)
    assert sums.quiet_at == pulses.quiet_at


@pytest.mark.parametrize("hours", [1, 24])
def test_a_day_of_a_multiplexed_program_is_a_few_periods_and_a_leap(
    hours: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaps: list[int] = []
    leap = repeating._leap
    monkeypatch.setattr(repeating, "_leap", lambda *given: (leaps.append(given[4]), leap(*given)))
    schedule = compile_program(load_preset("multiplexed"), Grid.of(1000, 10_000))
    device = engine(schedule.image)
    end_ns = hours * 3600 * 1_000_000_000
    device.advance(end_ns // 1000)
    assert leaps
    assert leaps[0] > 0.99 * end_ns / 20_000_000
    dose = schedule.dose(end_ns)
    for area, wanted in zip(device.totals().areas, dose.areas, strict=True):
        assert (area.pulses, area.stim_ac) == (wanted.pulses, wanted.stimulation_ac)


def assert_same(sums: PulseEngine, pulses: PulseEngine) -> None:
    assert sums.totals().areas == pulses.totals().areas
    for contact, one in pulses.totals().contacts.items():
        other = sums.totals().contacts[contact]
        assert (one.pulses, one.cathodic_ac, one.anodic_ac) == (
            other.pulses,
            other.cathodic_ac,
            other.anodic_ac,
        )
        scale = one.cathodic_ac + one.anodic_ac
        assert other.recovered_ac == pytest.approx(one.recovered_ac, rel=1e-4, abs=1e-4 * scale + 1e6)
