"""At home: only the patient's own control starts, within the release, and no host changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from neurostim_torture.monitor.excuses import CUTS
from neurostim_torture.monitor.history import History
from neurostim_torture.monitor.records import Intent, Violation
from neurostim_torture.monitor.rule import rule

MEASURED_FIRST_NS: Final = 5_000_000_000
"""A start may measure the contacts of its program first."""
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
    for dose in history.doses:
        if dose.flow.by != "patient":
            continue
        fresh = [at_ns for at_ns in presses if at_ns <= dose.began_ns <= at_ns + MEASURED_FIRST_NS]
        if not fresh or any(fresh[-1] < at_ns < dose.began_ns for at_ns in losses):
            text = f"dose {dose.number} began at home without a press of its own"
            yield Violation("patient-starts", dose.began_ns, text, dose.number)
        else:
            presses.remove(fresh[-1])


@rule("what runs at home was released, until its release ends", "issue 3, section 5: named slots, an expiry")
def inside_the_release(history: History) -> Iterator[Violation]:
    """Judge each dose at home by the release in force, and its last phase by the release's end."""
    for dose in history.doses:
        if dose.flow.by != "patient":
            continue
        release = release_at(history, dose.began_ns)
        if release is None or dose.flow.digest not in release.slots:
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
    begun = [dose for dose in history.doses if dose.flow.by == "patient"]
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
    for reply in history.told:
        command = sent.get((reply.session, reply.command_id))
        if command is None or reply.what != "reply" or reply.kind != command.kind:
            continue
        release = release_at(history, command.at_ns)
        if release is not None and release.at_ns < command.at_ns:
            text = f"{command.kind} of a host was carried out while the device was released"
            yield Violation("hosts-change-nothing-at-home", reply.at_ns, text)
            return


RULES = (patient_starts, inside_the_release, no_cycling, hosts_change_nothing_at_home)
