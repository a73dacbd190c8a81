"""What is released for use at home: programs in verified slots, the patient's ranges, and an end.

The device describes and checks a release itself; its digest is computed here, from what the device stored.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from neurostim.core.errors import ProtocolError
from neurostim.core.image import ProgramImage
from neurostim.wire.image import decode_image
from neurostim.wire.messages import CORRIDOR_S, RELEASE_MAX_S, ErrorCode, RangeOfArea
from neurostim_sim.limits import breaches
from neurostim_sim.profiles import Profile
from neurostim_sim.records import Slot
from neurostim_sim.sessions import Refusal

LEAST_RAMP_NS: Final = 2_000_000_000
"""A patient's start rises for at least this long (safety facts: default ramp 2 s)."""
SUBJECT_BYTES: Final = 32
NAME_BYTES: Final = 16
_PREFIX: Final = b"neurostim release 1\0"
_RANGE: Final = struct.Struct("<BIII")


@dataclass
class ReleasedProgram:
    """One program of a release; ``ranges`` are the patient's own, empty until they are stated."""

    slot: int
    name: str
    image_sha256: bytes
    approval_sha256: bytes
    ranges: tuple[RangeOfArea, ...] = ()

    @property
    def top(self) -> int:
        """Highest level: steps from the lowest amplitudes to where every area is at its highest."""
        return max((one.max_na - one.min_na) // one.step_na for one in self.ranges)

    def amplitudes(self, level: int) -> list[int]:
        """Amplitude of each area at a level [nA]: one step more a level, until the area's own maximum."""
        return [min(one.max_na, one.min_na + level * one.step_na) for one in self.ranges]


@dataclass
class Release:
    """A release, as it is described and then kept."""

    number: int
    subject: str
    expires_s: int
    corridor: bool
    wall_s: int
    programs: list[ReleasedProgram] = field(default_factory=list)

    def program_of(self, slot: int) -> ReleasedProgram | None:
        """The program in a slot, where it is released."""
        return next((one for one in self.programs if one.slot == slot), None)

    def digest(self) -> bytes:
        """SHA-256 over the release (specification, section 15)."""
        head = struct.pack("<IBB", self.expires_s, self.corridor, len(self.programs))
        parts = [_PREFIX, self.subject.encode("ascii").ljust(SUBJECT_BYTES, b"\0"), head]
        for one in self.programs:
            parts.append(bytes([one.slot]) + one.name.encode("ascii").ljust(NAME_BYTES, b"\0"))
            parts.append(one.image_sha256 + one.approval_sha256 + bytes([len(one.ranges)]))
            parts += [_RANGE.pack(r.area, r.min_na, r.max_na, r.step_na) for r in one.ranges]
        return hashlib.sha256(b"".join(parts)).digest()

    def document(self) -> dict[str, Any]:
        """As the memory keeps it."""
        return {
            "number": self.number,
            "subject": self.subject,
            "expires_s": self.expires_s,
            "corridor": self.corridor,
            "wall_s": self.wall_s,
            "programs": [
                {
                    "slot": one.slot,
                    "name": one.name,
                    "image": one.image_sha256.hex(),
                    "approval": one.approval_sha256.hex(),
                    "ranges": [[r.area, r.min_na, r.max_na, r.step_na] for r in one.ranges],
                }
                for one in self.programs
            ],
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Release:
        """As it was kept."""
        programs = [
            ReleasedProgram(
                one["slot"],
                one["name"],
                bytes.fromhex(one["image"]),
                bytes.fromhex(one["approval"]),
                tuple(RangeOfArea(*values) for values in one["ranges"]),
            )
            for one in document["programs"]
        ]
        return cls(
            document["number"],
            document["subject"],
            document["expires_s"],
            document["corridor"],
            document["wall_s"],
            programs,
        )


def require_end(expires_s: int, *, corridor: bool) -> None:
    """Refuse a release that would not end, or not soon enough.

    Raises
    ------
    Refusal
    """
    most = CORRIDOR_S if corridor else RELEASE_MAX_S
    if not 0 < expires_s <= most:
        raise Refusal(ErrorCode.EXPIRY, most)


def verified(slot: Slot, image_sha256: bytes, approval_sha256: bytes) -> ProgramImage:
    """The program of a slot, its digest computed now over the stored bytes.

    Raises
    ------
    Refusal
        Where it is not committed, not the one named, or not approved under that approval.
    """
    if not slot.committed:
        raise Refusal(ErrorCode.SLOT_NOT_COMMITTED)
    if not hashlib.sha256(slot.data).digest() == slot.digest == image_sha256:
        raise Refusal(ErrorCode.DIGEST_MISMATCH)
    if slot.approval != approval_sha256:
        raise Refusal(ErrorCode.APPROVAL_MISMATCH)
    return decode_image(slot.data)


def require_for_home(image: ProgramImage) -> None:
    """Refuse a program that no patient may start alone: a ramp that is too short, or one for the bench.

    Raises
    ------
    Refusal
    """
    if image.bench:
        raise Refusal(ErrorCode.DEVICE_LIMIT, 0, "a bench program does not go home")
    if any(area.ramp_up_ns < LEAST_RAMP_NS for area in image.areas):
        raise Refusal(ErrorCode.DEVICE_LIMIT, LEAST_RAMP_NS // 1_000_000, "at home a start rises for 2 s")


def require_ranges(image: ProgramImage, held: Slot, ranges: Sequence[RangeOfArea], profile: Profile) -> None:
    """Prove the patient's ranges: inside what was approved, on its steps, and every step within hard limits.

    Raises
    ------
    Refusal
    """
    if [one.area for one in ranges] != list(range(len(image.areas))):
        raise Refusal(ErrorCode.BAD_AREA)
    for own, approved in zip(ranges, held.ranges, strict=True):
        inside = approved.min_na <= own.min_na <= own.max_na <= approved.max_na
        on_steps = (own.min_na - approved.min_na) % approved.step_na == 0
        whole = (own.max_na - own.min_na) % approved.step_na == 0
        if not (inside and on_steps and whole):
            raise Refusal(ErrorCode.AMPLITUDE_RANGE, own.area)
        if own.step_na != approved.step_na:
            raise Refusal(ErrorCode.AMPLITUDE_STEP, approved.step_na)
    found = breaches(image, ranges, profile)
    if found:
        raise Refusal(ErrorCode.DEVICE_LIMIT, found[0].limit, found[0].what)


def still_proven(program: ReleasedProgram, held: Slot, profile: Profile) -> bool:
    """Whether all that was proven of a program at its release holds still: the test before each start."""
    try:
        image = verified(held, program.image_sha256, program.approval_sha256)
        require_for_home(image)
        require_ranges(image, held, program.ranges, profile)
    except (Refusal, ProtocolError):
        return False
    return True
