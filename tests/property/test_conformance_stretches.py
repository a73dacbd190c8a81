"""The judge's expectation does not depend on where time is cut, and its arithmetic is exact at any size."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurostim.conformance.commands import read_commands
from neurostim.conformance.currents import floor_scaled
from neurostim.conformance.expectation import Drive, Expectation, Passive, Stretch
from neurostim.conformance.matching import match_equal, match_nearest
from neurostim.conformance.onsets import Train
from neurostim.conformance.reading import GridReading, nearest_ticks, read_program
from support.conformance_programs import benches, programs
from support.wrong_compilers import Bench

SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def expectation(source: dict[str, Any], bench: Bench) -> Expectation:
    grid = GridReading(bench.tick_ns, bench.step_na, bench.guard, bench.recovery_min)
    reading = read_program(source, grid)
    columns = {label: index for index, label in enumerate(reading.contacts)}
    return Expectation(reading, read_commands([], reading), columns)


def joined(pieces: list[Stretch], part: str, kind: type[Drive] | type[Passive]) -> dict[str, Any]:
    return {
        name: np.concatenate([getattr(getattr(piece, part), name) for piece in pieces])
        for name in kind.__dataclass_fields__
    }


@settings(max_examples=25, suppress_health_check=SLOW)
@given(programs(), benches, st.lists(st.integers(0, 300_000_000), min_size=1, max_size=4))
def test_a_stretch_is_the_sum_of_its_parts(source: dict[str, Any], bench: Bench, cuts_ns: list[int]) -> None:
    judge = expectation(source, bench)
    if judge.program.refusals:
        return
    end = 300_000_000 // bench.tick_ns
    edges = [0, *sorted(cut // bench.tick_ns for cut in cuts_ns), end]
    whole = judge.stretch(0, end)
    parts = [judge.stretch(low, high) for low, high in itertools.pairwise(edges)]
    for part, kind in (("drive", Drive), ("passive", Passive)):
        for name, values in joined(parts, part, kind).items():
            assert np.array_equal(values, getattr(getattr(whole, part), name)), (part, name)
    assert whole.dropped == sum(piece.dropped for piece in parts)


@settings(max_examples=20)
@given(programs(), benches, st.integers(0, 5 * 10**14), st.integers(1, 40_000_000))
def test_onsets_at_any_hour_are_those_of_exact_fractions(
    source: dict[str, Any], bench: Bench, low_ns: int, span_ns: int
) -> None:
    endless = {key: value for key, value in source.items() if key != "duration"}
    judge = expectation(endless, bench)
    low, high = low_ns // bench.tick_ns, (low_ns + span_ns) // bench.tick_ns
    for area in judge.program.areas:
        train = Train(area, bench.tick_ns, None)
        found = train.nominal(low, high, 10**6)
        for onset, start, end, unit in zip(found.onset, found.start, found.end, found.unit, strict=True):
            assert low <= onset < high
            assert start <= onset < end
            window = 0 if area.on_ns is None else _window_of(train, int(start))
            k = int(unit) - _units_before(train, window)
            assert onset == start + (k * area.period).__floor__()


def _window_of(train: Train, start: int) -> int:
    assert train.cycle_ns is not None
    guess = (start * train.tick_ns - train.area.delay_ns) // train.cycle_ns
    return next(n for n in (guess, guess + 1) if (train.window(n) or (None,))[0] == start)


def _units_before(train: Train, window: int) -> int:
    """Units of earlier windows, counted by the lengths that occur instead of by a repeating pattern."""
    if train.cycle_ns is None or train.area.on_ns is None:
        return 0
    tick, delay, on = train.tick_ns, train.area.delay_ns, train.area.on_ns
    short = on // tick
    # A window is `short` ticks long, or one more where its start's remainder carries.
    longer = sum_of_floors(window, train.cycle_ns, delay + on, tick) - sum_of_floors(
        window, train.cycle_ns, delay, tick
    )
    longer -= window * short
    return (window - longer) * train.count(short) + longer * train.count(short + 1)


def sum_of_floors(n: int, a: int, b: int, m: int) -> int:
    """Sum over i < n of floor((a i + b) / m), by Euclid's descent."""
    total = 0
    while n:
        total += (n - 1) * n // 2 * (a // m) + n * (b // m)
        a, b = a % m, b % m
        top = a * n + b
        if top < m:
            break
        n, b, m, a = top // m, top % m, a, m
    return total


@given(
    st.integers(1, 10**12),
    st.lists(st.integers(0, 10**17), min_size=1, max_size=20),
    st.integers(1, 10**24),
)
def test_scaled_floors_are_exact_beyond_64_bits(factor: int, numerators: list[int], denominator: int) -> None:
    wanted = [factor * value // denominator for value in numerators]
    if max(wanted) >= 1 << 63:
        return
    found = floor_scaled(factor, np.array(numerators, dtype=np.int64), denominator)
    assert found.tolist() == wanted


@given(st.integers(0, 10**10), st.integers(1, 10**6))
def test_durations_round_to_the_nearest_tick_ties_to_even(time_ns: int, tick_ns: int) -> None:
    wanted = round(Fraction(time_ns, tick_ns))
    assert nearest_ticks(time_ns, tick_ns) == (max(1, wanted) if time_ns else 0)


@given(st.lists(st.integers(0, 60)), st.lists(st.integers(0, 60)), st.integers(0, 5))
def test_a_match_is_near_and_used_once(expected: list[int], found: list[int], reach: int) -> None:
    want = np.array(sorted(set(expected)), dtype=np.int64)
    have = np.array(sorted(found), dtype=np.int64)
    answers = match_nearest(want, np.full(len(want), reach, dtype=np.int64), have)
    used = answers[answers >= 0]
    assert len(set(used.tolist())) == len(used)
    for index, answer in enumerate(answers):
        if answer >= 0:
            gap = abs(int(want[answer]) - int(have[index]))
            assert gap <= reach
            assert gap == min(abs(int(have[index]) - w) for w in want.tolist())
    for value in set(want.tolist()) & set(have.tolist()):
        assert int(np.flatnonzero(want == value)[0]) in used


pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=12)


@given(pairs, pairs)
def test_equal_entries_are_matched_as_often_as_both_hold_them(
    left: list[tuple[int, int]], right: list[tuple[int, int]]
) -> None:
    a = np.array(sorted(left), dtype=np.int64).reshape(-1, 2)
    b = np.array(sorted(right), dtype=np.int64).reshape(-1, 2)
    found = match_equal(a[:, 0], a[:, 1], b[:, 0], b[:, 1])
    hits = found[found >= 0]
    assert len(set(hits.tolist())) == len(hits)
    assert all(tuple(a[i]) == tuple(b[j]) for i, j in enumerate(found) if j >= 0)
    assert len(hits) == sum(min(left.count(item), right.count(item)) for item in set(left))
