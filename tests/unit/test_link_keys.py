"""A simulated device with keys: who may speak to it, what a wrong code costs, what a stop needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from neurostim.wire import messages as m
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder, decode_frame, encode_frame
from neurostim.wire.layout import Request
from neurostim.wire.messages import DeviceState, ErrorCode, EventCode, HandshakePurpose, Role, StopCause
from neurostim.wire.noise import Initiator
from neurostim.wire.pairing import format_code, pairing_psk, parse_code, prologue
from neurostim_sim.core import DeviceCore
from neurostim_sim.keyring import Keyring
from neurostim_sim.profiles import profile
from neurostim_sim.store import MemoryMedium
from support.secure_bench import SecureBench
from support.sim_bench import MS, SimHost, tonic
from support.wire_strategies import examples

S = 1_000 * MS
WRONG = format_code(b"not this device.")


def fresh(**more: Any) -> DeviceCore:
    return DeviceCore(profile("scs"), seed=5, **more)


def paired(core: DeviceCore | None = None, **more: Any) -> SecureBench:
    host = SecureBench(core or fresh(**more))
    host.hello()
    return host


def running(core: DeviceCore | None = None) -> SecureBench:
    host = SecureBench(core or fresh())
    host.start(tonic())
    host.live_until(host.now_ns + S)
    assert host.core.state is DeviceState.DELIVERING
    return host


def logged(core: DeviceCore, code: EventCode) -> list[int]:
    return [values[6] for values in core.memory.log if values[3] == code]


def wrong_codes(host: SecureBench, tries: int) -> list[ErrorCode]:
    return [host.pair(WRONG).code for _ in range(tries)]


# --------------------------------------------------------------------------------------- pairing


def test_the_code_of_the_label_gives_a_key_and_the_key_a_session() -> None:
    host = SecureBench(fresh())
    given = host.pair(name="bedside")
    assert isinstance(given, m.PairReply)
    assert given.hosts == 1
    greeted = host.greet()
    assert isinstance(greeted, m.HelloReply)
    assert (greeted.role, greeted.controller) == (Role.CONTROL, host.host)
    pairings = host.ask(m.Pairings())
    assert pairings == m.PairingsReply(3, 0, (m.PairedHost(host.host, "bedside"),))
    assert host.unsealed == []


def test_each_host_has_a_key_of_its_own() -> None:
    core = fresh()
    first, second = SecureBench(core, b"1" * 16), SecureBench(core, b"2" * 16)
    first.pair()
    second.pair()
    assert first.key != second.key
    stranger = SecureBench(core, b"2" * 16)
    stranger.key = first.key
    assert stranger.greet().code is ErrorCode.AUTHENTICATION_FAILED


@pytest.mark.hazard("wrong-device")
def test_a_key_is_bound_to_its_host_and_its_device() -> None:
    host = paired()
    serial = host.core.profile.capabilities.serial_number
    for purpose, host_id, name in (
        (HandshakePurpose.PAIR, host.host, serial),
        (HandshakePurpose.SESSION, b"o" * 16, serial),
        (HandshakePurpose.SESSION, host.host, "SIM-0002"),
    ):
        made = Initiator(host.key, prologue(purpose, host_id, name), bytes(range(32)))
        host.channel = None
        host._say(pack(m.Handshake(HandshakePurpose.SESSION, host.host, made.write()), **NO_SESSION))
        assert host.heard()[-1].code is ErrorCode.AUTHENTICATION_FAILED  # type: ignore[attr-defined]


NO_SESSION = {"session": 0, "sequence": 0, "command_id": 1, "lease_us": 0}


def test_keys_and_label_survive_a_restart() -> None:
    medium = MemoryMedium()
    host = SecureBench(DeviceCore(profile("scs"), seed=1, medium=medium))
    host.pair()
    again = DeviceCore(profile("scs"), seed=2, medium=medium)
    assert again.label_code == host.core.label_code
    other = SecureBench(again)
    other.key = host.key
    other.hello()


def test_a_label_can_be_given_and_does_not_change() -> None:
    medium = MemoryMedium()
    code = format_code(b"0123456789abcdef")
    core = fresh(medium=medium, label_code=code.lower())
    assert core.label_code == code
    with pytest.raises(ValueError, match="another label"):
        fresh(medium=medium, label_code=WRONG)


def test_pairing_again_replaces_the_key_and_ends_the_sessions_under_the_old_one() -> None:
    core = fresh()
    old = paired(core)
    new = SecureBench(core)
    new._shakes = 100
    assert isinstance(new.pair(), m.PairReply)
    assert new.key != old.key
    assert old.session not in core.sessions.open
    assert old.greet().code is ErrorCode.AUTHENTICATION_FAILED
    new.hello()


def test_pairing_again_forgets_the_channels_made_with_the_old_key() -> None:
    core = fresh()
    old, new = paired(core), SecureBench(core)
    new._shakes = 100
    old.shake(HandshakePurpose.SESSION, old.key)
    assert isinstance(new.pair(), m.PairReply)
    assert old.ask_anyway(m.Hello(old.host, 1, Role.CONTROL, bytes(16))) is None
    assert core.sessions.open == {}
    assert isinstance(new.ask(m.Pair("bench")), m.PairReply)


def test_a_lost_answer_to_pair_may_be_asked_for_again_and_is_the_same() -> None:
    host = SecureBench(fresh())
    given = host.pair()
    assert host.ask(m.Pair("bench")) == given
    assert host.ask(m.Pair("another")).code is ErrorCode.COMMAND_ID_REUSED
    assert len(host.core.keyring.hosts) == 1


def test_a_channel_for_pairing_is_no_session() -> None:
    host = SecureBench(fresh())
    host.pair()
    assert host.ask(m.Hello(host.host, 1, Role.CONTROL, bytes(16))).code is ErrorCode.NO_SESSION
    assert host.ask(m.Status()).code is ErrorCode.NO_SESSION


def test_eight_hosts_and_no_more() -> None:
    core = fresh()
    hosts = [SecureBench(core, bytes([n]) * 16) for n in range(9)]
    assert [host.pair().hosts for host in hosts[:8]] == list(range(1, 9))
    assert hosts[8].pair().code is ErrorCode.PAIRINGS_FULL
    assert isinstance(hosts[3].pair(), m.PairReply)
    hosts[0].hello()
    assert hosts[0].ask(m.Unpair(hosts[7].host)) == m.UnpairReply(7)
    assert isinstance(hosts[8].pair(), m.PairReply)


def test_unpairing_ends_the_sessions_of_the_host_and_its_pending_channels() -> None:
    core = fresh()
    keeper, leaver = paired(core), SecureBench(core, b"l" * 16)
    leaver.pair()
    leaver.greet(Role.OBSERVE)
    session = leaver.session
    assert session in core.sessions.open
    leaver.shake(HandshakePurpose.SESSION, leaver.key)
    assert keeper.ask(m.Unpair(leaver.host)) == m.UnpairReply(1)
    assert session not in core.sessions.open
    reply = leaver.ask_anyway(m.Hello(leaver.host, 1, Role.OBSERVE, bytes(16)))
    assert reply is None
    assert leaver.greet().code is ErrorCode.AUTHENTICATION_FAILED
    assert keeper.ask(m.Unpair(leaver.host)).code is ErrorCode.NOT_PAIRED
    assert logged(core, EventCode.UNPAIRED) == [1]


def test_the_last_host_unpaired_leaves_the_device_closed() -> None:
    host = paired()
    assert host.ask(m.Unpair(host.host)) == m.UnpairReply(0)
    assert host.core.sessions.open == {}
    assert plain_hello(host.core).code is ErrorCode.AUTHENTICATION_REQUIRED
    host.core.restart()
    assert plain_hello(host.core).code is ErrorCode.AUTHENTICATION_REQUIRED


# ------------------------------------------------------------------------------------ when it may


@pytest.mark.parametrize("state", ["armed", "delivering", "measuring", "ramping", "recovering"])
def test_pairing_is_refused_while_output_is_armed_or_on(state: str) -> None:
    host = SecureBench(fresh())
    host.hello()
    host.live_until(0)
    host.load(tonic())
    if state == "measuring":
        host.measure(0b1)
    elif state == "armed":
        host.arm()
    else:
        host.fire()
        host.live_until(host.now_ns + S)
    if state == "ramping":
        host.ask(m.SoftStop())
    if state == "recovering":
        host.silent_until(50 * (host.now_ns // (50 * MS)) * MS + 50 * MS)
        host.ask(m.EmergencyStop())
        assert host.core.output_on
    other = SecureBench(host.core, b"o" * 16)
    expected = ErrorCode.WRONG_STATE if state == "armed" else ErrorCode.OUTPUT_ON
    assert other.pair().code is expected
    assert other.pair(WRONG).code is expected
    assert host.core.keyring.failures == 0


def test_a_channel_for_pairing_made_before_a_start_pairs_nobody_after_it() -> None:
    core = fresh()
    host = SecureBench(core)
    host.hello()
    other = SecureBench(core, b"o" * 16)
    other.shake(HandshakePurpose.PAIR, pairing_psk(parse_code(core.label_code)))
    host.live_until(0)
    host.load(tonic())
    host.fire()
    assert other.ask(m.Pair("late")).code is ErrorCode.OUTPUT_ON
    assert len(core.keyring.hosts) == 1


# ------------------------------------------------------------------------------------ wrong codes


@pytest.mark.hazard("guessing")
def test_three_wrong_codes_lock_pairing_and_nothing_else() -> None:
    host = paired()
    host.live_until(0)
    stranger = SecureBench(host.core, b"x" * 16)
    assert wrong_codes(stranger, 3) == [ErrorCode.AUTHENTICATION_FAILED] * 3
    locked = stranger.pair()
    assert (locked.code, locked.detail) == (ErrorCode.PAIRING_LOCKED, 600)
    assert logged(host.core, EventCode.PAIRING_FAILED) == [1, 2, 3]
    assert host.ask(m.Pairings()).locked_s == 600
    host.load(tonic())
    host.fire()


def test_a_right_code_gives_the_tries_back() -> None:
    host = SecureBench(fresh())
    wrong_codes(host, 2)
    assert host.core.keyring.tries_left == 1
    assert isinstance(host.pair(), m.PairReply)
    assert host.core.keyring.tries_left == 3


@pytest.mark.hazard("guessing")
def test_a_wrong_code_is_durable_before_it_is_answered() -> None:
    medium = MemoryMedium()
    host = SecureBench(fresh(medium=medium))
    for tried in (1, 2):
        wrong_codes(host, 1)
        kept = fresh(medium=_copy(medium)).keyring
        assert kept.failures == tried
    # No store, no answer.
    before = medium.writes
    medium.cut_after = before
    host.channel = None
    _, message = host.begin(HandshakePurpose.PAIR, pairing_psk(parse_code(WRONG)))
    host._say(pack(message, **NO_SESSION))
    assert host.heard() == []
    assert host.core.dead


def test_a_supply_that_is_cut_when_no_answer_comes_gives_no_try_back() -> None:
    medium = MemoryMedium()
    host = SecureBench(fresh(medium=medium))
    tried = []
    for code in (WRONG, host.core.label_code):
        host.core.restart()
        # What was durable when the device began to answer, or did not.
        kept: list[int] = []
        ring = host.core.keyring
        ring._save = _watched(ring._save, lambda kept=kept: kept.append(_kept_failures(medium)))
        host.pair(code)
        tried.append(kept[0])
    assert tried == [1, 2]
    assert _kept_failures(medium) == 0


def _watched(save: Callable[[], None], look: Callable[[], None]) -> Callable[[], None]:
    def both() -> None:
        save()
        look()

    return both


def _kept_failures(medium: MemoryMedium) -> int:
    return fresh(medium=_copy(medium)).keyring.failures


def _copy(medium: MemoryMedium) -> MemoryMedium:
    other = MemoryMedium()
    other.data[:] = medium.data
    return other


@pytest.mark.hazard("guessing")
def test_a_reset_does_not_shorten_the_lockout() -> None:
    host = SecureBench(fresh())
    wrong_codes(host, 3)
    host.core.restart()
    assert host.pair().code is ErrorCode.PAIRING_LOCKED
    assert host.core.keyring.locked_s == 600
    for _ in range(5):
        host.silent_until(host.now_ns + 4 * S)
        host.core.restart()
    assert host.core.keyring.locked_s == 600


def test_the_lockout_ends_after_ten_minutes_of_powered_time_also_over_resets() -> None:
    host = SecureBench(fresh())
    wrong_codes(host, 3)
    host.silent_until(400 * S)
    host.core.restart()
    assert 200 <= host.core.keyring.locked_s <= 205
    host.silent_until(host.now_ns + 199 * S)
    assert host.pair().code is ErrorCode.PAIRING_LOCKED
    host.silent_until(host.now_ns + 7 * S)
    assert host.core.keyring.locked_s == 0
    assert wrong_codes(host, 2) == [ErrorCode.AUTHENTICATION_FAILED] * 2
    assert isinstance(host.pair(), m.PairReply)


def test_wrong_codes_over_resets_add_up() -> None:
    host = SecureBench(fresh())
    for _ in range(3):
        wrong_codes(host, 1)
        host.core.restart()
    assert host.pair().code is ErrorCode.PAIRING_LOCKED


def test_a_handshake_that_is_no_handshake_is_no_try() -> None:
    host = SecureBench(fresh())
    for length in (1, 47, 49, 64):
        host.channel = None
        message = m.Handshake(HandshakePurpose.PAIR, host.host, bytes(length))
        host._say(pack(message, **NO_SESSION))
        assert host.heard()[-1].code is ErrorCode.MALFORMED  # type: ignore[attr-defined]
    assert host.core.keyring.failures == 0


def test_the_lockout_is_told_rounded_up() -> None:
    core = fresh()
    ring: Keyring = core.keyring
    for _ in range(3):
        ring.begin_try()
        ring.wrong_code()
    core.advance(1)
    assert ring.locked_s == 600
    core.advance(599 * S + 1)
    assert ring.locked_s == 1
    core.advance(600 * S)
    assert ring.locked_s == 0


# ------------------------------------------------------------------------------------ without a key


def plain_hello(core: DeviceCore, role: Role = Role.OBSERVE) -> Any:
    core.take_output()
    core.receive(pack(m.Hello(b"p" * 16, 9, role, bytes(16)), **NO_SESSION))
    return _answer(core)


def _answer(core: DeviceCore) -> Any:
    """The last unsealed answer."""
    frames = [one for one in FrameDecoder().feed(core.take_output()) if isinstance(one, Frame)]
    return unpack([one for one in frames if not one.sealed][-1])


def test_a_device_that_was_never_paired_takes_sessions_without_keys() -> None:
    core = fresh()
    reply = plain_hello(core, Role.CONTROL)
    assert (reply.session, reply.role) == (1, Role.CONTROL)


EXAMPLES: dict[type, Any] = {type(one): one for one in examples()}
REQUESTS = sorted((one for one in m.MESSAGES.values() if issubclass(one, Request)), key=lambda one: one.TYPE)
KEYED = [one for one in REQUESTS if one.KEYED]
FREE = (m.Identify, m.Handshake, m.Stop, m.EmergencyStop)


@pytest.mark.parametrize("kind", KEYED, ids=lambda kind: kind.NAME)
def test_keyed_commands_need_a_key_also_on_a_device_never_paired(kind: type[Request]) -> None:
    host = SimHost(fresh())
    host.hello()
    host.live_until(0)
    assert host.ask(EXAMPLES[kind]).code is ErrorCode.AUTHENTICATION_REQUIRED
    host.core.receive(pack(EXAMPLES[kind], **NO_SESSION))
    assert _answer(host.core).code is ErrorCode.AUTHENTICATION_REQUIRED


@pytest.mark.hazard("forgery")
@pytest.mark.parametrize("kind", [one for one in REQUESTS if one not in FREE], ids=lambda kind: kind.NAME)
@pytest.mark.parametrize("where", ["own session", "no session", "a session nobody has"])
def test_a_paired_device_refuses_everything_else_without_a_key(kind: type[Request], where: str) -> None:
    host = paired()
    host.live_until(0)
    before = host.core.memory.dose_count, host.core.state, dict(host.core.sessions.open)
    session = {"own session": host.session, "no session": 0, "a session nobody has": 999}[where]
    frame = pack(EXAMPLES[kind], session=session, sequence=10_000, command_id=77, lease_us=host.core.now_us)
    host.core.take_output()
    host.core.receive(frame)
    assert _answer(host.core).code is ErrorCode.AUTHENTICATION_REQUIRED
    assert (host.core.memory.dose_count, host.core.state, dict(host.core.sessions.open)) == before
    # The forged frame has used up nothing of the session.
    assert isinstance(host.ask(m.Status()), m.StatusReply)


def test_identify_and_a_handshake_go_without_a_key() -> None:
    host = paired()
    host.core.take_output()
    host.core.receive(pack(m.Identify(), session=host.session, sequence=5, command_id=3, lease_us=0))
    assert isinstance(_answer(host.core), m.IdentifyReply)
    other = SecureBench(host.core, b"o" * 16)
    assert isinstance(other.pair(), m.PairReply)


def test_the_first_pairing_ends_sessions_without_keys() -> None:
    core = fresh()
    plain = SimHost(core)
    plain.hello()
    plain.live_until(0)
    host = SecureBench(core)
    host.pair()
    assert core.sessions.open == {}
    assert plain.ask(m.Status()).code is ErrorCode.AUTHENTICATION_REQUIRED


def test_what_a_stranger_says_in_a_session_does_not_keep_it_alive() -> None:
    host = paired()
    session = host.session
    for _ in range(6):
        host.silent_until(host.now_ns + S)
        host.bare(m.Status())
        host.bare(m.Stop())
    assert session not in host.core.sessions.open


@pytest.mark.hazard("forgery")
def test_a_stranger_cannot_feed_the_dead_man() -> None:
    host = running()
    host.silent_until(host.now_ns + 250 * MS)
    host.bare(m.Heartbeat(1_000, 1_000))
    host.silent_until(host.now_ns + 250 * MS)
    assert host.core.state in (DeviceState.RAMPING_DOWN, DeviceState.STOPPED)
    assert host.core.memory.cause == StopCause.DEAD_MAN


# ----------------------------------------------------------------------------------------- a stop


@pytest.mark.hazard("slow-stop")
@pytest.mark.parametrize("kind", [m.Stop, m.EmergencyStop])
@pytest.mark.parametrize("state", ["idle", "armed", "measuring", "delivering", "ramping", "stopped", "fault"])
def test_a_stop_needs_no_key_in_any_state(kind: type[m.Stop | m.EmergencyStop], state: str) -> None:
    host = paired()
    host.live_until(0)
    host.load(tonic())
    if state == "measuring":
        host.measure(0b1)
    elif state == "armed":
        host.arm()
    elif state in ("delivering", "ramping"):
        host.fire()
        host.live_until(S)
    elif state == "stopped":
        host.ask(m.Stop())
    elif state == "fault":
        host.core.fault(m.FaultCode.SOURCE)
    if state == "ramping":
        host.ask(m.SoftStop())
    cause = host.core.memory.cause
    for session in (0, 4242):
        host.core.take_output()
        host.core.receive(pack(kind(), session=session, sequence=0, command_id=1, lease_us=0))
        reply = _answer(host.core)
        assert reply.state is (DeviceState.FAULT if state == "fault" else DeviceState.STOPPED)
    assert host.core.token is None
    expected = StopCause.STOP if kind is m.Stop else StopCause.EMERGENCY_STOP
    assert host.core.memory.cause == (cause if state in ("stopped", "fault") else expected)
    host.silent_until(host.now_ns + S)
    assert not host.core.output_on


@pytest.mark.hazard("false-stop-confirmation")
def test_a_stop_that_names_a_sealed_session_is_answered_sealed() -> None:
    host = running()
    reply = host.bare(m.Stop())
    assert isinstance(reply, m.StopReply)
    assert host.unsealed == []
    events = host.of(m.StateChanged)
    assert events[-1].state is DeviceState.STOPPED


def test_a_stop_that_names_no_session_is_answered_without_a_seal() -> None:
    host = running()
    host.core.receive(pack(m.Stop(), **NO_SESSION))
    assert host.heard() == []
    assert isinstance(host.unsealed[-1], m.StopReply)
    assert host.of(m.StateChanged)[-1].state is DeviceState.STOPPED


def test_a_stop_whose_seal_is_broken_stops() -> None:
    host = running()
    host.sequence += 1
    frame = decode_frame(_unstuffed(host.packed(m.Stop())))
    host.core.receive(encode_frame(_with(frame, tag=bytes(16))))
    assert host.core.state is DeviceState.STOPPED
    assert isinstance(host.heard()[-1], m.StopReply)


def test_a_stop_uses_up_no_number_of_the_session() -> None:
    host = running()
    host.bare(m.Stop())
    assert isinstance(host.ask(m.Status()), m.StatusReply)


def _unstuffed(line: bytes) -> bytes:
    return line.strip(b"\0")


def _with(frame: Frame, **changes: Any) -> Frame:
    names = (
        "type",
        "kind",
        "session",
        "sequence",
        "command_id",
        "lease_us",
        "payload",
        "authenticated",
        "tag",
    )
    return Frame(**{**{name: getattr(frame, name) for name in names}, **changes})


# ---------------------------------------------------------------------------------- seals and numbers


def test_a_frame_with_a_bad_tag_is_counted_and_not_answered() -> None:
    host = paired()
    host.sequence += 1
    host.command += 1
    frame = decode_frame(_unstuffed(host.packed(m.Status())))
    for bit in range(128):
        tag = bytearray(frame.tag)
        tag[bit // 8] ^= 1 << bit % 8
        host.core.receive(encode_frame(_with(frame, tag=bytes(tag))))
    for changes in (
        {"session": frame.session + 1},
        {"sequence": frame.sequence + 1},
        {"command_id": frame.command_id + 1},
        {"lease_us": frame.lease_us + 1},
        {"type": m.Ports.TYPE},
    ):
        host.core.receive(encode_frame(_with(frame, **changes)))
    assert host.heard() == []
    assert [type(one) for one in host.unsealed] == [m.Error]  # a session nobody has
    assert host.core.link.frames_refused == 128 + 4
    host.core.receive(encode_frame(frame))
    reply = host.heard()[-1]
    assert isinstance(reply, m.StatusReply)
    assert reply.frames_refused == 128 + 4


@pytest.mark.hazard("replay")
def test_numbers_ascend_gaps_are_allowed_and_what_is_late_is_dropped() -> None:
    host = paired()
    lines = []
    for _ in range(4):
        host.sequence += 3
        host.command += 1
        lines.append(host.packed(m.Status()))
    for line in (lines[1], lines[0], lines[1], lines[3], lines[2], lines[3]):
        host.core.receive(line)
    assert len(host.heard()) == 2
    assert host.core.link.tags_refused == 4


def test_a_repeated_command_with_a_new_number_is_answered_and_executed_once() -> None:
    host = paired()
    host.live_until(0)
    host.load(tonic())
    armed = host.arm()
    host.sequence += 1
    repeated = pack(
        m.Arm(m.ArmKind.STIMULATION, 0, host.core.memory.slots[0].digest, b"\7" * 32),
        session=host.session,
        sequence=host.sequence,
        command_id=host.command,
        lease_us=host.core.now_us,
        channel=host.channel,
    )
    host.core.receive(repeated)
    assert host.heard() == [armed]
    assert logged(host.core, EventCode.ARMED) == [int(m.ArmKind.STIMULATION)]


def test_two_sessions_are_sealed_under_different_keys() -> None:
    core = fresh()
    one, two = paired(core), SecureBench(core, b"t" * 16, line=1)
    two.pair()
    two.greet(Role.OBSERVE)
    assert one.channel is not None
    two.sequence += 1
    frame = decode_frame(_unstuffed(two.packed(m.Status())))
    core.receive(encode_frame(_with(frame, session=one.session)), 1)
    assert core.link.tags_refused == 1
    one.ask(m.Stop())
    two.heard()
    for host in (one, two):
        assert host.of(m.StateChanged)[-1].state is DeviceState.STOPPED


# ------------------------------------------------------------------------------------ factory reset


@pytest.mark.hazard("mode-trap")
def test_a_factory_reset_opens_the_device_and_keeps_what_was_counted() -> None:
    host = running()
    host.ask(m.Stop())
    host.silent_until(host.now_ns + S)
    wrong_codes(SecureBench(host.core, b"x" * 16), 3)
    core = host.core
    before = core.memory.dose_count, core.memory.boot_count, dict(core.memory.contacts), core.label_code
    core.factory_reset()
    assert plain_hello(core, Role.CONTROL).role is Role.CONTROL
    assert (core.memory.dose_count, core.memory.boot_count - 1) == before[:2]
    assert core.memory.contacts == before[2]
    assert core.label_code == before[3]
    assert core.keyring.hosts == ()
    assert core.keyring.tries_left == 3
    assert not any(slot.committed for slot in core.memory.slots)
    assert core.state is DeviceState.STOPPED
    assert logged(core, EventCode.FACTORY_RESET) == [0]
    assert host.greet().code is ErrorCode.AUTHENTICATION_FAILED


def test_a_factory_reset_ends_output() -> None:
    host = running()
    host.core.factory_reset()
    assert not host.core.output_on
    assert host.core.memory.latched
