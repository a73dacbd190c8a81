"""A program that is not, or is no longer, the one approved."""

from __future__ import annotations

from typing import Final

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut
from neurostim_torture.barriers.scenes.scene import FRESH, Scene
from neurostim_torture.barriers.scenes.troubles import slot_turns

STARTING: Final = "neurostim_sim.commands.starting"
TURNED: Final = Cut("neurostim_sim.strikes:_flip_slot", "len(slot.data) // 2", "36")
"""The bit turns over in the amplitude of the first area: the image stays one that can be read."""

BARRIERS: Final[tuple[Barrier, ...]] = (
    Barrier(
        "digest at arming",
        "device",
        "a program that changed in memory",
        (Cut(f"{STARTING}:_arm", "if not digest == slot.digest == request.image_sha256:", "if False:"),),
        Scene(slot_turns, FRESH, sabotage=(TURNED,)),
        4,
        ("self-test of the slots", "digest in the host"),
    ),
    Barrier(
        "self-test of the slots",
        "device",
        "a program that changed in memory",
        (Cut("neurostim_sim.selftest:is_whole", "return not slot.committed or", "return True or"),),
        Scene(slot_turns, FRESH, sabotage=(TURNED,)),
        4,
        ("digest at arming", "digest in the host"),
    ),
    Barrier(
        "digest in the host",
        "host",
        "a program that is not the one approved",
        (
            Cut(
                "neurostim.session.preparation:Preparation._compare",
                "if digest == approved.image_sha256:",
                "if True:",
            ),
            Cut("neurostim.device.scripts:load", "if done.image_sha256 != held.image_sha256:", "if False:"),
        ),
        Scene(slot_turns, FRESH, sabotage=(TURNED,)),
        4,
        ("digest at arming", "self-test of the slots"),
    ),
)
