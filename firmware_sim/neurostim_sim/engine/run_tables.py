"""The kernels' tables of runs: which currents each unit of each class of windows has."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from neurostim_sim.engine import layout as at
from neurostim_sim.engine.levels import Runs, window_runs
from neurostim_sim.engine.plan import AreaPlan

Tables = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def no_runs(plan: AreaPlan) -> Runs:
    """Units without a current, as where no soft stop is under way."""
    return Runs((0,), ((0,) * len(plan.image.shares),))


@lru_cache(maxsize=512)
def unfaded_tables(
    plans: tuple[AreaPlan, ...], contacts: tuple[int, ...], amplitudes_na: tuple[int, ...]
) -> Tables:
    """The tables without a soft stop; they are the same for every engine, and not to be changed."""
    return tables_of(plans, contacts, amplitudes_na, tuple(no_runs(plan) for plan in plans))


def tables_of(
    plans: tuple[AreaPlan, ...],
    contacts: tuple[int, ...],
    amplitudes_na: tuple[int, ...],
    faded: tuple[Runs, ...],
) -> Tables:
    """Every area's runs as the kernel's tables: where each class begins, its units, their levels."""
    tables = np.zeros((len(plans), at.CLASSES, 2), np.int64)
    starts: list[int] = []
    codes: list[int] = []
    levels: dict[tuple[int, ...], int] = {(0,) * len(contacts): 0}
    for row, plan in enumerate(plans):
        places = [contacts.index(contact) for contact, _ in plan.image.shares]
        amplitude_na = amplitudes_na[plan.index]
        for kind in range(at.CLASSES):
            faded_kind = kind == at.C_FADED
            runs = faded[row] if faded_kind else window_runs(plan, amplitude_na, class_length(plan, kind))
            tables[row, kind] = len(starts), len(runs.starts)
            for start, vector in zip(runs.starts, runs.vectors, strict=True):
                wide = [0] * len(contacts)
                for place, current in zip(places, vector, strict=True):
                    wide[place] = current
                starts.append(start)
                codes.append(levels.setdefault(tuple(wide), len(levels)))
    return (
        tables,
        np.array(starts, np.int64),
        np.array(codes, np.int64),
        np.array(list(levels), np.int64).reshape(len(levels), len(contacts)),
    )


def class_length(plan: AreaPlan, kind: int) -> int:
    """Length of the windows of one class [ticks]; 0 where an area has none of that class."""
    tick = plan.grid.tick_ns
    if plan.cycle_ns == 0:
        window = plan.window(0)
        return window[1] - window[0] if window and kind == at.C_FLOOR else 0
    if kind != at.C_CUT:
        return plan.image.on_ns // tick + (kind == at.C_CEILING)
    if not plan.duration_ns or plan.image.delay_ns >= plan.duration_ns:
        return 0
    last = plan.window((plan.duration_ns - 1 - plan.image.delay_ns) // plan.cycle_ns)
    return max(0, last[1] - last[0]) if last else 0
