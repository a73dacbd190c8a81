"""The pulse that a control event finds begun: calculated to its end at once, cut if sources go off before.

Its rows are held back until their time has passed, so that a later emergency can still shorten them, with the
dose and the voltages of what really flowed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurostim_sim.engine import kernel
from neurostim_sim.engine import layout as at
from neurostim_sim.engine.machine import Machine

Rows = NDArray[np.int64]


class UnderWay:
    """Rows of pulses that have begun and may not have ended; empty most of the time."""

    def __init__(self) -> None:
        self._rows: Rows = np.zeros((0, at.T_COUNT), np.int64)
        self._before: NDArray[np.float64] | None = None

    def copy(self) -> UnderWay:
        """Another one that holds the same."""
        other = UnderWay.__new__(UnderWay)
        other._rows, other._before = self._rows, self._before
        return other

    @property
    def end(self) -> int:
        """When the last held row ends [ticks]; 0 where none is held."""
        return int((self._rows[:, at.T_START] + self._rows[:, at.T_LENGTH]).max()) if len(self._rows) else 0

    def hold(self, rows: Rows, before: NDArray[np.float64]) -> None:
        """Hold rows back; ``before`` is the state of the contacts at the control event."""
        if len(rows):
            self._rows = np.concatenate([self._rows, rows])
            self._before = before if self._before is None else self._before

    def take_ended(self, to_ticks: int) -> Rows:
        """The rows of a pulse that has ended by now."""
        if not len(self._rows) or self.end > to_ticks:
            return self._rows[:0]
        return self._take()

    def cut(self, machine: Machine, at_ticks: int) -> Rows:
        """Sources go off at ``at_ticks``: what is left of the held rows; dose and voltages follow it."""
        before = self._before
        rows = self._take()
        if before is None:
            return rows
        machine.contact[:, at.E_VOLT] = before[:, at.E_VOLT]
        machine.contact[:, at.E_SINCE] = before[:, at.E_SINCE]
        tick = int(machine.common[at.X_TICK_NS])
        for row in rows[np.argsort(rows[:, at.T_START], kind="stable")]:
            start, length, c = (int(row[column]) for column in (at.T_START, at.T_LENGTH, at.T_CONTACT))
            if row[at.T_KIND] == at.KIND_PASSIVE:
                kernel.discharge(
                    machine.contact, c, machine.output[at.O_DISCHARGE], start, start + length, tick
                )
                continue
            current = int(row[at.T_AMPLITUDE])
            flowed = min(max(at_ticks - start, 0), length)
            _take_back(machine, row, current * (length - flowed) * tick)
            if flowed:
                kernel.drive(machine.contact, c, current, start, flowed, tick)
        driven = rows[:, at.T_KIND] != at.KIND_PASSIVE
        left = np.clip(at_ticks - rows[:, at.T_START], 0, rows[:, at.T_LENGTH])
        rows[:, at.T_LENGTH] = np.where(driven, left, rows[:, at.T_LENGTH])
        return rows[rows[:, at.T_LENGTH] > 0]

    def _take(self) -> Rows:
        rows, self._rows, self._before = self._rows, self._rows[:0], None
        return rows


def _take_back(machine: Machine, row: Rows, charge: int) -> None:
    """Take a charge [aC], signed as its current, out of the counters again."""
    dose = machine.dose[int(row[at.T_CONTACT])]
    if row[at.T_KIND] == at.KIND_RECHARGE:
        kernel.add_charge(dose, at.D_RECOVERED, -charge)
    elif charge < 0:
        kernel.add_charge(dose, at.D_CATHODIC, charge)
        kernel.add_charge(machine.state[int(row[at.T_AREA])], at.S_STIM, charge)
    else:
        kernel.add_charge(dose, at.D_ANODIC, -charge)
