"""The judge refuses what it cannot read, all of it at once, with the place."""

from __future__ import annotations

from typing import Any

import pytest

from neurostim.conformance.reading import GridReading, contact_order, read_program
from neurostim.core.errors import ConfigError
from support.conformance_programs import area, program

GRID = GridReading(tick_ns=1000, step_na=50_000, guard=20, recovery_min=400)
PULSE = {"width": "300 us", "recharge": "passive"}


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"amplitude": "2"}, "area[1].amplitude"),
        ({"amplitude": 2}, "area[1].amplitude"),
        ({"amplitude": {"of": "perception", "percent": "60 %", "mark": "a"}}, "area[1].amplitude"),
        ({"contacts": {"3": "-100 %", "5": "+90 %"}}, "area[1].contacts"),
        ({"contacts": {"3": "-100 %"}}, "area[1].contacts"),
        ({"contacts": {"3": "-100 %", "can": "+100 %"}}, "area[1].contacts.can"),
        ({"contacts": {"3": "-100 %", "5": "+99.95 %", "6": "0.05 %"}}, "area[1].contacts.5"),
        ({"contacts": {}}, "area[1].contacts"),
        ({"pulse": {"width": "0 us", "recharge": "passive"}}, "area[1].pulse.width"),
        ({"pulse": {"width": "300 us"}}, "area[1].pulse.recharge"),
        ({"pulse": PULSE | {"recharge": "active"}}, "area[1].pulse.recharge"),
        ({"pulse": PULSE | {"recharge": "passive-after-burst"}}, "area[1].pulse.recharge"),
        ({"pulse": PULSE | {"ratio": 3}}, "area[1].pulse.ratio"),
        ({"pulse": PULSE | {"recharge": "active-asymmetric"}}, "area[1].pulse.ratio"),
        ({"pulse": PULSE | {"recharge": "active-asymmetric", "ratio": True}}, "area[1].pulse.ratio"),
        ({"pulse": PULSE | {"shape": "sine"}}, "area[1].pulse.shape"),
        ({"train": {}}, "area[1].train"),
        ({"train": {"rate": "50 Hz", "interval": "20 ms"}}, "area[1].train"),
        ({"train": {"rate": "0 Hz"}}, "area[1].train"),
        ({"train": {"rate": "50 Hz", "burst": {"pulses": 1, "rate": "500 Hz"}}}, "burst.pulses"),
        ({"train": {"rate": "50 Hz", "burst": {"pulses": 3}}}, "area[1].train"),
        ({"ramp": {"up": "two"}}, "area[1].ramp.up"),
        ({"ramp": "2 s"}, "area[1].ramp"),
        ({"cycle": {"on": "0 s", "off": "1 s"}}, "area[1].cycle.on"),
        ({"cycle": {"on": "1 s"}}, "area[1].cycle.off"),
        ({"priority": "1"}, "area[1].priority"),
        ({"delay": "-1 s"}, "area[1].delay"),
        ({"shape": "custom"}, "area[1].shape"),
    ],
)
def test_what_cannot_be_read_is_named(change: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_program(program(area(**change)), GRID)
    assert any(place in problem.place or problem.place.startswith(place) for problem in caught.value.problems)


@pytest.mark.parametrize(
    "change",
    [
        {"format": "neurostim-program/2"},
        {"duration": 5},
        {"interleave": "yes"},
        {"area": []},
        {"area": [1]},
        {"area": [area()] * 9},
    ],
)
def test_the_top_level_is_read_as_strictly(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cannot read the program"):
        read_program(program(area()) | change, GRID)


def test_all_problems_are_told_at_once() -> None:
    source = program(area(amplitude="2", train={}), area(priority="x"), duration="1 day")
    with pytest.raises(ConfigError) as caught:
        read_program(source, GRID)
    assert len(caught.value.problems) == 4


def test_contact_order_is_numeric_with_the_return_last() -> None:
    labels = ["return", "10", "2", "1.10", "1.9", "2.1"]
    assert sorted(labels, key=contact_order) == ["2", "10", "1.9", "1.10", "2.1", "return"]
    for label in ("", "0", "1.0", "1.2.3", "a", "-1", "1.", "\u0663", "12345"):
        with pytest.raises(ConfigError):
            contact_order(label)


def test_a_width_more_than_a_fifth_off_is_refused_outside_the_bench() -> None:
    coarse = GridReading(tick_ns=50_000, step_na=50_000, guard=1, recovery_min=8)
    fine = program(area(pulse={"width": "260 us", "recharge": "passive"}), therapy="scs")
    assert read_program(fine, coarse).refusals == ()
    off = program(area(pulse={"width": "70 us", "recharge": "passive"}), therapy="scs")
    assert "20 %" in read_program(off, coarse).refusals[0]
    assert read_program(off | {"therapy": "bench"}, coarse).refusals == ()
    gap = program(
        area(pulse={"width": "100 us", "interphase": "10 us", "recharge": "passive"}), therapy="scs"
    )
    assert "interphase" in read_program(gap, coarse).refusals[0]


def test_a_delay_beyond_the_end_is_refused() -> None:
    late = program(area(delay="2 s"), duration="2 s")
    assert "delay" in read_program(late, GRID).refusals[0]


def test_a_phase_keeps_its_charge_in_every_recharge() -> None:
    for pulse in (
        {"width": "101 us", "interphase": "7 us", "recharge": "active-symmetric"},
        {"width": "101 us", "interphase": "7 us", "recharge": "active-asymmetric", "ratio": 7},
        {"width": "101 us", "interphase": "7 us", "recharge": "triphasic"},
    ):
        phases = read_program(program(area(pulse=pulse)), GRID).areas[0].phases
        assert sum(phase.sign * phase.length * 420 // phase.divisor for phase in phases) == 0
