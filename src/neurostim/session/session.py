"""One stimulation session, from identifying the device to reconciling what it counted with what was asked.

Nothing is sent that raises output before the journal holds it durably. The thread that calls the
session is the one that serves the person: while it calls `watch`, the user interface counts as alive.
"""

from __future__ import annotations

from typing import Final

from neurostim.core.errors import (
    CommandTimeout,
    DeliveryUncertain,
    NeurostimError,
    ProtocolError,
    TransportError,
)
from neurostim.device import (
    DeviceStatus,
    Happening,
    Started,
    StopConfirmation,
)
from neurostim.safety.interlock import Event, State, advance
from neurostim.session.errors import SessionError
from neurostim.session.keeper import SLICE_S, STOP_SECONDS
from neurostim.session.pace import AmplitudeGuard
from neurostim.session.preparation import Preparation, Stage
from neurostim.session.reconcile import Delivered, Reconciliation, reconcile
from neurostim.wire.messages import (
    FaultCode,
    StopCause,
)

RAMP_SECONDS: Final = 4.0


class Session(Preparation):
    """One session with one stimulator.

    Parameters
    ----------
    stimulator : Stimulator
        Open.
    program : Program or None
        What to deliver; None for a session that only measures.
    leads : sequence of Lead
        In the order of the device's contacts.
    folder : Path
        Where journals are kept.
    slot : int
        Program slot of the device to load.
    subject : str, optional
        Code of the subject this session works for; a device that is assigned starts nothing without it.
    subject_limits, device_limits : LimitLayer or mapping, optional
        Tightenings for the safety gate.
    clock : Clock, optional
        The host's time.
    session_id : str, optional
        Hexadecimal digits; random by default.
    opener : callable, optional
        How the journal opens its file.
    locker : callable, optional
        How the journal's folder is kept for one session.

    Examples
    --------
    >>> with Session(stimulator, program, leads, folder) as session:  # doctest: +SKIP
    ...     session.measure()
    ...     session.check()
    ...     session.approve({"SAF-...": "reason"})
    ...     session.load()
    ...     session.start()
    ...     session.run_for(10.0)
    ...     session.soft_stop()
    ...     print(session.finish().agrees)
    """

    def start(self) -> Started:
        """Arm and fire. The start is on the disk before it is sent.

        Raises
        ------
        DeliveryUncertain
            Where it is not known whether output began; the device is told to stop.
        """
        self._need(Stage.LOADED)
        approved = self.approved
        assert approved is not None
        if self.interlock in (State.STOPPED, State.IDLE):
            self._verify_again(approved)
        advance(self.interlock, Event.TOKEN_GRANTED)
        approved.verify()
        self._before = self._await(self._stimulator.counters())
        self._wait_until_supervised()
        self._say_subject()
        armed = self._await(self._stimulator.arm(approved, self._slot))
        amplitudes = tuple(area.amplitude_na for area in approved.image.areas)
        self._guard = AmplitudeGuard(approved.ranges, amplitudes)
        self._levels = [[level] for level in amplitudes]
        self._declined_tick = None
        self.live = None
        self.stop_cause = StopCause.NONE
        if armed.dose_count != self._before.dose_count:
            raise SessionError(
                f"the device counted {armed.dose_count} doses when armed, {self._before.dose_count} before",
                remedy="Another host uses the device; begin again.",
                code="session-dose-count",
            )
        self._act(Event.TOKEN_GRANTED)
        self._announce("stimulation", armed.dose_count, approved.image_sha256.hex(), {"slot": self._slot})
        self._stage = Stage.DELIVERING
        started = self._outcome_of_start(self._stimulator.fire(armed))
        self.started = started
        # A late confirmation may come after the end of the dose it confirms: it is on record all the same.
        self._saw(Event.START_CONFIRMED)
        self._record(
            "started", {"dose_number": started.dose_number, "start_tick": started.start_tick}, durable=True
        )
        return started

    # While output is on.

    def watch(self, timeout: float = SLICE_S) -> list[Happening]:
        """Serve the session for at most ``timeout`` [s] and return what happened.

        Whoever shows the session to a person calls this again and again: each call is the sign of
        life without which output ends within half a second after one second.
        """
        self._need_open()
        self._alive()
        self._stimulator.wait(min(timeout, SLICE_S))
        self._take_in()
        seen, self._seen = self._seen, []
        return seen

    def run_for(self, seconds: float) -> None:
        """Watch until the time is over, output has ended or the link is lost, whichever is first."""
        end_ns = self._clock.monotonic_ns() + round(seconds * 1_000_000_000)
        while self.delivering and not self.link_lost and (left := end_ns - self._clock.monotonic_ns()) > 0:
            self.watch(min(left / 1_000_000_000, SLICE_S))

    @property
    def delivering(self) -> bool:
        """Whether output may be on, as far as is known."""
        return self._stage is Stage.DELIVERING and self._maybe_on

    def amplitude(self, area: int) -> int:
        """Present amplitude of an area of the dose under way [nA]."""
        return self._amplitudes().level(area)

    def step_up(self, area: int) -> int:
        """Raise an area by one step of its approved range; return the amplitude set [nA]."""
        return self.set_amplitude(area, self._amplitudes().next_up(area))

    def step_down(self, area: int) -> int:
        """Lower an area by one step; return the amplitude set [nA]."""
        return self.set_amplitude(area, self._amplitudes().next_down(area))

    def set_amplitude(self, area: int, to_na: int) -> int:
        """Change an area's amplitude: judged here, on record, then sent.

        Raises
        ------
        SafetyError
            Outside the approved range.
        SessionError
            More than one step upward, too fast, or no dose under way.
        DeliveryUncertain
            Where it is not known what the device did.
        """
        guard = self._amplitudes()
        started = self.started
        if started is None or not self.delivering:
            raise SessionError("there is no dose under way", code="session-order")
        from_na = guard.level(area)
        now_ns = self._clock.monotonic_ns()
        guard.judge(area, to_na, now_ns)
        if to_na == from_na:
            return from_na
        change = {"area": area, "from_na": from_na, "to_na": to_na}
        self._record("amplitude_intended", change, durable=True)
        guard.sending(area, to_na, now_ns)
        self._levels[area].append(to_na)
        try:
            told = self._await(self._stimulator.set_amplitude(started.dose_number, area, from_na, to_na))
        except NeurostimError as error:
            self._record("amplitude_failed", {**change, "error": error.code}, durable=True)
            if isinstance(error, (DeliveryUncertain, ProtocolError)):
                self._stop_for_sure()
            raise
        guard.done(area, told)
        self._saw(Event.AMPLITUDE_CHANGED)
        self._record("amplitude_set", {"area": area, "amplitude_na": told}, durable=True)
        return told

    # Ending.

    def soft_stop(self) -> None:
        """Ramp down and wait for silence; an unanswered soft stop becomes a stop."""
        self._need_open()
        self._note("soft_stop_asked")
        try:
            answer = self._await(self._stimulator.soft_stop())
        except CommandTimeout:
            self._stop_for_sure()
            return
        except TransportError:
            self._stop_for_sure()
            if self._maybe_on:
                raise
            return
        self._declined_tick = answer.at_tick
        self._saw(Event.SOFT_STOP_SENT)
        end_ns = self._clock.monotonic_ns() + round(RAMP_SECONDS * 1_000_000_000)
        while self._maybe_on and not self.link_lost:
            if self._clock.monotonic_ns() >= end_ns:
                self._stop_for_sure()
                return
            self.watch(SLICE_S)

    def stop(self, *, emergency: bool = False) -> StopConfirmation:
        """Stop at once; the stop is sent first and recorded afterwards.

        Raises
        ------
        DeliveryUncertain
            Code ``stop-not-confirmed``: pull the lead cable.
        """
        future = self._stimulator.stop(emergency=emergency)
        self._saw(Event.EMERGENCY_SENT if emergency else Event.STOP_SENT)
        error = future.error(STOP_SECONDS)
        if error is not None:
            self._saw(Event.STOP_UNCONFIRMED)
            raise error
        confirmation = future.result()
        self._saw(Event.OUTPUT_ENDED)
        self._declined_tick = self._declined_tick or confirmation.at_tick
        self._maybe_on = False
        self.state, self.stop_cause = confirmation.state, confirmation.stop_cause
        self._note(
            "stop_confirmed",
            {
                "state": confirmation.state.name,
                "stop_cause": confirmation.stop_cause.name,
                "took_ns": confirmation.took_ns,
                "escalated": confirmation.escalated,
            },
        )
        return confirmation

    def clear(self, stop_cause: StopCause, fault: FaultCode = FaultCode.NONE) -> None:
        """Release the latch of a stop or fault, named by the person who has seen it."""
        self._need_open()
        if self.delivering:
            raise SessionError("output may be on", remedy="Stop first.", code="session-order")
        self._await(self._stimulator.clear(stop_cause, fault))
        self._saw(Event.CLEARED)
        self._record("cleared", {"stop_cause": stop_cause.name, "fault": fault.name}, durable=True)

    def reconnect(self) -> DeviceStatus:
        """Connect again after a lost link: read, stop what is on, never resume."""
        self._need(Stage.LOST)
        self._stimulator.reopen()
        status = self._await(self._stimulator.status())
        self.state, self.stop_cause = status.state, status.stop_cause
        self._note("reconnected", {"state": status.state.name, "output_on": status.output_on})
        if status.output_on:
            self._stop_for_sure()
        else:
            self._maybe_on = False
        return status

    def finish(self) -> Reconciliation:
        """Compare what the device counted with the journal and the schedule.

        Raises
        ------
        SessionError
            Code ``session-order`` while output may be on.
        """
        self._need(Stage.DELIVERING, Stage.LOST)
        started, approved, before = self.started, self.approved, self._before
        if started is None or approved is None or before is None:
            raise SessionError("no dose was started", code="session-order")
        status = self._status_when_quiet()
        if status.output_on:
            raise SessionError("output is still on", remedy="Stop first.", code="session-order")
        self.state, self.stop_cause = status.state, status.stop_cause
        self._maybe_on = False
        self._saw(Event.OUTPUT_ENDED)
        self._saw(Event.FOUND_OFF)
        dose = self._await(self._stimulator.dose(started.dose_number))
        after = self._await(self._stimulator.counters())
        delivered = Delivered(
            image=approved.image,
            image_sha256=approved.image_sha256,
            dose_number=started.dose_number,
            start_tick=started.start_tick,
            levels=self._levels,
            declined_tick=self._declined_tick,
        )
        found = reconcile(delivered, dose, before, after)
        self._record("reconciled", {"stop_cause": dose.stop_cause.name, **found.as_dict()}, durable=True)
        self.started = None
        if self._stage is Stage.DELIVERING:
            self._stage = Stage.LOADED
        return found

    def _amplitudes(self) -> AmplitudeGuard:
        if self._guard is None:
            raise SessionError("there is no dose under way", code="session-order")
        return self._guard
