"""The record in ticks and in the judge's columns, and what can be said of it without a program.

These checks hold for any record: form, grid, currents that sum to zero, one source at a time,
nothing driven into a short, limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neurostim.conformance.commands import is_count
from neurostim.conformance.report import Place
from neurostim.conformance.tally import Tallies
from neurostim.conformance.trace import PASSIVE, RECHARGE, TraceTable
from neurostim.core.errors import ConfigError, Problem

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
LIMIT_KEYS: Final = (
    "contact_current_na",
    "phase_charge_ac",
    "phase_density_ac_per_um2",
    "contact_area_um2",
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows in order of start and contact; times in ticks, ``column`` a contact of the judge."""

    start: I64
    end: I64
    column: I64
    kind: NDArray[np.int8]
    amplitude_na: I64
    area: I64 | None
    unit: I64 | None
    pulse: I64 | None

    def __len__(self) -> int:
        return len(self.start)

    def take(self, which: slice | Flags | I64) -> Rows:
        """Some of the rows."""
        return Rows(
            self.start[which],
            self.end[which],
            self.column[which],
            self.kind[which],
            self.amplitude_na[which],
            None if self.area is None else self.area[which],
            None if self.unit is None else self.unit[which],
            None if self.pulse is None else self.pulse[which],
        )


@dataclass(frozen=True, slots=True)
class Groups:
    """Driven rows with one start, as one phase.

    ``current_na`` and ``charge`` [nA x ticks] have a column a contact; the charge is of each row's own
    length, where the rows of a phase should differ.
    """

    start: I64
    end: I64
    recharge: Flags
    current_na: I64
    charge: I64
    row: I64


def gather(rows: Rows, columns: int) -> Groups:
    """Group driven rows by their start; the longest row gives the end."""
    fresh = np.ones(len(rows), dtype=np.bool_)
    fresh[1:] = rows.start[1:] != rows.start[:-1]
    head = np.flatnonzero(fresh)
    group = np.cumsum(fresh) - 1
    current = np.zeros((len(head), columns), dtype=np.int64)
    current[group, rows.column] = rows.amplitude_na
    charge = np.zeros_like(current)
    charge[group, rows.column] = rows.amplitude_na * (rows.end - rows.start)
    return Groups(
        start=rows.start[head],
        end=np.maximum.reduceat(rows.end, head) if len(head) else rows.end[:0],
        recharge=rows.kind[head] == RECHARGE,
        current_na=current,
        charge=charge,
        row=head,
    )


def judge_form(
    trace: TraceTable, column: I64, tallies: Tallies, *, step_na: int, tick_ns: int, exact: bool
) -> None:
    """Checks ``rows`` and ``grid`` over the whole table."""
    start, length, amplitude, kind = trace.start_ns, trace.duration_ns, trace.amplitude_na, trace.kind
    at = start // tick_ns
    passive = kind == PASSIVE
    bad = (length <= 0) | (passive != (amplitude == 0)) | (kind < 0) | (kind > PASSIVE)
    if exact:
        bad |= start < 0
    if trace.charge_ac is not None:
        bad |= ~passive & (trace.charge_ac != 0)
    if len(start) > 1:
        same = start[1:] == start[:-1]
        bad[1:] |= start[1:] < start[:-1]
        bad[1:] |= same & (column[1:] < column[:-1])
        bad[1:] |= same & (column[1:] == column[:-1]) & ~(passive[1:] & passive[:-1])
    tallies.judge("rows", bad, at, column=column)
    off = np.zeros(len(start), dtype=np.bool_)
    if exact and tick_ns > 1:
        off |= (start % tick_ns != 0) | (length % tick_ns != 0)
    if step_na > 1:
        off |= amplitude % step_na != 0
    tallies.judge("grid", off, at, column=column)


@dataclass(slots=True)
class Invariants:
    """Running state of the checks that need no program, from block to block."""

    tallies: Tallies
    slack: int
    driven_to: int = -(1 << 62)
    shorted_to: int = -(1 << 62)

    def judge(self, drive: Rows, groups: Groups, passive: Rows) -> None:
        """Closure of currents, one source at a time, nothing driven into a short."""
        tallies = self.tallies
        sums = groups.current_na.sum(axis=1)
        bad = sums != 0
        if len(drive):
            shortest = np.minimum.reduceat(drive.end, groups.row)
            bad |= groups.end - shortest > self.slack
        tallies.judge("closure", bad, groups.start, deviation=sums)
        before = np.maximum.accumulate(np.concatenate([[self.driven_to], groups.end]))
        over = np.maximum(before[:-1] - groups.start, 0)
        tallies.judge("overlap", over > self.slack, groups.start, deviation=np.asarray(over, dtype=np.int64))
        order = np.argsort(passive.start, kind="stable")
        reach = np.maximum.accumulate(np.concatenate([[self.shorted_to], passive.end[order]]))
        under = (
            reach[np.searchsorted(passive.start[order], groups.end - self.slack, side="left")] - groups.start
        )
        tallies.judge(
            "shorted",
            under > self.slack,
            groups.start,
            deviation=np.asarray(np.maximum(under, 0), dtype=np.int64),
        )
        # A stretch that began in an earlier block may meet a phase of this one, and the other way round.
        if len(passive) and self.driven_to > int(passive.start[order[0]]) + self.slack:
            start = int(passive.start[order[0]])
            tallies["shorted"].one(start, tallies.tick_ns, self.driven_to - start)
        self.driven_to = int(before[-1])
        self.shorted_to = int(reach[-1])


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits as plain numbers a column: current [nA], charge [aC], density [aC/um2] with area [um2]."""

    current_na: dict[int, int]
    charge_ac: int | None
    density: int | None
    area_um2: dict[int, int]

    def judge(self, drive: Rows, tick_ns: int, tallies: Tallies) -> None:
        """Check ``limits`` on every driven row."""
        if not self.current_na and self.charge_ac is None and self.density is None:
            return
        magnitude = np.abs(drive.amplitude_na)
        charge = magnitude * ((drive.end - drive.start) * tick_ns)
        tally = tallies["limits"]
        tally.judged += len(drive)
        for column in np.unique(drive.column):
            own = drive.column == column
            tests = [(magnitude, self.current_na.get(int(column)), "current", "nA")]
            tests.append((charge, self.charge_ac, "charge a phase", "aC"))
            area = self.area_um2.get(int(column))
            most = None if self.density is None or area is None else self.density * area
            tests.append((charge, most, f"charge density, on {area} um2,", "aC"))
            for values, limit, what, unit in tests:
                if limit is None:
                    continue
                bad = own & (values > limit)
                if not bad.any():
                    continue
                peak = int(values[bad].max())
                at = np.flatnonzero(bad)
                place = Place(
                    contact=tallies.labels[int(column)],
                    note=f"{what} reaches {peak} {unit}, limit {limit} {unit}",
                )
                tally.one(int(drive.start[at[0]]), tick_ns, peak - limit, place)
                tally.failed += len(at) - 1


def read_limits(limits: Mapping[str, Any] | None, columns: Mapping[str, int]) -> Limits:
    """Read a plain mapping of limits.

    Parameters
    ----------
    limits : Mapping, optional
        ``contact_current_na`` (a number, or a table contact -> number), ``phase_charge_ac``,
        ``phase_density_ac_per_um2`` and ``contact_area_um2`` (as the first), all whole numbers.
    columns : Mapping
        Column of each contact label.

    Raises
    ------
    ConfigError
        With every key that is unknown or no whole number, and where density lacks an area.
    """
    problems: list[Problem] = []
    given = dict(limits or {})

    def scalar(key: str) -> int | None:
        value = given.get(key)
        if value is None:
            return None
        if not is_count(value):
            problems.append(Problem(key, repr(value)[:80], "a whole number"))
            return None
        return int(value)

    def table(key: str) -> dict[int, int]:
        value = given.get(key)
        if value is None:
            return {}
        entries = value if isinstance(value, Mapping) else dict.fromkeys(columns, value)
        found: dict[int, int] = {}
        for label, number in entries.items():
            if not is_count(number) or (key == "contact_area_um2" and number == 0):
                problems.append(Problem(f"{key}.{label}", repr(number)[:80], "a whole number"))
            elif str(label) in columns:
                found[columns[str(label)]] = int(number)
        return found

    problems += [
        Problem(key, repr(given[key])[:80], "one of " + ", ".join(LIMIT_KEYS))
        for key in given
        if key not in LIMIT_KEYS
    ]
    result = Limits(
        table("contact_current_na"),
        scalar("phase_charge_ac"),
        scalar("phase_density_ac_per_um2"),
        table("contact_area_um2"),
    )
    if result.density is not None and len(result.area_um2) < len(columns):
        lacking = [label for label, column in columns.items() if column not in result.area_um2]
        problems.append(Problem("contact_area_um2", "no area for " + ", ".join(lacking), "an area a contact"))
    if problems:
        raise ConfigError("the limits cannot be read", problems=problems, code="conformance-limits")
    return result
