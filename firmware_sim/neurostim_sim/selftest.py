"""What the device tests of itself at boot and before each start; a test that fails is a latched fault.

Each test reads what the hardware would show it, with the resolution it would have: the slots' digests, the
banks of the store, the sensors and sources on a load of the device's own, the time base against a second one.
"""

from __future__ import annotations

import hashlib
from typing import Final

from neurostim.wire.messages import FaultCode
from neurostim_sim.clock import DeviceClock
from neurostim_sim.hardware import Hardware
from neurostim_sim.records import Memory, Slot

TOLERANCE_PERMILLE: Final = 30
"""Part by which a source may differ on the load of the self-test [0.1 %]."""
RESOLUTION_PERMILLE: Final = 4
"""Step in which the load is measured [0.1 %]."""
CLOCK_PPM: Final = 20_000
"""Part by which the time base may differ from the second one [parts in a million]."""


def failing(memory: Memory, hardware: Hardware, clock: DeviceClock) -> FaultCode:
    """The first test that fails; NONE where all pass."""
    tested = (FaultCode.MEMORY, FaultCode.SENSOR, FaultCode.SOURCE, FaultCode.CLOCK)
    return next((code for code in tested if fails(code, memory, hardware, clock)), FaultCode.NONE)


def fails(code: FaultCode, memory: Memory, hardware: Hardware, clock: DeviceClock) -> bool:
    """Whether the test behind a fault fails now; False for a fault that no test decides."""
    match code:
        case FaultCode.MEMORY:
            return not all(is_whole(slot) for slot in memory.slots) or not memory.store.verify()
        case FaultCode.SENSOR:
            return not hardware.sensor_works
        case FaultCode.SOURCE:
            return not source_in_tolerance(hardware)
        case FaultCode.CLOCK:
            return not clock_in_tolerance(clock)
        case _:
            return False


def heal(memory: Memory) -> None:
    """Write the memory anew where its banks do not read: what the device holds is whole, and is latched."""
    if not memory.store.verify():
        memory.store.rewrite()


def is_whole(slot: Slot) -> bool:
    """Whether a slot still holds the image that was committed."""
    return not slot.committed or hashlib.sha256(slot.data).digest() == slot.digest


def source_in_tolerance(hardware: Hardware) -> bool:
    """Whether the sources drive the self-test's load as commanded, as far as it is measured."""
    numerator, denominator = hardware.source
    off = (numerator - denominator) * 1000 // denominator
    read = off // RESOLUTION_PERMILLE * RESOLUTION_PERMILLE
    return abs(read) <= TOLERANCE_PERMILLE


def clock_in_tolerance(clock: DeviceClock) -> bool:
    """Whether the time base runs as fast as the second one, a crystal of its own."""
    return abs(clock.measured_ppm) <= CLOCK_PPM
