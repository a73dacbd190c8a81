"""Handshake, pairing code and channel: against vectors, against a second library, and out of order."""

from __future__ import annotations

import hashlib
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.core.errors import ConfigError, ProtocolError
from neurostim.wire.channel import MAX_SEQUENCE, Channel, SealFault
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder, encode_frame
from neurostim.wire.messages import Heartbeat, Status
from neurostim.wire.noise import EMPTY_MESSAGE_BYTES, PROTOCOL_NAME, Initiator, Responder, TransportKeys
from neurostim.wire.pairing import (
    PairingCodeError,
    format_code,
    pairing_psk,
    parse_code,
    parse_qr,
    prologue,
    qr_text,
    read_code,
)
from support.noise_by_definition import (
    Handshake,
    chacha20_block,
    hkdf_rfc5869,
    poly1305,
    seal,
    x25519,
)
from support.wire_data import crc32_by_definition, golden, message_class, octets

KEYS = golden("keys")
PSK, PROLOGUE = bytes(range(32)), b"neurostim wire 1 and more"
FIRST, SECOND = bytes(range(1, 33)), bytes(range(33, 65))

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from noise.connection import NoiseConnection


def shake(psk: bytes = PSK, bound: bytes = PROLOGUE) -> tuple[Initiator, Responder]:
    one, other = Initiator(psk, bound, FIRST), Responder(psk, bound, SECOND)
    other.read(one.write())
    one.read(other.write())
    return one, other


def channels() -> tuple[Channel, Channel]:
    one, other = shake()
    return Channel(one.split()), Channel(other.split())


def sealed(channel: Channel, sequence: int, message=None, session: int = 9) -> Frame:
    line = pack(
        message or Heartbeat(1, 2),
        session=session,
        sequence=sequence,
        command_id=4,
        lease_us=5,
        channel=channel,
    )
    (frame,) = FrameDecoder().feed(line)
    assert isinstance(frame, Frame)
    return frame


def fault_of(channel: Channel, frame: Frame) -> SealFault:
    with pytest.raises(ProtocolError) as caught:
        channel.open(frame)
    return SealFault(caught.value.code)


# Against vectors.


def test_the_primitives_of_the_vectors_are_those_of_their_rfcs():
    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    agreed = "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    assert x25519(scalar, point).hex() == agreed  # RFC 7748, 5.2
    block = chacha20_block(bytes(range(32)), 1, bytes.fromhex("000000090000004a00000000"))
    assert block[:16].hex() == "10f1e7e4d13b5915500fdd1fa32071c4"  # RFC 8439, 2.3.2
    once = bytes.fromhex("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b")
    tag = poly1305(once, b"Cryptographic Forum Research Group")
    assert tag.hex() == "a8061dc1305136c6c22b8baf0c0127a9"  # RFC 8439, 2.5.2
    output = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert hkdf_rfc5869(b"\x0b" * 22, b"").hex() == output  # RFC 5869, A.3


@pytest.mark.parametrize("vector", KEYS["code"], ids=lambda vector: vector["text"])
def test_code_and_its_key_equal_the_vector(vector):
    secret = octets(vector["secret"])
    assert hashlib.sha256(secret).digest()[:2] == octets(vector["check_of"])
    assert format_code(secret) == vector["text"]
    assert parse_code(vector["text"]) == secret
    assert pairing_psk(secret).hex(" ") == vector["psk"]
    assert hkdf_rfc5869(secret, b"neurostim pairing code").hex(" ") == vector["psk"]


@pytest.mark.parametrize("vector", KEYS["handshake"], ids=lambda vector: vector["name"])
def test_handshake_equals_the_vector_at_every_step(vector):
    bound = prologue(vector["purpose"], octets(vector["host_id"]), vector["serial_number"])
    assert bound == octets(vector["prologue"])
    psk = octets(vector["psk"])
    private = octets(vector["private_initiator"]), octets(vector["private_responder"])
    steps = {name: octets(value) for name, value in vector["steps"].items()}
    assert Handshake(psk, bound, *private).values == steps
    one, other = Initiator(psk, bound, private[0]), Responder(psk, bound, private[1])
    assert one.write() == steps["message_1"]
    assert other.read(steps["message_1"]) == b""
    assert other.write() == steps["message_2"]
    assert one.read(steps["message_2"]) == b""
    there, back = steps["key_initiator_to_responder"], steps["key_responder_to_initiator"]
    assert one.split() == TransportKeys(there, back, steps["handshake_hash"])
    assert other.split() == TransportKeys(back, there, steps["handshake_hash"])


@pytest.mark.parametrize("vector", KEYS["sealed"], ids=lambda vector: vector["name"])
def test_sealed_frame_equals_the_vector_both_ways(vector):
    steps = {name: octets(value) for name, value in KEYS["handshake"][1]["steps"].items()}
    there, back = steps["key_initiator_to_responder"], steps["key_responder_to_initiator"]
    host, device = TransportKeys(there, back, b""), TransportKeys(back, there, b"")
    sender, hearer = (host, device) if vector["sender"] == "initiator" else (device, host)
    payload, head = octets(vector["payload"]), octets(vector["header"])
    by_definition = seal(sender.send, vector["sequence"], head, payload)
    assert by_definition == octets(vector["sealed"])
    crc = crc32_by_definition(head + by_definition).to_bytes(4, "little")
    assert crc == octets(vector["crc"])
    message = message_class(vector["message"], vector["kind"]).decode(payload)
    header = {name: vector[name] for name in ("session", "sequence", "command_id", "lease_us")}
    line = pack(message, **header, channel=Channel(sender))
    assert line.hex(" ") == octets(vector["line"]).hex(" ")
    (frame,) = FrameDecoder().feed(line)
    assert isinstance(frame, Frame)
    assert encode_frame(frame) == line
    opened = Channel(hearer).open(frame)
    assert {name: getattr(opened, name) for name in header} == header
    assert (opened.authenticated, opened.sealed) == (True, False)
    assert unpack(opened) == message


# Against the library `noiseprotocol`.


def other_library(*, initiator: bool, psk: bytes, bound: bytes) -> NoiseConnection:
    connection = NoiseConnection.from_name(PROTOCOL_NAME)
    connection.set_as_initiator() if initiator else connection.set_as_responder()
    connection.set_psks(psk)
    connection.set_prologue(bound)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        connection.start_handshake()
    return connection


@pytest.mark.hazard("forgery")
@given(
    psk=st.binary(min_size=32, max_size=32),
    bound=st.binary(max_size=80),
    private=st.binary(min_size=32, max_size=32),
    words=st.tuples(st.binary(max_size=40), st.binary(max_size=40)),
)
def test_both_sides_talk_to_another_implementation(psk, bound, private, words):
    responder = other_library(initiator=False, psk=psk, bound=bound)
    ours = Initiator(psk, bound, private)
    assert bytes(responder.read_message(ours.write(words[0]))) == words[0]
    assert ours.read(bytes(responder.write_message(words[1]))) == words[1]
    keys = ours.split()
    assert keys.handshake_hash == responder.get_handshake_hash()
    assert responder.decrypt(seal(keys.send, 0, b"", b"up")) == b"up"
    assert seal(keys.receive, 0, b"", b"down") == responder.encrypt(b"down")

    initiator = other_library(initiator=True, psk=psk, bound=bound)
    theirs = Responder(psk, bound, private)
    assert theirs.read(bytes(initiator.write_message(words[0]))) == words[0]
    assert bytes(initiator.read_message(theirs.write(words[1]))) == words[1]
    assert theirs.split().handshake_hash == initiator.get_handshake_hash()
    assert initiator.encrypt(b"x") == seal(theirs.split().receive, 0, b"", b"x")


# What a handshake refuses.


def altered(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("what", ["key", "prologue"])
def test_another_key_or_prologue_is_refused_and_changes_nothing(what):
    one = Initiator(PSK, PROLOGUE, FIRST)
    first = one.write()
    wrong = (altered(PSK, 3), PROLOGUE) if what == "key" else (PSK, altered(PROLOGUE, 3))
    with pytest.raises(ProtocolError) as caught:
        Responder(*wrong, SECOND).read(first)
    assert caught.value.code == "handshake-refused"
    stranger = Responder(*wrong, SECOND)
    stranger.read(Initiator(*wrong, FIRST).write())
    with pytest.raises(ProtocolError) as caught:
        one.read(stranger.write())
    assert caught.value.code == "handshake-refused"
    right = Responder(PSK, PROLOGUE, SECOND)
    right.read(first)
    one.read(right.write())
    assert one.split().handshake_hash == right.split().handshake_hash


def test_every_bit_of_both_messages_counts():
    one, other = Initiator(PSK, PROLOGUE, FIRST), Responder(PSK, PROLOGUE, SECOND)
    first = one.write()
    for bit in range(8 * len(first)):
        flipped = first[: bit // 8] + bytes([first[bit // 8] ^ 1 << bit % 8]) + first[bit // 8 + 1 :]
        with pytest.raises(ProtocolError):
            other.read(flipped)
    other.read(first)
    second = other.write()
    for bit in range(8 * len(second)):
        flipped = second[: bit // 8] + bytes([second[bit // 8] ^ 1 << bit % 8]) + second[bit // 8 + 1 :]
        with pytest.raises(ProtocolError):
            one.read(flipped)
    one.read(second)


@pytest.mark.parametrize("length", [0, 1, 31, 32, EMPTY_MESSAGE_BYTES - 1])
def test_short_messages_are_refused(length):
    with pytest.raises(ProtocolError) as caught:
        Responder(PSK, PROLOGUE, SECOND).read(bytes(length))
    assert caught.value.code == "handshake-refused"


@pytest.mark.parametrize("point", [0, 1, 2**255 - 19, 2**255 - 20])
def test_public_keys_that_agree_on_nothing_are_refused(point):
    """All-zero secrets come from points of low order, whatever the other side's key."""
    other = Responder(PSK, PROLOGUE, SECOND)
    evil = Handshake(PSK, PROLOGUE, FIRST, SECOND)
    one = Initiator(PSK, PROLOGUE, FIRST)
    other.read(one.write())
    low = point.to_bytes(32, "little")
    with pytest.raises(ProtocolError) as caught:
        one.read(low + evil.values["message_2"][32:])
    assert caught.value.code == "handshake-refused"


def test_steps_out_of_order_are_refused():
    one, other = Initiator(PSK, PROLOGUE, FIRST), Responder(PSK, PROLOGUE, SECOND)
    for step in (lambda: one.read(bytes(48)), one.split, other.write, other.split):
        with pytest.raises(ProtocolError) as caught:
            step()
        assert caught.value.code == "handshake-order"
    other.read(one.write())
    for step in (one.write, lambda: other.read(bytes(48))):
        with pytest.raises(ProtocolError) as caught:
            step()
        assert caught.value.code == "handshake-order"
    one.read(other.write())
    for step in (other.write, lambda: one.read(bytes(48))):
        with pytest.raises(ProtocolError) as caught:
            step()
        assert caught.value.code == "handshake-order"


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_keys_of_another_length_are_refused(size):
    for make in (Initiator, Responder):
        with pytest.raises(ProtocolError):
            make(bytes(size), PROLOGUE, FIRST)
        with pytest.raises(ProtocolError):
            make(PSK, PROLOGUE, bytes(size))


def test_keys_do_not_appear_in_their_text():
    keys = shake()[0].split()
    assert keys.send.hex() not in repr(keys)
    assert repr(keys.send) not in repr(keys)
    assert repr(keys.receive) not in repr(keys)


# The pairing code.


@given(st.binary(min_size=16, max_size=16), st.data())
def test_a_code_is_read_however_it_is_written(secret, data):
    text = format_code(secret)
    assert len(text.replace("-", "")) == 28
    loose = text.replace("-", data.draw(st.sampled_from(["", " ", "–", " - "])))
    loose = loose.replace("0", data.draw(st.sampled_from("0Oo"))).replace(
        "1", data.draw(st.sampled_from("1IlLi"))
    )
    assert parse_code(loose.lower() if data.draw(st.booleans()) else loose) == secret
    assert parse_qr(qr_text("NS-1", secret)) == ("NS-1", secret)


@given(st.binary(min_size=16, max_size=16))
def test_a_slip_is_noticed_but_for_one_in_a_thousand(secret):
    """Ten bits of check: of 806 slips of one character those pass whose check fits by chance, 0.8 of them."""
    text = format_code(secret).replace("-", "")
    passed = [
        (place, letter)
        for place in range(28)
        for letter in "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
        if letter != text[place] and (read := slipped(text, place, letter)) is not None and read != secret
    ]
    assert len(passed) <= 12
    assert all(place < 26 for place, _ in passed)


def slipped(text, place, letter):
    try:
        return parse_code(text[:place] + letter + text[place + 1 :])
    except PairingCodeError:
        return None


@pytest.mark.hazard("guessing")
def test_typing_errors_are_told_apart_and_never_repeat_the_code():
    text = format_code(bytes(range(16)))
    cases = {
        "code-length": (text[:-1], text + "0", "", "0"),
        "code-character": (text.replace("0", "U", 1), "?" + text[1:], "é" + text[1:]),
        "code-check": (("1" if text[0] != "1" else "2") + text[1:],),
    }
    for code, wrongs in cases.items():
        for wrong in wrongs:
            with pytest.raises(PairingCodeError) as caught:
                parse_code(wrong)
            assert caught.value.code == code
            assert text[5:9] not in str(caught.value)
            assert isinstance(caught.value, ConfigError)


def test_the_padding_of_a_code_has_one_spelling():
    """The two bits behind the 128 are zero: a code has 32 bits of redundancy less two, not an alias."""
    letters = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    text = format_code(bytes(16)).replace("-", "")
    for low in (1, 2, 3):
        alias = text[:25] + letters[letters.index(text[25]) | low] + text[26:]
        with pytest.raises(PairingCodeError):
            parse_code(alias)


def test_a_label_of_another_device_is_refused_before_anything_is_sent():
    secret = bytes(range(16))
    assert read_code(qr_text("NS-1", secret), "NS-1") == secret
    assert read_code(format_code(secret), "NS-2") == secret
    with pytest.raises(PairingCodeError) as caught:
        read_code(qr_text("NS-1", secret), "NS-2")
    assert caught.value.code == "code-of-another"


@pytest.mark.parametrize(
    "text", ["", "NEUROSTIM:", "NEUROSTIM:NS-1", "NEUROSTIM::0", "http://x:1", "OTHER:NS-1:0"]
)
def test_other_qr_codes_are_refused(text):
    with pytest.raises(PairingCodeError) as caught:
        parse_qr(text)
    assert caught.value.code in ("code-label", "code-length")


def test_prologues_differ_in_purpose_host_and_device():
    found = {
        prologue(purpose, host * 16, serial)
        for purpose in (1, 2)
        for host in (b"a", b"b")
        for serial in ("", "NS-1", "NS-10", "N" * 32)
    }
    assert len(found) == 16
    assert {len(one) for one in found} == {65}
    for wrong in ((256, b"a" * 16, ""), (1, b"a" * 15, ""), (1, b"a" * 16, "N" * 33)):
        with pytest.raises(ConfigError):
            prologue(*wrong)


@pytest.mark.parametrize("size", [0, 15, 17])
def test_codes_of_another_length_are_refused(size):
    for make in (format_code, pairing_psk):
        with pytest.raises(ConfigError):
            make(bytes(size))


# The channel.


def test_a_frame_is_opened_once_and_only_after_those_before_it():
    host, device = channels()
    frames = [sealed(host, sequence) for sequence in (1, 2, 5, 6)]
    assert unpack(device.open(frames[0])) == Heartbeat(1, 2)
    assert unpack(device.open(frames[2])) == Heartbeat(1, 2)
    for late in frames[:3]:
        assert fault_of(device, late) is SealFault.REPLAYED
    assert device.received == 5
    assert unpack(device.open(frames[3])) == Heartbeat(1, 2)


def test_a_refused_frame_leaves_room_for_the_right_one():
    host, device = channels()
    frame = sealed(host, 7)
    forged = frame._replace(tag=bytes(16))
    assert fault_of(device, forged) is SealFault.TAG
    assert device.received == 0
    device.open(frame)


def test_the_other_direction_another_key_and_another_session_are_refused():
    host, device = channels()
    frame = sealed(host, 1)
    assert fault_of(host, frame) is SealFault.TAG
    stranger = Channel(shake(altered(PSK, 0))[1].split())
    assert fault_of(stranger, frame) is SealFault.TAG
    renamed = frame._replace(session=10)
    assert fault_of(device, renamed) is SealFault.TAG
    device.open(frame)


def test_what_is_not_sealed_is_not_opened():
    host, device = channels()
    frame = sealed(host, 1)
    plain = Frame(frame.type, frame.kind, 9, 1, 4, 5, b"12345678")
    assert fault_of(device, plain) is SealFault.NOT_SEALED
    opened = device.open(frame)
    assert fault_of(channels()[1], opened) is SealFault.NOT_SEALED


def test_a_number_is_never_used_twice():
    host, _ = channels()
    for sequence in (0, -1, MAX_SEQUENCE + 1):
        with pytest.raises(ProtocolError):
            sealed(host, sequence)
    sealed(host, 3)
    for sequence in (1, 2, 3):
        with pytest.raises(ProtocolError) as caught:
            sealed(host, sequence, Status())
        assert caught.value.code == "sequence-reused"
    sealed(host, MAX_SEQUENCE)
    with pytest.raises(ProtocolError):
        sealed(host, MAX_SEQUENCE)


def test_a_peer_cannot_use_up_the_last_number():
    host, device = channels()
    frame = sealed(host, MAX_SEQUENCE)
    beyond = frame._replace(sequence=MAX_SEQUENCE + 1)
    assert fault_of(device, beyond) is SealFault.REPLAYED
    device.open(frame)
    assert fault_of(device, frame) is SealFault.REPLAYED
