"""A usage log that comes to its end: the release ends before, only then do the oldest records go, told."""

from __future__ import annotations

import hashlib

import pytest

from neurostim.cli.usage import before
from neurostim.device.home import HomeCommands
from neurostim.device.usage import UsageLog as HostLog
from neurostim.device.usage import usage_digest
from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, ErrorCode, EventCode, StopCause, UsageKind
from neurostim_sim.home import Button, Signal, Unheeded
from neurostim_sim.home import usage as log_room
from neurostim_sim.home.usage import RECORDS, RESERVE, UsageLog
from neurostim_sim.store import MemoryMedium, PowerCut, Store
from support.home_bench import HOUR, MS, HomeBench, S, of_kind
from support.simulated_device import SimulatedDevice
from support.virtual_stimulator import VirtualStimulator

SMALL = 300


def opened(medium: MemoryMedium) -> UsageLog:
    return UsageLog(Store(medium))


def add(log: UsageLog, count: int) -> None:
    for _ in range(count):
        log.add(1, log.next_index * 1000, UsageKind.STEP, slot=1, value=log.next_index)


def held(log: UsageLog) -> list[m.UsageRecord]:
    """What is held, which must be whole: without a gap, with its digest, and unbroken."""
    records = log.records(1)
    assert [one.index for one in records] == list(range(log.oldest_index, log.next_index))
    assert log.sha256 == hashlib.sha256(b"".join(one.encode() for one in records)).digest()
    assert not log.broken
    return records


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> MemoryMedium:
    monkeypatch.setattr(log_room, "RECORDS", SMALL)
    return MemoryMedium()


@pytest.mark.hazard("tamper")
@pytest.mark.parametrize("beyond", [-2, -1, 0, 1, 2, SMALL - 1, SMALL, SMALL + 1])
def test_at_the_end_of_the_ring_the_oldest_go_one_by_one_and_the_digest_is_of_those_held(
    small: MemoryMedium, beyond: int
) -> None:
    log = opened(small)
    add(log, SMALL + beyond)
    lost = max(0, beyond)
    assert (log.oldest_index, log.next_index) == (1 + lost, 1 + SMALL + beyond)
    assert log.room == max(0, -beyond)
    kept = held(log)
    again = opened(small)
    assert held(again) == kept
    assert again.sha256 == log.sha256
    add(again, 1)
    assert held(again)[-1].index == log.next_index


@pytest.mark.hazard("tamper")
def test_power_lost_as_the_oldest_makes_room_loses_no_other_record(small: MemoryMedium) -> None:
    log = opened(small)
    add(log, SMALL + 5)
    small.bytes_left = 30
    with pytest.raises(PowerCut):
        add(log, 1)
    small.bytes_left = None
    again = opened(small)
    assert (again.oldest_index, again.next_index) == (7, SMALL + 6)
    held(again)
    add(again, 3)
    assert held(opened(small)) == held(again)


def test_the_real_ring_holds_what_the_page_says_and_no_record_more() -> None:
    medium = MemoryMedium()
    log = opened(medium)
    add(log, RECORDS)
    assert (log.oldest_index, log.room) == (1, 0)
    add(log, 1)
    assert (log.oldest_index, log.room) == (2, 0)
    assert log.records(1, 1)[0].index == 2
    again = opened(medium)
    assert (again.oldest_index, again.sha256, again.broken) == (2, log.sha256, False)


def nearly_full(bench: HomeBench, left: int) -> None:
    usage = bench.core.home.usage
    for _ in range(usage.room - left):
        usage.add(bench.core.memory.boot_count, bench.core.now_us, UsageKind.COMPLIANCE)
    assert usage.room == left


@pytest.mark.hazard("no-expiry")
def test_output_ends_before_the_log_does_and_the_patient_and_the_clinic_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_room, "RECORDS", 3 * RESERVE)
    bench = HomeBench()
    bench.send_home()
    core = bench.core
    core.advance(core.clock.true_ns + S)
    assert core.press(Button.START) is None
    core.advance(core.clock.true_ns + 5 * S)
    assert core.state is DeviceState.DELIVERING
    nearly_full(bench, RESERVE)
    core.advance(core.clock.true_ns + 10 * MS)
    assert core.state is DeviceState.DELIVERING
    nearly_full(bench, RESERVE - 1)
    core.advance(core.clock.true_ns + HOUR)
    assert not core.output_on
    assert core.memory.doses[-1].cause == StopCause.EXPIRED
    assert core.signals == {Signal.EXPIRED}
    assert core.press(Button.START) is Unheeded.EXPIRED
    assert EventCode.RELEASE_EXPIRED in [record[3] for record in core.memory.log]
    # What was given last is recorded whole, and not a record was lost for it.
    assert core.home.usage.oldest_index == 1
    records = held(core.home.usage)
    assert of_kind(records, UsageKind.EXPIRED)
    assert of_kind(records, UsageKind.STOP)
    assert of_kind(records, UsageKind.HOUR_ON)[-1].value > 0


@pytest.mark.parametrize(("left", "goes"), [(2 * RESERVE, True), (2 * RESERVE - 1, False)])
def test_a_device_whose_log_has_no_room_is_not_released_again(
    left: int, goes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_room, "RECORDS", 4 * RESERVE)
    bench = HomeBench()
    bench.assign()
    nearly_full(bench, left)
    reply = bench.ask(m.ReleaseBegin("P-017", 3600, False, 0))
    assert isinstance(reply, m.ReleaseBeginReply) is goes
    if not goes:
        assert (reply.code, reply.detail) == (ErrorCode.EXPIRY, 0)


@pytest.mark.hazard("tamper")
def test_a_host_reads_a_log_whose_oldest_made_room_whole_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_room, "RECORDS", SMALL)
    device = SimulatedDevice("scs")
    add(device.core.home.usage, SMALL + 21)
    stimulator = VirtualStimulator(device)
    stimulator.open()
    commands = stimulator.home
    assert isinstance(commands, HomeCommands)
    read = commands.usage().result()
    assert (read.oldest_index, len(read.records)) == (22, SMALL)
    assert read.sha256 == device.core.home.usage.sha256 == usage_digest(read.records)
    assert before(read) == "records before 22 have made room for newer ones"
    assert before(HostLog(read.records, 1, read.sha256)) == ""
