"""From a program to an exact schedule on a device's grid; the one place where rounding happens.

Every problem of a program is reported at once, and everything the grid changed is listed as
asked and given. Whether a program may be delivered is not decided here but by the safety gate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

from neurostim.core import bounds
from neurostim.core.bounds import Bound
from neurostim.core.errors import ConfigError, Problem
from neurostim.core.image import RETURN_INDEX, Grid, ImageArea, ProgramImage
from neurostim.core.program import RETURN_CONTACT, THERAPIES, Area, Program, Recharge, RelativeAmplitude
from neurostim.core.schedule import Adjustment, Schedule
from neurostim.core.sharing import contact_currents
from neurostim.core.units import format_rate, format_time
from neurostim.core.validate import area_problems, grid_problems

WIDTH_REFUSED = Fraction(20, 100)
"""A width, interphase or recharge given farther than this from asked is refused outside bench (rule 3)."""


def compile_program(program: Program, grid: Grid, contact_index: Mapping[str, int] | None = None) -> Schedule:
    """Compile a program for a device's grid.

    Parameters
    ----------
    program : Program
        What to deliver, as its author wrote it.
    grid : Grid
        Time step [ns], amplitude step [nA], guard and least recovery [ticks] of the device.
    contact_index : mapping of str to int, optional
        Device contact of each contact label (``"3"``, ``"2.5"``, ``"return"``). Without it, ``"n"``
        is device contact n and ``"return"`` the return pad; a program for several leads needs it.

    Returns
    -------
    Schedule
        Symbolic: its cost does not depend on the duration.

    Raises
    ------
    ConfigError
        With every problem: bounds of the format, shares and contacts, rounding farther than 20 %
        outside bench, pulses that do not fit their interval (rule 3), areas that cannot be
        interleaved (rule 8).
    """
    problems = [*grid_problems(grid), *_program_problems(program)]
    index, contact_problems = _device_contacts(program, contact_index)
    problems.extend(contact_problems)
    if not bounds.TICK_NS.admits(grid.tick_ns) or not bounds.STEP_NA.admits(grid.step_na):
        raise _refusal(program, problems)
    bench = program.therapy == "bench"
    adjustments: list[Adjustment] = []
    head = ProgramImage(grid, (), program.duration_ns or 0, program.interleave_drop, bench)
    areas = []
    for number, area in enumerate(program.areas, 1):
        place = f"area[{number}]"
        if area.train.rate_hz <= 0 or (area.train.burst and area.train.burst.rate_hz <= 0):
            continue  # reported with its bounds, and without a period nothing more can be said
        one = _image_area(
            area, place, grid=grid, index=index, bench=bench, adjustments=adjustments, problems=problems
        )
        areas.append(one)
        known = {problem.place for problem in problems}
        problems.extend(
            problem for problem in area_problems(one, place, head) if not _covered(problem.place, known)
        )
    if problems:
        raise _refusal(program, problems)
    image = replace(head, areas=tuple(areas))
    labels = {index[share.contact]: share.contact for area in program.areas for share in area.shares}
    return Schedule(
        image,
        labels=dict(sorted(labels.items())),
        adjustments=tuple(adjustments),
        names=tuple(area.name for area in program.areas),
        title=program.name,
    )


def _covered(place: str, known: set[str]) -> bool:
    """Whether a fault of the image is one the program was already told of, here or within."""
    return any(place == other or other.startswith(f"{place}.") for other in known)


def _refusal(program: Program, problems: list[Problem]) -> ConfigError:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    return ConfigError(
        f"the program {program.name!r} cannot be compiled: {count}", problems=problems, code="compile"
    )


def _program_problems(program: Program) -> list[Problem]:
    problems: list[Problem] = []
    if program.therapy not in THERAPIES:
        problems.append(Problem("therapy", repr(program.therapy), ", ".join(THERAPIES)))
    if not bounds.AREAS.admits(len(program.areas)):
        problems.append(Problem("area", f"{len(program.areas)} areas", bounds.AREAS.text))
    names = [area.name for area in program.areas]
    problems.extend(
        Problem("area.name", f"{name!r} more than once", "a name of its own for each area")
        for name in sorted({name for name in names if names.count(name) > 1})
    )
    duration = program.duration_ns
    if duration is not None and not bounds.DURATION_NS.admits(duration):
        problems.append(Problem("duration", f"{duration} ns", bounds.DURATION_NS.text))
    for number, area in enumerate(program.areas, 1):
        problems.extend(_area_problems(area, f"area[{number}]", program))
    return problems


def _area_problems(area: Area, place: str, program: Program) -> list[Problem]:
    """Bounds that rounding could hide; all others are judged on the image."""
    problems: list[Problem] = []

    def within(where: str, value: Fraction | int, bound: Bound, shown: str) -> None:
        if not bound.admits(value):
            problems.append(Problem(f"{place}.{where}", shown, bound.text))

    if isinstance(area.amplitude, RelativeAmplitude):
        relative = area.amplitude
        problems.append(
            Problem(
                f"{place}.amplitude",
                f"{relative.permille / 10:g} % of {relative.of}, mark {relative.mark!r}",
                "an amplitude that is resolved: measure the mark and resolve it before compiling",
            )
        )
    within("pulse.width", area.pulse.width_ns, bounds.WIDTH_NS, format_time(area.pulse.width_ns))
    within(
        "pulse.interphase",
        area.pulse.interphase_ns,
        bounds.INTERPHASE_NS,
        format_time(area.pulse.interphase_ns),
    )
    _rate_problems(area.train.rate_hz, f"{place}.train", area.train.from_interval, problems)
    if area.train.burst is not None:
        within(
            "train.burst.pulses",
            area.train.burst.pulses,
            bounds.BURST_PULSES,
            f"{area.train.burst.pulses} pulses",
        )
        burst = area.train.burst
        _rate_problems(burst.rate_hz, f"{place}.train.burst", burst.from_interval, problems)
    if area.cycle is not None:
        within("cycle.on", area.cycle.on_ns, bounds.ON_NS, format_time(area.cycle.on_ns))
        within("cycle.off", area.cycle.off_ns, bounds.OFF_NS, format_time(area.cycle.off_ns))
    if area.delay_ns and program.duration_ns is not None and area.delay_ns >= program.duration_ns > 0:
        problems.append(
            Problem(
                f"{place}.delay",
                format_time(area.delay_ns),
                f"less than the duration, {format_time(program.duration_ns)}",
            )
        )
    return problems


def _rate_problems(rate: Fraction, place: str, from_interval: bool, problems: list[Problem]) -> None:
    if from_interval:
        interval = 10**9 / rate if rate > 0 else Fraction(0)
        if interval.denominator != 1 or not bounds.INTERVAL_NS.admits(interval):
            problems.append(Problem(f"{place}.interval", format_time(interval), bounds.INTERVAL_NS.text))
    elif not bounds.RATE_HZ.admits(rate) or (rate * 1000).denominator != 1:
        problems.append(Problem(f"{place}.rate", format_rate(rate), bounds.RATE_HZ.text))


def _device_contacts(
    program: Program, contact_index: Mapping[str, int] | None
) -> tuple[dict[str, int], list[Problem]]:
    problems: list[Problem] = []
    index: dict[str, int] = {}
    if contact_index is None and len(program.leads) > 1:
        problems.append(
            Problem("lead", f"{len(program.leads)} leads", "a contact map where there are several leads")
        )
    for number, area in enumerate(program.areas, 1):
        place = f"area[{number}].contacts"
        for share in area.shares:
            label = share.contact
            if contact_index is not None:
                found = contact_index.get(label)
            elif label == RETURN_CONTACT:
                found = RETURN_INDEX
            else:
                found = int(label) if label.isascii() and label.isdecimal() and len(label) <= 3 else None
            if found is None:
                known = "a contact number" if contact_index is None else ", ".join(contact_index)
                problems.append(Problem(place, f"contact {label!r}", known))
            else:
                index[label] = found
    shared = {device for device in index.values() if list(index.values()).count(device) > 1}
    for device in sorted(shared):
        labels = ", ".join(label for label, found in index.items() if found == device)
        problems.append(
            Problem("contacts", f"{labels} on the one device contact {device}", "a device contact each")
        )
    return index, problems


def _image_area(
    area: Area,
    place: str,
    *,
    grid: Grid,
    index: Mapping[str, int],
    bench: bool,
    adjustments: list[Adjustment],
    problems: list[Problem],
) -> ImageArea:
    tick = grid.tick_ns

    def ticks(where: str, asked_ns: int) -> int:
        given = max(round(Fraction(asked_ns, tick)), 1 if asked_ns else 0)
        if given * tick != asked_ns:
            one = Adjustment.of(f"{place}.pulse.{where}", Fraction(asked_ns), Fraction(given * tick), "ns")
            adjustments.append(one)
            if one.relative > WIDTH_REFUSED and not bench:
                problems.append(
                    Problem(
                        one.place,
                        f"{format_time(asked_ns)}, which this device gives as {format_time(given * tick)}",
                        f"a time within 20 % of a multiple of {format_time(tick)}, or therapy bench",
                    )
                )
        return given

    width = ticks("width", area.pulse.width_ns)
    gap = ticks("interphase", area.pulse.interphase_ns)
    amplitude = area.amplitude if isinstance(area.amplitude, int) else 0
    period = 10**9 / area.train.rate_hz
    burst = area.train.burst
    burst_period = 10**9 / burst.rate_hz if burst else Fraction(0)
    ratio = area.pulse.ratio if area.pulse.recharge is Recharge.ACTIVE_ASYMMETRIC else 1
    if ratio != area.pulse.ratio:
        problems.append(Problem(f"{place}.pulse.ratio", str(area.pulse.ratio), "only with active-asymmetric"))
    labels = {index[share.contact]: share.contact for share in area.shares if share.contact in index}
    shares = tuple(
        sorted((index[share.contact], share.permille) for share in area.shares if share.contact in index)
    )
    _sharing_adjustments(
        amplitude, shares, labels, ratio=ratio, place=place, grid=grid, adjustments=adjustments
    )
    return ImageArea(
        amplitude_na=amplitude,
        shares=shares,
        width_ticks=width,
        interphase_ticks=gap,
        recharge=area.pulse.recharge,
        ratio=ratio,
        period_num=period.numerator,
        period_den=period.denominator,
        burst_pulses=burst.pulses if burst else 1,
        burst_period_num=burst_period.numerator,
        burst_period_den=burst_period.denominator,
        ramp_up_ns=area.ramp.up_ns,
        ramp_down_ns=area.ramp.down_ns,
        delay_ns=area.delay_ns,
        on_ns=area.cycle.on_ns if area.cycle else 0,
        off_ns=area.cycle.off_ns if area.cycle else 0,
        priority=area.priority,
    )


def _sharing_adjustments(
    amplitude_na: int,
    shares: tuple[tuple[int, int], ...],
    labels: Mapping[int, str],
    *,
    ratio: int,
    place: str,
    grid: Grid,
    adjustments: list[Adjustment],
) -> None:
    try:
        given = contact_currents(amplitude_na, 1, shares, grid.step_na, ratio)
    except ConfigError:
        return  # shares that do not sum are a problem of the image, reported there
    for contact, share in shares:
        asked = Fraction(amplitude_na * share, 1000)
        if asked != given[contact]:
            adjustments.append(
                Adjustment.of(f"{place}.contacts.{labels[contact]}", asked, Fraction(given[contact]), "nA")
            )
