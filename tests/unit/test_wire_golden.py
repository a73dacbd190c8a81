"""The codec against vectors that were derived by hand, in both directions."""

from __future__ import annotations

import pytest
from support.wire_data import build, golden, message_class, octets

from neurostim.core.errors import ProtocolError
from neurostim.wire import cobs
from neurostim.wire.messages import MESSAGES

COBS = golden("cobs")
VECTORS = golden("messages")["vector"]


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
