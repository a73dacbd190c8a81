"""The kernels against a slow reading of the format in exact rationals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.event_block import EventBlock
from neurostim.core.image import Grid
from neurostim.core.lone_rows import lone_rows
from neurostim.core.program import Program, Pulse, Recharge, Share, Train
from neurostim.core.schedule import Schedule
from support import reference
from support.core_programs import HOUR, MS, US, S, area, grids, program, programs

UNTIL = 450 * MS
COLUMNS = ("start_ns", "duration_ns", "contact", "kind", "amplitude_na", "area", "unit", "pulse")


def rows_of(blocks: Iterable[EventBlock]) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []
    for block in blocks:
        found.extend(zip(*(getattr(block, name).tolist() for name in COLUMNS), strict=True))
    return found


def compiled(program: Program, grid: Grid) -> Schedule:
    try:
        return compile_program(program, grid)
    except ConfigError:
        assume(False)
        raise


@settings(max_examples=70)
@given(programs(), grids())
def test_every_row_of_one_area_is_that_of_the_format(program: Program, grid: Grid) -> None:
    schedule = compiled(program, grid)
    assert rows_of(schedule.events(0, UNTIL)) == reference.rows(program, grid, UNTIL)


@settings(max_examples=70)
@given(programs(), grids())
def test_rows_of_a_small_table_are_those_of_the_format(program: Program, grid: Grid) -> None:
    schedule = compiled(program, grid)
    last = min(UNTIL, schedule.silence_ns)
    whole = reference.rows(program, grid, UNTIL)
    assert rows_of(lone_rows(schedule, 0, last)) == whole
    cuts = (0, 1, 123_456_789, 123_456_889, UNTIL)
    parts = [
        row for begin, end in pairwise(cuts) for row in rows_of(lone_rows(schedule, begin, min(end, last)))
    ]
    assert parts == whole


@settings(max_examples=25)
@given(programs(), grids(), st.integers(0, 365 * 24))
def test_rows_of_a_small_table_are_the_kernels_at_any_hour(program: Program, grid: Grid, hour: int) -> None:
    endless = replace(program, duration_ns=None)
    schedule = compiled(endless, grid)
    begin = hour * HOUR + 777 * US
    assert rows_of(lone_rows(schedule, begin, begin + UNTIL)) == rows_of(schedule.events(begin, UNTIL))


@settings(max_examples=25)
@given(programs(many=True), grids(ticks=(20_000, 50_000, 30_517)))
def test_every_row_of_several_areas_is_that_of_the_format(program: Program, grid: Grid) -> None:
    schedule = compiled(program, grid)
    assert rows_of(schedule.events(0, UNTIL)) == reference.rows(program, grid, UNTIL)


@settings(max_examples=25)
@given(programs(many=True), grids(ticks=(20_000, 50_000)))
def test_rows_from_any_time_in_any_blocks_are_those_of_the_whole(program: Program, grid: Grid) -> None:
    schedule = compiled(program, grid)
    whole = rows_of(schedule.events(0, UNTIL))
    parts = []
    for begin, span, block in (
        (0, 1, 1),
        (1, 123_456_789, 7),
        (123_456_790, 100, 3),
        (123_456_890, UNTIL, 64),
    ):
        end = min(begin + span, UNTIL)
        blocks = list(schedule.events(begin, end - begin, block))
        assert all(0 < len(one) <= block for one in blocks)
        parts.extend(rows_of(blocks))
    assert parts == whole


@settings(max_examples=50)
@given(programs(), grids())
def test_the_dose_of_one_area_is_the_sum_of_its_rows(program: Program, grid: Grid) -> None:
    schedule = compiled(program, grid)
    for until in (UNTIL, 200 * MS, 1, 123_456_789):
        want = reference.charge(program, grid, until)
        assert charges(schedule, until) == want


@settings(max_examples=15)
@given(programs(many=True), grids(ticks=(20_000, 50_000)))
def test_the_dose_of_several_areas_leaves_out_dropped_units(program: Program, grid: Grid) -> None:
    schedule = compiled(program, grid)
    for until in (UNTIL, 222_222_222):
        assert charges(schedule, until) == reference.charge(program, grid, until)


def charges(schedule: Schedule, until: int) -> list[dict[int, tuple[int, int]]]:
    return [
        {one.contact: (one.stimulation_ac, one.net_ac) for one in area.contacts}
        for area in schedule.dose(until).areas
    ]


@settings(max_examples=25)
@given(programs(many=True), grids(ticks=(20_000, 50_000)))
def test_a_program_that_drops_a_unit_is_refused_unless_it_says_drop(program: Program, grid: Grid) -> None:
    assume(program.duration_ns is not None)
    compiled(program, grid)
    strict = Program(
        program.name,
        program.therapy,
        program.leads,
        program.areas,
        program.duration_ns,
        interleave_drop=False,
    )
    meanings = reference.place(program, grid, program.duration_ns or 0)
    if any(unit.dropped for meaning in meanings for unit in meaning.units):
        with pytest.raises(ConfigError, match="without a place"):
            compile_program(strict, grid)
    else:
        schedule = compile_program(strict, grid)
        assert not schedule.interleave.dropping
        worst = [
            max([unit.placed - unit.nominal for unit in meaning.units if unit.placed is not None], default=0)
            for meaning in meanings
        ]
        assert [area.worst_shift_ticks for area in schedule.interleave.areas] == worst


def test_recovery_of_the_last_pulse_runs_past_the_end_of_the_program() -> None:
    contacts = (Share("1", -1000), Share("2", 1000))
    slow = area(pulse=Pulse(MS, Recharge.PASSIVE, 10 * MS), train=Train(Fraction(2)), shares=contacts)
    fast = area(pulse=Pulse(MS, Recharge.ACTIVE_SYMMETRIC), train=Train(Fraction(20)), delay_ns=30 * MS)
    both = program(slow, fast, duration_ns=S + 2 * MS)
    grid = Grid.of(20_000, 10_000)
    schedule = compile_program(both, grid)
    rows = rows_of(schedule.events())
    assert rows == reference.rows(both, grid, 2 * S)
    # It begins 10 ms after the pulse at 1 s, 9 ms past the end, and takes 100 ms.
    assert rows[-1][:2] == (S + 11 * MS, 100 * MS)
    assert schedule.silence_ns == S + 112 * MS
