"""What a session does all the time: show that it lives, keep its record, take in events, stop for sure."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from neurostim.core.errors import CommandTimeout
from neurostim.device import (
    AreaCharge,
    Clock,
    CommandFuture,
    DeviceEvent,
    Happening,
    NoticeKind,
    Stimulator,
)
from neurostim.device.scripts import area_charge
from neurostim.safety.interlock import Event, State, advance, allowed
from neurostim.session.errors import JournalError, SessionError
from neurostim.session.journal import Journal, Json
from neurostim.wire.messages import DeviceState, StateChanged, StopCause, Telemetry

T = TypeVar("T")

SLICE_S: Final = 0.1
ALIVE_NS: Final = 400_000_000
SYNC_NS: Final = 5_000_000_000
STOP_SECONDS: Final = 1.5

OFF: Final = (DeviceState.IDLE, DeviceState.STOPPED, DeviceState.FAULT)
ON: Final = (DeviceState.DELIVERING, DeviceState.RAMPING_DOWN, DeviceState.MEASURING)


@dataclass(frozen=True, slots=True)
class LiveDose:
    """What the device last said of the dose under way.

    ``heard_ns`` is the host's time of hearing [ns], for showing the age; charges in aC.
    """

    heard_ns: int
    dose_number: int
    state: DeviceState
    elapsed_ns: int
    battery_permille: int
    compliance_pulses: int
    areas: tuple[AreaCharge, ...]


class Keeper:
    """Serves one stimulator and one journal from the thread that serves the person.

    Attributes
    ----------
    state, stop_cause
        What the device last said of itself; None before it has said anything.
    live : LiveDose or None
        What it last said of the dose under way.
    interlock : State
        Where the delivery stands; what it does not allow is refused before anything is sent.
    link_lost : bool
        Whether the link broke or the device forgot the session.
    on_happening : callable or None
        Told of everything critical at once, also while the session waits for an answer: for whoever shows
        it to a person.
    """

    def __init__(self, stimulator: Stimulator, clock: Clock) -> None:
        self.state: DeviceState | None = None
        self.stop_cause: StopCause = StopCause.NONE
        self.live: LiveDose | None = None
        self.link_lost = False
        self.interlock = State.IDLE
        self.on_happening: Callable[[Happening], None] | None = None
        self._stimulator = stimulator
        self._clock = clock
        self._journal: Journal | None = None
        self._maybe_on = False
        self._awaited_dose = 0
        self._declined_tick: int | None = None
        self._synced_ns = 0
        self._seen: list[Happening] = []

    def _await(self, future: CommandFuture[T]) -> T:
        """Wait for an answer while showing that this program lives."""
        while True:
            self._alive()
            try:
                return future.result(SLICE_S)
            except CommandTimeout as error:
                if error.code != "wait-timeout":
                    raise
            self._take_in()

    def _alive(self) -> None:
        """Show that this thread serves the person, and that the journal can still be written."""
        self._stimulator.beat("ui")
        journal = self._journal
        if journal is not None and self._clock.monotonic_ns() - journal.written_ns >= ALIVE_NS:
            self._record("alive", self._pulse())

    def _pulse(self) -> dict[str, Json]:
        live = self.live
        if live is None:
            return {}
        return {
            "dose_number": live.dose_number,
            "elapsed_ns": live.elapsed_ns,
            "areas": [[area.area, area.amplitude_na, area.pulses, area.stim_ac] for area in live.areas],
        }

    def _take_in(self) -> None:
        """Take what the device and the link told, into the journal and the state shown."""
        for happening in self._stimulator.take_critical():
            self._seen.append(happening)
            if self.on_happening is not None:
                self.on_happening(happening)
            self._understand(happening)
        for event in self._stimulator.take_telemetry():
            self._seen.append(event)
            if isinstance(event.message, Telemetry):
                self._show(event.at_ns, event.message)

    def _understand(self, happening: Happening) -> None:
        if isinstance(happening, DeviceEvent):
            message = happening.message
            self._note("event", {"name": message.NAME, "fields": _plain(message)})
            if isinstance(message, StateChanged):
                self.state = message.state
                ended = message.state in OFF and message.previous in ON
                if ended and message.dose_number in (0, self._awaited_dose):
                    self._maybe_on = False
                    self.stop_cause = message.stop_cause
                    self._saw(Event.OUTPUT_ENDED)
                if message.state is DeviceState.FAULT:
                    self._saw(Event.FAULTED)
                elif message.state is DeviceState.RAMPING_DOWN:
                    dead = message.stop_cause is StopCause.DEAD_MAN
                    self._saw(Event.SUPERVISION_LOST if dead else Event.SOFT_STOP_SENT)
            return
        self._note("notice", {"kind": happening.kind.value, "text": happening.text})
        if happening.kind in (NoticeKind.LINK_LOST, NoticeKind.SESSION_LOST):
            self.link_lost = True
            self._saw(Event.LINK_LOST)

    def _show(self, at_ns: int, told: Telemetry) -> None:
        tick_ns = self._stimulator.capabilities.grid.tick_ns
        self.state = told.state
        self.live = LiveDose(
            heard_ns=at_ns,
            dose_number=told.dose_number,
            state=told.state,
            elapsed_ns=told.elapsed_ticks * tick_ns,
            battery_permille=told.battery_permille,
            compliance_pulses=told.compliance_pulses,
            areas=tuple(area_charge(area) for area in told.areas),
        )

    def _act(self, event: Event) -> None:
        """Take a step of this host's own; refused where the interlock does not allow it."""
        self.interlock = advance(self.interlock, event)

    def _saw(self, event: Event) -> None:
        """Take what happened by itself, where it means anything in the present state."""
        if event in allowed(self.interlock):
            self.interlock = advance(self.interlock, event)

    def _stop_for_sure(self) -> None:
        """Stop, whatever else failed; what the stop itself reports goes on record."""
        future = self._stimulator.stop()
        self._saw(Event.STOP_SENT)
        error = future.error(STOP_SECONDS)
        if error is None:
            confirmation = future.result()
            self._maybe_on = False
            self._declined_tick = self._declined_tick or confirmation.at_tick
            self.state, self.stop_cause = confirmation.state, confirmation.stop_cause
            self._saw(Event.OUTPUT_ENDED)
            told = {"state": confirmation.state.name, "stop_cause": confirmation.stop_cause.name}
            self._note("stop_confirmed", told)
        else:
            self._saw(Event.STOP_UNCONFIRMED)
            self._note("stop_not_confirmed", {"text": str(error)})
            self._take_in()

    def _record(self, kind: str, data: Mapping[str, Json], *, durable: bool = False) -> None:
        """Write a record; where that fails, output is stopped before anything else."""
        journal = self._need_open()
        try:
            journal.append(kind, data, durable=durable)
            now_ns = self._clock.monotonic_ns()
            if durable:
                self._synced_ns = now_ns
            elif now_ns - self._synced_ns >= SYNC_NS:
                journal.sync()
                self._synced_ns = now_ns
        except JournalError:
            if self._maybe_on:
                self._stop_for_sure()
            raise
        self._stimulator.beat("journal")

    def _note(self, kind: str, data: Mapping[str, Json] | None = None) -> None:
        """Write a record of what has happened already; a journal that failed has stopped output."""
        journal = self._journal
        if journal is not None and journal.failure is None:
            self._record(kind, data or {}, durable=True)

    def _need_open(self) -> Journal:
        if self._journal is None:
            raise SessionError("the session is closed", code="session-order")
        return self._journal


def _plain(message: Any) -> dict[str, Json]:
    """Fields of a message as plain values."""
    return {name: _value(getattr(message, name)) for name in message.__slots__}


def _value(value: Any) -> Json:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_value(one) for one in value]
    return _plain(value) if hasattr(value, "__slots__") else value
