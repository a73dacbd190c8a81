"""What the generated messages stand on: kinds of message, and one way to refuse a value.

A message that exists is valid: its values are checked when it is made, whether by a caller or by
a decoder, and refused with `ProtocolError`, never adjusted.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from typing import ClassVar, Self, TypeVar

from neurostim.core.errors import ProtocolError

_E = TypeVar("_E", bound=enum.IntEnum)


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


class Record(ABC):
    """A fixed arrangement of values in bytes."""

    __slots__ = ()

    @abstractmethod
    def encode(self) -> bytes:
        """Bytes of the values, little-endian."""

    @classmethod
    @abstractmethod
    def decode(cls, payload: bytes) -> Self:
        """Read the values; every byte must belong to one.

        Raises
        ------
        ProtocolError
            On a wrong length, a value out of bounds, or an unknown enum value.
        """


class Message(Record):
    """A record with a type of its own, which travels as the payload of one frame."""

    __slots__ = ()
    NAME: ClassVar[str]
    TYPE: ClassVar[int]
    KIND: ClassVar[Kind]


class Request(Message):
    """A command of the host.

    ``NEEDS`` is the least session; ``LEASE`` says that the header's lease is checked, ``ONCE`` that
    the outcome is kept and a repeat executes nothing, ``RAISES_OUTPUT`` that output may be higher after it.
    """

    __slots__ = ()
    KIND = Kind.REQUEST
    NEEDS: ClassVar[Need]
    LEASE: ClassVar[bool]
    ONCE: ClassVar[bool]
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


def refuse(place: str, value: object, allowed: str) -> ProtocolError:
    """Make the error for a value that a field does not allow."""
    return ProtocolError(
        f"{place}: found {_show(value)}", allowed=allowed, remedy="Nothing was executed.", code="bad-content"
    )


def wrong_length(place: str, found: int, expected: str) -> ProtocolError:
    """Make the error for a payload of the wrong length."""
    return ProtocolError(
        f"{place}: found {found} bytes",
        allowed=f"{expected} bytes",
        remedy="Nothing was executed.",
        code="bad-length",
    )


def member(enumeration: type[_E], value: int, place: str) -> _E:
    """Member of an enumeration, refusing a value that is none."""
    try:
        return enumeration(value)
    except ValueError:
        raise refuse(place, value, ", ".join(f"{item.value} {item.name}" for item in enumeration)) from None


def truth(value: int, place: str) -> bool:
    """Read a bool from its byte, which must be 0 or 1."""
    if value > 1:
        raise refuse(place, value, "0 or 1")
    return value == 1


def text(raw: bytes, place: str) -> str:
    """Text of a zero-padded field; its characters are checked where the message is made."""
    held = raw.rstrip(b"\0").decode("latin-1")
    if not is_text(held):
        raise refuse(place, raw, "printable ASCII, padded with zeros at the end")
    return held


def is_text(value: str) -> bool:
    """Whether a text field can carry the value."""
    return value.isascii() and value.isprintable()


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
