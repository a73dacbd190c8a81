"""Faults of the USB line by name, beside those of the device and of any line."""

from __future__ import annotations

from typing import Final

from neurostim.core.units import TIME, parse_whole
from neurostim_sim.faults import parse_fault

AWAY_NS: Final = 1_000_000_000
"""How long a cable is out, and how long data endpoints refuse packets [ns]."""

UNPLUG: Final = "usb-unplug"
STALL: Final = "usb-stall"
BABBLE: Final = "usb-babble"
REFUSE: Final = "usb-refuse"
USB_FAULTS: Final = {
    UNPLUG: "the USB cable is out for one second (with --usbip)",
    STALL: "the data endpoints answer STALL until the host clears their halt (with --usbip)",
    BABBLE: "the next data packet to the host is too long, and lost (with --usbip)",
    REFUSE: "for one second the device takes no data packet: what the host sends waits (with --usbip)",
}


def parse_usb_fault(text: str) -> tuple[str, int]:
    """Name and time [ns] of a fault of this line, of any line or of the device, such as ``usb-stall@2 s``."""
    name, at_sign, when = text.partition("@")
    if name in USB_FAULTS:
        return name, parse_whole(when, TIME) if at_sign else 0
    return parse_fault(text)
