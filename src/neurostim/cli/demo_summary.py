"""The one-page summary of the demonstration: self-contained HTML, every number from the run itself."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Final

from neurostim.cli import console
from neurostim.cli.demo_evidence import PASSIVE, Evidence
from neurostim.cli.demo_figures import cable_chart, dose_chart, unit_chart
from neurostim.cli.demo_scenes import REASON, tightest
from neurostim.cli.program_text import summary as waveform
from neurostim.cli.run import rules_in_words

HEADLINE: Final = "From a program file to current at a contact"
_UC_AC: Final = 10**12


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page says beside the doses.

    ``commands`` are pairs of what a command does and its words; ``settings`` pairs of name and value.
    """

    when: str
    seconds: float
    link: str
    commands: Sequence[tuple[str, str]]
    settings: Sequence[tuple[str, str]]


def page(doses: Sequence[Evidence], facts: Facts) -> str:
    """The page.

    Parameters
    ----------
    doses : sequence of Evidence
        In order; the one with the pulled cable last.
    facts : Facts
    """
    *programs, cable = doses
    identity = cable.scene.identity
    good = all(one.good for one in doses)
    device = (
        f"{identity.model}, serial number {identity.serial_number}, firmware {identity.firmware}, "
        f"simulated, connected over {facts.link}"
    )
    text = importlib.resources.files(__package__).joinpath("demo_page.html").read_text(encoding="utf-8")
    return Template(text).substitute(
        headline=escape(HEADLINE),
        when=escape(facts.when),
        device=escape(device),
        goodness=_yes(good),
        verdict="\u2713 Everything agrees" if good else "\u2717 Something does not agree",
        notice=escape(console.RESEARCH_NOTICE),
        figures=_figures(doses, cable),
        programs="".join(_program(one) for one in programs),
        cable_goodness=_yes(cable.good),
        cable_state=_cable_state(cable),
        cable_program=f"{escape(cable.scene.program.name)}.",
        cable_chart=cable_chart(cable),
        story=_story(cable),
        impedances=_impedances(programs[0]),
        warnings=_warnings(doses),
        doses=_doses(doses),
        footer=_footer(facts),
    )


def _yes(good: bool) -> str:
    return "yes" if good else "no"


def _figures(doses: Sequence[Evidence], cable: Evidence) -> str:
    rows = sum(len(one.table) for one in doses)
    pulses = sum(area.pulses for one in doses for area in one.scene.dose.areas)
    checks = sum(1 for one in doses for check in one.report.checks if check.judged)
    failed = sum(1 for one in doses for check in one.report.checks if not check.passed)
    agree = sum(1 for one in doses for part in one.scene.found.comparisons if part.agrees)
    compared = sum(len(one.scene.found.comparisons) for one in doses)
    rules = sum(len({finding.code for finding in one.scene.verdict.findings}) for one in doses)
    shown = (
        (f"{pulses:,}", "pulses delivered in four doses"),
        (f"{rules}", "safety rules judged before the starts"),
        (f"{agree} <small>of {compared}</small>", "figures of device, journal and program agree"),
        (
            f"{checks - failed} <small>of {checks}</small>",
            f"checks of the independent judge pass, {rows:,} rows",
        ),
        (
            f"{cable.silent_after_ns / 1e6:.0f} <small>ms</small>",
            "from pulled cable to silence; 500 ms allowed",
        ),
    )
    return "".join(f'<div class="figure"><b>{big}</b><span>{small}</span></div>' for big, small in shown)


def _program(evidence: Evidence) -> str:
    scene = evidence.scene
    verdict = scene.verdict
    close = tightest(verdict, 1)
    labels = evidence.table.labels
    facts = [
        ("Pulses counted", f"{sum(area.pulses for area in scene.dose.areas):,}"),
        ("Charge of a phase", f"{evidence.phase_ac / _UC_AC:.4g} \u00b5C"),
        ("Stimulation charge", f"{_charge(sum(area.stim_ac for area in scene.dose.areas))}"),
        ("Left at the end", f"{_charge(evidence.residue_ac)}"),
        ("Safety rules", rules_in_words(verdict)),
    ]
    if close:
        one = close[0]
        facts.append(("Tightest", f"{one.title.lower()}, {round(float(one.margin or 0))} % left"))
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    key = "".join(
        f'<span class="key" style="background:var(--{colour})"></span>{escape(label)} ({sign})'
        for colour, sign, label in _contacts(evidence, labels)
    )
    shorted = ""
    if (evidence.table.kind == PASSIVE).any():
        shorted = '<span class="key band"></span>shorted'
    return (
        f'<article class="card"><h2>{escape(scene.program.name.partition(",")[0])}</h2>'
        f'<p class="soft">{escape(waveform(scene.program))}</p>{_state(evidence)}'
        '<p class="label">Whole dose, phase by phase; dashed: as commanded</p>'
        f"{dose_chart(evidence)}"
        f'<p class="label">One unit{key}{shorted}</p>{unit_chart(evidence)}'
        f"<dl>{rows}</dl></article>"
    )


def _state(evidence: Evidence) -> str:
    words = "reconciled, conforms" if evidence.good else "does not agree"
    mark = "\u2713" if evidence.good else "\u2717"
    return f'<span class="state {_yes(evidence.good)}">{mark} {words}</span>'


def _contacts(evidence: Evidence, labels: Sequence[str]) -> Iterable[tuple[str, str, str]]:
    for number, label in enumerate(labels):
        if number == evidence.cathode:
            yield "cold", "cathode", label
        else:
            yield "warm", "anode", label


def _cable_state(cable: Evidence) -> str:
    if cable.good:
        return f"\u2713 silent after {cable.silent_after_ns / 1e6:.0f} ms, nothing resumed"
    return "\u2717 not as it has to be"


def _story(evidence: Evidence) -> str:
    scene = evidence.scene
    cable = scene.cable
    assert cable is not None
    ramp = evidence.command_ns("ramp_down")
    began = "not logged" if ramp is None else f"{(ramp - evidence.pulled_ns) / 1e6:.0f} ms"
    gap = (cable.plugged_at_ns - cable.pulled_at_ns) / 1e9
    steps = (
        (
            "Pulled at full amplitude",
            f"{evidence.pulled_ns / 1e9:.2f} s into dose {scene.dose.number}. The host loses the link; "
            "from here on nobody can reach the device.",
        ),
        (
            "The dead-man acts",
            f"Without a heartbeat the device ramps down by itself after {began} and is silent after "
            f"{evidence.silent_after_ns / 1e6:.0f} ms.",
        ),
        (
            f"Plugged in again after {gap:.2f} s",
            f"The host connects to read only. The device says: {cable.states[0]}. "
            + ("Output resumed." if cable.resumed else "Nothing resumes."),
        ),
        (
            "Settled from the device's counters",
            f"{sum(area.pulses for area in scene.dose.areas)} pulses, "
            f"{_charge(sum(area.stim_ac for area in scene.dose.areas))}. "
            f"A new start is refused: {cable.refused}.",
        ),
    )
    return "".join(f"<li><b>{escape(head)}</b>{escape(text)}</li>" for head, text in steps)


def _impedances(evidence: Evidence) -> str:
    readings = list(evidence.scene.impedances.contacts.values())
    rows = (
        ("Series (\u03a9)", [f"<td>{one.series_ohm:,}</td>" for one in readings]),
        ("Late (\u03a9)", [f"<td>{one.late_ohm:,}</td>" for one in readings]),
        ("Status", [f'<td class="{_yes(one.status == "ok")}">{one.status}</td>' for one in readings]),
    )
    head = "".join(f"<th>{one.contact}</th>" for one in readings)
    body = "".join(f"<tr><td>{name}</td>{''.join(cells)}</tr>" for name, cells in rows)
    leads = ", ".join(evidence.scene.program.leads)
    return (
        f'<p class="soft">{escape(leads)}; balanced pulses of 0.5 mA and 50 \u00b5s, each contact against '
        "all others; measured anew before each program.</p>"
        f'<table class="vector"><tr><th>Contact</th>{head}</tr>{body}</table>'
    )


def _warnings(doses: Sequence[Evidence]) -> str:
    found: dict[tuple[str, str], list[str]] = {}
    for one in doses:
        for finding in one.scene.verdict.warnings:
            value = "" if finding.value is None else f"{float(finding.value):.4g} {finding.unit}"
            names = found.setdefault((finding.title, f"{value} (warn {finding.limit_text})"), [])
            if one.scene.preset not in names:
                names.append(one.scene.preset)
    if not found:
        return '<p class="soft">Nothing: every rule passes or is only noted.</p>'
    rows = "".join(
        f"<tr><td>{escape(title)}</td><td>{escape(value)}</td><td>{escape(', '.join(names))}</td></tr>"
        for (title, value), names in found.items()
    )
    return (
        f"<table><tr><th>Warning</th><th>Value and limit</th><th>Program</th></tr>{rows}</table>"
        f'<p class="label">Reason on record for each: \u201c{escape(REASON)}\u201d</p>'
    )


def _doses(doses: Sequence[Evidence]) -> str:
    heads = (
        "Dose", "Program", "Ended by", "Lasted", "Pulses", "Stimulation charge", "Reconciled", "Judge",
        "Rows", "Image digest",
    )  # fmt: skip
    right = {"Dose", "Lasted", "Pulses", "Stimulation charge", "Rows"}
    head = "".join(f'<th class="{"n" if one in right else ""}">{one}</th>' for one in heads)
    return f"<table><tr>{head}</tr>{''.join(_dose(one) for one in doses)}</table>"


def _dose(evidence: Evidence) -> str:
    scene, report = evidence.scene, evidence.report
    judged = sum(1 for check in report.checks if check.judged)
    passed = sum(1 for check in report.checks if check.judged and check.passed)
    agree = sum(1 for part in scene.found.comparisons if part.agrees)
    return (
        f'<tr><td class="n">{scene.dose.number}</td><td>{escape(scene.key)}</td>'
        f"<td>{escape(scene.stop_cause)}</td>"
        f'<td class="n">{evidence.silent_ns / 1e9:.3f} s</td>'
        f'<td class="n">{sum(area.pulses for area in scene.dose.areas):,}</td>'
        f'<td class="n">{_charge(sum(area.stim_ac for area in scene.dose.areas))}</td>'
        f'<td class="{_yes(scene.found.agrees)}">{agree} of {len(scene.found.comparisons)} agree</td>'
        f'<td class="{_yes(report.conforms)}">{"conforms" if report.conforms else "does not conform"}, '
        f"{passed} of {judged}</td>"
        f'<td class="n">{len(evidence.table):,}</td>'
        f'<td class="mono">{escape(report.image_sha256[:12])}</td></tr>'
    )


def _charge(charge_ac: int) -> str:
    """A charge [aC] for people."""
    for size, unit in ((10**15, "mC"), (10**12, "\u00b5C"), (10**9, "nC"), (10**6, "pC")):
        if abs(charge_ac) >= size:
            return f"{charge_ac / size:.4g} {unit}"
    return f"{charge_ac} aC" if charge_ac else "0 exactly"


def _footer(facts: Facts) -> str:
    settings = " · ".join(f"{escape(name)} {escape(value)}" for name, value in facts.settings)
    commands = "".join(
        f"<div>{escape(what)}<br><code>{escape(words)}</code></div>" for what, words in facts.commands
    )
    return f'{commands}<div style="grid-column:1/-1">{settings} · took {facts.seconds:.0f} s</div>'
