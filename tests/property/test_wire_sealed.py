"""No altered frame is opened: each flip of one and two bits of each command, and whatever else is done."""

from __future__ import annotations

import itertools
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.core.errors import ProtocolError
from neurostim.wire import cobs
from neurostim.wire.channel import Channel
from neurostim.wire.codec import pack
from neurostim.wire.frame import CRC_BYTES, Frame, FrameDecoder
from neurostim.wire.layout import Request
from neurostim.wire.messages import MESSAGES
from neurostim.wire.noise import TransportKeys
from support.wire_data import build, crc32_by_definition, golden, message_class

COMMANDS = [cls for cls in MESSAGES.values() if issubclass(cls, Request)]
VECTORS = {(vector["message"], vector["kind"]): vector for vector in golden("messages")["vector"]}
UP, DOWN = bytes(range(32)), bytes(range(32, 64))


def channels() -> tuple[Channel, Channel]:
    return Channel(TransportKeys(UP, DOWN, b"")), Channel(TransportKeys(DOWN, UP, b""))


def body_of(cls) -> bytes:
    """Header, sealed payload and tag of the vector's message, without the checksum."""
    vector = VECTORS[cls.NAME, "REQUEST"]
    message = build(message_class(cls.NAME, "REQUEST"), vector["values"])
    host, _ = channels()
    line = pack(message, session=7, sequence=3, command_id=5, lease_us=99, channel=host)
    return cobs.decode(line[1:-1])[:-CRC_BYTES]


def opens(body: bytes, received: int = 2) -> bool:
    """Whether a receiver opens these bytes, their checksum made right by whoever altered them."""
    line = b"\0" + cobs.encode(body + crc32_of(body)) + b"\0"
    found = FrameDecoder().feed(line)
    device = channels()[1]
    device.received = received
    for frame in found:
        if isinstance(frame, Frame):
            try:
                device.open(frame)
            except ProtocolError:
                continue
            return True
    return False


def crc32_of(body: bytes) -> bytes:
    return zlib.crc32(body).to_bytes(4, "little")


def flipped(body: bytes, *bits: int) -> bytes:
    altered = bytearray(body)
    for bit in bits:
        altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def test_the_checksum_of_these_tests_is_that_of_the_definition():
    body = body_of(COMMANDS[0])
    assert crc32_of(body) == crc32_by_definition(body).to_bytes(4, "little")


@pytest.mark.hazard("interference")
@pytest.mark.parametrize("cls", COMMANDS, ids=lambda cls: cls.NAME)
def test_every_flip_of_one_bit_of_a_sealed_command_is_refused(cls):
    body = body_of(cls)
    assert opens(body)
    assert not any(opens(flipped(body, bit)) for bit in range(8 * len(body)))


@pytest.mark.hazard("interference")
@pytest.mark.parametrize("cls", COMMANDS, ids=lambda cls: cls.NAME)
def test_a_sample_of_flips_of_two_bits_of_a_sealed_command_is_refused(cls):
    body, rng = body_of(cls), random.Random(cls.TYPE)
    bits = range(8 * len(body))
    assert not any(opens(flipped(body, *rng.sample(bits, 2))) for _ in range(300))


def test_every_flip_of_two_bits_of_a_stop_sized_command_is_refused():
    """The shortest sealed command there is, exhaustively also in the short form: 67,528 pairs."""
    shortest = min((body_of(cls) for cls in COMMANDS), key=len)
    pairs = list(itertools.combinations(range(8 * len(shortest)), 2))
    assert len(pairs) == 67_528
    assert not any(opens(flipped(shortest, *pair)) for pair in pairs)


@pytest.mark.long
@pytest.mark.parametrize("cls", COMMANDS, ids=lambda cls: cls.NAME)
def test_every_flip_of_two_bits_of_a_sealed_command_is_refused(cls):
    body = body_of(cls)
    pairs = itertools.combinations(range(8 * len(body)), 2)
    assert not any(opens(flipped(body, *pair)) for pair in pairs)


@given(st.sampled_from(COMMANDS), st.data())
def test_truncated_lengthened_and_spliced_frames_are_refused(cls, data):
    body = body_of(cls)
    other = body_of(data.draw(st.sampled_from(COMMANDS)))
    cut = data.draw(st.integers(0, len(body) - 1))
    assert not opens(body[:cut])
    assert not opens(body + data.draw(st.binary(min_size=1, max_size=20)))
    spliced = body[:30] + other[30:]
    assert spliced == body or not opens(spliced)
    place = data.draw(st.integers(0, len(body) - 1))
    value = data.draw(st.integers(0, 255))
    altered = body[:place] + bytes([value]) + body[place + 1 :]
    assert altered == body or not opens(altered)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_whatever_order_a_line_gives_only_ascending_frames_are_opened_once(order):
    host, device = channels()
    message = build(message_class("HEARTBEAT", "REQUEST"), VECTORS["HEARTBEAT", "REQUEST"]["values"])
    lines = [
        pack(message, session=7, sequence=number, command_id=number, lease_us=0, channel=host)
        for number in range(1, 41)
    ]
    opened = []
    for number in order:
        (frame,) = FrameDecoder().feed(lines[number - 1])
        assert isinstance(frame, Frame)
        before = device.received
        if frame.sequence > before:
            opened.append(device.open(frame).sequence)
            continue
        with pytest.raises(ProtocolError) as caught:
            device.open(frame)
        assert (caught.value.code, device.received) == ("replayed", before)
    assert opened == sorted(set(opened))
    assert opened[0] == order[0]
    assert opened[-1] == max(order)
