"""The approved program: the only thing a device is given, made by `approve` alone.

Its digest binds the image, every range, the limits judged with and each acknowledged warning with its
reason. The encoding is canonical, so that any side can compute the digest again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NoReturn, final

from neurostim.core.errors import ConfigError, Problem, SafetyError
from neurostim.core.image import ProgramImage
from neurostim.safety.context import AmplitudeRange
from neurostim.safety.findings import RANGE_SUFFIX
from neurostim.safety.limits import REASON_WORDS, is_reason, packaged
from neurostim.safety.verdict import Verdict, canonical, judge_case
from neurostim.wire.image import encode_image, image_digest

APPROVAL_FORMAT: Final = "neurostim-approval/1"
_SEAL: Final = object()


def approval_digest(
    image_sha256: bytes,
    ranges: Sequence[AmplitudeRange],
    limits_sha256: bytes,
    acknowledged: Mapping[str, str],
) -> bytes:
    """SHA-256 that an approval is known by.

    Taken over JSON in ASCII without spaces, keys sorted, with exactly these members: ``acknowledged``, a
    list of ``[code, reason]`` sorted by code; ``format``, ``"neurostim-approval/1"``; ``image_sha256`` and
    ``limits_sha256`` in lower-case hexadecimal; ``ranges``, a list of ``[area, min_na, max_na, step_na]`` in
    order of area. Numbers are integers; other characters than ASCII are escaped as JSON does.

    Parameters
    ----------
    image_sha256 : bytes
        SHA-256 over the bytes of the image.
    ranges : sequence of AmplitudeRange
        One an area.
    limits_sha256 : bytes
        Digest of the limits the program was judged with.
    acknowledged : mapping of str to str
        Code of each acknowledged warning and the reason given.

    Returns
    -------
    bytes
        32 bytes.
    """
    content = {
        "format": APPROVAL_FORMAT,
        "image_sha256": image_sha256.hex(),
        "ranges": [[one.area, one.min_na, one.max_na, one.step_na] for one in ranges],
        "limits_sha256": limits_sha256.hex(),
        "acknowledged": [[code, acknowledged[code]] for code in sorted(acknowledged)],
    }
    return hashlib.sha256(canonical(content)).digest()


@final
class ApprovedProgram:
    """A program that passed the gate. Cannot be constructed, copied or unpickled; see `approve`.

    Attributes
    ----------
    image : ProgramImage
    image_bytes : bytes
        What the device is loaded with.
    image_sha256, approval_sha256, limits_sha256 : bytes
        32 bytes each.
    ranges : tuple of AmplitudeRange
        What may be reached in each area, all of it judged.
    acknowledged : mapping of str to str
        The warnings accepted, each with its reason.
    """

    __slots__ = (
        "_seal",
        "acknowledged",
        "approval_sha256",
        "image",
        "image_bytes",
        "image_sha256",
        "limits_sha256",
        "ranges",
    )

    _seal: object
    image: ProgramImage
    image_bytes: bytes
    image_sha256: bytes
    approval_sha256: bytes
    limits_sha256: bytes
    ranges: tuple[AmplitudeRange, ...]
    acknowledged: Mapping[str, str]

    def __init__(self, *_: object, **__: object) -> None:
        _refuse("an ApprovedProgram is made by approving a verdict, not by calling its class")

    def __setattr__(self, name: str, value: object) -> None:
        _refuse(f"an ApprovedProgram cannot be changed ({name})")

    def __delattr__(self, name: str) -> None:
        _refuse(f"an ApprovedProgram cannot be changed ({name})")

    def __reduce__(self) -> NoReturn:
        _refuse("an ApprovedProgram cannot be copied or stored; approve the program again")

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        _refuse("an ApprovedProgram cannot be copied or stored; approve the program again")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ApprovedProgram) and self.approval_sha256 == other.approval_sha256

    def __hash__(self) -> int:
        return hash(self.approval_sha256)

    def __repr__(self) -> str:
        return f"<ApprovedProgram {self.approval_sha256.hex()[:12]} of image {self.image_sha256.hex()[:12]}>"

    def verify(self) -> None:
        """Compute everything again from the image; for whoever is about to use it.

        Raises
        ------
        SafetyError
            Where this is no sealed approval or its parts do not belong together.
        """
        try:
            sealed = self._seal is _SEAL
            data = encode_image(self.image)
            holds = (
                data == self.image_bytes
                and image_digest(data) == self.image_sha256
                and self.approval_sha256
                == approval_digest(self.image_sha256, self.ranges, self.limits_sha256, self.acknowledged)
            )
        except AttributeError:
            sealed = holds = False
        if not (sealed and holds):
            _refuse("this is no approval made by the gate")


def approve(verdict: Verdict, acknowledged: Mapping[str, str] | None = None) -> ApprovedProgram:
    """Turn a verdict into the one thing a device accepts.

    The case is judged again from its inputs: a verdict is never taken at its word.

    Parameters
    ----------
    verdict : Verdict
        From `neurostim.safety.gate.check`.
    acknowledged : mapping of str to str
        For the code of each warning a written reason. Codes that did not warn are not recorded.

    Returns
    -------
    ApprovedProgram

    Raises
    ------
    SafetyError
        Where a rule refuses (code ``refused``), a warning has no reason (``unacknowledged``) or the
        verdict is not what its case gives (``not-approved``).
    ConfigError
        For a code that no rule has, or a reason that says nothing.
    """
    given = dict(acknowledged or {})
    fresh = judge_case(verdict.case)
    if fresh.findings != verdict.findings:
        _refuse("the verdict is not what the gate finds for this case")
    if fresh.refused:
        raise SafetyError(
            "the safety gate refuses this program: " + "; ".join(one.message for one in fresh.refused),
            rules=dict.fromkeys(one.code for one in fresh.refused),
            remedy="Change the program; a refusal cannot be acknowledged.",
            code="refused",
        )
    _check_reasons(given)
    missing = [code for code in fresh.to_acknowledge if code not in given]
    if missing:
        raise SafetyError(
            f"warnings without a written reason: {', '.join(missing)}",
            rules=missing,
            allowed=f"{REASON_WORDS} for each",
            remedy="Read each warning and give the reason why this program is acceptable.",
            code="unacknowledged",
        )
    image_bytes = encode_image(fresh.case.schedule.image)
    image_sha256 = image_digest(image_bytes)
    reasons = MappingProxyType({code: given[code].strip() for code in fresh.to_acknowledge})
    values = {
        "_seal": _SEAL,
        "image": fresh.case.schedule.image,
        "image_bytes": image_bytes,
        "image_sha256": image_sha256,
        "limits_sha256": fresh.limits_sha256,
        "ranges": fresh.case.ranges,
        "acknowledged": reasons,
        "approval_sha256": approval_digest(image_sha256, fresh.case.ranges, fresh.limits_sha256, reasons),
    }
    approved = object.__new__(ApprovedProgram)
    for name, value in values.items():
        object.__setattr__(approved, name, value)
    return approved


def _check_reasons(given: Mapping[str, str]) -> None:
    known = packaged().rules
    problems = []
    for code, reason in given.items():
        if code not in known and code.removesuffix(RANGE_SUFFIX) not in known:
            problems.append(Problem("acknowledged", repr(code), "the code of a warning"))
        elif not is_reason(reason):
            problems.append(Problem(f"acknowledged.{code}", repr(reason), REASON_WORDS))
    if problems:
        raise ConfigError("the acknowledgements are wrong", problems=problems, code="acknowledged")


def _refuse(message: str) -> NoReturn:
    raise SafetyError(
        message, allowed="neurostim.safety.gate.approve(verdict, acknowledged)", code="not-approved"
    )
