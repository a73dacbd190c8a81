"""One dose as it flowed, read from its rows: true times, phases, pulses and units, as plain arrays."""

from __future__ import annotations

from functools import cached_property, lru_cache
from typing import Any, Final, NamedTuple

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
    RECHARGE,
    START,
    STIM,
    UNIT,
    Counter,
    Flow,
    Program,
    Setting,
)

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MILLION: Final = 1_000_000
CONTACTS: Final = 256
PULSES_IN_UNIT: Final = 1 << 11
UNITS: Final = 1 << 42


class Rows:
    """Some rows of a dose, each column as an array; times in ticks of the output."""

    def __init__(self, table: Ints) -> None:
        self.table = table
        self.start = table[:, START]
        self.length = table[:, LENGTH]
        self.end = self.start + self.length
        self.contact = table[:, CONTACT]
        self.kind = table[:, KIND]
        self.amplitude = table[:, AMPLITUDE]
        self.area = table[:, AREA]
        self.unit = table[:, UNIT]
        self.pulse = table[:, PULSE]
        self.charge = table[:, CHARGE]

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def key(self) -> Ints:
        """One number for area, unit and pulse together, in their order."""
        key: Ints = (self.area * UNITS + self.unit) * PULSES_IN_UNIT + self.pulse
        return key


class Pulses(NamedTuple):
    """The pulses of a dose in order of area, unit and pulse: first and last tick that a source drove."""

    area: Ints
    unit: Ints
    pulse: Ints
    start: Ints
    end: Ints
    order: Ints
    first: Ints


class Net(NamedTuple):
    """Charge of each contact in each pulse [aC], in the order of `Pulses`; ``of`` tells the pulse."""

    of: Ints
    contact: Ints
    stim_ac: Ints
    net_ac: Ints


class Shape(NamedTuple):
    """A program as tables by area (and contact)."""

    shares: Ints
    width_ns: Ints
    ratio: Ints
    triphasic: Bools
    amplitude_na: Ints


@lru_cache(maxsize=256)
def shape_of(program: Program) -> Shape:
    """The tables of a program."""
    areas = program.areas
    shares = np.zeros((len(areas), CONTACTS), np.int64)
    for index, area in enumerate(areas):
        for contact, share in area.shares:
            shares[index, contact] = share
    return Shape(
        shares,
        np.array([one.width_ns for one in areas], np.int64),
        np.array([one.ratio for one in areas], np.int64),
        np.array([one.recharge == "triphasic" for one in areas], dtype=bool),
        np.array([one.amplitude_na for one in areas], np.int64),
    )


class Dose:
    """One dose: what was driven, what recovered by itself, and by which program.

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
        self.tick_ns = setting.tick_ns
        self.ppm = setting.ppm
        self.program: Program | None = setting.program(flow.digest) if flow.digest else None
        order = np.lexsort((flow.rows[:, CONTACT], flow.rows[:, AREA], flow.rows[:, START]))
        table = flow.rows[order]
        driven = table[:, KIND] != PASSIVE
        self.driven = Rows(table[driven])
        self.passive = Rows(table[~driven])

    def true_ns(self, ticks: Ints) -> Ints:
        """True time of ticks of the output [ns]."""
        device_ns = ticks * self.tick_ns
        if self.ppm == 0:
            return self.began_ns + device_ns
        whole, rest = np.divmod(device_ns, MILLION + self.ppm)
        true: Ints = self.began_ns + whole * MILLION + rest * MILLION // (MILLION + self.ppm)
        return true

    @cached_property
    def start_ns(self) -> Ints:
        """True time at which each driven row begins."""
        return self.true_ns(self.driven.start)

    @cached_property
    def end_ns(self) -> Ints:
        """True time at which each driven row ends."""
        return self.true_ns(self.driven.end)

    @cached_property
    def last_ns(self) -> int:
        """True time at which the last driven row ended; the beginning where nothing was driven."""
        return int(self.end_ns.max()) if len(self.driven) else self.began_ns

    @cached_property
    def flowed_ac(self) -> Ints:
        """Charge of each driven row [aC], signed."""
        flowed: Ints = self.driven.amplitude * (self.driven.length * self.tick_ns)
        return flowed

    @cached_property
    def known(self) -> Bools:
        """Which driven rows belong to an area that was programmed."""
        count = len(self.program.areas) if self.program else 0
        return self.driven.area < count

    @cached_property
    def shape(self) -> Shape:
        """Tables of the program; only where there is one."""
        assert self.program is not None
        return shape_of(self.program)

    @cached_property
    def share(self) -> Ints:
        """Programmed share of each driven row's contact in its area; 0 where there is none."""
        rows = self.driven
        area = np.where(self.known, rows.area, 0)
        return np.where(self.known, self.shape.shares[area, rows.contact], 0)

    @cached_property
    def phase_first(self) -> Ints:
        """Index of the first driven row of each phase: rows of one area that begin together."""
        return edges(self.driven.start, self.driven.area)

    @cached_property
    def pulses(self) -> Pulses:
        """The pulses with current, by area, unit and pulse."""
        rows = self.driven
        order = np.argsort(rows.key, kind="stable")
        key = rows.key[order]
        first = edges(key)
        if len(first) == 0:
            none = np.zeros(0, np.int64)
            return Pulses(none, none, none, none, none, order, first)
        at = order[first]
        return Pulses(
            rows.area[at],
            rows.unit[at],
            rows.pulse[at],
            rows.start[at],
            np.maximum.reduceat(rows.end[order], first),
            order,
            first,
        )

    @cached_property
    def pulse_of_row(self) -> Ints:
        """Index in `pulses` of each driven row."""
        pulses = self.pulses
        counts = np.diff(np.append(pulses.first, len(pulses.order)))
        of = np.empty(len(pulses.order), np.int64)
        of[pulses.order] = np.repeat(np.arange(len(pulses.first)), counts)
        return of

    @cached_property
    def pulse_start_ns(self) -> Ints:
        """True time at which each pulse begins."""
        return self.true_ns(self.pulses.start)

    @cached_property
    def net(self) -> Net:
        """What each contact passed in each pulse."""
        rows, of = self.driven, self.pulse_of_row
        both = of * CONTACTS + rows.contact
        order = np.argsort(both, kind="stable")
        first = edges(both[order])
        if len(first) == 0:
            none = np.zeros(0, np.int64)
            return Net(none, none, none, none)
        flowed = self.flowed_ac[order]
        stim = np.where(rows.kind[order] == 0, np.abs(flowed), 0)
        at = order[first]
        return Net(
            of[at],
            rows.contact[at],
            np.add.reduceat(stim, first),
            np.add.reduceat(flowed, first),
        )

    @cached_property
    def counted(self) -> dict[int, Counter]:
        """What a device has to count of this dose at each contact [aC], exactly."""
        rows, passive, flowed = self.driven, self.passive, self.flowed_ac
        stim, recharge = rows.kind == STIM, rows.kind == RECHARGE
        at, charge = rows.contact[stim], flowed[stim]
        # A pulse counts once at a contact, in however many phases it came.
        both = np.sort(self.pulse_of_row[stim] * CONTACTS + at)
        pulses = np.bincount(both[edges(both)] % CONTACTS, minlength=CONTACTS)
        cathodic, anodic, recovered = np.zeros((3, CONTACTS), np.int64)
        np.subtract.at(cathodic, at, np.minimum(charge, 0))
        np.add.at(anodic, at, np.maximum(charge, 0))
        np.add.at(recovered, rows.contact[recharge], flowed[recharge])
        np.add.at(recovered, passive.contact, passive.charge)
        rows_at = np.bincount(np.concatenate([rows.contact, passive.contact]), minlength=CONTACTS)
        there = rows_at.nonzero()[0]
        return {
            contact: Counter(*numbers)
            for contact, *numbers in zip(
                there.tolist(),
                pulses[there].tolist(),
                cathodic[there].tolist(),
                anodic[there].tolist(),
                recovered[there].tolist(),
                strict=True,
            )
        }


def differences(column: NDArray[Any]) -> NDArray[Any]:
    """From each value of a column to the next; `numpy.diff` costs several times as much on a short one."""
    found: NDArray[Any] = column[1:] - column[:-1]
    return found


def edges(*columns: Ints) -> Ints:
    """Where any of some columns changes from one row to the next; 0 first, empty without rows."""
    size = len(columns[0])
    if size == 0:
        return np.zeros(0, np.int64)
    changed = np.zeros(size, dtype=bool)
    changed[0] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changed)
