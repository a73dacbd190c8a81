"""What the patient's control shows, from how the device stands."""

from __future__ import annotations

from typing import Final

from neurostim.wire.messages import FaultCode
from neurostim_sim.home import battery
from neurostim_sim.home.controls import Signal
from neurostim_sim.home.state import HomeState

DAY_US: Final = 86_400_000_000
PATIENT_CLEARS: Final = (
    FaultCode.OPEN_CIRCUIT,
    FaultCode.LEAD_UNPLUGGED,
    FaultCode.BROWN_OUT,
    FaultCode.BATTERY,
)
"""Faults a deliberate start clears once their cause is gone: lead and supply. The clinic clears others."""


def signals_of(state: HomeState, level_permille: int, fault: FaultCode, *, on: bool) -> frozenset[Signal]:
    """Every signal that is shown.

    Parameters
    ----------
    state : HomeState
    level_permille : int
        Charge of the battery [0.1 %].
    fault : FaultCode
        The latched fault.
    on : bool
        Whether output is on.
    """
    found = {Signal.ON} if on else set()
    if not state.active:
        return frozenset(found)
    if level_permille <= battery.FLOOR_PERMILLE:
        found.add(Signal.BATTERY_EMPTY)
    elif level_permille <= battery.LOW_PERMILLE:
        found.add(Signal.BATTERY_LOW)
    if state.expired:
        found.add(Signal.EXPIRED)
    elif state.left_us <= DAY_US:
        found.add(Signal.DAY_LEFT)
    if state.locked_us:
        found.add(Signal.LOCKED)
    if fault in (FaultCode.OPEN_CIRCUIT, FaultCode.LEAD_UNPLUGGED):
        found.add(Signal.CHECK_LEAD)
    elif fault and fault not in PATIENT_CLEARS:
        found.add(Signal.CALL_CLINIC)
    return frozenset(found)
