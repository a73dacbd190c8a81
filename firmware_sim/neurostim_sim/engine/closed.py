"""Whole stretches of one area summed in closed form: the dose exactly, the contacts' voltages by affine maps.

Used where no trace is asked and where it is proven that no contact can clip, be open or be short on the way;
everything else goes pulse by pulse.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neurostim.core.program import Recharge
from neurostim_sim.engine import kernel
from neurostim_sim.engine import layout as at
from neurostim_sim.engine.levels import Runs, Vector
from neurostim_sim.engine.machine import Machine
from neurostim_sim.engine.plan import SHORTING_NS, AreaPlan

WORTH_UNITS: Final = 64
Map = tuple[float, float, float, float]
IDENTITY: Final[Map] = (1.0, 0.0, 0.0, 0.0)
Stretch = tuple[int, int, int]


def jump(
    machine: Machine, plans: Sequence[AreaPlan], runs_of: Callable[[int, int], Runs], to_ticks: int
) -> None:
    """Move a single area on to its last unit before ``to_ticks``, where that is provably uneventful."""
    state = machine.state[0]
    if len(plans) != 1 or state[at.S_NOW] or state[at.S_TAIL] != state[at.S_PLAY] or state[at.S_ZEROED]:
        return
    plan = plans[0]
    if state[at.S_PLACE_NEXT] >= to_ticks or state[at.S_NO_START] < at.INF:
        return
    target = _last_unit(plan, to_ticks - plan.unit_length)
    here = (int(state[at.S_PLACE_WINDOW]), int(state[at.S_PLACE_K]))
    if target is None or target <= here:
        return
    spans = list(_spans(plan, here, target))
    counts: Counter[Vector] = Counter()
    for kind, first, last, times in spans:
        for vector, units in _counted(runs_of(0, kind), first, last):
            counts[vector] += units * times
    skipped = sum(counts.values())
    if skipped < WORTH_UNITS or not _provably_quiet(machine, plan, [v for v in counts if any(v)]):
        return
    _settle_voltages(machine, plan, runs_of, spans)
    _add_dose(machine, plan, counts)
    _put_cursor(machine, plan, here, target)


def floor_sum(count: int, divisor: int, factor: int, offset: int) -> int:
    """Sum of floor((factor i + offset) / divisor) for i in [0, count), in a logarithmic number of steps."""
    total = 0
    while count > 0:
        total += (factor // divisor) * (count * (count - 1) // 2) + (offset // divisor) * count
        factor %= divisor
        offset %= divisor
        top = factor * count + offset
        if top < divisor:
            break
        count, offset = divmod(top, divisor)
        divisor, factor = factor, divisor
    return total


def _last_unit(plan: AreaPlan, before: int) -> tuple[int, int] | None:
    """Window and number of the last unit with onset before ``before`` that rule 4 lets through."""
    if plan.cycle_ns:
        newest = max(0, (before * plan.grid.tick_ns - plan.image.delay_ns) // plan.cycle_ns)
        candidates = [n for n in (newest, newest - 1) if n >= 0]
    else:
        candidates = [0]
    for n in candidates:
        window = plan.window(n)
        if window is None:
            continue
        last = min(plan.emitted_units(window[1] - window[0]), plan.first_at(before - window[0])) - 1
        if last >= 0:
            return n, last
    return None


def _class_of(plan: AreaPlan, n: int) -> int:
    window = plan.window(n)
    if plan.cycle_ns == 0 or window is None:
        return at.C_FLOOR
    end_ns = plan.image.delay_ns + n * plan.cycle_ns + plan.image.on_ns
    if plan.duration_ns and end_ns > plan.duration_ns:
        return at.C_CUT
    return at.C_CEILING if window[1] - window[0] > plan.image.on_ns // plan.grid.tick_ns else at.C_FLOOR


def _emitted_in(plan: AreaPlan, n: int) -> int:
    window = plan.window(n)
    return plan.emitted_units(window[1] - window[0]) if window else 0


def _long_windows(plan: AreaPlan, first: int, count: int) -> int:
    """How many of ``count`` whole windows from ``first`` on are one tick longer than the floor."""
    tick, step, on_ns = plan.grid.tick_ns, plan.cycle_ns, plan.image.on_ns
    begin = plan.image.delay_ns + first * step
    ends = floor_sum(count, tick, step, begin + on_ns)
    return ends - floor_sum(count, tick, step, begin) - count * (on_ns // tick)


def _spans(
    plan: AreaPlan, here: tuple[int, int], there: tuple[int, int]
) -> Iterator[tuple[int, int, int, int]]:
    """Units from ``here`` until ``there``: window class, first, last + 1, how many such windows."""
    (n, k), (m, j) = here, there
    if n == m:
        yield _class_of(plan, n), k, j, 1
        return
    yield _class_of(plan, n), k, max(k, _emitted_in(plan, n)), 1
    whole = m - n - 1
    if whole > 0:
        tick = plan.grid.tick_ns
        long = _long_windows(plan, n + 1, whole)
        for kind, times in ((at.C_FLOOR, whole - long), (at.C_CEILING, long)):
            if times:
                length = plan.image.on_ns // tick + (kind == at.C_CEILING)
                yield kind, 0, plan.emitted_units(length), times
    yield _class_of(plan, m), 0, j, 1


def _counted(runs: Runs, first: int, last: int) -> Iterator[tuple[Vector, int]]:
    starts = runs.starts
    for i in range(max(0, bisect_right(starts, first) - 1), len(starts)):
        if starts[i] >= last:
            return
        end = starts[i + 1] if i + 1 < len(starts) else at.INF
        units = min(end, last) - max(starts[i], first)
        if units > 0:
            yield runs.vectors[i], units


def _add_dose(machine: Machine, plan: AreaPlan, counts: Counter[Vector]) -> None:
    tick = plan.grid.tick_ns
    width = plan.image.width_ticks * tick
    state = machine.state[0]
    triphasic = plan.image.recharge is Recharge.TRIPHASIC
    active = plan.image.recharge in (Recharge.ACTIVE_SYMMETRIC, Recharge.ACTIVE_ASYMMETRIC)
    num, den = int(machine.common[at.X_RECHARGE_NUM]), int(machine.common[at.X_RECHARGE_DEN])
    for vector, units in counts.items():
        if not any(vector):
            continue
        pulses = units * plan.pulses
        state[at.S_UNITS] += units
        state[at.S_PULSES] += pulses
        for (contact, _), current in zip(plan.image.shares, vector, strict=True):
            if current == 0:
                continue
            c = _place(plan, contact)
            dose = machine.dose[c]
            dose[at.D_PULSES] += pulses
            phases = [(current, width)]
            if triphasic:
                back = -_scaled(current, num, den)
                phases = [(current, width), (back, 2 * width), (current, width)]
            for amplitude, length in phases:
                _add(dose, at.D_CATHODIC if amplitude < 0 else at.D_ANODIC, abs(amplitude) * length * pulses)
                if amplitude < 0:
                    _add(state, at.S_STIM, -amplitude * length * pulses)
            if active:
                back = -_scaled(current, num, den * plan.image.ratio)
                _add(dose, at.D_RECOVERED, back * width * plan.image.ratio * pulses)


def _scaled(current: int, num: int, den: int) -> int:
    magnitude = abs(current) * num // den
    return magnitude if current > 0 else -magnitude


def _add(counters: NDArray[np.int64], place: int, charge: int) -> None:
    """As the kernel's, in Python integers: a day's charge in aC does not fit 64 bits."""
    total = int(counters[place]) * kernel.AC_PER_NC + int(counters[place + 1]) + charge
    counters[place], counters[place + 1] = divmod(total, kernel.AC_PER_NC)


def _place(plan: AreaPlan, contact: int) -> int:
    return sorted(number for number, _ in plan.image.shares).index(contact)


def _put_cursor(machine: Machine, plan: AreaPlan, here: tuple[int, int], there: tuple[int, int]) -> None:
    state = machine.state[0]
    (n, _), (m, k) = here, there
    base = int(state[at.S_PLACE_BASE])
    if m > n:
        first = plan.window(n)
        base += plan.nominal_units(first[1] - first[0]) if first else 0
        whole = m - n - 1
        if whole > 0:
            long = _long_windows(plan, n + 1, whole)
            length = plan.image.on_ns // plan.grid.tick_ns
            base += (whole - long) * plan.nominal_units(length) + long * plan.nominal_units(length + 1)
    window = plan.window(m)
    if window is None:
        raise ValueError(f"the program has no window {m}")
    onset = plan.onset(k)
    state[at.S_PLACE_WINDOW] = m
    state[at.S_PLACE_START], state[at.S_PLACE_END] = window
    state[at.S_PLACE_CLASS] = _class_of(plan, m)
    state[at.S_PLACE_K] = k
    state[at.S_PLACE_ONSET] = onset
    state[at.S_PLACE_CARRY] = k * plan.image.period_num % plan.divisor
    state[at.S_PLACE_BASE] = base
    state[at.S_PLACE_NEXT] = window[0] + onset
    state[at.S_SHORT] = 0
    since = machine.contact[:, at.E_SINCE]
    since[:] = np.maximum(since, float(window[0] + onset))


def _then(first: Map, second: Map) -> Map:
    """Voltage and flowed charge are affine in the voltage before: first one map, then the other."""
    a1, b1, c1, d1 = first
    a2, b2, c2, d2 = second
    return a1 * a2, a2 * b1 + b2, c1 + a1 * c2, d1 + c2 * b1 + d2


def affine_times(one: Map, count: int) -> Map:
    """The same map ``count`` times over."""
    result, square = IDENTITY, one
    while count:
        if count & 1:
            result = _then(result, square)
        square = _then(square, square)
        count >>= 1
    return result


class _Circuit:
    """Maps of one contact's circuit over the parts of a unit; times in ticks."""

    def __init__(self, machine: Machine, c: int) -> None:
        row = machine.contact[c]
        self.second = float(machine.common[at.X_TICK_NS]) * 1e-9
        self.leak = float(row[at.E_LEAK])
        self.farad = float(row[at.E_FARAD])
        self.path = float(row[at.E_SERIES] + machine.output[at.O_DISCHARGE])

    def drift(self, ticks: float) -> Map:
        return math.exp(-max(0.0, ticks) * self.second / (self.leak * self.farad)), 0.0, 0.0, 0.0

    def drive(self, current_na: float, ticks: float) -> Map:
        spent = -math.expm1(-ticks * self.second / (self.leak * self.farad))
        return 1.0 - spent, current_na * 1e-9 * self.leak * spent, 0.0, 0.0

    def short(self, ticks: float) -> Map:
        tau = self.farad / (1.0 / self.path + 1.0 / self.leak)
        spent = -math.expm1(-max(0.0, ticks) * self.second / tau)
        return 1.0 - spent, 0.0, -spent * tau / self.path * 1e18, 0.0


def _unit_map(
    machine: Machine, plan: AreaPlan, circuit: _Circuit, current: int, quiet: bool, until: float
) -> Map:
    """One unit and what follows it until the next onset ``until`` ticks after its own."""
    if quiet:
        return circuit.drift(until)
    area = plan.image
    guard = plan.grid.guard_ticks
    num, den = int(machine.common[at.X_RECHARGE_NUM]), int(machine.common[at.X_RECHARGE_DEN])
    shorting = SHORTING_NS // plan.grid.tick_ns
    total = IDENTITY
    for j, offset in enumerate(plan.burst_offsets):
        last = j == plan.pulses - 1
        following = until if last else float(plan.burst_offsets[j + 1])
        width, gap = area.width_ticks, area.interphase_ticks
        total = _then(total, circuit.drive(current, width))
        if area.recharge in (Recharge.ACTIVE_SYMMETRIC, Recharge.ACTIVE_ASYMMETRIC):
            back = -_scaled(current, num, den * area.ratio)
            total = _then(_then(total, circuit.drift(gap)), circuit.drive(back, width * area.ratio))
        elif area.recharge is Recharge.TRIPHASIC:
            total = _then(
                _then(total, circuit.drift(gap)), circuit.drive(-_scaled(current, num, den), 2 * width)
            )
            total = _then(_then(total, circuit.drift(gap)), circuit.drive(current, width))
        rest = following - offset - plan.pulse_length
        if area.recharge is Recharge.PASSIVE or (area.recharge is Recharge.PASSIVE_AFTER_BURST and last):
            shorted = min(rest - gap - guard, float(shorting))
            total = _then(_then(total, circuit.drift(gap)), circuit.short(shorted))
            rest -= gap + max(0.0, shorted)
        total = _then(total, circuit.drift(rest))
    return total


def _settle_voltages(
    machine: Machine,
    plan: AreaPlan,
    runs_of: Callable[[int, int], Runs],
    spans: Sequence[tuple[int, int, int, int]],
) -> None:
    """Take each contact over the skipped stretch; what passive recovery carried is added to its counter."""
    interval = plan.image.period_num / plan.divisor
    tick = plan.grid.tick_ns
    # A shorted stretch still open from the unit before runs on to the first skipped unit.
    kernel.interrupt_stretches(machine, 0, int(machine.state[0, at.S_PLACE_NEXT]), plan.unit_length)
    for place, (contact, _) in enumerate(plan.image.shares):
        c = _place(plan, contact)
        circuit = _Circuit(machine, c)
        start = int(machine.state[0, at.S_PLACE_NEXT])
        kernel.drift(machine.contact, c, start, tick)
        total = IDENTITY
        for number, (kind, first, last, times) in enumerate(spans):
            closes = number < len(spans) - 1
            window = IDENTITY
            counted = list(_counted(runs_of(0, kind), first, last))
            for i, (vector, units) in enumerate(counted):
                quiet = not any(vector)
                one = _unit_map(machine, plan, circuit, vector[place], quiet, interval)
                if closes and i == len(counted) - 1:
                    pause = plan.cycle_ns / tick - plan.onset(last - 1)
                    final = _unit_map(machine, plan, circuit, vector[place], quiet, pause)
                    window = _then(_then(window, affine_times(one, units - 1)), final)
                else:
                    window = _then(window, affine_times(one, units))
            total = _then(total, affine_times(window, times))
        a, b, c_charge, d_charge = total
        volt = float(machine.contact[c, at.E_VOLT])
        machine.contact[c, at.E_VOLT] = a * volt + b
        _add(machine.dose[c], at.D_RECOVERED, round(c_charge * volt + d_charge))


def _provably_quiet(machine: Machine, plan: AreaPlan, vectors: Sequence[Vector]) -> bool:
    """Whether no pulse with these currents can meet a rail, an open or a short from now on."""
    interval = plan.image.period_num / plan.divisor
    most = {
        contact: max((abs(v[i]) for v in vectors), default=0)
        for i, (contact, _) in enumerate(plan.image.shares)
    }
    reach: dict[bool, float] = {True: 0.0, False: 0.0}
    second = plan.grid.tick_ns * 1e-9
    for place, (contact, permille) in enumerate(plan.image.shares):
        if most[contact] == 0:
            continue
        c = _place(plan, contact)
        row = machine.contact[c]
        if not machine.output[at.O_SHORT] <= row[at.E_SERIES] < machine.output[at.O_OPEN]:
            return False
        circuit = _Circuit(machine, c)
        bound = abs(float(row[at.E_VOLT]))
        for vector in vectors:
            a, b, _, _ = _unit_map(machine, plan, circuit, vector[place], False, interval)
            if a >= 1.0:
                return False
            bound = max(bound, abs(b) / (1.0 - a))
        ampere = most[contact] * 1e-9
        widest = 2 * plan.image.width_ticks * plan.pulses * second
        volt = ampere * (float(row[at.E_SERIES]) + widest / circuit.farad) + bound
        reach[permille < 0] = max(reach[permille < 0], volt)
    return reach[True] + reach[False] <= float(machine.output[at.O_RAIL])
