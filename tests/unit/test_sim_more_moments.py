"""Control events of the pulse engine that meet a pulse, a burst or each other at an awkward moment."""

from __future__ import annotations

import numpy as np
import pytest

from neurostim.core.image import Grid, ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim_sim.engine import PulseEngine
from neurostim_sim.tissue import OutputPhysics
from support.conformance_engine import PHYSICS, bench_tissue

GRID = Grid.of(1000, 10_000)
RAIL_18_V = OutputPhysics(18.0, 500.0, 4000.0, 100.0)


def image(**changes: object) -> ProgramImage:
    values: dict[str, object] = {
        "amplitude_na": 3_000_000,
        "shares": ((3, -700), (4, -300), (5, 1000)),
        "width_ticks": 300,
        "interphase_ticks": 100,
        "recharge": Recharge.PASSIVE,
        "ratio": 1,
        "period_num": 10_000_000,
        "period_den": 1,
        "burst_pulses": 1,
        "burst_period_num": 0,
        "burst_period_den": 1,
        "ramp_up_ns": 0,
        "ramp_down_ns": 0,
        "delay_ns": 0,
        "on_ns": 0,
        "off_ns": 0,
        "priority": 1,
    }
    return ProgramImage(GRID, (ImageArea(**{**values, **changes}),), 0, True, False)  # type: ignore[arg-type]


BURST = {
    "recharge": Recharge.PASSIVE_AFTER_BURST,
    "period_num": 25_000_000,
    "burst_pulses": 5,
    "burst_period_num": 2_000_000,
}


def engine(one: ProgramImage, physics: OutputPhysics = PHYSICS, *, record: bool = True) -> PulseEngine:
    return PulseEngine(one, bench_tissue(), physics, record=record)


def rows_of(device: PulseEngine, kind: int) -> list[tuple[int, ...]]:
    return [tuple(row[:3]) for row in device.take_rows().tolist() if row[3] == kind]


def same_state(one: PulseEngine, other: PulseEngine) -> None:
    assert one.totals() == other.totals()
    assert one.voltages() == pytest.approx(other.voltages(), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("end", ["emergency", "power_lost"])
@pytest.mark.parametrize("before", ["set_amplitude", "soft_stop", "stop", "refresh"])
def test_a_pulse_that_a_command_found_begun_is_cut_all_the_same(end: str, before: str, record: bool) -> None:
    plain, other = engine(image(), record=record), engine(image(), record=record)
    match before:
        case "set_amplitude":
            other.set_amplitude(0, 2_000_000, 20_050)
        case "refresh":
            other.refresh(PHYSICS, 20_050)
        case _:
            getattr(other, before)(20_050)
    for device in (plain, other):
        getattr(device, end)(20_150)
        device.advance(200_000)
    same_state(plain, other)
    assert plain.totals().contacts[5].anodic_ac == 3_000_000 * 1000 * (300 + 300 + 150)
    if record:
        rows = [device.take_rows() for device in (plain, other)]
        np.testing.assert_array_equal(*[one[np.lexsort(one.T)] for one in rows])
        assert (rows[0][:, 0] + rows[0][:, 1]).max() == (20_150 if end == "power_lost" else 120_170)


def test_the_pulse_under_way_is_not_quiet_until_it_has_ended() -> None:
    device = engine(image(recharge=Recharge.ACTIVE_SYMMETRIC))
    device.stop(20_050)
    device.advance(20_699)
    assert not device.is_quiet
    device.advance(20_700)
    assert device.is_quiet
    assert max(start + length for start, length, _ in rows_of(device, 1)) == 20_700


@pytest.mark.parametrize("pulse", range(4))
@pytest.mark.parametrize("inside", [5, 299, 300, 399, 401, 1999])
def test_a_burst_that_a_stop_breaks_off_is_recovered_for_100_ms(pulse: int, inside: int) -> None:
    device = engine(image(**BURST))
    at = 50_000 + 2000 * pulse + inside
    device.stop(at)
    device.advance(at + 101_000)
    begin = max(at, 50_000 + 2000 * pulse + 400)
    assert device.is_quiet
    assert rows_of(device, 2)[-3:] == [(begin, 100_000, contact) for contact in range(3, 6)]


def test_an_emergency_ends_what_a_stop_left_recovering_and_shorts_anew() -> None:
    device = engine(image())
    device.stop(20_050)
    device.emergency(25_000)
    device.emergency(25_500)
    device.advance(200_000)
    last = [row for row in rows_of(device, 2) if row[0] >= 20_000]
    assert {row[:2] for row in last} == {(20_400, 4_600), (25_020, 100_000)}
    assert len(last) == 6


@pytest.mark.parametrize(("after", "length"), [(5, 0), (20, 0), (1_020, 1_000), (100_020, 100_000)])
def test_a_supply_that_is_lost_in_an_emergency_ends_the_shorting(after: int, length: int) -> None:
    device = engine(image())
    device.emergency(25_000)
    device.power_lost(25_000 + after)
    assert device.is_quiet
    device.advance(300_000)
    lengths = {row[1] for row in rows_of(device, 2) if row[0] == 25_020}
    assert lengths == ({length} if length else set())


@pytest.mark.parametrize("command", ["set_amplitude", "soft_stop", "stop", "refresh", "power_lost"])
def test_what_is_seen_while_a_command_is_carried_out_is_told_at_the_next_look(command: str) -> None:
    one = image()
    tissue = bench_tissue()
    device = PulseEngine(one, tissue, RAIL_18_V, record=True)
    device.advance(15_000)
    tissue.contacts[4].is_open = True
    device.refresh(RAIL_18_V, 15_000)
    assert [event.name for event in device.advance(40_000)] == ["clipped"]
    at = 40_050  # within the third pulse
    match command:
        case "set_amplitude":
            device.set_amplitude(0, 0, at)
        case "refresh":
            device.refresh(RAIL_18_V, at)
        case _:
            getattr(device, command)(at)
    events = device.advance(60_000)
    assert [(event.name, event.contact) for event in events] == [("open", 4)]
    assert device.zeroed(0)


def test_an_area_that_latches_inside_a_burst_recovers_its_last_pulse() -> None:
    tissue = bench_tissue()
    device = PulseEngine(image(**BURST), tissue, RAIL_18_V, record=True)
    tissue.contacts[4].is_open = True
    device.refresh(RAIL_18_V, 0)
    events = device.advance(150_000)
    assert [event.name for event in events] == ["clipped", "open"]
    assert {row[:2] for row in rows_of(device, 2)} == {(4_400, 100_000)}


def test_a_later_phase_that_the_rail_limits_is_told() -> None:
    # The contact holds a voltage that helps the first phase and hinders the reversed one.
    one = image(recharge=Recharge.ACTIVE_SYMMETRIC, amplitude_na=9_000_000)
    tissue = bench_tissue()
    tissue.contacts[5].volt = -6.0
    device = PulseEngine(one, tissue, OutputPhysics(10.0, 500.0, 4000.0, 100.0), record=True)
    [event] = device.advance(5_000)
    assert event.name == "clipped"
    rows = device.take_rows().tolist()
    assert {abs(row[4]) for row in rows if row[3] == 0 and row[2] == 5} == {9_000_000}
    assert {abs(row[4]) for row in rows if row[3] == 1 and row[2] == 5} != {9_000_000}


@pytest.mark.parametrize("areas", [1, 2])
def test_a_rail_that_is_met_only_after_many_pulses_is_met_in_sums_too(areas: int) -> None:
    # Without recharge the contacts charge up pulse by pulse, until the rail limits them.
    one = image(recharge=Recharge.NONE, amplitude_na=100_000, width_ticks=20)
    two = image(
        recharge=Recharge.NONE,
        shares=((1, -1000), (2, 1000)),
        delay_ns=5_000_000,
        priority=2,
        amplitude_na=10_000,
        width_ticks=20,
    )
    whole = ProgramImage(GRID, (*one.areas, *two.areas)[:areas], 0, True, True)
    rail = OutputPhysics(2.0, 500.0, 4000.0, 100.0)
    seen, engines = [], []
    for closed_form in (True, False):
        device = PulseEngine(whole, bench_tissue(), rail, closed_form=closed_form)
        seen.append(device.advance(100_000_000))
        engines.append(device)
    assert [(e.at_ticks, e.name, e.contact) for e in seen[0]] == [
        (e.at_ticks, e.name, e.contact) for e in seen[1]
    ]
    [clipped] = seen[0]
    assert clipped.at_ticks > 1_000_000
    assert engines[0].totals().areas[0].clipped == engines[1].totals().areas[0].clipped > 0


@pytest.mark.parametrize("inside", [1, 150, 299])
def test_a_pulse_cut_short_leaves_the_voltage_of_what_flowed(inside: int) -> None:
    device = engine(image())
    device.power_lost(inside)
    farad = bench_tissue().contacts[5].circuit.double_layer_nf * 1e-9
    assert device.voltages()[5] == pytest.approx(3e-3 * inside * 1e-6 / farad, rel=1e-3)


def test_what_was_seen_on_the_way_to_a_command_is_told_too() -> None:
    tissue = bench_tissue()
    tissue.contacts[4].is_open = True
    device = PulseEngine(image(), tissue, RAIL_18_V)
    device.set_amplitude(0, 2_000_000, 15_000)
    device.stop(60_000)
    assert [event.name for event in device.advance(70_000)] == ["clipped", "open"]
    assert device.advance(80_000) == []


def test_a_soft_stop_without_a_ramp_lets_the_unit_of_its_own_tick_start_and_none_after() -> None:
    device = engine(image())
    device.soft_stop(20_000)
    device.advance(200_000)
    assert max(start for start, _, _ in rows_of(device, 0)) == 20_000
    other = engine(image())
    other.soft_stop(19_999)
    other.advance(200_000)
    assert max(start for start, _, _ in rows_of(other, 0)) == 10_000
