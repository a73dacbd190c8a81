"""The kinds of value a record can hold: how each is checked, packed and read.

A field knows its place in words, its bounds and its bytes; a `Layout` is a row of fields.
"""

from __future__ import annotations

import enum
import operator
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol, Self

from neurostim.core.errors import ProtocolError


class Field(ABC):
    """One value of fixed length; ``code`` is its format for `struct`."""

    __slots__ = ("allowed", "code", "name")

    def __init__(self, name: str, code: str, allowed: str) -> None:
        self.name = name
        self.code = code
        self.allowed = allowed

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether a record may hold the value."""

    def pack(self, value: Any) -> Any:
        """What `struct` takes for the value."""
        return value

    def read(self, raw: Any) -> Any:
        """Value for what `struct` gives; raises ValueError where there is none."""
        return raw


class Whole(Field):
    """An integer, with inclusive bounds."""

    __slots__ = ("high", "low")

    def __init__(self, name: str, code: str, low: int, high: int) -> None:
        super().__init__(name, code, f"{low}..{high}")
        self.low = low
        self.high = high

    def accepts(self, value: Any) -> bool:
        """Plain integers inside the bounds; a bool is no integer here."""
        return type(value) is int and self.low <= value <= self.high


class Truth(Field):
    """A bool in one byte, 0 or 1."""

    __slots__ = ()

    def __init__(self, name: str) -> None:
        super().__init__(name, "B", "0 or 1, a bool")

    def accepts(self, value: Any) -> bool:
        """Bools only."""
        return type(value) is bool

    def read(self, raw: Any) -> Any:
        """0 or 1, nothing else."""
        if raw > 1:
            raise ValueError(raw)
        return raw == 1


class Member(Field):
    """A value of an enumeration, in one byte."""

    __slots__ = ("enumeration", "members")

    def __init__(self, name: str, enumeration: type[enum.IntEnum]) -> None:
        allowed = ", ".join(f"{item.value} {item.name}" for item in enumeration)
        super().__init__(name, "B", f"a {enumeration.__name__}: {allowed}")
        self.enumeration = enumeration
        self.members = {item.value: item for item in enumeration}

    def accepts(self, value: Any) -> bool:
        """Members only; their bare numbers are refused."""
        return type(value) is self.enumeration

    def read(self, raw: Any) -> Any:
        """Member of that number."""
        if raw not in self.members:
            raise ValueError(raw)
        return self.members[raw]


class Octets(Field):
    """Exactly ``length`` bytes."""

    __slots__ = ("length",)

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name, f"{length}s", f"{length} bytes")
        self.length = length

    def accepts(self, value: Any) -> bool:
        """Bytes of the length; `struct` alone would cut or pad them."""
        return type(value) is bytes and len(value) == self.length


class Text(Field):
    """Printable ASCII in ``length`` bytes, padded with zeros at the end."""

    __slots__ = ("length",)

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name, f"{length}s", f"at most {length} printable ASCII characters")
        self.length = length

    def accepts(self, value: Any) -> bool:
        """Text that fits and that a terminal can show."""
        return type(value) is str and len(value) <= self.length and value.isascii() and value.isprintable()

    def pack(self, value: Any) -> Any:
        """Bytes, which `struct` pads."""
        return value.encode("ascii")

    def read(self, raw: Any) -> Any:
        """Text before the padding; a zero inside it is refused with the value."""
        return raw.rstrip(b"\0").decode("latin-1")


class Tail(ABC):
    """A value of variable length, which can only stand last."""

    __slots__ = ("allowed", "name")

    def __init__(self, name: str, allowed: str) -> None:
        self.name = name
        self.allowed = allowed

    @abstractmethod
    def accepts(self, value: Any) -> bool:
        """Whether a record may hold the value."""

    @abstractmethod
    def pack(self, value: Any) -> bytes:
        """Length or count, and the content."""

    @abstractmethod
    def read(self, raw: bytes) -> Any:
        """Value of exactly these bytes; raises ValueError where they hold another length."""


class Data(Tail):
    """Bytes, after their length in two bytes."""

    __slots__ = ("high", "low")

    def __init__(self, name: str, low: int, high: int) -> None:
        super().__init__(name, f"{low}..{high} bytes")
        self.low = low
        self.high = high

    def accepts(self, value: Any) -> bool:
        """Bytes inside the bounds of the length."""
        return type(value) is bytes and self.low <= len(value) <= self.high

    def pack(self, value: Any) -> bytes:
        """Length and bytes."""
        return len(value).to_bytes(2, "little") + bytes(value)

    def read(self, raw: bytes) -> Any:
        """Bytes after a length that fits them."""
        if len(raw) < 2 or len(raw) != 2 + int.from_bytes(raw[:2], "little"):
            raise ValueError
        return raw[2:]


class Wholes(Tail):
    """Integers with common bounds, after their count in one byte."""

    __slots__ = ("code", "count", "high", "low", "size")

    def __init__(self, name: str, count: int, code: str, low: int, high: int) -> None:
        super().__init__(name, f"a tuple of at most {count} of {low}..{high}")
        self.count = count
        self.code = code
        self.low = low
        self.high = high
        self.size = struct.calcsize(f"<{code}")

    def accepts(self, value: Any) -> bool:
        """A tuple of plain integers inside the bounds."""
        return (
            type(value) is tuple
            and len(value) <= self.count
            and all(type(item) is int and self.low <= item <= self.high for item in value)
        )

    def pack(self, value: Any) -> bytes:
        """Count and integers."""
        return struct.pack(f"<B{len(value)}{self.code}", len(value), *value)

    def read(self, raw: bytes) -> Any:
        """Integers after a count that fits them."""
        if not raw or len(raw) != 1 + raw[0] * self.size:
            raise ValueError
        return struct.unpack_from(f"<{raw[0]}{self.code}", raw, 1)


class Part(Protocol):
    """A record that others hold, as seen from here."""

    LAYOUT: ClassVar[Layout]

    def encode(self) -> bytes:
        """Bytes of the values."""

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read the values."""


class Parts(Tail):
    """Records of one kind, after their count in one byte."""

    __slots__ = ("count", "kind", "size")

    def __init__(self, name: str, count: int, kind: type[Part]) -> None:
        super().__init__(name, f"a tuple of at most {count} records of its kind")
        self.count = count
        self.kind = kind
        self.size = kind.LAYOUT.size

    def accepts(self, value: Any) -> bool:
        """A tuple of records of the kind, which were checked when they were made."""
        return (
            type(value) is tuple
            and len(value) <= self.count
            and all(type(item) is self.kind for item in value)
        )

    def pack(self, value: Any) -> bytes:
        """Count and records."""
        return bytes([len(value)]) + b"".join([item.encode() for item in value])

    def read(self, raw: bytes) -> Any:
        """Records after a count that fits them."""
        if not raw or len(raw) != 1 + raw[0] * self.size:
            raise ValueError
        return tuple(self.kind.decode(raw[at : at + self.size]) for at in range(1, len(raw), self.size))


class Layout:
    """The row of fields of a record.

    ``size`` is the length of the fixed part [bytes]; ``tail`` what follows it, if anything.
    """

    __slots__ = (
        "_bounds",
        "_names",
        "_others",
        "_packing",
        "_reading",
        "_struct",
        "fields",
        "place",
        "size",
        "tail",
    )

    def __init__(self, place: str, *fields: Field, tail: Tail | None = None) -> None:
        self.place = place
        self.fields = fields
        self.tail = tail
        self._struct = struct.Struct("<" + "".join(field.code for field in fields))
        self.size = self._struct.size
        # Most values are plain integers, which need neither step; so only the others take it.
        self._packing: Final = [
            (index, field.pack) for index, field in enumerate(fields) if type(field).pack is not Field.pack
        ]
        self._reading: Final = [
            (index, field) for index, field in enumerate(fields) if type(field).read is not Field.read
        ]
        # Bounds of integers are judged inline: they are most of what a message holds.
        self._bounds: Final = [
            (index, field.low, field.high) for index, field in enumerate(fields) if isinstance(field, Whole)
        ]
        self._others: Final = [
            (index, field.accepts) for index, field in enumerate(fields) if not isinstance(field, Whole)
        ]
        self._names = _getter([field.name for field in fields])

    def check(self, record: object) -> None:
        """Refuse a record that holds a value which a field does not allow.

        Raises
        ------
        ProtocolError
            With the code ``bad-content``.
        """
        values = self._names(record)
        for index, low, high in self._bounds:
            value = values[index]
            if type(value) is not int or value < low or value > high:
                raise self._refuse(self.fields[index], value)
        for index, accepts in self._others:
            if not accepts(values[index]):
                raise self._refuse(self.fields[index], values[index])
        if self.tail is not None:
            value = getattr(record, self.tail.name)
            if not self.tail.accepts(value):
                raise self._refuse(self.tail, value)

    def encode(self, record: object) -> bytes:
        """Bytes of a record that was checked."""
        values = list(self._names(record))
        for index, pack in self._packing:
            values[index] = pack(values[index])
        head = self._struct.pack(*values)
        return head if self.tail is None else head + self.tail.pack(getattr(record, self.tail.name))

    def decode(self, payload: bytes) -> list[Any]:
        """Values of a payload, every byte of which belongs to one; bounds are not checked yet.

        Raises
        ------
        ProtocolError
            With the code ``bad-length`` or ``bad-content``.
        """
        if len(payload) < self.size or (self.tail is None and len(payload) > self.size):
            raise self._wrong_length(len(payload))
        values = list(self._struct.unpack_from(payload))
        for index, field in self._reading:
            try:
                values[index] = field.read(values[index])
            except ValueError:
                raise self._refuse(field, values[index]) from None
        if self.tail is not None:
            try:
                values.append(self.tail.read(payload[self.size :]))
            except ValueError:
                raise self._wrong_length(len(payload)) from None
        return values

    def _refuse(self, field: Field | Tail, value: object) -> ProtocolError:
        shown = repr(value)
        return ProtocolError(
            f"{self.place}.{field.name}: found {shown if len(shown) <= 80 else shown[:77] + '...'}",
            allowed=field.allowed,
            remedy="Nothing was executed.",
            code="bad-content",
        )

    def _wrong_length(self, found: int) -> ProtocolError:
        expected = f"{self.size} bytes"
        if self.tail is not None:
            expected += f" and {self.tail.name} ({self.tail.allowed}) of the length it states"
        return ProtocolError(
            f"{self.place}: found {found} bytes",
            allowed=expected,
            remedy="Nothing was executed.",
            code="bad-length",
        )


def _getter(names: list[str]) -> Callable[[object], tuple[Any, ...]]:
    if len(names) > 1:
        return operator.attrgetter(*names)
    if names:
        only = operator.attrgetter(names[0])
        return lambda record: (only(record),)
    return lambda record: ()
