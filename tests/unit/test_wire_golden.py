"""The codec against vectors that were derived by hand, in both directions."""

from __future__ import annotations

import pytest

from neurostim.core.errors import ProtocolError
from neurostim.wire import cobs
from neurostim.wire.codec import pack, stop_frame, unpack
from neurostim.wire.frame import FrameDecoder
from neurostim.wire.image import decode_image, encode_image, image_digest
from neurostim.wire.messages import MESSAGES
from support.wire_data import build, crc32_by_definition, golden, image_of, message_class, octets

COBS = golden("cobs")
VECTORS = golden("messages")["vector"]
FRAMES = golden("frames")["vector"]
IMAGES = golden("images")["vector"]


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
