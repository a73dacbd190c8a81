"""The device's own limits, where a host has lost its gate."""

from __future__ import annotations

from typing import Final

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut
from neurostim_torture.barriers.scenes.unjudged import Unjudged

STARTING: Final = "neurostim_sim.commands.starting"
LOADING: Final = "neurostim_sim.commands.loading"

BARRIERS: Final[tuple[Barrier, ...]] = (
    Barrier(
        "device limits at loading",
        "device",
        "over-amplitude or charge from a slip of units, in a host without a gate",
        (Cut(f"{LOADING}:_load_commit", "within_limits(device, image, request.ranges)", "pass"),),
        Unjudged(),
        1,
        ("device limits at arming",),
        ("contact-current",),
    ),
    Barrier(
        "device limits at arming",
        "device",
        "over-amplitude or charge from a slip of units, in a host without a gate",
        (Cut(f"{STARTING}:_arm", "within_limits(device, image, slot.ranges)", "pass"),),
        Unjudged(),
        1,
        ("device limits at loading",),
        ("contact-current",),
    ),
)
