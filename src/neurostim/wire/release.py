"""A release for use at home, and the one digest that host and device compute over it."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from neurostim.wire.messages import RangeOfArea

SUBJECT_BYTES: Final = 32
NAME_BYTES: Final = 16
_PREFIX: Final = b"neurostim release 1\0"


@dataclass(frozen=True, slots=True)
class ReleaseSlot:
    """One program of a release.

    Attributes
    ----------
    slot : int
        Program slot of the device.
    name : str
        Name for the patient, at most 16 printable ASCII characters.
    image_sha256, approval_sha256 : bytes
        32 bytes each.
    ranges : tuple of RangeOfArea
        What the patient may reach in each area, in order.
    """

    slot: int
    name: str
    image_sha256: bytes
    approval_sha256: bytes
    ranges: tuple[RangeOfArea, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """Everything a patient is sent home with.

    Attributes
    ----------
    subject : str
        Code of the subject the device is assigned to, at most 32 printable ASCII characters.
    expires_s : int
        Powered time after which it ends [s].
    corridor : bool
        Whether it is for the corridor.
    slots : tuple of ReleaseSlot
        In the order in which they were added; the first is the one chosen at the beginning.
    """

    subject: str
    expires_s: int
    corridor: bool
    slots: tuple[ReleaseSlot, ...]

    def digest(self) -> bytes:
        """SHA-256 over the release, as section 15 of the specification lays it out."""
        parts = [
            _PREFIX,
            self.subject.encode("ascii").ljust(SUBJECT_BYTES, b"\0"),
            struct.pack("<IBB", self.expires_s, self.corridor, len(self.slots)),
        ]
        for one in self.slots:
            parts += [
                bytes([one.slot]),
                one.name.encode("ascii").ljust(NAME_BYTES, b"\0"),
                one.image_sha256,
                one.approval_sha256,
                bytes([len(one.ranges)]),
                *(ranged.encode() for ranged in one.ranges),
            ]
        return hashlib.sha256(b"".join(parts)).digest()
