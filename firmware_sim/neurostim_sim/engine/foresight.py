"""When an output next does something that has to be seen, if nothing is commanded until then.

A copy of the engine runs ahead, by the same kernels and the same sums, so its answer is what will happen.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from neurostim_sim.engine import layout as at
from neurostim_sim.engine.engine import PulseEngine
from neurostim_sim.engine.machine import Machine, room_for_rows

_READ_ONLY: Final = (
    "facts",
    "offsets",
    "shares",
    "tables",
    "run_starts",
    "run_levels",
    "levels",
    "output",
    "rows",
)
_WRITTEN: Final = tuple(name not in (*_READ_ONLY, "rows") for name in Machine._fields)
"""Which arrays the kernels change while they run."""
_ROWS: Final = Machine._fields.index("rows")


def first_event(engine: PulseEngine, to_ticks: int) -> int | None:
    """Time [ticks] at which the output stage first sees something before ``to_ticks``; None where nothing.

    Holds until the next control event; an amplitude, a stop or another resistance makes it void.
    """
    # Not by `copy.copy`, which goes the long way of pickling.
    ahead = PulseEngine.__new__(PulseEngine)
    ahead.__dict__.update(engine.__dict__)
    arrays: list[Any] = list(engine._machine)
    # Nobody reads the rows of what has not happened.
    arrays[_ROWS] = np.empty((room_for_rows(len(engine.contacts)), at.T_COUNT), np.int64)
    ahead._machine = Machine(
        *(array.copy() if written else array for array, written in zip(arrays, _WRITTEN, strict=True))
    )
    ahead._machine.common[at.X_RECORD] = 0
    ahead._machine.filled[0] = 0
    ahead._record = False
    ahead._under_way = engine._under_way.copy()
    ahead._kept = []
    ahead._fades = {area: list(fades) for area, fades in engine._fades.items()}
    ahead._unseen = []
    events = ahead.advance(to_ticks)
    return min((event.at_ticks for event in events), default=None)
