"""Compiling: what the grid changes is told, and every problem is told at once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.image import Grid, ImageArea, ProgramImage
from neurostim.core.program import (
    Burst,
    Cycle,
    Program,
    Pulse,
    Ramp,
    Recharge,
    RelativeAmplitude,
    Share,
    Train,
)
from neurostim.core.schedule import Schedule
from support.core_programs import BIPOLE, DAY, HOUR, MS, US, S, area, microseconds, program

CLINICAL = {"therapy": "scs"}


def problems(bad: Program, grid: Grid | None = None, index: dict[str, int] | None = None) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        compile_program(bad, grid or microseconds(), index)
    return {problem.place: problem.found for problem in caught.value.problems}


def test_the_image_of_burstdr_is_that_worked_out_by_hand() -> None:
    burst = area(
        amplitude=1_500_000,
        pulse=Pulse(MS, Recharge.PASSIVE_AFTER_BURST, 100 * US),
        train=Train(Fraction(40), Burst(5, Fraction(500))),
        ramp=Ramp(),
        cycle=Cycle(30 * S, 90 * S),
    )
    schedule = compile_program(
        program(burst, therapy="scs", duration_ns=20 * 60 * S), Grid.of(20_000, 50_000)
    )
    assert schedule.image == ProgramImage(
        grid=Grid(20_000, 50_000, 1, 20),
        areas=(
            ImageArea(
                amplitude_na=1_500_000,
                shares=((3, -1000), (5, 1000)),
                width_ticks=50,
                interphase_ticks=5,
                recharge=Recharge.PASSIVE_AFTER_BURST,
                ratio=1,
                period_num=25_000_000,
                period_den=1,
                burst_pulses=5,
                burst_period_num=2_000_000,
                burst_period_den=1,
                ramp_up_ns=2 * S,
                ramp_down_ns=S,
                delay_ns=0,
                on_ns=30 * S,
                off_ns=90 * S,
                priority=1,
            ),
        ),
        duration_ns=1200 * S,
        interleave_drop=False,
        bench=False,
    )
    assert schedule.adjustments == ()
    timing = schedule.area_timing(0)
    # L = 50; O = L but for the last, + 5 + 20; four spacings of 100.
    assert (timing.pulse_length, timing.occupancy, timing.last_occupancy) == (50, 50, 75)
    assert (timing.interval, timing.unit_length, timing.unit_occupancy) == (1250, 450, 475)


@pytest.mark.parametrize(
    ("recharge", "ratio", "length", "occupancy"),
    [
        (Recharge.PASSIVE, 1, 200, 650),
        (Recharge.NONE, 1, 200, 200),
        (Recharge.ACTIVE_SYMMETRIC, 1, 450, 450),
        (Recharge.ACTIVE_ASYMMETRIC, 5, 1250, 1250),
        (Recharge.TRIPHASIC, 1, 900, 900),
    ],
)
def test_length_and_occupancy_of_each_kind_of_pulse(
    recharge: Recharge, ratio: int, length: int, occupancy: int
) -> None:
    one = area(pulse=Pulse(200 * US, recharge, 50 * US, ratio))
    timing = compile_program(program(one), microseconds()).area_timing(0)
    assert (timing.pulse_length, timing.last_occupancy) == (length, occupancy)


def test_what_the_grid_changes_is_listed_as_asked_and_given() -> None:
    one = area(amplitude=1_234_000, pulse=Pulse(310 * US, Recharge.PASSIVE, 50 * US))
    schedule = compile_program(
        program(one, **CLINICAL, areas=(replace(one, ramp=Ramp()),)), Grid.of(20_000, 50_000)
    )
    listed = {one.place: (one.asked, one.given, one.unit) for one in schedule.adjustments}
    assert listed == {
        # 15.5 ticks: ties to even, 16. 2.5 ticks: 2.
        "area[1].pulse.width": (310_000, 320_000, "ns"),
        "area[1].pulse.interphase": (50_000, 40_000, "ns"),
        "area[1].contacts.3": (-1_234_000, -1_200_000, "nA"),
        "area[1].contacts.5": (1_234_000, 1_200_000, "nA"),
    }
    assert schedule.adjustments[0].relative == Fraction(1, 31)


def test_a_width_further_than_a_fifth_off_is_refused_outside_bench() -> None:
    one = area(pulse=Pulse(24_900, Recharge.ACTIVE_SYMMETRIC), ramp=Ramp())
    grid = Grid.of(20_000, 10_000)
    assert compile_program(program(one, **CLINICAL), grid).image.areas[0].width_ticks == 1
    off = replace(one, pulse=Pulse(25_100, Recharge.ACTIVE_SYMMETRIC))
    assert "area[1].pulse.width" in problems(program(off, **CLINICAL), grid)
    assert compile_program(program(off), grid).image.areas[0].width_ticks == 1


def test_a_time_shorter_than_half_a_tick_is_one_tick() -> None:
    one = area(pulse=Pulse(US, Recharge.ACTIVE_SYMMETRIC, US))
    image = compile_program(program(one), Grid.of(50_000, 10_000)).image
    assert (image.areas[0].width_ticks, image.areas[0].interphase_ticks) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"amplitude": 150_000_001}, "area[1].amplitude"),
        ({"amplitude": -1}, "area[1].amplitude"),
        ({"amplitude": RelativeAmplitude("perception", 600, "ID")}, "area[1].amplitude"),
        ({"pulse": Pulse(999, Recharge.PASSIVE)}, "area[1].pulse.width"),
        ({"pulse": Pulse(10 * MS + 1, Recharge.PASSIVE)}, "area[1].pulse.width"),
        ({"pulse": Pulse(US, Recharge.PASSIVE, 10 * MS + 1)}, "area[1].pulse.interphase"),
        ({"pulse": Pulse(US, Recharge.ACTIVE_ASYMMETRIC, 0, 21)}, "area[1].pulse.ratio"),
        ({"pulse": Pulse(US, Recharge.ACTIVE_ASYMMETRIC, 0, 1)}, "area[1].pulse.ratio"),
        ({"pulse": Pulse(US, Recharge.PASSIVE, 0, 3)}, "area[1].pulse.ratio"),
        ({"pulse": Pulse(MS, Recharge.PASSIVE_AFTER_BURST)}, "area[1].pulse.recharge"),
        ({"train": Train(Fraction(1, 1001))}, "area[1].train.rate"),
        ({"train": Train(Fraction(20_001))}, "area[1].train.rate"),
        ({"train": Train(Fraction(10001, 10_000))}, "area[1].train.rate"),
        ({"train": Train(Fraction(S, 49_999), from_interval=True)}, "area[1].train.interval"),
        ({"train": Train(Fraction(S, 1001 * S), from_interval=True)}, "area[1].train.interval"),
        ({"train": Train(Fraction(1), Burst(1001, Fraction(2000)))}, "area[1].train.burst.pulses"),
        ({"train": Train(Fraction(1), Burst(1, Fraction(2000)))}, "area[1].train.burst.pulses"),
        ({"train": Train(Fraction(1), Burst(2, Fraction(20_001)))}, "area[1].train.burst.rate"),
        (
            {"train": Train(Fraction(1), Burst(2, Fraction(S, 49_999), from_interval=True))},
            "area[1].train.burst.interval",
        ),
        ({"ramp": Ramp(60 * S + 1, S)}, "area[1].ramp.up"),
        ({"ramp": Ramp(S, 60 * S + 1)}, "area[1].ramp.down"),
        ({"cycle": Cycle(100 * MS - 1, S)}, "area[1].cycle.on"),
        ({"cycle": Cycle(DAY + 1, S)}, "area[1].cycle.on"),
        ({"cycle": Cycle(S, DAY + 1)}, "area[1].cycle.off"),
        ({"delay_ns": 60 * S + 1}, "area[1].delay"),
        ({"priority": 256}, "area[1].priority"),
        ({"shares": (Share("3", -1000), Share("5", 999))}, "area[1].contacts"),
        ({"shares": (Share("3", -1000), Share("33", 1000))}, "area[1].contacts"),
        ({"shares": (Share("3", -1000), Share("1.5", 1000))}, "area[1].contacts"),
        # Rule 3: what does not fit its interval.
        ({"train": Train(Fraction(1000)), "pulse": Pulse(601 * US, Recharge.PASSIVE)}, "area[1].train"),
        (
            {
                "train": Train(Fraction(40), Burst(5, Fraction(500))),
                "pulse": Pulse(1601 * US, Recharge.PASSIVE),
            },
            "area[1].train.burst",
        ),
        # 0.1 s of 10 Hz and a passive pulse at 99.9..: the next window starts too soon.
        (
            {"train": Train(Fraction(S, 99_600_000), from_interval=True), "cycle": Cycle(100 * MS, 0)},
            "area[1].cycle",
        ),
    ],
)
def test_what_the_format_cannot_say_is_refused_with_its_place(changes: dict[str, Any], place: str) -> None:
    assert place in problems(program(area(**changes)))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"areas": ()}, "area"),
        ({"areas": tuple(area(name=str(n)) for n in range(9))}, "area"),
        ({"areas": (area(name="a"), area(name="a"))}, "area.name"),
        ({"duration_ns": 365 * DAY + 1}, "duration"),
        ({"duration_ns": 0}, "duration"),
        ({"duration_ns": MS, "areas": (area(delay_ns=MS),)}, "area[1].delay"),
        ({"therapy": "magic"}, "therapy"),
        ({"leads": ("octrode", "octrode")}, "lead"),
        ({"therapy": "scs", "areas": (area(pulse=Pulse(US, Recharge.NONE)),)}, "area[1].pulse.recharge"),
        ({"therapy": "scs", "areas": (area(ramp=Ramp(0, S)),)}, "area[1].ramp.up"),
        ({"therapy": "scs", "areas": (area(ramp=Ramp(S, 0)),)}, "area[1].ramp.down"),
    ],
)
def test_what_a_program_cannot_be_is_refused_with_its_place(changes: dict[str, Any], place: str) -> None:
    assert place in problems(replace(program(), **changes))


def test_all_problems_of_all_areas_come_at_once() -> None:
    both = (
        area(amplitude=10**9, pulse=Pulse(10, Recharge.PASSIVE), delay_ns=2 * S, name="x"),
        area(
            ramp=Ramp(61 * S, 0),
            shares=(Share("3", -1000), Share("zz", 1000)),
            train=Train(Fraction(0)),
            name="x",
        ),
        area(ramp=Ramp(61 * S, 0), shares=(Share("3", -1000),), name="y"),
    )
    found = problems(program(therapy="scs", duration_ns=S, areas=both), Grid(1000, 1000, 20, -1))
    assert set(found) == {
        "grid",
        "area.name",
        "area[1].amplitude",
        "area[1].pulse.width",
        "area[1].delay",
        "area[1].ramp.up",
        "area[1].ramp.down",
        "area[2].train.rate",
        "area[2].contacts",
        "area[3].ramp.up",
        "area[3].ramp.down",
        "area[3].contacts",
    }


@pytest.mark.parametrize(
    "grid",
    [
        Grid(0, 1, 0, 0),
        Grid(1_000_001, 1, 0, 0),
        Grid(1000, 0, 0, 0),
        Grid(1000, 1, -1, 0),
        Grid(1000, 1, 10_001, 0),
    ],
)
def test_a_grid_no_device_can_have_is_refused(grid: Grid) -> None:
    assert any(place.startswith("grid") for place in problems(program(), grid))


def test_labels_reach_device_contacts_through_the_map_and_back() -> None:
    split = (Share("1.3", -1000), Share("2.5", 400), Share("return", 600))
    two = program(area(shares=split), leads=("octrode", "octrode"))
    schedule = compile_program(two, microseconds(), {"1.3": 3, "2.5": 13, "return": 255})
    assert schedule.contacts == (3, 13, 255)
    assert schedule.labels == {3: "1.3", 13: "2.5", 255: "return"}
    assert "area[1].contacts" in problems(two, index={"1.3": 3, "2.5": 13})
    assert "contacts" in problems(two, index={"1.3": 3, "2.5": 3, "return": 255})


def test_an_image_alone_gives_the_same_schedule_or_the_same_refusal() -> None:
    schedule = compile_program(program(area(), duration_ns=HOUR), microseconds())
    again = Schedule.from_image(schedule.image)
    assert again.dose() == schedule.dose()
    assert [len(block) for block in again.events(0, S)] == [len(block) for block in schedule.events(0, S)]
    wide = replace(schedule.image.areas[0], width_ticks=9_601, period_num=10 * MS)
    with pytest.raises(ConfigError, match=r"area\[1\]\.train"):
        Schedule.from_image(replace(schedule.image, areas=(wide,)))
    backwards = replace(wide, width_ticks=300, shares=((5, 1000), (3, -1000)))
    with pytest.raises(ConfigError, match="in ascending order"):
        Schedule.from_image(replace(schedule.image, areas=(backwards,)))
    with pytest.raises(ConfigError, match="a period of"):
        Schedule.from_image(replace(schedule.image, areas=(replace(wide, width_ticks=300, period_num=0),)))


def test_a_burst_spaced_by_an_interval_needs_no_short_decimal_rate() -> None:
    spaced = Train(Fraction(40), Burst(3, Fraction(S, 1_700_001), from_interval=True))
    image = compile_program(program(area(train=spaced)), microseconds()).image
    assert (image.areas[0].burst_period_num, image.areas[0].burst_period_den) == (1_700_001, 1)


def test_areas_that_cannot_meet_without_a_drop_are_refused_with_the_loss() -> None:
    first = area(pulse=Pulse(300 * US, Recharge.PASSIVE), train=Train(Fraction(50)))
    second = area(shares=BIPOLE, pulse=Pulse(300 * US, Recharge.PASSIVE), train=Train(Fraction(500)))
    with pytest.raises(ConfigError, match=r"'area 2' \d+ of \d+"):
        compile_program(program(first, second), microseconds())
    schedule = compile_program(program(first, second, interleave_drop=True), microseconds())
    assert schedule.interleave.dropping
    assert schedule.interleave.proof == "hyperperiod"
    # 2 ms interval, 0.5 ms allowed; the pulse at the other's onset must wait 720 us.
    assert schedule.interleave.areas[1].share_dropped > 0


def test_a_hyperperiod_too_long_to_place_is_proven_by_a_bound_or_refused() -> None:
    first = area(
        pulse=Pulse(100 * US, Recharge.ACTIVE_SYMMETRIC),
        train=Train(Fraction(S, 25_000_019), from_interval=True),
    )
    second = area(
        pulse=Pulse(90 * US, Recharge.ACTIVE_SYMMETRIC),
        train=Train(Fraction(S, 33_333_317), from_interval=True),
    )
    schedule = compile_program(program(first, second), microseconds())
    assert schedule.interleave.proof == "bound"
    # It meets at most one unit of 200 us while 180 us long itself, with a guard of 20 us either side.
    assert schedule.interleave.areas[1].worst_shift_ticks == 200 + 180 + 2 * 20
    crowded = replace(second, train=Train(Fraction(S, 833_323), from_interval=True))
    with pytest.raises(ConfigError, match="cannot be proven"):
        compile_program(program(first, crowded), microseconds())


def test_compiling_and_dosing_one_area_needs_no_compiler_of_kernels() -> None:
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import neurostim.core.units, neurostim.core.errors, neurostim.core.program\n"
        "assert not {'numpy', 'numba'} & set(sys.modules)\n"
        "from neurostim.core.compile import compile_program\n"
        "from neurostim.core.image import Grid\n"
        "from neurostim.core.program import *\n"
        "from fractions import Fraction as F\n"
        "bipole, pulse = (Share('1', -1000), Share('2', 1000)), Pulse(10**5, Recharge.PASSIVE)\n"
        "one = Area('a', 10**6, bipole, pulse, Train(F(50)))\n"
        "schedule = compile_program(Program('x', 'scs', ('octrode',), (one,)), Grid.of(1000, 1000))\n"
        "assert schedule.dose(10**15).stimulation_ac > 0\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
