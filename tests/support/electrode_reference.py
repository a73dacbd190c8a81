"""A second way to solve the contact circuit: Kirchhoff's equations as written, integrated in fine steps.

Shares no formula with the product: node voltages are unknowns of a linear system at every instant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurostim.electrode.circuit import ContactCircuit, Phase

Floats = NDArray[np.float64]


def currents(contacts: Sequence[ContactCircuit], discharge_ohm: float, phase: Phase, volts: Floats) -> Floats:
    """Contact currents [A] from double-layer voltages [V], with the tissue node as the zero of voltage."""
    count = len(contacts)
    system = np.zeros((count + 1, count + 1))  # unknowns: the currents, then the common node
    right = np.zeros(count + 1)
    for row, contact in enumerate(contacts):
        system[row, row] = 1.0
        if row in phase.shorted:
            loop = contact.series_ohm + discharge_ohm
            system[row, count] = -1.0 / loop
            right[row] = -volts[row] / loop
        else:
            right[row] = phase.currents.get(row, 0.0) * 1e-9
    if phase.shorted:
        system[count, :count] = 1.0
    else:
        system[count, count] = 1.0
    solution: Floats = np.linalg.solve(system, right)
    return solution[:count]


def integrate(
    contacts: Sequence[ContactCircuit],
    discharge_ohm: float,
    phases: Sequence[Phase],
    start_uv: Floats,
    steps: int = 400,
) -> tuple[Floats, Floats]:
    """End potentials [uV] and charge through each contact [aC], by the classical Runge-Kutta method."""
    capacitance = np.array([contact.double_layer_nf * 1e-9 for contact in contacts])
    leak = np.array([float(contact.faradaic_ohm) for contact in contacts])
    volts = np.asarray(start_uv, dtype=np.float64) * 1e-6
    charge = np.zeros(len(contacts))
    for phase in phases:
        step = phase.duration_ns * 1e-9 / steps

        def slope(at: Floats, phase: Phase = phase) -> tuple[Floats, Floats]:
            flowing = currents(contacts, discharge_ohm, phase, at)
            return (flowing - at / leak) / capacitance, flowing

        for _ in range(steps):
            first, flow1 = slope(volts)
            second, flow2 = slope(volts + step / 2 * first)
            third, flow3 = slope(volts + step / 2 * second)
            fourth, flow4 = slope(volts + step * third)
            volts = volts + step / 6 * (first + 2 * second + 2 * third + fourth)
            charge = charge + step / 6 * (flow1 + 2 * flow2 + 2 * flow3 + flow4)
    return volts * 1e6, charge * 1e18
