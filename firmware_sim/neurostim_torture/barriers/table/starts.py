"""What has to be there before output starts, and what keeps it from starting again by itself."""

from __future__ import annotations

from typing import Final

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut
from neurostim_torture.barriers.scenes.people import Careless, Lingering, Stubborn
from neurostim_torture.barriers.scenes.scene import OUTPUT_ON, SHORT, Scene
from neurostim_torture.barriers.scenes.troubles import fire_again, reset_after_stop, reset_and_killed

STARTING: Final = "neurostim_sim.commands.starting"

BARRIERS: Final[tuple[Barrier, ...]] = (
    Barrier(
        "power-lost latch",
        "device",
        "resume after a reset or brown-out",
        (
            Cut(
                "neurostim_sim.boot:wake",
                "memory.latched, memory.cause = True, int(StopCause.POWER_LOST)",
                "memory.cause = int(StopCause.POWER_LOST)",
            ),
        ),
        Scene(reset_and_killed, OUTPUT_ON, Stubborn),
        6,
    ),
    Barrier(
        "latch over a reset",
        "device",
        "resume after a reset of what a stop had latched",
        (
            Cut(
                "neurostim_sim.boot:wake",
                "if not memory.latched:\n        return",
                "if True:\n        return",
            ),
        ),
        Scene(reset_after_stop, {**SHORT, "end": "stop"}, Stubborn),
        6,
    ),
    Barrier(
        "latch of a stop",
        "device",
        "output that goes on after a stop without being released",
        (
            Cut(f"{STARTING}:_arm", "if device.state in LATCHED:", "if False:"),
            Cut(
                f"{STARTING}:_arm",
                "if device.state not in (DeviceState.IDLE, DeviceState.ARMED):",
                "if device.state in ON:",
            ),
        ),
        Scene(plan={**SHORT, "end": "stop"}, who=Careless),
        3,
    ),
    Barrier(
        "arm token",
        "device",
        "a start that was not armed, or whose arming is over",
        (
            Cut(
                f"{STARTING}:_use_token",
                "if token is None or token.value != value:",
                "if token is None:\n"
                "        slots = device.memory.slots\n"
                "        slot = next(i for i, one in enumerate(slots) if one.committed)\n"
                "        token = Token(value, kind, slot, device.now_ns)\n"
                "    if False:",
            ),
        ),
        Scene(fire_again, SHORT, Lingering),
        6,
        ("once record", "sequence", "lease", "expected dose count"),
        ("doses-at-most-intents",),
    ),
    Barrier(
        "token used once",
        "device",
        "a second dose for one start",
        (Cut(f"{STARTING}:_use_token", "device.output.token = None\n", "pass\n"),),
        Scene(fire_again, SHORT, Lingering),
        6,
        ("once record", "sequence", "lease", "expected dose count"),
        ("doses-at-most-intents",),
    ),
    Barrier(
        "expected dose count",
        "device",
        "a start that another start has overtaken",
        (
            Cut(
                f"{STARTING}:_use_token",
                "if expected != device.memory.dose_count:",
                "if False:",
            ),
        ),
        Scene(fire_again, SHORT, Lingering),
        6,
        ("once record", "sequence", "lease", "token used once"),
        ("doses-at-most-intents",),
    ),
    Barrier(
        "journal before fire",
        "host",
        "disk full or log failure; a dose nobody knows of after a crash",
        (Cut("neurostim.session.journal:Journal.append", "if durable:", "if False:"),),
        Scene(plan={**SHORT, "fresh": True}),
        1,
    ),
)
