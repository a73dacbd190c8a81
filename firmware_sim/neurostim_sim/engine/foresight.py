"""When an output next does something that has to be seen, if nothing is commanded until then.

A copy of the engine runs ahead, by the same kernels and the same sums, so its answer is what will happen.
"""

from __future__ import annotations

import copy

from neurostim_sim.engine.engine import PulseEngine
from neurostim_sim.engine.machine import Machine


def first_event(engine: PulseEngine, to_ticks: int) -> int | None:
    """Time [ticks] at which the output stage first sees something before ``to_ticks``; None where nothing.

    Holds until the next control event; an amplitude, a stop or another resistance makes it void.
    """
    ahead = copy.copy(engine)
    arrays = {name: array.copy() for name, array in engine._machine._asdict().items()}
    ahead._machine = Machine(**arrays)
    ahead._under_way = copy.copy(engine._under_way)
    ahead._kept = []
    ahead._fades = {area: list(fades) for area, fades in engine._fades.items()}
    ahead._unseen = []
    events = ahead.advance(to_ticks)
    return min((event.at_ticks for event in events), default=None)
