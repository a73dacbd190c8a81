"""Sources, recovery, leads and contacts that fail."""

from __future__ import annotations

from typing import Final

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut
from neurostim_torture.barriers.scenes.scene import FOUND, OUTPUT_ON, Scene, Unrecovered
from neurostim_torture.barriers.scenes.troubles import (
    contact_opens_and_heals,
    lead_out_and_in,
    source_fails,
    switch_fails,
)

BARRIERS: Final[tuple[Barrier, ...]] = (
    Barrier(
        "charge balance",
        "device",
        "charge imbalance of a failing source",
        (
            Cut(
                "neurostim_sim.monitor:OutputMonitor.look",
                "if code == see.NOTHING:",
                "if code in (see.NOTHING, see.IMBALANCE):",
            ),
        ),
        Scene(source_fails, {**OUTPUT_ON, "program": "kilohertz", "end": "complete"}),
        6,
    ),
    Barrier(
        "recovery",
        "device",
        "charge that no passive recovery takes off the contacts",
        (
            Cut(
                "neurostim_sim.monitor:OutputMonitor.look",
                "if code == see.NOTHING:",
                "if code in (see.NOTHING, see.NO_RECOVERY):",
            ),
        ),
        Unrecovered(switch_fails, OUTPUT_ON),
        2,
        (),
        (FOUND,),
    ),
    Barrier(
        "lead-unplug latch",
        "device",
        "an unplugged lead plugged in again",
        (Cut("neurostim_sim.strikes:_plug", "if lost:", "if False:"),),
        Scene(lead_out_and_in, OUTPUT_ON),
        6,
    ),
    Barrier(
        "open-circuit latch",
        "device",
        "open electrode; a contact that comes back at full current",
        (Cut("neurostim_sim.hardware:Hardware.physics", "self.profile.open_ohm", "10**15"),),
        Scene(contact_opens_and_heals, OUTPUT_ON),
        6,
    ),
)
