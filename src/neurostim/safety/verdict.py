"""The verdict on a case: every rule applied, side by side."""

from __future__ import annotations

import hashlib
import json
from dataclasses import astuple, dataclass
from functools import cached_property
from typing import Any

from neurostim.core.hardware import Capabilities
from neurostim.core.image import ProgramImage
from neurostim.electrode.library import sites
from neurostim.safety.context import AmplitudeRange, Case, build, require_format, require_integers
from neurostim.safety.findings import Finding, Severity
from neurostim.safety.limits import LimitLayer, packaged
from neurostim.safety.rules import RULES
from neurostim.safety.rules.fit import contacts_exist


@dataclass(frozen=True)
class Verdict:
    """What the gate finds for a case.

    Attributes
    ----------
    case : Case
        What was judged.
    findings : tuple of Finding
        All rules that apply, those that pass too; of passes at many places the closest to its limit.
    limits_sha256 : bytes
        Digest of the limits judged with: packaged data, what the device can do, device and subject layers.
    """

    case: Case
    findings: tuple[Finding, ...]
    limits_sha256: bytes

    @cached_property
    def refused(self) -> tuple[Finding, ...]:
        """The findings that refuse."""
        return tuple(one for one in self.findings if one.severity is Severity.REFUSE)

    @cached_property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that need a written reason."""
        return tuple(one for one in self.findings if one.severity is Severity.WARN)

    @cached_property
    def notes(self) -> tuple[Finding, ...]:
        """The findings that are shown and need nothing."""
        return tuple(one for one in self.findings if one.severity is Severity.NOTE)

    @property
    def to_acknowledge(self) -> tuple[str, ...]:
        """Codes of the warnings, each once, in order."""
        return tuple(dict.fromkeys(one.code for one in self.warnings))

    @property
    def image(self) -> ProgramImage:
        """The image judged."""
        return self.case.schedule.image

    @property
    def ranges(self) -> tuple[AmplitudeRange, ...]:
        """The ranges judged, one an area."""
        return self.case.ranges

    @property
    def severity(self) -> Severity:
        """The heaviest finding."""
        return max((one.severity for one in self.findings), default=Severity.REFUSE)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "severity": self.severity.word,
            "limits_sha256": self.limits_sha256.hex(),
            "to_acknowledge": list(self.to_acknowledge),
            "findings": [one.as_dict() for one in self.findings],
        }


def judge_case(case: Case) -> Verdict:
    """Apply every rule.

    Raises
    ------
    ConfigError
        Where a number is not an integer, the leads cannot be used together, or a limit layer loosens.
    """
    require_integers(case)
    require_format(case)
    digest = limits_digest(case.capabilities, case.device_limits, case.subject_limits)
    findings = contacts_exist(case, frozenset(sites(case.leads)))
    if any(one.severity is Severity.REFUSE for one in findings):
        return Verdict(case, tuple(findings), digest)
    context = build(case)
    for rule in RULES.values():
        findings.extend(rule(context))
    return Verdict(case, tuple(findings), digest)


def limits_digest(
    capabilities: Capabilities, device: LimitLayer | None = None, subject: LimitLayer | None = None
) -> bytes:
    """SHA-256 over everything limits come from, in canonical JSON."""
    content = {
        "format": "neurostim-limit-profile/1",
        "packaged_sha256": packaged().sha256,
        "capabilities": _plain(astuple(capabilities)),
        "device": _plain(astuple(device)) if device else [],
        "subject": _plain(astuple(subject)) if subject else [],
    }
    return hashlib.sha256(canonical(content)).digest()


def canonical(content: object) -> bytes:
    """JSON in ASCII, keys sorted, without spaces; what is not text, integer or list is refused."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
