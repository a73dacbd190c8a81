"""What was counted is what flowed: the device's counters and the host's journal against the electrode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from neurostim_torture.monitor.dose import Dose
from neurostim_torture.monitor.history import History, once
from neurostim_torture.monitor.records import Books, Counter, Violation
from neurostim_torture.monitor.rule import rule

NONE: Final = Counter(0, 0, 0, 0)
BEGUN_NS: Final = 1_000_000
"""A dose that is counted begins within this of its count."""
MEASURED_AC: Final = 33 * 10 * 500_000 * 50_000
"""What a measurement may give to one contact: 10 pulses of 0.5 mA x 50 us for each of at most 33."""


def integrated(doses: list[Dose]) -> dict[int, Counter]:
    """What flowed at each contact in some doses [aC], exactly."""
    found: dict[int, Counter] = {}
    for dose in doses:
        for contact, more in dose.counted.items():
            before = found.get(contact, NONE)
            found[contact] = Counter(
                before.pulses + more.pulses,
                before.cathodic_ac + more.cathodic_ac,
                before.anodic_ac + more.anodic_ac,
                before.recovered_ac + more.recovered_ac,
            )
    return found


@rule(
    "the device's counters are the integrated charge, exactly; after a loss of power in output never below, "
    "and above it by at most the stated rounding",
    "issue 3, sections 1 and 4",
)
def counters_are_the_charge(history: History) -> Iterator[Violation]:
    """Judge the counters of each contact at the end."""
    for book in history.books:
        flowed, lost = integrated(history.doses), _losses(history)
        for contact in sorted(set(book.counters) | set(flowed)):
            told, start = book.counters.get(contact, NONE), book.at_start.get(contact, NONE)
            true = flowed.get(contact, NONE)
            # Without a loss of power nothing is spared: the bound is only worked out where there was one.
            spare = lost * unseen_ac(history, contact) if lost else 0
            text = _differs(told, start, true, spare, lost)
            if text:
                yield Violation("counters-are-the-charge", book.at_ns, f"contact {contact}: {text}")
                break


@once
def unseen_ac(history: History, contact: int) -> int:
    """The most that may be counted too much at a contact for one loss of power [aC]: see `Bounds`."""
    setting, most = history.setting, 0
    home = any(dose.flow.by == "patient" for dose in history.doses)
    unseen_ns = setting.bounds.unseen_home_ns if home else setting.bounds.unseen_ns
    for program in setting.programs:
        charge = 0
        for area in program.areas:
            share = abs(dict(area.shares).get(contact, 0))
            if share:
                numerator, denominator = area.period
                units = unseen_ns * denominator // numerator + 3
                step = setting.step_na * area.ratio
                size = (area.approved.max_na * share // (1000 * step) + 1) * step
                phases = 2 if area.recharge == "triphasic" else 1
                charge += units * area.burst_pulses * size * phases * area.width_ns
        most = max(most, charge)
    if any(body.what == "memory" for body in history.bodies):
        most = max(most, setting.hard.contact_na * unseen_ns)
    if history.intents_of("measure") or (home and any(not dose.flow.digest for dose in history.doses)):
        most += MEASURED_AC
    return most + most * setting.bounds.unseen_permille // 1000 + 1


def _losses(history: History) -> int:
    """How often power may have been lost while something flowed that was not yet stored."""
    first_ns = min((dose.began_ns for dose in history.doses), default=None)
    return sum(
        first_ns is not None and first_ns <= power.at_ns + BEGUN_NS
        for power in history.powers
        if power.what != "boot"
    )


def _differs(told: Counter, start: Counter, true: Counter, spare: int, lost: int) -> str:
    for name in ("cathodic_ac", "anodic_ac"):
        counted = getattr(told, name) - getattr(start, name)
        right = getattr(true, name)
        if not right <= counted <= right + spare:
            return f"{name} counts {counted}, {right} aC flowed, and at most {spare} aC more may be counted"
    if not lost:
        for name in ("pulses", "recovered_ac"):
            counted, right = getattr(told, name) - getattr(start, name), getattr(true, name)
            if counted != right:
                return f"{name} counts {counted}, and it was {right}"
    return ""


@rule(
    "the journal announced every dose, and holds all of them as begun but for the one in flight",
    "issue 3, section 1: journal = electrode within the one in flight",
)
def journal_is_the_electrode(history: History) -> Iterator[Violation]:
    """Judge what the host's journal says at the end by the device's count."""
    for book in history.books:
        if not book.has_journal:
            continue
        text = _journal_differs(book, sum(dose.flow.by == "patient" for dose in history.doses))
        if text:
            yield Violation("journal-is-the-electrode", book.at_ns, text)


def _journal_differs(book: Books, by_patient: int) -> str:
    doses = book.dose_count - book.dose_count_at_start - by_patient
    if doses > book.journal_announced:
        return f"the device counts {doses} doses, the journal announced {book.journal_announced}"
    in_flight = doses - book.journal_started
    if in_flight < 0:
        return f"the journal holds {book.journal_started} doses as begun, the device counts {doses}"
    if in_flight > 1:
        return f"{in_flight} doses of the device are not in the journal as begun; one may be in flight"
    if in_flight == 1 and not book.uncertain:
        return "a dose of the device is not in the journal as begun, and the session is not held uncertain"
    return ""


RULES = (counters_are_the_charge, journal_is_the_electrode)
