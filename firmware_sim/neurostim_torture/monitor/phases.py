"""Each phase by itself: currents, charge, width, contacts, polarity and balance across the contacts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from neurostim_torture.monitor.dose import Bools, Dose
from neurostim_torture.monitor.excuses import cut_pulses
from neurostim_torture.monitor.history import History
from neurostim_torture.monitor.records import STIM, Violation
from neurostim_torture.monitor.rule import rule

PROGRAM_FORMAT: Final = "program format, rules 3, 6 and 7"
MEASURED_NA: Final = 500_000
MEASURED_NS: Final = 50_000
MEASURED_PULSES: Final = 10


def _first(dose: Dose, rule_name: str, wrong: Bools, text: str) -> Iterator[Violation]:
    """One violation for the first of the driven rows that are wrong."""
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        rows = dose.driven
        found = (
            f"area {int(rows.area[at])}, unit {int(rows.unit[at])}, contact {int(rows.contact[at])}: "
            f"{int(rows.amplitude[at])} nA for {int(rows.length[at]) * dose.tick_ns} ns; {text}"
        )
        yield Violation(rule_name, int(dose.start_ns[at]), found, dose.number)


@rule("no contact above the hard limit of the output", "hardware limits; issue 3, section 1")
def contact_current(history: History) -> Iterator[Violation]:
    """Judge each row by itself."""
    limit = history.setting.hard.contact_na
    for dose in history.doses:
        wrong = np.abs(dose.driven.amplitude) > limit
        yield from _first(dose, "contact-current", wrong, f"allowed {limit} nA")


@rule("the anodes together never above the hard limit of the output", "hardware limits")
def total_current(history: History) -> Iterator[Violation]:
    """Judge the sum of each phase."""
    limit = history.setting.hard.total_na
    for dose in history.doses:
        if not len(dose.driven):
            continue
        first = dose.phase_first
        total = np.add.reduceat(np.maximum(dose.driven.amplitude, 0), first)
        wrong = np.zeros(len(dose.driven), dtype=bool)
        wrong[first] = total > limit
        yield from _first(dose, "total-current", wrong, f"all anodes together above {limit} nA")


@rule(
    "no charge of a phase above the hard limit of the output",
    "hardware limits; safety facts, charge rules",
)
def phase_charge(history: History) -> Iterator[Violation]:
    """Judge each row by itself."""
    limit = history.setting.hard.phase_ac
    for dose in history.doses:
        yield from _first(dose, "phase-charge", np.abs(dose.flowed_ac) > limit, f"allowed {limit} aC")


@rule(
    "what enters through the anodes of a phase leaves through its cathodes, exactly",
    "program format, rule 6",
)
def phase_sums_to_zero(history: History) -> Iterator[Violation]:
    """Judge the sum of each phase over all contacts."""
    ill = any(body.what == "source" for body in history.bodies)
    for dose in history.doses:
        if not len(dose.driven):
            continue
        first = dose.phase_first
        wrong = np.zeros(len(dose.driven), dtype=bool)
        left = np.abs(np.add.reduceat(dose.driven.amplitude, first))
        # A source that fails drives its contacts one by one a little off; what it leaves, balance bounds.
        most = int(np.abs(dose.driven.amplitude).max()) // 100 if ill else 0
        wrong[first] = left > most
        yield from _first(dose, "phase-sums-to-zero", wrong, "the contacts of the phase do not sum to zero")


@rule("no current at a contact that the program does not name", PROGRAM_FORMAT)
def programmed_contacts(history: History) -> Iterator[Violation]:
    """Judge each row by its area's shares."""
    for dose in history.doses:
        if dose.program is not None:
            yield from _first(dose, "programmed-contacts", dose.share == 0, "no share is programmed there")


@rule("every phase as wide as programmed, and inside the widths of the output", PROGRAM_FORMAT)
def phase_width(history: History) -> Iterator[Violation]:
    """Judge each row's length; a pulse that was cut off may be shorter."""
    hard = history.setting.hard
    for dose in history.doses:
        if not len(dose.driven):
            continue
        rows = dose.driven
        length = rows.length * dose.tick_ns
        long = length > hard.max_width_ns
        yield from _first(dose, "phase-width", long, f"allowed {hard.max_width_ns} ns")
        if dose.program is None:
            continue
        shape, area = dose.shape, np.where(dose.known, rows.area, 0)
        width = shape.width_ns[area]
        right = np.where(rows.kind == STIM, width, width * shape.ratio[area])
        fits = (length == right) | (shape.triphasic[area] & (length == 2 * width))
        longest = np.where(shape.triphasic[area], 2 * width, right)
        cut = cut_pulses(history, dose)[dose.pulse_of_row] & (length < longest)
        wrong = dose.known & ~fits & ~cut
        yield from _first(dose, "phase-width", wrong, "not as wide as programmed")


@rule("stimulation has the sign of the contact's share, recharge the other", "program format, rules 6 and 7")
def polarity(history: History) -> Iterator[Violation]:
    """Judge the sign of each row; the middle phase of three is reversed."""
    for dose in history.doses:
        if dose.program is None or not len(dose.driven):
            continue
        rows = dose.driven
        area = np.where(dose.known, rows.area, 0)
        into_ns = (rows.start - dose.pulses.start[dose.pulse_of_row]) * dose.tick_ns
        # The third phase begins after three widths and more; a middle phase may have been cut short.
        wide = rows.length * dose.tick_ns > dose.shape.width_ns[area]
        early = into_ns < 3 * dose.shape.width_ns[area]
        middle = dose.shape.triphasic[area] & (into_ns > 0) & (wide | early)
        forward = np.where(rows.kind == STIM, 1, -1) * np.where(middle, -1, 1)
        wrong = (np.sign(rows.amplitude) != np.sign(dose.share) * forward) & (dose.share != 0)
        yield from _first(dose, "polarity", wrong, "the wrong sign")


@rule(
    "a measurement gives at most 0.5 mA x 50 us, balanced, at most 10 pulses to a contact",
    "safety facts: impedance; specification, section 11",
)
def measurement_is_small(history: History) -> Iterator[Violation]:
    """Judge the pulses of each measurement."""
    for dose in history.doses:
        if dose.flow.digest or not len(dose.driven):
            continue
        rows = dose.driven
        large = (np.abs(rows.amplitude) > MEASURED_NA) | (rows.length * dose.tick_ns > MEASURED_NS)
        yield from _first(
            dose, "measurement-is-small", large, f"allowed {MEASURED_NA} nA for {MEASURED_NS} ns"
        )
        uneven = np.zeros(len(rows), dtype=bool)
        uneven[np.isin(dose.pulse_of_row, dose.net.of[dose.net.net_ac != 0])] = True
        yield from _first(dose, "measurement-is-small", uneven, "the pulse is not balanced")
        measured = (rows.kind == STIM) & (rows.amplitude < 0)
        contacts, counts = np.unique(rows.contact[measured], return_counts=True)
        many = measured & np.isin(rows.contact, contacts[counts > MEASURED_PULSES])
        yield from _first(dose, "measurement-is-small", many, f"more than {MEASURED_PULSES} pulses")


RULES = (
    measurement_is_small,
    contact_current,
    total_current,
    phase_charge,
    phase_sums_to_zero,
    programmed_contacts,
    phase_width,
    polarity,
)
