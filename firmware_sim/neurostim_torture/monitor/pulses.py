"""Each pulse by itself: its balance, its recovery, and nothing driven while a contact is shorted."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neurostim_torture.monitor.dose import Dose, Ints, Net
from neurostim_torture.monitor.excuses import cut_pulses, hung_spans
from neurostim_torture.monitor.history import History
from neurostim_torture.monitor.records import Area, Body, Violation
from neurostim_torture.monitor.rule import rule

ACTIVE = ("active-symmetric", "active-asymmetric", "triphasic")
SHORTED_AT_MOST_NS = 100_000_000


@rule(
    "active recharge takes back exactly the charge of the stimulation, contact by contact; a failing source "
    "leaves at most 100 nA and 0.35 uC at a contact",
    "program format, rule 7; safety facts, net DC",
)
def balance(history: History) -> Iterator[Violation]:
    """Judge the net charge of each contact in each pulse of areas with active recharge."""
    ill = any(body.what in ("open", "short", "out", "source") for body in history.bodies)
    for dose in history.doses:
        if dose.program is None or not len(dose.driven):
            continue
        pulses, net = dose.pulses, dose.net
        active = np.array([area.recharge in ACTIVE for area in dose.program.areas], dtype=bool)
        owed = active[np.minimum(pulses.area, len(active) - 1)] & ~cut_pulses(history, dose)
        left = np.where(owed[net.of], net.net_ac, 0)
        if ill:
            # A processor that stands still sees no net current; its watchdog bounds how long.
            for at_ns, until_ns in hung_spans(history):
                unseen = (dose.pulse_start_ns >= at_ns) & (dose.pulse_start_ns <= until_ns)
                left[unseen[net.of]] = 0
        if not left.any():
            continue
        place, text = _left_too_much(history, dose, left) if ill else _left_at_all(net, left)
        if text:
            yield Violation("balance", int(dose.pulse_start_ns[place]), text, dose.number)


def _left_at_all(net: Net, left: Ints) -> tuple[int, str]:
    """The first pulse that leaves charge, and what it leaves."""
    first = int(np.flatnonzero(left)[0])
    return int(net.of[first]), f"a pulse leaves {int(left[first])} aC at contact {int(net.contact[first])}"


def _left_too_much(history: History, dose: Dose, left: Ints) -> tuple[int, str]:
    """The first pulse after which a failing source has left more than it may at one contact."""
    bounds, net = history.setting.bounds, dose.net
    order = np.argsort(dose.pulses.start[net.of], kind="stable")
    for contact in np.unique(net.contact):
        mine = order[net.contact[order] == contact]
        since = dose.pulses.start[net.of[mine]] * dose.tick_ns
        much = np.abs(np.cumsum(left[mine])) > bounds.net_ac + bounds.net_na * since
        if much.any():
            place = int(np.flatnonzero(much)[0])
            gone = int(left[mine][: place + 1].sum())
            return int(net.of[mine[place]]), f"a failing source has left {gone} aC at contact {int(contact)}"
    return 0, ""


def _recovered_ticks(dose: Dose) -> dict[int, Ints]:
    """For each contact, the keys of pulses and the ticks that the contact was shorted after them, summed."""
    rows = dose.passive
    found: dict[int, Ints] = {}
    if not len(rows):
        return found
    order = np.lexsort((rows.key, rows.contact))
    contact, key = rows.contact[order], rows.key[order]
    changed = np.ones(len(order), dtype=bool)
    changed[1:] = (contact[1:] != contact[:-1]) | (key[1:] != key[:-1])
    first = np.flatnonzero(changed)
    sums = np.add.reduceat(rows.length[order], first)
    for one in np.unique(contact[first]):
        mine = contact[first] == one
        found[int(one)] = np.stack((key[first][mine], sums[mine]))
    return found


@rule(
    "after each passive pulse (or burst) every contact of the area is shorted for at least recovery_min",
    "program format, rule 9; hazard: charge imbalance when recovery is lost",
)
def recovery(history: History) -> Iterator[Violation]:
    """Judge the shorted stretches after each pulse; the last one of a dose may have lost its supply."""
    least = -(-history.setting.recovery_min_ns // history.setting.tick_ns)
    for dose in history.doses:
        program = dose.program
        if program is None or not any(one.recharge.startswith("passive") for one in program.areas):
            continue
        recovered = _recovered_ticks(dose)
        cut = _supply_lost(history, dose)
        for index, area in enumerate(program.areas):
            if area.recharge.startswith("passive"):
                yield from _recovery_of(dose, index, area, recovered, least, cut)


def _supply_lost(history: History, dose: Dose) -> int:
    """True time from which recovery may be missing because sources or supply were lost; else far away."""
    lost = [one.at_ns for one in history.powers if one.what != "boot"]
    lost += [one.at_ns for one in history.taken if one.kind == "EMERGENCY_STOP"]
    # Sources cut by a fault or an emergency: all contacts are shorted together instead, once.
    safe = dose.passive.start[dose.passive.unit < 0]
    if safe.size:
        lost.append(int(dose.true_ns(safe.min(keepdims=True))[0]))
    return min((at_ns for at_ns in lost if at_ns >= dose.began_ns), default=1 << 62)


def _recovery_of(
    dose: Dose, index: int, area: Area, recovered: dict[int, Ints], least: int, cut_ns: int
) -> Iterator[Violation]:
    pulses = dose.pulses
    mine = pulses.area == index
    if area.recharge == "passive-after-burst":
        unit = pulses.unit
        last = np.ones(len(unit), dtype=bool)
        last[:-1] = (unit[1:] != unit[:-1]) | (pulses.area[1:] != pulses.area[:-1])
        mine &= last
        # A burst that the sources were cut in has the recovery of the cut instead.
        mine &= (pulses.pulse == area.burst_pulses - 1) | (dose.last_ns < cut_ns - area.period[0])
    allowance_ns = area.interphase_ns + least * dose.tick_ns
    mine &= dose.true_ns(pulses.end) + allowance_ns < cut_ns
    wanted = np.flatnonzero(mine)
    if not wanted.size:
        return
    keys = dose.driven.key[pulses.order[pulses.first]][wanted]
    for contact, _ in area.shares:
        table = recovered.get(contact)
        length = np.zeros(len(keys), np.int64)
        if table is not None:
            place = np.minimum(np.searchsorted(table[0], keys), table.shape[1] - 1)
            length = np.where(table[0][place] == keys, table[1][place], 0)
        # The driven rows tell which pulses had current at this contact.
        short = length < least
        if short.any():
            at = int(wanted[np.flatnonzero(short)[0]])
            yield Violation(
                "recovery",
                int(dose.pulse_start_ns[at]),
                f"area {index}, unit {int(pulses.unit[at])}: contact {contact} is shorted for "
                f"{int(length[np.flatnonzero(short)[0]]) * dose.tick_ns} ns of {least * dose.tick_ns} ns",
                dose.number,
            )
            return


@rule("no source drives while a contact of the same output is shorted", "program format, rule 9")
def nothing_driven_while_shorted(history: History) -> Iterator[Violation]:
    """Judge every driven row against every shorted stretch."""
    for dose in history.doses:
        driven, passive = dose.driven, dose.passive
        if not len(driven) or not len(passive):
            continue
        # Stretches by start; the farthest end so far tells whether one still runs.
        farthest = np.maximum.accumulate(passive.end)
        before = np.searchsorted(passive.start, driven.end, side="left") - 1
        wrong = (before >= 0) & (farthest[np.maximum(before, 0)] > driven.start)
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0])
            yield Violation(
                "nothing-driven-while-shorted",
                int(dose.start_ns[at]),
                f"contact {int(driven.contact[at])} is driven while the output is shorted",
                dose.number,
            )


@rule("no contact is left shorted: at most 100 ms at a time", "program format, rules 9 and 10")
def never_left_shorted(history: History) -> Iterator[Violation]:
    """Judge the length of every shorted stretch."""
    for dose in history.doses:
        long = dose.passive.length * dose.tick_ns > SHORTED_AT_MOST_NS
        if long.any():
            at = int(np.flatnonzero(long)[0])
            length = int(dose.passive.length[at]) * dose.tick_ns
            moment = int(dose.true_ns(dose.passive.start[at : at + 1])[0])
            yield Violation("never-left-shorted", moment, f"shorted for {length} ns", dose.number)


@rule(
    "an area with an open contact gives at most 3 more pulses, one whose lead left its port none at all, and "
    "neither comes back in the same dose",
    "safety facts, open circuit; specification, section 11",
)
def lost_contacts(history: History) -> Iterator[Violation]:
    """Judge the pulses of an area after one of its contacts was lost."""
    allowed = history.setting.bounds.open_pulses
    for dose in history.doses:
        program = dose.program
        if program is None or not len(dose.driven):
            continue
        starts, pulses = dose.pulse_start_ns, dose.pulses
        for body in history.bodies:
            if body.what not in ("open", "out") or body.at_ns > dose.last_ns:
                continue
            for index, area in enumerate(program.areas):
                if not any(contact in body.contacts for contact, _ in area.shares):
                    continue
                if _healed_ns(history, body) <= dose.began_ns:
                    continue
                mine = (pulses.area == index) & (starts > body.at_ns + dose.tick_ns)
                # A lead that was out before the start is found open by the first pulses.
                most = 0 if body.what == "out" and body.at_ns >= dose.began_ns else allowed
                back_ns = _healed_ns(history, body)
                seen = int(np.count_nonzero(mine & (starts < back_ns)))
                if (
                    most
                    and seen < most
                    and not _missed(area, starts[pulses.area == index], body.at_ns, back_ns)
                ):
                    continue
                after = np.flatnonzero(mine)
                if after.size > most:
                    place = int(after[most])
                    yield Violation(
                        "lost-contacts",
                        int(starts[place]),
                        f"area {index} gives pulse {most + 1} after a contact was lost ({body.what})",
                        dose.number,
                    )


def _missed(area: Area, starts: Ints, lost_ns: int, back_ns: int) -> bool:
    """Whether an area without cycle ran on, and more pulses than may show an open contact carried nothing."""
    numerator, denominator = area.period
    period = numerator // denominator
    before, after = starts[starts <= lost_ns], starts[starts >= back_ns]
    if area.on_ns or not before.size or not after.size or back_ns - lost_ns < 6 * period:
        return False
    return bool(lost_ns - int(before[-1]) < 2 * period and int(after[0]) - back_ns < 2 * period)


def _healed_ns(history: History, lost: Body) -> int:
    """When a lost contact was there again; far away where it was not."""
    again = (
        body.at_ns
        for body in history.bodies
        if body.what in ("healed", "in")
        and body.at_ns >= lost.at_ns
        and set(body.contacts) & set(lost.contacts)
    )
    return min(again, default=1 << 62)


RULES = (balance, recovery, nothing_driven_while_shorted, never_left_shorted, lost_contacts)
