"""Faults of the device, its leads and its supply, by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from neurostim.core.errors import ConfigError
from neurostim.core.units import TIME, parse_whole
from neurostim_sim.servers.line import LINE_FAULTS

DEVICE_FAULTS: Final = {
    "open": "a contact is open (open:3 names the contact; otherwise the first in use)",
    "short": "a contact is shorted to the tissue node (short:3 names it)",
    "heal": "every contact is whole again",
    "drift": "the impedance of every contact is 40 % higher",
    "migration": "the lead has moved: the impedances of its contacts change by -20 % to +20 %, by the seed",
    "unplug-lead": "the lead is pulled out of its port",
    "plug-lead": "the lead is plugged in again",
    "mismatch": "the recharge source delivers 1 % too little: at 10 kHz x 30 us x 3 mA this leaves 9 uA",
    "dead-battery": "the battery is empty",
    "brown-out": "the supply falls for a moment: the processor restarts, output is lost",
    "reset": "the processor restarts",
    "hang": "the processor hangs; the hardware watchdog ends output and restarts it",
    "stuck-sensor": "the output sensor shows the same value whatever flows",
    "source-high": "every current source delivers 10 % too much",
    "source-low": "every current source delivers 10 % too little",
    "no-recovery": "the switch that shorts contacts for their passive recovery does not close",
    "clock-fast": "the time base runs 5 % fast",
    "clock-slow": "the time base runs 5 % slow",
    "flip-current": "one bit of the currents that the output engine plays turns over",
    "flip-slot": "one bit of the first program image turns over in the memory",
    "flip-store": "one bit of what the store wrote last turns over",
}
_SPEC: Final = re.compile(r"([a-z-]+)(?::([0-9]{1,3}))?")


@dataclass(frozen=True, order=True)
class Fault:
    """A fault due at a time [ns]; ``contact`` 0 leaves the choice to the device."""

    at_ns: int
    name: str
    contact: int = 0


def parse_name(text: str) -> tuple[str, int]:
    """Name and contact of a fault of the device.

    Raises
    ------
    ConfigError
        For an unknown name.
    """
    match = _SPEC.fullmatch(text)
    if match is None or match[1] not in DEVICE_FAULTS:
        raise ConfigError(
            f"there is no fault {text!r}",
            allowed=", ".join([*DEVICE_FAULTS, *LINE_FAULTS]),
            code="fault-name",
        )
    return match[1], int(match[2] or 0)


def parse_fault(text: str) -> tuple[str, int]:
    """Name (as given, with its contact) and time [ns] of a fault, such as ``open:3@2.5 s``."""
    name, at_sign, when = text.partition("@")
    if name not in LINE_FAULTS:
        parse_name(name)
    return name, parse_whole(when, TIME) if at_sign else 0
