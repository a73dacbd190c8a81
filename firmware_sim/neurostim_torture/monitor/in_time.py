"""When output must be silent: after the host, a stop, the supply, the processor or the release is gone."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np

from neurostim_torture.monitor.dose import Bools, Dose, Ints
from neurostim_torture.monitor.excuses import CUTS
from neurostim_torture.monitor.history import History, first_answers, last_before
from neurostim_torture.monitor.records import Violation
from neurostim_torture.monitor.rule import rule

INTERVAL_NS: Final = 100_000_000
HEARTBEAT: Final = "heartbeat of a living host"
STOPS: Final = ("STOP", "EMERGENCY_STOP")
PULSE_NS: Final = 1_000_000
"""Longest pulse of the programs: what is under way at a bound is completed, never cut."""
CLOCK_PART: Final = 1000
"""A device's clock is true to one part in a thousand: its own bounds may be longer by that much."""


def _first_row(dose: Dose, name: str, wrong: Bools, text: str) -> Iterator[Violation]:
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        yield Violation(name, int(dose.end_ns[at]), text, dose.number)


def _first_pulse(dose: Dose, name: str, wrong: Bools, text: str) -> Iterator[Violation]:
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        yield Violation(name, int(dose.pulse_start_ns[at]), text, dose.number)


def _driven_after(doses: Iterable[Dose], at_ns: int, bound: int, name: str, text: str) -> Iterator[Violation]:
    """Judge that of the doses begun by a moment no row ends more than a bound after it."""
    for dose in doses:
        if dose.began_ns <= at_ns:
            yield from _first_row(dose, name, dose.end_ns > at_ns + bound, text)


def _without_sign(history: History, name: str, signs: Ints, bound: int, what: str) -> Iterator[Violation]:
    """Judge that every supervised row ends within a bound after a sign of life.

    The rest of a pulse that was begun by then is completed.
    """
    for dose in history.supervised():
        ends = dose.end_ns
        last, known = last_before(signs, ends)
        late = ~known | (ends - last > bound + PULSE_NS)
        if late.any():
            first = int(np.flatnonzero(late)[0])
            age = f"{int(ends[first] - last[first])} ns after the last" if known[first] else "without any"
            text = f"a phase ends {age} {what}, allowed {bound} ns"
            yield Violation(name, int(ends[first]), text, dose.number)


@rule(
    "no supervised pulse ends later than 500 ms after the last heartbeat of a living host came",
    "safety facts, link design",
)
def silent_without_host(history: History) -> Iterator[Violation]:
    """Judge each dose that a host began."""
    bound = history.setting.bounds.silence_ns
    yield from _without_sign(history, "silent-without-host", history.living_heard_ns(), bound, HEARTBEAT)


@rule(
    "no supervised pulse ends later than 600 ms after a living host sent its last heartbeat, however late",
    "specification, section 8: a heartbeat counts from 100 ms after its lease at the latest",
)
def silent_however_late(history: History) -> Iterator[Violation]:
    """Judge each dose that a host began by what the line may add to the age of a heartbeat."""
    bound = history.setting.bounds.silence_ns + INTERVAL_NS
    yield from _without_sign(history, "silent-however-late", history.living_ns(), bound, HEARTBEAT)


@rule(
    "no supervised pulse ends later than 1 s after a living host's last heartbeat, were one of them replayed",
    "safety facts: a lease older than 500 ms does not feed the watchdog",
)
def silent_by_the_lease(history: History) -> Iterator[Violation]:
    """Judge each dose that a host began by the age that a heartbeat may have when it is taken."""
    bounds = history.setting.bounds
    bound = bounds.silence_ns + bounds.lease_ns
    yield from _without_sign(history, "silent-by-the-lease", history.living_ns(), bound, HEARTBEAT)


@rule(
    "no supervised pulse ends later than 2.11 s after the program showed that it lives, whatever is sent",
    "specification, section 8: the device looks at the supervisor tokens itself",
)
def silent_whatever_the_host_says(history: History) -> Iterator[Violation]:
    """Judge each dose that a host began by the signs of the program, were the host to lie about them."""
    bounds = history.setting.bounds
    bound = bounds.supervisor_ns + bounds.lease_ns + INTERVAL_NS
    for what in ("ui", "journal"):
        signs, sign = history.signs_ns(what), f"sign of the {what}"
        yield from _without_sign(history, "silent-whatever-the-host-says", signs, bound, sign)


@rule(
    "no supervised pulse ends later than 1.51 s after the program or its journal last showed that it lives",
    "safety facts: a supervisor that saw both tokens within 1 s; their signs are told every 10 ms",
)
def silent_without_program(history: History) -> Iterator[Violation]:
    """Judge each dose that a host began by the signs of the program and of its journal."""
    bound = history.setting.bounds.supervisor_ns
    for what in ("ui", "journal"):
        signs, sign = history.signs_ns(what), f"sign of the {what}"
        yield from _without_sign(history, "silent-without-program", signs, bound, sign)


@rule("no supervised pulse ends later than 500 ms after a person asked for a stop", "issue 3, section 1")
def silent_after_asking(history: History) -> Iterator[Violation]:
    """Judge the dose under way when the person asked."""
    bound = history.setting.bounds.stop_intent_ns
    for intent in history.intents_of("stop", "emergency"):
        text = f"a phase ends more than {bound} ns after a person asked for a stop"
        yield from _driven_after(history.supervised(), intent.at_ns, bound, "silent-after-asking", text)


@rule(
    "after a stop frame has reached the device no pulse starts: the one under way is completed",
    "program format, rule 10; specification, section 10",
)
def silent_after_stop(history: History) -> Iterator[Violation]:
    """Judge the dose under way when the frame arrived; a processor that stands still is judged elsewhere."""
    for taken in history.taken:
        if taken.kind != "STOP" or history.stands_still(taken.at_ns):
            continue
        for dose in history.doses:
            if dose.began_ns <= taken.at_ns:
                late = history.setting.bounds.stop_taken_ns + dose.tick_ns
                wrong = dose.pulse_start_ns > taken.at_ns + late
                yield from _first_pulse(dose, "silent-after-stop", wrong, "a pulse starts after a stop")


@rule(
    "after an emergency stop has reached the device the sources are off within 20 us",
    "program format, rule 10; issue 3: emergency stop <= 10 ms in all",
)
def silent_after_emergency(history: History) -> Iterator[Violation]:
    """Judge the dose under way when the frame arrived."""
    bound = history.setting.bounds.emergency_ns
    for taken in history.taken:
        if taken.kind != "EMERGENCY_STOP" or history.stands_still(taken.at_ns):
            continue
        text = f"a source drives more than {bound} ns after an emergency stop"
        yield from _driven_after(history.doses, taken.at_ns, bound, "silent-after-emergency", text)


@rule(
    "2 s after the device confirmed a soft stop no unit starts",
    "program format, rule 10; specification, section 10",
)
def silent_after_soft_stop(history: History) -> Iterator[Violation]:
    """Judge the dose under way when the device answered."""
    bound = history.setting.bounds.soft_stop_ns
    bound += bound // CLOCK_PART
    for reply in first_answers(history, "SOFT_STOP"):
        for dose in history.doses:
            if dose.began_ns <= reply.at_ns <= dose.last_ns:
                begins = (dose.pulses.pulse == 0) & (dose.pulse_start_ns > reply.at_ns + bound)
                text = "a unit starts 2 s after a soft stop"
                yield from _first_pulse(dose, "silent-after-soft-stop", begins, text)


@rule(
    "nothing is driven after the supply was cut, the battery changed, or a reset",
    "safety facts; issue 3, section 5",
)
def silent_without_supply(history: History) -> Iterator[Violation]:
    """Judge the dose under way when the supply went."""
    bound = history.setting.tick_ns
    for power in history.powers_of(*CUTS):
        text = f"a source drives after: {power.what.replace('_', ' ')}"
        yield from _driven_after(history.doses, power.at_ns, bound, "silent-without-supply", text)


@rule("nothing is driven 500 ms after the processor stood still", "specification, section 8: WATCHDOG")
def silent_without_processor(history: History) -> Iterator[Violation]:
    """Judge the dose under way when the processor stopped serving."""
    bound = history.setting.bounds.watchdog_ns
    bound += bound // CLOCK_PART
    text = f"a source drives more than {bound} ns after the processor stood still"
    for power in history.powers_of("hang"):
        yield from _driven_after(history.doses, power.at_ns, bound, "silent-without-processor", text)


@rule(
    "the first frame that a host sends after its person asked for a stop is the stop",
    "safety facts: stop bypasses every queue; specification, section 10",
)
def stop_leaves_first(history: History) -> Iterator[Violation]:
    """Judge the frames of the hosts after each asking; a host without a port sends nothing."""
    # What another host says in the meantime is no word of the one that was asked; its stop is a stop.
    own = [
        one
        for one in history.sent
        if one.origin == "host" or (one.origin == "observer" and one.kind in STOPS)
    ]
    times = [one.at_ns for one in own]
    for intent in history.intents_of("stop", "emergency"):
        place = bisect_left(times, intent.at_ns)
        # What went on the line in the same moment may have been asked for before.
        same = [one.kind for one in own[place:] if one.at_ns == intent.at_ns]
        after = own[place + len(same) :][:1]
        if set(same) & set(STOPS) or not after or after[0].kind in (*STOPS, "HELLO", "HANDSHAKE"):
            continue
        text = f"{after[0].kind} was sent {after[0].at_ns - intent.at_ns} ns after a stop was asked for"
        yield Violation("stop-leaves-first", after[0].at_ns, f"{text}, and no stop before it")


RULES = (
    stop_leaves_first,
    silent_without_host,
    silent_however_late,
    silent_by_the_lease,
    silent_without_program,
    silent_whatever_the_host_says,
    silent_after_asking,
    silent_after_stop,
    silent_after_emergency,
    silent_after_soft_stop,
    silent_without_supply,
    silent_without_processor,
)
