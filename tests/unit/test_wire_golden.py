"""The codec against vectors that were derived by hand, in both directions."""

from __future__ import annotations

import pytest

from neurostim.core.errors import ProtocolError
from neurostim.wire import cobs
from neurostim.wire.codec import error_code, frame_error_code, pack, stop_frame, unpack, unpack_request
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.image import decode_image, encode_image, image_digest
from neurostim.wire.messages import MESSAGES
from support.wire_data import build, crc32_by_definition, golden, image_of, message_class, octets

COBS = golden("cobs")
VECTORS = golden("messages")["vector"]
FRAMES = golden("frames")["vector"]
IMAGES = golden("images")["vector"]
REFUSED = golden("refused")


@pytest.mark.parametrize("vector", COBS["vector"], ids=lambda vector: vector["name"])
def test_stuffing_equals_the_vector_both_ways(vector):
    plain, stuffed = octets(vector["plain"]), octets(vector["stuffed"])
    assert cobs.encode(plain) == stuffed
    assert cobs.decode(stuffed) == plain
    assert 0 not in stuffed
    assert len(stuffed) <= cobs.encoded_length(len(plain))


@pytest.mark.parametrize("vector", COBS["refused"], ids=lambda vector: vector["name"])
def test_what_no_encoder_makes_is_refused(vector):
    with pytest.raises(ProtocolError) as caught:
        cobs.decode(octets(vector["stuffed"]))
    assert caught.value.code == "bad-cobs"


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: f"{vector['message']}-{vector['kind']}")
def test_message_equals_the_vector_both_ways(vector):
    cls = message_class(vector["message"], vector["kind"])
    message, payload = build(cls, vector["values"]), octets(vector["bytes"])
    assert message.encode().hex(" ") == payload.hex(" ")
    assert cls.decode(payload) == message


def test_every_message_has_a_vector():
    held = {(vector["message"], vector["kind"]) for vector in VECTORS}
    assert held == {(cls.NAME, cls.KIND.name) for cls in MESSAGES.values()}


@pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector["name"])
def test_frame_equals_the_vector_both_ways(vector):
    body, line = octets(vector["body"]), octets(vector["line"])
    header = {name: vector[name] for name in ("session", "sequence", "command_id", "lease_us")}
    message = message_class(vector["message"], vector["kind"]).decode(body[30:])
    assert crc32_by_definition(body).to_bytes(4, "little") == octets(vector["crc"])
    assert cobs.encode(body + octets(vector["crc"])) == line[1:-1]
    assert pack(message, **header).hex(" ") == line.hex(" ")
    (frame,) = FrameDecoder().feed(line)
    assert {name: getattr(frame, name) for name in header} == header
    assert unpack(frame) == message


def test_checksum_of_the_definition_has_its_known_value():
    assert crc32_by_definition(b"123456789") == 0xCBF43926


def test_a_stop_made_ahead_of_time_is_the_first_frame_vector():
    assert stop_frame() == octets(FRAMES[0]["line"])


@pytest.mark.parametrize("vector", IMAGES, ids=lambda vector: vector["name"])
def test_image_equals_the_vector_both_ways(vector):
    image, data = image_of(vector), octets(vector["bytes"])
    assert encode_image(image).hex(" ") == data.hex(" ")
    assert decode_image(data) == image
    assert image_digest(data).hex() == vector["sha256"]


@pytest.mark.parametrize("vector", REFUSED["frame"], ids=lambda vector: vector["name"])
def test_a_frame_with_a_right_checksum_and_wrong_content_is_refused_by_its_code(vector):
    body = octets(vector["body"])
    line = b"\0" + cobs.encode(body + crc32_by_definition(body).to_bytes(4, "little")) + b"\0"
    (found,) = FrameDecoder().feed(line)
    if isinstance(found, Frame):
        with pytest.raises(ProtocolError) as caught:
            unpack_request(found)
        answer = error_code(caught.value)
    else:
        answer = frame_error_code(found)
    assert answer is not None
    assert answer.name == vector["answer"]


@pytest.mark.parametrize("vector", REFUSED["image"], ids=lambda vector: vector["name"])
def test_an_image_with_one_value_outside_is_refused(vector):
    data, wrong = octets(IMAGES[0]["bytes"]), octets(vector["bytes"])
    decode_image(data)
    altered = data[: vector["at"]] + wrong + data[vector["at"] + len(wrong) :]
    assert len(altered) == len(data)
    assert altered != data
    with pytest.raises(ProtocolError) as caught:
        decode_image(altered)
    assert caught.value.code == "bad-image"
    assert vector["place"] in caught.value.message.partition(": found")[0]
