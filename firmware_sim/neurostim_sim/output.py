"""The output: its state, its starts, ends and faults. What a host may ask of it is judged elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from neurostim.wire import messages as m
from neurostim.wire.image import decode_image
from neurostim.wire.layout import Event, Reply
from neurostim.wire.messages import (
    ArmKind,
    DeviceState,
    EventCode,
    FaultCode,
    StopCause,
)
from neurostim_sim.clock import US, DeviceClock, Rates
from neurostim_sim.delivery import Delivery
from neurostim_sim.engine import EngineEvent
from neurostim_sim.engine.foresight import first_event
from neurostim_sim.entropy import Entropy
from neurostim_sim.hardware import Hardware
from neurostim_sim.impedance import Measurement
from neurostim_sim.records import SAVE_NS, DoseRecord, Memory
from neurostim_sim.selftest import clock_in_tolerance
from neurostim_sim.trace import TraceFiles

ON: Final = (DeviceState.DELIVERING, DeviceState.RAMPING_DOWN, DeviceState.MEASURING)
LATCHED: Final = (DeviceState.STOPPED, DeviceState.FAULT)
ENGINE_FAULTS: Final = {
    "open": FaultCode.OPEN_CIRCUIT,
    "short": FaultCode.SHORT_CIRCUIT,
    "limit": FaultCode.LIMIT,
}
SAFE_AT_ONCE: Final = (
    FaultCode.CHARGE_IMBALANCE,
    FaultCode.LIMIT,
    FaultCode.MEMORY,
    FaultCode.SENSOR,
    FaultCode.SOURCE,
    FaultCode.CLOCK,
)
"""Faults of the device itself: it does not trust its output to complete a pulse."""
SERVICE_NS: Final = 10_000_000
FORESIGHT_NS: Final = 500_000_000
TOKEN_BYTES: Final = 8
TOKEN_VALID_NS: Final = m.ARM_TOKEN_VALID_US * US


@dataclass(frozen=True, slots=True)
class Token:
    """The permission to start that ARM gave."""

    value: int
    kind: ArmKind
    slot: int
    given_ns: int


@dataclass(frozen=True, slots=True)
class Unattended:
    """A start that no host watches: amplitudes to begin with, how often it is saved, who is told before."""

    amplitudes_na: Sequence[int]
    save_ns: int
    opened: Callable[[DoseRecord], None]


class Output:
    """The output of one boot.

    Parameters
    ----------
    state : DeviceState
        The one that the boot leads to.
    clock : DeviceClock
    hardware : Hardware
    memory : Memory
    tell : callable
        Where events go.
    entropy : callable
        Where tokens come from.
    traces : TraceFiles, optional
        Where each dose is recorded.
    """

    def __init__(
        self,
        state: DeviceState,
        clock: DeviceClock,
        hardware: Hardware,
        memory: Memory,
        tell: Callable[[Event], None],
        entropy: Entropy,
        traces: TraceFiles | None,
    ) -> None:
        self.state = state
        self.token: Token | None = None
        self.last_token = self.last_token_ns = 0
        self.delivery: Delivery | None = None
        self.measurement: Measurement | None = None
        self.measured: tuple[int, tuple[m.ContactReading, ...]] = (0, ())
        self.steps: list[int] = []
        self.stop_tick = 0
        self.dose_ns = 0
        self.ramp_end_ns: int | None = None
        self.unattended = False
        self.hold_until_ns = 0
        self._look_ns = 0
        self._clock = clock
        self._disturbances = 0
        self._calm = False
        self._sight: int | None = None
        self._sight_of = (0, 0, 0)
        self._hardware = hardware
        self._memory = memory
        self._tell = tell
        self._entropy = entropy
        self._traces = traces

    # ------------------------------------------------------------------------------------- states

    @property
    def is_on(self) -> bool:
        """Whether current may flow now, be it that of passive recovery."""
        return self.state in ON or self.recovering

    @property
    def recovering(self) -> bool:
        """Whether contacts are still driven or shorted."""
        return self.delivery is not None and not self.delivery.engine.is_quiet

    @property
    def dose_number(self) -> int:
        """Dose under way, 0 for none."""
        doses = self._memory.doses
        return doses[-1].number if doses and doses[-1].running else 0

    def enter(self, state: DeviceState, dose: int = 0) -> None:
        """Change the state and tell everyone."""
        previous, self.state = self.state, state
        if previous is not state:
            self._tell(
                m.StateChanged(
                    previous,
                    state,
                    StopCause(self._memory.cause),
                    FaultCode(self._memory.fault),
                    dose or self.dose_number,
                    self._clock.now_ticks,
                )
            )

    # ------------------------------------------------------------------------------------- starts

    def give_token(self, kind: ArmKind, slot: int) -> int:
        """A one-time token, not 0 and not to be guessed from earlier ones."""
        value = int.from_bytes(self._entropy(TOKEN_BYTES), "little") or 1
        self.token = Token(value, kind, slot, self._clock.now_ns)
        self.last_token, self.last_token_ns = value, self._clock.now_ns
        return value

    def drop_token(self) -> None:
        """Destroy an armed token."""
        self.token = None
        if self.state is DeviceState.ARMED:
            self.enter(DeviceState.IDLE)

    def expire_token(self) -> None:
        """Destroy an armed token that is too old."""
        if self.token is not None and self._clock.now_ns - self.token.given_ns > m.ARM_TOKEN_VALID_US * US:
            self.drop_token()

    def begin_dose(
        self,
        kind: ArmKind,
        slot: int,
        image_hex: str,
        contacts: Sequence[int] = (),
        unattended: Unattended | None = None,
    ) -> DoseRecord:
        """Count a dose and make it durable; only then may current flow."""
        memory = self._memory
        start = max(self._clock.now_ticks + 1, -(-self.hold_until_ns // self._clock.tick_ns))
        if self.delivery is not None:
            quiet = self.delivery.quiet_tick
            start = max(start, quiet if quiet is not None else start)
            self._finish_recovery(start)
        memory.dose_count += 1
        memory.cause = int(StopCause.NONE)
        record = DoseRecord(
            memory.dose_count,
            int(kind),
            slot,
            image_hex,
            memory.boot_count,
            start,
            contacts=list(contacts),
            save_ns=SAVE_NS if unattended is None else unattended.save_ns,
        )
        memory.keep_dose(record)
        self.unattended = unattended is not None
        if unattended is not None:
            unattended.opened(record)
        memory.note(self._clock.now_us, EventCode.DOSE_STARTED, record.number, value=slot)
        memory.save()
        self.dose_ns = self._clock.now_ns
        self.steps.clear()
        return record

    def start_program(self, slot: int, unattended: Unattended | None = None) -> DoseRecord:
        """Start the program of a slot at its ramp; unattended at the amplitudes that are given."""
        held = self._memory.slots[slot]
        record = self.begin_dose(ArmKind.STIMULATION, slot, held.digest.hex(), unattended=unattended)
        hardware = self._hardware
        self.delivery = Delivery(
            decode_image(held.data),
            record,
            hardware.tissue,
            hardware.physics(),
            self._memory,
            recording=self._traces is not None,
            amplitudes_na=None if unattended is None else unattended.amplitudes_na,
            unattended=unattended is not None,
        )
        if hardware.recharge != (1, 1):
            self.delivery.engine.set_recharge(*hardware.recharge, 0)
        if hardware.source != (1, 1):
            self.delivery.engine.set_source(*hardware.source, 0)
        self.enter(DeviceState.DELIVERING)
        return record

    def start_measurement(self, contacts: list[int], unattended: Unattended | None = None) -> DoseRecord:
        """Start the impedance program."""
        record = self.begin_dose(ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32).hex(), contacts, unattended)
        self.measurement = Measurement(contacts)
        self.enter(DeviceState.MEASURING)
        return record

    def step_measurement(self) -> None:
        """Read the next contact where it is due."""
        measurement = self.measurement
        if measurement is None or self._clock.now_ns < self.dose_ns + measurement.next_ns:
            return
        hardware = self._hardware
        measurement.step(hardware.tissue, hardware.profile, self._memory.contacts)
        self._memory.doses[-1].read = len(measurement.readings)
        if measurement.complete:
            self._end_dose(DeviceState.IDLE, StopCause.COMPLETED)

    # -------------------------------------------------------------------------------------- stops

    def soft_stop(self, cause: StopCause = StopCause.SOFT_STOP) -> int:
        """Fade the output out; returns the tick from which no unit starts."""
        now = self._clock.now_ticks
        self._memory.note(self._clock.now_us, EventCode.STOP_COMMANDED, self.dose_number, value=int(cause))
        if self.measurement is not None:
            self.stop_tick = now
            self._end_dose(DeviceState.IDLE, cause)
            return now
        assert self.delivery is not None
        if self.state is DeviceState.DELIVERING:
            self.delivery.soft_stop(now)
            self._memory.cause = int(cause)
            self.stop_tick = now
            self.enter(DeviceState.RAMPING_DOWN)
        silent = self.delivery.silent_tick
        return silent if silent is not None else now

    def end_now(self, cause: StopCause) -> None:
        """Complete the pulse under way and start none, without a latch: the patient's second stop."""
        now = self._clock.now_ticks
        if self.delivery is None or self.state not in (DeviceState.DELIVERING, DeviceState.RAMPING_DOWN):
            return
        self.delivery.stop(now)
        self.stop_tick = now
        self._end_dose(DeviceState.IDLE, cause)

    def cut_supply(self) -> None:
        """The supply of the output is gone at once, by a switch that needs no processor."""
        if self.delivery is not None:
            self.delivery.power_lost(self._clock.now_ticks)

    def supply_was_cut(self) -> None:
        """The processor sees that the off button was pressed, and latches it."""
        memory = self._memory
        self.token = None
        memory.note(self._clock.now_us, EventCode.OFF_BUTTON, self.dose_number)
        if self.state not in LATCHED:
            memory.cause, memory.latched = int(StopCause.OFF_BUTTON), True
            self.stop_tick = self._clock.now_ticks
            self._end_dose(DeviceState.STOPPED, StopCause.OFF_BUTTON)

    def stop(self, *, emergency: bool) -> Reply:
        """STOP and EMERGENCY_STOP: executed in any state, and latched."""
        memory, now = self._memory, self._clock.now_ticks
        cause = StopCause.EMERGENCY_STOP if emergency else StopCause.STOP
        finishing = self.recovering
        first = self.state not in LATCHED
        self.token = None
        if self.delivery is not None and (first or (emergency and finishing)):
            (self.delivery.emergency if emergency else self.delivery.stop)(now)
        takes_over = emergency and finishing and memory.cause == StopCause.STOP
        if first or takes_over:
            memory.cause, memory.latched = int(cause), True
            self.stop_tick = now
            memory.note(self._clock.now_us, EventCode.STOP_COMMANDED, self.dose_number, value=int(cause))
            self._end_dose(DeviceState.STOPPED, cause)
        reply = m.EmergencyStopReply if emergency else m.StopReply
        driving = not emergency and self.recovering
        return reply(self.state, StopCause(memory.cause), driving and first, self.stop_tick)

    def dead_man(self) -> None:
        """Fade the output out within 200 ms, or drop what is armed: nobody watches any more."""
        if self.state is DeviceState.ARMED:
            self.drop_token()
            return
        now = self._clock.now_ticks
        self._memory.cause = int(StopCause.DEAD_MAN)
        self.stop_tick = now
        if self.measurement is not None:
            self._memory.latched = True
            self._end_dose(DeviceState.STOPPED, StopCause.DEAD_MAN)
            return
        assert self.delivery is not None
        self.delivery.ramp_down(now)
        silent = self.delivery.silent_tick
        limit = self._clock.now_ns + m.DEAD_MAN_RAMP_US * US
        end = limit if silent is None else min(limit, silent * self._clock.tick_ns)
        self.ramp_end_ns = max(end, self._clock.now_ns)
        self.enter(DeviceState.RAMPING_DOWN)

    def end_dead_man_ramp(self) -> None:
        """The dead-man's time is over: what still runs ends, and the stop is latched."""
        if self.ramp_end_ns is None or self._clock.now_ns < self.ramp_end_ns:
            return
        if self.delivery is not None and self.delivery.engine.in_unit:
            self.delivery.stop(self._clock.now_ticks)
        self._memory.latched = True
        self._end_dose(DeviceState.STOPPED, StopCause.DEAD_MAN)

    def fault(self, code: FaultCode, *, area: int = m.NO_AREA, contact: int = 0, value: int = 0) -> None:
        """Latch a fault; output ends."""
        memory, now = self._memory, self._clock.now_ticks
        if memory.fault:
            return
        dose = self.dose_number
        self.token = None
        if self.delivery is not None and self.state in ON:
            if code in SAFE_AT_ONCE:
                self.delivery.emergency(now)
            else:
                self.delivery.fault(code.name.lower(), now)
        memory.fault, memory.cause, memory.latched = int(code), int(StopCause.FAULT), True
        self.stop_tick = now
        place = contact or (0 if area == m.NO_AREA else area)
        memory.note(self._clock.now_us, EventCode.FAULT, dose, place, int(code))
        self._tell(m.Fault(code, area, contact, value, dose, now))
        self._end_dose(DeviceState.FAULT, StopCause.FAULT)

    def lose_power(self) -> None:
        """The supply is gone: what flowed until now is counted and recorded."""
        if self.delivery is None:
            return
        self.delivery.power_lost(self._clock.now_ticks)
        self.delivery.settle()
        self._give_back(self.delivery)
        self.delivery.write(self._traces, self._rates_of(self.delivery))
        self.delivery = None

    def close(self) -> None:
        """Finish what is being recorded: output still on loses its supply."""
        if self.delivery is not None:
            self.delivery.power_lost(self._clock.now_ticks)
            self._finish_dose()

    # --------------------------------------------------------------------------------------- time

    def run(self) -> None:
        """Let the output run to the present moment, and see what became of it."""
        delivery = self.delivery
        if delivery is None:
            return
        now = self._clock.now_ticks
        for event in delivery.advance(now):
            self._see(delivery, event)
        silent = delivery.silent_tick
        running = self.state in (DeviceState.DELIVERING, DeviceState.RAMPING_DOWN)
        if running and silent is not None and now >= silent and self.ramp_end_ns is None:
            cause = StopCause(self._memory.cause) if self._memory.cause else StopCause.COMPLETED
            self._end_dose(DeviceState.IDLE, cause)
        if not delivery.record.running and delivery.engine.is_quiet:
            self._finish_dose()

    def look(self) -> None:
        """What the monitor beside the output finds at its own moments, and the second time base."""
        now_ns = self._clock.now_ns
        if self.delivery is None or self.state not in ON or now_ns < self._look_ns:
            return
        self._look_ns = (now_ns // SERVICE_NS + 1) * SERVICE_NS
        self._read(self.delivery, works=self._hardware.sensor_works)
        if not clock_in_tolerance(self._clock):
            self.fault(FaultCode.CLOCK, value=self._clock.measured_ppm)

    def _read(self, delivery: Delivery, *, works: bool) -> None:
        since_ns = self._clock.now_ns - delivery.start * self._clock.tick_ns
        found = delivery.monitor.look(since_ns, works=works)
        if found is not None:
            self.fault(found.fault, contact=found.contact, value=found.value)

    def due(self) -> list[int]:
        """Moments of the device's clock [ns] at which the output has to be looked at."""
        times: list[int] = []
        if self.token is not None:
            times.append(self.token.given_ns + TOKEN_VALID_NS + 1)
        if self.ramp_end_ns is not None:
            times.append(self.ramp_end_ns)
        if self.measurement is not None:
            times.append(self.dose_ns + self.measurement.next_ns)
        if self.delivery is not None:
            now_ns = self._clock.now_ns
            running = self.delivery.record.running
            tick = self.delivery.silent_tick if running else self.delivery.quiet_tick
            if tick is not None:
                times.append(max(tick * self._clock.tick_ns, now_ns))
            self._calm = self._undisturbed
            if self.state in ON:
                if not self._calm:
                    times.append((now_ns // SERVICE_NS + 1) * SERVICE_NS)
                elif not self.unattended:
                    times.append(self._next_sight(self.delivery, now_ns))
        return times

    def _next_sight(self, delivery: Delivery, now_ns: int) -> int:
        """The next of its moments, one each 10 ms, at which a look shows something [ns].

        The looks between show nothing, so they need not be played; a change from outside makes this void.
        """
        horizon_ns = (now_ns // FORESIGHT_NS + 1) * FORESIGHT_NS
        tick_ns = self._clock.tick_ns
        so_far = (len(delivery.commands), self._disturbances, horizon_ns)
        event = self._sight
        if self._sight_of != so_far or (event is not None and event <= delivery.engine.now_ticks):
            self._sight_of = so_far
            event = self._sight = first_event(delivery.engine, horizon_ns // tick_ns - delivery.start)
        if event is None:
            return horizon_ns
        seen_ns = -(-(event + delivery.start) * tick_ns // SERVICE_NS) * SERVICE_NS
        return min(max(seen_ns, (now_ns // SERVICE_NS + 1) * SERVICE_NS), horizon_ns)

    @property
    def _undisturbed(self) -> bool:
        """Whether the monitor cannot find anything, so that its looks need not be played."""
        if not (self._hardware.nominal and clock_in_tolerance(self._clock)):
            return False
        return self.delivery is None or not self.delivery.engine.clipping

    def refresh(self) -> None:
        """Resistances or the sensor have changed: the output sees it from now on."""
        if self.delivery is not None:
            self._disturb(self.delivery)
            self.delivery.engine.refresh(self._hardware.physics(), self.delivery.at(self._clock.now_ticks))

    def _disturb(self, delivery: Delivery) -> None:
        """Void what was foreseen; where looks were left out, the monitor reads once more what was before."""
        delivery.disturbed()
        self._disturbances += 1
        if self._calm:
            self._calm = False
            self._read(delivery, works=True)

    def refresh_recharge(self) -> None:
        """The recharge source has changed."""
        if self.delivery is not None:
            self._disturb(self.delivery)
            at = self.delivery.at(self._clock.now_ticks)
            self.delivery.engine.set_recharge(*self._hardware.recharge, at)
            self.delivery.engine.set_source(*self._hardware.source, at)

    # --------------------------------------------------------------------------------------- ends

    def _end_dose(self, state: DeviceState, cause: StopCause) -> None:
        """No pulse follows: enter the state, close the record; passive recovery may still run."""
        dose, memory = self.dose_number, self._memory
        memory.cause = int(cause)
        if dose:
            record = memory.doses[-1]
            record.running, record.cause = False, int(cause)
            record.fault, record.end_tick = int(memory.fault), self._clock.now_ticks
            memory.note(self._clock.now_us, EventCode.DOSE_ENDED, dose, value=int(cause))
            if self.delivery is not None:
                self.delivery.settle()
        if self.measurement is not None:
            self._end_measurement(self.measurement, dose)
            memory.doses[-1].settled = True
        self.ramp_end_ns = None
        self.enter(state, dose)
        memory.save()

    def _end_measurement(self, measurement: Measurement, dose: int) -> None:
        hardware = self._hardware
        at_ns = self._clock.now_ns - self.dose_ns
        measurement.break_off(at_ns, hardware.tissue, hardware.profile, self._memory.contacts)
        readings = tuple(measurement.readings)
        self.measured = (dose, readings)
        self._tell(m.ImpedanceResult(dose, measurement.complete, readings))
        self._memory.note(self._clock.now_us, EventCode.IMPEDANCE, dose, value=len(readings))
        self.measurement = None

    def _finish_recovery(self, tick: int) -> None:
        """Let the recovery of the dose before run to its end, up to a start that waits for it."""
        if self.delivery is not None:
            self.delivery.advance(tick)
            self._finish_dose()

    def _finish_dose(self) -> None:
        """Everything is quiet: close the books and write the record."""
        delivery, self.delivery = self.delivery, None
        if delivery is None:
            return
        delivery.settle()
        delivery.record.settled = True
        self._give_back(delivery)
        delivery.write(self._traces, self._rates_of(delivery))
        self._memory.save()

    def _rates_of(self, delivery: Delivery) -> int | Rates:
        """How fast the clock ran from the start of a dose on."""
        return self._clock.rates_since(delivery.start * self._clock.tick_ns)

    def _give_back(self, delivery: Delivery) -> None:
        """What is left on the contacts stays on them."""
        for contact, volt in delivery.engine.voltages().items():
            self._hardware.tissue.contacts[contact].volt = volt

    def _see(self, delivery: Delivery, event: EngineEvent) -> None:
        if event.name in ENGINE_FAULTS:
            self.fault(ENGINE_FAULTS[event.name], area=event.area, contact=event.contact, value=event.value)
            return
        number = delivery.record.number
        at_tick = delivery.start + event.at_ticks
        self._tell(m.Compliance(number, at_tick, event.area, event.contact, event.commanded_na, event.value))
        self._memory.note(
            self._clock.now_us, EventCode.COMPLIANCE, number, place=event.contact, value=event.value
        )
