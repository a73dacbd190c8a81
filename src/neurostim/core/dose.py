"""Exact charge of a schedule, in Python integers of attocoulomb (nA x ns), by closed form.

Nothing is enumerated outside ramps: a day costs what a second costs, and 365 days are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from neurostim.core.profile import WindowProfile
from neurostim.core.program import Recharge
from neurostim.core.timing import AreaTiming

_PYTHON_RUNS = 4096


@dataclass(frozen=True, slots=True)
class ContactDose:
    """Charge through one contact for one area [aC].

    Attributes
    ----------
    contact : int
        Device contact.
    max_current_na : int
        Largest magnitude of the contact current over all delivered units, ramps included [nA].
    max_phase_ac : int
        Largest charge of one driven stimulation phase.
    max_pulse_ac : int
        Largest charge one pulse passes in the direction of the contact current (triphasic: two phases).
    max_unit_ac : int
        Largest charge a unit builds up before anything recovers it: per burst for
        passive-after-burst and none, per pulse otherwise.
    stimulation_ac : int
        Charge passed in the direction of the contact current, all pulses together.
    net_ac : int
        Signed sum of all driven phases: 0 with active recharge or triphasic pulses; with passive
        recharge what the discharge path must take back.
    """

    contact: int
    max_current_na: int
    max_phase_ac: int
    max_pulse_ac: int
    max_unit_ac: int
    stimulation_ac: int
    net_ac: int


@dataclass(frozen=True, slots=True)
class AreaDose:
    """Dose of one area.

    ``nominal_units`` counts what the train asks for, ``units`` what is emitted (rule 4 and rule 8),
    ``dropped_units`` what rule 8 drops, ``silent_units`` the emitted ones that carry no current.
    ``pulses`` carry current. ``stimulation_ac`` is the charge through all cathodes together.
    """

    area: int
    nominal_units: int
    units: int
    dropped_units: int
    silent_units: int
    pulses: int
    contacts: tuple[ContactDose, ...]
    stimulation_ac: int


@dataclass(frozen=True, slots=True)
class Dose:
    """Dose of a whole schedule over ``duration_ns``, from units with a nominal onset before it."""

    duration_ns: int
    areas: tuple[AreaDose, ...]

    @property
    def stimulation_ac(self) -> int:
        """Charge through all cathodes of all areas [aC]."""
        return sum(area.stimulation_ac for area in self.areas)

    def by_contact(self) -> dict[int, tuple[int, int]]:
        """Stimulation and net charge of each contact over all areas [aC]."""
        totals: dict[int, tuple[int, int]] = {}
        for area in self.areas:
            for one in area.contacts:
                stimulation, net = totals.get(one.contact, (0, 0))
                totals[one.contact] = (stimulation + one.stimulation_ac, net + one.net_ac)
        return dict(sorted(totals.items()))


@dataclass
class UnitTotals:
    """Sums over the emitted units of one area; currents in the area's contact order [nA]."""

    contacts: int
    nominal: int = 0
    units: int = 0
    dropped: int = 0
    silent: int = 0
    sums: list[int] = field(default_factory=list)
    peaks: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sums = self.sums or [0] * self.contacts
        self.peaks = self.peaks or [0] * self.contacts

    def add_runs(self, profile: WindowProfile, units: int, times: int = 1) -> None:
        """Add the first ``units`` units of ``times`` windows of this profile."""
        if units <= 0 or times <= 0:
            return
        self.units += units * times
        counts = profile.run_counts(units)
        if len(counts) > _PYTHON_RUNS:
            self._add_many(profile, counts, times)
            return
        for count, row in zip(counts.tolist(), profile.currents.tolist(), strict=True):
            if count:
                self.add(count * times, row)

    def add(self, count: int, row: Sequence[int]) -> None:
        """Count units that carry the currents ``row``."""
        if not any(row):
            self.silent += count
        for column, current in enumerate(row):
            self.sums[column] += count * current
            self.peaks[column] = max(self.peaks[column], abs(current))

    def _add_many(self, profile: WindowProfile, counts: npt.NDArray[np.int64], times: int) -> None:
        # Ramp runs cannot overflow int64 (at most 2.4e6 units of 1.5e8 nA each); the longest run,
        # the plateau, may, and goes through Python integers.
        longest = int(counts.argmax())
        self.add(int(counts[longest]) * times, profile.currents[longest].tolist())
        weights = counts.copy()
        weights[longest] = 0
        reached = weights > 0
        currents = profile.currents.astype(np.int64)
        sums = (weights[:, None] * currents).sum(axis=0).tolist()
        self.silent += int(weights[~currents.any(axis=1)].sum()) * times
        if reached.any():
            peaks = np.abs(currents[reached]).max(axis=0).tolist()
            self.peaks = [max(old, new) for old, new in zip(self.peaks, peaks, strict=True)]
        self.sums = [old + new * times for old, new in zip(self.sums, sums, strict=True)]


def area_dose(index: int, timing: AreaTiming, totals: UnitTotals) -> AreaDose:
    """Turn sums over units into charges: every pulse of a unit carries the same currents."""
    tick, pulses = timing.tick_ns, timing.pulses
    forward = sum(width for _, width, sign, _ in timing.phases if sign > 0) * tick
    widest = max(
        width
        for number, (_, width, sign, _) in enumerate(timing.phases)
        if number == 0 or sign > 0 or timing.area.recharge is Recharge.TRIPHASIC
    )
    # Signed charge of one pulse per nA of contact current; the asymmetric recharge divides exactly.
    net = sum(sign * (width // divisor) for _, width, sign, divisor in timing.phases) * tick
    together = 1 if timing.area.recharge not in (Recharge.NONE, Recharge.PASSIVE_AFTER_BURST) else pulses
    contacts = tuple(
        ContactDose(
            contact=contact,
            max_current_na=peak,
            max_phase_ac=peak * widest * tick,
            max_pulse_ac=peak * forward,
            max_unit_ac=peak * forward * together,
            stimulation_ac=abs(total) * forward * pulses,
            net_ac=total * net * pulses,
        )
        for (contact, _), total, peak in zip(timing.area.shares, totals.sums, totals.peaks, strict=True)
    )
    return AreaDose(
        area=index,
        nominal_units=totals.nominal,
        units=totals.units,
        dropped_units=totals.dropped,
        silent_units=totals.silent,
        pulses=(totals.units - totals.silent) * pulses,
        contacts=contacts,
        stimulation_ac=sum(abs(total) for total in totals.sums if total < 0) * forward * pulses,
    )


def closed_totals(
    timing: AreaTiming, profile_of: Callable[[int | None], WindowProfile], limit_ns: int
) -> UnitTotals:
    """Sum all units with a nominal onset before ``limit_ns``, nothing being dropped by rule 8."""
    totals = UnitTotals(len(timing.area.shares))
    tick, delay, cycle = timing.tick_ns, timing.area.delay_ns, timing.cycle_ns
    stop = -(-limit_ns // tick)
    begun = max(0, -(-(stop * tick - delay) // cycle)) if cycle else int(timing.window(0).start < stop)
    if timing.window_count is not None:
        begun = min(begun, timing.window_count)
    if begun == 0:
        return totals
    last = timing.window(begun - 1)
    if begun > 1:
        short = timing.area.on_ns // tick
        longer = timing.long_windows(begun - 1)
        for length, times in ((short, begun - 1 - longer), (short + 1, longer)):
            if times:
                profile = profile_of(length)
                totals.nominal += (profile.nominal or 0) * times
                totals.add_runs(profile, profile.fitting or 0, times)
    profile = profile_of(last.length)
    asked = timing.units_before(stop - last.start)
    totals.nominal += asked if profile.nominal is None else min(asked, profile.nominal)
    totals.add_runs(profile, asked if profile.fitting is None else min(asked, profile.fitting))
    return totals
