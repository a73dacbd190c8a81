"""The two lanes on which events leave the link's thread: one loses nothing, one never grows."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from neurostim.device.notices import DeviceEvent, Happening, Notice
from neurostim.wire.layout import Lane as Urgency

TELEMETRY_LIMIT: Final = 256


class EventLanes:
    """Critical happenings, never dropped, and telemetry, of which the oldest is dropped and counted.

    Both are drained by whoever watches; the thread that fills them never waits for a reader.
    """

    def __init__(self, telemetry_limit: int = TELEMETRY_LIMIT) -> None:
        self._critical: deque[Happening] = deque()
        self._telemetry: deque[DeviceEvent] = deque()
        self._limit = telemetry_limit
        self._dropped = 0
        self._closed = False
        self._changed = threading.Condition()

    @property
    def telemetry_dropped(self) -> int:
        """How many telemetry events were dropped because nobody took them."""
        return self._dropped

    def put(self, happenings: list[Happening]) -> None:
        """Sort happenings into their lanes."""
        with self._changed:
            for happening in happenings:
                if isinstance(happening, Notice) or happening.message.LANE is Urgency.CRITICAL:
                    self._critical.append(happening)
                    continue
                if len(self._telemetry) >= self._limit:
                    self._telemetry.popleft()
                    self._dropped += 1
                self._telemetry.append(happening)
            self._changed.notify_all()

    def waiting(self) -> bool:
        """Whether anything can be taken."""
        return bool(self._critical or self._telemetry)

    def wait(self, timeout: float | None) -> bool:
        """Wait until anything can be taken, at most ``timeout`` [s]; return whether it can."""
        with self._changed:
            self._changed.wait_for(lambda: self.waiting() or self._closed, timeout)
            return self.waiting()

    def take_critical(self) -> list[Happening]:
        """Take every critical happening, oldest first."""
        with self._changed:
            taken = list(self._critical)
            self._critical.clear()
        return taken

    def take_telemetry(self) -> list[DeviceEvent]:
        """Take every telemetry event, oldest first."""
        with self._changed:
            taken = list(self._telemetry)
            self._telemetry.clear()
        return taken

    def close(self) -> None:
        """Let whoever waits go; what is in the lanes can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
