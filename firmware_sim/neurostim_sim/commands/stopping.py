"""The soft stop, and releasing a latch. STOP and EMERGENCY_STOP are executed before any of these checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurostim.wire import messages as m
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import (
    DeviceState,
    ErrorCode,
    EventCode,
    FaultCode,
)
from neurostim_sim.commands.table import Handlers
from neurostim_sim.hardware import LEAST_BATTERY
from neurostim_sim.output import LATCHED, ON
from neurostim_sim.sessions import Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore


def _soft_stop(device: DeviceCore, _request: Request, _session: Session | None) -> Reply:
    if device.state in ON:
        silent = device.output.soft_stop()
        return m.SoftStopReply(device.state, device.output.stop_tick, silent)
    device.output.drop_token()
    return m.SoftStopReply(device.state, device.now_ticks, device.now_ticks)


def _clear(device: DeviceCore, request: m.Clear, _session: Session | None) -> Reply:
    memory = device.memory
    if device.state in ON:
        raise Refusal(ErrorCode.OUTPUT_ON)
    if device.state not in LATCHED:
        raise Refusal(ErrorCode.WRONG_STATE)
    if (request.stop_cause, request.fault) != (memory.cause, memory.fault):
        raise Refusal(ErrorCode.CLEAR_MISMATCH)
    flat = memory.fault == FaultCode.BATTERY and device.battery < LEAST_BATTERY
    out = memory.fault == FaultCode.LEAD_UNPLUGGED and bool(device.hardware.unplugged)
    if flat or out or (memory.fault == FaultCode.SENSOR and not device.hardware.sensor_works):
        raise Refusal(ErrorCode.CAUSE_PRESENT)
    memory.note(device.now_us, EventCode.CLEARED, value=memory.cause)
    memory.latched, memory.fault = False, int(FaultCode.NONE)
    memory.save()
    device.output.enter(DeviceState.IDLE)
    return m.ClearReply(device.state)


HANDLERS: Final[Handlers] = {
    m.SoftStop: _soft_stop,
    m.Clear: _clear,
}
