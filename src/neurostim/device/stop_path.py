"""The way of a stop: it overtakes everything, is repeated until confirmed, and says when it is not.

Times of the safety facts: unconfirmed at 250 ms an emergency stop follows, at 600 ms the person is
told to pull the lead cable. Repeats go on after that, more slowly, for as long as there is a link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from neurostim.core.errors import DeliveryUncertain
from neurostim.device.futures import CommandFuture
from neurostim.device.notices import LinkCounters, NoticeKind
from neurostim.device.outbox import Outbox
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import (
    STOP_EMERGENCY_AFTER_US,
    STOP_REPEAT_US,
    STOP_UNCONFIRMED_AFTER_US,
    DeviceState,
    EmergencyStopReply,
    StateChanged,
    StopCause,
    StopReply,
)

_NS: Final = 1000
ESCALATE_NS: Final = STOP_EMERGENCY_AFTER_US * _NS
NOT_CONFIRMED_NS: Final = STOP_UNCONFIRMED_AFTER_US * _NS
REPEAT_NS: Final = STOP_REPEAT_US * _NS
SLOW_REPEAT_NS: Final = 500_000_000

LATCHED: Final = (DeviceState.STOPPED, DeviceState.FAULT)
NOT_CONFIRMED: Final = "STOP NOT CONFIRMED: pull the lead cable."


@dataclass(frozen=True, slots=True)
class StopConfirmation:
    """The device's own word that output has ended.

    ``at_tick`` is its clock at which output was first stopped, ``took_ns`` the host's time from
    asking to knowing [ns], ``escalated`` whether an emergency stop was needed to get there.
    """

    state: DeviceState
    stop_cause: StopCause
    at_tick: int
    took_ns: int
    escalated: bool


@dataclass(slots=True)
class ActiveStop:
    """A stop that the device has not confirmed yet."""

    emergency: bool
    started_ns: int
    escalated: bool = False
    told: bool = False
    sent_ns: int | None = None
    ids: dict[int, tuple[bool, int]] = field(default_factory=dict)
    waiting: list[CommandFuture[StopConfirmation]] = field(default_factory=list)

    def due_ns(self) -> int:
        """When the next repeat or step is due [ns]."""
        if self.sent_ns is None:
            return self.started_ns
        due = self.sent_ns + (SLOW_REPEAT_NS if self.told else REPEAT_NS)
        if not (self.escalated or self.emergency):
            due = min(due, self.started_ns + ESCALATE_NS)
        if not self.told:
            due = min(due, self.started_ns + NOT_CONFIRMED_NS)
        return due

    def must_escalate(self, now_ns: int) -> bool:
        """Whether an unconfirmed stop now becomes an emergency stop."""
        return not (self.escalated or self.emergency) and now_ns - self.started_ns >= ESCALATE_NS

    def must_tell(self, now_ns: int) -> bool:
        """Whether the person must now be told that nothing confirms the stop."""
        return not self.told and now_ns - self.started_ns >= NOT_CONFIRMED_NS

    def must_send(self, now_ns: int) -> bool:
        """Whether a frame is due."""
        gap = SLOW_REPEAT_NS if self.told else REPEAT_NS
        return self.sent_ns is None or now_ns - self.sent_ns >= gap

    def confirms(self, command_id: int, state: DeviceState) -> bool:
        """Whether a reply confirms this stop: an emergency stop needs the answer to one."""
        if state not in LATCHED:
            return False
        answered_emergency, _ = self.ids[command_id]
        return answered_emergency or not self.emergency

    def finish(self, confirmation: StopConfirmation) -> None:
        """Give everyone who waits the confirmation."""
        for future in self.waiting:
            future.resolve(confirmation)

    def give_up(self) -> DeliveryUncertain:
        """Tell everyone who waits that nothing confirms the stop; the repeats go on."""
        error = DeliveryUncertain(
            "the device has not confirmed the stop",
            remedy="Pull the lead cable; then find out what the device says.",
            code="stop-not-confirmed",
        )
        for future in self.waiting:
            future.fail(error)
        self.waiting.clear()
        return error


class StopPath:
    """Carries stops: their frames are encoded before they are needed."""

    def __init__(
        self, outbox: Outbox, counters: LinkCounters, notice: Callable[[NoticeKind, str], None]
    ) -> None:
        self._outbox = outbox
        self._counters = counters
        self._notice = notice
        self._stop: ActiveStop | None = None
        self._frames: dict[bool, tuple[int, bytes]] = {}
        self.begin()

    @property
    def active(self) -> bool:
        """Whether a stop is under way that the device has not confirmed."""
        return self._stop is not None

    def begin(self) -> None:
        """Encode the frames anew, as for a new session or after a stop."""
        for emergency in (False, True):
            command_id = self._outbox.next_id()
            frame = self._outbox.stop_frame(command_id, emergency=emergency)
            self._frames[emergency] = (command_id, frame)

    def ask(self, now_ns: int, *, emergency: bool, future: CommandFuture[StopConfirmation]) -> None:
        """Begin a stop, or join the one under way."""
        if self._stop is None:
            self._stop = ActiveStop(emergency, now_ns)
            self._notice(NoticeKind.STOP_SENT, "emergency stop" if emergency else "stop")
        elif emergency and not self._stop.emergency:
            self._stop.emergency = True
            self._stop.sent_ns = None
        if self._stop.told:
            # Asked again after NOT CONFIRMED: as urgent as the first time.
            self._stop.told = False
            self._stop.started_ns = now_ns
            self._stop.sent_ns = None
        self._stop.waiting.append(future)
        self.drive(now_ns)

    def drive(self, now_ns: int) -> None:
        """Send, repeat, escalate or tell, as is due."""
        stop = self._stop
        if stop is None:
            return
        if stop.must_escalate(now_ns):
            stop.escalated = True
            stop.sent_ns = None
            self._notice(NoticeKind.STOP_ESCALATED, "not confirmed in 250 ms: emergency stop")
        if stop.must_tell(now_ns):
            stop.told = True
            self._notice(NoticeKind.STOP_NOT_CONFIRMED, NOT_CONFIRMED)
            stop.give_up()
        if stop.must_send(now_ns):
            emergency = stop.emergency or stop.escalated
            command_id, frame = self._frames[emergency]
            stop.ids[command_id] = (emergency, self._outbox.overtake(frame))
            stop.sent_ns = now_ns
            self._counters.stops_sent += 1

    def due_ns(self) -> int | None:
        """When `drive` has something to do next [ns]."""
        return None if self._stop is None else self._stop.due_ns()

    def awaits(self, command_id: int) -> bool:
        """Whether a reply with this id answers a stop under way."""
        return self._stop is not None and command_id in self._stop.ids

    def hear(self, command_id: int, reply: Reply, now_ns: int) -> bool:
        """Take an answer; return whether it was one."""
        stop = self._stop
        if stop is None or not isinstance(reply, (StopReply, EmergencyStopReply)):
            return False
        self._outbox.proven(stop.ids[command_id][1])
        if stop.confirms(command_id, reply.state):
            self._confirm(stop, reply, now_ns)
        return True

    def hear_state(self, event: StateChanged, now_ns: int) -> None:
        """Take the device's word that it has latched; an emergency stop needs its own reply."""
        stop = self._stop
        if stop is not None and not stop.emergency and event.state in LATCHED:
            self._confirm(stop, event, now_ns)

    def _confirm(
        self, stop: ActiveStop, told: StopReply | EmergencyStopReply | StateChanged, now_ns: int
    ) -> None:
        self._stop = None
        self.begin()
        took_ns = now_ns - stop.started_ns
        stop.finish(StopConfirmation(told.state, told.stop_cause, told.at_tick, took_ns, stop.escalated))
        self._notice(NoticeKind.STOP_CONFIRMED, f"{told.state.name}, {told.stop_cause.name}")

    def objection(self, request: Request) -> DeliveryUncertain | None:
        """Why a start must not be sent now."""
        if self._stop is None:
            return None
        return DeliveryUncertain(
            f"{request.NAME} was not sent: a stop is not confirmed yet",
            remedy="Wait for the confirmation, or pull the lead cable.",
            code="stop-pending",
        )

    def abandon(self) -> None:
        """End because the program closes the link; whoever waits is told that nothing confirms."""
        if self._stop is not None:
            self._stop.give_up()
            self._stop = None
