"""Each dose has its start: a person's intent, on the disk, armed as approved, fired once and fresh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from neurostim_torture.monitor.dose import Dose
from neurostim_torture.monitor.history import History
from neurostim_torture.monitor.records import DeviceFrame, HostFrame, Violation
from neurostim_torture.monitor.rule import rule

ANNOUNCED: Final = "start_intended"
FIRES: Final = ("FIRE", "IMPEDANCE_FIRE")
CLOCK_PART: Final = 1000


def _begun_by_host(history: History) -> list[Dose]:
    """Doses that a host began, whether or not anything flowed."""
    return [one for one in history.doses if one.flow.by != "patient"]


def _text(value: object) -> str:
    """A digest as hexadecimal text."""
    return value.hex() if isinstance(value, bytes) else str(value)


def fire_of(history: History, dose: Dose) -> HostFrame | None:
    """The FIRE of the person's host that this dose answers to: the last for this count before it began."""
    found = [
        one
        for one in history.own(*FIRES)
        if one.at_ns <= dose.began_ns and one.fields["expected_dose_count"] == dose.number - 1
    ]
    return found[-1] if found else None


def grant_of(history: History, fire: HostFrame) -> DeviceFrame | None:
    """The device's answer to ARM that gave the token of a FIRE."""
    token = fire.fields["token"]
    given = (one for one in history.replies("ARM") if one.fields["token"] == token)
    return next((one for one in given if one.at_ns <= fire.at_ns), None)


@rule("as many doses as a person deliberately started, each for its own start", "issue 3, section 1")
def doses_at_most_intents(history: History) -> Iterator[Violation]:
    """Judge each dose by the intents before it, and the device's count by all of them."""
    intents = history.intents_of("start", "measure")
    seen: set[int] = set()
    for dose in _begun_by_host(history):
        matching = (
            one
            for one in intents
            if one.at_ns <= dose.began_ns
            and one.dose_count == dose.number - 1
            and one.digest == dose.flow.digest
        )
        if next(matching, None) is None or dose.number in seen:
            text = f"dose {dose.number} of {dose.flow.digest[:12]} began and nobody had asked for it"
            yield Violation("doses-at-most-intents", dose.began_ns, text, dose.number)
        seen.add(dose.number)
    asked = len(history.intents_of("start", "measure", "patient_start"))
    # A start at home may measure first: one dose more.
    asked += len(history.intents_of("patient_start"))
    for book in history.books:
        counted = book.dose_count - book.dose_count_at_start
        if counted > asked:
            text = f"the device counts {counted} doses, {asked} were asked for"
            yield Violation("doses-at-most-intents", book.at_ns, text)


@rule("what is fired was approved, and is what was armed last", "issue 3: digest fired = digest approved")
def fired_is_approved(history: History) -> Iterator[Violation]:
    """Judge the image of each dose by the approved ones and by the ARM before it."""
    for dose in history.doses:
        digest = dose.flow.digest
        if digest and dose.program is None:
            text = f"the image {digest[:12]} was never approved"
            yield Violation("fired-is-approved", dose.began_ns, text, dose.number)
        if dose.flow.by == "patient" or not digest:
            continue
        fire = fire_of(history, dose)
        grant = grant_of(history, fire) if fire else None
        if grant is None:
            continue
        arms = [
            one
            for one in history.own("ARM")
            if (one.session, one.command_id) == (grant.session, grant.command_id)
        ]
        for arm in arms[:1]:
            armed, approval = _text(arm.fields["image_sha256"]), _text(arm.fields["approval_sha256"])
            program = dose.program
            if armed != digest or (program is not None and approval != program.approval):
                text = f"fired {digest[:12]}, armed {armed[:12]} under the approval {approval[:12]}"
                yield Violation("fired-is-approved", dose.began_ns, text, dose.number)


@rule("a FIRE begins output at most 500 ms after the host sent it", "safety facts: lease; hazard: stale FIRE")
def fire_is_fresh(history: History) -> Iterator[Violation]:
    """Judge each dose by the FIRE for its count."""
    lease = history.setting.bounds.lease_ns
    for dose in _begun_by_host(history):
        fire = fire_of(history, dose)
        if fire is None:
            text = f"dose {dose.number} began without a FIRE of the host after {dose.number - 1} doses"
            yield Violation("fire-is-fresh", dose.began_ns, text, dose.number)
        elif dose.began_ns - fire.at_ns > lease + lease // CLOCK_PART:
            age = dose.began_ns - fire.at_ns
            text = f"dose {dose.number} began {age} ns after its FIRE was sent, allowed {lease} ns"
            yield Violation("fire-is-fresh", dose.began_ns, text, dose.number)


@rule(
    "a FIRE carries the token of the last ARM, at most 2 s old, that nothing has destroyed, and uses it up",
    "specification, section 7",
)
def token_once(history: History) -> Iterator[Violation]:
    """Judge each dose by the token of its FIRE."""
    valid = history.setting.bounds.token_ns
    used: dict[int, int] = {}
    for dose in _begun_by_host(history):
        fire = fire_of(history, dose)
        if fire is None:
            continue
        token = int(fire.fields["token"])
        grant = grant_of(history, fire)
        why = ""
        if grant is None:
            why = "which the device had not given"
        elif token in used:
            why = f"which dose {used[token]} had used"
        elif dose.began_ns - grant.at_ns > valid + valid // CLOCK_PART:
            why = f"which was {dose.began_ns - grant.at_ns} ns old"
        else:
            why = _destroyed(history, grant, fire, dose)
        used.setdefault(token, dose.number)
        if why:
            text = f"dose {dose.number} was fired with a token {why}"
            yield Violation("token-once", dose.began_ns, text, dose.number)


def _destroyed(history: History, grant: DeviceFrame, fire: HostFrame, dose: Dose) -> str:
    """What destroyed a token between ARM and the start; empty where nothing did."""
    for taken in history.taken:
        stops = taken.kind in ("STOP", "EMERGENCY_STOP") and not history.stands_still(taken.at_ns)
        if stops and grant.at_ns < taken.at_ns < dose.began_ns:
            return "that a stop had destroyed"
    for power in history.powers_of("reset", "brown_out", "power_cut", "battery", "off_button"):
        # A dose that was fired begins with the next tick: a hand may be between the two.
        if grant.at_ns < power.at_ns < dose.began_ns - dose.tick_ns:
            return "of before a loss of power"
    for other in history.replies("ARM"):
        if grant.at_ns < other.at_ns < fire.at_ns and other.fields["token"] != fire.fields["token"]:
            return "that a later ARM had replaced"
    return ""


@rule(
    "the journal holds a start on the disk before its FIRE is sent",
    "safety facts: an in-flight dose persisted across a crash",
)
def journal_before_fire(history: History) -> Iterator[Violation]:
    """Judge each FIRE of the person's host by the records that were on the disk."""
    for fire in history.own(*FIRES):
        expected = fire.fields["expected_dose_count"]
        held = [one for one in history.kept if one.kind == ANNOUNCED and one.at_ns <= fire.at_ns]
        if not any(one.data.get("expected_dose_count") == expected for one in held):
            text = f"FIRE for dose {expected + 1} was sent and the journal did not hold it"
            yield Violation("journal-before-fire", fire.at_ns, text, expected + 1)


RULES = (doses_at_most_intents, fired_is_approved, fire_is_fresh, token_once, journal_before_fire)
