"""First messages that are repeated: they use no number up twice, and take no other line's channel."""

from __future__ import annotations

from typing import Any

import pytest

from neurostim.wire import messages as m
from neurostim.wire.channel import Channel
from neurostim.wire.codec import pack, stop_frame
from neurostim.wire.messages import DeviceState, ErrorCode, HandshakePurpose, Role
from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile
from neurostim_sim.session_numbers import BLOCK, MOST
from neurostim_sim.store import MemoryMedium
from support.secure_bench import SecureBench
from support.sim_bench import SimHost

S = 1_000_000_000
BARE = {"session": 0, "sequence": 0, "command_id": 1, "lease_us": 0}


def paired(**more: Any) -> SecureBench:
    host = SecureBench(DeviceCore(profile("scs"), seed=5, **more))
    host.hello()
    return host


def replayed(host: SecureBench, message: m.Handshake) -> int:
    """The number that a first message gets, from whoever repeats it."""
    host.channel = None
    host._say(pack(message, **BARE))
    reply = host.heard()[-1]
    assert isinstance(reply, m.HandshakeReply), reply
    return reply.session


@pytest.mark.hazard("replay")
@pytest.mark.parametrize("shakes", [1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_no_number_is_given_again_after_a_reset_though_its_channel_was_never_opened(shakes: int) -> None:
    host = paired()
    given = [host.session]
    for _ in range(2):
        for _ in range(shakes):
            _, message = host.begin(HandshakePurpose.SESSION, host.key)
            given.append(replayed(host, message))
        host.core.restart()
    assert len(set(given)) == len(given) == 2 * shakes + 1
    assert given == sorted(given)


def test_a_number_is_reserved_durably_before_it_is_given() -> None:
    medium = MemoryMedium()
    host = paired(medium=medium)
    numbers = host.core.link.numbers
    while numbers.last < host.core.memory.session_numbers:
        numbers.take()
    medium.cut_after = medium.writes
    _, message = host.begin(HandshakePurpose.SESSION, host.key)
    host.channel = None
    host._say(pack(message, **BARE))
    assert host.heard() == []
    assert host.core.dead


def test_only_a_session_that_was_opened_is_counted() -> None:
    host = paired()
    counted = host.core.memory.session_count
    for _ in range(5):
        host.shake(HandshakePurpose.SESSION, host.key)
    assert host.core.memory.session_count == counted
    host.hello()
    assert host.core.memory.session_count == counted + 1


def used_up(core: DeviceCore) -> None:
    core.memory.session_numbers = MOST - 2
    core.memory.save()
    core.restart()


@pytest.mark.parametrize("purpose", list(HandshakePurpose))
def test_a_handshake_finds_no_number_left_and_the_device_goes_on(purpose: HandshakePurpose) -> None:
    host = paired()
    used_up(host.core)
    given = [host.shake(HandshakePurpose.SESSION, host.key).session for _ in range(2)]
    assert given == [MOST - 1, MOST]
    reply = host.shake(purpose, host.key if purpose is HandshakePurpose.SESSION else host.core.keyring.psk)
    assert reply.code is ErrorCode.TOO_MANY_SESSIONS
    assert host.core.keyring.failures == 0
    host.core.restart()
    assert host.shake(HandshakePurpose.SESSION, host.key).code is ErrorCode.TOO_MANY_SESSIONS
    host.core.receive(stop_frame())
    assert host.core.state is DeviceState.STOPPED


def test_a_hello_without_a_key_finds_no_number_left_and_a_stop_still_works() -> None:
    host = SimHost(DeviceCore(profile("scs"), seed=5))
    used_up(host.core)
    hello = m.Hello(b"h" * 16, 1, Role.CONTROL, bytes(16))
    host.session = host.ask(hello).session
    assert host.session == MOST - 1
    assert host.ask(m.Hello(b"i" * 16, 2, Role.OBSERVE, bytes(16))).session == MOST
    refused = host.ask(m.Hello(b"j" * 16, 3, Role.OBSERVE, bytes(16)))
    assert refused.code is ErrorCode.TOO_MANY_SESSIONS
    assert host.ask(m.Stop()).state is DeviceState.STOPPED


# ---------------------------------------------------------------------------------- pending channels


def recorded(host: SecureBench, count: int = 3) -> list[bytes]:
    """First messages of this host's, as somebody on the line has recorded them."""
    return [pack(host.begin(HandshakePurpose.SESSION, host.key)[1], **BARE) for _ in range(count)]


@pytest.mark.hazard("forgery")
def test_first_messages_that_are_repeated_on_another_line_take_no_channel_from_a_host() -> None:
    host = paired()
    old = recorded(host)
    host.shake(HandshakePurpose.SESSION, host.key)
    for _ in range(3):
        for line in old:
            host.core.receive(line, 7)
    reply = host.ask(m.Hello(host.host, 1, Role.OBSERVE, bytes(16)))
    assert isinstance(reply, m.HelloReply)
    assert reply.session == host.session


def test_a_first_message_that_is_repeated_elsewhere_before_it_arrives_takes_no_channel_either() -> None:
    host = paired()
    initiator, message = host.begin(HandshakePurpose.SESSION, host.key)
    frame = pack(message, **BARE)
    host.core.receive(frame, 7)
    host.channel = None
    host._say(frame)
    reply = host.heard()[-1]
    assert isinstance(reply, m.HandshakeReply)
    for line in recorded(host):
        host.core.receive(line, 7)
    initiator.read(reply.noise)
    host.channel, host.session, host.sequence = Channel(initiator.split()), reply.session, 0
    assert isinstance(host.ask(m.Hello(host.host, 1, Role.OBSERVE, bytes(16))), m.HelloReply)


def test_a_line_holds_two_channels_and_the_oldest_goes() -> None:
    host = paired()
    numbers = [replayed(host, host.begin(HandshakePurpose.SESSION, host.key)[1]) for _ in range(3)]
    held = host.core.link.handshakes
    now_ns = host.core.clock.now_ns
    assert [held.get(one, now_ns) is not None for one in numbers] == [False, True, True]
    host.core.drop_line(0)
    assert [held.get(one, now_ns) for one in numbers] == [None] * 3
