"""Rules 5 and 6 of the format: the ramp factor of a unit, exact, and the currents of its contacts.

A ramp becomes a short table of runs of units with equal currents, so that the kernel only counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from neurostim_sim.engine.plan import INFINITE, AreaPlan

Vector = tuple[int, ...]


def share_out(amplitude_na: int, num: int, den: int, shares: Sequence[tuple[int, int]], q_na: int) -> Vector:
    """Currents [nA] of the contacts of ``shares``, in their order, for the factor ``num / den``.

    Cathodes are rounded toward zero to ``q_na``; what the anodes' rounding leaves is dealt out one ``q_na``
    at a time in contact order, until the sum is exactly zero.
    """
    currents = [0] * len(shares)
    total = 0
    for place, (_, permille) in enumerate(shares):
        if permille < 0:
            steps = amplitude_na * num * -permille // (1000 * den * q_na)
            currents[place] = -steps * q_na
            total += steps
    anodes = [place for place, (_, permille) in enumerate(shares) if permille > 0]
    left = total
    for place in anodes:
        steps = total * shares[place][1] // 1000
        currents[place] = steps * q_na
        left -= steps
    while left > 0:
        for place in anodes[:left]:
            currents[place] += q_na
        left -= min(left, len(anodes))
    return tuple(currents)


def ramp_factor(plan: AreaPlan, start: int, end: int, onset: int) -> tuple[int, int]:
    """The factor of a unit with nominal onset ``onset`` in the window [start, end) [ticks], as a fraction."""
    num, den = 1, 1
    tick = plan.grid.tick_ns
    up, down = plan.image.ramp_up_ns, plan.image.ramp_down_ns
    since = (onset - start) * tick
    if up and since < up:
        num, den = since, up
    if down and end < INFINITE:
        rest = (end - onset) * tick
        if rest * den < num * down:
            num, den = rest, down
    return num, den


@dataclass(frozen=True)
class Fade:
    """A soft stop: from ``at`` [ticks] the factor also falls linearly to zero within ``length_ns``."""

    at: int
    length_ns: int


def faded(plan: AreaPlan, factor: tuple[int, int], onset: int, fades: Sequence[Fade]) -> tuple[int, int]:
    """The ramp factor times that of each soft stop; a unit before the stop keeps its own factor."""
    num, den = factor
    tick = plan.grid.tick_ns
    for fade in fades:
        if fade.length_ns == 0 or onset <= fade.at:
            continue
        num *= max(0, fade.length_ns - (onset - fade.at) * tick)
        den *= fade.length_ns
    return num, den


@dataclass(frozen=True)
class Runs:
    """Units with equal currents: run ``i`` begins at unit ``starts[i]`` and has ``vectors[i]``."""

    starts: tuple[int, ...]
    vectors: tuple[Vector, ...]


@lru_cache(maxsize=4096)
def window_runs(plan: AreaPlan, amplitude_na: int, length: int) -> Runs:
    """The runs of a whole window of ``length`` ticks without a soft stop, by unit of the window."""
    count = plan.nominal_units(length)
    end = INFINITE if count >= INFINITE else length
    q_na = plan.grid.step_na * plan.image.ratio

    def vector(k: int) -> Vector:
        num, den = ramp_factor(plan, 0, end, plan.onset(k))
        return share_out(amplitude_na, num, den, plan.image.shares, q_na)

    if count == 0:
        return Runs((0,), (share_out(0, 1, 1, plan.image.shares, q_na),))
    tick = plan.grid.tick_ns
    up_ticks = -(-plan.image.ramp_up_ns // tick)
    risen = plan.first_at(up_ticks)
    turn = _first_falling(plan, end, count)
    pieces = sorted({0, min(risen, count, turn), turn})
    starts: list[int] = []
    vectors: list[Vector] = []
    for low, high in zip(pieces, [*pieces[1:], count], strict=True):
        _monotone(vector, low, high, starts, vectors)
    return Runs(tuple(starts), tuple(vectors))


def faded_runs(
    plan: AreaPlan,
    amplitude_na: int,
    first_unit: int,
    onsets: Sequence[tuple[int, int, int]],
    fades: Sequence[Fade],
) -> Runs:
    """The runs of the units of a soft stop, by unit of the program; each unit has its own factor.

    ``onsets`` are window start, window end and nominal onset of the units from ``first_unit`` on; after them
    everything is zero.
    """
    q_na = plan.grid.step_na * plan.image.ratio
    starts: list[int] = []
    vectors: list[Vector] = []
    for unit, (start, end, onset) in enumerate(onsets, first_unit):
        num, den = faded(plan, ramp_factor(plan, start, end, onset), onset, fades)
        _append(starts, vectors, unit, share_out(amplitude_na, num, den, plan.image.shares, q_na))
    _append(starts, vectors, first_unit + len(onsets), share_out(0, 1, 1, plan.image.shares, q_na))
    return Runs(tuple(starts), tuple(vectors))


def _first_falling(plan: AreaPlan, end: int, count: int) -> int:
    """First unit from which the factor never rises again: the falling ramp is at or below the rising one."""
    if plan.image.ramp_down_ns == 0 or end >= INFINITE:
        return count
    tick, up, down = plan.grid.tick_ns, plan.image.ramp_up_ns, plan.image.ramp_down_ns
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        onset = plan.onset(middle)
        rest, since = (end - onset) * tick, onset * tick
        if rest <= down and (up == 0 or rest * up <= since * down):
            high = middle
        else:
            low = middle + 1
    return low


def _monotone(
    vector: Callable[[int], Vector], low: int, high: int, starts: list[int], vectors: list[Vector]
) -> None:
    """Append the runs of [low, high), over which the factor only rises or only falls.

    Each cathode's steps are then monotone too, so equal currents at both ends are equal all the way between.
    """
    if low >= high:
        return
    # Halves are visited left to right from an explicit stack; depth is only the logarithm of the units.
    stack = [(low, vector(low), high - 1, vector(high - 1))]
    while stack:
        left, at_left, right, at_right = stack.pop()
        if at_left == at_right:
            _append(starts, vectors, left, at_left)
            continue
        if right - left == 1:
            _append(starts, vectors, left, at_left)
            _append(starts, vectors, right, at_right)
            continue
        middle = (left + right) // 2
        stack.append((middle + 1, vector(middle + 1), right, at_right))
        stack.append((left, at_left, middle, vector(middle)))


def _append(starts: list[int], vectors: list[Vector], unit: int, vector: Vector) -> None:
    if vectors and vectors[-1] == vector:
        return
    starts.append(unit)
    vectors.append(vector)
