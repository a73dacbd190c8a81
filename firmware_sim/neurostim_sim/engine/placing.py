"""Rules 1, 2, 4 and 8 in a kernel: each area's next unit, kept, moved or dropped, from integer accumulators.

Every area has a ring of placed units. A unit of a later area waits until all areas before it are placed as
far as it may reach; an explicit stack says who waits for whom.
"""


# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import numpy as np

from neurostim_sim.engine.compiled import compiled
from neurostim_sim.engine.layout import (
    C_CEILING,
    C_CUT,
    C_FLOOR,
    DONE,
    F_CYCLE_NS,
    F_DELAY_NS,
    F_DIVISOR,
    F_LAST_OCCUPANCY,
    F_MAX_SHIFT,
    F_OCCUPANCY,
    F_ON_NS,
    F_ONE_OCCUPANCY,
    F_PERIOD,
    F_PULSES,
    F_REST,
    F_SHORT_WINDOW,
    F_UNIT_LENGTH,
    F_UNIT_OCCUPANCY,
    INF,
    R_CLASS,
    R_K,
    R_ONSET,
    R_UNIT,
    RING_FULL,
    S_DROPPED,
    S_HEAD,
    S_PLACE_BASE,
    S_PLACE_CARRY,
    S_PLACE_CLASS,
    S_PLACE_END,
    S_PLACE_K,
    S_PLACE_NEXT,
    S_PLACE_ONSET,
    S_PLACE_START,
    S_PLACE_WINDOW,
    S_PLAY,
    S_TAIL,
    S_TRIAL,
    X_DURATION_NS,
    X_GUARD,
    X_TICK_NS,
)


@compiled
def enter_window(fact, st, n, tick, duration):
    """Put an area's cursor on the first unit of window ``n``; the next onset is INF where there is none."""
    while True:
        start_ns = fact[F_DELAY_NS] + n * fact[F_CYCLE_NS]
        st[S_PLACE_WINDOW] = n
        st[S_PLACE_K] = 0
        st[S_PLACE_ONSET] = 0
        st[S_PLACE_CARRY] = 0
        if (n > 0 and fact[F_CYCLE_NS] == 0) or (duration > 0 and start_ns >= duration):
            st[S_PLACE_NEXT] = INF
            return
        start = start_ns // tick
        kind = C_FLOOR
        end = np.int64(INF)
        if fact[F_CYCLE_NS] > 0:
            end_ns = start_ns + fact[F_ON_NS]
            if duration > 0 and end_ns > duration:
                end_ns = duration
                kind = C_CUT
            end = end_ns // tick
            if kind == C_FLOOR and end - start > fact[F_SHORT_WINDOW]:
                kind = C_CEILING
        elif duration > 0:
            end = duration // tick
        st[S_PLACE_START] = start
        st[S_PLACE_END] = end
        st[S_PLACE_CLASS] = kind
        st[S_PLACE_NEXT] = start
        if start < end:
            return
        n += 1


@compiled
def step_cursor(fact, st, tick, duration):
    """Go on to the next nominal unit; the carry keeps what a whole period would lose."""
    st[S_PLACE_K] += 1
    st[S_PLACE_ONSET] += fact[F_PERIOD]
    st[S_PLACE_CARRY] += fact[F_REST]
    if st[S_PLACE_CARRY] >= fact[F_DIVISOR]:
        st[S_PLACE_CARRY] -= fact[F_DIVISOR]
        st[S_PLACE_ONSET] += 1
    following = st[S_PLACE_START] + st[S_PLACE_ONSET]
    if following < st[S_PLACE_END]:
        st[S_PLACE_NEXT] = following
    else:
        st[S_PLACE_BASE] += st[S_PLACE_K]
        enter_window(fact, st, st[S_PLACE_WINDOW] + 1, tick, duration)


@compiled
def own_following_onset(fact, st, tick, duration):
    """Nominal onset of unit k + 1 of this window, or the start of the next window if that is sooner."""
    carry = st[S_PLACE_CARRY] + fact[F_REST]
    following = (
        st[S_PLACE_START] + st[S_PLACE_ONSET] + fact[F_PERIOD] + (1 if carry >= fact[F_DIVISOR] else 0)
    )
    if fact[F_CYCLE_NS] > 0:
        start_ns = fact[F_DELAY_NS] + (st[S_PLACE_WINDOW] + 1) * fact[F_CYCLE_NS]
        if duration == 0 or start_ns < duration:
            following = min(following, start_ns // tick)
    return following


@compiled
def _pushed_by(onset, mine, my_offsets, other_onset, other, other_offsets, guard):
    """The smallest onset one other unit pushes this one to; ``onset`` itself where they keep clear."""
    if mine[F_ONE_OCCUPANCY]:
        my_count = 1
        my_last = mine[F_UNIT_OCCUPANCY]
    else:
        my_count = mine[F_PULSES]
        my_last = mine[F_LAST_OCCUPANCY]
    if other[F_ONE_OCCUPANCY]:
        other_count = 1
        other_last = other[F_UNIT_OCCUPANCY]
    else:
        other_count = other[F_PULSES]
        other_last = other[F_LAST_OCCUPANCY]
    pushed = onset
    for j in range(my_count):
        begin = pushed + my_offsets[j]
        stop = begin + (my_last if j == my_count - 1 else mine[F_OCCUPANCY])
        # Ends of the other's pulses rise with their number: find the first that ends too late for this pulse.
        low = 0
        high = other_count
        while low < high:
            middle = (low + high) // 2
            length = other_last if middle == other_count - 1 else other[F_OCCUPANCY]
            if other_onset + other_offsets[middle] + length + guard <= begin:
                low = middle + 1
            else:
                high = middle
        if low < other_count:
            there = other_onset + other_offsets[low]
            if stop + guard > there:
                length = other_last if low == other_count - 1 else other[F_OCCUPANCY]
                pushed = there + length + guard - my_offsets[j]
    return pushed


@compiled
def clear_onset(m, area, onset, guard):
    """Where the first conflict found pushes the unit; ``onset`` itself where there is none."""
    capacity = m.ring.shape[1]
    end = onset + m.facts[area, F_UNIT_OCCUPANCY]
    for other in range(area):
        reach = m.facts[other, F_UNIT_OCCUPANCY]
        for place in range(m.state[other, S_HEAD], m.state[other, S_TAIL]):
            there = m.ring[other, place % capacity, R_ONSET]
            if there + reach + guard <= onset:
                continue
            if end + guard <= there:
                break
            pushed = _pushed_by(
                onset, m.facts[area], m.offsets[area], there, m.facts[other], m.offsets[other], guard
            )
            if pushed > onset:
                return pushed
    return onset


@compiled
def forget(m, area, guard):
    """Drop played units at the head of a ring that no later area can meet any more."""
    capacity = m.ring.shape[1]
    needed = np.int64(INF)
    for later in range(area + 1, m.facts.shape[0]):
        needed = min(needed, m.state[later, S_PLACE_NEXT])
    reach = m.facts[area, F_UNIT_OCCUPANCY] + guard
    while m.state[area, S_HEAD] < m.state[area, S_PLAY]:
        if m.ring[area, m.state[area, S_HEAD] % capacity, R_ONSET] + reach > needed:
            return
        m.state[area, S_HEAD] += 1


@compiled
def place(m, first, until):
    """Place units of area ``first`` until one waits to be played or the next nominal onset is ``until``."""
    tick = m.common[X_TICK_NS]
    guard = m.common[X_GUARD]
    duration = m.common[X_DURATION_NS]
    capacity = m.ring.shape[1]
    depth = 0
    m.stack[0, 0] = first
    m.stack[0, 1] = until
    while depth >= 0:
        area = m.stack[depth, 0]
        st = m.state[area]
        nominal = st[S_PLACE_NEXT]
        if nominal >= m.stack[depth, 1] or (depth == 0 and st[S_TAIL] > st[S_PLAY]):
            depth -= 1
            continue
        fact = m.facts[area]
        onset = max(nominal, st[S_TRIAL])
        keeps = onset + fact[F_UNIT_LENGTH] <= st[S_PLACE_END]
        if area > 0 and keeps:
            keeps = (
                onset + fact[F_UNIT_OCCUPANCY] <= own_following_onset(fact, st, tick, duration)
                and onset - nominal <= fact[F_MAX_SHIFT]
            )
            if keeps:
                reach = onset + fact[F_UNIT_OCCUPANCY] + guard
                waits = False
                for before in range(area):
                    if m.state[before, S_PLACE_NEXT] < reach:
                        depth += 1
                        m.stack[depth, 0] = before
                        m.stack[depth, 1] = reach
                        waits = True
                        break
                if waits:
                    continue
                pushed = clear_onset(m, area, onset, guard)
                if pushed > onset:
                    st[S_TRIAL] = pushed
                    continue
        if keeps:
            forget(m, area, guard)
            if st[S_TAIL] - st[S_HEAD] >= capacity:
                return RING_FULL
            slot = st[S_TAIL] % capacity
            m.ring[area, slot, R_ONSET] = onset
            m.ring[area, slot, R_K] = st[S_PLACE_K]
            m.ring[area, slot, R_CLASS] = st[S_PLACE_CLASS]
            m.ring[area, slot, R_UNIT] = st[S_PLACE_BASE] + st[S_PLACE_K]
            st[S_TAIL] += 1
        elif nominal + fact[F_UNIT_LENGTH] <= st[S_PLACE_END]:
            st[S_DROPPED] += 1
        st[S_TRIAL] = -1
        step_cursor(fact, st, tick, duration)
    return DONE
