"""What ``neurostim release`` proves before a measurement, which is a dose, is given for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from neurostim.core.errors import ConfigError, DeviceFault, Problem, SafetyError
from neurostim.core.units import format_time

if TYPE_CHECKING:
    from neurostim.cli.release_words import Wanted
    from neurostim.core.hardware import Capabilities, Impedances
    from neurostim.safety.findings import Finding
    from neurostim.safety.verdict import Verdict

Reasons = Mapping[str, Mapping[str, str]]

LEAST_RAMP_NS: Final = 2_000_000_000
"""A patient's start rises for at least this long; the device refuses less (default ramp)."""

LEAST_BATTERY_PERMILLE: Final = 150
"""RELEASE_COMMIT needs more than this (specification, section 15) [0.1 %]."""


def require_possible(wanted: Sequence[Wanted], reasons: Reasons, capabilities: Capabilities) -> None:
    """Refuse what no measurement can mend: names, ranges, limits, what does not go home, reasons that lack.

    Parameters
    ----------
    wanted : sequence of Wanted
        The programs with the patient's ranges.
    reasons : mapping of str to mapping of str to str
        For each name the reasons given, by code.
    capabilities : Capabilities
        Of the device.

    Raises
    ------
    ConfigError
        With everything that is wrong with names, ranges and programs.
    SafetyError
        Where a rule that needs no impedances refuses, or its warning has no reason of its program.
    """
    _require_room(wanted, capabilities)
    verdicts = _judged(wanted, capabilities)
    _require_for_home(verdicts)
    refused = {
        name: [one for one in verdict.refused if not _is_measured(one.code)]
        for name, verdict in verdicts.items()
    }
    if any(refused.values()):
        texts = dict.fromkeys(f"{name!r}: {one.message}" for name, found in refused.items() for one in found)
        raise SafetyError(
            "the safety gate refuses " + "; ".join(texts),
            rules=dict.fromkeys(one.code for found in refused.values() for one in found),
            remedy="Change program or range; a refusal cannot be acknowledged. Nothing was delivered.",
            code="refused",
        )
    require_reasons(
        {
            name: [one for one in verdict.warnings if not _is_measured(one.code)]
            for name, verdict in verdicts.items()
        },
        reasons,
    )


def require_battery(level_permille: int) -> None:
    """Refuse a battery with which the device does not let itself be released.

    Raises
    ------
    DeviceFault
        Code ``battery``.
    """
    if level_permille <= LEAST_BATTERY_PERMILLE:
        raise DeviceFault(
            f"the battery is at {level_permille / 10:g} %",
            fault="battery",
            remedy=f"Put fresh batteries in: a device goes home above {LEAST_BATTERY_PERMILLE / 10:g} %. "
            "Nothing was delivered.",
            code="battery",
        )


def require_reasons(warned: Mapping[str, Iterable[Finding]], reasons: Reasons) -> None:
    """Refuse a warning that has no reason of its own program.

    Parameters
    ----------
    warned : mapping of str to iterable of Finding
        For each name what warns.
    reasons : mapping of str to mapping of str to str
        For each name the reasons given, by code.

    Raises
    ------
    SafetyError
        Code ``unacknowledged``, with every warning that lacks one.
    """
    missing: dict[tuple[str, str], str] = {}
    for name, findings in warned.items():
        for one in findings:
            if one.code not in reasons[name]:
                missing.setdefault((name, one.code), one.message)
    if missing:
        from neurostim.safety.limits import REASON_WORDS

        raise SafetyError(
            "warnings without a written reason: "
            + "; ".join(f"{code} of {name!r}: {text}" for (name, code), text in missing.items()),
            rules=dict.fromkeys(code for _, code in missing),
            allowed=f"{REASON_WORDS} for each of each program",
            remedy="Read each and give its reason: "
            + " ".join(f'--acknowledge {shlex.quote(f"{name}/{code}")}="why"' for name, code in missing),
            code="unacknowledged",
        )


def warned_with(
    others: Sequence[Wanted], leads: Sequence[str], capabilities: Capabilities, measured: Impedances
) -> dict[str, tuple[Finding, ...]]:
    """Which warnings programs on the same leads have with what was measured, before each is measured itself.

    Parameters
    ----------
    others : sequence of Wanted
    leads : sequence of str
        Leads that were measured; a program on others is left out.
    capabilities : Capabilities
    measured : Impedances
    """
    return {
        one.name: _judge(one, capabilities, measured).warnings
        for one in others
        if tuple(one.program.leads) == tuple(leads)
    }


def _judge(one: Wanted, capabilities: Capabilities, impedances: Impedances | None = None) -> Verdict:
    from neurostim.electrode.library import lead
    from neurostim.safety.gate import check_program

    leads = [lead(name) for name in one.program.leads]
    return check_program(
        one.program,
        leads,
        capabilities,
        ranges=one.ranges,
        impedances=impedances,
        at_run=impedances is not None,
    )


def _judged(wanted: Sequence[Wanted], capabilities: Capabilities) -> dict[str, Verdict]:
    """A verdict on each program, without impedances; everything that cannot even be judged, by program."""
    problems: list[Problem] = []
    verdicts: dict[str, Verdict] = {}
    for one in wanted:
        try:
            verdicts[one.name] = _judge(one, capabilities)
        except ConfigError as error:
            places = {f"ranges[{i}]": f"{area.name}" for i, area in enumerate(one.program.areas)}
            for problem in error.problems or (Problem("program", error.message, error.allowed),):
                place, dot, rest = problem.place.partition(".")
                place = f"--range {one.name}/{places[place]}" if place in places else f"{one.name}: {place}"
                problems.append(Problem(f"{place}{dot}{rest}", problem.found, problem.allowed))
    if problems:
        raise ConfigError(
            "the release is not possible",
            problems=problems,
            remedy="Nothing was delivered.",
            code="release",
        )
    return verdicts


def _require_room(wanted: Sequence[Wanted], capabilities: Capabilities) -> None:
    from neurostim.device.home import slot_name
    from neurostim.session.home import MAX_SLOTS

    most = min(MAX_SLOTS, capabilities.slots)
    if len(wanted) > most:
        raise ConfigError(f"found {len(wanted)} programs", allowed=f"1 to {most}", code="release")
    for one in wanted:
        slot_name(one.name)


def _require_for_home(verdicts: Mapping[str, Verdict]) -> None:
    problems = [
        Problem(f"{name}: area[{number}].ramp", format_time(area.ramp_up_ns), "2 s or more for use at home")
        for name, verdict in verdicts.items()
        for number, area in enumerate(verdict.image.areas, 1)
        if area.ramp_up_ns < LEAST_RAMP_NS
    ]
    problems += [
        Problem(f"{name}: therapy", "a bench program", "one for a person: a bench program does not go home")
        for name, verdict in verdicts.items()
        if verdict.image.bench
    ]
    if problems:
        raise ConfigError(
            "the release is not possible", problems=problems, remedy="Nothing was delivered.", code="release"
        )


def _is_measured(code: str) -> bool:
    """Whether a finding may change once impedances are measured: it is judged again then."""
    from neurostim.safety.findings import RANGE_SUFFIX
    from neurostim.safety.rules import MEASURED

    return code.removesuffix(RANGE_SUFFIX) in MEASURED
