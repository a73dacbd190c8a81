"""The judge's findings: named verdicts, each with its count, its worst deviation and its first place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from neurostim.core.units import format_time


@dataclass(frozen=True, slots=True)
class Place:
    """Where a deviation was first seen: time [ns], and contact, area, unit and pulse where they are known."""

    at_ns: int | None = None
    contact: str = ""
    area: int | None = None
    unit: int | None = None
    pulse: int | None = None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As plain data; unknown parts are left out."""
        parts = {
            "at_ns": self.at_ns,
            "contact": self.contact or None,
            "area": self.area,
            "unit": self.unit,
            "pulse": self.pulse,
            "note": self.note or None,
        }
        return {key: value for key, value in parts.items() if value is not None}

    def __str__(self) -> str:
        parts = []
        if self.at_ns is not None:
            parts.append(f"at {format_time(self.at_ns)}")
        if self.area is not None:
            parts.append(f"area {self.area + 1}")
        if self.unit is not None:
            parts.append(f"unit {self.unit}")
        if self.pulse is not None:
            parts.append(f"pulse {self.pulse}")
        if self.contact:
            parts.append(f"contact {self.contact}")
        text = ", ".join(parts)
        return f"{text}: {self.note}" if text and self.note else text or self.note


@dataclass(frozen=True, slots=True)
class Check:
    """One verdict.

    Attributes
    ----------
    name, title : str
        Stable identifier, and what it says to a reader.
    judged : int
        How many things were looked at.
    failed : int
        How many of them deviate; the check passes at zero.
    worst : int
        Largest deviation in ``unit``, with its sign.
    unit : str
        ticks, nA, aC ...
    first : Place or None
        The first deviation in time.
    """

    name: str
    title: str
    judged: int
    failed: int
    worst: int
    unit: str
    first: Place | None

    @property
    def passed(self) -> bool:
        """Whether nothing deviates."""
        return self.failed == 0

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "passed": self.passed,
            "judged": self.judged,
            "failed": self.failed,
            "worst": self.worst,
            "unit": self.unit,
            "first": None if self.first is None else self.first.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class ClockFit:
    """Clock of the device against a free observer: device time = (observed - offset) x (1 + ppm / 10^6).

    So a positive error means that the device's clock runs fast.
    """

    offset_ns: float
    ppm: float
    pulses: int
    spread_ns: float
    tolerance_ticks: int

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "offset_ns": self.offset_ns,
            "ppm": self.ppm,
            "pulses": self.pulses,
            "spread_ns": self.spread_ns,
            "tolerance_ticks": self.tolerance_ticks,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """The judgement of one record."""

    program: str
    rows: int
    time_base: str
    begin_ns: int
    end_ns: int
    tick_ns: int
    step_na: int
    image_sha256: str
    checks: tuple[Check, ...]
    clock: ClockFit | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def conforms(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)

    @property
    def failures(self) -> tuple[str, ...]:
        """Names of the checks that failed, in the order of the report."""
        return tuple(check.name for check in self.checks if not check.passed)

    def check(self, name: str) -> Check:
        """The verdict of one check.

        Raises
        ------
        KeyError
            Where no check has that name.
        """
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """As plain data for JSON."""
        return {
            "format": "neurostim-conformance/1",
            "conforms": self.conforms,
            "failures": list(self.failures),
            "program": self.program,
            "rows": self.rows,
            "time_base": self.time_base,
            "begin_ns": self.begin_ns,
            "end_ns": self.end_ns,
            "tick_ns": self.tick_ns,
            "step_na": self.step_na,
            "image_sha256": self.image_sha256,
            "clock": None if self.clock is None else self.clock.to_dict(),
            "checks": [check.to_dict() for check in self.checks],
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """One page for a reader."""
        verdict = "CONFORMS" if self.conforms else "DOES NOT CONFORM"
        lines = [
            f"{verdict}: {self.program or 'program without a name'}",
            f"{self.rows} rows, {format_time(self.begin_ns)} to {format_time(self.end_ns)}, "
            f"tick {self.tick_ns} ns, step {self.step_na} nA, time base {self.time_base}",
        ]
        if self.image_sha256:
            lines.append(f"image {self.image_sha256}")
        if self.clock is not None:
            lines.append(
                f"clock: {self.clock.ppm:+.3f} ppm (positive runs fast), "
                f"offset {self.clock.offset_ns:.0f} ns, "
                f"{self.clock.pulses} pulses, residual spread {self.clock.spread_ns:.0f} ns; "
                f"onsets and widths within {self.clock.tolerance_ticks} tick of this fit pass"
            )
        lines.append("")
        width = max((len(check.name) for check in self.checks), default=0)
        for check in self.checks:
            mark = "ok  " if check.passed else "FAIL"
            if not check.passed:
                detail = f"{check.failed} of {check.judged} deviate"
                if check.unit:
                    detail += f", worst {check.worst:+d} {check.unit}"
            elif check.judged:
                detail = f"{check.judged} judged"
            else:
                detail = "nothing to judge"
            lines.append(f"{mark} {check.name:<{width}}  {check.title}: {detail}")
            if check.first is not None:
                lines.append(f"     {'':<{width}}  first {check.first}")
        lines += ["", *self.notes] if self.notes else []
        return "\n".join(lines)
