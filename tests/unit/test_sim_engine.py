"""The simulator's pulse engine against the compiled schedule, and its closed form against pulse by pulse."""

from __future__ import annotations

import tomllib
from importlib import resources

import numpy as np
import pytest

from neurostim.core.hardware import Port, PortKind
from neurostim.core.image import Grid, ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim.core.schedule import Schedule
from neurostim.electrode.library import lead
from neurostim_sim.engine import PulseEngine
from neurostim_sim.engine.closed import floor_sum
from neurostim_sim.engine.levels import share_out
from neurostim_sim.tissue import OutputPhysics, tissue_of

GRID = Grid.of(1000, 10_000)
PHYSICS = OutputPhysics(18.0, 500.0, 4000.0, 100.0)


def area(**changes: object) -> ImageArea:
    values: dict[str, object] = {
        "amplitude_na": 3_000_000,
        "shares": ((3, -700), (4, -300), (5, 1000)),
        "width_ticks": 300,
        "interphase_ticks": 100,
        "recharge": Recharge.PASSIVE,
        "ratio": 1,
        "period_num": 10**12,
        "period_den": 47_667,
        "burst_pulses": 1,
        "burst_period_num": 0,
        "burst_period_den": 1,
        "ramp_up_ns": 500_000_000,
        "ramp_down_ns": 500_000_000,
        "delay_ns": 0,
        "on_ns": 0,
        "off_ns": 0,
        "priority": 1,
    }
    return ImageArea(**{**values, **changes})  # type: ignore[arg-type]


BURST = {
    "recharge": Recharge.PASSIVE_AFTER_BURST,
    "period_num": 25_000_000,
    "period_den": 1,
    "burst_pulses": 5,
    "burst_period_num": 2_000_000,
    "burst_period_den": 1,
    "width_ticks": 1000,
}
CASES = {
    "tonic": (area(),),
    "burst": (area(**BURST),),
    "active": (area(recharge=Recharge.ACTIVE_SYMMETRIC, width_ticks=30, period_num=10**9, period_den=1201),),
    "asymmetric": (area(recharge=Recharge.ACTIVE_ASYMMETRIC, ratio=4, width_ticks=60),),
    "triphasic": (area(recharge=Recharge.TRIPHASIC),),
    "cycled": (area(on_ns=700_000_333, off_ns=100_000_111),),
    "two": (area(), area(period_num=10**9, period_den=61, priority=2)),
    "three": (
        area(period_num=10**8, period_den=3),
        area(**{**BURST, "period_num": 10**9, "period_den": 7}, priority=2),
        area(priority=3, delay_ns=123_456_789),
    ),
}


def image_of(areas: tuple[ImageArea, ...], duration_ns: int = 0) -> ProgramImage:
    return ProgramImage(GRID, areas, duration_ns, True, False)


def engine(image: ProgramImage, **options: bool) -> PulseEngine:
    return PulseEngine(image, tissue_of((Port(PortKind.SCS, 1, 8),), [lead("octrode")]), PHYSICS, **options)


def rows_of(one: PulseEngine) -> set[tuple[int, ...]]:
    return {tuple(row[:8]) for row in one.take_rows().tolist()}


@pytest.mark.parametrize("name", CASES)
def test_every_row_is_that_of_the_schedule(name: str) -> None:
    image = image_of(CASES[name], 4_000_000_000)
    device = engine(image, record=True)
    device.advance(4_300_000)
    made = rows_of(device)
    expected = set()
    for block in Schedule.from_image(image).events(0, 4_300_000_000):
        columns = (
            block.start_ns // 1000,
            block.duration_ns // 1000,
            block.contact,
            block.kind,
            block.amplitude_na,
            block.area,
            block.unit,
            block.pulse,
        )
        expected |= set(zip(*(np.asarray(c).tolist() for c in columns), strict=True))
    assert made == expected
    assert made


@pytest.mark.parametrize("step", [1, 997, 40_000])
def test_time_in_pieces_gives_the_same_rows(step: int) -> None:
    image = image_of(CASES["three"])
    whole, pieces = engine(image, record=True), engine(image, record=True)
    end = 1_000 if step == 1 else 900_000
    whole.advance(end)
    for now in range(step, end + 1, step):
        pieces.advance(now)
    pieces.advance(end)
    assert rows_of(whole) == rows_of(pieces)


@pytest.mark.parametrize("name", ["tonic", "burst", "active", "asymmetric", "triphasic", "cycled"])
def test_closed_form_equals_pulse_by_pulse(name: str) -> None:
    image = image_of(CASES[name], 60_000_000_000)
    for end in (7_654_321, 60_000_000):
        closed, pulses = engine(image), engine(image, closed_form=False)
        closed.advance(end)
        pulses.advance(end)
        for contact, one in pulses.totals().contacts.items():
            other = closed.totals().contacts[contact]
            exact = (one.pulses, one.cathodic_ac, one.anodic_ac)
            assert exact == (other.pulses, other.cathodic_ac, other.anodic_ac)
            assert other.recovered_ac == pytest.approx(one.recovered_ac, rel=1e-4, abs=1e10)
        assert closed.totals().areas == pulses.totals().areas


@pytest.mark.hazard("open-short")
def test_an_open_contact_zeroes_its_area_after_three_pulses_and_gives_nothing_to_others() -> None:
    image = image_of((area(ramp_up_ns=0),))
    tissue = tissue_of((Port(PortKind.SCS, 1, 8),), [lead("octrode")])
    tissue.contacts[4].is_open = True
    device = PulseEngine(image, tissue, PHYSICS, record=True)
    [event] = [one for one in device.advance(2_000_000) if one.name == "open"]
    driven = [row for row in device.take_rows().tolist() if row[3] == 0]
    assert event.contact == 4
    assert device.zeroed(0)
    assert len({row[6] for row in driven}) <= 3
    assert all(abs(row[4]) < 100_000 for row in driven)


def test_an_emergency_cuts_the_pulse_and_shorts_every_contact_for_100_ms() -> None:
    device = engine(image_of((area(ramp_up_ns=0, period_num=10**7, period_den=1),)), record=True)
    device.emergency(20_150)
    device.advance(120_170)
    rows = device.take_rows().tolist()
    assert {row[1] for row in rows if row[0] == 20_000} == {150}
    assert [(row[0], row[1]) for row in rows if row[6] == -1] == [(20_170, 100_000)] * 3
    assert device.totals().contacts[5].anodic_ac == 3_000_000 * 1000 * (300 + 300 + 150)


@pytest.mark.parametrize("amplitude", [0, 10_000, 123_456, 3_000_000, 25_500_000])
def test_shares_sum_to_zero_and_never_exceed_the_amplitude(amplitude: int) -> None:
    currents = share_out(amplitude, 2, 3, ((1, -333), (2, -667), (3, 501), (4, 499)), 10_000)
    assert sum(currents) == 0
    assert sum(map(abs, currents)) // 2 <= amplitude


def test_floor_sum_is_the_sum() -> None:
    for count, divisor, factor, offset in ((0, 7, 3, 2), (10, 7, 3, 2), (1000, 1000, 800_000_444, 123)):
        assert floor_sum(count, divisor, factor, offset) == sum(
            (factor * i + offset) // divisor for i in range(count)
        )


def test_profiles_have_the_numbers_of_the_safety_gate() -> None:
    mine = resources.files("neurostim_sim").joinpath("profiles.toml").read_text(encoding="utf-8")
    theirs = resources.files("neurostim.safety").joinpath("profiles.toml").read_text(encoding="utf-8")
    assert tomllib.loads(mine) == tomllib.loads(theirs)
