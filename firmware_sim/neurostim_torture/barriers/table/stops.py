"""Stops that the line loses, that nobody confirms, or that would have to wait."""

from __future__ import annotations

from typing import Final

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut
from neurostim_torture.barriers.scenes.scene import OUTPUT_ON, Scene
from neurostim_torture.barriers.scenes.troubles import deaf_at_stop, stop_lost, two_stops_lost

BARRIERS: Final[tuple[Barrier, ...]] = (
    Barrier(
        "stop repeated",
        "host",
        "a stop that the line loses",
        (
            Cut("neurostim.device.stop_path:ActiveStop.must_send", ">= gap", ">= 3_600_000_000_000"),
            Cut(
                "neurostim.device.stop_path:ActiveStop.due_ns",
                "(SLOW_REPEAT_NS if self.told else REPEAT_NS)",
                "3_600_000_000_000",
            ),
        ),
        Scene(stop_lost, OUTPUT_ON),
        3,
        ("no heartbeat while stopping",),
    ),
    Barrier(
        "no heartbeat while stopping",
        "host",
        "a line that loses stops and carries heartbeats",
        (
            Cut(
                "neurostim.device.heart:Heart.beat",
                "feeds = control and not silent and not stopping",
                "feeds = control and not silent",
            ),
        ),
        Scene(stop_lost, OUTPUT_ON),
        3,
        ("stop repeated",),
    ),
    Barrier(
        "stop escalates",
        "host",
        "a stop that nobody confirms",
        (
            Cut(
                "neurostim.device.stop_path:ActiveStop.must_escalate",
                "return not (self.escalated or self.emergency) and",
                "return False and",
            ),
            Cut(
                "neurostim.device.stop_path:ActiveStop.due_ns",
                "due = min(due, self.started_ns + ESCALATE_NS)",
                "pass",
            ),
        ),
        Scene(two_stops_lost, OUTPUT_ON),
        3,
        ("no heartbeat while stopping",),
    ),
    Barrier(
        "stop overtakes",
        "host",
        "slow stop: one that waits behind other commands",
        (
            Cut(
                "neurostim.device.stop_path:StopPath.drive",
                "if stop.must_send(now_ns):",
                "if stop.must_send(now_ns) and self._outbox._unanswered:\n"
                "        stop.sent_ns = now_ns\n"
                "    elif stop.must_send(now_ns):",
            ),
        ),
        Scene(deaf_at_stop, OUTPUT_ON),
        6,
    ),
)
