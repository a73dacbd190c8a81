"""Autonomous mode: what the patient's own control does, and what ends it. No host has a part in it.

Only a deliberate press starts; every start begins at the lowest amplitude of the patient's range and rises
with the program's own ramp, whatever ended the output before. A level is a number of steps above those lowest
amplitudes; all areas move together, each up to its own maximum, so what a patient can reach is one line of
combinations and not their product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from neurostim.core.image import ProgramImage
from neurostim.wire import messages as m
from neurostim.wire.image import decode_image
from neurostim.wire.layout import Request
from neurostim.wire.messages import (
    ContactStatus,
    DeviceState,
    ErrorCode,
    EventCode,
    FaultCode,
    StopCause,
    UsageKind,
)
from neurostim_sim.clock import DeviceClock
from neurostim_sim.delivery import Delivery
from neurostim_sim.hardware import Hardware
from neurostim_sim.home import battery
from neurostim_sim.home.account import Account
from neurostim_sim.home.controls import Button, Signal, Unheeded
from neurostim_sim.home.display import DAY_US, PATIENT_CLEARS, signals_of
from neurostim_sim.home.lockout import lock_after, remembered
from neurostim_sim.home.permitted import is_permitted
from neurostim_sim.home.release import Release, ReleasedProgram, still_proven
from neurostim_sim.home.state import CHECKPOINT_NS, HomeState
from neurostim_sim.home.supply import Supply
from neurostim_sim.home.usage import RESERVE, UsageLog
from neurostim_sim.output import ON, Output, Unattended
from neurostim_sim.records import DoseRecord, Memory
from neurostim_sim.selftest import failing, heal, is_whole
from neurostim_sim.sessions import Refusal

_DAY_LEFT: Final = Signal.DAY_LEFT.name
_BATTERY_LOW: Final = Signal.BATTERY_LOW.name
SECOND_NS: Final = 1_000_000_000
HOUR_NS: Final = 3_600_000_000_000
REPEAT_NS: Final = 400_000_000
"""A held DOWN button steps again after this time. No other button repeats."""
MEASURE_EVERY_US: Final = 12 * 3_600_000_000
"""A start measures the contacts of its program first where the last reading is older than this."""
STEPS_TOLD: Final = 60
"""Steps of one hour that are told one by one; more are told as a sum, so that no button fills the log."""


@dataclass
class Running:
    """The patient's dose: its program, its level, and what of it has been accounted for."""

    program: ReleasedProgram
    image: ProgramImage
    dose: DoseRecord
    delivery: Delivery
    level: int = 0
    ended: bool = False
    steps_told: int = 0
    steps_untold: int = 0


class Home:
    """The home room of one boot.

    Parameters
    ----------
    clock : DeviceClock
    hardware : Hardware
    memory : Memory
    output : Output
    """

    def __init__(self, clock: DeviceClock, hardware: Hardware, memory: Memory, output: Output) -> None:
        self.state = HomeState(memory, clock)
        self.usage = UsageLog(memory.store, self.state.kept["floor"])
        self.running: Running | None = None
        self._clock = clock
        self._hardware = hardware
        self._memory = memory
        self._output = output
        self._account = Account(memory, self.state, self.usage, clock.tick_ns)
        self._chosen_start: ReleasedProgram | None = None
        self._measuring: DoseRecord | None = None
        self._held: Button | None = None
        self._repeat_ns = 0
        self._checked_ns = 0
        self._supply = Supply(hardware, clock)
        self._known_fault = int(memory.fault)
        self._test_ns: int | None = None
        self.draft: Release | None = None
        self.draft_session = 0

    # --------------------------------------------------------------------------------------- boot

    def begin(self, added: Mapping[int, Sequence[int]]) -> None:
        """After a boot: tell the log what it had not been told. Output is off, and stays off.

        Parameters
        ----------
        added : mapping of int to sequence of int
            By contact, what the boot has added to the counters for what may have flowed unseen.
        """
        hardware = self._hardware
        if hardware.off_pressed:
            self._note(EventCode.OFF_BUTTON)
            self._see_off_button()
        if hardware.battery_changed:
            self._note(EventCode.BATTERY, value=hardware.battery)
        if not self.autonomous:
            hardware.battery_changed = False
            return
        self._account.recover(self._clock.now_us, added)
        self._tell(UsageKind.BOOT, count=self._memory.boot_count)
        if hardware.battery_changed:
            hardware.battery_changed = False
            self._tell(UsageKind.BATTERY, count=1, value=hardware.battery)

    @property
    def autonomous(self) -> bool:
        """Whether the device is released: then no host changes anything but by taking it back."""
        return self.state.active

    def release_now(self, release: Release, digest: bytes) -> None:
        """Begin autonomous mode: the log first, the mark in the memory last."""
        memory = self._memory
        self.usage.tell_wall(release.wall_s, self._clock.now_us)
        self._tell(UsageKind.RELEASED, count=release.number)
        self._tell(UsageKind.BATTERY, value=self._hardware.battery)
        self.draft = None
        self.state.begin(release, digest)
        self._account.begin()
        self._checked_ns = self._clock.now_ns
        self._supply.begin()
        self._known_fault = int(memory.fault)
        self._note(EventCode.RELEASED, value=release.number)
        memory.save()

    def take_back(self) -> int:
        """End autonomous mode; returns the number of the release."""
        number: int = self.state.kept["number"]
        self._supply.rest()
        self._tell(UsageKind.TAKEN_BACK, count=number)
        self.state.end()
        self._held = None
        self._note(EventCode.TAKEN_BACK, value=number)
        self._memory.save()
        return number

    def erase(self) -> None:
        """Forget release and usage log: the device changes hands. The log was read before."""
        floor = self.usage.next_index
        self.state.erase(floor)
        self._memory.save()
        self.usage.forget(floor)

    def refuse(self, request: Request) -> None:
        """Refuse what would change anything while released.

        Raises
        ------
        Refusal
        """
        if self.autonomous and not is_permitted(request):
            raise Refusal(ErrorCode.AUTONOMOUS)

    # ------------------------------------------------------------------------------- what it shows

    @property
    def chosen(self) -> ReleasedProgram | None:
        """The program that START would start."""
        release = self.state.release
        if not self.autonomous or release is None:
            return None
        return release.program_of(self.state.kept["chosen"])

    @property
    def level(self) -> int | None:
        """Steps above the lowest amplitudes; None with output off."""
        return self.running.level if self.running is not None and not self.running.ended else None

    @property
    def battery_hours(self) -> int:
        """Hours the battery carries the chosen program, were it at the top of the patient's range [h]."""
        program = self.chosen
        if program is None or not is_whole(self._memory.slots[program.slot]):
            return 0
        image = decode_image(self._memory.slots[program.slot].data)
        rail = self._hardware.profile.capabilities.rail_mv
        return battery.hours_left(image, program.amplitudes(program.top), rail, self._hardware.battery)

    @property
    def signals(self) -> frozenset[Signal]:
        """What the patient's control shows now."""
        fault = FaultCode(self._memory.fault)
        return signals_of(self.state, self._hardware.battery, fault, on=self._output.state in ON)

    # -------------------------------------------------------------------------------------- buttons

    def press(self, button: Button) -> Unheeded | None:
        """A button was pressed and let go; says why it did nothing, where it did nothing."""
        if button is Button.STOP:
            self._stop()
            return None
        if not self.autonomous:
            return Unheeded.NOT_RELEASED
        if button is Button.START:
            return self._start()
        if button is Button.SWITCH:
            return self._switch()
        return self._step(1 if button is Button.UP else -1)

    def hold(self, button: Button) -> Unheeded | None:
        """A button is pressed and stays down; only DOWN repeats."""
        answer = self.press(button)
        self._held = button
        self._repeat_ns = self._clock.now_ns + REPEAT_NS
        return answer

    def let_go(self) -> None:
        """The button that was held is up again."""
        self._held = None

    def saw_off_button(self) -> None:
        """The off button has cut the supply; the processor is alive to see it."""
        self._see_off_button()
        self._chosen_start = None
        self._output.supply_was_cut()

    def _see_off_button(self) -> None:
        self._hardware.off_pressed = False
        if self.autonomous:
            self._tell(UsageKind.OFF_BUTTON)

    def _start(self) -> Unheeded | None:
        program = self.chosen
        output, memory = self._output, self._memory
        if program is None or self.state.expired:
            return Unheeded.EXPIRED
        if output.state in ON:
            return Unheeded.ON
        if self.running is not None or self._measuring is not None or output.recovering:
            return Unheeded.NOT_YET
        if self.state.locked_us:
            return Unheeded.LOCKED
        now_us = self.state.powered_us
        starts: tuple[int, ...] = self.state.kept["starts"]
        seconds = lock_after(starts, now_us)
        if seconds:
            self.state.kept["locked_us"] = now_us + seconds * 1_000_000
            self._note(EventCode.START_LOCKOUT, value=seconds)
            self._tell(UsageKind.LOCKOUT, value=seconds)
            memory.save()
            return Unheeded.LOCKED
        if self._hardware.battery <= battery.FLOOR_PERMILLE:
            return Unheeded.BATTERY
        if self.usage.room < RESERVE:
            return Unheeded.LOG_FULL
        if memory.latched and not self._clear_latch():
            out = FaultCode(memory.fault) is FaultCode.LEAD_UNPLUGGED
            return Unheeded.LEAD_OUT if out else Unheeded.FAULT
        if not self._self_test(program):
            return Unheeded.FAULT
        self.state.kept["starts"] = remembered(starts, now_us)
        self._note(EventCode.PATIENT_START, value=program.slot)
        measured = self.state.kept["measured_us"]
        if measured is None or now_us - measured >= MEASURE_EVERY_US:
            self._measure(program)
        else:
            self._deliver(program)
        return None

    def _clear_latch(self) -> bool:
        """Whether the latch is one that a deliberate start clears; it is cleared then."""
        memory, hardware = self._memory, self._hardware
        fault = FaultCode(memory.fault)
        if fault:
            out = fault is FaultCode.LEAD_UNPLUGGED and bool(hardware.unplugged)
            if fault not in PATIENT_CLEARS or out:
                return False
            # A lead has been out or a contact open: look before current flows.
            self.state.kept["measured_us"] = None
        self._note(EventCode.CLEARED, value=memory.cause)
        memory.latched, memory.fault = False, int(FaultCode.NONE)
        self._known_fault = 0
        self._output.enter(DeviceState.IDLE)
        return True

    def _self_test(self, program: ReleasedProgram) -> bool:
        """Everything that was proven at the release holds still; a fault is latched otherwise."""
        release, memory = self.state.release, self._memory
        assert release is not None
        code = failing(memory, self._hardware, self._clock)
        if code is not FaultCode.NONE:
            self._note(EventCode.SELF_TEST, value=int(code))
            self._output.fault(code)
            heal(memory)
            return False
        whole = release.digest().hex() == self.state.kept["sha256"] and not self.usage.broken
        if whole and still_proven(program, memory.slots[program.slot], self._hardware.profile):
            return True
        self._output.fault(FaultCode.MEMORY)
        return False

    def _measure(self, program: ReleasedProgram) -> None:
        """Read the contacts of a program first, at currents nobody feels; it starts where they are whole."""
        image = decode_image(self._memory.slots[program.slot].data)
        contacts = sorted({contact for area in image.areas for contact, _ in area.shares})
        self._supply.rest()
        dose = self._output.start_measurement(contacts, self._unattended(()))
        self._measuring, self._chosen_start = dose, program

    def _deliver(self, program: ReleasedProgram) -> None:
        held = self._memory.slots[program.slot]
        self._supply.rest()
        dose = self._output.start_program(program.slot, self._unattended(program.amplitudes(0)))
        delivery = self._output.delivery
        assert delivery is not None
        self.running = Running(program, decode_image(held.data), dose, delivery)
        self._tell(UsageKind.START, slot=program.slot, count=dose.number)

    def _unattended(self, amplitudes_na: Sequence[int]) -> Unattended:
        return Unattended(amplitudes_na, CHECKPOINT_NS, self._account.opened)

    def _step(self, by: int) -> Unheeded | None:
        running = self.running
        if running is None or running.ended or self._output.state is not DeviceState.DELIVERING:
            return Unheeded.OFF
        level = running.level + by
        if not 0 <= level <= running.program.top:
            return Unheeded.AT_END
        now_ns = self._clock.now_ns
        if by > 0:
            recent = [at for at in self._output.steps if now_ns - at < SECOND_NS]
            # Two steps must not meet in one unit: at a slow rate three a second would be a jump.
            areas = range(len(running.program.ranges))
            rises = all(running.delivery.may_rise(area) for area in areas)
            if len(recent) >= m.AMPLITUDE_STEPS_PER_S or not rises:
                return Unheeded.TOO_FAST
            self._output.steps[:] = [*recent, now_ns]
        before, after = running.program.amplitudes(running.level), running.program.amplitudes(level)
        running.level = level
        for area, (was, will) in enumerate(zip(before, after, strict=True)):
            if was == will:
                continue
            running.delivery.set_amplitude(area, will, self._clock.now_ticks)
            self._note(EventCode.PATIENT_STEP, place=area, value=will)
        if running.steps_told < STEPS_TOLD:
            running.steps_told += 1
            self._tell_step(running, 1)
        else:
            running.steps_untold += 1
        return None

    def _tell_step(self, running: Running, presses: int) -> None:
        for area, amplitude in enumerate(running.program.amplitudes(running.level)):
            self._tell(UsageKind.STEP, slot=running.program.slot, place=area, count=presses, value=amplitude)

    def _switch(self) -> Unheeded | None:
        """The next program is chosen; output fades to zero first and does not begin again by itself."""
        release, program = self.state.release, self.chosen
        if release is None or program is None or self.state.expired:
            return Unheeded.EXPIRED
        if len(release.programs) == 1:
            return Unheeded.ONE_PROGRAM
        place = release.programs.index(program)
        following = release.programs[(place + 1) % len(release.programs)]
        self.state.kept["chosen"] = following.slot
        self._note(EventCode.PATIENT_SWITCH, value=following.slot)
        self._tell(UsageKind.SWITCH, slot=following.slot)
        self._fade(StopCause.PATIENT_STOP)
        return None

    def _stop(self) -> None:
        """The first press fades out; a second, or one where no patient started, stops at once."""
        output = self._output
        if not self.autonomous:
            output.stop(emergency=False)
        elif output.state is DeviceState.RAMPING_DOWN:
            output.end_now(StopCause.PATIENT_STOP)
        else:
            self._fade(StopCause.PATIENT_STOP)

    def _fade(self, cause: StopCause) -> None:
        self._chosen_start = None
        if self._output.state in (DeviceState.DELIVERING, DeviceState.MEASURING):
            self._note(EventCode.PATIENT_STOP, value=int(cause))
            self._output.soft_stop(cause)

    # ----------------------------------------------------------------------------------------- time

    def due(self) -> list[int]:
        """Moments of the device's clock [ns] at which this room has something to do."""
        if not self.autonomous:
            return []
        now_ns = self._clock.now_ns
        if self._unfinished():
            return [now_ns]
        times = [self._next_checkpoint(now_ns)]
        release = self.state.release
        if release is not None and not self.state.expired:
            end_us = release.expires_s * 1_000_000
            times.append(max(now_ns, self.state.device_ns_of(end_us)))
            if _DAY_LEFT not in self.state.kept["signalled"]:
                times.append(max(now_ns, self.state.device_ns_of(max(0, end_us - DAY_US))))
        if self._held is Button.DOWN:
            times.append(max(now_ns, self._repeat_ns))
        if self._test_ns is not None:
            times.append(max(now_ns, self._test_ns))
        running = self.running
        if running is not None and self._output.state in ON:
            times.append(max(now_ns, (running.delivery.next_look() + 1) * self._clock.tick_ns))
        return times

    def watch(self) -> None:
        """Do what is due at the present moment; the output has run up to it."""
        if not self.autonomous:
            return
        self._follow_output()
        now_ns = self._clock.now_ns
        if self._held is Button.DOWN and now_ns >= self._repeat_ns:
            self._repeat_ns = now_ns + REPEAT_NS
            self._step(-1)
        if self._test_ns is not None and now_ns >= self._test_ns:
            self._test_ns = None
            self._test_parts()
        self._watch_end()
        if now_ns // CHECKPOINT_NS > self._checked_ns // CHECKPOINT_NS:
            hour = now_ns // HOUR_NS > self._checked_ns // HOUR_NS
            self._checked_ns = now_ns
            self._check(hour=hour)

    def body_changed(self) -> None:
        """A part or a resistance has changed: the test of every second will see it at the next one."""
        if self.autonomous and self._output.state in ON:
            self._test_ns = (self._clock.now_ns // SECOND_NS + 1) * SECOND_NS

    def lead_changed(self, port: int, *, plugged: bool) -> None:
        """A lead has left its port, or is back in it."""
        if self.autonomous:
            self.state.kept["measured_us"] = None
            self._tell(UsageKind.LEAD, place=port, value=int(plugged))

    def _unfinished(self) -> bool:
        """Whether output has ended in a way this room has not followed yet."""
        running, fault = self.running, int(self._memory.fault)
        if self._measuring is not None and not self._measuring.running:
            return True
        if fault != self._known_fault:
            return True
        if running is None:
            return False
        return (
            not running.dose.running and not running.ended
        ) or self._output.delivery is not running.delivery

    def _follow_output(self) -> None:
        if int(self._memory.fault) != self._known_fault:
            self._known_fault = int(self._memory.fault)
            if self._known_fault:
                self._tell(UsageKind.FAULT, place=self._fault_place(), value=self._known_fault)
        running = self.running
        if running is not None and not running.dose.running and not running.ended:
            running.ended = True
            self._account.tell_stop(self._clock.now_us, running.dose)
        if running is not None and self._output.delivery is not running.delivery:
            self._close_account(running, last=True)
            self.running = None
        if self._measuring is not None and not self._measuring.running:
            self._measured(self._measuring)

    def _measured(self, dose: DoseRecord) -> None:
        """The contacts have been read: log them, and start where all are whole and nobody has stopped."""
        program, self._chosen_start, self._measuring = self._chosen_start, None, None
        readings = self._output.measured[1] if self._output.measured[0] == dose.number else ()
        for one in readings:
            self._tell(UsageKind.IMPEDANCE, place=one.contact, count=int(one.status), value=one.series_ohm)
        self._account.flush(self._clock.now_us, dose, None, last=True)
        self._supply.measure()
        if program is None or dose.cause != StopCause.COMPLETED:
            return
        bad = next((one for one in readings if one.status in _FAULTS), None)
        if bad is not None:
            self._output.fault(_FAULTS[bad.status], contact=bad.contact, value=bad.series_ohm)
            self._follow_output()
            return
        self.state.kept["measured_us"] = self.state.powered_us
        # What was proven at the press may have changed in memory while the contacts were read.
        if self._self_test(program):
            self._deliver(program)

    def _watch_end(self) -> None:
        state = self.state
        if state.expired:
            return
        left = state.left_us
        if left <= DAY_US and _DAY_LEFT not in state.kept["signalled"]:
            state.kept["signalled"] += (_DAY_LEFT,)
            self._note(EventCode.EXPIRING, value=left // 1_000_000)
            self._tell(UsageKind.SIGNAL, value=2)
        if left == 0 or self.usage.room < RESERVE:
            state.kept["expired"] = True
            self._note(EventCode.RELEASE_EXPIRED, value=state.kept["number"])
            self._tell(UsageKind.EXPIRED, count=state.kept["number"])
            self._fade(StopCause.EXPIRED)
            state.checkpoint()
            self._memory.save()

    def _check(self, *, hour: bool) -> None:
        """Every minute: battery, parts, powered time; every hour the dose goes into the log."""
        running = self.running
        if running is not None:
            self._supply.run(running.delivery, running.image)
            running.delivery.settle()
        else:
            self._supply.rest()
        self.state.checkpoint()
        if not self._test_parts():
            return
        level = self._hardware.battery
        if level <= battery.LOW_PERMILLE and _BATTERY_LOW not in self.state.kept["signalled"]:
            self.state.kept["signalled"] += (_BATTERY_LOW,)
            self._note(EventCode.BATTERY, value=level)
            self._tell(UsageKind.SIGNAL, value=1)
        if level <= battery.FLOOR_PERMILLE:
            self._fade(StopCause.BATTERY_LOW)
        if hour and running is not None:
            self._tell(UsageKind.BATTERY, value=level)
            self._close_account(running, last=False)
        else:
            self._memory.save()

    def _test_parts(self) -> bool:
        """The test of the running output: False where a fault ended it."""
        if self._output.state not in ON:
            return True
        if self._hardware.battery == 0:
            self._output.fault(FaultCode.BATTERY)
        elif not self._hardware.sensor_works:
            self._output.fault(FaultCode.SENSOR)
        else:
            return True
        self._follow_output()
        return False

    def _close_account(self, running: Running, *, last: bool) -> None:
        if running.steps_untold:
            self._tell_step(running, running.steps_untold)
        running.steps_told = running.steps_untold = 0
        self._supply.run(running.delivery, running.image)
        self._account.flush(self._clock.now_us, running.dose, running.delivery, last=last)

    # --------------------------------------------------------------------------------------- records

    def _note(self, code: EventCode, *, place: int = 0, value: int = 0) -> None:
        self._memory.note(self._clock.now_us, code, self._output.dose_number, place, value)

    def _tell(
        self, kind: UsageKind, *, slot: int = m.NO_SLOT, place: int = 0, count: int = 0, value: int = 0
    ) -> None:
        self.usage.add(
            self._memory.boot_count,
            self._clock.now_us,
            kind,
            slot=slot,
            place=place,
            count=count,
            value=value,
        )

    def _fault_place(self) -> int:
        log = self._memory.log
        return next((record[5] for record in reversed(log) if record[3] == EventCode.FAULT), 0)

    def _next_checkpoint(self, now_ns: int) -> int:
        return (max(now_ns, self._checked_ns) // CHECKPOINT_NS + 1) * CHECKPOINT_NS


_FAULTS: Final = {
    ContactStatus.OPEN: FaultCode.OPEN_CIRCUIT,
    ContactStatus.SHORT: FaultCode.SHORT_CIRCUIT,
}
