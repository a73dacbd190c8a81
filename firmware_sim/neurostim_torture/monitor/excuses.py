"""What excuses a broken pulse: a source that was cut off in it, or a contact that lost its current."""

from __future__ import annotations

import numpy as np

from neurostim_torture.monitor.dose import Bools, Dose, Ints
from neurostim_torture.monitor.history import History, once
from neurostim_torture.monitor.records import MS

CUTS = ("reset", "brown_out", "power_cut", "off_button", "battery")


@once
def cut_spans(history: History) -> list[tuple[int, int]]:
    """Stretches of true time [ns] in which the sources may have been switched off in mid-pulse."""
    spans = [(one.at_ns, one.at_ns) for one in history.taken if one.kind == "EMERGENCY_STOP"]
    spans += [(one.at_ns, one.at_ns) for one in history.powers_of(*CUTS)]
    spans += [(one.at_ns, one.at_ns) for one in history.events("FAULT")]
    return spans + hung_spans(history)


def hung_spans(history: History) -> list[tuple[int, int]]:
    """Stretches of true time [ns] in which the processor stands still."""
    hung = history.setting.bounds.watchdog_ns + MS
    return [(one.at_ns, one.at_ns + hung) for one in history.powers_of("hang")]


@once
def cut_pulses(history: History, dose: Dose) -> Bools:
    """Which pulses may have been cut: only the last one that began, where a cut falls into its time."""
    pulses = dose.pulses
    excused = np.zeros(len(pulses.start), dtype=bool)
    if len(excused) == 0:
        return excused
    last = int(np.argmax(pulses.start))
    program = dose.program
    longest_ns = 10 * MS
    if program is not None and pulses.area[last] < len(program.areas):
        area = program.areas[int(pulses.area[last])]
        longest_ns = 4 * area.width_ns + 2 * area.interphase_ns + area.width_ns * area.ratio
    begin = int(dose.pulse_start_ns[last])
    slack = 2 * dose.tick_ns
    excused[last] = any(
        at - slack <= begin + longest_ns and until + slack >= begin for at, until in cut_spans(history)
    )
    return excused


@once
def touched(history: History, dose: Dose, *what: str) -> Bools:
    """Which pulses began while a contact of their area was in one of these conditions."""
    pulses = dose.pulses
    struck = np.zeros(len(pulses.start), dtype=bool)
    if len(struck) == 0 or dose.program is None:
        return struck
    ill: dict[int, int] = {}
    spans: list[tuple[int, int, int]] = []
    for body in history.bodies:
        if body.what in what:
            for contact in body.contacts:
                ill.setdefault(contact, body.at_ns)
        elif body.what in ("healed", "in"):
            spans += [(contact, ill.pop(contact), body.at_ns) for contact in body.contacts if contact in ill]
    spans += [(contact, begin, dose.last_ns + 1) for contact, begin in ill.items()]
    starts: Ints = dose.pulse_start_ns
    for contact, begin, end in spans:
        for index, area in enumerate(dose.program.areas):
            if any(one == contact for one, _ in area.shares):
                struck |= (pulses.area == index) & (starts >= begin - area.width_ns * 40) & (starts <= end)
    return struck
