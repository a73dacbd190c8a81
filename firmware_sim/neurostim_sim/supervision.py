"""Who watches the output: the dead-man, the checks of every second, telemetry, the hardware's watchdog."""

from __future__ import annotations

from typing import Final

from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, EventCode, FaultCode
from neurostim_sim.clock import US, DeviceClock
from neurostim_sim.hardware import Hardware
from neurostim_sim.link import Link
from neurostim_sim.output import ON, Output
from neurostim_sim.records import SAVE_NS, Memory

TELEMETRY_NS: Final = m.TELEMETRY_INTERVAL_US * US
WATCHDOG_NS: Final = (m.HEARTBEAT_TIMEOUT_US + m.DEAD_MAN_RAMP_US) * US
HEARTBEAT_NS: Final = m.HEARTBEAT_TIMEOUT_US * US
WATCHED: Final = (*ON, DeviceState.ARMED)


class Supervision:
    """The supervision of one boot."""

    def __init__(
        self, clock: DeviceClock, hardware: Hardware, memory: Memory, link: Link, output: Output
    ) -> None:
        self.hung_ns: int | None = None
        self._clock = clock
        self._hardware = hardware
        self._memory = memory
        self._link = link
        self._output = output
        self._telemetry_ns = 0
        self._save_ns = 0

    @property
    def dead_man_ns(self) -> int | None:
        """When the dead-man acts, by the device's clock [ns]; None without a living heartbeat."""
        controller = self._link.sessions.controller
        if controller is None or controller.living_ns is None:
            return None
        return controller.living_ns + HEARTBEAT_NS

    @property
    def unfed_ns(self) -> int | None:
        """When the hardware's own timer ends output that no living heartbeat has fed [ns], hung or not.

        None where no host has to feed it.
        """
        deadline = self.dead_man_ns
        if deadline is None or self._output.unattended or self._output.state not in ON:
            return None
        return deadline + m.DEAD_MAN_RAMP_US * US

    @property
    def supervised(self) -> bool:
        """Whether a living heartbeat of the controlling session is at most 300 ms old."""
        deadline = self.dead_man_ns
        return deadline is not None and deadline > self._clock.now_ns

    @property
    def dead_man_us(self) -> int:
        """Time until the dead-man acts [us]."""
        deadline = self.dead_man_ns
        return max(0, deadline - self._clock.now_ns) // US if deadline is not None else 0

    def due(self) -> list[int]:
        """Moments of the device's clock [ns] at which something has to be watched or told."""
        times: list[int] = []
        output = self._output
        if output.unattended:
            if output.state in ON and self._link.sessions.open:
                times.append(max(self._telemetry_ns, output.dose_ns) + TELEMETRY_NS)
            return times
        if output.state not in WATCHED:
            return times
        if output.ramp_end_ns is None:
            deadline = self.dead_man_ns
            if deadline is not None:
                times.append(deadline)
        if output.state in ON:
            times.append(max(self._telemetry_ns, output.dose_ns) + TELEMETRY_NS)
            times.append(max(self._save_ns, output.dose_ns) + SAVE_NS)
        return times

    def watch(self) -> None:
        """The dead-man: no living heartbeat for 300 ms ends supervised output within 200 ms."""
        output = self._output
        if output.ramp_end_ns is not None:
            output.end_dead_man_ramp()
            return
        if output.unattended or output.state not in WATCHED or self.supervised:
            return
        if output.state is not DeviceState.ARMED:
            deadline, now_ns = self.dead_man_ns, self._clock.now_ns
            last_ns = deadline - m.HEARTBEAT_TIMEOUT_US * US if deadline is not None else 0
            age_us = (now_ns - last_ns) // US
            self._memory.note(self._clock.now_us, EventCode.DEAD_MAN, output.dose_number, value=age_us)
        output.dead_man()

    def report(self) -> None:
        """What is due while output is on: the measurement, the checks of every second, telemetry."""
        output, now_ns = self._output, self._clock.now_ns
        if output.state not in ON:
            return
        output.step_measurement()
        if output.state not in ON:
            return
        if not output.unattended and now_ns >= max(self._save_ns, output.dose_ns) + SAVE_NS:
            self._save_ns = now_ns
            if not self._check():
                return
        if now_ns >= max(self._telemetry_ns, output.dose_ns) + TELEMETRY_NS:
            self._telemetry_ns = now_ns
            self._telemetry()

    def hang(self) -> None:
        """The processor stops; the output hardware goes on until its own watchdog acts."""
        if self.hung_ns is None:
            self.hung_ns = self._clock.now_ns

    def _check(self) -> bool:
        """Battery and sensor, and the counters made durable; False where a fault ended the output."""
        hardware, output = self._hardware, self._output
        hardware.drain()
        if hardware.battery == 0:
            output.fault(FaultCode.BATTERY)
            return False
        if not hardware.sensor_works:
            output.fault(FaultCode.SENSOR)
            return False
        if output.delivery is not None:
            output.delivery.settle()
        self._memory.save()
        return True

    def _telemetry(self) -> None:
        output, now = self._output, self._clock.now_ticks
        delivery = output.delivery
        start = delivery.start if delivery else now
        areas = delivery.area_doses() if delivery else ()
        clipped = sum(delivery.clipped()) if delivery else 0
        self._link.tell(
            m.Telemetry(
                self._clock.now_us,
                now,
                output.state,
                output.dose_number,
                max(0, now - start),
                self.dead_man_us,
                self._hardware.battery,
                self._link.telemetry_dropped,
                clipped,
                areas,
            )
        )
