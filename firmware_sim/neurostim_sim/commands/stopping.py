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
from neurostim_sim.selftest import fails
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
    if device.state not in LATCHED:
        raise Refusal(ErrorCode.OUTPUT_ON if device.state in ON else ErrorCode.WRONG_STATE)
    if device.output_on:
        # Contacts are still driven or shorted: what is latched is not over.
        raise Refusal(ErrorCode.OUTPUT_ON)
    if (request.stop_cause, request.fault) != (memory.cause, memory.fault):
        raise Refusal(ErrorCode.CLEAR_MISMATCH)
    if _cause_is_present(device):
        raise Refusal(ErrorCode.CAUSE_PRESENT)
    memory.note(device.now_us, EventCode.CLEARED, value=memory.cause)
    memory.latched, memory.fault = False, int(FaultCode.NONE)
    memory.save()
    device.output.enter(DeviceState.IDLE)
    return m.ClearReply(device.state)


def _cause_is_present(device: DeviceCore) -> bool:
    """What the device can tell with its output off."""
    match FaultCode(device.memory.fault):
        case FaultCode.BATTERY:
            return device.battery < LEAST_BATTERY
        case FaultCode.LEAD_UNPLUGGED:
            return bool(device.hardware.unplugged)
        case FaultCode.OPEN_CIRCUIT:
            # A broken wire only a measurement shows, which needs a start; a lead that was pulled is seen.
            return _contact_of_fault(device, FaultCode.OPEN_CIRCUIT) in device.hardware.unplugged
        case fault:
            return fails(fault, device.memory, device.hardware, device.clock)


def _contact_of_fault(device: DeviceCore, fault: FaultCode) -> int:
    """Contact that the event log names for the latest such fault, 0 where it does not tell."""
    for _, _, _, code, _, place, value in reversed(device.memory.log):
        if (code, value) == (EventCode.FAULT, fault):
            return place
    return 0


HANDLERS: Final[Handlers] = {
    m.SoftStop: _soft_stop,
    m.Clear: _clear,
}
