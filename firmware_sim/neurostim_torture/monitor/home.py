"""At home: only the patient's own control starts, within the release, and no host changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from neurostim_torture.monitor.books import NONE, integrated, unseen_ac
from neurostim_torture.monitor.excuses import CUTS
from neurostim_torture.monitor.history import History
from neurostim_torture.monitor.records import Intent, Violation
from neurostim_torture.monitor.rule import rule

MEASURED_FIRST_NS: Final = 5_000_000_000
"""A start may measure the contacts of its program first."""
CHARGES: Final = ("cathodic_ac", "anodic_ac")
ALL_COUNTERS: Final = (*CHARGES, "recovered_ac", "pulses")
MODE_NS: Final = 1_000_000_000
"""A device whose supply failed in the very write shows what became of it when it is back."""
CHANGING: Final = frozenset(
    (
        "LOAD_BEGIN",
        "LOAD_CHUNK",
        "LOAD_COMMIT",
        "ARM",
        "FIRE",
        "IMPEDANCE_FIRE",
        "SET_AMPLITUDE",
        "CLEAR",
        "RELEASE_BEGIN",
        "RELEASE_SLOT",
        "RELEASE_RANGES",
        "RELEASE_COMMIT",
        "ASSIGN",
        "RETIRE",
    )
)


def started_by_patient(history: History, at_ns: int) -> bool:
    """Whether a patient has pressed START so lately that it explains a change, with a release in force."""
    pressed = any(
        one.at_ns <= at_ns <= one.at_ns + MEASURED_FIRST_NS for one in history.intents_of("patient_start")
    )
    return pressed and release_at(history, at_ns) is not None


def release_at(history: History, at_ns: int) -> Intent | None:
    """The release that is in force at a moment; None where there is none, or it was taken back."""
    acts = [one for one in history.intents_of("release", "take_back") if one.at_ns <= at_ns]
    return acts[-1] if acts and acts[-1].what == "release" else None


@rule(
    "each dose at home is started by one deliberate press, after any reset by a new one", "issue 3, section 5"
)
def patient_starts(history: History) -> Iterator[Violation]:
    """Judge each dose that no host began by the presses before it."""
    presses = [one.at_ns for one in history.intents_of("patient_start")]
    losses = [one.at_ns for one in history.powers_of(*CUTS)]
    measured: set[int] = set()
    for dose in history.doses:
        if dose.flow.by != "patient":
            continue
        fresh = [at_ns for at_ns in presses if at_ns <= dose.began_ns <= at_ns + MEASURED_FIRST_NS]
        before = not dose.flow.digest
        if before:
            fresh = [at_ns for at_ns in fresh if at_ns not in measured]
        if not fresh or any(fresh[-1] < at_ns < dose.began_ns for at_ns in losses):
            what = "a measurement" if before else "a dose"
            text = f"{what}, number {dose.number}, began at home without a press of its own"
            yield Violation("patient-starts", dose.began_ns, text, dose.number)
        elif before:
            measured.add(fresh[-1])
        else:
            presses.remove(fresh[-1])


@rule("what runs at home was released, until its release ends", "issue 3, section 5: named slots, an expiry")
def inside_the_release(history: History) -> Iterator[Violation]:
    """Judge each dose at home by the release in force, and its last phase by the release's end."""
    for dose in history.doses:
        if dose.flow.by != "patient":
            continue
        release = release_at(history, dose.began_ns)
        if release is None or (dose.flow.digest and dose.flow.digest not in release.slots):
            text = f"the image {dose.flow.digest[:12]} ran at home and was not released"
            yield Violation("inside-the-release", dose.began_ns, text, dose.number)
        elif release.until_ns:
            # When it ends the output fades as after a soft stop.
            end = release.until_ns + history.setting.bounds.soft_stop_ns
            late = dose.end_ns > end + end // 1000
            if late.any():
                moment = int(dose.end_ns[int(np.flatnonzero(late)[0])])
                text = f"a source drives {moment - release.until_ns} ns after the release had ended"
                yield Violation("inside-the-release", moment, text, dose.number)


@rule("at most 5 starts at home within a minute", "issue 3, section 5: lockout after repeated starts")
def no_cycling(history: History) -> Iterator[Violation]:
    """Judge the beginnings of the doses at home; those that share a minute."""
    bounds = history.setting.bounds
    begun = [dose for dose in history.doses if dose.flow.by == "patient" and dose.flow.digest]
    for early, late in zip(begun, begun[bounds.patient_starts :], strict=False):
        apart = late.began_ns - early.began_ns
        if apart < bounds.patient_starts_within_ns - bounds.patient_starts_within_ns // 100:
            text = f"{bounds.patient_starts + 1} starts within {apart} ns"
            yield Violation("no-cycling", late.began_ns, text, late.number)


@rule("no host starts or changes anything while the device is released", "issue 3, section 5")
def hosts_change_nothing_at_home(history: History) -> Iterator[Violation]:
    """Judge the doses of hosts, and the commands that were carried out, by the release in force."""
    for dose in history.doses:
        if dose.flow.by == "host" and release_at(history, dose.began_ns) is not None:
            text = f"a host began dose {dose.number} while the device was released"
            yield Violation("hosts-change-nothing-at-home", dose.began_ns, text, dose.number)
    if not history.intents_of("release"):
        return
    sent = {(one.session, one.command_id): one for one in history.sent if one.kind in CHANGING}
    answered: set[tuple[int, int]] = set()
    for reply in history.told:
        key = reply.session, reply.command_id
        command = sent.get(key)
        # The first answer is what became of it: a repeat is given the same again, whenever it comes.
        if command is None or reply.what != "reply" or reply.kind != command.kind or key in answered:
            continue
        answered.add(key)
        release = release_at(history, reply.at_ns)
        if release is not None and release.at_ns < reply.at_ns:
            text = f"{command.kind} of a host was carried out while the device was released"
            yield Violation("hosts-change-nothing-at-home", reply.at_ns, text)
            return


@rule(
    "a device goes home by the host's authenticated RELEASE_COMMIT and comes back by its TAKE_BACK, each "
    "asked for by a person; nothing else changes the mode",
    "issue 3, section 5: no host message short of take-back changes autonomous mode",
)
def mode_is_asked(history: History) -> Iterator[Violation]:
    """Judge each change of the mode by the frame that reached the device and the person's wish before it."""
    used: set[tuple[int, int]] = set()
    authenticated = {
        (one.session, one.command_id) for one in history.sent if one.origin == "host" and one.authenticated
    }
    for mode in history.modes:
        kind, wish = (
            ("RELEASE_COMMIT", "wants_release") if mode.released else ("TAKE_BACK", "wants_take_back")
        )
        frames = [
            (one.session, one.command_id)
            for one in history.taken
            if one.kind == kind
            # The host's own sealed frame, also where somebody brings it that the line had lost.
            and one.origin in ("host", "replayed")
            and one.at_ns <= mode.at_ns <= one.at_ns + MODE_NS
            and (one.session, one.command_id) in authenticated - used
        ]
        wishes = [one for one in history.intents if one.what == wish and one.at_ns <= mode.at_ns]
        if not frames or not wishes:
            where = "at home" if mode.released else "no longer at home"
            text = f"the device is {where} and nobody's {kind} explains it"
            yield Violation("mode-is-asked", mode.at_ns, text)
        used.update(frames)


@rule(
    "2 s after the patient pressed STOP or SWITCH no unit starts, unless the processor stands still",
    "issue 3, section 5: the patient's own control stops; switching goes through zero",
)
def silent_after_the_patient(history: History) -> Iterator[Violation]:
    """Judge the dose under way at home when the patient pressed."""
    bound = history.setting.bounds.soft_stop_ns
    bound += bound // 1000
    for intent in history.intents_of("patient_stop", "patient_switch"):
        release = release_at(history, intent.at_ns)
        if history.stands_still(intent.at_ns) or release is None:
            continue
        if intent.what == "patient_switch" and len(release.slots) < 2:
            continue
        for dose in history.doses:
            if dose.began_ns <= intent.at_ns <= dose.last_ns and dose.flow.digest:
                late = (dose.pulses.pulse == 0) & (dose.pulse_start_ns > intent.at_ns + bound)
                if late.any():
                    moment = int(dose.pulse_start_ns[int(np.flatnonzero(late)[0])])
                    text = f"a unit starts {moment - intent.at_ns} ns after: {intent.what}"
                    yield Violation("silent-after-the-patient", moment, text, dose.number)


@rule(
    "the usage log tells the charge that flowed at home, exactly; after a loss of power what flowed lies "
    "between what it tells and that plus the bound it states",
    "issue 3, section 5; decision 0113",
)
def usage_is_the_charge(history: History) -> Iterator[Violation]:
    """Judge the log that was read at the end by what flowed in the doses of the patient."""
    doses = [dose for dose in history.doses if dose.flow.by == "patient"]
    flowed = integrated(doses)
    lost = any(
        dose.began_ns <= power.at_ns for dose in doses for power in history.powers if power.what != "boot"
    )
    for log in history.usage:
        for contact in sorted(set(flowed) | set(log.contacts)):
            told, true = log.contacts.get(contact, NONE), flowed.get(contact, NONE)
            bound = log.bound_ac.get(contact, 0)
            names = CHARGES if lost else ALL_COUNTERS
            wrong = next(
                (
                    name
                    for name in names
                    if not getattr(told, name) <= getattr(true, name) <= getattr(told, name) + bound
                ),
                None,
            )
            most = len(history.powers) * unseen_ac(history, contact) if bound and lost else 0
            if wrong is None and bound > most:
                wrong = "bound_ac"
            if wrong is not None:
                text = (
                    f"contact {contact}: {wrong} differs: told {told} and at most {bound} aC more, was {true}"
                )
                yield Violation("usage-is-the-charge", log.at_ns, text)
                break


RULES = (
    patient_starts,
    inside_the_release,
    no_cycling,
    hosts_change_nothing_at_home,
    mode_is_asked,
    silent_after_the_patient,
    usage_is_the_charge,
)
