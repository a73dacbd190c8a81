"""Judging a program on a nominal device: compile, gate, and all rules side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from neurostim.cli.program_text import adjustments, widen
from neurostim.core.compile import compile_program
from neurostim.core.dose import Dose
from neurostim.core.errors import ConfigError, Problem
from neurostim.core.program import Program
from neurostim.core.schedule import Schedule
from neurostim.core.units import CURRENT, format_time, parse_whole
from neurostim.electrode.library import check_contacts, contact_map, lead
from neurostim.safety import gate
from neurostim.safety.findings import Finding, Severity, figure
from neurostim.safety.limits import LimitLayer
from neurostim.safety.measures import State
from neurostim.safety.profiles import profile as nominal

if TYPE_CHECKING:
    from rich.console import Console

DAY_NS: Final = 86_400 * 10**9
_UC_AC: Final = 10**12
_C_AC: Final = 10**18
_STYLES: Final = {
    Severity.PASS: ("green", "pass"),
    Severity.NOTE: ("cyan", "note"),
    Severity.WARN: ("yellow", "WARN"),
    Severity.REFUSE: ("bold red", "REFUSE"),
}
_WIDE: Final = 120


@dataclass(frozen=True)
class Judgement:
    """A program, the profile it was judged on, its schedule and the verdict."""

    program: Program
    profile: str
    schedule: Schedule
    verdict: gate.Verdict

    @cached_property
    def dose(self) -> Dose:
        """The dose of a day, or of the whole program where it is shorter."""
        return self.schedule.dose(min(self.schedule.duration_ns or DAY_NS, DAY_NS))

    def document(self) -> dict[str, Any]:
        """Plain values for JSON; charges are exact text in aC."""
        return {
            "program": self.program.name,
            "profile": self.profile,
            "refused": bool(self.verdict.refused),
            **self.verdict.as_dict(),
            "adjustments": adjustments(self.schedule),
            "interleave": interleave(self.schedule),
            "dose_ns": self.dose.duration_ns,
            "dose": [
                {
                    "area": name,
                    "pulses": str(area.pulses),
                    "stimulation_ac": str(area.stimulation_ac),
                    "max_phase_ac": str(max(one.max_phase_ac for one in area.contacts)),
                    "max_unit_ac": str(max(one.max_unit_ac for one in area.contacts)),
                }
                for name, area in zip(self.schedule.names, self.dose.areas, strict=True)
            ],
        }


def judge(
    program: Program,
    profile: str | None,
    *,
    ranges: Sequence[str] = (),
    subject: LimitLayer | None = None,
) -> Judgement:
    """Compile a program on the nominal device of a profile and put it before the gate.

    Raises
    ------
    ConfigError
        Where the leads or contacts are unknown, or the format refuses the program on this grid.
    """
    name = profile or program.therapy
    capabilities = nominal(name)
    leads = [lead(one) for one in program.leads]
    check_contacts(program, leads)
    schedule = compile_program(program, capabilities.grid, contact_map(leads))
    reach = read_ranges(ranges, len(schedule.names)) or None
    verdict = gate.check(schedule, leads, capabilities, ranges=reach, subject_limits=subject)
    return Judgement(program, name, schedule, verdict)


def read_ranges(texts: Sequence[str], areas: int) -> list[gate.AmplitudeRange]:
    """Read what the patient can reach, ``"0 mA .. 4 mA by 0.1 mA"`` an area, in order.

    Raises
    ------
    ConfigError
        With every range that cannot be read, or more of them than areas.
    """
    problems: list[Problem] = []
    found: list[gate.AmplitudeRange] = []
    if len(texts) > areas:
        problems.append(Problem("--range", f"{len(texts)} ranges", f"at most one for each of {areas} areas"))
    for area, text in enumerate(texts):
        low, dots, rest = text.partition("..")
        high, by, step = rest.partition(" by ")
        try:
            if not dots or not by:
                raise ConfigError(f"found {text!r}", allowed='text such as "0 mA .. 4 mA by 0.1 mA"')
            numbers = [parse_whole(one.strip(), CURRENT) for one in (low, high, step)]
        except ConfigError as error:
            found_text = error.message.removeprefix("found ")
            problems.append(Problem(f"--range {area + 1}", found_text, error.allowed))
        else:
            found.append(gate.AmplitudeRange(area, *numbers))
    if problems:
        raise ConfigError("the ranges cannot be read", problems=problems, code="ranges")
    return found


def interleave(schedule: Schedule) -> dict[str, Any]:
    """How areas share the output: how that is known, worst shift and share dropped of each."""
    found = schedule.interleave
    return {
        "proof": found.proof,
        "areas": [
            {"area": name, "worst_shift_ns": one.worst_shift_ticks * schedule.image.grid.tick_ns}
            for name, one in zip(schedule.names, found.areas, strict=True)
        ],
    }


def print_judgement(screen: Console, judgement: Judgement) -> None:
    """Show every rule with its value, limit and margin; then what to know about those that fired."""
    from rich.table import Table

    findings = sorted(judgement.verdict.findings, key=lambda one: -one.severity)
    screen.print(
        f"{judgement.program.name}, on the nominal {judgement.profile} device", style="bold", markup=False
    )
    _print_dose(screen, judgement)
    widen(screen)
    show_places = screen.width >= _WIDE
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    table.add_column("Rule")
    for heading in ("Value", "Limit", "Margin"):
        table.add_column(heading, justify="right", no_wrap=heading != "Limit")
    if show_places:
        table.add_column("Place")
    for group in _alike(findings):
        style, word = _STYLES[group[0].severity]
        cells = [f"[{style}]{word}[/]", group[0].title, *_figures(group[0])]
        table.add_row(*cells, *([_places(group)] if show_places else []))
    screen.print(table)
    for group in _alike(findings):
        if group[0].severity is not Severity.PASS:
            _print_finding(screen, group)
    _print_sum(screen, findings)


def print_saved(screen: Console, judgement: Judgement, slots: Mapping[str, Judgement]) -> None:
    """Say of each saved slot how it stands, and gather the three charge warnings where slots are given."""
    if not slots:
        return
    screen.print()
    for name, one in slots.items():
        _print_line(screen, f"saved {name}", one.verdict.severity)
    warned = gate.charge_warnings(judgement.verdict, {name: one.verdict for name, one in slots.items()})
    kinds = {"the setting": warned.setting, "the range": warned.range, **warned.slots}
    for name, findings in kinds.items():
        codes = ", ".join(dict.fromkeys(one.code for one in findings)) or "none"
        screen.print(f"charge warnings of {name}: {codes}", markup=False)


def _print_line(screen: Console, name: str, severity: Severity) -> None:
    style, word = _STYLES[severity]
    screen.print(f"[{style}]{word}[/]", end=" ")
    screen.print(name, markup=False)


def _alike(findings: list[Finding]) -> list[list[Finding]]:
    """Findings of one rule that say the same of several places, together."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for one in findings:
        groups.setdefault((one.code, one.severity, *_figures(one), one.detail), []).append(one)
    return list(groups.values())


def _figures(finding: Finding) -> tuple[str, str, str]:
    """Value, limit and margin for people."""
    if isinstance(finding.measure, State):
        return "no" if finding.measure.violated else "yes", "", ""
    value = "unknown" if finding.value is None else f"{figure(finding.value)} {finding.unit}"
    margin = "" if finding.margin is None else f"{float(finding.margin):.0f} %"
    return value, finding.limit_text, margin


def _places(group: list[Finding]) -> str:
    return ", ".join(one.place for one in group)


def _print_dose(screen: Console, judgement: Judgement) -> None:
    schedule = judgement.schedule
    for name, area in zip(schedule.names, judgement.dose.areas, strict=True):
        phase = max(one.max_phase_ac for one in area.contacts)
        unit = max(one.max_unit_ac for one in area.contacts)
        text = f"{name}: {phase / _UC_AC:.3g} uC a phase"
        if unit != phase:
            text += f", {unit / _UC_AC:.3g} uC before recovery"
        time = "a day" if judgement.dose.duration_ns == DAY_NS else "in all"
        screen.print(f"{text}, {area.stimulation_ac / _C_AC:.3g} C {time}", markup=False)
    for one in adjustments(schedule):
        screen.print(
            f"This device gives {one['given']} where {one['place']} asks for {one['asked']}.", markup=False
        )
    if len(schedule.names) > 1:
        for one in interleave(schedule)["areas"]:
            shift = format_time(one["worst_shift_ns"]) if one["worst_shift_ns"] else "0 s"
            screen.print(f"{one['area']}: moved by at most {shift} for other areas", markup=False)


def _print_finding(screen: Console, group: list[Finding]) -> None:
    finding = group[0]
    style, word = _STYLES[finding.severity]
    screen.print(f"\n[{style}]{word}[/] [bold]{finding.code}[/]", end=" ")
    screen.print(finding.message, markup=False)
    more = [one.place for one in group[1:]]
    reason = "" if finding.reason == finding.source else finding.reason
    known = {
        "Also at": ", ".join(more),
        "Set by": reason,
        "Source": finding.source,
        "Holds for": finding.conditions,
    }
    for label, text in known.items():
        if text:
            screen.print(f"     {label}: {text}", markup=False, style="dim")


def _print_sum(screen: Console, findings: list[Finding]) -> None:
    # As in the table: a rule that says the same of several contacts counts once.
    rows = [group[0].severity for group in _alike(findings)]
    counts = {severity: rows.count(severity) for severity in Severity}
    words = ", ".join(f"{counts[one]} {one.word}" for one in Severity if counts[one])
    if counts[Severity.REFUSE]:
        screen.print(f"\n[bold red]Refused[/]: {words}. It cannot be delivered on this device.")
    elif counts[Severity.WARN]:
        codes = sorted({one.code for one in findings if one.severity is Severity.WARN})
        screen.print(f"\n[yellow]Deliverable with reasons[/]: {words}.")
        flags = " ".join(f'--acknowledge {code}="..."' for code in codes)
        screen.print(f"Each warning needs a written reason on run: {flags}", markup=False)
    else:
        screen.print(f"\n[green]Deliverable[/]: {words}.")
