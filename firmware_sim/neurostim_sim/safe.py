"""The safe state: sources off, every contact shorted through the resistor for 100 ms, then floating.

The device enters it at each boot after output was on, before anything else, and never leaves leads shorted: a
short would be a loop under cautery or diathermy.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from neurostim_sim.engine import kernel
from neurostim_sim.engine import layout as at
from neurostim_sim.engine.plan import SHORTING_NS
from neurostim_sim.hardware import Hardware
from neurostim_sim.records import Memory

SAFE_NS: Final = SHORTING_NS


def short_and_float(hardware: Hardware, memory: Memory) -> int:
    """Take what is left on the contacts off them; what flowed is counted. Returns how long it takes [ns]."""
    resistor = hardware.physics().discharge_ohm
    for number, contact in hardware.tissue.contacts.items():
        if contact.volt == 0.0:
            continue
        row = np.array([hardware.tissue.row(number)], np.float64)
        row[0, at.E_SINCE] = 0.0
        charge = round(float(kernel.discharge(row, 0, resistor, 0, SAFE_NS, 1)))
        contact.volt = float(row[0, at.E_VOLT])
        values = memory.contacts.setdefault(number, [0, 0, 0, 0])
        memory.contacts[number] = [*values[:3], values[3] + charge]
    return SAFE_NS
