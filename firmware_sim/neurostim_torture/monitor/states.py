"""What changes a device's state: only the person's own host, once a command, and never past a latch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from neurostim_torture.monitor.excuses import CUTS
from neurostim_torture.monitor.history import History
from neurostim_torture.monitor.home import started_by_patient
from neurostim_torture.monitor.records import DeviceFrame, HostFrame, Violation
from neurostim_torture.monitor.rule import rule

IDLE, MEASURING, ARMED, DELIVERING, RAMPING_DOWN, STOPPED, FAULT = range(1, 8)
LATCHED: Final = (STOPPED, FAULT)
OUTPUT_ON: Final = (MEASURING, DELIVERING, RAMPING_DOWN)

ONCE: Final = frozenset(
    (
        "LOAD_BEGIN",
        "LOAD_CHUNK",
        "LOAD_COMMIT",
        "ARM",
        "FIRE",
        "IMPEDANCE_FIRE",
        "SET_AMPLITUDE",
        "SOFT_STOP",
        "CLEAR",
        "UNPAIR",
        "RELEASE_BEGIN",
        "RELEASE_SLOT",
        "RELEASE_RANGES",
        "RELEASE_COMMIT",
        "TAKE_BACK",
        "ASSIGN",
        "RETIRE",
    )
)
# MALFORMED, UNKNOWN_TYPE, UNSUPPORTED_VERSION, AUTHENTICATION_FAILED, NO_SESSION, SEQUENCE_STALE,
# COMMAND_ID_REUSED, COMMAND_ID_FORGOTTEN and AUTHENTICATION_REQUIRED are said before anything is kept.
NOT_KEPT: Final = frozenset((1, 2, 3, 4, 5, 11, 12, 13, 42))

SEQUENCE_STALE: Final = 11

NEEDED: Final = {ARMED: ("ARM",), DELIVERING: ("FIRE",), MEASURING: ("IMPEDANCE_FIRE",)}


def changes(history: History) -> list[DeviceFrame]:
    """Changes of state in order, each once: every session is told of it."""
    seen: set[tuple[Any, ...]] = set()
    found = []
    for event in history.events("STATE_CHANGED"):
        fields = event.fields
        what = (event.at_ns, int(fields["previous"]), int(fields["state"]))
        if what not in seen:
            seen.add(what)
            found.append(event)
    return found


@rule(
    "every change to armed, delivering or measuring, and every release of a latch, answers to a command of "
    "its own that the person's host sent at most 500 ms before",
    "safety facts: replayed or forged commands; issue 3, section 1",
)
def changes_are_asked(history: History) -> Iterator[Violation]:
    """Judge each change of state the device tells by the frames of the person's host."""
    lease = history.setting.bounds.lease_ns
    used: set[tuple[str, int, int]] = set()
    for event in changes(history):
        before, state = int(event.fields["previous"]), int(event.fields["state"])
        kinds = NEEDED.get(state, ())
        if state == IDLE and before in LATCHED:
            kinds = ("CLEAR",)
        if not kinds or started_by_patient(history, event.at_ns):
            continue
        fresh = [
            one
            for one in history.own(*kinds)
            if one.at_ns <= event.at_ns <= one.at_ns + lease + lease // 1000
            and (one.kind, one.session, one.command_id) not in used
        ]
        if not fresh:
            text = f"state {before} became {state} and no {kinds[0]} of the host asks for it"
            yield Violation("changes-are-asked", event.at_ns, text)
            continue
        used.add((fresh[0].kind, fresh[0].session, fresh[0].command_id))


@rule("a repeat of a command gives the kept outcome and executes nothing", "specification, section 3")
def outcome_is_kept(history: History) -> Iterator[Violation]:
    """Judge all answers to one command by the first."""
    kinds: dict[tuple[int, int], str] = {}
    for sent in history.sent:
        if sent.kind in ONCE:
            kinds.setdefault((sent.session, sent.command_id), sent.kind)
    outcomes: dict[tuple[int, int, int], tuple[str, dict[str, Any]]] = {}
    boots = [one.at_ns for one in history.powers_of("boot")]
    for reply in history.told:
        if reply.what != "reply" or (reply.session, reply.command_id) not in kinds or reply.session == 0:
            continue
        kind = kinds[reply.session, reply.command_id]
        if reply.kind == "ERROR" and int(reply.fields["code"]) in NOT_KEPT:
            boot = sum(1 for at_ns in boots if at_ns <= reply.at_ns)
            done = outcomes.get((boot, reply.session, reply.command_id))
            if done is not None and done[0] == kind and int(reply.fields["code"]) == SEQUENCE_STALE:
                text = f"{kind} was carried out, and its repeat was answered as if it had not been"
                yield Violation("outcome-is-kept", reply.at_ns, text)
                return
            continue
        if reply.kind not in ("ERROR", kind):
            continue
        boot = sum(1 for at_ns in boots if at_ns <= reply.at_ns)
        told = (reply.kind, dict(reply.fields))
        first = outcomes.setdefault((boot, reply.session, reply.command_id), told)
        if first != told:
            text = f"{kind} was answered {first[0]} first and {reply.kind} again, with another outcome"
            yield Violation("outcome-is-kept", reply.at_ns, text)
            return


def _latches(history: History) -> list[int]:
    """When something latched the output: a stop or fault it told of, a stop that reached it, lost power."""
    moments = [one.at_ns for one in changes(history) if int(one.fields["state"]) in LATCHED]
    moments += [
        one.at_ns
        for one in history.taken
        if one.kind in ("STOP", "EMERGENCY_STOP") and not history.stands_still(one.at_ns)
    ]
    ends = [one.at_ns for one in changes(history) if int(one.fields["state"]) not in OUTPUT_ON]
    for power in history.powers_of(*CUTS, "hang"):
        begun = [dose.began_ns for dose in history.doses if dose.began_ns < power.at_ns]
        if begun and not any(begun[-1] < at_ns < power.at_ns for at_ns in ends):
            moments.append(power.at_ns)
    return sorted(moments)


@rule(
    "after a stop, a fault or lost power nothing begins before CLEAR, ARM and FIRE, in this order",
    "safety facts: a reset or reconnect never resumes; specification, section 5",
)
def latched_until_cleared(history: History) -> Iterator[Violation]:
    """Judge each dose by the last latch before it."""
    latches = _latches(history)
    for dose in history.doses:
        # Output begins with the tick after its start: what latches in that very tick ends it.
        before = [at_ns for at_ns in latches if at_ns < dose.began_ns - dose.tick_ns]
        if not before or dose.flow.by == "patient":
            continue
        place = before[-1]
        for kind in ("CLEAR", "ARM", "FIRE" if dose.flow.digest else "IMPEDANCE_FIRE"):
            found = (one.at_ns for one in history.taken if one.kind == kind and one.at_ns >= place)
            moment = next(found, None)
            if moment is None or moment > dose.began_ns:
                text = f"dose {dose.number} began after a latch without {kind}"
                yield Violation("latched-until-cleared", dose.began_ns, text, dose.number)
                break
            place = moment


@rule(
    "a change of amplitude replaces the value it names, by at most one step upward, three times a second",
    "safety facts: an amplitude command carries the value it expects to replace",
)
def amplitude_as_named(history: History) -> Iterator[Violation]:
    """Judge each change that the device confirmed by what the amplitude was before it."""
    commands = {
        (one.session, one.command_id): one for one in reversed(history.sent) if one.kind == "SET_AMPLITUDE"
    }
    done: set[tuple[int, int, int]] = set()
    for dose in history.doses:
        if dose.program is None or dose.flow.by == "patient":
            continue
        present = {index: area.amplitude_na for index, area in enumerate(dose.program.areas)}
        upward: list[int] = []
        for reply in history.replies("SET_AMPLITUDE"):
            command = commands.get((reply.session, reply.command_id))
            key = (reply.session, reply.command_id, int(reply.fields["at_tick"]))
            if command is None or int(reply.fields["dose_number"]) != dose.number or key in done:
                continue
            done.add(key)
            areas = dose.program.areas
            for why in _amplitude_faults(history, dose.number, command, present, upward, reply, areas):
                yield Violation("amplitude-as-named", reply.at_ns, why, dose.number)


def _amplitude_faults(
    history: History,
    number: int,
    command: HostFrame,
    present: dict[int, int],
    upward: list[int],
    reply: DeviceFrame,
    areas: tuple[Any, ...],
) -> Iterator[str]:
    area = int(command.fields["area"])
    before, asked = int(command.fields["from_na"]), int(command.fields["to_na"])
    if area not in present:
        yield f"area {area} of dose {number} was set, and there is none"
        return
    if command.origin != "host":
        yield f"area {area} was set by a frame of another: {command.origin}"
    if before != present[area]:
        yield f"area {area} was to be set from {before} nA and was at {present[area]} nA"
    limits = areas[area].approved
    if asked and not limits.min_na <= asked <= limits.max_na:
        yield f"area {area} was set to {asked} nA, outside {limits.min_na} to {limits.max_na} nA"
    if asked > present[area]:
        if asked - present[area] > limits.step_na:
            yield f"area {area} rose {asked - present[area]} nA at once, one step is {limits.step_na} nA"
        bounds = history.setting.bounds
        upward.append(reply.at_ns)
        if len(upward) > bounds.steps_per_s:
            apart = upward[-1] - upward[-1 - bounds.steps_per_s]
            if apart < 999_000_000:
                yield f"{bounds.steps_per_s + 1} steps upward within {apart} ns"
    present[area] = asked


@rule(
    "frames of others change nothing: no dose, no amplitude, no load, no latch released", "issue 3, section 1"
)
def others_change_nothing(history: History) -> Iterator[Violation]:
    """Judge the answers to commands that somebody else sent with an id of their own."""
    own = {(one.session, one.command_id) for one in history.sent if one.origin == "host"}
    strange = {
        (one.session, one.command_id): one
        for one in history.sent
        if one.origin != "host" and one.kind in ONCE and one.kind != "SOFT_STOP"
    }
    for reply in history.told:
        command = strange.get((reply.session, reply.command_id))
        if command is None or (reply.session, reply.command_id) in own:
            continue
        if reply.what == "reply" and reply.kind == command.kind and command.at_ns <= reply.at_ns:
            text = f"the device carried out {command.kind} of another: {command.origin}"
            yield Violation("others-change-nothing", reply.at_ns, text)
            return


RULES = (
    changes_are_asked,
    outcome_is_kept,
    latched_until_cleared,
    amplitude_as_named,
    others_change_nothing,
)
