"""Placing areas against each other, rule 8, worked out by hand on 1 us ticks with a guard of 20 us."""

from __future__ import annotations

from fractions import Fraction

import pytest

from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.program import Area, Burst, Cycle, Pulse, Recharge, Train
from neurostim.core.schedule import Schedule
from support.core_programs import MS, US, S, area, microseconds, program

ACTIVE = Recharge.ACTIVE_SYMMETRIC


def compiled(*areas: Area, drop: bool = False, duration_ns: int | None = None) -> Schedule:
    return compile_program(program(*areas, interleave_drop=drop, duration_ns=duration_ns), microseconds())


def onsets(schedule: Schedule, index: int, until: int) -> list[int]:
    """First onsets of the units of an area [us]."""
    found = []
    for block in schedule.events(0, until):
        first = (block.area == index) & (block.kind == 0) & (block.pulse == 0) & (block.contact == 3)
        found.extend((block.start_ns[first] // 1000).tolist())
    return found


def blocker(half_us: int, **changes: object) -> Area:
    """10 Hz, symmetric: drives for twice ``half_us``."""
    return area(pulse=Pulse(half_us * US, ACTIVE), train=Train(Fraction(10)), **changes)


def test_a_unit_waits_for_the_guard_and_no_longer() -> None:
    schedule = compiled(blocker(100), area(pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(100))))
    # The blocker ends at 200; 220 keeps the guard. The next are free.
    assert onsets(schedule, 1, 25 * MS) == [220, 10_000, 20_000]
    assert onsets(schedule, 0, 150 * MS) == [0, 100_000]
    assert [one.worst_shift_ticks for one in schedule.interleave.areas] == [0, 220]
    assert schedule.interleave.proof == "hyperperiod"


@pytest.mark.parametrize(
    ("delay_us", "place"), [(0, 220), (219, 220), (220, 220), (99_880, 99_880), (99_881, 100_220)]
)
def test_the_guard_holds_on_both_sides(delay_us: int, place: int) -> None:
    # 100 us long: up to 99 880 it ends 20 us before the blocker at 100 000.
    late = area(pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(10)), delay_ns=delay_us * US)
    assert onsets(compiled(blocker(100), late), 1, 101 * MS)[0] == place


def test_the_lower_priority_number_stays_and_file_order_breaks_ties() -> None:
    first, second = blocker(100), area(pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(10)))
    assert onsets(compiled(first, second), 1, MS) == [220]
    yielding = area(pulse=first.pulse, train=first.train, priority=2, name="low")
    schedule = compiled(yielding, second)
    assert (onsets(schedule, 0, MS), onsets(schedule, 1, MS)) == ([120], [0])


@pytest.mark.parametrize(("half_us", "kept"), [(115, True), (116, False)])
def test_a_move_of_a_quarter_of_the_interval_is_the_most(half_us: int, kept: bool) -> None:
    # Interval 1000: at most 250, that is a blocker of 230.
    yielding = area(pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(1000)))
    schedule = compiled(blocker(half_us), yielding, drop=True)
    assert onsets(schedule, 1, 2500 * US) == ([250] if kept else []) + [1000, 2000]
    assert (schedule.interleave.areas[1].dropped == 0) == kept


@pytest.mark.parametrize(("half_us", "kept"), [(65, True), (66, False)])
def test_recovery_must_end_before_the_areas_own_next_onset(half_us: int, kept: bool) -> None:
    # O = 200 + 250 + 400 = 850 of 1000: at most 150, that is a blocker of 130.
    yielding = area(pulse=Pulse(200 * US, Recharge.PASSIVE, 250 * US), train=Train(Fraction(1000)))
    schedule = compiled(blocker(half_us), yielding, drop=True)
    assert onsets(schedule, 1, 2500 * US) == ([150] if kept else []) + [1000, 2000]
    if not kept:
        with pytest.raises(ConfigError, match="without a place"):
            compiled(blocker(half_us), yielding)


@pytest.mark.parametrize(("on_us", "kept"), [(100_320, True), (100_319, False)])
def test_a_moved_unit_still_ends_in_its_window(on_us: int, kept: bool) -> None:
    # The unit at 100 000 moves to 100 220 and drives until 100 320.
    yielding = area(
        pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(10)), cycle=Cycle(on_us * US, S - on_us * US)
    )
    schedule = compiled(blocker(100), yielding, drop=True, duration_ns=S)
    assert onsets(schedule, 1, S) == [220] + ([100_220] if kept else [])


def test_a_burst_recovered_at_its_end_is_one_occupancy_and_others_are_not() -> None:
    pulses = Burst(3, Fraction(1000))
    between = area(pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(10)), delay_ns=500 * US)
    open_burst = area(pulse=Pulse(100 * US, ACTIVE), train=Train(Fraction(10), pulses))
    assert onsets(compiled(open_burst, between), 1, 50 * MS) == [500]
    closed = area(pulse=Pulse(100 * US, Recharge.PASSIVE_AFTER_BURST), train=Train(Fraction(10), pulses))
    # 2000 + 100 + 400, and the guard.
    assert onsets(compiled(closed, between), 1, 50 * MS) == [2520]


def test_a_burst_moves_as_a_whole_until_each_pulse_is_free() -> None:
    obstacle = area(pulse=Pulse(100 * US, ACTIVE), train=Train(Fraction(10)), delay_ns=1050 * US)
    burst = area(pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(10), Burst(3, Fraction(1000))))
    schedule = compiled(obstacle, burst)
    # Its second pulse at 1000 meets [1050, 1250): all of it moves by 270.
    assert onsets(schedule, 1, 50 * MS) == [270]


def test_a_unit_of_no_current_keeps_its_place() -> None:
    schedule = compiled(
        blocker(100, amplitude=0), area(pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(10)))
    )
    assert onsets(schedule, 0, MS) == []
    assert onsets(schedule, 1, MS) == [220]


def test_a_third_area_yields_to_the_places_of_both_before_it() -> None:
    second = area(pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(10)))
    third = area(pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(10)))
    schedule = compiled(blocker(100), second, third)
    assert [onsets(schedule, index, MS) for index in range(3)] == [[0], [220], [340]]


def test_hour_23_is_placed_without_what_came_before() -> None:
    yielding = area(pulse=Pulse(50 * US, ACTIVE), train=Train(Fraction(2401, 20)))
    schedule = compiled(blocker(100), yielding, drop=True)
    hour = 23 * 3600 * S
    late = list(schedule.events(hour, S))
    whole = list(schedule.events(hour - S, 2 * S))
    rows = [int(start) for block in whole for start in block.start_ns if start >= hour]
    assert rows == [int(start) for block in late for start in block.start_ns]
