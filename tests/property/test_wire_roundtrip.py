"""Whatever is valid survives the wire unchanged; whatever is accepted has exactly one encoding."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurostim.core.errors import ProtocolError
from neurostim.wire import cobs
from neurostim.wire.capabilities import decode_capabilities, encode_capabilities
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES, Frame, FrameDecoder, encode_frame
from neurostim.wire.image import MAX_IMAGE_BYTES, decode_image, encode_image
from neurostim.wire.layout import Kind
from neurostim.wire.messages import MESSAGES
from support.wire_strategies import capabilities, examples, headers, images, messages, of_record

BYTES = st.binary(max_size=600) | st.lists(
    st.sampled_from([b"\0", b"\1", b"\xff", bytes([7]) * 253, bytes([7]) * 254, bytes([7]) * 255]), max_size=6
).map(b"".join)


@given(BYTES)
def test_stuffing_is_undone_and_holds_no_zero(data):
    stuffed = cobs.encode(data)
    assert 0 not in stuffed
    assert len(stuffed) <= cobs.encoded_length(len(data))
    assert cobs.decode(stuffed) == data


@given(BYTES)
def test_any_bytes_that_stuffing_accepts_are_the_only_spelling(data):
    try:
        plain = cobs.decode(data)
    except ProtocolError:
        return
    assert cobs.encode(plain) == data


@pytest.mark.parametrize("cls", MESSAGES.values(), ids=lambda cls: cls.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_message_survives_the_wire(cls, data):
    message = data.draw(of_record(cls))
    assert cls.decode(message.encode()) == message


@settings(max_examples=100)
@given(message=messages, header=headers, cuts=st.lists(st.integers(0, 1100), max_size=4))
def test_frame_survives_any_cutting_of_the_line(message, header, cuts):
    line = pack(message, **header)
    decoder, found = FrameDecoder(), []
    edges = sorted({0, len(line), *(cut for cut in cuts if cut < len(line))})
    for low, high in itertools.pairwise(edges):
        found += decoder.feed(line[low:high])
    (frame,) = found
    assert isinstance(frame, Frame)
    assert unpack(frame) == message
    assert {name: getattr(frame, name) for name in header} == header
    assert encode_frame(frame) == line


@given(payload=st.binary(max_size=MAX_PAYLOAD_BYTES), header=headers, kind=st.sampled_from(Kind))
def test_longest_payloads_fit_a_frame(payload, header, kind):
    line = encode_frame(Frame(0x7F, kind, payload=payload, **header))
    assert len(line) <= MAX_FRAME_BYTES
    (frame,) = FrameDecoder().feed(line)
    assert isinstance(frame, Frame)
    assert frame.payload == payload


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(images())
def test_image_survives_the_wire(image):
    data = encode_image(image)
    assert len(data) <= MAX_IMAGE_BYTES
    assert decode_image(data) == image


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(image=images(), place=st.integers(0, 2000), bit=st.integers(0, 7))
def test_altered_image_is_refused_or_is_another_image_in_its_only_encoding(image, place, bit):
    data = bytearray(encode_image(image))
    data[place % len(data)] ^= 1 << bit
    try:
        other = decode_image(bytes(data))
    except ProtocolError:
        return
    assert other != image
    assert encode_image(other) == data


@given(st.binary(max_size=400))
def test_no_bytes_break_the_image_reader(data):
    for candidate in (data, b"NSPI\x01\x00\x01\x00" + len(data).to_bytes(2, "little") + data):
        try:
            image = decode_image(candidate)
        except ProtocolError:
            continue
        assert encode_image(image) == candidate


@given(held=capabilities(), boots=st.integers(0, 2**32 - 1))
def test_capabilities_survive_the_wire(held, boots):
    told = tuple(type(message).decode(message.encode()) for message in encode_capabilities(held, boots))
    assert decode_capabilities(*told) == held
    assert told[0].boot_count == boots


@pytest.mark.parametrize("message", examples(), ids=lambda message: type(message).__name__)
def test_every_turned_bit_of_a_frame_is_noticed(message):
    line = pack(message, session=0x01020304, sequence=5, command_id=6, lease_us=1_000_000)
    for at in range(8 * len(line)):
        turned = bytearray(line)
        turned[at // 8] ^= 1 << (at % 8)
        accepted = [found for found in FrameDecoder().feed(bytes(turned) + b"\0") if isinstance(found, Frame)]
        assert accepted == [], f"bit {at}"
