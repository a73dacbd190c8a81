"""What the generated messages stand on: records, and the parts a message plays in a conversation.

A message that exists is valid: its values are checked when it is made, whether by a caller or by
a decoder, and refused with `ProtocolError`, never adjusted.
"""

from __future__ import annotations

import enum
from typing import ClassVar, Self

from neurostim.wire.fields import Layout


class Kind(enum.IntEnum):
    """The part of a message in a conversation; the values are those of the header's flags."""

    REQUEST = 0
    REPLY = 1
    EVENT = 2


class Need(enum.IntEnum):
    """The least session a command needs."""

    NONE = 0
    SESSION = 1
    CONTROL = 2


class Lane(enum.IntEnum):
    """How an event travels to the application: critical is never dropped, telemetry may be."""

    CRITICAL = 1
    TELEMETRY = 2


class Record:
    """A fixed arrangement of values in bytes; subclasses are frozen dataclasses."""

    __slots__ = ()
    LAYOUT: ClassVar[Layout]

    def __post_init__(self) -> None:
        """Refuse values that a field does not allow."""
        self.LAYOUT.check(self)

    def encode(self) -> bytes:
        """Bytes of the values, little-endian."""
        return self.LAYOUT.encode(self)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read the values; every byte must belong to one.

        Raises
        ------
        ProtocolError
            On a wrong length, a value out of bounds, or an unknown enum value.
        """
        return cls.decode_by_field(payload)

    @classmethod
    def decode_by_field(cls, payload: bytes) -> Self:
        """Read the values one by one, which finds the one that is wrong; the same as `decode`, but slow."""
        return cls(*cls.LAYOUT.decode(payload))

    @classmethod
    def decode_row(cls, payload: bytes, start: int) -> tuple[Self, ...]:
        """Read records of a fixed length that fill a payload from ``start`` on."""
        size = cls.LAYOUT.size
        return tuple([cls.decode(payload[at : at + size]) for at in range(start, len(payload), size)])


def still_open(record: type[Record]) -> type[Record]:
    """A class with the same places for values as a record, which can be set: what a record is made as.

    Python lets an object change between classes of the same slots.
    """
    return type(f"{record.__name__}StillOpen", record.__bases__, {"__slots__": record.__slots__})


class Message(Record):
    """A record with a type of its own, which travels as the payload of one frame."""

    __slots__ = ()
    NAME: ClassVar[str]
    TYPE: ClassVar[int]
    KIND: ClassVar[Kind]


class Request(Message):
    """A command of the host.

    ``NEEDS`` is the least session; ``LEASE`` says that the header's lease is checked, ``ONCE`` that
    the outcome is kept and a repeat executes nothing, ``KEYED`` that only an authenticated session may send
    it, ``RAISES_OUTPUT`` that output may be higher after it.
    """

    __slots__ = ()
    KIND = Kind.REQUEST
    NEEDS: ClassVar[Need]
    LEASE: ClassVar[bool]
    ONCE: ClassVar[bool]
    KEYED: ClassVar[bool]
    RAISES_OUTPUT: ClassVar[bool]


class Reply(Message):
    """The device's answer to one command."""

    __slots__ = ()
    KIND = Kind.REPLY


class Event(Message):
    """What the device tells unasked."""

    __slots__ = ()
    KIND = Kind.EVENT
    LANE: ClassVar[Lane]
