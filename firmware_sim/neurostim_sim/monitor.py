"""The monitor beside the output: it measures what flows, and says when that is not what was commanded.

It knows nothing of programs beyond which areas recharge actively. Net current of those is added up against
100 nA: less is let through for ever, more is stopped once a quarter of a microcoulomb has piled up, 30 ms
after a recharge source of 10 kHz x 30 us x 3 mA has fallen by 1 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neurostim.wire.messages import FaultCode
from neurostim_sim.engine import PulseEngine
from neurostim_sim.engine import watching as see

_FAULTS: Final = {
    see.IMBALANCE: FaultCode.CHARGE_IMBALANCE,
    see.NO_RECOVERY: FaultCode.CHARGE_IMBALANCE,
    see.SOURCE: FaultCode.SOURCE,
    see.STUCK: FaultCode.SENSOR,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the monitor found: the fault, the contact, and the measured value.

    The value is the net current [nA] of an imbalance, what a source is off by [0.1 %], or the charge that a
    stuck sensor did not read [nC].
    """

    fault: FaultCode
    contact: int
    value: int


class OutputMonitor:
    """The monitor of one dose."""

    def __init__(self, engine: PulseEngine) -> None:
        self._engine = engine
        self._watch = see.watch_of(engine.machine)
        self._looked_ns = 0

    def look(self, since_start_ns: int, *, works: bool) -> Finding | None:
        """Read the sensors and judge.

        Parameters
        ----------
        since_start_ns : int
            Time since the dose began, by the monitor's clock [ns].
        works : bool
            Whether the sensors follow the output.
        """
        elapsed = since_start_ns - self._looked_ns
        if elapsed <= 0:
            return None
        self._looked_ns = since_start_ns
        code, row, value = see.look(self._engine.machine, self._watch, elapsed, works)
        if code == see.NOTHING:
            return None
        return Finding(_FAULTS[int(code)], self._engine.contacts[int(row)], int(value))
