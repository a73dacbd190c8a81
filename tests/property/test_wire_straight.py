"""The straight lines of a message accept exactly what its layout accepts, and say the same of the rest."""

from __future__ import annotations

import random

import pytest

from neurostim.core.errors import ProtocolError
from neurostim.wire import messages, straight_code
from neurostim.wire.description import INTEGERS, Field, RecordText
from neurostim.wire.fields import Data, Layout, Wholes
from neurostim.wire.layout import Record
from neurostim.wire.messages import MESSAGES
from support.wire_strategies import examples


def told(read, payload):
    """What reading came to: the value, or code and words of the refusal."""
    try:
        return read(payload)
    except ProtocolError as error:
        return error.code, str(error), error.allowed


def altered(source, payload):
    """Payloads near a good one: bytes at their edges, cut, doubled, lengthened."""
    for at in range(len(payload)):
        for value in (0, 1, 2, 0x7F, 0x80, 0xFF, source.randrange(256)):
            yield payload[:at] + bytes([value]) + payload[at + 1 :]
    for _ in range(150):
        data = bytearray(payload)
        for _ in range(source.randrange(1, 6)):
            if data:
                data[source.randrange(len(data))] = source.choice((0, 1, 0xFF, source.randrange(256)))
        yield bytes(data)
    for cut in range(len(payload)):
        yield payload[:cut]
    yield payload + b"\0"
    yield payload + payload


@pytest.mark.parametrize("message", examples(), ids=lambda message: type(message).__name__)
def test_reading_straight_says_what_reading_by_field_says(message):
    cls = type(message)
    accepted = refused = 0
    for payload in (message.encode(), *altered(random.Random(message.NAME), message.encode())):
        outcome = told(cls.decode, payload)
        assert outcome == told(cls.decode_by_field, payload)
        if isinstance(outcome, tuple):
            refused += 1
        else:
            accepted += 1
            assert outcome.encode() == cls.LAYOUT.encode(outcome) == payload
            cls.LAYOUT.check(outcome)
    assert accepted
    assert refused


WITH_DATA = [cls for cls in MESSAGES.values() if isinstance(cls.LAYOUT.tail, Data)]


@pytest.mark.parametrize("cls", WITH_DATA, ids=lambda cls: cls.__name__)
def test_data_of_every_length_near_its_bounds_is_read_the_same(cls):
    tail = cls.LAYOUT.tail
    (example,) = [message for message in examples() if type(message) is cls]
    head = example.encode()[: cls.LAYOUT.size]
    lengths = {
        0,
        1,
        max(tail.low - 1, 0),
        tail.low,
        tail.low + 1,
        tail.high - 1,
        tail.high,
        tail.high + 1,
        5000,
    }
    for length in lengths:
        payload = head + length.to_bytes(2, "little") + bytes(length)
        outcome = told(cls.decode, payload)
        assert outcome == told(cls.decode_by_field, payload)
        assert isinstance(outcome, cls) is (tail.low <= length <= tail.high)


@pytest.mark.parametrize("message", examples(), ids=lambda message: type(message).__name__)
def test_bytes_that_can_change_are_read_the_same(message):
    cls, payload = type(message), bytearray(message.encode())
    assert told(cls.decode, payload) == told(cls.decode_by_field, payload)


@pytest.mark.parametrize("kind", INTEGERS)
@pytest.mark.parametrize(("low", "high"), [(None, None), (3, None), (None, 100), (3, 100)])
def test_bounds_of_items_are_kept_whichever_are_narrower(kind, low, high):
    code, size, least, most = INTEGERS[kind]
    low, high = least if low is None else low, most if high is None else high
    field = Field("items", f"list[{kind},4]", "list", "items", "", low, high, size, kind)
    record = RecordText("Some", "Some", "some", (field,))
    struct, *methods = [*straight_code.struct_of(record), *straight_code.methods_of(record)]
    body = [
        "from __future__ import annotations",
        f'_{kind.upper()}S = [Struct(f"<{{count}}{code}") for count in range(5)]',
        struct,
        "@dataclass(frozen=True, slots=True, init=False)",
        "class Some(Record):",
        "    items: tuple[int, ...]",
        "    LAYOUT: ClassVar[object] = layout",
        *methods,
        *straight_code.open_of(record),
    ]
    place = vars(messages) | {
        "Record": Record,
        "layout": Layout("Some", tail=Wholes("items", 4, code, low, high)),
    }
    exec("\n".join(body), place)
    some = place["Some"]
    edges = {least, most, low, high, max(low - 1, least), min(high + 1, most)}
    for items in [(), *((edge,) for edge in edges), (high, low), tuple(edges)[:4], (low, high, low, high)]:
        payload = bytes([len(items)]) + b"".join(
            item.to_bytes(size, "little", signed=least < 0) for item in items
        )
        inside = all(low <= item <= high for item in items)
        assert (type(told(some.decode, payload)) is some) is inside
        if inside:
            assert some(items).encode() == payload
        else:
            assert told(some.decode, payload) == told(some.decode_by_field, payload)
            with pytest.raises(ProtocolError):
                some(items)


def test_a_field_called_as_a_name_of_the_code_is_refused():
    field = Field("payload", "u8", "integer", "some", "", 0, 255, 1)
    with pytest.raises(ValueError, match="payload"):
        straight_code.methods_of(RecordText("Some", "Some", "some", (field,)))
