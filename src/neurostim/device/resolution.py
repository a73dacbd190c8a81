"""What became of a command whose answer never came: the device's own record decides, never a guess."""

from __future__ import annotations

from dataclasses import dataclass

from neurostim.core.errors import CommandTimeout, NeurostimError
from neurostim.device.errors import refusal
from neurostim.device.tasks import Script
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import (
    REPLY_TO,
    CommandOutcome,
    DeviceState,
    Dose,
    DoseReply,
    Error,
    Fire,
    FireReply,
    ImpedanceFire,
    ImpedanceFireReply,
    QueryCommand,
    QueryCommandReply,
    SetAmplitude,
    SetAmplitudeReply,
    Status,
    StatusReply,
)


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A command that was sent and not answered, with the session and boot it was sent in."""

    request: Request
    session: int
    command_id: int
    boot_count: int


@dataclass(frozen=True, slots=True)
class Executed:
    """It was executed; ``reply`` is what the device answered, or would have."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Refused:
    """It was refused, and nothing was executed."""

    error: NeurostimError


@dataclass(frozen=True, slots=True)
class NeverArrived:
    """It was not executed, and cannot be any more."""

    evidence: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The device's records cannot tell; ``why`` says what is missing."""

    why: str


def never_arrived(request: Request, outcome: NeverArrived) -> CommandTimeout:
    """Make the error for a command that certainly was not carried out."""
    return CommandTimeout(
        f"{request.NAME} was not carried out: {outcome.evidence}",
        remedy="Nothing happened; ask again deliberately.",
        code="not-received",
    )


Outcome = Executed | Refused | NeverArrived | Unknown


def resolve(command: Unanswered, session: int, boot_count: int) -> Script[Outcome]:
    """Ask what became of ``command``, from a session opened in the boot ``boot_count``.

    The device refuses frames whose sequence is below one it has seen, so that after this
    question was answered in the command's own session, the command cannot arrive any more.
    """
    answer = yield QueryCommand(command.session, command.command_id)
    assert isinstance(answer, QueryCommandReply)
    if (answer.session, answer.command_id) != (command.session, command.command_id):
        return Unknown("the device answered about another command")
    request = command.request
    known = answer.command_type == request.TYPE
    if answer.outcome is CommandOutcome.DONE and known:
        return Executed(REPLY_TO[type(request)].decode(answer.reply))
    if answer.outcome is CommandOutcome.REFUSED and known:
        error = Error(answer.error, request.TYPE, DeviceState.IDLE, 0, "")
        return Refused(refusal(request.NAME, error))
    same = command.session == session and command.boot_count == boot_count
    if answer.outcome is CommandOutcome.UNKNOWN and same:
        return NeverArrived("the device has never seen it")
    return (yield from _by_counters(request))


def _by_counters(request: Request) -> Script[Outcome]:
    if isinstance(request, (Fire, ImpedanceFire)):
        return (yield from _start_by_counters(request))
    if isinstance(request, SetAmplitude):
        dose = yield Dose(request.dose_number)
        assert isinstance(dose, DoseReply)
        told = {area.area: area.amplitude_na for area in dose.areas}.get(request.area)
        if told == request.to_na:
            return Executed(
                SetAmplitudeReply(request.dose_number, request.area, request.to_na, dose.end_tick)
            )
        if told == request.from_na and not dose.running:
            return NeverArrived("the dose ended at the amplitude before it")
        return Unknown("the dose record shows neither the old nor the new amplitude for certain")
    status = yield Status()
    assert isinstance(status, StatusReply)
    if not status.output_on and status.state not in (DeviceState.ARMED, DeviceState.MEASURING):
        return NeverArrived(f"the device is {status.state.name.lower()} with its output off")
    return Unknown("the device's state does not tell")


def _start_by_counters(request: Fire | ImpedanceFire) -> Script[Outcome]:
    status = yield Status()
    assert isinstance(status, StatusReply)
    count = status.dose_count
    if count < request.expected_dose_count:
        return Unknown("the device's dose count went backwards")
    if count == request.expected_dose_count:
        # A dose is counted durably before its first pulse, and a token dies with its boot or session.
        if status.state is DeviceState.ARMED:
            return Unknown("the device is still armed")
        return NeverArrived("the device's dose count did not move")
    number = request.expected_dose_count + 1
    dose = yield Dose(number)
    assert isinstance(dose, DoseReply)
    if isinstance(request, Fire):
        return Executed(FireReply(number, dose.start_tick))
    return Executed(ImpedanceFireReply(number, dose.start_tick))
