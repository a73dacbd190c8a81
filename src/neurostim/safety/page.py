"""The page of all rules for readers, written from the same data the gate judges with.

``python -m neurostim.safety.page`` writes ``docs/safety/rules.md``; a test keeps the two in step.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from neurostim.core.hardware import PortKind
from neurostim.safety.findings import RANGE_SUFFIX
from neurostim.safety.limits import TIERS, Bound, LimitData, RuleRow, describe, packaged

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "safety" / "rules.md"

_HEAD: Final = """# Safety rules

Generated from `src/neurostim/safety/limits.toml` by `python -m neurostim.safety.page`; do not edit here.
SHA-256 of that file, pinned in the code: `{sha256}`.

**For research use. Tiers without a published figure are engineering judgement (grade C), shown as such.**

- Every rule is one function and one row of data; `check` applies all of them and shows them side by side with
  their margin, those that pass too. Nothing is clamped: a program is delivered as judged, or not at all.
- *note* is shown, *warn* needs a written reason for its code, *refuse* cannot be overruled.
- Limits only tighten: base, then output port, class of lead, device, subject. The tightest holds and keeps
  the layer that set it and the reason. A device or subject layer that would loosen a limit is an error.
- Rules marked (R) are judged for the setting and, under the code with `{suffix}`, for every level the range
  of the patient can reach, ramps included; sharing is not monotone in amplitude, so ends alone would not do.
- Rules marked (C) are the charge warnings a programmer gives three times: for the setting, for the range,
  for each saved slot.
- Comparisons are exact, in integers. What comes from the contact circuit is rounded away from zero first.
- Grades: A read for this project, B textbook knowledge not read again, C engineering judgement.

"""


def rules_page(data: LimitData | None = None) -> str:
    """The page as Markdown text."""
    known = data or packaged()
    lines = [_HEAD.format(sha256=known.sha256, suffix=RANGE_SUFFIX)]
    lines.append("| Rule | What is judged | Scope | Limits | Source (grade) | Conditions of validity |")
    lines.append("|---|---|---|---|---|---|")
    lines.extend(_row(row) for row in known.rules.values())
    lines.append("\n## Which lead belongs on which port\n")
    lines.append("| Port | Classes of lead |")
    lines.append("|---|---|")
    for port, classes in known.accepts.items():
        lines.append(f"| {port.name.lower()} | {', '.join(sorted(one.value for one in classes))} |")
    return "\n".join(lines) + "\n"


def _row(row: RuleRow) -> str:
    marks = "".join(mark for mark, holds in ((" (R)", row.reach), (" (C)", row.charge)) if holds)
    ports = "" if len(row.ports) == len(PortKind) else f" Ports: {_names(row)}."
    cells = [
        f"`{row.code}`{marks}",
        f"**{row.title}.** {row.formula}.{ports}",
        row.scope,
        _limits(row),
        f"{row.source} ({row.grade})",
        row.conditions,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _names(row: RuleRow) -> str:
    return ", ".join(port.name.lower() for port in row.ports)


def _limits(row: RuleRow) -> str:
    parts = [_tiers(row, row.tiers)] if row.tiers else []
    parts += [f"{port.name.lower()}: {_tiers(row, group)}" for port, group in row.port.items()]
    parts += [f"{lead.value} lead: {_tiers(row, group)}" for lead, group in row.lead.items()]
    return "<br>".join(parts)


def _tiers(row: RuleRow, group: Mapping[str, Bound]) -> str:
    if row.fires == "state":
        return ", ".join(f"{tier} where it does not hold" for tier in TIERS if tier in group)
    return ", ".join(f"{tier} {row.fires} {describe(row, group[tier])}" for tier in TIERS if tier in group)


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(rules_page(), encoding="utf-8")
