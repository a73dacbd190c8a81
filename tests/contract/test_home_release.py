"""Release, use and take-back over the wire, by hosts with and without a key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neurostim.core import battery
from neurostim.core.compile import compile_program
from neurostim.core.program_file import load_preset
from neurostim.device.usage import summarise
from neurostim.wire import messages as m
from neurostim.wire.layout import Need
from neurostim.wire.messages import ErrorCode, StopCause, UsageKind
from neurostim.wire.release import Release, ReleaseSlot
from neurostim_sim.home import Button
from neurostim_sim.home.battery import hours_left
from neurostim_sim.home.permitted import UNCHANGING
from neurostim_sim.home.release import Release as DeviceRelease
from neurostim_sim.home.release import ReleasedProgram
from neurostim_sim.profiles import profile
from support.home_bench import (
    HIGHEST_NA,
    HOUR,
    LOWEST_NA,
    STEP_NA,
    SUBJECT,
    WALL_S,
    WEEK_S,
    HomeBench,
    S,
    dose_of,
    electrode_of,
    home_tonic,
    of_kind,
)
from support.sim_bench import APPROVAL, device

RANGES = (m.RangeOfArea(0, LOWEST_NA, HIGHEST_NA, STEP_NA),)


def ready(**changes: Any) -> tuple[HomeBench, bytes]:
    bench = HomeBench()
    bench.assign()
    return bench, bench.load_slot(0, home_tonic(**changes))


def code_of(reply: Any) -> ErrorCode:
    assert isinstance(reply, m.Error), reply
    return reply.code


def release_of(digest: bytes, **changes: Any) -> Release:
    slot = {"slot": 0, "name": "walk", "image_sha256": digest, "approval_sha256": APPROVAL, "ranges": RANGES}
    slot.update({name: value for name, value in changes.items() if name in slot})
    return Release(
        changes.get("subject", SUBJECT),
        changes.get("expires_s", WEEK_S),
        changes.get("corridor", False),
        (ReleaseSlot(**slot),),
    )


# ---------------------------------------------------------------------------------------- release


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"subject": "P-018"}, ErrorCode.SUBJECT_MISMATCH),
        ({"expires_s": 7_776_001}, ErrorCode.EXPIRY),
        ({"corridor": True, "expires_s": 1201}, ErrorCode.EXPIRY),
        ({"slot": 1}, ErrorCode.SLOT_NOT_COMMITTED),
        ({"slot": 9}, ErrorCode.BAD_SLOT),
        ({"name": ""}, ErrorCode.RELEASE_INCOMPLETE),
        ({"image_sha256": b"\1" * 32}, ErrorCode.DIGEST_MISMATCH),
        ({"approval_sha256": b"\1" * 32}, ErrorCode.APPROVAL_MISMATCH),
        ({"ranges": ()}, ErrorCode.BAD_AREA),
        ({"ranges": (m.RangeOfArea(0, 0, HIGHEST_NA + STEP_NA, STEP_NA),)}, ErrorCode.AMPLITUDE_RANGE),
        ({"ranges": (m.RangeOfArea(0, LOWEST_NA + 1, HIGHEST_NA + 1, STEP_NA),)}, ErrorCode.AMPLITUDE_RANGE),
        ({"ranges": (m.RangeOfArea(0, HIGHEST_NA, LOWEST_NA, STEP_NA),)}, ErrorCode.AMPLITUDE_RANGE),
        ({"ranges": (m.RangeOfArea(0, LOWEST_NA, HIGHEST_NA, 2 * STEP_NA),)}, ErrorCode.AMPLITUDE_STEP),
    ],
)
def test_a_release_with_a_fault_is_refused_and_nothing_begins(
    changes: dict[str, Any], code: ErrorCode
) -> None:
    bench, digest = ready()
    refused = bench.describe(release_of(digest, **changes))
    assert refused is not None
    assert refused.code is code
    assert not bench.core.autonomous


@pytest.mark.hazard("cycling")
def test_a_program_that_rises_faster_than_in_two_seconds_stays_in_the_clinic() -> None:
    bench, digest = ready(ramp_up_ns=1_900_000_000)
    refused = bench.describe(release_of(digest))
    assert refused is not None
    assert (refused.code, refused.detail) == (ErrorCode.DEVICE_LIMIT, 2000)


def test_a_release_is_committed_with_the_digest_that_both_compute() -> None:
    bench, digest = ready()
    release = release_of(digest)
    assert bench.describe(release) is None
    wrong = release_of(digest, expires_s=WEEK_S - 1).digest()
    assert code_of(bench.ask(m.ReleaseCommit(wrong))) is ErrorCode.RELEASE_INCOMPLETE
    assert not bench.core.autonomous
    assert bench.ask(m.ReleaseCommit(release.digest())) == m.ReleaseCommitReply(1, release.digest())
    told = bench.ask(m.ReleaseInfo())
    assert (told.autonomous, told.expired, told.corridor) == (True, False, False)
    assert (told.release_number, told.release_sha256) == (1, release.digest())
    assert told.expires_left_s == WEEK_S
    assert told.slots == (m.ReleasedSlot(0, "walk", digest),)


def test_the_digest_of_a_release_is_that_of_the_bytes_the_specification_lays_out() -> None:
    program = ReleasedProgram(3, "walk", b"\x11" * 32, b"\x22" * 32, (m.RangeOfArea(0, 1, 257, 16),))
    own = DeviceRelease(7, "P-017", 86_400, True, 99, [program]).digest()
    text = (
        b"neurostim release 1\0" + b"P-017" + bytes(27) + bytes.fromhex("80510100") + b"\1" + b"\1"
        b"\3" + b"walk" + bytes(12) + b"\x11" * 32 + b"\x22" * 32 + b"\1"
        b"\0" + bytes.fromhex("01000000") + bytes.fromhex("01010000") + bytes.fromhex("10000000")
    )
    assert own == hashlib.sha256(text).digest()
    slot = ReleaseSlot(3, "walk", b"\x11" * 32, b"\x22" * 32, program.ranges)
    assert Release("P-017", 86_400, True, (slot,)).digest() == own


def test_a_release_needs_a_key_and_an_assigned_subject() -> None:
    bench = HomeBench()
    bench.hello()
    refused = bench.describe(release_of(b"\1" * 32))
    assert refused is not None
    assert refused.code is ErrorCode.NOT_ASSIGNED
    keyed = (m.ReleaseBegin, m.ReleaseSlot, m.ReleaseRanges, m.ReleaseCommit, m.TakeBack)
    assert all(one.KEYED and one.NEEDS is Need.CONTROL for one in keyed)


def test_a_release_is_not_committed_while_output_is_on_or_the_battery_is_low() -> None:
    bench, digest = ready()
    bench.live_until(0)
    bench.fire()
    assert code_of(bench.ask(m.ReleaseBegin(SUBJECT, WEEK_S, False, 0))) is ErrorCode.OUTPUT_ON
    bench.ask(m.SoftStop())
    bench.live_until(3 * S)
    release = release_of(digest)
    assert bench.describe(release) is None
    bench.core.battery = 150
    assert code_of(bench.ask(m.ReleaseCommit(release.digest()))) is ErrorCode.BATTERY
    assert not bench.core.autonomous


def test_the_corridor_ends_after_twenty_minutes() -> None:
    bench = HomeBench()
    bench.send_home(corridor=True, expires_s=1200)
    bench.core.advance(10 * S)
    bench.core.press(Button.START)
    bench.core.advance(1199 * S)
    assert bench.core.output_on
    bench.core.advance(1203 * S)
    assert not bench.core.output_on
    assert bench.core.memory.cause == StopCause.EXPIRED


# ---------------------------------------------------------------- what no host may do meanwhile


CHANGING: dict[str, Callable[[bytes], Any]] = {
    "load": lambda digest: m.LoadBegin(0, 100, digest),
    "chunk": lambda _: m.LoadChunk(0, 0, b"1"),
    "commit": lambda _: m.LoadCommit(0, APPROVAL, RANGES),
    "arm": lambda digest: m.Arm(m.ArmKind.STIMULATION, 0, digest, APPROVAL),
    "fire": lambda _: m.Fire(1, 0),
    "measure": lambda _: m.ImpedanceFire(1, 0, 1),
    "amplitude": lambda _: m.SetAmplitude(1, 0, LOWEST_NA, HIGHEST_NA),
    "clear": lambda _: m.Clear(StopCause.STOP, m.FaultCode.NONE),
    "begin": lambda _: m.ReleaseBegin(SUBJECT, WEEK_S, False, 0),
    "slot": lambda digest: m.ReleaseSlot(0, "x", digest, APPROVAL),
    "ranges": lambda _: m.ReleaseRanges(0, RANGES),
    "release": m.ReleaseCommit,
    "assign": lambda _: m.Assign("P-018"),
    "retire": lambda digest: m.Retire(SUBJECT, digest, "wiped"),
}


@pytest.mark.hazard("home-tamper")
@pytest.mark.parametrize("name", CHANGING)
def test_a_released_device_refuses_every_command_that_changes_anything(name: str) -> None:
    bench = HomeBench()
    release = bench.send_home()
    bench.hello()
    bench.name_subject()
    bench.live_until(bench.now_ns)
    before = bench.core.memory.extra["home"].copy()
    reply = bench.ask(CHANGING[name](release.slots[0].image_sha256))
    assert code_of(reply) is ErrorCode.AUTONOMOUS
    assert bench.core.memory.extra["home"] == before
    assert bench.core.autonomous


def test_every_other_command_only_reads_stops_or_takes_back() -> None:
    harmless = {one for one in UNCHANGING if not one.RAISES_OUTPUT}
    assert harmless == set(UNCHANGING)
    changing = {one for one in UNCHANGING if one.ONCE} - {m.SoftStop, m.TakeBack, m.Goodbye}
    assert changing == set()


def test_a_stop_ends_the_output_and_the_patient_may_start_again() -> None:
    bench = HomeBench()
    bench.send_home()
    for stop in (m.Stop(), m.EmergencyStop()):
        bench.core.advance(bench.core.clock.true_ns + 60 * S)
        bench.core.press(Button.START)
        bench.core.advance(bench.core.clock.true_ns + 5 * S)
        assert bench.core.output_on
        bench.hello()
        bench.ask(stop)
        bench.core.advance(bench.core.clock.true_ns + 2 * S)
        assert not bench.core.output_on
        assert bench.core.autonomous


def test_a_host_that_falls_silent_does_not_end_what_the_patient_started() -> None:
    bench = HomeBench()
    bench.send_home()
    bench.hello()
    bench.live_until(S)
    bench.core.press(Button.START)
    bench.live_until(5 * S)
    bench.core.advance(60 * S)
    assert bench.core.output_on


def test_a_controlling_host_may_leave_and_output_of_the_patient_stays() -> None:
    bench = HomeBench()
    bench.send_home()
    bench.core.press(Button.START)
    bench.core.advance(bench.core.clock.true_ns + 5 * S)
    bench.hello()
    assert isinstance(bench.ask(m.Goodbye()), m.GoodbyeReply)
    bench.core.advance(bench.core.clock.true_ns + 5 * S)
    assert bench.core.output_on


# -------------------------------------------------------------------------- usage and take-back


def at_home(bench: HomeBench) -> None:
    bench.core.advance(10 * S)
    bench.core.press(Button.START)
    bench.core.advance(HOUR + 600 * S)
    bench.core.press(Button.UP)
    bench.core.press(Button.STOP)
    bench.core.advance(HOUR + 700 * S)


def test_the_usage_log_is_read_and_the_device_taken_back() -> None:
    bench = HomeBench()
    bench.send_home()
    at_home(bench)
    bench.hello()
    records = bench.usage()
    assert [one.index for one in records] == list(range(1, len(records) + 1))
    assert records[0].kind is UsageKind.RELEASED
    assert records[0].wall_s == WALL_S
    assert records[-1].wall_s == WALL_S + records[-1].clock_us // 1_000_000
    digest = hashlib.sha256(b"".join(one.encode() for one in records)).digest()
    assert bench.ask(m.UsageDigest()) == m.UsageDigestReply(1, len(records) + 1, digest)
    told = summarise(records)
    # From 10 s, when two contacts are read for 20 ms each, to the end of the ramp of a second.
    assert round(told.by_slot_us[0] / 10_000) == 100 * (3600 + 600 - 10 + 1) - 4
    bench.name_subject()
    assert bench.take_back() == m.TakeBackReply(1)
    assert not bench.core.autonomous
    bench.core.press(Button.START)
    assert not bench.core.output_on
    assert of_kind(bench.usage(), UsageKind.TAKEN_BACK)


@pytest.mark.hazard("home-tamper")
def test_it_is_not_taken_back_unread_nor_for_another_subject_nor_with_output_on() -> None:
    bench = HomeBench()
    bench.send_home()
    bench.hello()
    assert code_of(bench.take_back()) is ErrorCode.SUBJECT_MISMATCH
    bench.name_subject()
    assert code_of(bench.take_back(b"\1" * 32)) is ErrorCode.USAGE_UNREAD
    bench.core.press(Button.START)
    bench.live_until(5 * S)
    assert code_of(bench.take_back()) is ErrorCode.OUTPUT_ON
    assert bench.core.autonomous
    bench.ask(m.SoftStop())
    bench.live_until(10 * S)
    assert bench.take_back() == m.TakeBackReply(1)
    assert code_of(bench.take_back()) is ErrorCode.NOT_AUTONOMOUS


def test_after_a_reset_the_time_of_day_is_unknown() -> None:
    bench = HomeBench()
    bench.send_home()
    bench.core.restart()
    bench.hello()
    assert [one.wall_s for one in of_kind(bench.usage(), UsageKind.BOOT)] == [0]


def test_the_log_tells_exactly_what_flowed_at_the_electrode(tmp_path: Path) -> None:
    bench = HomeBench(device("scs", traces=tmp_path))
    bench.send_home([home_tonic(), home_tonic(width_ticks=200)])
    now = 3590 * S
    for button in (Button.START, Button.UP, Button.UP, Button.SWITCH, Button.START, Button.UP, Button.STOP):
        bench.core.advance(now)
        bench.core.press(button)
        now += 15 * S
    bench.core.advance(now)
    told = dose_of(bench.core.home.usage.records(1), slots=(0, 1))
    flowed = electrode_of(tmp_path)
    assert {contact: values[1:] for contact, values in told.items()} == flowed
    assert len(of_kind(bench.core.home.usage.records(1), UsageKind.HOUR_ON)) == 4


def test_the_log_tells_exactly_what_the_counters_count() -> None:
    bench = HomeBench()
    bench.send_home()
    at_home(bench)
    assert dose_of(bench.core.home.usage.records(1)) == bench.core.memory.contacts


# ---------------------------------------------------------------------------------------- battery


@pytest.mark.parametrize("name", ["tonic", "hf10", "burstdr", "multiplexed", "fast"])
def test_host_and_device_predict_the_same_hours(name: str) -> None:
    kind = profile("scs")
    image = compile_program(load_preset(name), kind.capabilities.grid).image
    amplitudes = tuple(area.amplitude_na for area in image.areas)
    rail = kind.capabilities.rail_mv
    predicted = battery.hours(image, amplitudes, rail, 1000)
    assert abs(hours_left(image, amplitudes, rail, 1000) - predicted) <= 1


@pytest.mark.hazard("battery-end")
def test_the_prediction_is_what_a_battery_then_lasts() -> None:
    bench = HomeBench()
    ranges = (m.RangeOfArea(0, HIGHEST_NA, HIGHEST_NA, STEP_NA),)
    bench.send_home(ranges=ranges, expires_s=60 * 86_400)
    bench.core.battery = 80
    hours = bench.core.home.battery_hours
    bench.core.press(Button.START)
    bench.core.advance((hours - 1) * HOUR)
    assert bench.core.output_on
    bench.core.advance((hours + 2) * HOUR)
    assert not bench.core.output_on
    assert bench.core.memory.cause == StopCause.BATTERY_LOW
