"""Whatever is said to a device with keys: noise, forgeries, replays, and nonsense under a right key."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurostim.core.errors import ProtocolError
from neurostim.wire import messages as m
from neurostim.wire.channel import Channel
from neurostim.wire.codec import pack
from neurostim.wire.frame import FLAG_AUTHENTICATED, Frame, FrameDecoder, encode_frame, encode_line
from neurostim.wire.layout import Kind, Request
from neurostim.wire.messages import DeviceState, Role, StopCause
from neurostim.wire.noise import TransportKeys
from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile
from support.secure_bench import SecureBench
from support.sim_bench import APPROVAL, MS, tonic
from support.wire_strategies import examples

S = 1_000 * MS
REQUESTS = [one for one in examples() if isinstance(one, Request)]
STOPS = (m.Stop, m.EmergencyStop)
BODY_BITS = 8 * (30 + 16)


def fingerprint(core: DeviceCore) -> tuple[Any, ...]:
    """All that a stranger must not be able to change."""
    memory, ring = core.memory, core.keyring
    return (
        core.state,
        core.output_on,
        core.token,
        memory.dose_count,
        memory.latched,
        memory.fault,
        ring.hosts,
        ring.failures,
        ring.closed,
        [(slot.committed, slot.digest) for slot in memory.slots],
        [
            (one.number, one.role, one.living_ns, one.heard_ns, one.sequence)
            for one in core.sessions.open.values()
        ],
    )


def host_with_program() -> SecureBench:
    host = SecureBench(DeviceCore(profile("scs"), seed=3))
    host.hello()
    host.live_until(0)
    host.load(tonic())
    host.heard()
    return host


@pytest.fixture(scope="module")
def recorded() -> tuple[list[bytes], SecureBench]:
    """All that a host said from pairing to a stop, and the host, whose device was reset since."""
    host = SecureBench(DeviceCore(profile("scs"), seed=3))
    host.start(tonic())
    host.live_until(host.now_ns + S)
    assert host.core.state is DeviceState.DELIVERING
    host.ask(m.SoftStop())
    host.live_until(host.now_ns + S)
    assert host.core.state is DeviceState.IDLE
    return host.sent, host


# ---------------------------------------------------------------------------------------- strangers


def noise(dice: random.Random, heard: list[bytes]) -> bytes:
    """Bytes of chance, or something that was heard and turned a little."""
    choice = dice.randrange(3)
    if choice == 0:
        return b"\0" + dice.randbytes(dice.randrange(1, 80)) + b"\0"
    line = bytearray(dice.choice(heard))
    if choice == 1:
        for _ in range(dice.randrange(1, 4)):
            line[dice.randrange(len(line))] ^= 1 << dice.randrange(8)
    else:
        cut = dice.randrange(len(line))
        line = line[:cut] + b"\0" + line[cut:]
    return bytes(line)


def flood(frames: int, seed: int) -> None:
    dice = random.Random(seed)
    host = host_with_program()
    heard = [line for line in host.sent if len(line) > 20]
    before = fingerprint(host.core)
    for _ in range(frames // 500):
        host.core.receive(b"".join(noise(dice, heard) for _ in range(500)))
        host.core.take_output()
    assert fingerprint(host.core) == before
    assert host.core.link.frames_refused > frames // 3
    assert isinstance(host.ask(m.Status()), m.StatusReply)


@pytest.mark.hazard("forgery")
def test_raw_frames_change_nothing() -> None:
    flood(50_000, seed=1)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_twenty_million_raw_frames_change_nothing() -> None:
    flood(20_000_000, seed=2)


def forged(dice: random.Random, host: SecureBench, stranger: Channel) -> bytes:
    """A whole frame from one without the key: unsealed, sealed with another key, or with a tag of chance."""
    request = dice.choice([one for one in REQUESTS if not isinstance(one, STOPS)])
    session = dice.choice([0, host.session, host.session, host.session + 1, dice.getrandbits(32)])
    numbers = {
        "session": session,
        "sequence": dice.choice([host.sequence + 1, host.sequence, dice.getrandbits(40)]),
        "command_id": dice.choice([host.command + 1, host.command, dice.getrandbits(32)]),
        "lease_us": host.core.now_us,
    }
    choice = dice.randrange(3)
    if choice == 0:
        return pack(request, **numbers)
    if choice == 1:
        numbers["sequence"] = stranger.sent + 1 + dice.randrange(3)
        return pack(request, **numbers, channel=stranger)
    tag = dice.randbytes(16)
    return encode_frame(
        Frame(request.TYPE, Kind.REQUEST, payload=request.encode(), authenticated=True, tag=tag, **numbers)
    )


def forge(frames: int, seed: int) -> None:
    dice = random.Random(seed)
    host = host_with_program()
    stranger = Channel(TransportKeys(b"x" * 32, b"y" * 32, bytes(32)))
    before = fingerprint(host.core)
    for _ in range(frames):
        # A wrong code would be counted: that is what it is for.
        host.core.receive(forged(dice, host, stranger))
        host.core.take_output()
    assert fingerprint(host.core)[:6] == before[:6]
    assert fingerprint(host.core)[8:] == before[8:]
    assert isinstance(host.ask(m.Status()), m.StatusReply)


@pytest.mark.hazard("forgery")
def test_forged_frames_change_nothing() -> None:
    forge(3_000, seed=3)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_two_million_forged_frames_change_nothing() -> None:
    forge(2_000_000, seed=4)


# ------------------------------------------------------------------------------------------ replays


@pytest.mark.hazard("replay")
def test_a_replayed_first_message_opens_nothing(recorded: tuple[list[bytes], SecureBench]) -> None:
    sent, host = recorded
    shakes = [line for line in sent if _type(line) == m.Handshake.TYPE]
    assert len(shakes) == 2
    core = host.core
    before = fingerprint(core)
    for _ in range(50):
        for line in shakes:
            core.receive(line)
    assert fingerprint(core) == before
    answers = [one for one in FrameDecoder().feed(core.take_output()) if isinstance(one, Frame)]
    assert {one.type for one in answers} == {m.Handshake.TYPE}
    assert {one.session for one in answers} == {0}


def _type(line: bytes) -> int:
    (frame,) = FrameDecoder().feed(line)
    assert isinstance(frame, Frame)
    return frame.type


@pytest.mark.hazard("replay")
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_recorded_session_replayed_after_a_reset_does_nothing(
    recorded: tuple[list[bytes], SecureBench], data: st.DataObject
) -> None:
    sent, host = recorded
    core = host.core
    core.restart()
    before = fingerprint(core)
    now = core.clock.true_ns
    order = data.draw(st.lists(st.integers(0, len(sent) - 1), max_size=60))
    for place in order:
        core.receive(sent[place])
        now += data.draw(st.sampled_from([0, MS, 100 * MS, S]))
        core.advance(now)
        assert not core.output_on
    assert fingerprint(core) == before
    assert core.sessions.open == {}


def test_a_recorded_session_replayed_in_order_after_a_reset_does_nothing(
    recorded: tuple[list[bytes], SecureBench],
) -> None:
    sent, host = recorded
    host.core.restart()
    before = fingerprint(host.core)
    for line in sent:
        host.core.receive(line)
    assert fingerprint(host.core) == before
    assert host.core.memory.dose_count == 1


@pytest.mark.hazard("replay")
def test_a_recorded_session_replayed_into_the_next_one_does_nothing(
    recorded: tuple[list[bytes], SecureBench],
) -> None:
    sent, host = recorded
    host.core.restart()
    other = SecureBench(host.core, host.host)
    other.key, other._shakes = host.key, 500
    other.hello()
    before = fingerprint(other.core)
    for line in sent:
        other.core.receive(line)
    assert fingerprint(other.core) == before
    other.heard()
    assert isinstance(other.ask(m.Status()), m.StatusReply)


# ------------------------------------------------------------------------------------------ bit flips


def flips(bits: int, dice: random.Random | None, count: int) -> Iterator[tuple[int, ...]]:
    """Every single bit, then pairs: all of them, or so many by chance."""
    yield from ((bit,) for bit in range(bits))
    if dice is None:
        yield from ((one, two) for one in range(bits) for two in range(one))
    else:
        yield from (tuple(dice.sample(range(bits), 2)) for _ in range(count))


def flip_all(request: Request, dice: random.Random | None, count: int) -> None:
    """Flip bits of a sealed command, with a right CRC-32, into a device whose host is at ease."""
    host = host_with_program()
    host.sequence += 1
    host.command += 1
    (frame,) = FrameDecoder().feed(host.packed(request))
    assert isinstance(frame, Frame)
    before = fingerprint(host.core)
    whole = frame.payload + frame.tag
    for places in flips(8 * len(whole), dice, count):
        turned = bytearray(whole)
        for place in places:
            turned[place // 8] ^= 1 << place % 8
        host.core.receive(_line(frame, bytes(turned)))
    for change in _headers(frame, dice, count):
        host.core.receive(_line(frame, whole, **change))
    host.core.take_output()
    assert fingerprint(host.core) == before


def _headers(frame: Frame, dice: random.Random | None, count: int) -> Iterator[dict[str, int]]:
    fields = {"type": 7, "session": 32, "sequence": 64, "command_id": 32, "lease_us": 64}
    bits = [(name, bit) for name, width in fields.items() for bit in range(width)]
    pairs = [(one,) for one in bits]
    if dice is None:
        pairs += [(one, two) for i, one in enumerate(bits) for two in bits[:i]]  # type: ignore[misc]
    else:
        pairs += [tuple(dice.sample(bits, 2)) for _ in range(count)]  # type: ignore[misc]
    for places in pairs:
        change = {name: getattr(frame, name) for name in fields}
        for name, bit in places:
            change[name] ^= 1 << bit
        # One that has become a stop stops: it needs no seal, and is proven elsewhere.
        if change["type"] and change["type"] not in (m.Stop.TYPE, m.EmergencyStop.TYPE):
            yield change


def _line(frame: Frame, whole: bytes, **change: int) -> bytes:
    fields = {name: getattr(frame, name) for name in ("session", "sequence", "command_id", "lease_us")}
    number = change.pop("type", frame.type)
    return encode_line(number, Kind.REQUEST, frame.payload, **{**fields, **change}, channel=_Sealed(whole))


class _Sealed:
    """What stands where encrypted payload and tag stand, as it is."""

    def __init__(self, whole: bytes) -> None:
        self.whole = whole

    def seal(self, sequence: int, head: bytes, payload: bytes) -> bytes:
        assert head[2] & FLAG_AUTHENTICATED
        return self.whole


FLIPPED = [one for one in REQUESTS if not isinstance(one, (*STOPS, m.Handshake))]


@pytest.mark.hazard("interference")
@pytest.mark.parametrize("request_", FLIPPED, ids=lambda one: one.NAME)
def test_no_turned_bit_passes_a_seal(request_: Request) -> None:
    flip_all(request_, random.Random(request_.NAME), 100)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("request_", FLIPPED, ids=lambda one: one.NAME)
def test_no_two_turned_bits_pass_a_seal(request_: Request) -> None:
    exhaustive = len(request_.encode()) <= 40
    flip_all(request_, None if exhaustive else random.Random(f"{request_.NAME} long"), 50_000)


# ----------------------------------------------------------------------------- nonsense under a key


def nonsense(dice: random.Random, host: SecureBench) -> Request | None:
    """A command that a host with a key has no reason to send, and that must not be carried out."""
    held = host.core.memory.slots[0]
    wrong = dice.randbytes(32)
    makers: list[Callable[[], Request]] = [
        lambda: m.Arm(m.ArmKind.STIMULATION, 0, wrong, held.approval),
        lambda: m.Arm(m.ArmKind.STIMULATION, 0, held.digest, wrong),
        lambda: m.Arm(m.ArmKind.STIMULATION, dice.randrange(1, 15), held.digest, APPROVAL),
        lambda: m.Arm(m.ArmKind.IMPEDANCE, m.NO_SLOT, wrong, bytes(32)),
        lambda: m.Fire(dice.getrandbits(64) or 1, dice.choice([0, 1, dice.getrandbits(60)])),
        lambda: m.ImpedanceFire(dice.getrandbits(64) or 1, 0, 0b11),
        lambda: m.SetAmplitude(dice.randrange(1, 3), dice.randrange(8), 0, dice.randrange(100_000)),
        lambda: m.LoadChunk(0, dice.randrange(2000), dice.randbytes(dice.randrange(1, 100))),
        lambda: m.LoadCommit(dice.randrange(16), wrong, ()),
        lambda: m.Clear(dice.choice(list(StopCause)), dice.choice(list(m.FaultCode))),
        lambda: m.Unpair(dice.randbytes(16)),
        lambda: m.Hello(dice.randbytes(16), 1, Role.CONTROL, host.host),
        lambda: m.Pair("again"),
        lambda: m.QueryCommand(dice.getrandbits(8) or 1, dice.getrandbits(8) or 1),
        lambda: m.EventLog(dice.getrandbits(60) or 1, dice.randrange(1, 24)),
        lambda: m.Dose(dice.getrandbits(60)),
    ]
    if dice.randrange(3):
        return dice.choice(makers)()
    # What is meant to be carried out for a host with a key is not nonsense.
    meant = (*STOPS, m.Goodbye, m.SoftStop, m.LoadBegin, m.Heartbeat, m.Arm, m.Assign, m.ReleaseBegin)
    kind = dice.choice([type(one) for one in REQUESTS if not isinstance(one, meant)])
    try:
        return kind.decode(dice.randbytes(dice.choice([0, 1, 2, 9, 12, 17, 33, 41, 66])))
    except ProtocolError:
        return None


def misuse(commands: int, seed: int) -> None:
    dice = random.Random(seed)
    host = host_with_program()
    before = fingerprint(host.core)
    for count in range(commands):
        if count % 50 == 0:
            host.live_until(host.now_ns + 100 * MS)
        request = nonsense(dice, host)
        host.sequence += 1
        if request is None:
            # A valid seal around bytes that are no message.
            kind = dice.choice(REQUESTS)
            line = encode_line(
                dice.randrange(1, 128) if not isinstance(kind, STOPS) else m.Status.TYPE,
                Kind.REQUEST,
                dice.randbytes(dice.randrange(1, 60)),
                session=host.session,
                sequence=host.sequence,
                command_id=dice.getrandbits(32),
                lease_us=host.core.now_us,
                channel=host.channel,
            )
        else:
            host.command += 1
            late = dice.choice([0, 0, 0, 600_000, -600_000])
            line = pack(
                request,
                session=host.session,
                sequence=host.sequence,
                command_id=dice.choice([host.command, host.command, max(1, host.command - 3)]),
                lease_us=max(0, host.core.now_us + late),
                channel=host.channel,
            )
        host.core.receive(line)
        if count % 20 == 0:
            host.heard()
        assert host.core.memory.dose_count == 0
        assert not host.core.output_on
    host.heard()
    after = fingerprint(host.core)
    assert after[:-1] == before[:-1]
    assert host.core.sessions.controller_host == host.host
    assert isinstance(host.ask(m.Status()), m.StatusReply)


@pytest.mark.hazard("forgery")
def test_nonsense_under_a_key_starts_nothing() -> None:
    misuse(4_000, seed=5)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_two_million_hostile_commands_under_a_key_start_nothing() -> None:
    misuse(2_000_000, seed=6)
