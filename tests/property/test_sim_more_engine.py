"""The simulator's pulse engine on any program: the rows of the schedule, in any pieces, and its own sums."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.image import Grid, ProgramImage
from neurostim.core.program import Program
from neurostim.core.schedule import Schedule
from neurostim_sim.engine import PulseEngine
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
