"""The simulated stimulator without any I/O: bytes and virtual time in, bytes out.

This module is the device's clock, states, supervision and faults; what each command does is in `commands`.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Mapping, Sequence
from typing import Final

from neurostim.core.errors import ConfigError, ProtocolError
from neurostim.electrode.lead import Lead
from neurostim.electrode.library import lead
from neurostim.wire import messages as m
from neurostim.wire.codec import error_code, frame_error_code, pack, unpack_request
from neurostim.wire.frame import Frame, FrameDecoder, FrameError
from neurostim.wire.image import decode_image
from neurostim.wire.layout import Event, Lane, Need, Reply, Request
from neurostim.wire.messages import (
    ArmKind,
    DeviceState,
    ErrorCode,
    EventCode,
    FaultCode,
    Role,
    StopCause,
)
from neurostim_sim.delivery import Delivery
from neurostim_sim.engine import EngineEvent
from neurostim_sim.faults import Fault, parse_name
from neurostim_sim.impedance import Measurement
from neurostim_sim.profiles import Profile
from neurostim_sim.records import DoseRecord, Memory
from neurostim_sim.servers.line import Dice
from neurostim_sim.sessions import Outcome, Refusal, Session, SessionTable
from neurostim_sim.store import Medium, MemoryMedium, PowerCut, Store
from neurostim_sim.tissue import OutputPhysics, tissue_of
from neurostim_sim.trace import TraceFiles

US: Final = 1_000
MILLION: Final = 1_000_000
SERVICE_NS: Final = 10_000_000
SAVE_NS: Final = 1_000_000_000
TELEMETRY_BYTES: Final = 4096
BATTERY_FULL: Final = 1000
WATCHDOG_NS: Final = (m.HEARTBEAT_TIMEOUT_US + m.DEAD_MAN_RAMP_US) * US
BATTERY_SECONDS: Final = 86_400
ON: Final = (DeviceState.DELIVERING, DeviceState.RAMPING_DOWN, DeviceState.MEASURING)
WATCHED: Final = (*ON, DeviceState.ARMED)
LATCHED: Final = (DeviceState.STOPPED, DeviceState.FAULT)
ENGINE_FAULTS: Final = {"open": FaultCode.OPEN_CIRCUIT, "short": FaultCode.SHORT_CIRCUIT}


class Token:
    """The permission to start that ARM gave."""

    def __init__(self, value: int, kind: ArmKind, slot: int, given_ns: int) -> None:
        self.value = value
        self.kind = kind
        self.slot = slot
        self.given_ns = given_ns


class DeviceCore:
    """One stimulator, switched on at time 0.

    Parameters
    ----------
    profile : Profile
    seed : int
        Decides tokens and what faults do.
    medium : Medium, optional
        The lasting memory; a fresh one in memory otherwise.
    leads : sequence of Lead, optional
        What is plugged in; the profile's own lead otherwise.
    series_ohm : mapping of int to int, optional
        Resistances of single contacts [ohm].
    ppm : int
        Error of the device's clock [parts in a million]; positive runs fast.
    traces : TraceFiles, optional
        Where each dose is recorded.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        seed: int = 0,
        medium: Medium | None = None,
        leads: Sequence[Lead] = (),
        series_ohm: Mapping[int, int] | None = None,
        ppm: int = 0,
        traces: TraceFiles | None = None,
    ) -> None:
        self.profile = profile
        self.tick_ns = profile.capabilities.grid.tick_ns
        self.tissue = tissue_of(profile.capabilities.ports, leads or (lead(profile.lead),), series_ohm)
        self.dice = Dice(seed)
        self._seed = seed
        self._tokens = 0
        self.battery = BATTERY_FULL
        self._drained = 0
        self._medium: Medium = medium if medium is not None else MemoryMedium()
        self._ppm = ppm
        self._traces = traces
        self._true_ns = 0
        self._boot_ns = 0
        self._faults: list[Fault] = []
        self._sensor_works = True
        self._recharge = (1, 1)
        self.unplugged: list[int] = []
        self._output = bytearray()
        self._boot()

    # ------------------------------------------------------------------------------------ outside

    def receive(self, data: bytes) -> None:
        """Take bytes off the line at the present moment."""
        if self._hung_since is not None or self._dead:
            return
        for item in self._decoder.feed(data):
            try:
                # Looked at when a frame comes and at moments of its own, never because time was cut there:
                # the same inputs give the same record.
                self._run_output()
                self._take(item)
            except PowerCut:
                self._power_fails()
                return

    def advance(self, to_ns: int) -> None:
        """Let time pass up to ``to_ns`` [ns since the supply was switched on]."""
        while True:
            at_ns = self._next_ns()
            if at_ns is None or at_ns > to_ns:
                break
            self._true_ns = max(self._true_ns, at_ns)
            self._serve()
        self._true_ns = max(self._true_ns, to_ns)
        if self._dead or self._hung_since is not None:
            return
        try:
            self._make_log_durable()
        except PowerCut:
            self._power_fails()

    def take_output(self) -> bytes:
        """Bytes to put on the line since the last call."""
        data = bytes(self._output)
        self._output.clear()
        return data

    def next_event_ns(self) -> int | None:
        """When the device next does something on its own; None while nothing is due."""
        return self._next_ns()

    def inject(self, name: str, at_ns: int) -> None:
        """Schedule a fault of `faults.DEVICE_FAULTS`.

        Raises
        ------
        ConfigError
            For an unknown name, or a contact this device does not have.
        """
        what, contact = parse_name(name)
        if contact and contact not in self.tissue.contacts:
            raise ConfigError(
                f"there is no contact {contact} for the fault {name!r}",
                allowed=", ".join(map(str, sorted(self.tissue.contacts))),
                code="fault-contact",
            )
        heapq.heappush(self._faults, Fault(max(at_ns, self._true_ns), what, contact))

    def close(self) -> None:
        """Finish what is being recorded: output still on loses its supply."""
        if not self._dead:
            self._run_output()
        if self.delivery is not None:
            self.delivery.power_lost(self.now_ticks)
            self._finish_dose()
        self._medium.close()

    # -------------------------------------------------------------------------------------- clock

    @property
    def now_ns(self) -> int:
        """The device's own clock [ns since boot]."""
        return (self._true_ns - self._boot_ns) * (MILLION + self._ppm) // MILLION

    @property
    def now_us(self) -> int:
        """The device's own clock [us]."""
        return self.now_ns // US

    @property
    def now_ticks(self) -> int:
        """The device's own clock [ticks]."""
        return self.now_ns // self.tick_ns

    def _true_of(self, device_ns: int) -> int:
        """First true time [ns] at which the device's clock has reached ``device_ns``."""
        return self._boot_ns + -(-device_ns * MILLION // (MILLION + self._ppm))

    # --------------------------------------------------------------------------------------- boot

    def _boot(self) -> None:
        self._boot_ns = self._true_ns
        self._decoder = FrameDecoder()
        self.sessions = SessionTable()
        self.token: Token | None = None
        self.last_token = self.last_token_ns = 0
        self.delivery: Delivery | None = None
        self.measurement: Measurement | None = None
        self.measured: tuple[int, tuple[m.ContactReading, ...]] = (0, ())
        self.steps: list[int] = []
        self.stop_tick = 0
        self.telemetry_dropped = 0
        self._hung_since: int | None = None
        self._dead = False
        self._dose_ns = 0
        self._telemetry_ns = 0
        self._save_ns = 0
        self._ramp_end_ns: int | None = None
        self.memory = Memory.load(Store(self._medium), self.profile.capabilities.slots)
        memory = self.memory
        memory.boot_count += 1
        memory.note(0, EventCode.BOOT, value=memory.boot_count)
        for dose in memory.doses:
            if dose.running:
                # Power was lost during output: what started is counted, and nothing resumes.
                dose.running, dose.cause = False, int(StopCause.POWER_LOST)
                if not memory.latched:
                    memory.latched, memory.cause = True, int(StopCause.POWER_LOST)
        if memory.damaged:
            # Counters, slots and latch are lost: a person has to know before anything starts.
            memory.latched, memory.cause, memory.fault = True, int(StopCause.FAULT), int(FaultCode.MEMORY)
            memory.note(0, EventCode.FAULT, value=memory.fault)
        self.state = DeviceState.IDLE
        if memory.latched:
            self.state = DeviceState.FAULT if memory.fault else DeviceState.STOPPED
        try:
            memory.save()
        except PowerCut:
            self._dead = True

    def _power_fails(self) -> None:
        """The supply failed in the middle of a write: output is off, the processor stands still."""
        if self.delivery is not None:
            self.delivery.power_lost(self.now_ticks)
            self.delivery.write(self._traces, self._ppm)
            self.delivery = None
        self._dead = True
        self._output.clear()

    def restart(self) -> None:
        """Switch the supply off and on again."""
        self._run_output()
        if self.delivery is not None:
            self.delivery.power_lost(self.now_ticks)
            self.delivery.settle()
            self.delivery.write(self._traces, self._ppm)
        self._output.clear()
        self._boot()

    # ------------------------------------------------------------------------------------- frames

    def _take(self, item: Frame | FrameError) -> None:
        if isinstance(item, FrameError):
            code = frame_error_code(item)
            if code is not None:
                self._send_reply(None, 0, self.error(Refusal(code), 0))
            return
        try:
            request = unpack_request(item)
        except ProtocolError as error:
            code = error_code(error)
            session = self.sessions.open.get(item.session)
            self._send_reply(session, item.command_id, self.error(Refusal(code), item.type))
            return
        session = self.sessions.open.get(item.session)
        if session is not None:
            session.heard_ns = self.now_ns
        try:
            reply = self._judge(item, request, session)
        except Refusal as refusal:
            reply = self.error(refusal, item.type)
        self._make_log_durable()
        self._send_reply(session, item.command_id, reply)

    def _make_log_durable(self) -> None:
        """A record whose number was told must not be lost: its number would be given again."""
        if self.memory.unsaved:
            self.memory.save()

    def _judge(self, frame: Frame, request: Request, session: Session | None) -> Reply:
        """The order of checks of the specification, section 3."""
        from neurostim_sim.commands import execute

        if isinstance(request, (m.Stop, m.EmergencyStop)):
            return self.stop(emergency=isinstance(request, m.EmergencyStop))
        if request.NEEDS is Need.NONE:
            return execute(self, request, session)
        if session is None:
            raise Refusal(ErrorCode.NO_SESSION)
        if frame.command_id == 0:
            raise Refusal(ErrorCode.MALFORMED)
        if request.ONCE:
            kept = session.kept(frame.command_id, frame.type, frame.payload)
            if kept is not None:
                return kept
        if frame.sequence <= session.sequence:
            raise Refusal(ErrorCode.SEQUENCE_STALE)
        session.sequence = frame.sequence
        try:
            if request.NEEDS is Need.CONTROL and session.role is not Role.CONTROL:
                raise Refusal(ErrorCode.NOT_CONTROLLER)
            if request.LEASE:
                self._check_lease(frame.lease_us)
            reply = execute(self, request, session)
        except Refusal as refusal:
            if request.RAISES_OUTPUT:
                self.memory.note(self.now_us, EventCode.REFUSED, self.dose_number, value=int(refusal.code))
            reply = self.error(refusal, frame.type)
        if request.ONCE:
            session.keep(frame.command_id, Outcome(frame.type, frame.payload, reply))
        return reply

    def _check_lease(self, lease_us: int) -> None:
        age_us = self.now_us - lease_us
        if age_us < 0:
            raise Refusal(ErrorCode.LEASE_FUTURE)
        if age_us > m.LEASE_MAX_AGE_US:
            raise Refusal(ErrorCode.LEASE_STALE, age_us)

    def error(self, refusal: Refusal, request_type: int) -> m.Error:
        """The ERROR reply of a refusal."""
        return m.Error(refusal.code, request_type, self.state, refusal.detail, refusal.message[:64])

    def _send_reply(self, session: Session | None, command_id: int, reply: Reply) -> None:
        number = session.number if session else 0
        sequence = session.next_sequence() if session else 0
        if isinstance(reply, m.HelloReply):
            number, sequence = 0, 0
        self._output += pack(
            reply, session=number, sequence=sequence, command_id=command_id, lease_us=self.now_us
        )

    def tell(self, event: Event) -> None:
        """Send an event to every open session; telemetry only where the line keeps up."""
        if event.LANE is Lane.TELEMETRY and len(self._output) > TELEMETRY_BYTES:
            self.telemetry_dropped += 1
            return
        for session in self.sessions.open.values():
            self._output += pack(
                event,
                session=session.number,
                sequence=session.next_sequence(),
                command_id=0,
                lease_us=self.now_us,
            )

    # ------------------------------------------------------------------------------------- states

    @property
    def output_on(self) -> bool:
        """Whether current may flow now."""
        if self._dead:
            return False
        if self.state in ON:
            return True
        return self.delivery is not None and not self.delivery.engine.is_quiet

    @property
    def dose_number(self) -> int:
        """Dose under way, 0 for none."""
        return self.memory.doses[-1].number if self.memory.doses and self.memory.doses[-1].running else 0

    @property
    def frames_refused(self) -> int:
        """Damaged or foreign frames of this boot."""
        return self._decoder.counts.dropped_frames

    @property
    def supervised(self) -> bool:
        """Whether a living heartbeat of the controlling session is at most 300 ms old."""
        return self.dead_man_ns is not None and self.dead_man_ns > self.now_ns

    @property
    def dead_man_ns(self) -> int | None:
        """When the dead-man acts, by the device's clock; None without a living heartbeat."""
        controller = self.sessions.controller
        if controller is None or controller.living_ns is None:
            return None
        return controller.living_ns + m.HEARTBEAT_TIMEOUT_US * US

    def enter(self, state: DeviceState, dose: int = 0) -> None:
        """Change the state and tell everyone."""
        previous, self.state = self.state, state
        if previous is not state:
            self.tell(
                m.StateChanged(
                    previous,
                    state,
                    StopCause(self.memory.cause),
                    FaultCode(self.memory.fault),
                    dose or self.dose_number,
                    self.now_ticks,
                )
            )

    def drop_token(self) -> None:
        """Destroy an armed token."""
        self.token = None
        if self.state is DeviceState.ARMED:
            self.enter(DeviceState.IDLE)

    def stop(self, *, emergency: bool) -> Reply:
        """STOP and EMERGENCY_STOP: executed in any state, and latched."""
        memory = self.memory
        cause = StopCause.EMERGENCY_STOP if emergency else StopCause.STOP
        finishing = self.delivery is not None and not self.delivery.engine.is_quiet
        first = self.state not in LATCHED
        self.token = None
        if self.delivery is not None and (first or (emergency and finishing)):
            (self.delivery.emergency if emergency else self.delivery.stop)(self.now_ticks)
        takes_over = emergency and finishing and memory.cause == StopCause.STOP
        if first or takes_over:
            memory.cause, memory.latched = int(cause), True
            self.stop_tick = self.now_ticks
            memory.note(self.now_us, EventCode.STOP_COMMANDED, self.dose_number, value=int(cause))
            self._end_dose(DeviceState.STOPPED, cause)
        reply = m.EmergencyStopReply if emergency else m.StopReply
        driving = not emergency and self.delivery is not None and not self.delivery.engine.is_quiet
        return reply(self.state, StopCause(memory.cause), driving and first, self.stop_tick)

    def fault(self, code: FaultCode, *, area: int = m.NO_AREA, contact: int = 0, value: int = 0) -> None:
        """Latch a fault; output ends."""
        memory = self.memory
        if memory.fault:
            return
        dose = self.dose_number
        self.token = None
        if self.delivery is not None and self.state in ON:
            self.delivery.fault(code.name.lower(), self.now_ticks)
        memory.fault, memory.cause, memory.latched = int(code), int(StopCause.FAULT), True
        self.stop_tick = self.now_ticks
        place = contact or (0 if area == m.NO_AREA else area)
        memory.note(self.now_us, EventCode.FAULT, dose, place, int(code))
        self.tell(m.Fault(code, area, contact, value, dose, self.now_ticks))
        self._end_dose(DeviceState.FAULT, StopCause.FAULT)

    def _end_dose(self, state: DeviceState, cause: StopCause) -> None:
        """No pulse follows: enter the state, close the record; passive recovery may still run."""
        dose = self.dose_number
        memory = self.memory
        memory.cause = int(cause)
        if dose:
            record = memory.doses[-1]
            record.running, record.cause = False, int(cause)
            record.fault, record.end_tick = int(memory.fault), self.now_ticks
            memory.note(self.now_us, EventCode.DOSE_ENDED, dose, value=int(cause))
            if self.delivery is not None:
                self.delivery.settle()
        if self.measurement is not None:
            self._end_measurement(dose)
        self._ramp_end_ns = None
        self.enter(state, dose)
        memory.save()

    def _end_measurement(self, dose: int) -> None:
        assert self.measurement is not None
        at_ns = self.now_ns - self._dose_ns
        self.measurement.break_off(at_ns, self.tissue, self.profile, self.memory.contacts)
        readings = tuple(self.measurement.readings)
        self.measured = (dose, readings)
        self.tell(m.ImpedanceResult(dose, self.measurement.complete, readings))
        self.memory.note(self.now_us, EventCode.IMPEDANCE, dose, value=len(readings))
        self.measurement = None

    # ------------------------------------------------------------------------------------- starts

    def physics(self) -> OutputPhysics:
        """The output stage as it is now."""
        able = self.profile.capabilities
        return OutputPhysics(
            able.rail_mv / 1000,
            float(able.discharge_ohm),
            self.profile.open_ohm,
            self.profile.short_ohm,
            self._sensor_works,
        )

    def give_token(self, kind: ArmKind, slot: int) -> int:
        """A one-time token, not 0 and not to be guessed from earlier ones."""
        self._tokens += 1
        what = f"{self._seed}:{self.memory.boot_count}:{self._tokens}".encode()
        value = int.from_bytes(hashlib.sha256(what).digest()[:8], "little") or 1
        self.token = Token(value, kind, slot, self.now_ns)
        self.last_token, self.last_token_ns = value, self.now_ns
        return value

    def begin_dose(self, kind: ArmKind, slot: int, image_hex: str) -> tuple[DoseRecord, int]:
        """Count a dose and make it durable; only then may current flow. Returns its record and start."""
        memory = self.memory
        start = self.now_ticks + 1
        if self.delivery is not None:
            quiet = self.delivery.quiet_tick
            start = max(start, quiet if quiet is not None else start)
            self._true_finish(start)
        memory.dose_count += 1
        memory.cause = int(StopCause.NONE)
        record = DoseRecord(memory.dose_count, int(kind), slot, image_hex, memory.boot_count, start)
        memory.keep_dose(record)
        memory.note(self.now_us, EventCode.DOSE_STARTED, record.number, value=slot)
        memory.save()
        self._dose_ns = self._telemetry_ns = self._save_ns = self.now_ns
        self.steps.clear()
        return record, start

    def start_program(self, slot: int) -> DoseRecord:
        """Start the program of a slot at its ramp."""
        held = self.memory.slots[slot]
        record, _ = self.begin_dose(ArmKind.STIMULATION, slot, held.digest.hex())
        image = decode_image(held.data)
        self.delivery = Delivery(
            image, record, self.tissue, self.physics(), self.memory, recording=self._traces is not None
        )
        if self._recharge != (1, 1):
            self.delivery.engine.set_recharge(*self._recharge, 0)
        self.enter(DeviceState.DELIVERING)
        return record

    def start_measurement(self, contacts: list[int]) -> DoseRecord:
        """Start the impedance program."""
        record, _ = self.begin_dose(ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32).hex())
        self.measurement = Measurement(contacts)
        self.enter(DeviceState.MEASURING)
        return record

    def soft_stop(self) -> int:
        """Fade the output out; returns the tick from which no unit starts."""
        self.memory.note(
            self.now_us, EventCode.STOP_COMMANDED, self.dose_number, value=int(StopCause.SOFT_STOP)
        )
        if self.measurement is not None:
            self.stop_tick = self.now_ticks
            self._end_dose(DeviceState.IDLE, StopCause.SOFT_STOP)
            return self.now_ticks
        assert self.delivery is not None
        if self.state is DeviceState.DELIVERING:
            self.delivery.soft_stop(self.now_ticks)
            self.memory.cause = int(StopCause.SOFT_STOP)
            self.stop_tick = self.now_ticks
            self.enter(DeviceState.RAMPING_DOWN)
        silent = self.delivery.silent_tick
        return silent if silent is not None else self.now_ticks

    # --------------------------------------------------------------------------------------- time

    def _next_ns(self) -> int | None:
        """True time of the next thing the device does on its own."""
        times: list[int] = [fault.at_ns for fault in self._faults[:1]]
        if self._dead:
            return min(times, default=None)
        if self._hung_since is not None:
            # Output goes on as it is set, and nobody looks at it, until the hardware's own watchdog acts.
            return max(min([*times, self._true_of(self._hung_since + WATCHDOG_NS)]), self._true_ns)
        due: list[int] = [one.heard_ns + m.SESSION_TIMEOUT_US * US + 1 for one in self.sessions.open.values()]
        if self.token is not None:
            due.append(self.token.given_ns + m.ARM_TOKEN_VALID_US * US + 1)
        if self.state in WATCHED and self._ramp_end_ns is None and self.dead_man_ns is not None:
            due.append(self.dead_man_ns)
        if self._ramp_end_ns is not None:
            due.append(self._ramp_end_ns)
        if self.state in ON:
            due.append(self._telemetry_ns + m.TELEMETRY_INTERVAL_US * US)
            due.append(self._save_ns + SAVE_NS)
        if self.measurement is not None:
            due.append(self._dose_ns + self.measurement.next_ns)
        if self.delivery is not None:
            running = self.delivery.record.running
            tick = self.delivery.silent_tick if running else self.delivery.quiet_tick
            if tick is not None:
                due.append(max(tick * self.tick_ns, self.now_ns))
            if self.state in ON:
                due.append((self.now_ns // SERVICE_NS + 1) * SERVICE_NS)
        times += [self._true_of(one) for one in due]
        return max(min(times), self._true_ns) if times else None

    def _serve(self) -> None:
        """Do what is due at the present moment."""
        try:
            while self._faults and self._faults[0].at_ns <= self._true_ns:
                self._strike(heapq.heappop(self._faults))
            if self._dead:
                return
            if self._hung_since is not None:
                self._watch_processor(self._hung_since)
                return
            self._run_output()
            self._watch()
            self._report()
            for session in list(self.sessions.open.values()):
                if self.now_ns - session.heard_ns > m.SESSION_TIMEOUT_US * US:
                    self.close_session(session)
            if self.token is not None and self.now_ns - self.token.given_ns > m.ARM_TOKEN_VALID_US * US:
                self.drop_token()
            self._make_log_durable()
        except PowerCut:
            self._power_fails()

    def close_session(self, session: Session) -> None:
        """Close a session; that of the controller takes an armed token with it."""
        was_controller = session.role is Role.CONTROL
        self.sessions.close(session)
        self.memory.note(self.now_us, EventCode.SESSION_CLOSED, value=session.number)
        if was_controller:
            self.drop_token()

    def _run_output(self) -> None:
        delivery = self.delivery
        if delivery is None:
            return
        for event in delivery.advance(self.now_ticks):
            self._see(delivery, event)
        silent = delivery.silent_tick
        running = self.state in (DeviceState.DELIVERING, DeviceState.RAMPING_DOWN)
        if running and silent is not None and self.now_ticks >= silent and self._ramp_end_ns is None:
            cause = StopCause(self.memory.cause) if self.memory.cause else StopCause.COMPLETED
            self._end_dose(DeviceState.IDLE, cause)
        if not delivery.record.running and delivery.engine.is_quiet:
            self._finish_dose()

    def _see(self, delivery: Delivery, event: EngineEvent) -> None:
        if event.name in ENGINE_FAULTS:
            self.fault(ENGINE_FAULTS[event.name], area=event.area, contact=event.contact, value=event.value)
            return
        number = delivery.record.number
        self.tell(
            m.Compliance(
                number,
                delivery.start + event.at_ticks,
                event.area,
                event.contact,
                event.commanded_na,
                event.value,
            )
        )
        self.memory.note(self.now_us, EventCode.COMPLIANCE, number, place=event.contact, value=event.value)

    def _finish_dose(self) -> None:
        """Everything is quiet: close the books and write the record."""
        delivery, self.delivery = self.delivery, None
        if delivery is None:
            return
        delivery.settle()
        for contact, volt in delivery.engine.voltages().items():
            self.tissue.contacts[contact].volt = volt
        delivery.write(self._traces, self._ppm)
        self.memory.save()

    def _true_finish(self, tick: int) -> None:
        """Let the recovery of the dose before run to its end, up to a start that waits for it."""
        if self.delivery is not None:
            self.delivery.advance(tick)
            self._finish_dose()

    def _watch_processor(self, hung_ns: int) -> None:
        """The hardware's watchdog ends output 500 ms after the processor stood still, and restarts it."""
        if self.now_ns >= hung_ns + WATCHDOG_NS:
            self._run_output()
            self.fault(FaultCode.WATCHDOG)
            self.restart()

    def _watch(self) -> None:
        """The dead-man: no living heartbeat for 300 ms ends supervised output within 200 ms."""
        if self._ramp_end_ns is not None:
            if self.now_ns >= self._ramp_end_ns:
                if self.delivery is not None and self.delivery.engine.in_unit:
                    self.delivery.stop(self.now_ticks)
                self.memory.latched = True
                self._end_dose(DeviceState.STOPPED, StopCause.DEAD_MAN)
            return
        if self.state not in WATCHED:
            return
        deadline = self.dead_man_ns
        if deadline is not None and self.now_ns < deadline:
            return
        self._dead_man(deadline)

    def _dead_man(self, deadline: int | None) -> None:
        memory = self.memory
        last_ns = deadline - m.HEARTBEAT_TIMEOUT_US * US if deadline is not None else 0
        if self.state is DeviceState.ARMED:
            self.drop_token()
            return
        memory.note(self.now_us, EventCode.DEAD_MAN, self.dose_number, value=(self.now_ns - last_ns) // US)
        memory.cause = int(StopCause.DEAD_MAN)
        self.stop_tick = self.now_ticks
        if self.measurement is not None:
            memory.latched = True
            self._end_dose(DeviceState.STOPPED, StopCause.DEAD_MAN)
            return
        assert self.delivery is not None
        self.delivery.ramp_down(self.now_ticks)
        silent = self.delivery.silent_tick
        limit = self.now_ns + m.DEAD_MAN_RAMP_US * US
        self._ramp_end_ns = limit if silent is None else min(limit, silent * self.tick_ns)
        self._ramp_end_ns = max(self._ramp_end_ns, self.now_ns)
        self.enter(DeviceState.RAMPING_DOWN)

    def _report(self) -> None:
        if self.state not in ON:
            return
        if self.measurement is not None and self.now_ns >= self._dose_ns + self.measurement.next_ns:
            self.measurement.step(self.tissue, self.profile, self.memory.contacts)
            if self.measurement.complete:
                self._end_dose(DeviceState.IDLE, StopCause.COMPLETED)
                return
        if self.now_ns >= self._save_ns + SAVE_NS:
            self._save_ns = self.now_ns
            self._drained += 1
            self.battery = max(
                0, min(self.battery, BATTERY_FULL - self._drained * BATTERY_FULL // BATTERY_SECONDS)
            )
            if self.battery == 0:
                self.fault(FaultCode.BATTERY)
                return
            if not self._sensor_works:
                self.fault(FaultCode.SENSOR)
                return
            if self.delivery is not None:
                self.delivery.settle()
            self.memory.save()
        if self.now_ns >= self._telemetry_ns + m.TELEMETRY_INTERVAL_US * US:
            self._telemetry_ns = self.now_ns
            self._telemetry()

    def _telemetry(self) -> None:
        delivery, deadline = self.delivery, self.dead_man_ns
        left = max(0, deadline - self.now_ns) // US if deadline is not None else 0
        start = delivery.start if delivery else self.now_ticks
        areas = delivery.area_doses() if delivery else ()
        clipped = sum(one.clipped for one in delivery.engine.totals().areas) if delivery else 0
        self.tell(
            m.Telemetry(
                self.now_us,
                self.now_ticks,
                self.state,
                self.dose_number,
                max(0, self.now_ticks - start),
                left,
                self.battery,
                self.telemetry_dropped,
                clipped,
                areas,
            )
        )

    # ------------------------------------------------------------------------------------- faults

    def _strike(self, fault: Fault) -> None:
        from neurostim_sim.strikes import strike

        strike(self, fault)

    def body_changed(self) -> None:
        """Resistances or the sensor have changed: the output sees it from now on."""
        if self.delivery is not None:
            self.delivery.engine.refresh(self.physics(), self.delivery.at(self.now_ticks))

    def set_sensor(self, *, works: bool) -> None:
        """Let the output sensor work or stick."""
        self._sensor_works = works
        self.body_changed()

    @property
    def sensor_works(self) -> bool:
        """What the self-test of the output sensor shows."""
        return self._sensor_works

    def set_recharge(self, numerator: int, denominator: int) -> None:
        """Let the recharge source deliver this part of what it should."""
        self._recharge = (numerator, denominator)
        if self.delivery is not None:
            self.delivery.engine.set_recharge(numerator, denominator, self.delivery.at(self.now_ticks))

    def hang(self) -> None:
        """The processor stops; the output hardware goes on until its own watchdog acts."""
        if self._hung_since is None:
            self._hung_since = self.now_ns

    @property
    def dead(self) -> bool:
        """Whether the supply is gone."""
        return self._dead
