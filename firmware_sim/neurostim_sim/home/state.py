"""What the device keeps of a release across resets: the release, the powered time it has used, and lockouts.

Powered time is what the device's clocks have counted since the release was committed. What a reset may have
swallowed is added at boot, so a release never lasts longer than it was given.
"""

from __future__ import annotations

from typing import Any, Final

from neurostim.wire.messages import NO_SLOT
from neurostim_sim.clock import DeviceClock
from neurostim_sim.home.release import Release
from neurostim_sim.records import Memory
from neurostim_sim.store import Edited, Replaced

SECTION: Final = "home"
CHECKPOINT_NS: Final = 60_000_000_000
"""While released, counters and powered time are made durable this often [ns]."""
LOST_US: Final = CHECKPOINT_NS // 1000
"""Powered time that a reset may have swallowed, at most [us]."""
_US: Final = 1_000
_FRESH: Final[dict[str, Any]] = {
    "active": False,
    "expired": False,
    "release": None,
    "sha256": "",
    "number": 0,
    "spent_us": 0,
    "chosen": NO_SLOT,
    "starts": (),
    "locked_us": 0,
    "signalled": (),
    "measured_us": None,
    "floor": 1,
    "base": (),
    "usage_from": 1,
    "open": None,
}


class HomeState:
    """The kept document of one boot, changed in place; whoever saves the memory saves it.

    Parameters
    ----------
    memory : Memory
    clock : DeviceClock
    """

    def __init__(self, memory: Memory, clock: DeviceClock) -> None:
        self._clock = clock
        held = memory.extra.get(SECTION, {})
        self.kept = Edited({**_FRESH, **held})
        memory.extra[SECTION] = self.kept
        # Nothing in it changes in place, so what stays need not be encoded again.
        self.kept["base"] = tuple(map(tuple, self.kept["base"]))
        self.kept["starts"] = tuple(self.kept["starts"])
        self.kept["signalled"] = tuple(self.kept["signalled"])
        if self.kept["open"] is not None:
            self.kept["open"] = Replaced(self.kept["open"])
        self.release: Release | None = None
        if self.kept["release"] is not None:
            self.kept["release"] = Replaced(self.kept["release"])
            self.release = Release.from_document(self.kept["release"])
        self._spent_us: int = self.kept["spent_us"]
        if self.active:
            # The time since the last checkpoint is unknown: all of it may have passed.
            self._spent_us += LOST_US
            # It brings the end of the release nearer, and makes neither starts nor a lockout older.
            starts: tuple[int, ...] = self.kept["starts"]
            locked_us = self.kept["locked_us"]
            self.kept.update(
                spent_us=self._spent_us,
                starts=tuple(at + LOST_US for at in starts),
                locked_us=locked_us and locked_us + LOST_US,
            )

    @property
    def active(self) -> bool:
        """Whether the device is in autonomous mode, be it expired."""
        return bool(self.kept["active"])

    @property
    def expired(self) -> bool:
        """Whether the release has ended by time, or because its use could no longer be recorded."""
        return bool(self.kept["expired"])

    @property
    def powered_us(self) -> int:
        """Powered time since the release was committed [us]."""
        return self._spent_us + self._clock.now_us

    @property
    def left_us(self) -> int:
        """Powered time until the release ends [us]."""
        if self.release is None or not self.active or self.expired:
            return 0
        return max(0, self.release.expires_s * 1_000_000 - self.powered_us)

    @property
    def locked_us(self) -> int:
        """Time for which starts are still locked [us]."""
        return max(0, self.kept["locked_us"] - self.powered_us) if self.active else 0

    def device_ns_of(self, powered_us: int) -> int:
        """The device's own time [ns since boot] at which so much powered time has passed."""
        return (powered_us - self._spent_us) * _US

    def begin(self, release: Release, digest: bytes) -> None:
        """A release was committed at this moment."""
        self.release = release
        self._spent_us = -self._clock.now_us
        self.kept.update(
            active=True,
            expired=False,
            release=Replaced(release.document()),
            sha256=digest.hex(),
            number=release.number,
            spent_us=0,
            chosen=release.programs[0].slot,
            starts=(),
            locked_us=0,
            signalled=(),
            measured_us=None,
            open=None,
        )

    def end(self) -> None:
        """The device was taken back."""
        self.kept.update(active=False, chosen=NO_SLOT, starts=(), locked_us=0, signalled=(), open=None)

    def checkpoint(self) -> None:
        """Bring the powered time up to date; durable with the next save."""
        if self.active:
            self.kept["spent_us"] = self.powered_us

    def erase(self, floor: int) -> None:
        """Forget the release, and every usage record below an index, when the device changes hands."""
        number = self.kept["number"]
        self.kept.update(_FRESH)
        self.kept.update(number=number, floor=floor, usage_from=floor)
        self.release = None
