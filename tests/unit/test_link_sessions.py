"""Sealed sessions of the simulated device: who controls, what a session inherits, whose place is taken."""

from __future__ import annotations

from typing import Any

import pytest

from neurostim.wire import messages as m
from neurostim.wire.codec import pack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.messages import (
    CommandOutcome,
    DeviceState,
    ErrorCode,
    EventCode,
    FaultCode,
    HandshakePurpose,
    Role,
    StopCause,
)
from neurostim.wire.pairing import pairing_psk, parse_code
from neurostim_sim.core import DeviceCore
from neurostim_sim.hardware import BATTERY_SECONDS
from neurostim_sim.profiles import profile
from support.secure_bench import SecureBench
from support.sim_bench import MS, SimHost, tonic

S = 1_000 * MS
A, B, C, D, E = (bytes([letter]) * 16 for letter in b"ABCDE")


def fresh(**more: Any) -> DeviceCore:
    return DeviceCore(profile("scs"), seed=5, **more)


class Ward:
    """Hosts with keys around one device, each with a line of its own."""

    def __init__(self, *names: bytes) -> None:
        self.core = fresh()
        self.hosts = {name: SecureBench(self.core, name, line=i) for i, name in enumerate(names, 1)}
        for host in self.hosts.values():
            assert isinstance(host.pair(), m.PairReply)

    def __getitem__(self, name: bytes) -> SecureBench:
        return self.hosts[name]

    def pass_until(self, at_ns: int, *living: bytes) -> None:
        """Let time pass; those named send heartbeats."""
        step = 100 * MS
        now = self.core.clock.true_ns
        while now < at_ns:
            now = min(now + step, at_ns)
            self.core.advance(now)
            for name in living:
                host = self.hosts[name]
                host.now_ns, host.beats = now, host.beats + 1
                host.ask_anyway(m.Heartbeat(host.beats, host.beats))
        for host in self.hosts.values():
            host.heard()
            host.now_ns = host.beat_ns = now


def logged(core: DeviceCore, code: EventCode) -> list[int]:
    return [values[6] for values in core.memory.log if values[3] == code]


def delivering() -> Ward:
    ward = Ward(A, B)
    ward[A].start(tonic())
    ward.pass_until(S, A)
    assert ward.core.state is DeviceState.DELIVERING
    return ward


# --------------------------------------------------------------------------------------- takeover


@pytest.mark.hazard("session-reset")
def test_a_handshake_touches_nothing_until_its_first_sealed_frame() -> None:
    ward = Ward(A, B)
    ward[A].hello()
    ward.pass_until(100 * MS, A)
    ward[A].load(tonic())
    ward[A].arm()
    before = dict(ward.core.sessions.open), ward.core.token, list(ward.core.memory.log)
    ward[B].shake(HandshakePurpose.SESSION, ward[B].key)
    assert (dict(ward.core.sessions.open), ward.core.token, list(ward.core.memory.log)) == before
    reply = ward[B].ask(m.Hello(B, 1, Role.CONTROL, A))
    assert reply.role is Role.CONTROL
    assert ward.core.token is None
    assert ward.core.state is DeviceState.IDLE
    assert logged(ward.core, EventCode.TAKEOVER) == [reply.session]


@pytest.mark.hazard("session-reset")
def test_a_takeover_needs_output_off() -> None:
    ward = delivering()
    reply = ward[B].greet(Role.CONTROL, takeover=A)
    assert (reply.role, reply.refusal) == (Role.OBSERVE, ErrorCode.OUTPUT_ON)
    assert ward.core.sessions.controller_host == A
    assert ward.core.state is DeviceState.DELIVERING


def test_a_takeover_needs_the_recovery_to_be_over() -> None:
    ward = delivering()
    ward.core.advance(S + 300_000)
    ward[A].ask(m.EmergencyStop())
    assert ward.core.state is DeviceState.STOPPED
    assert ward.core.output_on
    assert ward[B].greet(Role.CONTROL, takeover=A).refusal is ErrorCode.OUTPUT_ON
    ward.pass_until(2 * S, A)
    assert ward[B].greet(Role.CONTROL, takeover=A).role is Role.CONTROL


def test_a_takeover_names_the_one_in_control() -> None:
    ward = Ward(A, B, C)
    ward[A].hello()
    ward.pass_until(100 * MS, A)
    assert ward[B].greet(Role.CONTROL).refusal is ErrorCode.CONTROL_HELD
    assert ward[B].greet(Role.CONTROL, takeover=C).refusal is ErrorCode.CONTROL_HELD
    assert ward[B].greet(Role.CONTROL, takeover=A).role is Role.CONTROL
    assert ward[A].ask(m.Arm(m.ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32), bytes(32))).code is (
        ErrorCode.NOT_CONTROLLER
    )


def test_a_host_that_crashed_comes_back_with_a_new_handshake_and_reads_first() -> None:
    ward = delivering()
    again = SecureBench(ward.core, A, line=9)
    again.key, again._shakes = ward[A].key, 50
    assert again.greet(Role.CONTROL).refusal is ErrorCode.CONTROL_HELD
    ward.pass_until(1_200 * MS)
    assert again.greet(Role.CONTROL).role is Role.OBSERVE
    ward.pass_until(1_900 * MS)
    assert not ward.core.output_on
    reply = again.greet(Role.CONTROL)
    assert (reply.role, reply.state) == (Role.CONTROL, DeviceState.STOPPED)
    status = again.ask(m.Status())
    assert (status.stop_cause, status.amplitudes_na) == (StopCause.DEAD_MAN, ())


@pytest.mark.hazard("session-reset")
def test_a_new_session_inherits_no_armed_state() -> None:
    ward = Ward(A, B)
    ward[A].hello()
    ward.pass_until(100 * MS, A)
    ward[A].load(tonic())
    armed = ward[A].arm()
    ward[B].greet(Role.CONTROL, takeover=A)
    ward.pass_until(200 * MS, B)
    assert ward[B].fire_with(armed).code is ErrorCode.TOKEN_INVALID
    assert ward.core.memory.dose_count == 0


def test_a_new_session_inherits_no_living_heartbeat() -> None:
    ward = Ward(A, B)
    ward[A].hello()
    ward.pass_until(100 * MS, A)
    ward[A].load(tonic())
    ward[B].greet(Role.CONTROL, takeover=A)
    held = ward.core.memory.slots[0]
    assert ward[B].ask(m.Arm(m.ArmKind.STIMULATION, 0, held.digest, held.approval)).code is (
        ErrorCode.NOT_SUPERVISED
    )


def test_a_hello_names_the_host_of_its_channel() -> None:
    ward = Ward(A, B)
    ward[B].shake(HandshakePurpose.SESSION, ward[B].key)
    assert ward[B].ask(m.Hello(A, 1, Role.CONTROL, bytes(16))).code is ErrorCode.MALFORMED
    assert ward.core.sessions.open == {}


def test_a_repeated_hello_returns_the_same_session() -> None:
    ward = Ward(A)
    first = ward[A].greet(nonce=7)
    again = ward[A].ask(m.Hello(A, 7, Role.CONTROL, bytes(16)))
    assert (again.session, again.role) == (first.session, first.role)
    assert ward[A].ask(m.Hello(A, 8, Role.CONTROL, bytes(16))).code is ErrorCode.MALFORMED
    assert len(ward.core.sessions.open) == 1


# ------------------------------------------------------------------------------------- the channel


def test_a_channel_is_forgotten_after_two_seconds() -> None:
    ward = Ward(A)
    ward[A].shake(HandshakePurpose.SESSION, ward[A].key)
    ward.pass_until(2 * S + 1)
    assert ward[A].ask_anyway(m.Hello(A, 1, Role.CONTROL, bytes(16))) is None
    assert ward.core.sessions.open == {}


def test_a_channel_is_forgotten_in_time_also_behind_one_for_pairing() -> None:
    ward = Ward(A, B)
    ward[B].shake(HandshakePurpose.PAIR, pairing_psk(parse_code(ward.core.label_code)))
    ward[A].shake(HandshakePurpose.SESSION, ward[A].key)
    ward.core.advance(2 * S)
    assert isinstance(ward[B].ask(m.Pair("bench")), m.PairReply)
    ward.core.advance(2 * S + 1)
    assert ward[A].ask_anyway(m.Hello(A, 1, Role.CONTROL, bytes(16))) is None
    assert isinstance(ward[B].ask(m.Pair("bench")), m.PairReply)


def test_each_line_has_room_for_channels_of_its_own() -> None:
    ward = Ward(A, B, C)
    for name in (A, B, C):
        ward[name].shake(HandshakePurpose.SESSION, ward[name].key)
    for name in (A, B, C):
        assert isinstance(ward[name].ask(m.Hello(name, 1, Role.OBSERVE, bytes(16))), m.HelloReply)


def test_the_same_first_message_is_answered_alike_and_makes_one_channel() -> None:
    ward = Ward(A, B)
    ward[B].shake(HandshakePurpose.SESSION, ward[B].key)
    a = ward[A]
    reply = a.shake(HandshakePurpose.SESSION, a.key)
    line = a.sent[-1]
    for _ in range(10):
        a.core.receive(line, a.line)
    a.heard()
    assert a.unsealed == [reply] * 10
    for name in (A, B):
        assert isinstance(ward[name].ask(m.Hello(name, 1, Role.OBSERVE, bytes(16))), m.HelloReply)


# ------------------------------------------------------------------------------------- finding room


def test_observers_do_not_keep_out_who_asks_for_control_with_a_key() -> None:
    ward = Ward(A, B, C, D, E)
    silent = {}
    for i, name in enumerate((B, C, D, E)):
        ward.core.advance((i + 1) * 100 * MS)
        silent[name] = ward[name].greet(Role.OBSERVE).session
    ward.core.advance(500 * MS)
    ward[B].ask(m.Status())
    reply = ward[A].greet(Role.CONTROL)
    assert reply.role is Role.CONTROL
    assert silent[C] not in ward.core.sessions.open
    assert {silent[name] for name in (B, D, E)} < set(ward.core.sessions.open)
    assert logged(ward.core, EventCode.SESSION_EVICTED) == [silent[C]]


def test_an_observer_takes_nobodys_place() -> None:
    ward = Ward(A, B, C, D, E)
    ward[A].hello()
    for name in (B, C, D):
        ward[name].greet(Role.OBSERVE)
    assert ward[E].greet(Role.OBSERVE).code is ErrorCode.TOO_MANY_SESSIONS
    assert ward[E].greet(Role.CONTROL).refusal is ErrorCode.CONTROL_HELD
    assert ward.core.sessions.controller_host == A


def test_hosts_without_keys_evict_nobody() -> None:
    core = fresh()
    hosts = [SimHost(core) for _ in range(5)]
    for i, host in enumerate(hosts[:4]):
        host.ask(m.Hello(bytes([i + 1]) * 16, 1, Role.OBSERVE, bytes(16)))
    refused = hosts[4].ask(m.Hello(b"z" * 16, 1, Role.CONTROL, bytes(16)))
    assert refused.code is ErrorCode.TOO_MANY_SESSIONS
    assert len(core.sessions.open) == 4


# ------------------------------------------------------------------------------------------- lines


def frames(core: DeviceCore, line: int) -> list[Frame]:
    return [one for one in FrameDecoder().feed(core.take_output(line)) if isinstance(one, Frame)]


def test_a_reply_goes_to_the_line_that_asked_and_an_event_to_where_the_session_lives() -> None:
    core = fresh()
    hello = m.Hello(A, 1, Role.CONTROL, bytes(16))
    core.receive(pack(hello, session=0, sequence=0, command_id=1, lease_us=0), 3)
    core.receive(pack(m.Identify(), session=0, sequence=0, command_id=2, lease_us=0), 7)
    assert [one.type for one in frames(core, 3)] == [m.Hello.TYPE]
    assert [one.type for one in frames(core, 7)] == [m.Identify.TYPE]
    core.receive(pack(m.Stop(), session=0, sequence=0, command_id=3, lease_us=0), 7)
    assert [one.type for one in frames(core, 7)] == [m.Stop.TYPE]
    assert [one.type for one in frames(core, 3)] == [m.StateChanged.TYPE]
    # The host moves to another line: its events follow.
    core.receive(pack(m.Status(), session=1, sequence=1, command_id=1, lease_us=0), 7)
    clear = m.Clear(StopCause.STOP, FaultCode.NONE)
    core.receive(pack(clear, session=1, sequence=2, command_id=2, lease_us=core.now_us), 7)
    assert [one.type for one in frames(core, 7)] == [m.Status.TYPE, m.StateChanged.TYPE, m.Clear.TYPE]
    assert frames(core, 3) == []


def test_half_a_frame_on_one_line_does_not_hurt_another() -> None:
    core = fresh()
    line = pack(m.Identify(), session=0, sequence=0, command_id=1, lease_us=0)
    core.receive(line[:20], 1)
    core.receive(line, 2)
    assert len(frames(core, 2)) == 1
    core.receive(line[20:], 1)
    assert len(frames(core, 1)) == 1


def test_a_line_that_is_gone_holds_nothing_and_its_session_moves() -> None:
    core = fresh()
    hello = m.Hello(A, 1, Role.CONTROL, bytes(16))
    core.receive(pack(hello, session=0, sequence=0, command_id=1, lease_us=0), 1)
    core.drop_line(1)
    core.receive(pack(m.Stop(), session=0, sequence=0, command_id=1, lease_us=0), 2)
    assert core.take_output(1) == b""
    core.take_output(2)
    core.receive(pack(m.Status(), session=1, sequence=1, command_id=2, lease_us=0), 2)
    (status,) = frames(core, 2)
    # The event that had nowhere to go is missing in the numbers: the host sees the gap.
    assert status.sequence == 2


# ----------------------------------------------------------------------------- what was asked before


def test_a_command_of_an_earlier_boot_is_unknown_and_the_boot_count_tells() -> None:
    ward = Ward(A)
    ward[A].hello()
    session = ward[A].session
    ward[A].ask(m.LoadBegin(0, 100, bytes(32)))
    command = ward[A].command
    assert ward[A].ask(m.QueryCommand(session, command)).outcome is CommandOutcome.DONE
    ward.core.restart()
    ward[A].hello()
    assert ward[A].ask(m.QueryCommand(session, command)).outcome is CommandOutcome.UNKNOWN


def test_a_command_of_a_session_no_longer_held_is_forgotten() -> None:
    ward = Ward(A, B)
    ward[A].hello()
    ward[B].greet(Role.OBSERVE)
    first = ward[B].session
    for _ in range(6):
        ward[B].ask(m.Goodbye())
        ward[B].greet(Role.OBSERVE)
    assert ward[B].ask(m.QueryCommand(first, 1)).outcome is CommandOutcome.FORGOTTEN


# ------------------------------------------------------------------------------- clearing and starting


def bench_running(**changes: Any) -> SimHost:
    host = SimHost(fresh())
    host.start(tonic(**changes))
    host.live_until(S)
    return host


def test_a_latch_is_not_cleared_while_contacts_are_still_shorted() -> None:
    host = bench_running()
    host.ask(m.EmergencyStop())
    assert host.core.output_on
    clear = m.Clear(StopCause.EMERGENCY_STOP, FaultCode.NONE)
    assert host.ask(clear).code is ErrorCode.OUTPUT_ON
    host.live_until(host.now_ns + 150 * MS)
    assert not host.core.output_on
    assert isinstance(host.ask(clear), m.ClearReply)


def test_an_open_circuit_is_not_cleared_while_the_lead_is_out() -> None:
    host = bench_running()
    host.core.inject("open:3", host.now_ns)
    host.live_until(host.now_ns + 200 * MS)
    assert host.core.memory.fault == FaultCode.OPEN_CIRCUIT
    clear = m.Clear(StopCause.FAULT, FaultCode.OPEN_CIRCUIT)
    host.core.inject("unplug-lead", host.now_ns)
    host.live_until(host.now_ns + 100 * MS)
    assert host.ask(clear).code is ErrorCode.CAUSE_PRESENT
    host.core.restart()
    host.hello(2)
    assert host.ask(clear).code is ErrorCode.CAUSE_PRESENT
    host.core.inject("plug-lead", host.now_ns)
    host.live_until(host.now_ns + 100 * MS)
    assert isinstance(host.ask(clear), m.ClearReply)


@pytest.mark.parametrize(("permille", "starts"), [(400, False), (450, True)])
def test_a_timed_program_starts_only_where_the_battery_carries_it_to_its_end(
    permille: int, starts: bool
) -> None:
    from dataclasses import replace

    host = SimHost(fresh())
    host.hello()
    host.live_until(0)
    duration_ns = BATTERY_SECONDS * S * 42 // 100
    host.load(replace(tonic(), duration_ns=duration_ns))
    host.core.battery = permille
    held = host.core.memory.slots[0]
    reply = host.ask(m.Arm(m.ArmKind.STIMULATION, 0, held.digest, held.approval))
    assert isinstance(reply, m.ArmReply) is starts
    if not starts:
        assert (reply.code, reply.detail) == (ErrorCode.BATTERY, permille)
        return
    host.core.battery = 410
    assert host.fire_with(reply).code is ErrorCode.BATTERY
    assert host.core.memory.dose_count == 0
