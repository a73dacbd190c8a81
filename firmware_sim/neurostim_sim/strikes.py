"""What each fault does to the device, its leads or its supply when it strikes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurostim.core.image import RETURN_INDEX
from neurostim.wire.messages import EventCode, FaultCode
from neurostim_sim.faults import Fault

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore

DRIFT: Final = 1.4
MOVED: Final = 0.2
CLOCK_PPM: Final = 50_000
FLIPPED_BIT: Final = 14


def strike(device: DeviceCore, fault: Fault) -> None:
    """Let a fault happen now."""
    contacts = device.tissue.contacts
    contact = contacts.get(fault.contact) or contacts[_first_in_use(device)]
    match fault.name:
        case "open":
            contact.is_open = True
        case "short":
            contact.is_short = True
        case "heal":
            for one in contacts.values():
                one.is_open = one.is_short = False
        case "drift":
            for one in contacts.values():
                one.series_ohm *= DRIFT
        case "migration":
            for one in contacts.values():
                one.series_ohm *= 1.0 + MOVED * (device.dice.below(2001) - 1000) / 1000
        case "unplug-lead" | "plug-lead":
            _plug(device, plugged=fault.name == "plug-lead")
        case "mismatch":
            device.set_recharge(99, 100)
        case "dead-battery":
            device.battery = 0
            if device.output_on:
                device.fault(FaultCode.BATTERY)
        case "brown-out":
            was_on = device.output_on
            device.restart()
            if was_on:
                device.fault(FaultCode.BROWN_OUT)
        case "reset":
            device.restart()
        case "hang":
            device.hang()
        case "stuck-sensor":
            device.set_sensor(works=False)
        case "source-high" | "source-low":
            device.set_source(110 if fault.name == "source-high" else 90, 100)
        case "no-recovery":
            device.hardware.switch_works = False
        case "clock-fast" | "clock-slow":
            device.clock.set_ppm(CLOCK_PPM if fault.name == "clock-fast" else -CLOCK_PPM)
        case "flip-current":
            if device.delivery is not None:
                device.delivery.engine.flip_current(FLIPPED_BIT)
        case "flip-slot":
            _flip_slot(device)
        case "flip-store":
            device.memory.store.flip()
    if not device.dead:
        device.body_changed()


def _flip_slot(device: DeviceCore) -> None:
    """A bit of the first committed image turns over where it is held to be read."""
    for slot in device.memory.slots:
        if slot.committed:
            place = len(slot.data) // 2
            slot.data = slot.data[:place] + bytes([slot.data[place] ^ 1]) + slot.data[place + 1 :]
            return


def _first_in_use(device: DeviceCore) -> int:
    return device.delivery.engine.contacts[0] if device.delivery is not None else 1


def _plug(device: DeviceCore, *, plugged: bool) -> None:
    """The lead of the first port; what was without a lead before stays so."""
    held = device.unplugged
    if plugged:
        for number in held:
            device.tissue.contacts[number].plugged = True
        held.clear()
    else:
        port = device.profile.capabilities.ports[0]
        for number in device.tissue.behind(port):
            if number != RETURN_INDEX and device.tissue.contacts[number].plugged:
                device.tissue.contacts[number].plugged = False
                held.append(number)
    device.memory.note(device.now_us, EventCode.LEAD_CHANGED, device.dose_number, 1, int(plugged))
    device.home.lead_changed(1, plugged=plugged)
    if not plugged and device.delivery is not None and device.output_on:
        lost = [number for number in device.delivery.engine.contacts if number in held]
        if lost:
            # At once, not after three pulses: at 1 Hz a lead could be back before, and would jolt.
            device.fault(FaultCode.LEAD_UNPLUGGED, contact=lost[0])
