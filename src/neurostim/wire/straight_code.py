"""Writes the checks and the codec of one record as straight lines, for `neurostim.wire.generate`.

The lines only ever accept. Whatever they do not accept they hand to the record's `Layout`, which goes from
field to field and alone says what is wrong; so there is one place that refuses, and one wording of it.

A frozen dataclass sets each value by a call that goes around its own lock, which is most of the time that a
message takes. So a record is filled while it belongs to an open class with the same slots, and then closed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from neurostim.wire.description import INTEGERS, Description, EnumText, Field, RecordText

_MAX_LINE: Final = 110
_BODY: Final = "        "
_LOCALS: Final = frozenset({"cls", "held", "made", "part", "payload", "self", "whole"})


def number(value: int) -> str:
    """A number as the generated code spells it."""
    return f"{value:_}" if abs(value) >= 10_000 else str(value)


def members_of(entry: EnumText) -> str:
    """Line of the table from a byte to the member of an enum."""
    return f"{_members(entry.name)}: Final = {{item.value: item for item in {entry.name}}}"


def rows_of(described: Description) -> list[str]:
    """Lines of the tables from a count to what packs so many whole numbers."""
    longest: dict[str, int] = {}
    for record in described.records:
        for field in record.fields:
            if field.item in INTEGERS:
                longest[field.item] = max(field.high_count, longest.get(field.item, 0))
    return [
        f'{_items(item)}: Final = [Struct(f"<{{count}}{INTEGERS[item][0]}") for count in range({most + 1})]'
        for item, most in sorted(longest.items())
    ]


def struct_of(record: RecordText) -> list[str]:
    """Line of the compiled fixed part, the count or length of the tail with it."""
    return [f'{_struct(record)}: Final = Struct("<{_format(record)}")'] if record.fields else []


def annotation(field: Field) -> str:
    """Type of a field's values, as the generated code spells it."""
    plain = {"integer": "int", "bool": "bool", "bytes": "bytes", "text": "str", "data": "bytes"}
    if field.kind == "enum":
        return field.type
    if field.kind == "list":
        return f"tuple[{'int' if field.item in INTEGERS else field.item}, ...]"
    return plain[field.kind]


def open_of(record: RecordText) -> list[str]:
    """Line of the class that a record belongs to while its values are being set."""
    return [f"{_open(record)}: Final = still_open({record.name})"] if record.fields else []


def methods_of(record: RecordText) -> list[str]:
    """Lines of ``__init__``, ``encode`` and ``decode``; none for a record without values."""
    if not record.fields:
        return []
    taken = _LOCALS & {field.name for field in record.fields}
    if taken:
        raise ValueError(f"{record.place}: a field cannot be called {', '.join(sorted(taken))}")
    return [*_init(record), *_encode(record), *_decode(record)]


def _init(record: RecordText) -> list[str]:
    taken = [f"{field.name}: {annotation(field)}" for field in record.fields]
    wrong = [part for field in record.fields for part in _wrong_value(field)]
    return [
        "",
        *_row("    def __init__(", ["self", *taken], ") -> None:"),
        f"{_BODY}made: Any = self",
        f'{_BODY}_set(made, "__class__", {_open(record)})',
        *_settings(record, [field.name for field in record.fields], _BODY, record.name),
        *_if(wrong),
        f"{_BODY}    self.LAYOUT.check(self)",
    ]


def _settings(record: RecordText, values: Sequence[str], indent: str, whole: str) -> list[str]:
    """Lines that set the values of ``made`` and close it."""
    pairs = zip(record.fields, values, strict=True)
    return [
        *(f"{indent}made.{field.name} = {value}" for field, value in pairs),
        f"{indent}made.__class__ = {whole}",
    ]


def _encode(record: RecordText) -> list[str]:
    values, after = [], ""
    for field in record.fields:
        name = f"self.{field.name}"
        if field.kind == "text":
            values.append(f'{name}.encode("ascii")')
        elif not field.is_variable:
            values.append(name)
        else:
            values.append(f"len({name})")
            if field.kind == "data":
                after = name
            elif field.item in INTEGERS:
                after = f"{_items(field.item)}[len({name})].pack(*{name})"
            else:
                after = f'b"".join([part.encode() for part in {name}])'
    head = f"{_BODY}head = " if after else f"{_BODY}return "
    return [
        "",
        "    def encode(self) -> bytes:",
        f'{_BODY}"""Bytes of the values, little-endian."""',
        *_row(f"{head}{_struct(record)}.pack(", values, ")"),
        *([f"{_BODY}return head + {after}"] if after else []),
    ]


def _decode(record: RecordText) -> list[str]:
    fixed = [field.name for field in record.fields if not field.is_variable]
    last = record.fields[-1]
    tail = last if last.is_variable else None
    size = record.fixed_size + (0 if tail is None else 2 if tail.kind == "data" else 1)
    inner = f"{_BODY}    "
    out = ["", "    @classmethod", "    def decode(cls, payload: bytes) -> Self:"]
    out += [f'{_BODY}"""Read the values; every byte must belong to one."""']
    if tail is None:
        out += [f"{_BODY}if len(payload) == {size}:"]
        out += _targets(inner, fixed, f"{_struct(record)}.unpack(payload)")
    else:
        out += [f"{_BODY}if len(payload) >= {size}:"]
        out += _targets(inner, [*fixed, "held"], f"{_struct(record)}.unpack_from(payload)")
    for field in record.fields:
        if field.kind == "enum":
            out += [f"{inner}{field.name} = {_members(field.type)}.get({field.name})"]
        elif field.kind == "text":
            out += [f'{inner}{field.name} = {field.name}.rstrip(b"\\0").decode("latin-1")']
    right = [part for field in record.fields for part in _right_content(field, size)]
    indent = inner
    if right:
        out += _if(right, "and", inner)
        indent = f"{inner}    "
    out += [f"{indent}made: Any = _new({_open(record)})"]
    out += _settings(record, [_value(field, size) for field in record.fields], indent, "cls")
    # The name with a type is for the type checker alone.
    out += [f"{indent}whole: Self = made", f"{indent}return whole"]
    return [*out, f"{_BODY}return cls.decode_by_field(payload)"]


def _wrong_value(field: Field) -> list[str]:
    """Conditions one of which holds where a field does not allow the value of a record."""
    name = field.name
    low, high = number(field.low), number(field.high)
    if field.kind == "integer":
        return [f"type({name}) is not int", f"not {low} <= {name} <= {high}"]
    if field.kind == "bool":
        return [f"type({name}) is not bool"]
    if field.kind == "enum":
        return [f"type({name}) is not {field.type}"]
    if field.kind == "bytes":
        return [f"type({name}) is not bytes", f"len({name}) != {field.size}"]
    if field.kind == "text":
        return [
            f"type({name}) is not str",
            f"len({name}) > {field.size}",
            f"not {name}.isascii()",
            f"not {name}.isprintable()",
        ]
    if field.kind == "data":
        return [f"type({name}) is not bytes", f"not {low} <= len({name}) <= {high}"]
    part = f"type(part) is not {field.item}"
    if field.item in INTEGERS:
        part = f"type(part) is not int or not {low} <= part <= {high}"
    return [
        f"type({name}) is not tuple",
        f"len({name}) > {field.high_count}",
        f"any({part} for part in {name})",
    ]


def _right_content(field: Field, size: int) -> list[str]:
    """Conditions all of which hold where bytes are a value of a field; what `struct` gives is the rest."""
    name = field.name
    if field.kind == "integer":
        return _narrower(field, name)
    if field.kind == "bool":
        return [f"{name} <= 1"]
    if field.kind == "enum":
        return [f"{name} is not None"]
    if field.kind == "bytes":
        return []
    if field.kind == "text":
        return [f"{name}.isascii()", f"{name}.isprintable()"]
    if field.kind == "data":
        bounds = f"{number(field.low)} <= held <= {number(field.high)}"
        return ["type(payload) is bytes", f"len(payload) == {size} + held", bounds]
    count = [f"held <= {field.high_count}", f"len(payload) == {size} + {field.size} * held"]
    return [*count, *_right_items(field, size)] if field.item in INTEGERS else count


def _right_items(field: Field, size: int) -> list[str]:
    """Conditions all of which hold where integers are inside their bounds; the first one reads them."""
    _, _, least, most = INTEGERS[field.item]
    low, high, read = number(field.low), number(field.high), f"{field.name} := {_read_items(field, size)}"
    if field.high < most:
        below = [f"max({read}, default={low}) <= {high}"]
        return [*below, f"min({field.name}, default={high}) >= {low}"] if field.low > least else below
    return [f"min({read}, default={high}) >= {low}"] if field.low > least else []


def _value(field: Field, size: int) -> str:
    """What a record is given of the bytes that were found right."""
    if field.kind == "bool":
        return f"{field.name} == 1"
    if field.kind == "data":
        return f"payload[{size}:]"
    if field.kind != "list":
        return field.name
    if field.item in INTEGERS:
        return field.name if _right_items(field, size) else _read_items(field, size)
    return f"{field.item}.decode_row(payload, {size})"


def _narrower(field: Field, name: str) -> list[str]:
    _, _, least, most = INTEGERS[field.type]
    low, high = number(field.low), number(field.high)
    if field.low > least and field.high < most:
        return [f"{low} <= {name} <= {high}"]
    if field.low > least:
        return [f"{name} >= {low}"]
    return [f"{name} <= {high}"] if field.high < most else []


def _read_items(field: Field, size: int) -> str:
    return f"{_items(field.item)}[held].unpack_from(payload, {size})"


def _format(record: RecordText) -> str:
    plain = {"bool": "B", "enum": "B", "data": "H", "list": "B"}
    return "".join(
        INTEGERS[field.type][0] if field.kind == "integer" else plain.get(field.kind) or f"{field.size}s"
        for field in record.fields
    )


def _constant(name: str) -> str:
    """``AreaDose`` -> ``_AREA_DOSE``."""
    return "_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def _struct(record: RecordText) -> str:
    return _constant(record.name)


def _open(record: RecordText) -> str:
    return f"{_constant(record.name)}_OPEN"


def _members(enumeration: str) -> str:
    return f"{_constant(enumeration)}S"


def _items(integer: str) -> str:
    return f"_{integer.upper()}S"


def _row(head: str, values: Sequence[str], end: str) -> list[str]:
    """A call, one value a line where the line does not hold them all."""
    line = f"{head}{', '.join(values)}{end}"
    if len(line) <= _MAX_LINE:
        return [line]
    indent = " " * (len(head) - len(head.lstrip()))
    return [head, *(f"{indent}    {value}," for value in values), f"{indent}{end}"]


def _targets(indent: str, names: Sequence[str], source: str) -> list[str]:
    if len(names) == 1:
        return [f"{indent}({names[0]},) = {source}"]
    line = f"{indent}{', '.join(names)} = {source}"
    return [line] if len(line) <= _MAX_LINE else _row(f"{indent}(", names, f") = {source}")


def _if(conditions: Sequence[str], joint: str = "or", indent: str = _BODY) -> list[str]:
    line = f"{indent}if {f' {joint} '.join(conditions)}:"
    if len(line) <= _MAX_LINE:
        return [line]
    first, *others = conditions
    return [
        f"{indent}if (",
        f"{indent}    {first}",
        *(f"{indent}    {joint} {one}" for one in others),
        f"{indent}):",
    ]
