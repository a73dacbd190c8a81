"""Envelope and dense samples against the rows of the event table."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.image import Grid
from neurostim.core.program import Cycle, Program, Pulse, Ramp, Recharge, Train
from neurostim.core.schedule import Schedule
from support.core_programs import HOUR, MS, US, area, grids, microseconds, program, programs

Span = tuple[int, int, int, int]


def driven(schedule: Schedule, start: int, end: int) -> dict[int, list[tuple[int, int, int]]]:
    """Per contact: (begin, end, current) of every driven phase that may reach into [start, end)."""
    found: dict[int, list[tuple[int, int, int]]] = {contact: [] for contact in schedule.contacts}
    before = max(0, start - 400 * MS)
    for block in schedule.events(before, end - before):
        columns = (block.start_ns, block.duration_ns, block.contact, block.kind, block.amplitude_na)
        for begin, length, contact, kind, current in zip(*(one.tolist() for one in columns), strict=True):
            if kind != 2:
                found[contact].append((begin, begin + length, current))
    return found


def slow_envelope(schedule: Schedule, start: int, duration: int, columns: int) -> npt.NDArray[np.int32]:
    """Column by column, from what each phase covers of it."""
    result = np.zeros((len(schedule.contacts), columns, 2), dtype=np.int32)
    edges = [start + i * duration // columns for i in range(columns + 1)]
    for row, spans in enumerate(driven(schedule, start, start + duration + 1).values()):
        for column, (low, high) in enumerate(pairwise(edges)):
            high = max(high, low + 1)  # noqa: PLW2901
            values = []
            covered = 0
            for begin, end, current in spans:
                overlap = min(end, high) - max(begin, low)
                if overlap > 0:
                    values.append(current)
                    covered += overlap
            if covered < high - low:
                values.append(0)
            result[row, column] = (min(values), max(values))
    return result


def compiled(program: Program, grid: Grid) -> Schedule:
    try:
        return compile_program(program, grid)
    except ConfigError:
        assume(False)
        raise


@settings(max_examples=25)
@given(
    programs(),
    grids(),
    st.integers(0, 300 * MS),
    st.one_of(st.integers(1, 150 * MS), st.integers(1, 1000)),
    st.integers(1, 40),
)
def test_the_envelope_of_one_area_misses_nothing(
    program: Program, grid: Grid, start: int, duration: int, columns: int
) -> None:
    schedule = compiled(program, grid)
    got = schedule.envelope(start, duration, columns)
    np.testing.assert_array_equal(got, slow_envelope(schedule, start, duration, columns))


@settings(max_examples=25)
@given(programs(), grids(), st.integers(0, 3), st.integers(200 * MS, 2000 * MS), st.integers(1, 6))
def test_the_envelope_of_wide_columns_takes_units_and_windows_in_closed_form(
    program: Program, grid: Grid, start: int, duration: int, columns: int
) -> None:
    schedule = compiled(program, grid)
    got = schedule.envelope(start * 77_777_777, duration, columns)
    np.testing.assert_array_equal(got, slow_envelope(schedule, start * 77_777_777, duration, columns))


@settings(max_examples=20)
@given(
    programs(many=True),
    grids(ticks=(20_000, 50_000)),
    st.booleans(),
    st.integers(0, 300 * MS),
    st.integers(1, 1500 * MS),
    st.integers(1, 12),
)
def test_the_envelope_of_several_areas_misses_nothing(
    program: Program, grid: Grid, strict: bool, start: int, duration: int, columns: int
) -> None:
    if strict:
        program = Program(
            program.name,
            program.therapy,
            program.leads,
            program.areas,
            program.duration_ns,
            interleave_drop=False,
        )
    schedule = compiled(program, grid)
    got = schedule.envelope(start, duration, columns)
    np.testing.assert_array_equal(got, slow_envelope(schedule, start, duration, columns))


def slow_samples(schedule: Schedule, first: int, samples: int, rate: int) -> npt.NDArray[np.int64]:
    """Phase by phase: onset floored to samples, widths rounded once for all pulses."""
    tick = schedule.image.grid.tick_ns
    result = np.zeros((len(schedule.contacts), samples), dtype=np.int64)
    end_ns = (first + samples) * 10**9 // rate + 1
    begin_ns = max(0, first * 10**9 // rate - 400 * MS)
    for block in schedule.events(begin_ns, end_ns - begin_ns):
        for i in range(len(block)):
            timing = schedule.area_timing(int(block.area[i]))
            if block.kind[i] == 2:
                continue
            # Which phase of its pulse a row is follows from its width and sign against the contact's share.
            share = dict(timing.area.shares)[int(block.contact[i])]
            forward = (int(block.amplitude_na[i]) > 0) == (share > 0)
            ratio = Fraction(rate * tick, 10**9)
            width = round(timing.area.width_ticks * ratio)
            gap = round(timing.area.interphase_ticks * ratio)
            for number, (offset, ticks, sign, _) in enumerate(timing.phases):
                onset = int(block.start_ns[i]) // tick - offset
                if (sign > 0) != forward or ticks * tick != block.duration_ns[i]:
                    continue
                if len(timing.phases) == 3 and number != 1 and not _is_phase(schedule, block, i, number):
                    continue
                at = sum(
                    width * (one // timing.area.width_ticks) + gap for _, one, _, _ in timing.phases[:number]
                )
                begin = onset * tick * rate // 10**9 + at - first
                stop = begin + width * (ticks // timing.area.width_ticks)
                row = schedule.contacts.index(int(block.contact[i]))
                result[row, max(0, begin) : max(0, stop)] += int(block.amplitude_na[i])
                break
    return result


def _is_phase(schedule: Schedule, block: object, row: int, number: int) -> bool:
    """First or third phase of a triphasic pulse: by its distance from the nominal pulse onset."""
    index = int(block.area[row])  # type: ignore[attr-defined]
    start = int(block.start_ns[row])  # type: ignore[attr-defined]
    same = [
        int(other)
        for other, area, unit, pulse in zip(
            block.start_ns,
            block.area,
            block.unit,
            block.pulse,
            strict=True,  # type: ignore[attr-defined]
        )
        if area == index and unit == block.unit[row] and pulse == block.pulse[row]  # type: ignore[attr-defined]
    ]
    return (start == min(same)) == (number == 0)


@settings(max_examples=20)
@given(
    programs(),
    grids(ticks=(1000, 20_000)),
    st.sampled_from((1_000_000, 200_000, 333_333, 48_000)),
    st.integers(0, 9000),
)
def test_samples_are_the_rows_with_quantised_onsets_and_whole_widths(
    program: Program, grid: Grid, rate: int, first: int
) -> None:
    schedule = compiled(program, grid)
    samples = 20_000
    try:
        renderer = schedule.renderer(rate, dtype="float32")
    except ConfigError:
        assume(False)
        return
    out = renderer.buffer(samples)
    renderer.render(first, out)
    assume(len(schedule.image.areas) == 1 and schedule.area_timing(0).phases[-1][1] > 0)
    want = slow_samples(schedule, first, samples, rate) / 1e6
    np.testing.assert_allclose(out, want.astype(np.float32), rtol=1e-6)


@settings(max_examples=25)
@given(
    st.one_of(programs(), programs(many=True)),
    grids(ticks=(20_000, 50_000)),
    st.lists(st.integers(1, 30_000), min_size=1, max_size=5),
    st.integers(0, 10),
)
def test_any_partition_into_blocks_gives_identical_bytes(
    program: Program, grid: Grid, sizes: list[int], hours: int
) -> None:
    schedule = compiled(program, grid)
    rate = 100_000
    try:
        renderer = schedule.renderer(rate, dtype="float32")
    except ConfigError:
        assume(False)
        return
    first = renderer.first_sample(hours * HOUR + 777 * US)
    whole = renderer.buffer(sum(sizes))
    renderer.render(first, whole)
    parts = []
    for size in sizes:
        part = schedule.render(-(-first * 10**9 // rate), size, rate, dtype="float32")
        parts.append(part)
        first += size
    assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()


@pytest.mark.parametrize("cycle", [None, Cycle(100 * MS, 1_050_000), Cycle(110 * MS + 50 * US, 7 * US)])
@pytest.mark.parametrize(
    ("first", "samples"), [(0, 60_000), (250_050, 33_333), (250_001, 16_384), (999_981, 50_021)]
)
@pytest.mark.parametrize("ramp", [Ramp(0, 0), Ramp(20 * MS, 10 * MS)])
def test_long_stretches_of_even_pulses_are_those_of_the_rows(
    ramp: Ramp, cycle: Cycle | None, first: int, samples: int
) -> None:
    even = area(
        pulse=Pulse(30 * US, Recharge.ACTIVE_SYMMETRIC, 20 * US),
        train=Train(Fraction(10_000)),
        ramp=ramp,
        cycle=cycle,
    )
    schedule = compile_program(program(even), microseconds())
    renderer = schedule.renderer(1_000_000, dtype="float32")
    out = renderer.buffer(samples)
    out[:] = np.nan
    renderer.render(first, out)
    want = slow_samples(schedule, first, samples, 1_000_000) / 1e6
    np.testing.assert_allclose(out, want.astype(np.float32), rtol=1e-6)


def test_a_rendered_active_pulse_is_as_balanced_as_the_pulse() -> None:
    odd = area(pulse=Pulse(30_500, Recharge.ACTIVE_SYMMETRIC, 20 * US), train=Train(Fraction(2401, 2)))
    grid = Grid.of(500, microseconds().step_na)
    samples = compile_program(program(odd), grid).render(23 * HOUR, 100_000, 1_000_000)
    starts = np.flatnonzero((samples[0, 1:] < 0) & (samples[0, :-1] == 0)) + 1
    assert len(starts) > 100
    for start in starts[1:-1]:
        assert samples[0, start : start + 120].sum() == 0


def test_int16_samples_that_cannot_hold_the_current_are_refused() -> None:
    schedule = compile_program(program(area(amplitude=40_000_000)), Grid.of(1000, 1000))
    with pytest.raises(ConfigError, match="do not fit int16"):
        schedule.render(0, 10, 1_000_000)
    with pytest.raises(ConfigError, match="Render at a higher sample rate"):
        schedule.render(0, 10, 1_000, dtype="float32")
    with pytest.raises(ConfigError, match="divides the amplitude step"):
        schedule.render(0, 10, 1_000_000, unit_na=3)
