"""Sessions under a key, from the host's side: what is believed, and no way back to one without."""

from __future__ import annotations

import pytest

from neurostim.core.errors import CommandTimeout, ConfigError, DeliveryUncertain, ProtocolError
from neurostim.device import CommandRefused, DeviceKey, LinkState, Notice, NoticeKind
from neurostim.device.host_core import HostCore
from neurostim.device.outbox import LOST_AFTER_NS
from neurostim.wire import messages as m
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder, encode_frame
from neurostim.wire.messages import DeviceState, ErrorCode, FaultCode, Role, StopCause
from support.sealed_device import CODE, SealedDevice
from support.virtual_stimulator import VirtualStimulator

MS = 1_000_000
S = 1_000_000_000
SERIAL = "TEST-0001"


def paired(device: SealedDevice | None = None) -> VirtualStimulator:
    """A stimulator that was given a key and opened a session with it."""
    device = device or SealedDevice()
    stimulator = VirtualStimulator(device)
    key = stimulator.pair(CODE, SERIAL).host_key
    stimulator.key = DeviceKey(SERIAL, key)
    stimulator.open()
    return stimulator


def session_device(stimulator: VirtualStimulator) -> SealedDevice:
    assert isinstance(stimulator.device, SealedDevice)
    return stimulator.device


def live(stimulator: VirtualStimulator, duration_ns: int) -> None:
    end = stimulator.clock.now_ns + duration_ns
    while stimulator.clock.now_ns < end:
        stimulator.beat("ui")
        stimulator.beat("journal")
        stimulator.pass_ns(min(50 * MS, end - stimulator.clock.now_ns))


def notices(stimulator: VirtualStimulator) -> list[NoticeKind]:
    return [one.kind for one in stimulator.take_critical() if isinstance(one, Notice)]


def frames(data: bytes) -> list[Frame]:
    return [one for one in FrameDecoder().feed(data) if isinstance(one, Frame)]


def recorded(stimulator: VirtualStimulator) -> list[bytes]:
    """Every frame that leaves the host from now on."""
    lines: list[bytes] = []

    def keep(data: bytes) -> bytes:
        lines.extend(encode_frame(frame) for frame in frames(data))
        return data

    stimulator.to_device = keep
    return lines


# Pairing.


def test_pairing_gives_this_host_a_key_that_opens_a_session() -> None:
    stimulator = paired()
    device = session_device(stimulator)
    assert stimulator.core.authenticated
    assert stimulator.role is Role.CONTROL
    assert device.names == {stimulator.core.host_id: "the bench"}
    assert stimulator.pairings().result().names == device.names


def test_a_lost_answer_to_pairing_is_asked_for_again_and_is_the_same_key() -> None:
    device = SealedDevice()
    lost = [2]

    def treat(request, reply):
        if isinstance(request, m.Pair) and lost[0]:
            lost[0] -= 1
            return []
        return [(0, reply)]

    device.treat = treat
    stimulator = VirtualStimulator(device)
    told = stimulator.pair(CODE, SERIAL)
    assert told.host_key == device.keys[stimulator.core.host_id]
    assert lost == [0]


def test_a_wrong_code_is_refused_by_the_device_and_gives_nothing() -> None:
    device = SealedDevice()
    stimulator = VirtualStimulator(device)
    with pytest.raises(CommandRefused) as caught:
        stimulator.pair(bytes(16), SERIAL)
    assert caught.value.refusal is ErrorCode.AUTHENTICATION_FAILED
    assert device.keys == {}


def test_pairing_binds_the_serial_number_that_was_told() -> None:
    stimulator = VirtualStimulator(SealedDevice())
    with pytest.raises(CommandRefused) as caught:
        stimulator.pair(CODE, "TEST-0002")
    assert caught.value.refusal is ErrorCode.AUTHENTICATION_FAILED


def test_an_answer_to_the_handshake_that_does_not_verify_is_not_the_answer() -> None:
    device = SealedDevice()

    def treat(request, reply):
        if isinstance(reply, m.HandshakeReply):
            return [
                (0, m.HandshakeReply(7, bytes(48))),
                (MS, m.HandshakeReply(9, b"\x09" * 48)),
                (2 * MS, reply),
            ]
        return [(0, reply)]

    device.treat = treat
    stimulator = paired(device)
    assert stimulator.core.authenticated
    assert stimulator.core.counters.replies_foreign >= 4


def test_unpairing_ends_what_the_key_was_good_for() -> None:
    stimulator = paired()
    assert stimulator.unpair(stimulator.core.host_id).result() == 0
    with pytest.raises(CommandRefused) as caught:
        stimulator.open()
    assert caught.value.refusal is ErrorCode.AUTHENTICATION_FAILED


# No way back to a session without a key.


def test_a_host_with_a_key_never_sends_anything_unsealed_but_handshakes_and_stops() -> None:
    stimulator = paired()
    device = session_device(stimulator)
    device.unsealed.clear()
    live(stimulator, 400 * MS)
    stimulator.open()
    stimulator.status().result()
    stimulator.stop().result()
    assert {type(request) for request in device.unsealed} == {m.Handshake, m.Stop}


@pytest.mark.hazard("forgery")
def test_a_device_that_no_longer_knows_the_key_is_not_opened_without_one() -> None:
    stimulator = paired()
    device = session_device(stimulator)
    device.keys.clear()
    device.channels.clear()
    with pytest.raises(CommandRefused) as caught:
        stimulator.open()
    assert caught.value.refusal is ErrorCode.AUTHENTICATION_FAILED
    assert stimulator.core.state is not LinkState.OPEN


def test_a_hello_answered_without_a_seal_opens_nothing() -> None:
    device = SealedDevice()
    stimulator = VirtualStimulator(device)
    stimulator.key = DeviceKey(SERIAL, stimulator.pair(CODE, SERIAL).host_key)

    def strip(data: bytes) -> bytes:
        """A forger who answers in place of the device, unsealed, with every nonce there can be."""
        kept = b""
        for frame in frames(data):
            if not frame.sealed:
                kept += encode_frame(frame)
                continue
            header = {"session": frame.session, "sequence": 1, "command_id": frame.command_id, "lease_us": 1}
            for nonce in range(1, 30):
                state = (bytes(16), 1, 1, 1, 0, DeviceState.IDLE)
                forged = m.HelloReply(frame.session, nonce, Role.CONTROL, ErrorCode.NONE, *state)
                kept += pack(forged, **header)
        return kept

    stimulator.to_host = strip
    with pytest.raises(CommandTimeout, match="HELLO"):
        stimulator.open()
    assert stimulator.core.counters.frames_unsealed > 0


def test_a_paired_device_refuses_a_host_without_a_key_and_says_what_to_do() -> None:
    stimulator = VirtualStimulator(SealedDevice())
    stimulator.pair(CODE, SERIAL)
    with pytest.raises(CommandRefused, match="neurostim pair") as caught:
        stimulator.open()
    assert caught.value.refusal is ErrorCode.AUTHENTICATION_REQUIRED


def test_a_core_without_entropy_opens_no_sealed_channel() -> None:
    core = HostCore(host_id=b"h" * 16, supervisor=lambda _now: None, new_nonce=lambda: 1)
    with pytest.raises(ConfigError, match="entropy"):
        core.connect(core.future("HELLO"), 0, Role.CONTROL, key=DeviceKey(SERIAL, bytes(32)))


def test_a_key_brings_the_id_under_which_the_device_holds_it() -> None:
    device = SealedDevice()
    other = b"another host id."
    device.keys[other] = bytes(range(32))
    stimulator = VirtualStimulator(device, key=DeviceKey(SERIAL, bytes(range(32)), other))
    stimulator.open()
    assert stimulator.core.host_id == other
    assert stimulator.core.greeting is not None
    assert stimulator.core.greeting.controller == other


def test_a_key_does_not_appear_in_its_text() -> None:
    assert "41" not in repr(DeviceKey(SERIAL, b"A" * 32))
    assert "A" * 8 not in repr(DeviceKey(SERIAL, b"A" * 32))
    for size in (0, 31, 33):
        with pytest.raises(ConfigError):
            DeviceKey(SERIAL, bytes(size))


# What is believed.


def test_replies_events_and_errors_without_a_seal_are_counted_and_not_heard() -> None:
    stimulator = paired()
    live(stimulator, 200 * MS)
    notices(stimulator)
    session = stimulator.core.session
    before = stimulator.core.counters.frames_unsealed
    forged = [
        m.Error(ErrorCode.NO_SESSION, m.Heartbeat.TYPE, DeviceState.IDLE, 0, ""),
        m.StateChanged(DeviceState.IDLE, DeviceState.FAULT, StopCause.FAULT, FaultCode.OPEN_CIRCUIT, 0, 5),
        m.HeartbeatReply(1, 1, DeviceState.IDLE, False, 0),
    ]
    lines = b""
    for command_id in range(1, 60):
        for message in forged:
            for named in (session, 0):
                lines += pack(message, session=named, sequence=99, command_id=command_id, lease_us=1 << 60)
    stimulator.core.feed(lines, stimulator.clock.now_ns)
    assert stimulator.core.counters.frames_unsealed == before + 59 * 3 * 2
    assert stimulator.core.state is LinkState.OPEN
    assert stimulator.take_critical() == []
    assert stimulator.core.take_happenings() == []
    assert stimulator.status().result().state is DeviceState.IDLE


@pytest.mark.hazard("false-stop-confirmation")
def test_a_forged_confirmation_of_a_stop_is_not_believed() -> None:
    stimulator = paired()
    stimulator.to_device = lambda data: b""
    future = stimulator.stop()
    stimulator.pass_ns(20 * MS)
    forged = b""
    for command_id in range(1, 200):
        for message in (
            m.StopReply(DeviceState.STOPPED, StopCause.STOP, False, 5),
            m.EmergencyStopReply(DeviceState.STOPPED, StopCause.EMERGENCY_STOP, False, 5),
        ):
            for session in (0, stimulator.core.session):
                forged += pack(message, session=session, sequence=77, command_id=command_id, lease_us=9)
    event = m.StateChanged(DeviceState.IDLE, DeviceState.STOPPED, StopCause.STOP, FaultCode.NONE, 0, 5)
    forged += pack(event, session=stimulator.core.session, sequence=78, command_id=0, lease_us=9)
    stimulator.core.feed(forged, stimulator.clock.now_ns)
    assert not future.done()
    assert stimulator.core.stopping
    stimulator.pass_ns(700 * MS)
    with pytest.raises(DeliveryUncertain):
        future.result()


def test_a_stop_is_sent_without_a_seal_naming_the_session_and_confirmed_under_it() -> None:
    stimulator = paired()
    lines = recorded(stimulator)
    session = stimulator.core.session
    confirmation = stimulator.stop().result()
    assert confirmation.state is DeviceState.STOPPED
    stops = [frame for line in lines for frame in frames(line) if frame.type == m.Stop.TYPE]
    assert stops
    assert {(one.sealed, one.session, one.sequence) for one in stops} == {(False, session, 0)}


def test_a_reset_that_forgets_the_session_is_noticed_as_silence_is() -> None:
    stimulator = paired()
    session_device(stimulator).reset()
    live(stimulator, 900 * MS)
    assert stimulator.core.state is LinkState.OPEN
    assert stimulator.core.counters.frames_unsealed > 0
    live(stimulator, 300 * MS)
    assert stimulator.core.state is LinkState.SILENT
    live(stimulator, 5 * S)
    assert stimulator.core.state is LinkState.SESSION_LOST
    stimulator.open()
    assert stimulator.core.authenticated


def test_a_stop_that_a_reset_left_unconfirmed_is_confirmed_in_the_next_session() -> None:
    stimulator = paired()
    session_device(stimulator).reset()
    future = stimulator.stop()
    stimulator.pass_ns(700 * MS)
    with pytest.raises(DeliveryUncertain):
        future.result()
    assert NoticeKind.STOP_NOT_CONFIRMED in notices(stimulator)
    assert stimulator.core.stopping
    stimulator.open()
    stimulator.pass_ns(600 * MS)
    assert not stimulator.core.stopping
    assert NoticeKind.STOP_CONFIRMED in notices(stimulator)


@pytest.mark.hazard("replay")
def test_a_replayed_reply_is_refused_by_its_sequence() -> None:
    stimulator = paired()
    heard: list[bytes] = []

    def keep(data: bytes) -> bytes:
        heard.append(data)
        return data

    stimulator.to_host = keep
    stimulator.status().result()
    before = stimulator.core.counters.seals_refused
    for data in heard:
        stimulator.core.feed(data, stimulator.clock.now_ns)
    replayed = sum(len(frames(data)) for data in heard)
    assert replayed > 0
    assert stimulator.core.counters.seals_refused == before + replayed


def test_frames_sealed_for_an_earlier_session_or_another_number_are_refused() -> None:
    stimulator = paired()
    heard: list[bytes] = []
    stimulator.to_host = lambda data: heard.append(data) or data
    stimulator.status().result()
    stimulator.to_host = lambda data: data
    stimulator.open()
    before = stimulator.core.counters.seals_refused
    stimulator.core.feed(b"".join(heard), stimulator.clock.now_ns)
    sealed = [frame for data in heard for frame in frames(data) if frame.sealed]
    assert sealed
    assert stimulator.core.counters.seals_refused == before + len(sealed)


@pytest.mark.parametrize("named", [0, 77])
def test_a_frame_under_the_right_key_that_names_another_session_is_refused(named: int) -> None:
    stimulator = paired()
    channel = session_device(stimulator).channels[stimulator.core.session].channel
    event = m.StateChanged(DeviceState.IDLE, DeviceState.FAULT, StopCause.FAULT, FaultCode.OPEN_CIRCUIT, 0, 5)
    line = pack(event, session=named, sequence=1000, command_id=0, lease_us=9, channel=channel)
    before = stimulator.core.counters.seals_refused
    notices(stimulator)
    stimulator.core.feed(line, stimulator.clock.now_ns)
    assert stimulator.core.counters.seals_refused == before + 1
    assert stimulator.core.take_happenings() == []


def test_nothing_unsealed_is_believed_while_hands_are_shaken() -> None:
    """Not even a stop confirmed at the moment of connecting, nor an event."""
    stimulator = paired()
    stimulator.to_device = lambda _data: b""
    stimulator.core.connect(
        stimulator.core.future("HELLO"), stimulator.clock.now_ns, Role.CONTROL, key=stimulator.key
    )
    stimulator.core.take_happenings()
    future = stimulator.stop()
    stimulator.pass_ns(MS)
    reply = m.StopReply(DeviceState.STOPPED, StopCause.STOP, False, 5)
    event = m.StateChanged(DeviceState.IDLE, DeviceState.STOPPED, StopCause.STOP, FaultCode.NONE, 0, 5)
    forged = pack(event, session=0, sequence=0, command_id=0, lease_us=9)
    for command_id in range(1, 100):
        forged += pack(reply, session=0, sequence=0, command_id=command_id, lease_us=9)
    before = stimulator.core.counters.frames_unsealed
    stimulator.core.feed(forged, stimulator.clock.now_ns)
    assert stimulator.core.counters.frames_unsealed == before + 100
    assert not future.done()
    told = stimulator.core.take_happenings()
    assert all(isinstance(one, Notice) and one.kind is NoticeKind.STOP_SENT for one in told)


def forged_confirmations() -> bytes:
    """Whatever of a forger's could pass for the end of a stop, outside any session."""
    event = m.StateChanged(DeviceState.IDLE, DeviceState.STOPPED, StopCause.STOP, FaultCode.NONE, 0, 5)
    lines = pack(event, session=0, sequence=0, command_id=0, lease_us=9)
    for command_id in range(1, 100):
        for reply in (
            m.StopReply(DeviceState.STOPPED, StopCause.STOP, False, 5),
            m.EmergencyStopReply(DeviceState.STOPPED, StopCause.EMERGENCY_STOP, False, 5),
        ):
            lines += pack(reply, session=0, sequence=0, command_id=command_id, lease_us=9)
    return lines


@pytest.mark.hazard("false-stop-confirmation")
@pytest.mark.parametrize("asked", ["nothing", "identify", "paired"])
def test_a_stop_is_not_confirmed_without_a_seal_before_it_is_known_whether_a_key_is_expected(
    asked: str,
) -> None:
    device = SealedDevice()
    stimulator = VirtualStimulator(device)
    if asked == "identify":
        stimulator.core.identify(stimulator.core.future("IDENTIFY"), stimulator.clock.now_ns)
    elif asked == "paired":
        stimulator.pair(CODE, SERIAL)
    lines = recorded(stimulator)
    future = stimulator.stop()
    stimulator.core.feed(forged_confirmations(), stimulator.clock.now_ns)
    stimulator.pass_ns(MS)
    assert device.state is DeviceState.STOPPED  # it was sent, and done
    assert [one.type for line in lines for one in frames(line)].count(m.Stop.TYPE) >= 1
    assert not future.done()
    assert stimulator.core.stopping
    stimulator.pass_ns(700 * MS)
    with pytest.raises(DeliveryUncertain):
        future.result()


def test_a_stop_before_a_session_without_a_key_is_confirmed_once_it_is_known_that_there_is_none() -> None:
    stimulator = VirtualStimulator(SealedDevice())
    stimulator.core.identify(stimulator.core.future("IDENTIFY"), stimulator.clock.now_ns)
    future = stimulator.stop()
    stimulator.pass_ns(20 * MS)
    assert not future.done()
    stimulator.open()
    assert future.result().state is DeviceState.STOPPED


def pushed_out(stimulator: VirtualStimulator, times: int) -> list[int]:
    """The device forgets the channel as soon as it is made, so many times; the sessions it had named."""
    device, named = session_device(stimulator), []

    def treat(request, reply):
        if isinstance(reply, m.HandshakeReply) and len(named) < times:
            named.append(reply.session)
            del device.channels[reply.session]
        return [(0, reply)]

    device.treat = treat
    return named


@pytest.mark.parametrize("times", [1, 2])
def test_a_channel_that_others_pushed_out_of_the_device_is_made_anew(times: int) -> None:
    stimulator = paired()
    named = pushed_out(stimulator, times)
    lines = recorded(stimulator)
    stimulator.open()
    assert stimulator.core.authenticated
    assert len(named) == times
    shakes = [one.payload for line in lines for one in frames(line) if one.type == m.Handshake.TYPE]
    assert len(set(shakes)) == len(shakes) == times + 1  # a key pair is made for one handshake


def test_hands_are_not_shaken_for_ever() -> None:
    stimulator = paired()
    named = pushed_out(stimulator, 1000)
    with pytest.raises(CommandTimeout, match="HELLO"):
        stimulator.open()
    assert len(named) == 3
    assert not stimulator.core.authenticated


def test_a_device_that_tells_two_numbers_for_one_session_is_refused() -> None:
    device = SealedDevice()

    def treat(request, reply):
        if isinstance(reply, m.HelloReply):
            values = {name: getattr(reply, name) for name in reply.__slots__}
            return [(0, m.HelloReply(**{**values, "session": reply.session + 1}))]
        return [(0, reply)]

    device.treat = treat
    with pytest.raises(ProtocolError) as caught:
        paired(device)
    assert caught.value.code == "session-number"


def test_every_frame_of_a_sealed_session_has_a_number_of_its_own() -> None:
    stimulator = paired()
    lines = recorded(stimulator)
    live(stimulator, S)
    for _ in range(20):
        stimulator.status()
    live(stimulator, S)
    numbers = [frame.sequence for line in lines for frame in frames(line) if frame.sealed]
    assert len(numbers) > 30
    assert numbers == sorted(set(numbers))


def test_what_is_read_in_a_sealed_session_is_not_readable_on_the_line() -> None:
    stimulator = paired()
    lines = recorded(stimulator)
    stimulator.status().result()
    frame = next(one for line in lines for one in frames(line) if one.type == m.Status.TYPE)
    with pytest.raises(ProtocolError):
        unpack(frame)
    assert frame.sealed


# The window.


@pytest.mark.parametrize("keyed", [False, True], ids=["bench", "sealed"])
def test_a_burst_of_lost_frames_does_not_hold_up_the_heartbeat(keyed: bool) -> None:
    stimulator = paired() if keyed else VirtualStimulator(SealedDevice())
    if not keyed:
        stimulator.open()
    live(stimulator, 500 * MS)
    beats: list[int] = []
    losing = [True]

    def lose(data: bytes) -> bytes:
        found = frames(data)
        if any(frame.type == m.Heartbeat.TYPE for frame in found):
            beats.append(stimulator.clock.now_ns)
        return b"" if losing[0] else data

    stimulator.to_device = lose
    begun = stimulator.clock.now_ns
    piece = m.LoadChunk(0, 0, bytes(128))
    stimulator._run("LOAD_CHUNK", _one(piece), changes=True)
    live(stimulator, 700 * MS)
    gaps = [later - earlier for earlier, later in zip([begun, *beats], beats, strict=False)]
    assert max(gaps) <= LOST_AFTER_NS + 100 * MS
    losing[0] = False
    live(stimulator, 400 * MS)
    assert stimulator.core.supervised(stimulator.clock.now_ns)


def test_never_more_than_the_window_waits_unanswered_in_a_sealed_session() -> None:
    stimulator = paired()
    live(stimulator, 300 * MS)
    device = session_device(stimulator)
    device.treat = lambda _request, reply: [(140 * MS, reply)]
    for _ in range(30):
        stimulator.status()
        stimulator._run("LOAD_CHUNK", _one(m.LoadChunk(0, 0, bytes(128))), changes=True)
    longest = 0
    for _ in range(1000):
        stimulator.beat("ui")
        stimulator.beat("journal")
        stimulator.pass_ns(MS)
        longest = max(longest, stimulator.core._outbox.unproven)
    assert 200 < longest <= m.MAX_UNACKNOWLEDGED_BYTES


def _one(request):
    reply = yield request
    return reply
