"""The heartbeat: sent every 100 ms while the program behind it shows that it lives, and never otherwise.

While it is withheld, or for an observer, the clocks are compared instead, which feeds no dead-man.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from neurostim.device.clock_estimate import ClockEstimate
from neurostim.device.notices import LinkCounters, NoticeKind
from neurostim.device.outbox import Outbox
from neurostim.device.supervisor import Tokens
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import (
    HEARTBEAT_INTERVAL_US,
    ClockSync,
    ClockSyncReply,
    Error,
    Heartbeat,
    HeartbeatReply,
)

KEEPALIVE_NS: Final = HEARTBEAT_INTERVAL_US * 1000
OBSERVER_KEEPALIVE_NS: Final = 500_000_000
LIVING_NS: Final = 2 * KEEPALIVE_NS

_REMEMBERED: Final = 8


@dataclass(frozen=True, slots=True)
class _Beat:
    sent_ns: int
    place: int
    living: bool

    @property
    def type(self) -> int:
        """Message type that was sent."""
        return Heartbeat.TYPE if self.living else ClockSync.TYPE


class Heart:
    """Sends what keeps a session and a dose alive, and learns the device's clock from the answers."""

    def __init__(
        self,
        outbox: Outbox,
        counters: LinkCounters,
        supervisor: Callable[[int], Tokens | None],
        notice: Callable[[NoticeKind, str], None],
    ) -> None:
        self.clock = ClockEstimate()
        self.due_ns = 0
        self._outbox = outbox
        self._counters = counters
        self._supervisor = supervisor
        self._notice = notice
        self._beats: OrderedDict[int, _Beat] = OrderedDict()
        self._beating = False
        self._dead = False
        self._living_ns: int | None = None

    def living(self, now_ns: int) -> bool:
        """Whether the device took a heartbeat that was sent less than 200 ms ago."""
        return self._living_ns is not None and now_ns - self._living_ns <= LIVING_NS

    def forget(self) -> None:
        """Wait for no answer any more: the session was left, and what crossed that tells nothing."""
        self._beats.clear()

    def begin(self, now_ns: int, *, restarted: bool) -> None:
        """Start for a new session; ``restarted`` forgets the clock of a device that booted."""
        self.forget()
        self._beating = self._dead = False
        self._living_ns = None
        self.due_ns = now_ns
        if restarted:
            self.clock = ClockEstimate()

    def beat(self, now_ns: int, *, control: bool, silent: bool, stopping: bool) -> None:
        """Send what is due; while a stop is not confirmed, nothing that keeps output alive."""
        if now_ns < self.due_ns:
            return
        gap = KEEPALIVE_NS if control and not silent else OBSERVER_KEEPALIVE_NS
        if silent:
            self._outbox.renew()
        self.due_ns = max(self.due_ns + gap, now_ns + gap // 2)
        # A host that hears nothing must not keep output alive.
        feeds = control and not silent and not stopping
        tokens = self._supervisor(now_ns) if feeds else None
        if feeds:
            self._tell_change(tokens is not None)
        living = tokens is not None
        request: Request = ClockSync(now_ns) if tokens is None else Heartbeat(tokens.ui, tokens.journal)
        command_id = self._outbox.next_id()
        place = self._outbox.offer(request, command_id, vital=True)
        if place is None or not living:
            self._counters.heartbeats_withheld += control
        if place is None:
            return
        self._counters.heartbeats_sent += living
        self._beats[command_id] = _Beat(now_ns, place, living)
        while len(self._beats) > _REMEMBERED:
            self._beats.popitem(last=False)

    def awaits(self, command_id: int) -> bool:
        """Whether a reply with this id is an answer to the heart."""
        return command_id in self._beats

    def hear(self, command_id: int, reply: Reply, now_ns: int) -> bool:
        """Take an answer; return whether it was one."""
        beat = self._beats[command_id]
        if isinstance(reply, HeartbeatReply) and beat.living:
            self.clock.add(beat.sent_ns, now_ns, reply.clock_us)
            self._judge(not reply.living, "the device did not take it")
            self._living_ns = beat.sent_ns if reply.living else None
        elif isinstance(reply, ClockSyncReply) and not beat.living:
            self.clock.add(beat.sent_ns, now_ns, reply.received_ticks * reply.tick_ns // 1000)
        elif (
            isinstance(reply, Error) and reply.request_type == (Heartbeat if beat.living else ClockSync).TYPE
        ):
            self._judge(beat.living, reply.code.name.lower().replace("_", " "))
        else:
            return False
        self._outbox.proven(beat.place)
        del self._beats[command_id]
        return True

    def _judge(self, dead: bool, why: str) -> None:
        self._counters.heartbeats_dead += dead
        if dead and not self._dead:
            self._notice(NoticeKind.HEARTBEAT_DEAD, why)
        self._dead = dead

    def _tell_change(self, beating: bool) -> None:
        if self._beating and not beating:
            self._notice(NoticeKind.HEARTBEAT_WITHHELD, "user interface or journal silent for a second")
        self._beating = beating
