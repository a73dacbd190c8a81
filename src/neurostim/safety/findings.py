"""What a rule says: one finding a place, with its value, every tier and how far away each is."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from neurostim.safety.limits import TIERS, Bound, EffectiveLimit, describe
from neurostim.safety.measures import Measure, State, Unknown

RANGE_SUFFIX: Final = "-RANGE"


class Severity(enum.IntEnum):
    """How much a finding weighs; a warning needs a written reason, a refusal cannot be overruled."""

    PASS = 0
    NOTE = 1
    WARN = 2
    REFUSE = 3

    @property
    def word(self) -> str:
        """The word for people and files."""
        return self.name.lower()


_SEVERITY: Final = {"note": Severity.NOTE, "warn": Severity.WARN, "refuse": Severity.REFUSE}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found at one place.

    Attributes
    ----------
    code : str
        Stable code of the rule; with ``-RANGE`` where the patient's range is judged, not the setting.
    severity : Severity
    place : str
        Where, such as ``area[1].contacts.3``.
    measure : Measure
        What was compared, exact.
    effective : EffectiveLimit
        The limit it was compared with, with layer and reason of each tier.
    detail : str
        What a reader needs beside the numbers, such as the amplitude at which a range fires.
    """

    code: str
    severity: Severity
    place: str
    measure: Measure
    effective: EffectiveLimit
    detail: str = ""

    @property
    def title(self) -> str:
        """What the rule is about."""
        return self.effective.row.title

    @property
    def value(self) -> Fraction | None:
        """The value in ``unit``; None for states and values that could not be computed."""
        return self.measure.shown(self.effective.row.kind)

    @property
    def unit(self) -> str:
        """The unit of ``value`` and ``limit``."""
        return self.effective.row.kind.shown

    @property
    def bound(self) -> Bound | None:
        """The tier that fired, else the one that is nearest."""
        if self.severity is not Severity.PASS:
            return self.effective.tier(self.severity.word)
        bounds = [bound for bound in map(self.effective.tier, TIERS) if bound]
        return min(bounds, key=self._headroom, default=None)

    def headroom(self) -> int:
        """A whole number that grows with the distance to the nearest tier, to order passes of a rule by."""
        bound = self.bound
        return 0 if bound is None else self._headroom(bound)

    def _headroom(self, bound: Bound) -> int:
        if self.effective.row.fires in ("state", "outside"):
            return 0
        room = self.measure.headroom(bound.value)
        return -room if self.effective.row.fires == "below" else room

    @property
    def limit(self) -> Fraction | None:
        """The limit that fired or would fire first, in ``unit``; None for states and bands."""
        bound = self.bound
        if bound is None or self.effective.row.fires in ("state", "outside"):
            return None
        return self.effective.row.kind.to_shown(bound.value)

    @property
    def limit_text(self) -> str:
        """That limit for people, bands included."""
        return "" if self.bound is None else describe(self.effective.row, self.bound)

    @property
    def margins(self) -> Mapping[str, Fraction]:
        """Headroom to each tier in percent of its limit; negative where it fired."""
        if self.effective.row.fires in ("state", "outside"):
            return {}
        sign = -1 if self.effective.row.fires == "below" else 1
        found = {}
        for tier in TIERS:
            bound = self.effective.tier(tier)
            margin = None if bound is None else self.measure.margin(bound.value)
            if margin is not None:
                found[tier] = sign * margin
        return found

    @property
    def margin(self) -> Fraction | None:
        """Headroom to ``limit`` in percent of it."""
        tiers = self.margins
        if self.severity is not Severity.PASS:
            return tiers.get(self.severity.word)
        return min(tiers.values(), default=None)

    @property
    def source(self) -> str:
        """Where the rule comes from."""
        return self.effective.row.source

    @property
    def conditions(self) -> str:
        """Under which conditions the rule is valid."""
        return self.effective.row.conditions

    @property
    def layer(self) -> str:
        """The layer that set ``limit``: base, port, lead, device or subject."""
        return "" if self.bound is None else self.bound.layer

    @property
    def reason(self) -> str:
        """Why that layer set it."""
        return "" if self.bound is None else self.bound.reason

    @property
    def message(self) -> str:
        """One sentence for people."""
        if isinstance(self.measure, State):
            text = f"{self.title} at {self.place}: {'no' if self.measure.violated else 'yes'}"
            return f"{text}; {self.detail}" if self.detail else text
        parts = [self.title, f"at {self.place}"]
        if isinstance(self.measure, Unknown):
            parts.append(f"is unknown ({self.measure.why})")
        elif self.value is not None:
            parts.append(f"is {figure(self.value)} {self.unit}".rstrip())
        if self.limit_text:
            parts.append(
                f"({self.severity.word}: {self.effective.row.fires} {self.limit_text}, {self.layer})"
            )
        text = " ".join(parts)
        return f"{text}; {self.detail}" if self.detail else text

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; numbers as floats for display only."""
        return {
            "code": self.code,
            "severity": self.severity.word,
            "place": self.place,
            "title": self.title,
            "value": None if self.value is None else float(self.value),
            "unit": self.unit,
            "limit": self.limit_text,
            "layer": self.layer,
            "reason": self.reason,
            "margins_percent": {tier: round(float(value), 2) for tier, value in self.margins.items()},
            "source": self.source,
            "conditions": self.conditions,
            "message": self.message,
        }


def figure(value: Fraction) -> str:
    """A number for people: four figures, and never an exponent."""
    text = f"{float(value):.4g}"
    return f"{float(value):.0f}" if "e+" in text else text


def judge(
    effective: EffectiveLimit, place: str, measure: Measure, *, code: str = "", detail: str = ""
) -> Finding:
    """Compare a measure with every tier; the most severe that fires counts."""
    fired = Severity.PASS
    for tier in TIERS:
        bound = effective.tier(tier)
        if bound is not None and measure.fires(effective.row.fires, bound.value, bound.bands):
            fired = max(fired, _SEVERITY[tier])
    return Finding(code or effective.row.code, fired, place, measure, effective, detail)


def worst(findings: list[Finding]) -> list[Finding]:
    """Every finding that is no pass; where all pass, the one with the least headroom.

    Codes are kept apart, so that a setting and its range each have their line.
    """
    kept: list[Finding] = []
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    for group in by_code.values():
        firing = [finding for finding in group if finding.severity is not Severity.PASS]
        kept.extend(firing or [min(group, key=Finding.headroom) if len(group) > 1 else group[0]])
    return kept
