"""Whether what the device counted is what was asked of it: journal, schedule and device side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from neurostim.core.image import ProgramImage
from neurostim.core.program import Recharge
from neurostim.core.schedule import Schedule
from neurostim.device import DoseRecord, LifeCounters
from neurostim.wire.messages import StopCause

DEAD_MAN_NS: Final = 500_000_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """One quantity: what was expected, at least and at most, and what the device says.

    Charges in aC. ``agrees`` is exact: there is no tolerance beside the stated bounds.
    """

    what: str
    least: int
    most: int
    device: int

    @property
    def agrees(self) -> bool:
        """Whether the device's figure lies within the bounds."""
        return self.least <= self.device <= self.most

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the journal."""
        return {
            "what": self.what,
            "least": self.least,
            "most": self.most,
            "device": self.device,
            "agrees": self.agrees,
        }


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Every comparison of one dose, and remarks that are no disagreement."""

    dose_number: int
    comparisons: tuple[Comparison, ...]
    remarks: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether nothing disagrees."""
        return all(one.agrees for one in self.comparisons)

    @property
    def disagreements(self) -> tuple[Comparison, ...]:
        """What disagrees."""
        return tuple(one for one in self.comparisons if not one.agrees)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for the journal."""
        return {
            "dose_number": self.dose_number,
            "agrees": self.agrees,
            "comparisons": [one.as_dict() for one in self.comparisons],
            "remarks": list(self.remarks),
        }


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the host knows of a dose it started.

    ``levels`` are the amplitudes each area had, in order [nA]; ``declined_tick`` is the device's
    clock at which a stop took effect, None where the host was not told.
    """

    image: ProgramImage
    image_sha256: bytes
    dose_number: int
    start_tick: int
    levels: Sequence[Sequence[int]]
    declined_tick: int | None


def reconcile(
    delivered: Delivered, dose: DoseRecord, before: LifeCounters, after: LifeCounters
) -> Reconciliation:
    """Compare one dose.

    Parameters
    ----------
    delivered : Delivered
        What was asked.
    dose : DoseRecord
        The device's record of that dose.
    before, after : LifeCounters
        The device's life-long counters, read just before the start and after the end.
    """
    comparisons = [
        _equal("dose number", delivered.dose_number, dose.number),
        _equal("doses started since the start was prepared", 1, after.dose_count - before.dose_count),
        _equal("start on the device's clock [ticks]", delivered.start_tick, dose.start_tick),
        _equal("still running", 0, int(dose.running)),
        _equal("program digest differs", 0, int(dose.image_sha256 != delivered.image_sha256)),
        _equal("areas", len(delivered.image.areas), len(dose.areas)),
    ]
    remarks = []
    if dose.boot_count != after.boot_count:
        remarks.append("the device was reset during or after the dose")
    if dose.compliance_pulses:
        remarks.append(
            f"the rail limited the current in {dose.compliance_pulses} pulses: "
            "less was delivered than was commanded"
        )
    bounds = _bounds(delivered, dose)
    for area in dose.areas:
        if area.area not in bounds:
            comparisons.append(_equal(f"area {area.area}: exists", 1, 0))
            continue
        pulses, charge = bounds[area.area]
        comparisons.append(Comparison(f"area {area.area}: pulses", *pulses, area.pulses))
        least = 0 if dose.compliance_pulses else charge[0]
        comparisons.append(
            Comparison(f"area {area.area}: stimulation charge [aC]", least, charge[1], area.stim_ac)
        )
    cathodic = {one.contact: one.cathodic_ac for one in before.contacts}
    passed = sum(one.cathodic_ac - cathodic.get(one.contact, 0) for one in after.contacts)
    comparisons.append(
        _equal("cathodic charge of all contacts [aC]", sum(area.stim_ac for area in dose.areas), passed)
    )
    return Reconciliation(dose.number, tuple(comparisons), tuple(remarks))


def _equal(what: str, expected: int, device: int) -> Comparison:
    return Comparison(what, expected, expected, device)


_Bounds = Mapping[int, tuple[tuple[int, int], tuple[int, int]]]


def _bounds(delivered: Delivered, dose: DoseRecord) -> _Bounds:
    """Least and most pulses and charge of each area, from the schedule at each amplitude it had."""
    tick_ns = delivered.image.grid.tick_ns
    lasted_ns = max(dose.end_tick - dose.start_tick, 0) * tick_ns
    duration_ns = delivered.image.duration_ns
    if dose.stop_cause is StopCause.COMPLETED and duration_ns:
        at_least_ns = at_most_ns = duration_ns
    else:
        at_most_ns = min(lasted_ns, duration_ns) if duration_ns else lasted_ns
        at_least_ns = max(_steady_ns(delivered, dose, lasted_ns), 0)
    bounds = {}
    for index in range(len(delivered.image.areas)):
        levels = dict.fromkeys(delivered.levels[index])
        schedules = [_schedule(delivered.image, index, level) for level in levels]
        most = [_area(one, index, at_most_ns) for one in schedules]
        least = [_area(one, index, at_least_ns) for one in schedules]
        bounds[index] = (
            (min(pulses for pulses, _ in least), max(pulses for pulses, _ in most)),
            (min(charge for _, charge in least), max(charge for _, charge in most)),
        )
    return bounds


def _steady_ns(delivered: Delivered, dose: DoseRecord, lasted_ns: int) -> int:
    """How long output certainly followed the program: until a stop, less one unit under way."""
    image = delivered.image
    unit_ns = max(-(-area.period_num // area.period_den) for area in image.areas)
    shift_ns = unit_ns + image.grid.tick_ns
    if dose.stop_cause in (StopCause.FAULT, StopCause.POWER_LOST, StopCause.NONE):
        return 0
    if dose.stop_cause is StopCause.DEAD_MAN:
        return lasted_ns - DEAD_MAN_NS - shift_ns
    if delivered.declined_tick is None:
        return 0
    return (delivered.declined_tick - dose.start_tick) * image.grid.tick_ns - shift_ns


@lru_cache(maxsize=32)
def _schedule(image: ProgramImage, index: int, level_na: int) -> Schedule:
    """What an image asks for with one area at another level; the next dose of a session asks it again."""
    areas = list(image.areas)
    areas[index] = replace(areas[index], amplitude_na=level_na)
    return Schedule.from_image(replace(image, areas=tuple(areas)))


def _area(schedule: Schedule, index: int, duration_ns: int) -> tuple[int, int]:
    area = schedule.dose(duration_ns).areas[index]
    # The device counts every cathodic phase: of a triphasic pulse the anodes pass theirs in the middle one.
    sides = 2 if schedule.image.areas[index].recharge is Recharge.TRIPHASIC else 1
    return area.pulses, area.stimulation_ac * sides
