"""Takes faults away from a failing schedule until only those are left that matter (delta debugging)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from neurostim_torture.faults import Fault
from neurostim_torture.schedule import Outcome, Schedule, run

MOST_RUNS: Final = 400


def shrink(failing: Outcome, again: Callable[[Schedule], Outcome] = run) -> Outcome:
    """The smallest schedule found that fails in one of the same ways.

    Parameters
    ----------
    failing : Outcome
        Of a schedule that failed.
    again : callable
        Runs a schedule.
    """
    wanted = set(failing.signature())
    best = failing
    runs = 0

    def fails(faults: tuple[Fault, ...]) -> Outcome | None:
        nonlocal runs
        runs += 1
        if runs > MOST_RUNS:
            return None
        outcome = again(replace(failing.schedule, faults=faults))
        return outcome if wanted & set(outcome.signature()) else None

    size = max(1, len(best.schedule.faults) // 2)
    while True:
        faults = best.schedule.faults
        for start in range(0, len(faults), size):
            fewer = fails(faults[:start] + faults[start + size :])
            if fewer is not None:
                best = fewer
                break
        else:
            if size == 1:
                break
            size = max(1, size // 2)
    for place in range(len(best.schedule.faults)):
        best = _smaller(best, place, fails)
    return best


def _smaller(best: Outcome, place: int, fails: Callable[[tuple[Fault, ...]], Outcome | None]) -> Outcome:
    """Round the numbers of one fault, where it still fails."""
    for name in ("value", "at_ns"):
        for unit in (1_000_000_000, 100_000_000, 1_000_000, 1_000):
            faults = list(best.schedule.faults)
            present = getattr(faults[place], name)
            rounded = present // unit * unit
            if not rounded or rounded == present:
                continue
            faults[place] = replace(faults[place], **{name: rounded})
            simpler = fails(tuple(faults))
            if simpler is not None:
                best = simpler
                break
    return best
