"""The host core against a device that is slow, wrong, deaf, doubled or gone: outcomes, bounds, heartbeat."""

from __future__ import annotations

import pytest

from neurostim.core.errors import (
    CommandTimeout,
    ConfigError,
    DeliveryUncertain,
    ProtocolError,
    TransportError,
)
from neurostim.device import Armed, CommandRefused, LinkState, Notice, NoticeKind
from neurostim.device.host_core import MAX_QUEUED, HostCore
from neurostim.device.tasks import Superseded
from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, ErrorCode, FaultCode, Role, StopCause
from support.scripted_device import ScriptedDevice, with_serial
from support.virtual_stimulator import VirtualStimulator

MS = 1_000_000
S = 1_000_000_000


def opened(device: ScriptedDevice | None = None, **more) -> VirtualStimulator:
    stimulator = VirtualStimulator(device or ScriptedDevice(), **more)
    stimulator.open()
    return stimulator


def live(stimulator: VirtualStimulator, duration_ns: int) -> None:
    """Let time pass while user interface and journal show themselves."""
    end = stimulator.clock.now_ns + duration_ns
    while stimulator.clock.now_ns < end:
        stimulator.beat("ui")
        stimulator.beat("journal")
        stimulator.pass_ns(min(50 * MS, end - stimulator.clock.now_ns))


def armed(stimulator: VirtualStimulator) -> Armed:
    live(stimulator, 300 * MS)
    request = m.Arm(m.ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32), bytes(32))
    reply = stimulator._run("ARM", _one(request), changes=True).result()
    return Armed(reply.token, reply.valid_us, reply.dose_count)


def measuring(stimulator: VirtualStimulator, token: Armed):
    """Fire the impedance program: the smallest thing that starts output."""
    request = m.ImpedanceFire(token.token, token.dose_count, 1)
    return stimulator._run("IMPEDANCE_FIRE", _one(request), changes=True)


def _one(request):
    reply = yield request
    return reply


def notices(stimulator: VirtualStimulator) -> list[NoticeKind]:
    return [one.kind for one in stimulator.take_critical() if isinstance(one, Notice)]


def counted(device: ScriptedDevice, kind: type) -> int:
    return sum(isinstance(request, kind) for request in device.received)


def lose(device: ScriptedDevice, kind: type, times: int = 1 << 30) -> None:
    """The device carries a command out and its answer is lost, so many times."""
    left = [times]

    def treat(request, reply):
        if isinstance(request, kind) and left[0] > 0:
            left[0] -= 1
            return []
        return [(0, reply)]

    device.treat = treat


# Opening.


def test_a_session_opens_with_who_and_what_the_device_is() -> None:
    stimulator = opened()
    assert stimulator.identity.serial_number == "TEST-0001"
    assert stimulator.capabilities.contact_count == 16
    assert stimulator.role is Role.CONTROL


def test_making_a_core_needs_a_usable_host_id() -> None:
    for host_id in (b"", bytes(16), bytes(15) + b"\x01\x02"):
        with pytest.raises(ConfigError):
            HostCore(host_id=host_id, supervisor=lambda _now: None, new_nonce=lambda: 1)


def test_a_lost_hello_is_asked_again_and_opens_one_session() -> None:
    device = ScriptedDevice()
    lose(device, m.Hello, times=2)
    stimulator = opened(device)
    assert stimulator.core.session == 1
    assert device.sessions == 1


def test_a_device_that_never_answers_is_a_typed_timeout() -> None:
    device = ScriptedDevice()
    device.deaf = lambda _request: True
    with pytest.raises(CommandTimeout, match="HELLO"):
        opened(device)


def test_a_hello_answered_with_another_nonce_opens_nothing() -> None:
    device = ScriptedDevice()

    def treat(request, reply):
        if isinstance(reply, m.HelloReply):
            values = {name: getattr(reply, name) for name in reply.__slots__}
            return [(0, m.HelloReply(**{**values, "nonce": reply.nonce + 1}))]
        return [(0, reply)]

    device.treat = treat
    with pytest.raises(CommandTimeout):
        opened(device)


def test_a_device_that_contradicts_itself_is_refused() -> None:
    device = ScriptedDevice()

    def treat(request, reply):
        if isinstance(reply, m.CapabilitiesReply):
            values = {name: getattr(reply, name) for name in reply.__slots__}
            return [(0, m.CapabilitiesReply(**{**values, "max_contact_na": reply.max_total_na + 1}))]
        return [(0, reply)]

    device.treat = treat
    with pytest.raises(ProtocolError) as caught:
        opened(device)
    assert caught.value.code == "bad-capabilities"


def test_another_version_of_the_protocol_is_refused() -> None:
    device = ScriptedDevice()

    def treat(request, reply):
        if isinstance(reply, m.IdentifyReply):
            values = {name: getattr(reply, name) for name in reply.__slots__}
            return [(0, m.IdentifyReply(**{**values, "protocol_version": 2}))]
        return [(0, reply)]

    device.treat = treat
    with pytest.raises(ProtocolError) as caught:
        opened(device)
    assert caught.value.code == "protocol-version"


# Reading: slow, lost, doubled, wrong.


def test_a_slow_device_is_heard_and_its_doubled_answers_are_counted() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.treat = lambda request, reply: [(400 * MS, reply)]
    assert stimulator.status().result().state is DeviceState.IDLE
    stimulator.pass_ns(S)
    assert stimulator.link_counters.replies_late >= 1
    assert stimulator.link_counters.resends >= 1


def test_a_lost_answer_to_a_reading_is_asked_for_again() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    lose(device, m.Status, times=3)
    assert stimulator.status().result().state is DeviceState.IDLE
    assert counted(device, m.Status) == 4


def test_a_reading_that_is_never_answered_times_out_and_the_next_works() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    lose(device, m.Status)
    with pytest.raises(CommandTimeout, match="STATUS"):
        stimulator.status().result()
    lose(device, m.Status, times=0)
    assert stimulator.status().result().state is DeviceState.IDLE


def test_every_answer_given_twice_changes_nothing() -> None:
    device = ScriptedDevice()
    device.treat = lambda request, reply: [(0, reply), (0, reply)]
    stimulator = opened(device)
    assert stimulator.measure_impedances([1, 2], 0)
    live(stimulator, S)
    assert device.dose_count == 0 or counted(device, m.ImpedanceFire) == 1
    assert stimulator.link_counters.replies_late > 0


def test_an_answer_of_another_kind_is_counted_and_not_believed() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)

    def treat(request, reply):
        if isinstance(request, m.Status):
            return [(0, m.GoodbyeReply(1)), (10 * MS, reply)]
        return [(0, reply)]

    device.treat = treat
    assert stimulator.status().result().state is DeviceState.IDLE
    assert stimulator.link_counters.replies_foreign == 1


def test_a_refusal_names_the_devices_reason() -> None:
    stimulator = opened()
    with pytest.raises(CommandRefused) as caught:
        stimulator.clear(StopCause.DEAD_MAN, FaultCode.NONE).result()
    assert caught.value.refusal is ErrorCode.CLEAR_MISMATCH
    assert caught.value.code == "refused-clear-mismatch"


def test_pages_of_counters_and_log_are_read_to_their_end() -> None:
    stimulator = opened()
    assert [one.contact for one in stimulator.counters().result().contacts] == list(range(1, 17))
    assert [one.index for one in stimulator.log().result()] == list(range(1, 41))
    assert [one.index for one in stimulator.log(39).result()] == [39, 40]


def test_counters_that_never_end_are_a_protocol_error() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.treat = lambda request, reply: [
        (0, m.CountersReply(1, 1, 0, 1, ())) if isinstance(request, m.Counters) else (0, reply)
    ]
    with pytest.raises(ProtocolError, match="do not come to an end"):
        stimulator.counters().result()


# One change at a time.


@pytest.mark.hazard("race-wrap")
def test_changes_wait_for_each_other_and_readings_do_not() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    live(stimulator, 300 * MS)
    device.treat = lambda request, reply: [(100 * MS if isinstance(request, m.Arm) else 0, reply)]
    arm = m.Arm(m.ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32), bytes(32))
    first = stimulator._run("ARM", _one(arm), changes=True)
    second = stimulator._run("ARM", _one(arm), changes=True)
    reading = stimulator.status()
    live(stimulator, 50 * MS)
    assert reading.done()
    assert counted(device, m.Arm) == 1
    assert not first.done()
    live(stimulator, 300 * MS)
    assert (first.result().token, second.result().token) == (7001, 7002)


def test_too_many_waiting_commands_are_refused_unsent() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.deaf = lambda request: True
    futures = [stimulator.status() for _ in range(MAX_QUEUED + 10)]
    refused = [one for one in futures if one.done()]
    assert {one.error().code for one in refused} == {"queue-full"}
    stimulator.pass_ns(20 * S)
    assert all(one.done() for one in futures)


def test_never_more_than_256_bytes_wait_unanswered() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    live(stimulator, S)
    device.treat = lambda request, reply: []
    for _ in range(20):
        stimulator.status()
        stimulator.counters()
        stimulator.log()
    longest = 0
    for _ in range(3000):
        stimulator.beat("ui")
        stimulator.beat("journal")
        stimulator.pass_ns(MS)
        longest = max(longest, stimulator.core._outbox.unproven)
    assert 100 < longest <= 256
    assert stimulator.longest_unproven <= 256


# Uncertain outcomes.


@pytest.mark.hazard("double-dose")
@pytest.mark.parametrize("lost", ["answer", "command"])
def test_a_lost_start_is_asked_about_and_never_sent_again(lost) -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    token = armed(stimulator)
    if lost == "answer":
        lose(device, m.ImpedanceFire)
    else:
        device.deaf = lambda request: isinstance(request, m.ImpedanceFire)
    future = measuring(stimulator, token)
    live(stimulator, S)
    assert counted(device, m.ImpedanceFire) == (1 if lost == "answer" else 0)
    assert stimulator.link_counters.queries == 1
    if lost == "answer":
        assert future.result().dose_number == 1
        assert device.dose_count == 1
    else:
        with pytest.raises(CommandTimeout) as caught:
            future.result()
        assert caught.value.code == "not-received"
        assert device.dose_count == 0
    assert stimulator.uncertain is None


def test_without_any_answer_a_start_is_uncertain_and_blocks_until_the_record_tells() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    token = armed(stimulator)
    device.treat = lambda request, reply: [
        (0, reply) for _ in "x" if not isinstance(request, (m.ImpedanceFire, m.QueryCommand))
    ]
    future = measuring(stimulator, token)
    live(stimulator, 2 * S)
    with pytest.raises(DeliveryUncertain):
        future.result()
    assert stimulator.uncertain == "IMPEDANCE_FIRE"
    arm = m.Arm(m.ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32), bytes(32))
    before = len(device.received)
    blocked = stimulator._run("ARM", _one(arm), changes=True)
    with pytest.raises(DeliveryUncertain) as caught:
        blocked.result()
    assert caught.value.code == "uncertain-blocks"
    assert not any(isinstance(request, m.Arm) for request in device.received[before:])
    device.treat = lambda request, reply: [(0, reply)]
    live(stimulator, 2 * S)
    assert stimulator.uncertain is None
    assert NoticeKind.UNCERTAIN_RESOLVED in notices(stimulator)
    assert device.dose_count == 1


def test_a_late_answer_ends_the_uncertainty() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    token = armed(stimulator)

    def treat(request, reply):
        if isinstance(request, m.ImpedanceFire):
            return [(3 * S, reply)]
        return [] if isinstance(request, m.QueryCommand) else [(0, reply)]

    device.treat = treat
    measuring(stimulator, token)
    live(stimulator, 2 * S)
    assert stimulator.uncertain == "IMPEDANCE_FIRE"
    live(stimulator, 2 * S)
    assert stimulator.uncertain is None


def test_an_uncertain_start_is_resolved_after_a_reset_by_the_dose_count() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    token = armed(stimulator)
    lose(device, m.ImpedanceFire)
    future = measuring(stimulator, token)
    stimulator.pass_ns(5 * MS)
    assert device.dose_count == 1
    device.reset()
    live(stimulator, 2 * S)
    with pytest.raises(DeliveryUncertain):
        future.result()
    assert stimulator.core.state is LinkState.SESSION_LOST
    stimulator.reopen()
    stimulator.pass_ns(S)
    assert stimulator.uncertain is None
    resolved = [one for one in stimulator.take_critical() if isinstance(one, Notice)]
    texts = [one.text for one in resolved if one.kind is NoticeKind.UNCERTAIN_RESOLVED]
    assert texts == ["IMPEDANCE_FIRE was carried out"]


def test_a_start_cut_off_by_a_pulled_cable_is_uncertain_and_resolved_after_reconnecting() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    token = armed(stimulator)
    future = measuring(stimulator, token)
    stimulator.core.poll(stimulator.clock.now_ns)
    stimulator._send()
    stimulator.unplug()
    with pytest.raises(DeliveryUncertain):
        future.result()
    stimulator.reopen()
    assert stimulator.role is Role.OBSERVE
    stimulator.pass_ns(2 * S)
    assert stimulator.uncertain is None
    assert device.dose_count == 0


def test_a_decision_ends_an_uncertainty_only_with_a_reason() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    token = armed(stimulator)
    device.treat = lambda request, reply: [
        (0, reply) for _ in "x" if not isinstance(request, (m.ImpedanceFire, m.QueryCommand))
    ]
    measuring(stimulator, token)
    live(stimulator, 2 * S)
    with pytest.raises(ConfigError):
        stimulator.settle_by_decision(" ")
    stimulator.settle_by_decision("the output was off on the oscilloscope")
    assert stimulator.uncertain is None


def test_an_unanswered_arm_is_asked_about_and_sent_again_under_its_own_id() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    live(stimulator, 300 * MS)
    left = [1]

    def deaf(request):
        if isinstance(request, m.Arm) and left[0]:
            left[0] -= 1
            return True
        return False

    device.deaf = deaf
    arm = m.Arm(m.ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32), bytes(32))
    future = stimulator._run("ARM", _one(arm), changes=True)
    live(stimulator, S)
    assert future.result().token == 7001
    assert stimulator.link_counters.queries == 1


@pytest.mark.hazard("stale-fire")
def test_a_start_that_waited_too_long_on_the_host_is_not_sent() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    token = armed(stimulator)
    future = stimulator.core.future("IMPEDANCE_FIRE")
    for number in (1 << 20, 1 << 21, 1 << 22):
        stimulator.core._outbox.offer(m.LoadCommit(0, bytes(32), ()), number)
    stimulator.core._outbox.take()
    script = _one(m.ImpedanceFire(token.token, token.dose_count, 1))
    stimulator.core.run(future, script, stimulator.clock.now_ns, changes=True)
    assert stimulator.core.take_output() is None
    # The process is held up for ten seconds here, as by SIGSTOP; then everything goes on at once.
    stimulator.clock.now_ns += 10 * S
    stimulator.core._outbox.proven(1 << 40)
    stimulator.core._at(stimulator.clock.now_ns)
    stimulator.core._pump()
    with pytest.raises(CommandTimeout) as caught:
        future.result(0)
    assert caught.value.code == "too-late"
    assert counted(device, m.ImpedanceFire) == 0


# Heartbeat.


def test_the_heartbeat_goes_every_100_ms_while_both_parties_live() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    live(stimulator, S)
    before = counted(device, m.Heartbeat)
    live(stimulator, 10 * S)
    assert 98 <= counted(device, m.Heartbeat) - before <= 101
    assert stimulator.supervised


@pytest.mark.hazard("stuck-host")
@pytest.mark.parametrize("silent", ["ui", "journal"])
def test_no_heartbeat_is_sent_once_a_party_is_silent_for_a_second(silent) -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    live(stimulator, S)
    other = "journal" if silent == "ui" else "ui"
    for _ in range(40):
        stimulator.beat(other)
        stimulator.pass_ns(50 * MS)
    count = counted(device, m.Heartbeat)
    stimulator.beat(other)
    stimulator.pass_ns(S)
    assert counted(device, m.Heartbeat) == count
    assert notices(stimulator).count(NoticeKind.HEARTBEAT_WITHHELD) == 1
    assert not stimulator.supervised


def test_output_ends_when_the_program_behind_the_host_freezes() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    measuring(stimulator, armed(stimulator))
    stimulator.pass_ns(5 * MS)
    device.dose.start_ns = 1 << 62
    stimulator.pass_ns(3 * S)
    assert not device.output_on
    assert device.cause is StopCause.DEAD_MAN


def test_an_observer_sends_no_heartbeat() -> None:
    device = ScriptedDevice()
    opened(device)
    second = VirtualStimulator(device, host=2)
    second.open()
    assert second.role is Role.OBSERVE
    live(second, 2 * S)
    assert counted(device, m.Heartbeat) == 0


def test_a_dead_heartbeat_is_told_once() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.treat = lambda request, reply: [
        (0, m.Error(ErrorCode.LEASE_STALE, request.TYPE, device.state, 0, ""))
        if isinstance(request, m.Heartbeat)
        else (0, reply)
    ]
    live(stimulator, 2 * S)
    assert notices(stimulator).count(NoticeKind.HEARTBEAT_DEAD) == 1
    assert stimulator.link_counters.heartbeats_dead > 10
    assert not stimulator.supervised


# Silence, loss, reconnect.


@pytest.mark.hazard("stale-display")
def test_a_silent_link_is_told_and_heard_again() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.treat = lambda request, reply: []
    stimulator.pass_ns(2 * S)
    assert stimulator.core.state is LinkState.SILENT
    device.treat = lambda request, reply: [(0, reply)]
    stimulator.pass_ns(S)
    assert stimulator.core.state is LinkState.OPEN
    kinds = notices(stimulator)
    assert kinds.count(NoticeKind.LINK_SILENT) == kinds.count(NoticeKind.LINK_HEARD) == 1


def test_a_host_that_hears_nothing_does_not_keep_output_alive() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    live(stimulator, S)
    device.treat = lambda request, reply: []
    live(stimulator, S + 50 * MS)
    count = counted(device, m.Heartbeat)
    live(stimulator, 3 * S)
    assert counted(device, m.Heartbeat) == count


def test_after_five_silent_seconds_the_session_is_over_and_commands_say_so() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.treat = lambda request, reply: []
    stimulator.pass_ns(7 * S)
    assert stimulator.core.state is LinkState.SESSION_LOST
    with pytest.raises(TransportError, match="Connect again"):
        stimulator.status().result()


def test_a_device_that_forgot_the_session_ends_it() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.reset()
    stimulator.pass_ns(S)
    assert stimulator.core.state is LinkState.SESSION_LOST
    assert NoticeKind.SESSION_LOST in notices(stimulator)


def test_reconnecting_only_reads_and_stops() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    stimulator.unplug()
    with pytest.raises(TransportError):
        stimulator.status().result()
    stimulator.reopen()
    assert stimulator.role is Role.OBSERVE
    assert stimulator.status().result().state is DeviceState.IDLE
    with pytest.raises(ProtocolError) as caught:
        stimulator.clear(StopCause.STOP, FaultCode.NONE).result()
    assert caught.value.code == "read-only"
    assert stimulator.stop().result().state is DeviceState.STOPPED


@pytest.mark.hazard("wrong-device")
def test_reconnecting_to_another_device_is_refused() -> None:
    stimulator = opened()
    stimulator.unplug()
    stimulator.device = ScriptedDevice(with_serial("TEST-0002"))
    with pytest.raises(ProtocolError) as caught:
        stimulator.reopen()
    assert caught.value.code == "another-device"


def test_a_restarted_device_is_told() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.reset()
    stimulator.pass_ns(S)
    stimulator.reopen()
    assert NoticeKind.DEVICE_RESTARTED in notices(stimulator)


def test_commands_queued_when_the_cable_is_pulled_all_get_an_outcome() -> None:
    stimulator = opened()
    futures = [stimulator.status() for _ in range(20)]
    stimulator.unplug()
    assert all(isinstance(one.error(0), TransportError) for one in futures)


def test_a_second_host_reads_and_may_stop_and_nothing_else() -> None:
    device = ScriptedDevice()
    first = opened(device)
    live(first, 300 * MS)
    second = VirtualStimulator(device, clock=first.clock, host=2)
    second.open()
    assert second.role is Role.OBSERVE
    assert second.status().result().controller == (1).to_bytes(16, "big")
    with pytest.raises(ProtocolError, match="only read and stop"):
        second.measure_impedances([1], 0).result()
    assert second.stop().result().stop_cause is StopCause.STOP
    assert device.state is DeviceState.STOPPED


# Stopping.


def test_a_stop_is_confirmed_by_the_device() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    confirmation = stimulator.stop().result()
    assert confirmation.state is DeviceState.STOPPED
    assert confirmation.stop_cause is StopCause.STOP
    assert confirmation.took_ns < 5 * MS
    assert not confirmation.escalated


@pytest.mark.hazard("slow-stop")
def test_a_stop_overtakes_and_takes_back_what_waits() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    live(stimulator, 300 * MS)
    futures = [stimulator.clear(StopCause.STOP, FaultCode.NONE) for _ in range(5)]
    flushes = stimulator.flushes
    stop = stimulator.stop()
    assert stop.result().state is DeviceState.STOPPED
    assert stimulator.flushes == flushes + 1
    assert isinstance(device.executed[-1], m.Stop)
    assert [type(one.error(2)) for one in futures[1:]] == [Superseded] * 4
    assert counted(device, m.Clear) <= 1


def test_the_stop_frame_begins_with_a_delimiter() -> None:
    stimulator = opened()
    stimulator.pass_ns(10 * MS)
    future = stimulator.core.future("STOP")
    stimulator.core.take_output()
    stimulator.core.stop(future, stimulator.clock.now_ns, emergency=False)
    outgoing = stimulator.core.take_output()
    assert outgoing.flush
    assert outgoing.data[:1] == b"\x00"


@pytest.mark.hazard("slow-stop")
def test_an_unconfirmed_stop_is_repeated_then_escalates_then_says_pull_the_cable() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.treat = lambda request, reply: []
    device.mute_events = True
    start = stimulator.clock.now_ns
    times: list[tuple[int, bool]] = []

    def deaf(request) -> bool:
        if isinstance(request, (m.Stop, m.EmergencyStop)):
            times.append(((device.now_ns - start) // MS, isinstance(request, m.EmergencyStop)))
        return False

    device.deaf = deaf
    future = stimulator.stop()
    error = future.error(2)
    assert isinstance(error, DeliveryUncertain)
    assert error.code == "stop-not-confirmed"
    assert "Pull the lead cable" in error.remedy
    assert abs(stimulator.clock.now_ns - start - 600 * MS) < 2 * MS
    plain = [at for at, emergency in times if not emergency]
    urgent = [at for at, emergency in times if emergency]
    assert [round(at / 50) for at in plain] == [0, 1, 2, 3, 4]
    assert abs(urgent[0] - 250) <= 2
    stimulator.pass_ns(2 * S)
    events = [one for one in stimulator.take_critical() if isinstance(one, Notice)]
    kinds = [one.kind for one in events]
    assert kinds.count(NoticeKind.STOP_ESCALATED) == kinds.count(NoticeKind.STOP_NOT_CONFIRMED) == 1
    assert "pull the lead cable" in next(
        one.text for one in events if one.kind is NoticeKind.STOP_NOT_CONFIRMED
    )
    device.treat = lambda request, reply: [(0, reply)]
    stimulator.pass_ns(S)
    assert NoticeKind.STOP_CONFIRMED in notices(stimulator)
    assert not stimulator.core.stopping


def test_starts_are_blocked_while_a_stop_is_unconfirmed() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    token = armed(stimulator)
    device.deaf = lambda request: isinstance(request, (m.Stop, m.EmergencyStop))
    stimulator.stop()
    with pytest.raises(DeliveryUncertain) as caught:
        measuring(stimulator, token).result()
    assert caught.value.code == "stop-pending"
    assert device.dose_count == 0


def test_the_devices_own_latch_event_confirms_a_stop_whose_answer_is_lost() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    lose(device, m.Stop)
    assert stimulator.stop().result().state is DeviceState.STOPPED
    assert not stimulator.core.stopping


@pytest.mark.hazard("false-stop-confirmation")
def test_an_emergency_stop_needs_its_own_answer() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    lose(device, m.EmergencyStop)
    first = stimulator.stop(emergency=True)
    stimulator.pass_ns(100 * MS)
    assert not first.done()
    lose(device, m.EmergencyStop, times=0)
    assert first.result().stop_cause is StopCause.EMERGENCY_STOP


def test_a_stop_joined_by_an_emergency_stop_becomes_one() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    lose(device, m.Stop)
    device.mute_events = True
    plain = stimulator.stop()
    stimulator.pass_ns(10 * MS)
    urgent = stimulator.stop(emergency=True)
    assert urgent.result().state is DeviceState.STOPPED
    assert plain.done()
    assert counted(device, m.EmergencyStop) >= 1


@pytest.mark.hazard("false-stop-confirmation")
def test_the_late_answer_to_a_plain_stop_does_not_confirm_an_emergency_stop() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.mute_events = True

    def treat(request, reply):
        if isinstance(request, m.EmergencyStop):
            return []
        return [(30 * MS if isinstance(request, m.Stop) else 0, reply)]

    device.treat = treat
    stimulator.stop()
    stimulator.pass_ns(10 * MS)
    urgent = stimulator.stop(emergency=True)
    stimulator.pass_ns(200 * MS)
    assert not urgent.done()
    device.treat = lambda request, reply: [(0, reply)]
    assert urgent.result().stop_cause is StopCause.STOP
    assert counted(device, m.EmergencyStop) > 1


def test_a_stop_without_a_link_says_so_and_is_sent_first_after_reconnecting() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    stimulator.unplug()
    future = stimulator.stop()
    assert future.error(2).code == "stop-not-confirmed"
    before = len(device.received)
    stimulator.plugged = True
    stimulator.pass_ns(S)
    assert isinstance(device.received[before], m.EmergencyStop)
    assert device.state is DeviceState.STOPPED


def test_two_stops_one_after_the_other_are_both_executed() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    assert stimulator.stop().result().state is DeviceState.STOPPED
    stimulator.clear(StopCause.STOP, FaultCode.NONE).result()
    assert device.state is DeviceState.IDLE
    assert stimulator.stop().result().state is DeviceState.STOPPED
    assert device.state is DeviceState.STOPPED


def test_a_soft_stop_that_is_not_answered_becomes_a_stop() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.deaf = lambda request: isinstance(request, m.SoftStop)
    with pytest.raises(CommandTimeout):
        stimulator.soft_stop().result()
    stimulator.pass_ns(100 * MS)
    assert device.state is DeviceState.STOPPED
    assert counted(device, m.Stop) >= 1


def test_a_soft_stop_does_not_wait_for_a_change_under_way() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    token = armed(stimulator)
    device.treat = lambda request, reply: [] if isinstance(request, m.ImpedanceFire) else [(0, reply)]
    measuring(stimulator, token)
    stimulator.pass_ns(5 * MS)
    assert stimulator.soft_stop().result().state is DeviceState.IDLE
    assert not device.output_on


def test_closing_gives_every_future_an_outcome() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    device.deaf = lambda request: True
    futures = [stimulator.status(), stimulator.stop(), stimulator.counters()]
    stimulator.close()
    assert [type(one.error(0)) for one in futures] == [TransportError, DeliveryUncertain, TransportError]


def test_the_clock_of_the_device_is_estimated_with_its_drift() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    live(stimulator, 8 * S)
    fit = stimulator.clock_fit()
    assert abs(fit.offset_ns - 5_000_000_000) <= fit.bound_ns
    assert fit.drift_ppm is not None
    assert abs(fit.drift_ppm) < 1


@pytest.mark.hazard("wall-clock")
def test_jumps_of_the_time_of_day_change_nothing() -> None:
    device = ScriptedDevice()
    stimulator = opened(device)
    live(stimulator, S)
    stimulator.clock.wall = "1970-01-01T00:00:00.000+00:00"
    live(stimulator, S)
    assert stimulator.supervised
    assert stimulator.stop().result().state is DeviceState.STOPPED
