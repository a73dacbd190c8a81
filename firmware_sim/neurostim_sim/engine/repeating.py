"""Long stretches of several areas: one period pulse by pulse, and as many more as follow by their repetition.

Where all trains and cycles come round after a whole number of ticks, and the engine's state after one period
is that before it, only later, every further period does the same: integer doses multiply, and each contact's
voltage goes through the same affine map, which two runs of the kernel on a copy measure. Nothing has to be
known of how areas move, drop and interrupt each other. A third run proves that no period to come can meet the
rail.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neurostim_sim.engine import kernel
from neurostim_sim.engine import layout as at
from neurostim_sim.engine.closed import affine_times
from neurostim_sim.engine.levels import Runs
from neurostim_sim.engine.machine import Machine, with_larger_ring
from neurostim_sim.engine.plan import AreaPlan

WORTH_PERIODS: Final = 8
MARGIN_PERIODS: Final = 3
NO_RAIL: Final = 1e30
State = NDArray[np.int64]


def period_of(plans: Sequence[AreaPlan]) -> int:
    """The shortest time [ticks] after which every train and cycle comes round on the tick grid."""
    tick = plans[0].grid.tick_ns
    whole = Fraction(tick)
    for plan in plans:
        # A train starts afresh in each window: only the cycle has to come round.
        one = (
            Fraction(plan.cycle_ns)
            if plan.cycle_ns
            else Fraction(plan.image.period_num, plan.image.period_den)
        )
        whole = Fraction(
            math.lcm(whole.numerator, one.numerator), math.gcd(whole.denominator, one.denominator)
        )
    return int(whole / tick)


def skip(
    machine_of: Callable[[], Machine],
    plans: Sequence[AreaPlan],
    runs_of: Callable[[int, int], Runs],
    deliver: Callable[[int], bool],
    now: int,
    to_ticks: int,
) -> None:
    """Deliver up to some moment before ``to_ticks``, in whole periods where they provably repeat.

    Parameters
    ----------
    machine_of : callable
        The memory as it is now.
    plans, runs_of
        The areas, and their runs of equal currents by row and window class.
    deliver : callable
        Delivers pulse by pulse up to a time [ticks]; false where something happened that must be seen.
    now, to_ticks : int
        From when, and until when at most [ticks].
    """
    period = period_of(plans)
    wait = period
    while to_ticks - now >= WORTH_PERIODS * period:
        if not _steady(machine_of().state):
            return
        before, counted = _shape(machine_of(), plans, now), _Counts(machine_of())
        if not deliver(now + period):
            return
        now += period
        machine = machine_of()
        times = _repetitions(machine, counted, plans, runs_of, now, to_ticks, period)
        if times > 0 and _shape(machine, plans, now) == before:
            maps = _maps(machine, now + period)
            if maps is not None and _keeps_clear(machine, maps, now + period):
                _leap(machine, plans, counted, maps, times, period)
                return
        # Attempts grow rarer, so that what never settles costs little more than pulse by pulse.
        if to_ticks - now < wait:
            return
        if not deliver(now + wait):
            return
        now += wait
        wait *= 2


class _Counts:
    """Counters at the beginning of the period that is measured."""

    def __init__(self, machine: Machine) -> None:
        self.state = machine.state.copy()
        self.dose = machine.dose.copy()
        self.first_unplayed = [
            int(min([row[at.S_PLACE_K], *_ring(machine, area, row[at.S_PLAY])[:, at.R_K]]))
            for area, row in enumerate(machine.state)
        ]


def _steady(state: State) -> bool:
    return not state[:, [at.S_ZEROED, at.S_FADED]].any() and bool((state[:, at.S_NO_START] >= at.INF).all())


def _ring(machine: Machine, area: int, first: int) -> State:
    capacity = machine.ring.shape[1]
    places = np.arange(int(first), int(machine.state[area, at.S_TAIL])) % capacity
    found: State = machine.ring[area, places]
    return found


def _shape(machine: Machine, plans: Sequence[AreaPlan], now: int) -> list[object]:
    """All that decides what comes, with times and numbers counted from the present."""
    found: list[object] = []
    for area, plan in enumerate(plans):
        row = [int(value) for value in machine.state[area]]
        unit = row[at.S_PLACE_BASE] + row[at.S_PLACE_K]
        k = 0 if plan.cycle_ns else row[at.S_PLACE_K]
        found += [row[at.S_PLACE_CARRY], row[at.S_PLACE_CLASS], row[at.S_PLACE_K] - k]
        found += [row[at.S_PLACE_NEXT] - now, row[at.S_TRIAL] - now if row[at.S_TRIAL] >= 0 else None]
        if plan.cycle_ns:
            found += [row[at.S_PLACE_START] - now, row[at.S_PLACE_END] - now]
        found += [row[i] for i in (at.S_NOW, at.S_OPEN_RUN, at.S_SHORT_RUN, at.S_CLIPPING, at.S_SHORT)]
        if row[at.S_NOW]:
            found += [row[at.S_NOW_ONSET] - now, row[at.S_NOW_PULSE], row[at.S_NOW_ZERO]]
            found += [row[at.S_NOW_UNIT] - unit, machine.now[area].tolist()]
        if row[at.S_SHORT]:
            found += [row[at.S_SHORT_FROM] - now, row[at.S_SHORT_CAP] - now]
            found += [row[at.S_SHORT_UNIT] - unit, row[at.S_SHORT_PULSE]]
        found.append(row[at.S_TAIL] - row[at.S_PLAY])
        found.append((_ring(machine, area, row[at.S_HEAD]) - [now, k, 0, unit]).tolist())
    for contact in machine.contact:
        found.append(contact[at.E_SINCE] - now if contact[at.E_VOLT] != 0.0 else None)
    return found


def _repetitions(
    machine: Machine,
    counted: _Counts,
    plans: Sequence[AreaPlan],
    runs_of: Callable[[int, int], Runs],
    now: int,
    to_ticks: int,
    period: int,
) -> int:
    """How many more periods lie before ``to_ticks``, the end of the program and any change of currents."""
    times = (to_ticks - now) // period
    duration = plans[0].duration_ns // plans[0].grid.tick_ns
    if duration:
        times = min(times, (duration - now) // period - MARGIN_PERIODS)
    for area, plan in enumerate(plans):
        if plan.cycle_ns:
            continue
        k = int(machine.state[area, at.S_PLACE_K])
        units = k - int(counted.state[area, at.S_PLACE_K])
        starts = runs_of(area, at.C_FLOOR).starts
        change = next((start for start in starts if start > counted.first_unplayed[area]), None)
        if change is not None and units > 0:
            times = min(times, (change - k) // units)
    return times


def _maps(machine: Machine, until: int) -> list[tuple[float, float, int, int]] | None:
    """What a period does to each contact: voltage a V + b, and charge recovered c V + d [aC]."""
    ends = []
    for volt in (0.0, 1.0):
        copy = _copy(machine, NO_RAIL)
        copy.contact[:, at.E_VOLT] = volt
        copy.dose[:] = 0
        run = _run(copy, until)
        if run is None:
            return None
        ends.append(run)
    zero, one = ends
    return [
        (
            float(one.contact[c, at.E_VOLT] - zero.contact[c, at.E_VOLT]),
            float(zero.contact[c, at.E_VOLT]),
            _charge(one.dose[c], at.D_RECOVERED) - _charge(zero.dose[c], at.D_RECOVERED),
            _charge(zero.dose[c], at.D_RECOVERED),
        )
        for c in range(len(machine.contact))
    ]


def _keeps_clear(machine: Machine, maps: Sequence[tuple[float, float, int, int]], until: int) -> bool:
    """Whether no period to come can meet the rail.

    Every voltage comes nearer to that of the steady state with each step; so a period from the steady state
    that keeps clear of the rail by twice the present distance proves all of them.
    """
    if any(a >= 1.0 - 1e-9 and machine.contact[c, at.E_VOLT] != 0.0 for c, (a, *_) in enumerate(maps)):
        return False
    rest = np.array([b / (1.0 - a) if a < 1.0 - 1e-9 else 0.0 for a, b, *_ in maps])
    away = float(np.abs(machine.contact[:, at.E_VOLT] - rest).max())
    copy = _copy(machine, float(machine.output[at.O_RAIL]) - 2.0 * away)
    copy.contact[:, at.E_VOLT] = rest
    run = _run(copy, until)
    return run is not None and bool((run.state[:, at.S_CLIPPED] == machine.state[:, at.S_CLIPPED]).all())


def _copy(machine: Machine, rail: float) -> Machine:
    copy = Machine(**{name: array.copy() for name, array in machine._asdict().items()})
    copy.common[at.X_RECORD] = 0
    copy.output[at.O_RAIL] = rail
    return copy


def _run(machine: Machine, until: int) -> Machine | None:
    """Deliver a copy up to ``until``; None where something is seen."""
    while True:
        reason = kernel.run(machine, until, until)
        if reason == at.ROWS_FULL:
            machine.filled[0] = 0
        elif reason == at.RING_FULL:
            machine = with_larger_ring(machine)
        else:
            return None if reason == at.EVENT or machine.noticed[0] else machine


def _charge(counters: NDArray[np.int64], place: int) -> int:
    return int(counters[place]) * kernel.AC_PER_NC + int(counters[place + 1])


def _put(counters: NDArray[np.int64], place: int, charge: int) -> None:
    counters[place], counters[place + 1] = divmod(charge, kernel.AC_PER_NC)


def _leap(
    machine: Machine,
    plans: Sequence[AreaPlan],
    counted: _Counts,
    maps: Sequence[tuple[float, float, int, int]],
    times: int,
    period: int,
) -> None:
    """Put ``times`` periods like the one just counted behind the present."""
    for c, (a, b, slope, flat) in enumerate(maps):
        dose, before = machine.dose[c], counted.dose[c]
        dose[at.D_PULSES] += times * (dose[at.D_PULSES] - before[at.D_PULSES])
        for place in (at.D_CATHODIC, at.D_ANODIC):
            now = _charge(dose, place)
            _put(dose, place, now + times * (now - _charge(before, place)))
        kept, gained, through, added = affine_times((a, b, float(slope), 0.0), times)
        volt = float(machine.contact[c, at.E_VOLT])
        charge = times * flat + round(through * volt + added)
        _put(dose, at.D_RECOVERED, _charge(dose, at.D_RECOVERED) + charge)
        machine.contact[c, at.E_VOLT] = kept * volt + gained
        machine.contact[c, at.E_SINCE] += float(times * period)
    shift = times * period
    for area, plan in enumerate(plans):
        row, before = machine.state[area], counted.state[area]
        units = times * int((row - before)[[at.S_PLACE_BASE, at.S_PLACE_K]].sum())
        for place in (at.S_UNITS, at.S_PULSES, at.S_DROPPED):
            row[place] += times * (row[place] - before[place])
        stim = _charge(row, at.S_STIM)
        _put(row, at.S_STIM, stim + times * (stim - _charge(before, at.S_STIM)))
        moved = [at.S_PLACE_NEXT, at.S_NOW_ONSET, at.S_SHORT_FROM, at.S_SHORT_CAP]
        if plan.cycle_ns:
            moved += [at.S_PLACE_START, at.S_PLACE_END]
            for place in (at.S_PLACE_WINDOW, at.S_PLACE_BASE):
                row[place] += times * (row[place] - before[place])
        else:
            moved.append(at.S_PLACE_ONSET)
            row[at.S_PLACE_K] += units
            machine.ring[area, :, at.R_K] += units
        row[moved] += shift
        row[at.S_TRIAL] += shift if row[at.S_TRIAL] >= 0 else 0
        row[[at.S_NOW_UNIT, at.S_SHORT_UNIT]] += units
        machine.ring[area, :, at.R_ONSET] += shift
        machine.ring[area, :, at.R_UNIT] += units
