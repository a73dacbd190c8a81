"""One dose as it flowed, read from its rows: true times, phases and pulses, as plain arrays."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neurostim.core.errors import ConfigError
from neurostim_torture.monitor.records import (
    AMPLITUDE,
    AREA,
    CHARGE,
    COLUMNS,
    CONTACT,
    KIND,
    LENGTH,
    PASSIVE,
    PULSE,
    START,
    UNIT,
    Flow,
    Program,
    Setting,
)

Ints = NDArray[np.int64]

MILLION: Final = 1_000_000


class Rows:
    """Some rows of a dose, each column as an array; times in ticks of the output and in true ns."""

    def __init__(self, table: Ints, began_ns: int, tick_ns: int, ppm: int) -> None:
        self.table = table
        self.start = table[:, START]
        self.end = table[:, START] + table[:, LENGTH]
        self.length = table[:, LENGTH]
        self.contact = table[:, CONTACT]
        self.kind = table[:, KIND]
        self.amplitude = table[:, AMPLITUDE]
        self.area = table[:, AREA]
        self.unit = table[:, UNIT]
        self.pulse = table[:, PULSE]
        self.charge = table[:, CHARGE]
        self._began_ns = began_ns
        self._tick_ns = tick_ns
        self._ppm = ppm

    def __len__(self) -> int:
        return len(self.table)

    def true_ns(self, ticks: Ints) -> Ints:
        """True time of ticks of the output [ns]."""
        device_ns = ticks * self._tick_ns
        if self._ppm == 0:
            return self._began_ns + device_ns
        whole, rest = np.divmod(device_ns, MILLION + self._ppm)
        true: Ints = self._began_ns + whole * MILLION + rest * MILLION // (MILLION + self._ppm)
        return true

    @cached_property
    def start_ns(self) -> Ints:
        """True time at which each row begins."""
        return self.true_ns(self.start)

    @cached_property
    def end_ns(self) -> Ints:
        """True time at which each row ends."""
        return self.true_ns(self.end)

    @cached_property
    def flowed_ac(self) -> Ints:
        """Charge of each driven row [aC], signed."""
        flowed: Ints = self.amplitude * (self.length * self._tick_ns)
        return flowed

    def only(self, mask: NDArray[np.bool_]) -> Rows:
        """Some of these rows."""
        return Rows(self.table[mask], self._began_ns, self._tick_ns, self._ppm)


class Dose:
    """One dose: what was driven, what recovered by itself, and in which program.

    Parameters
    ----------
    setting : Setting
    flow : Flow

    Raises
    ------
    ConfigError
        Where the rows are not a table of `COLUMNS` whole numbers.
    """

    def __init__(self, setting: Setting, flow: Flow) -> None:
        if flow.rows.ndim != 2 or flow.rows.shape[1] != COLUMNS or flow.rows.dtype != np.int64:
            raise ConfigError(
                f"found rows of shape {flow.rows.shape} and type {flow.rows.dtype}",
                allowed=f"whole numbers in {COLUMNS} columns",
                code="monitor-rows",
            )
        self.flow = flow
        self.number = flow.dose
        self.began_ns = flow.began_ns
        self.program: Program | None = setting.program(flow.digest) if flow.digest else None
        order = np.lexsort((flow.rows[:, CONTACT], flow.rows[:, AREA], flow.rows[:, START]))
        table = flow.rows[order]
        whole = Rows(table, flow.began_ns, setting.tick_ns, setting.ppm)
        driven = whole.kind != PASSIVE
        self.driven = whole.only(driven)
        self.passive = whole.only(~driven)

    @cached_property
    def last_ns(self) -> int:
        """True time at which the last driven row ended; the beginning where nothing was driven."""
        return int(self.driven.end_ns.max()) if len(self.driven) else self.began_ns

    @cached_property
    def phase_first(self) -> Ints:
        """Index of the first driven row of each phase: rows of one area that begin together."""
        return _edges(self.driven.start, self.driven.area)

    @cached_property
    def pulse_order(self) -> Ints:
        """Order of the driven rows by area, unit, pulse, contact and time."""
        rows = self.driven
        return np.lexsort((rows.start, rows.contact, rows.pulse, rows.unit, rows.area))

    def of_area(self, area: int) -> Rows:
        """Driven rows of one area."""
        return self.driven.only(self.driven.area == area)


def _edges(*columns: Ints) -> Ints:
    """Where any of some columns changes from one row to the next; 0 first, empty without rows."""
    size = len(columns[0])
    if size == 0:
        return np.zeros(0, np.int64)
    changed = np.zeros(size, dtype=bool)
    changed[0] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)


edges = _edges
