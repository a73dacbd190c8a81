"""The patient's own control: what each button does, and what it never does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, EventCode, FaultCode, StopCause, UsageKind
from neurostim_sim.home import Button, Signal
from neurostim_sim.home.mode import REPEAT_NS
from support.home_bench import (
    DAY,
    HIGHEST_NA,
    HOUR,
    LOWEST_NA,
    MS,
    STEP_NA,
    HomeBench,
    S,
    home_tonic,
    of_kind,
)
from support.sim_bench import device

RANGES = (m.RangeOfArea(0, LOWEST_NA, HIGHEST_NA, STEP_NA),)


@pytest.fixture
def bench() -> HomeBench:
    made = HomeBench()
    made.send_home([home_tonic(), home_tonic(width_ticks=200)])
    return made


def started(bench: HomeBench, at_ns: int = 10 * S) -> HomeBench:
    bench.core.advance(at_ns)
    bench.core.press(Button.START)
    bench.core.advance(at_ns + 3 * S)
    assert bench.core.state is DeviceState.DELIVERING
    return bench


def amplitude(bench: HomeBench) -> int:
    delivery = bench.core.delivery
    assert delivery is not None
    return delivery.engine.amplitudes_na[0]


def told(bench: HomeBench, *kinds: UsageKind) -> list[m.UsageRecord]:
    return of_kind(bench.core.home.usage.records(1), *kinds)


def advance(bench: HomeBench, by_ns: int) -> None:
    bench.core.advance(bench.core.clock.true_ns + by_ns)


# ----------------------------------------------------------------------------------------- starts


@pytest.mark.hazard("posture")
def test_a_start_begins_at_the_lowest_amplitude_whatever_was_before(bench: HomeBench) -> None:
    started(bench)
    bench.core.press(Button.UP)
    assert amplitude(bench) == LOWEST_NA + STEP_NA
    bench.core.press(Button.STOP)
    advance(bench, 3 * S)
    bench.core.press(Button.START)
    advance(bench, S)
    assert amplitude(bench) == LOWEST_NA


def test_the_start_rises_with_the_ramp_of_two_seconds(tmp_path: Path) -> None:
    bench = HomeBench(device("scs", traces=tmp_path))
    bench.send_home()
    started(bench)
    advance(bench, 5 * S)
    bench.core.press(Button.STOP)
    advance(bench, 5 * S)
    with np.load(next(tmp_path.glob("*.npz"))) as rows:
        stim = rows["kind"] == "stim"
        at, current = rows["start_ns"][stim], np.abs(rows["amplitude_na"][stim])
    assert current[at < 200 * MS].max() <= LOWEST_NA // 10
    assert current[at < 1900 * MS].max() < LOWEST_NA
    assert current.max() == LOWEST_NA


def test_a_device_that_is_not_released_answers_no_start() -> None:
    bench = HomeBench()
    bench.core.press(Button.START)
    bench.core.advance(S)
    assert bench.core.state is DeviceState.IDLE
    assert bench.core.memory.dose_count == 0


def test_the_contacts_are_read_before_the_first_start_and_not_before_the_next(bench: HomeBench) -> None:
    started(bench)
    assert [one.place for one in told(bench, UsageKind.IMPEDANCE)] == [3, 5]
    bench.core.press(Button.STOP)
    advance(bench, 3 * S)
    bench.core.press(Button.START)
    advance(bench, S)
    assert len(told(bench, UsageKind.IMPEDANCE)) == 2
    bench.core.press(Button.STOP)
    advance(bench, 13 * HOUR)
    bench.core.press(Button.START)
    advance(bench, S)
    assert len(told(bench, UsageKind.IMPEDANCE)) == 4


@pytest.mark.hazard("open-short")
def test_an_open_contact_is_found_before_current_flows(bench: HomeBench) -> None:
    bench.core.inject("open:3", 5 * S)
    bench.core.advance(10 * S)
    bench.core.press(Button.START)
    bench.core.advance(20 * S)
    assert bench.core.state is DeviceState.FAULT
    assert bench.core.memory.fault == FaultCode.OPEN_CIRCUIT
    assert not told(bench, UsageKind.START)
    assert Signal.CHECK_LEAD in bench.core.home.signals


def test_a_start_while_output_is_on_changes_nothing(bench: HomeBench) -> None:
    started(bench)
    bench.core.press(Button.START)
    advance(bench, S)
    assert len(told(bench, UsageKind.START)) == 1


@pytest.mark.hazard("cycling")
def test_more_than_five_starts_in_a_minute_lock_for_five_minutes(bench: HomeBench) -> None:
    started(bench)
    for _ in range(4):
        bench.core.press(Button.STOP)
        advance(bench, 3 * S)
        bench.core.press(Button.START)
        advance(bench, 3 * S)
    bench.core.press(Button.STOP)
    advance(bench, 3 * S)
    bench.core.press(Button.START)
    assert bench.core.state is DeviceState.IDLE
    assert Signal.LOCKED in bench.core.home.signals
    assert [one.value for one in told(bench, UsageKind.LOCKOUT)] == [300]
    advance(bench, 299 * S)
    bench.core.press(Button.START)
    advance(bench, S // 2)
    assert bench.core.state is DeviceState.IDLE
    advance(bench, S)
    bench.core.press(Button.START)
    advance(bench, S)
    assert bench.core.state is DeviceState.DELIVERING


@pytest.mark.hazard("cycling")
def test_a_reset_does_not_shorten_the_lockout(bench: HomeBench) -> None:
    test_more = bench
    started(test_more)
    for _ in range(5):
        bench.core.press(Button.STOP)
        advance(bench, 3 * S)
        bench.core.press(Button.START)
        advance(bench, 3 * S)
    assert Signal.LOCKED in bench.core.home.signals
    for _ in range(10):
        bench.core.restart()
        assert Signal.LOCKED in bench.core.home.signals


@pytest.mark.hazard("cycling")
def test_a_new_battery_lets_nobody_start_more_often(bench: HomeBench) -> None:
    started(bench)
    for _ in range(4):
        bench.core.press(Button.STOP)
        advance(bench, 3 * S)
        bench.core.press(Button.START)
        advance(bench, 3 * S)
    before = bench.core.memory.dose_count
    bench.core.change_battery()
    advance(bench, S)
    bench.core.press(Button.START)
    advance(bench, S)
    assert bench.core.memory.dose_count == before
    assert Signal.LOCKED in bench.core.home.signals


# ------------------------------------------------------------------------------------------ steps


@pytest.mark.hazard("posture")
def test_one_press_is_one_step_and_the_range_ends_it(bench: HomeBench) -> None:
    started(bench)
    for _ in range(105):
        bench.core.press(Button.UP)
        advance(bench, 400 * MS)
    assert amplitude(bench) == HIGHEST_NA
    for _ in range(105):
        bench.core.press(Button.DOWN)
        advance(bench, 10 * MS)
    assert amplitude(bench) == LOWEST_NA


@pytest.mark.hazard("home-repeat")
def test_at_most_three_steps_a_second_go_up(bench: HomeBench) -> None:
    started(bench)
    for _ in range(20):
        bench.core.press(Button.UP)
        advance(bench, 40 * MS)
    assert amplitude(bench) == LOWEST_NA + 3 * STEP_NA


@pytest.mark.hazard("home-repeat")
def test_two_steps_up_never_meet_in_one_unit() -> None:
    bench = HomeBench()
    bench.send_home([home_tonic(period_num=1_000_000_000)])
    started(bench, 10 * S)
    for _ in range(9):
        bench.core.press(Button.UP)
        advance(bench, 400 * MS)
    # Nine presses in 3.6 s: one for each pulse a second.
    assert amplitude(bench) in (LOWEST_NA + 4 * STEP_NA, LOWEST_NA + 5 * STEP_NA)


@pytest.mark.hazard("home-repeat")
def test_a_held_up_button_steps_once_and_a_held_down_button_repeats(bench: HomeBench) -> None:
    started(bench)
    for _ in range(9):
        bench.core.press(Button.UP)
        advance(bench, S)
    bench.core.hold(Button.UP)
    advance(bench, 10 * S)
    bench.core.let_go()
    assert amplitude(bench) == LOWEST_NA + 10 * STEP_NA
    bench.core.hold(Button.DOWN)
    advance(bench, 4 * REPEAT_NS)
    bench.core.let_go()
    assert amplitude(bench) == LOWEST_NA + 5 * STEP_NA
    advance(bench, 10 * S)
    assert amplitude(bench) == LOWEST_NA + 5 * STEP_NA


def test_areas_step_together_and_each_stops_at_its_own_end() -> None:
    bench = HomeBench()
    two = replace(
        home_tonic(),
        areas=(
            home_tonic().areas[0],
            home_tonic(shares=((1, -1000), (2, 1000)), priority=2, delay_ns=5 * MS).areas[0],
        ),
    )
    ranges = (
        m.RangeOfArea(0, LOWEST_NA, LOWEST_NA + 4 * STEP_NA, STEP_NA),
        m.RangeOfArea(1, LOWEST_NA, LOWEST_NA + 2 * STEP_NA, STEP_NA),
    )
    bench.send_home([two], ranges=ranges)
    started(bench)
    for _ in range(6):
        bench.core.press(Button.UP)
        advance(bench, S)
    delivery = bench.core.delivery
    assert delivery is not None
    assert delivery.engine.amplitudes_na == [LOWEST_NA + 4 * STEP_NA, LOWEST_NA + 2 * STEP_NA]
    bench.core.press(Button.DOWN)
    bench.core.press(Button.DOWN)
    bench.core.press(Button.DOWN)
    assert delivery.engine.amplitudes_na == [LOWEST_NA + STEP_NA, LOWEST_NA + STEP_NA]


def test_many_steps_of_an_hour_are_told_as_a_sum(bench: HomeBench) -> None:
    started(bench)
    for i in range(200):
        bench.core.press(Button.UP if i % 2 == 0 else Button.DOWN)
        advance(bench, 400 * MS)
    advance(bench, HOUR)
    steps = told(bench, UsageKind.STEP)
    assert len(steps) == 61
    assert sum(one.count for one in steps) == 200


# ------------------------------------------------------------------------------ switches and stops


@pytest.mark.hazard("home-repeat")
def test_a_switch_fades_to_zero_and_begins_only_with_another_start(bench: HomeBench) -> None:
    started(bench)
    bench.core.press(Button.SWITCH)
    assert bench.core.state is DeviceState.RAMPING_DOWN
    advance(bench, 60 * S)
    assert not bench.core.output_on
    bench.core.press(Button.START)
    advance(bench, 3 * S)
    assert [one.slot for one in told(bench, UsageKind.START)] == [0, 1]


def test_the_first_stop_fades_and_the_second_ends_at_once(bench: HomeBench) -> None:
    started(bench)
    bench.core.press(Button.STOP)
    assert bench.core.state is DeviceState.RAMPING_DOWN
    bench.core.press(Button.STOP)
    assert bench.core.state is DeviceState.IDLE
    assert bench.core.memory.cause == StopCause.PATIENT_STOP
    advance(bench, S)
    assert not bench.core.output_on


def test_a_stop_while_contacts_are_read_cancels_the_start(bench: HomeBench) -> None:
    bench.core.advance(10 * S)
    bench.core.press(Button.START)
    bench.core.advance(10 * S + 25 * MS)
    assert bench.core.state is DeviceState.MEASURING
    bench.core.press(Button.STOP)
    bench.core.advance(20 * S)
    assert bench.core.state is DeviceState.IDLE
    assert not told(bench, UsageKind.START)


# -------------------------------------------------------------------------- what ends it by itself


def test_nothing_follows_a_reset_and_only_a_press_starts_again(bench: HomeBench) -> None:
    started(bench)
    bench.core.restart()
    assert bench.core.state is DeviceState.STOPPED
    advance(bench, HOUR)
    assert not bench.core.output_on
    bench.core.press(Button.START)
    advance(bench, 3 * S)
    assert bench.core.state is DeviceState.DELIVERING
    assert amplitude(bench) == LOWEST_NA


def test_a_new_battery_is_full_and_the_output_off(bench: HomeBench) -> None:
    started(bench)
    advance(bench, 40 * HOUR)
    assert bench.core.battery < 1000
    bench.core.change_battery()
    assert (bench.core.battery, bench.core.output_on) == (1000, False)
    assert [one.value for one in told(bench, UsageKind.BATTERY) if one.count == 1] == [1000]


@pytest.mark.hazard("no-expiry")
def test_the_release_expires_and_starts_no_more() -> None:
    bench = HomeBench()
    bench.send_home(expires_s=3600)
    started(bench)
    bench.core.advance(HOUR + 3 * S)
    assert not bench.core.output_on
    assert bench.core.memory.cause == StopCause.EXPIRED
    assert bench.core.autonomous
    bench.core.press(Button.START)
    advance(bench, 3 * S)
    assert not bench.core.output_on
    assert Signal.EXPIRED in bench.core.home.signals


@pytest.mark.hazard("no-expiry")
def test_powered_time_lost_in_a_reset_is_taken_as_passed() -> None:
    bench = HomeBench()
    bench.send_home(expires_s=3600)
    for _ in range(61):
        advance(bench, S)
        bench.core.restart()
    advance(bench, S)
    assert bench.core.home.state.expired


def test_a_day_before_the_end_the_patient_is_told_once() -> None:
    bench = HomeBench()
    bench.send_home(expires_s=2 * 86_400)
    bench.core.advance(DAY - S)
    assert Signal.DAY_LEFT not in bench.core.home.signals
    bench.core.advance(DAY + HOUR)
    assert Signal.DAY_LEFT in bench.core.home.signals
    assert [one.value for one in told(bench, UsageKind.SIGNAL)] == [2]


@pytest.mark.hazard("battery-end")
def test_a_low_battery_is_told_and_a_flat_one_ends_the_output(bench: HomeBench) -> None:
    started(bench)
    bench.core.battery = 151
    advance(bench, 3 * HOUR)
    assert Signal.BATTERY_LOW in bench.core.home.signals
    assert [one.value for one in told(bench, UsageKind.SIGNAL)] == [1]
    bench.core.battery = 50
    advance(bench, 2 * 60 * S)
    assert not bench.core.output_on
    assert bench.core.memory.cause == StopCause.BATTERY_LOW
    assert bench.core.memory.fault == FaultCode.NONE
    bench.core.press(Button.START)
    advance(bench, S)
    assert not bench.core.output_on


@pytest.mark.hazard("replug")
def test_a_lead_pulled_out_and_put_back_needs_a_deliberate_start(bench: HomeBench) -> None:
    started(bench)
    now = bench.core.clock.true_ns
    bench.core.inject("unplug-lead", now + S)
    bench.core.inject("plug-lead", now + 60 * S)
    bench.core.advance(now + 2 * S)
    assert bench.core.memory.fault == FaultCode.LEAD_UNPLUGGED
    bench.core.press(Button.START)
    bench.core.advance(now + 30 * S)
    assert not bench.core.output_on
    bench.core.advance(now + 120 * S)
    assert not bench.core.output_on
    bench.core.press(Button.START)
    advance(bench, 3 * S)
    assert bench.core.state is DeviceState.DELIVERING
    assert amplitude(bench) == LOWEST_NA
    assert [one.value for one in told(bench, UsageKind.LEAD)] == [0, 1]


def test_an_open_contact_is_seen_within_its_third_pulse(bench: HomeBench) -> None:
    started(bench)
    advance(bench, HOUR)
    now = bench.core.clock.true_ns
    bench.core.inject("open:5", now)
    bench.core.advance(now + 200 * MS)
    assert bench.core.state is DeviceState.FAULT
    assert bench.core.memory.fault == FaultCode.OPEN_CIRCUIT


@pytest.mark.parametrize("fault", ["short:3", "stuck-sensor"])
def test_faults_of_the_device_wait_for_the_clinic(bench: HomeBench, fault: str) -> None:
    started(bench)
    bench.core.inject(fault, bench.core.clock.true_ns)
    advance(bench, 3 * S)
    assert bench.core.state is DeviceState.FAULT
    bench.core.inject("heal", bench.core.clock.true_ns)
    advance(bench, S)
    bench.core.set_sensor(works=True)
    bench.core.press(Button.START)
    advance(bench, S)
    assert bench.core.state is DeviceState.FAULT
    assert Signal.CALL_CLINIC in bench.core.home.signals


def test_a_program_with_an_end_stops_by_itself() -> None:
    bench = HomeBench()
    bench.send_home([replace(home_tonic(), duration_ns=30 * S)])
    started(bench)
    advance(bench, 40 * S)
    assert bench.core.state is DeviceState.IDLE
    assert [one.value for one in told(bench, UsageKind.STOP)] == [StopCause.COMPLETED]


# ------------------------------------------------------------------------------------ off button


def stimuli(folder: Path) -> Iterator[tuple[int, int]]:
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as rows:
            driven = rows["kind"] != "passive"
            yield from zip(
                rows["start_ns"][driven].tolist(), rows["duration_ns"][driven].tolist(), strict=True
            )


@pytest.mark.hazard("stuck-device")
@pytest.mark.parametrize("hung", [False, True])
def test_the_off_button_cuts_the_pulse_under_way_even_where_the_processor_hangs(
    tmp_path: Path, hung: bool
) -> None:
    bench = HomeBench(device("scs", traces=tmp_path))
    bench.send_home()
    started(bench)
    core = bench.core
    assert core.delivery is not None
    begun_ns = core.delivery.start * 1000
    # 100 us into a pulse of 300 us.
    moment = begun_ns + 5 * S + 100_000
    if hung:
        core.inject("hang", moment - 200 * MS)
    core.advance(moment)
    core.off_button()
    advance(bench, 10 * S)
    assert not core.output_on
    rows = list(stimuli(tmp_path))
    assert max(start + length for start, length in rows) == moment - begun_ns
    assert [one.kind for one in told(bench, UsageKind.OFF_BUTTON)] == [UsageKind.OFF_BUTTON]
    assert [record[3] for record in core.memory.log].count(EventCode.OFF_BUTTON) == 1


def test_after_the_off_button_only_a_press_starts_again(bench: HomeBench) -> None:
    started(bench)
    bench.core.off_button()
    assert (bench.core.state, bench.core.memory.cause) == (DeviceState.STOPPED, StopCause.OFF_BUTTON)
    advance(bench, HOUR)
    assert not bench.core.output_on
    bench.core.press(Button.START)
    advance(bench, 3 * S)
    assert bench.core.state is DeviceState.DELIVERING


def test_a_supervised_output_ends_by_the_patients_buttons_too() -> None:
    for end in (lambda core: core.off_button(), lambda core: core.press(Button.STOP)):
        bench = HomeBench()
        bench.start(home_tonic())
        bench.live_until(3 * S)
        assert bench.core.state is DeviceState.DELIVERING
        end(bench.core)
        assert bench.core.state is DeviceState.STOPPED


def test_what_the_patient_does_stands_in_the_event_log(bench: HomeBench) -> None:
    started(bench)
    bench.core.press(Button.UP)
    bench.core.press(Button.SWITCH)
    advance(bench, 3 * S)
    bench.core.off_button()
    codes = [record[3] for record in bench.core.memory.log]
    wanted = (
        EventCode.RELEASED,
        EventCode.PATIENT_START,
        EventCode.PATIENT_STEP,
        EventCode.PATIENT_SWITCH,
        EventCode.PATIENT_STOP,
        EventCode.OFF_BUTTON,
    )
    assert [code for code in codes if code in wanted] == list(wanted)
