"""Messages: nothing outside a field's bounds can be made, sent or read."""

from __future__ import annotations

import copy
import dataclasses
import enum

import numpy as np
import pytest

from neurostim.core import hardware
from neurostim.core.errors import ProtocolError
from neurostim.wire import generate, messages
from neurostim.wire.cobs import encoded_length
from neurostim.wire.description import class_name
from neurostim.wire.fields import Data, Member, Octets, Parts, Text, Truth, Whole, Wholes
from neurostim.wire.frame import CRC_BYTES, HEADER_BYTES, MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES, TAG_BYTES
from neurostim.wire.layout import Event, Kind, Lane, Need, Reply, Request
from neurostim.wire.messages import MESSAGES, REPLY_TO, Error, ErrorCode, Hello, Role, decode_message
from support.wire_strategies import examples

EXAMPLES = examples()
FIELDS = [
    (message, field)
    for message in EXAMPLES
    for field in (*message.LAYOUT.fields, *([message.LAYOUT.tail] if message.LAYOUT.tail else []))
]


def ident(value):
    return getattr(value, "NAME", getattr(value, "name", None))


def wrong_values(field):
    """Values that a field must refuse, each beside what it allows."""
    common = [None, "1", 1.0, float("nan"), np.int64(1), object()]
    match field:
        case Whole():
            return [*common, field.low - 1, field.high + 1, True, b"1"]
        case Truth():
            return [*common, 0, 1, 2, b"1"]
        case Member():
            return [*common, 0, 1, 200, True, b"1", enum.IntEnum("Other", {"A": 1}).A]
        case Octets():
            return [*common, bytes(field.length - 1), bytes(field.length + 1), bytearray(field.length)]
        case Text():
            return [None, 1, b"a", "a" * (field.length + 1), "a\0b", "\0", "a\n", "\x7f", "é", "\ud800"]
        case Data():
            return [*common, bytes(field.high + 1), bytearray(1), [1], *([b""] if field.low else [])]
        case Wholes():
            wrong = [(field.low - 1,), (field.high + 1,), (True,), (1.0,), [1], (1,) * (field.count + 1)]
            return [*common, *wrong]
        case Parts():
            part = EXAMPLES[0]
            return [*common, (part,), ("x",), [], (None,)]
    raise AssertionError(field)


@pytest.mark.parametrize(("message", "field"), FIELDS, ids=ident)
def test_a_value_outside_its_field_is_never_made(message, field):
    for value in wrong_values(field):
        with pytest.raises(ProtocolError) as caught:
            dataclasses.replace(message, **{field.name: value})
        assert caught.value.code == "bad-content"
        assert field.name in str(caught.value)
        assert caught.value.allowed


@pytest.mark.parametrize("message", EXAMPLES, ids=ident)
def test_a_payload_of_another_length_is_refused(message):
    payload = message.encode()
    for wrong in (payload + b"\0", payload[:-1] if payload else b"x", payload + payload + b"\0"):
        with pytest.raises(ProtocolError) as caught:
            type(message).decode(wrong)
        assert caught.value.code in ("bad-length", "bad-content")


def offsets(message):
    at = 0
    for field in message.LAYOUT.fields:
        size = {"B": 1, "H": 2, "I": 4, "Q": 8, "i": 4, "q": 8}.get(field.code) or int(field.code[:-1])
        yield field, at, size
        at += size


def test_bytes_outside_a_field_are_refused_when_read():
    seen = set()
    for message in EXAMPLES:
        payload = message.encode()
        for field, at, size in offsets(message):
            wrong = []
            match field:
                case Whole():
                    signed = field.code.islower()
                    low, high = (
                        (-(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1)
                        if signed
                        else (0, 2 ** (8 * size) - 1)
                    )
                    inside = [value for value in (field.low - 1, field.high + 1) if low <= value <= high]
                    wrong = [value.to_bytes(size, "little", signed=signed) for value in inside]
                case Truth():
                    wrong = [b"\2", b"\xff"]
                case Member():
                    taken = {item.value for item in field.enumeration}
                    wrong = [bytes([value]) for value in range(256) if value not in taken]
                case Text():
                    pad = bytes(size - 3)
                    wrong = [b"a\0b" + pad, b"a\x80b" + pad, b"\na\x7f" + pad, b"\0" * (size - 1) + b"a"]
            for raw in wrong:
                altered = payload[:at] + raw + payload[at + size :]
                with pytest.raises(ProtocolError) as caught:
                    type(message).decode(altered)
                assert caught.value.code == "bad-content"
                seen.add(type(field))
    assert seen == {Whole, Truth, Member, Text}


def test_counts_that_do_not_fit_the_bytes_are_refused():
    for message in EXAMPLES:
        tail = message.LAYOUT.tail
        if tail is None:
            continue
        payload, at = message.encode(), message.LAYOUT.size
        for wrong in (0, payload[at] - 1, payload[at] + 1, 255):
            altered = payload[:at] + bytes([wrong % 256]) + payload[at + 1 :]
            if altered != payload:
                with pytest.raises(ProtocolError):
                    type(message).decode(altered)


def test_more_items_than_the_bound_are_refused_when_read():
    reading = messages.ContactReading(1, messages.ContactStatus.OK, 1, 1, 1, 1).encode()
    payload = (5).to_bytes(8, "little") + bytes([34]) + reading * 34
    with pytest.raises(ProtocolError) as caught:
        messages.ImpedanceReadReply.decode(payload)
    assert caught.value.code == "bad-content"


def test_long_values_are_shortened_in_messages_for_people():
    with pytest.raises(ProtocolError) as caught:
        messages.LoadChunk(0, 0, bytes(5000))
    assert len(str(caught.value)) < 300


def test_every_command_has_a_reply_of_its_type():
    requests = [cls for cls in MESSAGES.values() if cls.KIND is Kind.REQUEST]
    assert set(REPLY_TO) == set(requests)
    for request, reply in REPLY_TO.items():
        assert (reply.TYPE, reply.NAME, reply.KIND) == (request.TYPE, request.NAME, Kind.REPLY)
    replies = {cls for cls in MESSAGES.values() if issubclass(cls, Reply)}
    assert replies - set(REPLY_TO.values()) == {Error}


def test_table_of_messages_agrees_with_the_classes():
    for (message_type, kind), cls in MESSAGES.items():
        assert (message_type, kind) == (cls.TYPE, cls.KIND)
        assert issubclass(cls, {Kind.REQUEST: Request, Kind.REPLY: Reply, Kind.EVENT: Event}[kind])
        assert cls.__name__ == class_name(cls.NAME) + ("Reply" if cls in REPLY_TO.values() else "")


def test_what_raises_output_needs_control_a_lease_and_is_done_once():
    raising = {cls for cls in REPLY_TO if cls.RAISES_OUTPUT}
    assert raising == {messages.Fire, messages.ImpedanceFire, messages.SetAmplitude}
    for cls in (*raising, messages.Arm, messages.Clear):
        assert cls.NEEDS is Need.CONTROL
        assert cls.LEASE
        assert cls.ONCE
    assert messages.Heartbeat.LEASE
    assert not messages.Heartbeat.ONCE


def test_a_stop_needs_nothing():
    for cls in (messages.Stop, messages.EmergencyStop):
        assert cls.NEEDS is Need.NONE
        assert not cls.LEASE
        assert not cls.ONCE
        assert cls().encode() == b""


def test_only_commands_that_change_something_need_control_or_are_done_once():
    reading = {cls.NAME for cls in REPLY_TO if cls.NEEDS is not Need.CONTROL and not cls.ONCE}
    assert reading == {
        "HELLO", "IDENTIFY", "CAPABILITIES", "PORTS", "STATUS", "SLOT_INFO", "STOP", "EMERGENCY_STOP",
        "CLOCK_SYNC", "QUERY_COMMAND", "DOSE", "COUNTERS", "EVENT_LOG", "IMPEDANCE_READ", "GOODBYE",
        "HANDSHAKE", "PAIR", "PAIRINGS", "RELEASE_INFO", "USAGE", "USAGE_DIGEST", "ASSIGNMENT",
    }  # fmt: skip


def test_only_telemetry_may_be_dropped():
    lanes = {cls.NAME: cls.LANE for cls in MESSAGES.values() if issubclass(cls, Event)}
    assert [name for name, lane in lanes.items() if lane is Lane.TELEMETRY] == ["TELEMETRY"]


def longest_payload(cls):
    tail = cls.LAYOUT.tail
    match tail:
        case None:
            return cls.LAYOUT.size
        case Data():
            return cls.LAYOUT.size + 2 + tail.high
        case Wholes() | Parts():
            return cls.LAYOUT.size + 1 + tail.count * tail.size
    raise AssertionError(tail)


def test_longest_messages_fit_their_frames_with_a_tag():
    for cls in MESSAGES.values():
        payload = longest_payload(cls)
        line = encoded_length(HEADER_BYTES + payload + TAG_BYTES + CRC_BYTES) + 2
        assert payload <= MAX_PAYLOAD_BYTES, cls.NAME
        assert line <= MAX_FRAME_BYTES, cls.NAME


def test_a_sealed_heartbeat_fits_behind_every_sealed_frame_of_a_host():
    def sealed(cls) -> int:
        return encoded_length(HEADER_BYTES + longest_payload(cls) + TAG_BYTES + CRC_BYTES) + 2

    assert sealed(messages.Heartbeat) == 61
    for cls in REPLY_TO:
        assert sealed(cls) + 61 <= messages.MAX_UNACKNOWLEDGED_BYTES, cls.NAME


def test_kept_replies_fit_the_answer_of_the_command_record():
    room = messages.QueryCommandReply.LAYOUT.tail
    assert isinstance(room, Data)
    for request, reply in REPLY_TO.items():
        if request.ONCE:
            assert longest_payload(reply) <= room.high, request.NAME


def test_times_are_those_of_the_safety_facts():
    ms = 1000
    assert 100 * ms == messages.HEARTBEAT_INTERVAL_US
    assert 300 * ms == messages.HEARTBEAT_TIMEOUT_US
    assert 200 * ms == messages.DEAD_MAN_RAMP_US
    assert 500 * ms == messages.LEASE_MAX_AGE_US
    assert 2000 * ms == messages.ARM_TOKEN_VALID_US
    assert 1000 * ms == messages.SUPERVISOR_TOKEN_MAX_AGE_US
    assert 250 * ms == messages.STOP_EMERGENCY_AFTER_US
    assert 600 * ms == messages.STOP_UNCONFIRMED_AFTER_US
    assert messages.MAX_UNACKNOWLEDGED_BYTES == 256
    assert messages.AMPLITUDE_STEPS_PER_S == 3


def test_ports_on_the_wire_are_those_of_the_core():
    port = next(field for field in messages.PortInfo.LAYOUT.fields if field.name == "kind")
    assert isinstance(port, Member)
    assert port.enumeration is hardware.PortKind
    described = generate.description()
    (entry,) = (held for held in described.enums if held.name == "PortKind")
    assert {name: value for name, value, _ in entry.values} == {
        kind.name: kind.value for kind in hardware.PortKind
    }


def test_words_of_contact_status_are_those_of_the_core():
    assert {status.name.lower() for status in messages.ContactStatus} == {"ok", "open", "short", "clipped"}


def test_messages_are_frozen_and_compare_by_value():
    hello = Hello(bytes(16), 1, Role.CONTROL, bytes(16))
    assert hello == Hello(bytes(16), 1, Role.CONTROL, bytes(16))
    with pytest.raises(dataclasses.FrozenInstanceError):
        hello.nonce = 2  # type: ignore[misc]


def test_unknown_types_are_refused_for_every_kind():
    for kind in Kind:
        for message_type in range(256):
            if (message_type, kind) not in MESSAGES:
                with pytest.raises(ProtocolError) as caught:
                    decode_message(message_type, kind, b"")
                assert caught.value.code == "unknown-type"


def test_no_error_is_the_only_error_code_that_means_none():
    assert [code for code in ErrorCode if code.value == 0] == [ErrorCode.NONE]


@pytest.mark.parametrize("message", EXAMPLES, ids=ident)
def test_a_made_message_is_closed_whichever_way_it_was_made(message):
    kept = dataclasses.replace(message)
    for made in (message, kept, type(message).decode(message.encode()), copy.copy(message)):
        assert type(made) is type(message) is MESSAGES[message.TYPE, message.KIND]
        assert made == message
        assert hash(made) == hash(message)
        for field in dataclasses.fields(message):
            with pytest.raises(dataclasses.FrozenInstanceError):
                setattr(made, field.name, getattr(message, field.name))
            with pytest.raises(dataclasses.FrozenInstanceError):
                delattr(made, field.name)


def test_a_refused_message_is_told_of_by_the_first_wrong_field():
    with pytest.raises(ProtocolError, match="nonce"):
        Hello(bytes(16), 1 << 64, None, bytes(15))  # type: ignore[arg-type]
