"""The record to judge: an event table or a device's trace, as plain columns, with its sidecar.

Only the shape of the record lives here; files are read in `neurostim.conformance.reader`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neurostim.conformance.commands import is_count
from neurostim.conformance.reading import GridReading, contact_order
from neurostim.core.errors import ConfigError, Problem

I64 = NDArray[np.int64]
STIM: Final = 0
RECHARGE: Final = 1
PASSIVE: Final = 2
KINDS: Final = ("stim", "recharge", "passive")
FORMATS: Final = ("neurostim-events/1", "neurostim-trace/1")
TIME_BASES: Final = ("program", "device", "free")
MAX_LABELS: Final = 300
EXTRA: Final = ("area", "unit", "pulse", "charge_ac")


@dataclass(frozen=True, slots=True)
class TraceTable:
    """Rows of a record, one a contact and driven phase or shorted stretch.

    Attributes
    ----------
    start_ns, duration_ns : int64 arrays (rows,)
        Times [ns] from the start of output.
    contact : int16 array (rows,)
        Index into ``labels``.
    labels : tuple of str
        Contact labels in contact order, ``return`` last.
    kind : int8 array (rows,)
        0 stim, 1 recharge, 2 passive.
    amplitude_na : int64 array (rows,)
        Signed current [nA], cathodic negative.
    area, unit, pulse, charge_ac : int64 arrays (rows,), optional
        What a trace adds: indices, and for passive rows the charge that flowed [aC].
    """

    start_ns: I64
    duration_ns: I64
    contact: NDArray[np.int16]
    labels: tuple[str, ...]
    kind: NDArray[np.int8]
    amplitude_na: I64
    area: I64 | None = None
    unit: I64 | None = None
    pulse: I64 | None = None
    charge_ac: I64 | None = None

    def __post_init__(self) -> None:
        rows = len(self.start_ns)
        for name in ("duration_ns", "contact", "kind", "amplitude_na", *EXTRA):
            column = getattr(self, name)
            if column is not None and column.shape != (rows,):
                raise ConfigError(
                    f"column {name} holds {column.shape} values for {rows} rows",
                    allowed="columns of one length",
                    code="trace-column",
                )

    def __len__(self) -> int:
        return len(self.start_ns)

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[object]], *, extra: bool = False) -> TraceTable:
        """A table from rows in the column order of the format, contact and kind as text.

        With ``extra`` each row goes on with area, unit, pulse and charge [aC].
        """
        columns: list[list[Any]] = [list(column) for column in zip(*rows, strict=True)] or [
            [] for _ in range(9 if extra else 5)
        ]
        labels = tuple(sorted({str(label) for label in columns[2]}, key=contact_order))
        place = {label: index for index, label in enumerate(labels)}
        numbers = [np.array(column, dtype=np.int64) for column in (columns[0], columns[1], columns[4])]
        more = [np.array(column, dtype=np.int64) for column in columns[5:9]] if extra else [None] * 4
        return cls(
            start_ns=numbers[0],
            duration_ns=numbers[1],
            contact=np.array([place[str(label)] for label in columns[2]], dtype=np.int16),
            labels=labels,
            kind=np.array([KINDS.index(str(kind)) for kind in columns[3]], dtype=np.int8),
            amplitude_na=numbers[2],
            area=more[0],
            unit=more[1],
            pulse=more[2],
            charge_ac=more[3],
        )


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the sidecar says about a record; times in ticks."""

    format: str
    grid: GridReading
    time_base: str
    device_contacts: bool
    begin: int
    end: int
    rows: int | None
    image_sha256: str
    commands: object


def read_sidecar(sidecar: Mapping[str, Any]) -> Sidecar:
    """Check a sidecar's fields.

    Parameters
    ----------
    sidecar : Mapping
        The parsed JSON. ``from_ticks`` (a record cut out of a program) and ``rows`` may be absent.

    Raises
    ------
    ConfigError
        With one problem for each field that is missing or wrong.
    """
    problems: list[Problem] = []

    def whole(key: str, least: int, default: int | None = None) -> int:
        value = sidecar.get(key, default)
        if not is_count(value) or int(value or 0) < least:
            problems.append(Problem(key, repr(value)[:80], f"a whole number of at least {least}"))
            return least
        return int(value or 0)

    def choice(key: str, allowed: tuple[str, ...], default: str | None = None) -> str:
        value = sidecar.get(key, default)
        if value not in allowed:
            problems.append(Problem(key, repr(value)[:80], "one of " + ", ".join(allowed)))
        return str(value)

    name = choice("format", FORMATS)
    grid = GridReading(
        whole("tick_ns", 1), whole("step_na", 1), whole("guard_ticks", 0), whole("recovery_min_ticks", 0)
    )
    time_base = choice("time_base", TIME_BASES)
    contacts = choice("contacts", ("program", "device"), "program")
    begin = whole("from_ticks", 0, 0)
    end = whole("end_ticks", 0)
    rows = whole("rows", 0) if "rows" in sidecar else None
    digest = sidecar.get("image_sha256", "")
    if not isinstance(digest, str):
        problems.append(Problem("image_sha256", repr(digest)[:80], "text"))
    if end < begin:
        problems.append(Problem("end_ticks", repr(end), f"at least from_ticks = {begin}"))
    if problems:
        raise ConfigError("the sidecar cannot be read", problems=problems, code="trace-sidecar")
    return Sidecar(
        format=name,
        grid=grid,
        time_base=time_base,
        device_contacts=contacts == "device",
        begin=begin,
        end=end,
        rows=rows,
        image_sha256=str(digest),
        commands=sidecar.get("commands", []),
    )
