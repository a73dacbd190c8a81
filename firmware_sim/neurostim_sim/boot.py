"""What a boot makes of what the memory holds: it counts, latches what was cut short, and resumes nothing."""

from __future__ import annotations

from neurostim.wire.messages import DeviceState, EventCode, FaultCode, StopCause
from neurostim_sim.records import Memory


def wake(memory: Memory) -> DeviceState:
    """Count this boot and judge how the one before ended; returns the state to be in."""
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
    if not memory.latched:
        return DeviceState.IDLE
    return DeviceState.FAULT if memory.fault else DeviceState.STOPPED
