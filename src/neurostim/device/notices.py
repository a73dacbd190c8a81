"""What the host tells of a link and its device, beside the device's own events; and what it counts."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from neurostim.wire.layout import Event


class NoticeKind(enum.Enum):
    """What happened on the host's side of the link."""

    SESSION_OPENED = "session opened"
    SESSION_LOST = "session lost"
    LINK_LOST = "link lost"
    LINK_SILENT = "link silent"
    LINK_HEARD = "link heard again"
    DEVICE_RESTARTED = "device restarted"
    HEARTBEAT_WITHHELD = "heartbeat withheld"
    HEARTBEAT_DEAD = "heartbeat refused"
    STOP_SENT = "stop sent"
    STOP_ESCALATED = "stop escalated"
    STOP_CONFIRMED = "stop confirmed"
    STOP_NOT_CONFIRMED = "STOP NOT CONFIRMED"
    UNCERTAIN = "delivery uncertain"
    UNCERTAIN_RESOLVED = "uncertainty resolved"


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the host noticed, at its own monotonic time [ns]; ``text`` is for people."""

    at_ns: int
    kind: NoticeKind
    text: str


@dataclass(frozen=True, slots=True)
class DeviceEvent:
    """An event of the device, heard at the host's monotonic time ``at_ns`` [ns]."""

    at_ns: int
    message: Event


Happening = Notice | DeviceEvent
"""What travels in the event lanes."""


@dataclass(slots=True)
class LinkCounters:
    """What went over the link since it was made, the damaged and the unexpected included.

    ``frames_unsealed`` came without authentication to a host that is in an authenticated session, and
    ``seals_refused`` carried a tag that does not verify, or a sequence that was used: both were dropped.
    """

    frames_sent: int = 0
    frames_heard: int = 0
    frames_damaged: int = 0
    content_refused: int = 0
    frames_unsealed: int = 0
    seals_refused: int = 0
    replies_late: int = 0
    replies_foreign: int = 0
    resends: int = 0
    timeouts: int = 0
    queries: int = 0
    heartbeats_sent: int = 0
    heartbeats_withheld: int = 0
    heartbeats_dead: int = 0
    stops_sent: int = 0
