"""The digest of a release: laid out by hand, and moved by every part of it."""

import hashlib
import struct
from dataclasses import replace

import pytest

from neurostim.wire.messages import RangeOfArea
from neurostim.wire.release import Release, ReleaseSlot

SLOT = ReleaseSlot(1, "Walking", bytes(range(32)), bytes(range(32, 64)), (RangeOfArea(0, 5, 15, 5),))
RELEASE = Release("S-014", 604_800, False, (SLOT,))


def test_the_digest_is_that_of_the_bytes_the_specification_lays_out():
    laid_out = b"neurostim release 1\0" + b"S-014".ljust(32, b"\0") + struct.pack("<IBB", 604_800, 0, 1)
    laid_out += b"\x01" + b"Walking".ljust(16, b"\0") + bytes(range(64)) + b"\x01"
    laid_out += struct.pack("<BIII", 0, 5, 15, 5)
    assert RELEASE.digest() == hashlib.sha256(laid_out).digest()


@pytest.mark.hazard("home-tamper")
@pytest.mark.parametrize(
    "other",
    [
        replace(RELEASE, subject="S-015"),
        replace(RELEASE, expires_s=604_801),
        replace(RELEASE, corridor=True),
        replace(RELEASE, slots=()),
        replace(RELEASE, slots=(SLOT, SLOT)),
        *(
            replace(RELEASE, slots=(replace(SLOT, **change),))
            for change in (
                {"slot": 2},
                {"name": "Resting"},
                {"image_sha256": bytes(32)},
                {"approval_sha256": bytes(32)},
                {"ranges": ()},
                {"ranges": (RangeOfArea(0, 5, 20, 5),)},
                {"ranges": (RangeOfArea(0, 0, 15, 5),)},
            )
        ),
    ],
)
def test_every_part_moves_the_digest(other):
    assert other.digest() != RELEASE.digest()
