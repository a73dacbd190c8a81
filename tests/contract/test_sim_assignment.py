"""One subject at a time: bound, named by each session, retired with all of them erased, at any power cut."""

from __future__ import annotations

import pytest

from neurostim.wire import messages as m
from neurostim.wire.messages import ArmKind, DeviceState, ErrorCode, EventCode
from neurostim_sim.assignment import Assignment
from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile
from support.power_cuts import Recorder, holding, remembered, states_between, torn_media
from support.secure_bench import SecureBench
from support.sim_bench import APPROVAL, MS, SimHost, tonic

ANNA, BEN = "S-017", "S-018"
CLEANING = "wiped with 70 % isopropanol, 2 min"


def bench(core: DeviceCore | None = None) -> SecureBench:
    host = SecureBench(core or DeviceCore(profile("scs"), medium=Recorder(), seed=3))
    host.hello()
    host.live_until(0)
    return host


def assigned() -> SecureBench:
    host = bench()
    assert host.ask(m.Assign(ANNA)) == m.AssignReply(1)
    assert host.ask(m.Subject(ANNA)) == m.SubjectReply(1)
    host.load(tonic())
    host.live_until(100 * MS)
    return host


def again(host: SecureBench) -> SecureBench:
    """The same host in a new session, a while later."""
    assert isinstance(host.ask(m.Goodbye()), m.GoodbyeReply)
    host.hello(nonce=host.core.memory.session_count + 7)
    host.beat_ns = host.now_ns
    host.live_until(host.now_ns + 100 * MS)
    return host


def arm(host: SimHost, kind: ArmKind = ArmKind.STIMULATION) -> object:
    if kind is ArmKind.IMPEDANCE:
        return host.ask(m.Arm(kind, m.NO_SLOT, bytes(32), bytes(32)))
    return host.ask(m.Arm(kind, 0, host.core.memory.slots[0].digest, APPROVAL))


def code(reply: object) -> ErrorCode:
    assert isinstance(reply, m.Error), reply
    return reply.code


def retire(host: SecureBench, subject: str = ANNA, cleaning: str = CLEANING) -> object:
    digest = host.ask(m.UsageDigest()).usage_sha256
    return host.ask(m.Retire(subject, digest, cleaning))


def told(host: SecureBench) -> m.AssignmentReply:
    reply = host.ask(m.Assignment())
    assert isinstance(reply, m.AssignmentReply)
    return reply


def test_a_new_device_is_nobodys_and_arms_without_a_subject() -> None:
    host = bench()
    assert told(host) == m.AssignmentReply(0, False, "", "")
    assert code(host.ask(m.Subject(ANNA))) is ErrorCode.NOT_ASSIGNED
    assert code(retire(host)) is ErrorCode.NOT_ASSIGNED
    host.load(tonic())
    assert isinstance(arm(host), m.ArmReply)


@pytest.mark.hazard("wrong-device")
def test_a_bound_device_arms_stimulation_only_for_a_session_that_names_its_subject() -> None:
    host = again(assigned())
    assert code(arm(host)) is ErrorCode.SUBJECT_MISMATCH
    assert code(host.ask(m.Subject(BEN))) is ErrorCode.SUBJECT_MISMATCH
    assert code(arm(host)) is ErrorCode.SUBJECT_MISMATCH
    assert host.core.state is DeviceState.IDLE
    # Impedance needs no subject: it is how one finds out.
    assert isinstance(arm(host, ArmKind.IMPEDANCE), m.ArmReply)
    assert host.ask(m.Subject(ANNA)) == m.SubjectReply(1)
    assert isinstance(arm(host), m.ArmReply)


def test_the_session_that_assigned_must_say_for_whom_it_works_like_any_other() -> None:
    host = bench()
    host.ask(m.Assign(ANNA))
    host.load(tonic())
    assert code(arm(host)) is ErrorCode.SUBJECT_MISMATCH
    host.ask(m.Subject(ANNA))
    assert isinstance(arm(host), m.ArmReply)
    assert code(arm(again(host))) is ErrorCode.SUBJECT_MISMATCH


def test_a_bound_device_is_assigned_to_nobody_else() -> None:
    host = assigned()
    assert code(host.ask(m.Assign(BEN))) is ErrorCode.ASSIGNED
    assert code(host.ask(m.Assign(ANNA))) is ErrorCode.ASSIGNED
    assert told(host) == m.AssignmentReply(1, True, ANNA, "")


@pytest.mark.parametrize("text", ["", "   "])
def test_nobody_is_no_subject_and_nothing_is_no_cleaning(text: str) -> None:
    host = bench()
    assert code(host.ask(m.Assign(text))) is ErrorCode.MALFORMED
    host.ask(m.Assign(ANNA))
    assert code(retire(host, cleaning=text)) is ErrorCode.MALFORMED
    assert told(host).assigned


def test_the_assignment_survives_a_reset_and_a_takeover_of_control() -> None:
    host = assigned()
    host.core.restart()
    after = DeviceCore(profile("scs"), medium=holding(bytes(host.core._medium.data)))  # type: ignore[attr-defined]
    assert Assignment(after.memory).subject == ANNA


@pytest.mark.hazard("reuse")
def test_retiring_erases_slots_and_usage_logs_the_cleaning_and_frees_the_device() -> None:
    host = assigned()
    host.core.output.measured = (1, (m.ContactReading(1, m.ContactStatus.OK, 500, 600, 500_000, 4),))
    counted = host.core.memory.boot_count, host.core.memory.dose_count
    assert retire(host) == m.RetireReply(1)
    assert all(not slot.committed and not slot.data for slot in host.core.memory.slots)
    assert host.core.output.measured == (0, ())
    assert told(host) == m.AssignmentReply(1, False, "", CLEANING)
    codes = [values[3] for values in host.core.memory.log]
    assert codes.count(EventCode.RETIRED) == codes.count(EventCode.CLEANED) == 1
    assert (host.core.memory.boot_count, host.core.memory.dose_count) == counted
    assert host.core.home.usage.records(1) == []
    # The name of the subject is nowhere any more, and the next one starts with an empty device.
    assert host.ask(m.Assign(BEN)) == m.AssignReply(2)
    host.ask(m.Subject(BEN))
    assert code(arm(host)) is ErrorCode.SLOT_NOT_COMMITTED
    assert told(host) == m.AssignmentReply(2, True, BEN, CLEANING)


def test_retiring_needs_the_usage_log_read_to_its_end() -> None:
    host = assigned()
    digest = host.ask(m.UsageDigest()).usage_sha256
    assert code(host.ask(m.Retire(ANNA, bytes(32), CLEANING))) is ErrorCode.USAGE_UNREAD
    host.core.home.usage.add(1, 5, m.UsageKind.OFF_BUTTON)
    assert code(host.ask(m.Retire(ANNA, digest, CLEANING))) is ErrorCode.USAGE_UNREAD
    assert code(retire(host, subject=BEN)) is ErrorCode.SUBJECT_MISMATCH
    assert told(host).assigned
    assert host.core.memory.slots[0].committed
    assert isinstance(retire(host), m.RetireReply)


def test_nothing_is_assigned_or_retired_while_output_is_on() -> None:
    host = assigned()
    host.fire()
    host.live_until(host.now_ns + 700 * MS)
    assert code(retire(host)) is ErrorCode.OUTPUT_ON
    assert host.core.state is DeviceState.DELIVERING
    free = bench()
    free.load(tonic())
    free.fire()
    assert code(free.ask(m.Assign(ANNA))) is ErrorCode.OUTPUT_ON


def test_an_armed_token_dies_with_the_assignment() -> None:
    host = assigned()
    armed = host.arm()
    assert isinstance(retire(host), m.RetireReply)
    assert code(host.fire_with(armed)) in (ErrorCode.TOKEN_INVALID, ErrorCode.SLOT_NOT_COMMITTED)
    assert not host.core.output_on


def test_a_session_without_a_key_can_neither_assign_nor_retire() -> None:
    host = SimHost(DeviceCore(profile("scs")))
    host.hello()
    host.live_until(0)
    assert code(host.ask(m.Assign(ANNA))) is ErrorCode.AUTHENTICATION_REQUIRED
    assert code(host.ask(m.Retire(ANNA, bytes(32), CLEANING))) is ErrorCode.AUTHENTICATION_REQUIRED
    assert Assignment(host.core.memory).number == 0


def test_a_repeated_assign_and_retire_are_done_once() -> None:
    host = assigned()
    digest = host.ask(m.UsageDigest()).usage_sha256
    first = host.ask(m.Retire(ANNA, digest, CLEANING))
    host.command -= 1
    assert host.ask(m.Retire(ANNA, digest, CLEANING)) == first
    assert [v[3] for v in host.core.memory.log].count(EventCode.RETIRED) == 1


@pytest.mark.hazard("reuse")
@pytest.mark.parametrize("kind", ["assign", "retire"])
def test_power_lost_at_any_byte_leaves_the_device_bound_or_free_and_never_half(kind: str) -> None:
    host = bench() if kind == "assign" else assigned()
    if kind == "retire":
        host.core.home.usage.add(1, 5, m.UsageKind.OFF_BUTTON)
        host.ask(m.UsageDigest())
    medium = host.core._medium
    assert isinstance(medium, Recorder)
    before = bytes(medium.data)
    medium.log.clear()
    done = host.ask(m.Assign(ANNA)) if kind == "assign" else retire(host)
    assert not isinstance(done, m.Error)
    writes = list(medium.log)
    allowed = states_between(before, writes)
    for where, torn in torn_media(before, writes, every=3):
        found = remembered(torn)
        assert found in allowed, where
        bound = f"'subject': '{ANNA}'" in found["extra"].get("assignment", "")
        # Never a free device with the program of the one before, never a bound one without it.
        assert any(found["slots"]) == (bound and kind == "retire"), where


def test_nothing_of_the_subject_is_left_on_the_medium_after_retiring_or_a_power_loss_in_it() -> None:
    host = assigned()
    medium = host.core._medium
    assert isinstance(medium, Recorder)
    image = host.core.memory.slots[0].data.hex().encode()
    assert ANNA.encode() in medium.data
    assert image in medium.data
    before = bytes(medium.data)
    medium.log.clear()
    assert isinstance(retire(host), m.RetireReply)
    assert ANNA.encode() not in medium.data
    assert image not in medium.data
    writes = list(medium.log)
    retired = 0
    for number in range(len(writes) + 1):
        torn = holding(before)
        for offset, data in writes[:number]:
            torn.write(offset, data)
        after = DeviceCore(profile("scs"), medium=torn)
        if Assignment(after.memory).subject:
            continue
        retired += 1
        assert ANNA.encode() not in torn.data, number
        assert image not in torn.data, number
    assert retired >= 8


def test_a_key_that_was_erased_is_nowhere_on_the_medium() -> None:
    host = bench()
    medium = host.core._medium
    assert isinstance(medium, Recorder)
    key = b"\x5a" * 32
    host.core.keyring.give(b"2" * 16, "other", key)
    assert key.hex().encode() in medium.data
    assert host.core.keyring.erase(b"2" * 16)
    assert key.hex().encode() not in medium.data
