"""What the rules read: a schedule joined with leads, ports, limits, ranges and impedances.

Everything here is made once a check and is integers throughout; the circuit's physics is in
`neurostim.safety.physics`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from fractions import Fraction
from functools import cache, cached_property
from typing import Any, Final

from neurostim.core.errors import ConfigError, Problem
from neurostim.core.hardware import Capabilities, ContactImpedance, Impedances, Port, PortKind
from neurostim.core.image import RETURN_INDEX, ImageArea
from neurostim.core.program import Recharge
from neurostim.core.schedule import Schedule
from neurostim.core.timing import AreaTiming
from neurostim.core.units import format_current
from neurostim.core.validate import image_problems
from neurostim.electrode.lead import Lead, Material
from neurostim.electrode.library import Site, sites
from neurostim.safety.findings import RANGE_SUFFIX, Finding, judge
from neurostim.safety.limits import LimitLayer, Limits, effective_limits, merged
from neurostim.safety.measures import Measure, whole
from neurostim.safety.reach import Reach, reach

DAY_NS: Final = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class AmplitudeRange:
    """What the patient can reach in one area: from ``min_na`` to ``max_na`` in steps of ``step_na``.

    ``area`` counts from 0. Levels are ``min_na``, each step above it, and ``max_na``; every level of
    amplitude up to ``max_na`` is judged, because ramps pass through all of them.
    """

    area: int
    min_na: int
    max_na: int
    step_na: int


@dataclass(frozen=True)
class Case:
    """Everything a verdict depends on."""

    schedule: Schedule
    leads: tuple[Lead, ...]
    capabilities: Capabilities
    ranges: tuple[AmplitudeRange, ...]
    impedances: Impedances | None = None
    device_limits: LimitLayer | None = None
    subject_limits: LimitLayer | None = None
    at_run: bool = False


@dataclass(frozen=True)
class ContactUse:
    """One contact in one area; currents are magnitudes of the first phase [nA].

    ``reach_na`` is the largest over the area's whole range, first reached at ``reach_at_na``.
    """

    area: int
    index: int
    place: str
    site: Site
    port: Port
    limits: Limits
    share: int
    setting_na: int
    reach_na: int
    reach_at_na: int

    @property
    def is_metal(self) -> bool:
        """Whether this is an electrode in tissue, not a pad on skin."""
        return self.site.material is not Material.HYDROGEL


@dataclass(frozen=True)
class AreaUse:
    """One area with its contacts, the tightest limits over them, and its range.

    ``phase_ns`` is the longest stimulation phase, ``driven_ns`` all driven time of a unit, ``weighed_ns``
    the same with a phase of 1/N of the current counted 1/N. ``square_ns`` is the driven time of one pulse
    with each phase weighed by the square of its current.
    """

    number: int
    place: str
    area: ImageArea
    timing: AreaTiming
    contacts: tuple[ContactUse, ...]
    limits: Limits
    range: AmplitudeRange
    reach: Reach
    setting_na: int
    phase_ns: int
    driven_ns: int
    weighed_ns: int
    square_ns: Fraction

    @property
    def has_range(self) -> bool:
        """Whether the range reaches beyond the setting."""
        return self.range.max_na > self.area.amplitude_na

    @property
    def unrecovered_pulses(self) -> int:
        """Pulses of a unit before any of their charge is taken back: 1 unless nothing is between them."""
        together = self.area.recharge in (Recharge.NONE, Recharge.PASSIVE_AFTER_BURST)
        return self.area.burst_pulses if together else 1


@dataclass(frozen=True)
class Context:
    """A case made ready for the rules; made by `build` once the contacts are known to exist."""

    case: Case
    areas: tuple[AreaUse, ...]
    limits: Limits
    extra: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def capabilities(self) -> Capabilities:
        """The device judged for."""
        return self.case.capabilities

    @property
    def schedule(self) -> Schedule:
        """The compiled program."""
        return self.case.schedule

    def contacts(self) -> Iterator[tuple[AreaUse, ContactUse]]:
        """Every contact of every area."""
        for area in self.areas:
            for contact in area.contacts:
                yield area, contact

    @cached_property
    def by_contact(self) -> Mapping[int, tuple[tuple[AreaUse, ContactUse], ...]]:
        """Device contact and its uses over all areas."""
        found: dict[int, list[tuple[AreaUse, ContactUse]]] = {}
        for area, contact in self.contacts():
            found.setdefault(contact.index, []).append((area, contact))
        return {index: tuple(uses) for index, uses in sorted(found.items())}

    def dose_ac(self, duration_ns: int, *, reached: bool) -> dict[int, int]:
        """Stimulation charge of each contact at the setting, or with every area at the end of its range [aC].

        Where units are dropped, and for the range, areas are counted one by one: that counts dropped units
        too, and costs no placing of a whole day.
        """
        image = self.schedule.image
        if not reached and not self.schedule.interleave.dropping:
            dose = self.schedule.dose(duration_ns)
            return {contact: stimulation for contact, (stimulation, _) in dose.by_contact().items()}
        totals: dict[int, int] = {}
        for area in self.areas:
            amplitude = max(area.range.max_na, area.area.amplitude_na) if reached else area.area.amplitude_na
            alone = Schedule(replace(image, areas=(replace(area.area, amplitude_na=amplitude),)))
            for contact, (stimulation, _) in alone.dose(duration_ns).by_contact().items():
                totals[contact] = totals.get(contact, 0) + stimulation
        return totals


def both(
    code: str,
    limits: Limits,
    place: str,
    setting: Measure,
    reached: Measure,
    *,
    detail: str = "",
    reach_at_na: int | None = None,
) -> list[Finding]:
    """Judge the setting and, where the range reaches another value, the range with a code of its own.

    ``reach_at_na`` is the amplitude at which the range first reaches its value.
    """
    if code not in limits:
        return []
    found = [judge(limits[code], place, setting, detail=detail)]
    if reached != setting:
        first = detail if reach_at_na is None else f"first at {format_current(reach_at_na)}"
        found.append(judge(limits[code], place, reached, code=code + RANGE_SUFFIX, detail=first))
    return found


def one(code: str, limits: Limits, place: str, measure: Measure, *, detail: str = "") -> list[Finding]:
    """Judge one value, where the rule applies."""
    return [judge(limits[code], place, measure, detail=detail)] if code in limits else []


def place_of(schedule: Schedule, area: int, contact: int | None = None) -> str:
    """``area[1]`` or ``area[1].contacts.3``, as in a program file."""
    text = f"area[{area + 1}]"
    return text if contact is None else f"{text}.contacts.{schedule.labels[contact]}"


def port_of(capabilities: Capabilities, contact: int, others: Sequence[int] = ()) -> Port | None:
    """The port of a device contact; the return pad belongs to a port of ``others`` that has a return."""
    if contact != RETURN_INDEX:
        for port in capabilities.ports:
            if port.first_contact <= contact < port.first_contact + port.contact_count:
                return port
        return None
    own = (port_of(capabilities, other) for other in others if other != RETURN_INDEX)
    candidates = [port for port in own if port is not None] or list(capabilities.ports)
    return next((port for port in candidates if port.has_return), None)


def build(case: Case) -> Context:
    """Join a case whose contacts exist on the device and on a lead."""
    known = sites(case.leads)
    areas = tuple(_area(case, known, number) for number in range(len(case.schedule.image.areas)))
    return Context(case, areas, merged([area.limits for area in areas]))


def _area(case: Case, known: Mapping[int, Site], number: int) -> AreaUse:
    schedule, capabilities = case.schedule, case.capabilities
    area = schedule.image.areas[number]
    timing = schedule.area_timing(number)
    chosen = case.ranges[number]
    reached = reach(area, schedule.image.grid.step_na, max(chosen.max_na, area.amplitude_na))
    setting = schedule.unit_currents(number)
    indices = [contact for contact, _ in area.shares]
    contacts = []
    for contact, share in area.shares:
        port = port_of(capabilities, contact, indices)
        if port is None:
            raise ConfigError(f"contact {contact} is on no port", code="unknown-contact")
        site = known[contact]
        limits = effective_limits(
            port.kind, site.lead.lead_class, capabilities, case.device_limits, case.subject_limits
        )
        contacts.append(
            ContactUse(
                area=number,
                index=contact,
                place=place_of(schedule, number, contact),
                site=site,
                port=port,
                limits=limits,
                share=share,
                setting_na=abs(setting[contact]),
                reach_na=reached.peaks_na[contact],
                reach_at_na=reached.at_na[contact],
            )
        )
    tick = schedule.image.grid.tick_ns
    widths = [width for _, width, _, _ in timing.phases]
    stimulation = max(widths) if area.recharge is Recharge.TRIPHASIC else widths[0]
    return AreaUse(
        number=number,
        place=place_of(schedule, number),
        area=area,
        timing=timing,
        contacts=tuple(contacts),
        limits=merged([contact.limits for contact in contacts]),
        range=chosen,
        reach=reached,
        setting_na=sum(-current for current in setting.values() if current < 0),
        phase_ns=stimulation * tick,
        driven_ns=sum(widths) * tick * area.burst_pulses,
        weighed_ns=sum(width // divisor for _, width, _, divisor in timing.phases) * tick * area.burst_pulses,
        square_ns=sum(
            (Fraction(width * tick, divisor * divisor) for _, width, _, divisor in timing.phases), Fraction(0)
        ),
    )


def default_ranges(schedule: Schedule) -> tuple[AmplitudeRange, ...]:
    """Without a patient's range: up to the setting in steps of the grid, from zero or less than a step above.

    A setting between two steps of the grid is on a step of its range, as the device asks for.
    """
    step = schedule.image.grid.step_na
    return tuple(
        AmplitudeRange(number, area.amplitude_na % step, area.amplitude_na, step)
        for number, area in enumerate(schedule.image.areas)
    )


def checked_ranges(schedule: Schedule, ranges: Sequence[AmplitudeRange] | None) -> tuple[AmplitudeRange, ...]:
    """The ranges of all areas in order; areas without one get the default.

    Raises
    ------
    ConfigError
        With every range that names no area, names one twice, is not in order, does not hold the
        setting, or steps off the device's grid.
    """
    found = dict(enumerate(default_ranges(schedule)))
    problems: list[Problem] = []
    seen: set[int] = set()
    grid_step = schedule.image.grid.step_na
    amount = format_current
    for given in ranges or ():
        for name in ("area", "min_na", "max_na", "step_na"):
            whole(getattr(given, name), f"{name} of a range")
        place = f"ranges[{given.area}]"
        if given.area not in found or given.area in seen:
            problems.append(Problem(place, f"area {given.area}", f"each area once, 0 to {len(found) - 1}"))
            continue
        seen.add(given.area)
        setting = schedule.image.areas[given.area].amplitude_na
        if not 0 <= given.min_na <= setting <= given.max_na <= 150_000_000:
            problems.append(
                Problem(
                    place,
                    f"{amount(given.min_na)} to {amount(given.max_na)} around {amount(setting)}",
                    "0 <= min <= setting <= max <= 150 mA",
                )
            )
        if given.step_na <= 0 or given.step_na % grid_step:
            problems.append(
                Problem(f"{place}.step", amount(given.step_na), f"a multiple of {amount(grid_step)}")
            )
        elif (given.max_na - given.min_na) % given.step_na or (setting - given.min_na) % given.step_na:
            problems.append(
                Problem(
                    place,
                    f"{amount(given.min_na)} to {amount(given.max_na)} in steps of {amount(given.step_na)} "
                    f"around {amount(setting)}",
                    "whole steps from min to max, the setting on one of them, or the device refuses it",
                )
            )
        found[given.area] = given
    if problems:
        raise ConfigError("the amplitude ranges are wrong", problems=problems, code="ranges")
    return tuple(found[number] for number in sorted(found))


def require_integers(case: Case) -> None:
    """Refuse a case in which any number is not an ``int``: NaN and infinity have no way in.

    Raises
    ------
    ConfigError
        Code ``not-an-integer``, with every place.
    """
    problems: list[Problem] = []
    image = case.schedule.image
    _integers(image, "image", problems)
    _integers(case.capabilities, "capabilities", problems)
    _integers(case.ranges, "ranges", problems)
    for number, lead in enumerate(case.leads, 1):
        _integers(lead, f"lead[{number}]", problems)
    if case.impedances is not None:
        for contact, reading in case.impedances.contacts.items():
            _integers(contact, "impedances", problems)
            _integers(reading, f"impedances[{contact}]", problems)
            if reading.contact != contact:
                problems.append(Problem(f"impedances[{contact}]", f"contact {reading.contact}", f"{contact}"))
    problems.extend(
        Problem(entry.place, f"{entry.relative!r}", "an exact fraction")
        for entry in case.schedule.adjustments
        if type(entry.relative) is not Fraction
    )
    if problems:
        raise ConfigError(
            "safety is judged in integers only", problems=problems, allowed="int", code="not-an-integer"
        )


def require_format(case: Case) -> None:
    """Refuse an image that format 1 refuses, and a schedule whose timing is not that of its image.

    Raises
    ------
    ConfigError
        With every problem; a gate takes no compiler at its word.
    """
    schedule = case.schedule
    problems = image_problems(schedule.image)
    if not problems:
        for number, area in enumerate(schedule.image.areas):
            if AreaTiming.of(area, schedule.image.grid, schedule.image.duration_ns) != schedule.area_timing(
                number
            ):
                problems.append(Problem(place_of(schedule, number), "another timing", "that of the image"))
    if problems:
        raise ConfigError("the program image is refused", problems=problems, code="image")


def _integers(value: Any, place: str, problems: list[Problem]) -> None:
    """Walk a value; where a field is declared ``int``, and inside tuples, only an ``int`` may stand."""
    kind: Any = type(value)
    if kind is int or isinstance(value, Enum):
        return
    if kind is tuple:
        for number, item in enumerate(value):
            _integers(item, f"{place}[{number}]", problems)
    elif is_dataclass(value):
        for name, declared in _entries(kind):
            inner = getattr(value, name)
            if type(inner) is int if declared == "int" else declared in ("str", "bool"):
                continue
            if not (inner is None and declared.endswith("| None")):
                _integers(inner, f"{place}.{name}", problems)
    else:
        problems.append(Problem(place, f"{value!r} ({kind.__name__})", "int"))


@cache
def _entries(kind: Any) -> tuple[tuple[str, str], ...]:
    return tuple((entry.name, str(getattr(entry.type, "__name__", entry.type))) for entry in fields(kind))


def reading_of(case: Case, contact: int) -> ContactImpedance | None:
    """The measured impedance of a contact, where there is one."""
    return None if case.impedances is None else case.impedances.contacts.get(contact)


def is_for_people(port: Port) -> bool:
    """Whether a port leads to a person."""
    return port.kind is not PortKind.BENCH
