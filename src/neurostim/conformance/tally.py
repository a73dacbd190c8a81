"""Counting deviations: one tally a verdict, filled block by block."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neurostim.conformance.report import Check, Place

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]

TITLES: dict[str, tuple[str, str]] = {
    "program": ("the format allows this program on this grid", ""),
    "record": ("the record agrees with its sidecar", ""),
    "rows": ("rows are well formed and in order", ""),
    "grid": ("times and amplitudes lie on the device's grid", ""),
    "clock": ("the device clock is within its stated error", "ppm"),
    "onsets": ("every pulse starts at its tick", "ticks"),
    "intervals": ("pulses of an area keep their distance", "ticks"),
    "missing": ("no pulse or phase is missing", ""),
    "extra": ("nothing is delivered that was not asked for", ""),
    "widths": ("every phase has its width", "ticks"),
    "interphase": ("later phases start at their distance", "ticks"),
    "polarity": ("sign and kind of every phase", "nA"),
    "amplitude": ("current of each contact at full amplitude", "nA"),
    "ramp": ("current of each contact in ramps and fades", "nA"),
    "charge": ("charge of each contact and phase", "aC"),
    "balance": ("active recharge returns exactly the charge", "aC"),
    "closure": ("contact currents sum to zero at every instant", "nA"),
    "overlap": ("two sources never drive at once", "ticks"),
    "guard": ("areas keep the guard from each other's occupancy", "ticks"),
    "shorted": ("nothing drives while a contact is shorted", "ticks"),
    "recovery": ("shorted stretches start and end at their ticks", "ticks"),
    "recovery_time": ("each recovered pulse gets its recovery time", "ticks"),
    "stops": ("nothing is driven after a stop", ""),
    "release": ("contacts are shorted after a stop, and not left shorted", "ticks"),
    "indices": ("area, unit and pulse are numbered as the format counts", ""),
    "limits": ("current, charge and density stay inside the limits", ""),
}


@dataclass(slots=True)
class Owners:
    """Whose the things looked at are: area, unit, pulse, and the contact column where one is known."""

    area: I64
    unit: I64
    pulse: I64
    column: I64 | None = None

    def take(self, which: Flags | I64 | slice) -> Owners:
        """The owners of some of the things."""
        column = None if self.column is None else self.column[which]
        return Owners(self.area[which], self.unit[which], self.pulse[which], column)


@dataclass(slots=True)
class Tally:
    """One verdict in the making."""

    name: str
    judged: int = 0
    failed: int = 0
    worst: int = 0
    first: Place | None = field(default=None)
    first_tick: int | None = field(default=None)

    def one(self, at: int | None, tick_ns: int, worst: int = 0, place: Place | None = None) -> None:
        """Count a single deviation at tick ``at`` (None where it has no time)."""
        self.failed += 1
        if abs(worst) > abs(self.worst):
            self.worst = worst
        earlier = self.first is None or (at is not None and (self.first_tick is None or at < self.first_tick))
        if earlier:
            base = place or Place()
            self.first_tick = at
            self.first = Place(
                at_ns=None if at is None else at * tick_ns,
                contact=base.contact,
                area=base.area,
                unit=base.unit,
                pulse=base.pulse,
                note=base.note,
            )

    def check(self) -> Check:
        """The finished verdict."""
        title, unit = TITLES[self.name]
        return Check(self.name, title, self.judged, self.failed, self.worst, unit, self.first)


class Tallies:
    """All verdicts of one judgement, by name."""

    def __init__(self, tick_ns: int, labels: tuple[str, ...]) -> None:
        self.tick_ns = tick_ns
        self.labels = labels
        self._tallies = {name: Tally(name) for name in TITLES}

    def __getitem__(self, name: str) -> Tally:
        return self._tallies[name]

    def judge(
        self,
        name: str,
        bad: Flags,
        at: I64,
        *,
        deviation: I64 | None = None,
        who: Owners | None = None,
        column: I64 | None = None,
        note: str = "",
        judged: int | None = None,
    ) -> None:
        """Count a vector of things looked at, of which ``bad`` deviate, at ticks ``at``."""
        tally = self._tallies[name]
        tally.judged += len(bad) if judged is None else judged
        failed = int(np.count_nonzero(bad))
        if not failed:
            return
        where = np.flatnonzero(bad)
        first = int(where[np.argmin(at[where])])
        if deviation is not None:
            peak = int(deviation[where[np.argmax(np.abs(deviation[where]))]])
            if abs(peak) > abs(tally.worst):
                tally.worst = peak
        if column is None and who is not None:
            column = who.column
        place = Place(
            contact="" if column is None else self.labels[int(column[first])],
            area=None if who is None else int(who.area[first]),
            unit=None if who is None else int(who.unit[first]),
            pulse=None if who is None else int(who.pulse[first]),
            note=note,
        )
        tally.one(int(at[first]), self.tick_ns, 0, place)
        tally.failed += failed - 1

    def judge_contacts(self, name: str, deviation: I64, at: I64, who: Owners) -> None:
        """Count a matrix of deviations, a row a phase or pulse, a column a contact."""
        bad = np.any(deviation != 0, axis=1)
        if not bad.any():
            self._tallies[name].judged += len(bad)
            return
        column = np.argmax(np.abs(deviation), axis=1)
        peak = np.take_along_axis(deviation, column[:, None], axis=1)[:, 0]
        self.judge(name, bad, at, deviation=peak, who=who, column=column)

    def checks(self) -> tuple[Check, ...]:
        """All verdicts in the order of the report."""
        return tuple(tally.check() for tally in self._tallies.values())
