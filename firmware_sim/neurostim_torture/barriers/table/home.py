"""A released device, alone with its patient."""

from __future__ import annotations

from typing import Final

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut
from neurostim_torture.barriers.scenes.at_home import (
    AtHome,
    cycling_patient,
    greedy_patient,
    host_at_home,
    lost_at_home,
    one_start,
)

HOME: Final = "neurostim_sim.home"

BARRIERS: Final[tuple[Barrier, ...]] = (
    Barrier(
        "patient's range",
        "device",
        "an amplitude that nobody released",
        (
            Cut(f"{HOME}.mode:Home._step", "if not 0 <= level <= running.program.top:", "if level < 0:"),
            Cut(
                f"{HOME}.release:ReleasedProgram.amplitudes",
                "min(one.max_na, one.min_na + level * one.step_na)",
                "one.min_na + level * one.step_na",
            ),
        ),
        AtHome(greedy_patient),
        2,
        (),
        ("approved-range",),
    ),
    Barrier(
        "start lockout",
        "device",
        "extreme cycling by a stuck or played-with button",
        (Cut(f"{HOME}.mode:Home._start", "if seconds:", "if False:"),),
        AtHome(cycling_patient, lasts_s=24),
        2,
        (),
        ("no-cycling",),
    ),
    Barrier(
        "off after a reset at home",
        "device",
        "output that resumes by itself after a reset or a change of battery",
        (
            Cut(
                f"{HOME}.mode:Home.begin",
                "self._tell(UsageKind.BOOT, count=self._memory.boot_count)",
                "self._tell(UsageKind.BOOT, count=self._memory.boot_count)\n    self._start()",
            ),
        ),
        AtHome(lost_at_home),
        2,
        (),
        ("patient-starts",),
    ),
    Barrier(
        "end of a release",
        "device",
        "a release that never expires",
        (
            Cut(f"{HOME}.state:HomeState.left_us", "expires_s * 1_000_000", "expires_s * 1_000_000_000"),
            Cut(f"{HOME}.mode:Home.due", "expires_s * 1_000_000", "expires_s * 1_000_000_000"),
        ),
        AtHome(one_start, expires_s=5),
        2,
        (),
        ("inside-the-release",),
    ),
    Barrier(
        "hosts at home",
        "device",
        "a host that changes a released device without taking it back",
        (Cut(f"{HOME}.mode:Home.refuse", "if self.autonomous and not", "if False and not"),),
        AtHome(host_at_home),
        2,
        (),
        ("hosts-change-nothing-at-home",),
    ),
)
