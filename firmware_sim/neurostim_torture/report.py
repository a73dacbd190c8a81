"""What a campaign found, as text for the screen and as a page for the record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from neurostim_torture.campaign import Part, Tally
from neurostim_torture.faults import KINDS
from neurostim_torture.schedule import Outcome

NS_PER_HOUR = 3_600_000_000_000


PARTS: Final[tuple[tuple[str, Callable[[Part], str]], ...]] = (
    ("schedules", lambda part: f"{part.schedules:,}"),
    ("virtual time", lambda part: f"{part.virtual_ns / NS_PER_HOUR:,.1f} h"),
    ("time of one core", lambda part: f"{part.seconds / 3600:,.2f} h"),
    ("schedules a second on one core", lambda part: f"{part.per_second:,.0f}"),
    ("times real time on one core", lambda part: f"{part.times_real:,.0f}"),
    ("doses started, measurements included", lambda part: f"{part.doses:,}"),
    ("pulse phases judged at the electrode", lambda part: f"{part.pulses:,}"),
)


def line(tally: Tally, wanted: int) -> str:
    """How far a campaign has come."""
    bad = sum(tally.violations.values())
    parts = "; ".join(
        f"{name} {part.schedules}, {part.per_second:.0f}/s, {part.times_real:.0f} x real time, "
        f"{part.virtual_ns / NS_PER_HOUR:.1f} h"
        for name, part in (("supervised", tally.supervised), ("at home", tally.home))
        if part.schedules
    )
    return (
        f"{tally.schedules}/{wanted} schedules, {tally.per_second:.0f}/s and {tally.times_real:.0f} x real "
        f"time on a core, {tally.virtual_ns / NS_PER_HOUR:.1f} virtual hours, {tally.doses} doses, "
        f"{bad} violations ({parts})"
    )


def page(tally: Tally, *, command: str, generator: str, first: int) -> str:
    """The report in Markdown."""
    verdict = (
        "No rule of the monitor was broken and nothing crashed."
        if not tally.violations
        else "RULES WERE BROKEN: see the end of this page."
    )
    rows = [
        ("schedules", f"{tally.schedules:,}"),
        ("of these with a fault that struck and a program that delivered", f"{tally.telling:,}"),
        ("faults struck, but no pulse of a program was delivered", f"{tally.without_pulse:,}"),
        ("no fault met anything (they show nothing)", f"{tally.idle:,}"),
        ("virtual time", f"{tally.virtual_ns / NS_PER_HOUR:,.1f} h"),
        ("time of one core", f"{tally.seconds / 3600:,.2f} h"),
        ("schedules a second on one core", f"{tally.per_second:,.0f}"),
        ("times real time on one core", f"{tally.times_real:,.0f}"),
        ("doses started, measurements included", f"{tally.doses:,}"),
        ("pulse phases judged at the electrode", f"{tally.pulses:,}"),
        ("frames on the line", f"{tally.frames:,}"),
        ("schedules that broke a rule", f"{len(tally.failures):,}" if tally.violations else "0"),
    ]
    parts = [
        "# Torture report",
        "",
        f"Made by `{command}` (generator {generator}, seeds from {first}). {verdict}",
        "",
        *_table(("what", "figure"), rows),
        "",
        "## Under supervision and at home",
        "",
        "Under supervision host and device talk all the time. At home most hours are quiet, and the device "
        "foresees its output: hours there cost little, so the two are told apart.",
        "",
        *_table(
            ("what", "supervised", "at home"),
            [(name, text(tally.supervised), text(tally.home)) for name, text in PARTS],
        ),
        "",
        "## Faults that struck",
        "",
        *_table(
            ("fault", "struck", "meaning"),
            [(name, f"{tally.struck[name]:,}", text) for name, text in KINDS.items()],
        ),
        "",
        "## What people met",
        "",
        "`done`: the session ended as planned. `started`: a program was confirmed as started. `agrees` and "
        "`disagrees`: the session's own reconciliation. Others are errors that the toolkit raised, by code.",
        "",
        *_counts(tally.outcomes),
    ]
    if tally.disagreements:
        parts += ["", "### What reconciliations found different", "", *_counts(tally.disagreements)]
    if tally.violations:
        parts += ["", "## Rules broken", "", *_counts(tally.violations)]
        for failure in tally.failures[:20]:
            found = [*(f"{one['rule']}: {one['text']}" for one in failure["violations"]), *failure["crashes"]]
            parts += [
                "",
                f"Seed {failure['seed']}, `{failure['faults']}`:",
                "",
                *(f"- {text}" for text in found),
            ]
    return "\n".join(parts) + "\n"


def explained(outcome: Outcome) -> str:
    """One schedule in words."""
    where = " at home" if outcome.schedule.home else ""
    lasted = f"{outcome.virtual_ns / 1e9:.3f} s virtual, {outcome.doses} doses"
    text = [f"seed {outcome.schedule.seed}{where}: {lasted}"]
    text += [f"  fault {fault.as_dict()}" for fault in outcome.schedule.faults]
    text += [f"  struck {dict(outcome.struck)}", f"  met {', '.join(outcome.outcomes)}"]
    text += [f"  VIOLATION {one.rule} at {one.at_ns} ns: {one.text}" for one in outcome.violations]
    text += [f"  CRASH {crash}" for crash in outcome.crashes]
    return "\n".join(text)


def _counts(counter: Counter[str]) -> list[str]:
    return _table(("what", "times"), [(name, f"{count:,}") for name, count in counter.most_common()])


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]
