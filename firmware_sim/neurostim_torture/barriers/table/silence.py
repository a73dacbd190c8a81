"""A host that is silent, late or stuck, a line that repeats it, a processor that stands still."""

from __future__ import annotations

from typing import Final

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut
from neurostim_torture.barriers.scenes.scene import KEYED, OUTPUT_ON, Scene
from neurostim_torture.barriers.scenes.troubles import (
    answers_lost,
    injected,
    killed,
    killed_and_replayed,
    replayed_for_long,
    stuck,
)

JUDGING: Final = "neurostim_sim.judging"
OUTPUT: Final = "neurostim_sim.output"

BARRIERS: Final[tuple[Barrier, ...]] = (
    Barrier(
        "dead-man",
        "device",
        "host crash while stimulating; cable pulled",
        (
            Cut(
                "neurostim_sim.supervision:Supervision.dead_man_ns",
                "living_ns + HEARTBEAT_NS",
                "living_ns + 3_600_000_000_000",
            ),
        ),
        Scene(killed, OUTPUT_ON),
        3,
    ),
    Barrier(
        "dead-man ramp bound",
        "device",
        "a ramp-down without a bound",
        (
            Cut("neurostim_sim.delivery:Delivery.ramp_down", "DEAD_MAN_RAMP_US * 1000", "2_000_000_000"),
            Cut(f"{OUTPUT}:Output.dead_man", "m.DEAD_MAN_RAMP_US * US", "2_000_000_000"),
        ),
        Scene(killed, OUTPUT_ON),
        6,
    ),
    Barrier(
        "lease",
        "device",
        "a heartbeat, ARM or FIRE released late from a buffer",
        (Cut(f"{JUDGING}:_check_lease", "age_us > m.LEASE_MAX_AGE_US", "age_us > 60_000_000"),),
        Scene(replayed_for_long, OUTPUT_ON),
        6,
        ("sequence", "age of a heartbeat"),
        ("silent-by-the-lease",),
    ),
    Barrier(
        "age of a heartbeat",
        "device",
        "late frames and lost answers that add up",
        (Cut("neurostim_sim.sessions:Session.beat", "min(now_ns, lease_ns + INTERVAL_NS)", "now_ns"),),
        Scene(killed_and_replayed, OUTPUT_ON),
        6,
        ("sequence",),
        ("silent-however-late",),
    ),
    Barrier(
        "sequence",
        "device",
        "a replayed frame",
        (Cut(f"{JUDGING}:_judge", "frame.sequence <= session.sequence", "frame.sequence < 0"),),
        Scene(killed_and_replayed, OUTPUT_ON),
        6,
        ("age of a heartbeat",),
    ),
    Barrier(
        "sequence of sealed frames",
        "device",
        "a replayed frame of a sealed session",
        (
            Cut(
                "neurostim.wire.channel:Channel.open",
                "if not self.received < sequence <= MAX_SEQUENCE:",
                "if False:",
            ),
        ),
        Scene(killed_and_replayed, KEYED),
        8,
        ("sequence", "age of a heartbeat"),
    ),
    Barrier(
        "once record",
        "device",
        "double dose on a retry after a lost acknowledgement",
        (Cut(f"{JUDGING}:_judge", "if kept is not None:", "if False:"),),
        Scene(answers_lost, {**OUTPUT_ON, "steps": (1, 1), "clears": True}),
        10,
    ),
    Barrier(
        "supervisor of the host",
        "host",
        "heartbeat from a stuck host",
        (
            Cut(
                "neurostim.device.supervisor:Supervisor.missing",
                "age is None or age > MAX_AGE_NS",
                "age is None",
            ),
        ),
        Scene(stuck, OUTPUT_ON),
        4,
    ),
    Barrier(
        "supervisor tokens in the device",
        "device",
        "heartbeat from a stuck host",
        (
            Cut(
                "neurostim_sim.sessions:Session.beat",
                "all(now_ns - moved <= max_age_ns for moved in self.moved_ns)",
                "True",
            ),
        ),
        Scene(stuck, OUTPUT_ON),
        4,
        ("supervisor of the host",),
        ("silent-whatever-the-host-says",),
    ),
    Barrier(
        "watchdog",
        "device",
        "a processor that stands still",
        (
            Cut(
                "neurostim_sim.core:DeviceCore._watchdog_ns",
                "hung_ns + WATCHDOG_NS",
                "hung_ns + 3 * WATCHDOG_NS",
            ),
        ),
        Scene(injected("hang"), OUTPUT_ON),
        3,
        ("dead-man of the hardware",),
    ),
    Barrier(
        "dead-man of the hardware",
        "device",
        "a processor that stands still just after the last heartbeat",
        (
            Cut(
                "neurostim_sim.supervision:Supervision.unfed_ns",
                "if deadline is None or",
                "if True or",
            ),
        ),
        Scene(injected("hang"), OUTPUT_ON),
        3,
        ("watchdog",),
    ),
)
