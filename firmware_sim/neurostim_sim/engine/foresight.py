"""When an output next does something that has to be seen, if nothing is commanded until then.

A copy of the engine runs ahead, by the same kernels and the same sums, so its answer is what will happen.
"""

from __future__ import annotations

import copy
from typing import Final

import numpy as np

from neurostim_sim.engine import layout as at
from neurostim_sim.engine.engine import PulseEngine
from neurostim_sim.engine.machine import Machine, room_for_rows

_READ_ONLY: Final = ("facts", "offsets", "shares", "tables", "run_starts", "run_levels", "levels", "output")
_WRITTEN: Final = tuple(name for name in Machine._fields if name not in (*_READ_ONLY, "rows"))
"""What the kernels change while they run."""


def first_event(engine: PulseEngine, to_ticks: int) -> int | None:
    """Time [ticks] at which the output stage first sees something before ``to_ticks``; None where nothing.

    Holds until the next control event; an amplitude, a stop or another resistance makes it void.
    """
    ahead = copy.copy(engine)
    machine = engine._machine
    # Nobody reads the rows of what has not happened.
    unused = np.zeros((room_for_rows(len(engine.contacts)), at.T_COUNT), np.int64)
    written = {name: getattr(machine, name).copy() for name in _WRITTEN}
    ahead._machine = machine._replace(rows=unused, **written)
    ahead._machine.common[at.X_RECORD] = 0
    ahead._machine.filled[0] = 0
    ahead._record = False
    ahead._under_way = copy.copy(engine._under_way)
    ahead._kept = []
    ahead._fades = {area: list(fades) for area, fades in engine._fades.items()}
    ahead._unseen = []
    events = ahead.advance(to_ticks)
    return min((event.at_ticks for event in events), default=None)
