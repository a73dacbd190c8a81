"""Reading a lead file: TOML text to `Lead` values, with every fault of the file reported at once."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar

from neurostim.core.errors import ConfigError, Problem
from neurostim.electrode.lead import Contact, ContactCircuit, Lead, LeadClass, Material, ReturnPad, Shape

FORMAT: Final = "neurostim-leads/1"
MAX_CONTACTS: Final = 32
MAX_VALUE: Final = 10**12
GRADES: Final = ("A", "B", "C")

_Word = TypeVar("_Word", bound=StrEnum)


def read_leads(text: str) -> dict[str, Lead]:
    """Read a lead file.

    Parameters
    ----------
    text : str
        TOML in the form of the packaged ``leads.toml``.

    Returns
    -------
    dict of str to Lead
        In the order of the file.

    Raises
    ------
    ConfigError
        With every problem found; nothing of a faulty file is used.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # a plain ValueError is an integer of more digits than Python reads
        raise ConfigError(f"the lead file is not TOML: {error}", code="toml") from error
    problems: list[Problem] = []
    top = _Table(data, "", problems)
    if top.text("format") != FORMAT:
        problems.append(Problem("format", repr(data.get("format")), f'"{FORMAT}"'))
    leads = top.table("lead")
    found = {lead_id: _lead(lead_id, leads.table(lead_id)) for lead_id in leads.keys_left()}
    leads.refuse_rest()
    top.refuse_rest()
    if problems:
        raise ConfigError("the lead file is not valid", problems=problems, code="lead-file")
    return found


class _Table:
    """A TOML table read key by key; faults are collected, and keys nobody asked for are refused."""

    def __init__(self, data: Mapping[str, object], place: str, problems: list[Problem]) -> None:
        self._data = data
        self._place = place
        self._left = dict.fromkeys(data)
        self.problems = problems

    def place(self, key: str) -> str:
        return f"{self._place}.{key}" if self._place else key

    def has(self, key: str) -> bool:
        return key in self._data

    def keys_left(self) -> list[str]:
        return list(self._left)

    def refuse(self, key: str, allowed: str) -> None:
        value = self._data.get(key)
        shown = "nothing" if key not in self._data else repr(value)[:60]
        self.problems.append(Problem(self.place(key), shown, allowed))

    def refuse_rest(self) -> None:
        for key in self._left:
            self.problems.append(
                Problem(self.place(key), "an unknown key", "only the keys of the packaged lead file")
            )

    def _take(self, key: str) -> object:
        self._left.pop(key, None)
        return self._data.get(key)

    def text(self, key: str, *, required: bool = True) -> str:
        value = self._take(key)
        if isinstance(value, str) and value.strip():
            return value
        if required or value is not None:
            self.refuse(key, "text that is not empty")
        return ""

    def word(self, key: str, words: type[_Word]) -> _Word:
        value = self._take(key)
        for member in words:
            if value == member.value:
                return member
        self.refuse(key, ", ".join(words))
        return next(iter(words))

    def grade(self) -> str:
        value = self._take("grade")
        if isinstance(value, str) and value in GRADES:
            return value
        self.refuse("grade", ", ".join(GRADES))
        return ""

    def whole(self, key: str, lowest: int = 1) -> int:
        value = self._take(key)
        if isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= MAX_VALUE:
            return value
        self.refuse(key, f"a whole number from {lowest} to {MAX_VALUE}")
        return max(1, lowest)

    def table(self, key: str) -> _Table:
        value = self._take(key)
        if not isinstance(value, dict):
            self.refuse(key, "a table")
            value = {}
        return _Table(value, self.place(key), self.problems)

    def tables(self, key: str) -> list[_Table]:
        value = self._take(key)
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            self.refuse(key, "a list of tables")
            return []
        return [_Table(item, f"{self.place(key)}[{n}]", self.problems) for n, item in enumerate(value, 1)]


def _lead(lead_id: str, table: _Table) -> Lead:
    size = table.table("contact")
    shape = size.word("shape", Shape)
    width, length = size.whole("width_um"), size.whole("length_um")
    area = _area(size, shape, width, length)
    size.refuse_rest()
    contacts = _contacts(table, (width, length, area, shape))
    pad = _return_pad(table.table("return")) if table.has("return") else None
    lead = Lead(
        id=lead_id,
        title=table.text("title"),
        lead_class=table.word("class", LeadClass),
        material=table.word("material", Material),
        contacts=contacts,
        circuit=_circuit(table.table("circuit")),
        grade=table.grade(),
        source=table.text("source"),
        note=table.text("note", required=False),
        return_pad=pad,
    )
    table.refuse_rest()
    return lead


def _area(table: _Table, shape: Shape, width_um: int, length_um: int) -> int:
    stated = table.whole("area_um2")
    flat = width_um * length_um
    expected = flat if shape is Shape.PLATE else round(math.pi * flat)
    if stated != expected:
        table.refuse("area_um2", f"{expected}, the area of this {shape.value}")
    return stated


def _contacts(table: _Table, size: tuple[int, int, int, Shape]) -> tuple[Contact, ...]:
    width, length, area, shape = size
    contacts: list[Contact] = []
    for column in table.tables("columns"):
        first, count = column.whole("first"), column.whole("count")
        x, y = column.whole("x_um", lowest=-MAX_VALUE), column.whole("y_um", lowest=0)
        pitch = column.whole("pitch_um")
        column.refuse_rest()
        if first != len(contacts) + 1:
            column.refuse("first", f"{len(contacts) + 1}: contacts are numbered without gaps")
        if len(contacts) + count > MAX_CONTACTS:
            column.refuse("count", f"at most {MAX_CONTACTS} contacts on a lead")
            break
        start = len(contacts) + 1
        contacts += [Contact(start + n, x, y + n * pitch, width, length, area, shape) for n in range(count)]
    places = [(contact.x_um, contact.y_um) for contact in contacts]
    if len(set(places)) != len(places):
        table.refuse("columns", "no two contacts at one place")
    return tuple(contacts)


def _circuit(table: _Table) -> ContactCircuit:
    circuit = ContactCircuit(
        series_ohm=table.whole("series_ohm"),
        double_layer_nf=table.whole("double_layer_nf"),
        faradaic_ohm=table.whole("faradaic_ohm"),
        grade=table.grade(),
        source=table.text("source"),
        low_nf=table.whole("low_nf"),
        high_nf=table.whole("high_nf"),
        faradaic_low_ohm=table.whole("faradaic_low_ohm"),
    )
    table.refuse_rest()
    if circuit.faradaic_low_ohm > circuit.faradaic_ohm:
        table.refuse("faradaic_low_ohm", "at most faradaic_ohm")
    if not circuit.low_nf <= circuit.double_layer_nf <= circuit.high_nf:
        table.refuse("double_layer_nf", "a value from low_nf to high_nf")
    return circuit


def _return_pad(table: _Table) -> ReturnPad:
    width, length = table.whole("width_um"), table.whole("length_um")
    pad = ReturnPad(
        width_um=width,
        length_um=length,
        area_um2=_area(table, Shape.PLATE, width, length),
        impedance_ohm=table.whole("impedance_ohm"),
        circuit=_circuit(table.table("circuit")),
        grade=table.grade(),
        source=table.text("source"),
    )
    table.refuse_rest()
    return pad
