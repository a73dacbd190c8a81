"""Rules 5-7 and 9 in a kernel: pulse by pulse in time order, with dose, circuit and trace rows.

Between two control events nothing but time changes, so the kernel runs until the next one, or until something
happens that the firmware must see (three open pulses in a row), or until a buffer is full.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

import math

import numpy as np

from neurostim_sim.engine.compiled import compiled
from neurostim_sim.engine.layout import (
    C_FADED,
    D_ANODIC,
    D_CATHODIC,
    D_PULSES,
    D_RECOVERED,
    DONE,
    E_FARAD,
    E_LEAK,
    E_SERIES,
    E_SINCE,
    E_VOLT,
    EVENT,
    F_CEILING,
    F_GAP,
    F_KIND,
    F_LENGTH,
    F_PULSES,
    F_RATIO,
    F_WIDTH,
    FINISHED,
    INF,
    K_ACTIVE,
    K_PASSIVE,
    K_PASSIVE_AFTER_BURST,
    K_TRIPHASIC,
    KIND_PASSIVE,
    KIND_RECHARGE,
    KIND_STIM,
    O_DISCHARGE,
    O_OPEN,
    O_RAIL,
    O_SENSOR,
    O_SHORT,
    R_CLASS,
    R_K,
    R_ONSET,
    R_UNIT,
    ROWS_FULL,
    S_CLIPPED,
    S_CLIPPING,
    S_FADED,
    S_NO_START,
    S_NOW,
    S_NOW_ONSET,
    S_NOW_PULSE,
    S_NOW_UNIT,
    S_NOW_ZERO,
    S_OPEN_RUN,
    S_PLACE_NEXT,
    S_PLAY,
    S_PULSES,
    S_SHORT,
    S_SHORT_CAP,
    S_SHORT_FROM,
    S_SHORT_PULSE,
    S_SHORT_RUN,
    S_SHORT_UNIT,
    S_STIM,
    S_TAIL,
    S_UNITS,
    S_ZEROED,
    T_AMPLITUDE,
    T_AREA,
    T_CHARGE,
    T_CONTACT,
    T_KIND,
    T_LENGTH,
    T_PULSE,
    T_START,
    T_UNIT,
    V_CLIPPED,
    V_LIMIT,
    V_OPEN,
    V_SHORT,
    X_GUARD,
    X_RECHARGE_DEN,
    X_RECHARGE_NUM,
    X_RECORD,
    X_SHORTING,
    X_SOURCE_DEN,
    X_SOURCE_NUM,
    X_TICK_NS,
)
from neurostim_sim.engine.placing import place

AC_PER_NC = 1_000_000_000
TIMES_IN_A_ROW = 3


@compiled
def drift(contact, c, ticks, tick_ns):
    """Let a floating contact leak until ``ticks``, through its Faradaic resistance."""
    gone = (ticks - contact[c, E_SINCE]) * tick_ns * 1e-9
    if gone > 0.0:
        if contact[c, E_VOLT] != 0.0:
            contact[c, E_VOLT] *= math.exp(-gone / (contact[c, E_FARAD] * contact[c, E_LEAK]))
        contact[c, E_SINCE] = ticks


@compiled
def drive(contact, c, current_na, start, length, tick_ns):
    """Drive a contact from ``start`` on; the exact step of its circuit."""
    drift(contact, c, start, tick_ns)
    seconds = length * tick_ns * 1e-9
    tau = contact[c, E_FARAD] * contact[c, E_LEAK]
    kept = math.exp(-seconds / tau)
    contact[c, E_VOLT] = contact[c, E_VOLT] * kept + current_na * 1e-9 * contact[c, E_LEAK] * -math.expm1(
        -seconds / tau
    )
    contact[c, E_SINCE] = start + length


@compiled
def discharge(contact, c, resistor, start, stop, tick_ns):
    """Short a contact to the common node from ``start`` to ``stop``; returns the charge that flowed [aC]."""
    if stop <= contact[c, E_SINCE]:
        return 0.0
    drift(contact, c, max(start, contact[c, E_SINCE]), tick_ns)
    seconds = (stop - contact[c, E_SINCE]) * tick_ns * 1e-9
    path = contact[c, E_SERIES] + resistor
    conductance = 1.0 / path + 1.0 / contact[c, E_LEAK]
    tau = contact[c, E_FARAD] / conductance
    lost = contact[c, E_VOLT] * -math.expm1(-seconds / tau)
    contact[c, E_VOLT] -= lost
    contact[c, E_SINCE] = stop
    return -lost * tau / path * 1e18


@compiled
def _row(rows, count, start, length, c, kind, amplitude, area, unit, pulse, charge):
    rows[count, T_START] = start
    rows[count, T_LENGTH] = length
    rows[count, T_CONTACT] = c
    rows[count, T_KIND] = kind
    rows[count, T_AMPLITUDE] = amplitude
    rows[count, T_AREA] = area
    rows[count, T_UNIT] = unit
    rows[count, T_PULSE] = pulse
    rows[count, T_CHARGE] = charge
    return count + 1


@compiled
def end_stretch(m, area, stop):
    """Write the shorted stretch of an area up to ``stop``, if there is any of it."""
    st = m.state[area]
    start = st[S_SHORT_FROM]
    if stop <= start:
        return
    for c in range(m.shares.shape[1]):
        if m.shares[area, c] == 0:
            continue
        charge = np.int64(
            round(discharge(m.contact, c, m.output[O_DISCHARGE], start, stop, m.common[X_TICK_NS]))
        )
        add_charge(m.dose[c], D_RECOVERED, charge)
        if m.common[X_RECORD]:
            m.filled[0] = _row(
                m.rows,
                m.filled[0],
                start,
                stop - start,
                c,
                KIND_PASSIVE,
                0,
                area,
                st[S_SHORT_UNIT],
                st[S_SHORT_PULSE],
                charge,
            )


@compiled
def interrupt_stretches(m, area, onset, length):
    """Rule 9: a pulse ends its own area's stretch and interrupts the others', from guard before it."""
    guard = m.common[X_GUARD]
    for other in range(m.state.shape[0]):
        st = m.state[other]
        if not st[S_SHORT]:
            continue
        stop = min(onset - guard, st[S_SHORT_CAP])
        end_stretch(m, other, stop)
        st[S_SHORT_FROM] = max(st[S_SHORT_FROM], onset + length + guard)
        if other == area or st[S_SHORT_FROM] >= st[S_SHORT_CAP]:
            st[S_SHORT] = 0


@compiled
def settle_stretches(m, until):
    """End the stretches whose time is up before any pulse at or after ``until`` could interrupt them."""
    for area in range(m.state.shape[0]):
        st = m.state[area]
        if st[S_SHORT] and (until >= INF or st[S_SHORT_CAP] + m.common[X_GUARD] <= until):
            end_stretch(m, area, st[S_SHORT_CAP])
            st[S_SHORT] = 0


@compiled
def delivered_part(m, currents, sign, start, length):
    """The part of a commanded phase that the rails let through, 0 to 1, by the widest pair of contacts."""
    rail = m.output[O_RAIL]
    tick_ns = m.common[X_TICK_NS]
    high = -1e30
    low = 1e30
    high_rest = 0.0
    low_rest = 0.0
    for c in range(currents.shape[0]):
        if currents[c] == 0:
            continue
        drift(m.contact, c, start, tick_ns)
        ampere = sign * currents[c] * 1e-9
        rise = length * tick_ns * 1e-9 / m.contact[c, E_FARAD]
        volt = m.contact[c, E_VOLT] + ampere * (m.contact[c, E_SERIES] + rise)
        if volt > high:
            high = volt
            high_rest = m.contact[c, E_VOLT]
        if volt < low:
            low = volt
            low_rest = m.contact[c, E_VOLT]
    if high - low <= rail:
        return 1.0
    rest = high_rest - low_rest
    return min(1.0, max(0.0, (rail - rest) / (high - low - rest)))


@compiled
def scale(currents, part, out):
    """Every contact's current times one part, in whole nA toward zero, with the sum kept at zero.

    One part for all: what an open contact cannot take is never given to the others.
    """
    total = np.int64(0)
    for c in range(currents.shape[0]):
        out[c] = np.int64(currents[c] * part)
        total += out[c]
    c = 0
    while total != 0 and c < currents.shape[0]:
        # Toward zero only: take the rounding's surplus from contacts of its own sign.
        if out[c] != 0 and (out[c] > 0) == (total > 0):
            take = min(abs(total), abs(out[c]))
            out[c] -= take if total > 0 else -take
            total += -take if total > 0 else take
        c += 1


@compiled
def add_charge(counters, place_in, charge):
    """Add a charge [aC] to a pair of whole nC and remainder, rounding down."""
    whole = charge // AC_PER_NC
    rest = counters[place_in + 1] + charge - whole * AC_PER_NC
    if rest >= AC_PER_NC:
        rest -= AC_PER_NC
        whole += 1
    counters[place_in] += whole
    counters[place_in + 1] = rest


@compiled
def phase(m, area, start, length, sign, kind, num, den):
    """Deliver one phase of one pulse; returns the part of it that the rails let through."""
    tick_ns = m.common[X_TICK_NS]
    st = m.state[area]
    mine = m.now[area]
    ratio = m.facts[area, F_RATIO] if kind == KIND_RECHARGE else 1
    balanced = m.facts[area, F_KIND] == K_ACTIVE or m.facts[area, F_KIND] == K_TRIPHASIC
    num *= m.common[X_SOURCE_NUM]
    den *= m.common[X_SOURCE_DEN]
    part = delivered_part(m, mine, sign * num / den, start, length)
    if part < 1.0:
        scale(mine, part, m.out)
    else:
        for c in range(mine.shape[0]):
            m.out[c] = mine[c]
    for c in range(mine.shape[0]):
        if m.out[c] == 0:
            continue
        current = sign * m.out[c]
        if num != den:
            magnitude = abs(m.out[c]) * num // den
            current = magnitude if current > 0 else -magnitude
        if current == 0:
            continue
        drive(m.contact, c, current, start, length, tick_ns)
        charge = np.int64(current) * np.int64(length * tick_ns)
        if balanced:
            add_charge(m.net[area, c], 0, charge)
        if kind == KIND_STIM and num != den * ratio:
            add_charge(m.excess[c], 0, (abs(current) - abs(m.out[c])) * np.int64(length * tick_ns))
        if kind == KIND_RECHARGE:
            add_charge(m.dose[c], D_RECOVERED, charge)
        elif charge < 0:
            add_charge(m.dose[c], D_CATHODIC, -charge)
            add_charge(st, S_STIM, -charge)
        else:
            add_charge(m.dose[c], D_ANODIC, charge)
        if m.common[X_RECORD]:
            m.filled[0] = _row(
                m.rows, m.filled[0], start, length, c, kind, current, area, st[S_NOW_UNIT], st[S_NOW_PULSE], 0
            )
    return part


@compiled
def sense(m, area, at, part):
    """What the firmware measures in a pulse: clipping, and opens and shorts by their number in a row."""
    st = m.state[area]
    mine = m.now[area]
    if part < 1.0:
        if not st[S_CLIPPING] and m.noticed[0] < m.seen.shape[0] - 1:
            widest = _widest(mine)
            note(m, at, V_CLIPPED, area, widest, np.int64(mine[widest] * part), mine[widest])
        st[S_CLIPPING] = 1
        st[S_CLIPPED] += 1
    else:
        st[S_CLIPPING] = 0
    if m.output[O_SENSOR] == 0.0:
        return False
    open_at = -1
    short_at = -1
    for c in range(mine.shape[0]):
        if mine[c] != 0:
            if m.contact[c, E_SERIES] >= m.output[O_OPEN]:
                open_at = c
            elif m.contact[c, E_SERIES] < m.output[O_SHORT]:
                short_at = c
    st[S_OPEN_RUN] = st[S_OPEN_RUN] + 1 if open_at >= 0 else 0
    st[S_SHORT_RUN] = st[S_SHORT_RUN] + 1 if short_at >= 0 else 0
    if st[S_OPEN_RUN] >= TIMES_IN_A_ROW or st[S_SHORT_RUN] >= TIMES_IN_A_ROW:
        st[S_ZEROED] = 1
        is_open = st[S_OPEN_RUN] >= TIMES_IN_A_ROW
        where = open_at if is_open else short_at
        note(
            m,
            at,
            V_OPEN if is_open else V_SHORT,
            area,
            where,
            np.int64(m.contact[where, E_SERIES]),
            mine[where],
        )
        return True
    return False


@compiled
def _widest(currents):
    """The contact with the largest current, the first of them."""
    found = 0
    for c in range(currents.shape[0]):
        if abs(currents[c]) > abs(currents[found]):
            found = c
    return found


@compiled
def note(m, at, what, area, c, value, commanded):
    """Write down something seen."""
    place_in = m.noticed[0]
    m.seen[place_in, 0] = at
    m.seen[place_in, 1] = what
    m.seen[place_in, 2] = area
    m.seen[place_in, 3] = c
    m.seen[place_in, 4] = value
    m.seen[place_in, 5] = commanded
    m.noticed[0] += 1


@compiled
def begin_unit(m, area, at):
    """Take the next placed unit and look up its currents; they stay the same for all its pulses.

    True where the output refuses them: beyond the area's ceiling, or with a sum that is not zero.
    """
    st = m.state[area]
    slot = st[S_PLAY] % m.ring.shape[1]
    kind = m.ring[area, slot, R_CLASS]
    key = m.ring[area, slot, R_K]
    if st[S_FADED]:
        kind = C_FADED
        key = m.ring[area, slot, R_UNIT]
    first = m.tables[area, kind, 0]
    low = 0
    high = m.tables[area, kind, 1]
    while high - low > 1:
        middle = (low + high) // 2
        if m.run_starts[first + middle] <= key:
            low = middle
        else:
            high = middle
    level = m.run_levels[first + low]
    zero = True
    total = np.int64(0)
    drawn = np.int64(0)
    for c in range(m.now.shape[1]):
        m.now[area, c] = m.levels[level, c] if not st[S_ZEROED] else 0
        zero = zero and m.now[area, c] == 0
        total += m.now[area, c]
        drawn += max(0, -m.now[area, c])
    refused = total != 0 or drawn > m.facts[area, F_CEILING]
    if refused:
        widest = _widest(m.now[area])
        note(m, at, V_LIMIT, area, widest, m.now[area, widest], m.facts[area, F_CEILING])
        for c in range(m.now.shape[1]):
            m.now[area, c] = 0
        st[S_ZEROED] = 1
        zero = True
    st[S_NOW] = 1
    st[S_NOW_ONSET] = m.ring[area, slot, R_ONSET]
    st[S_NOW_PULSE] = 0
    st[S_NOW_UNIT] = m.ring[area, slot, R_UNIT]
    st[S_NOW_ZERO] = 1 if zero else 0
    st[S_PLAY] += 1
    return refused


@compiled
def play_pulse(m, area, at):
    """Deliver one pulse and open its area's shorted stretch; True where the area was zeroed for good."""
    fact = m.facts[area]
    st = m.state[area]
    latched = False
    if st[S_ZEROED]:
        # Nothing of this area is driven any more, and nothing ends the recovery of its last pulse.
        st[S_NOW_PULSE] += 1
        if st[S_NOW_PULSE] >= fact[F_PULSES]:
            st[S_NOW] = 0
        return False
    zero = st[S_NOW_ZERO] == 1
    interrupt_stretches(m, area, at, fact[F_LENGTH])
    if not zero:
        width = fact[F_WIDTH]
        gap = fact[F_GAP]
        mine = m.now[area]
        part = phase(m, area, at, width, 1, KIND_STIM, 1, 1)
        for c in range(mine.shape[0]):
            if m.out[c] != 0:
                m.dose[c, D_PULSES] += 1
        if fact[F_KIND] == K_ACTIVE:
            # The ratio divides exactly: rule 6 made every current a multiple of it.
            back = phase(
                m,
                area,
                at + width + gap,
                width * fact[F_RATIO],
                -1,
                KIND_RECHARGE,
                m.common[X_RECHARGE_NUM],
                m.common[X_RECHARGE_DEN] * fact[F_RATIO],
            )
            part = min(part, back)
        elif fact[F_KIND] == K_TRIPHASIC:
            middle = phase(
                m,
                area,
                at + width + gap,
                2 * width,
                -1,
                KIND_STIM,
                m.common[X_RECHARGE_NUM],
                m.common[X_RECHARGE_DEN],
            )
            part = min(part, middle, phase(m, area, at + 3 * width + 2 * gap, width, 1, KIND_STIM, 1, 1))
        latched = sense(m, area, at + fact[F_LENGTH], part)
        st[S_PULSES] += 1
        st[S_UNITS] += 1 if st[S_NOW_PULSE] == 0 else 0
        last = st[S_NOW_PULSE] == fact[F_PULSES] - 1
        if fact[F_KIND] == K_PASSIVE or (fact[F_KIND] == K_PASSIVE_AFTER_BURST and (last or latched)):
            st[S_SHORT] = 1
            st[S_SHORT_FROM] = at + fact[F_LENGTH] + gap
            st[S_SHORT_CAP] = st[S_SHORT_FROM] + m.common[X_SHORTING]
            st[S_SHORT_UNIT] = st[S_NOW_UNIT]
            st[S_SHORT_PULSE] = st[S_NOW_PULSE]
    st[S_NOW_PULSE] += 1
    if st[S_NOW_PULSE] >= fact[F_PULSES]:
        st[S_NOW] = 0
    return latched


@compiled
def run(m, before, ended_by):
    """Deliver every pulse with onset before ``before`` that ends at or before ``ended_by`` [ticks].

    Returns a reason of `layout`: DONE, EVENT, ROWS_FULL, RING_FULL or FINISHED (no pulse will ever follow).
    """
    areas = m.facts.shape[0]
    spare = (4 + areas) * (m.shares.shape[1] + 1)
    while True:
        if m.filled[0] + spare > m.rows.shape[0]:
            return ROWS_FULL
        best = -1
        at = np.int64(INF)
        waiting = False
        for area in range(areas):
            st = m.state[area]
            if st[S_NOW]:
                onset = st[S_NOW_ONSET] + m.offsets[area, st[S_NOW_PULSE]]
            else:
                if st[S_TAIL] <= st[S_PLAY]:
                    reason = place(m, area, before)
                    if reason != DONE:
                        return reason
                if st[S_TAIL] <= st[S_PLAY]:
                    if st[S_PLACE_NEXT] < INF and st[S_PLACE_NEXT] < st[S_NO_START]:
                        waiting = True
                    continue
                onset = m.ring[area, st[S_PLAY] % m.ring.shape[1], R_ONSET]
                if onset >= st[S_NO_START]:
                    continue
            if onset < at:
                at = onset
                best = area
        if best < 0:
            settle_stretches(m, min(before, ended_by))
            return DONE if waiting else FINISHED
        if at >= before or at + m.facts[best, F_LENGTH] > ended_by:
            settle_stretches(m, min(at, ended_by))
            return DONE
        if not m.state[best, S_NOW] and begin_unit(m, best, at):
            return EVENT
        if play_pulse(m, best, at):
            return EVENT
