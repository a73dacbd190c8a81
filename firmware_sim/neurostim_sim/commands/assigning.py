"""Binding the device to a subject, saying for whom a session works, retiring it between subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurostim.wire import messages as m
from neurostim.wire.layout import Reply
from neurostim.wire.messages import ErrorCode
from neurostim_sim.assignment import Assignment
from neurostim_sim.commands.table import Handlers
from neurostim_sim.sessions import Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore


def require_session_for_subject(device: DeviceCore, session: Session | None) -> None:
    """Refuse a start on a device that is bound where the session has not named its subject.

    Raises
    ------
    Refusal
    """
    bound = Assignment(device.memory).subject
    if bound and (session is None or session.subject != bound):
        raise Refusal(ErrorCode.SUBJECT_MISMATCH)


def _quiet(device: DeviceCore) -> None:
    if device.output_on:
        raise Refusal(ErrorCode.OUTPUT_ON)


def _named(text: str, what: str) -> str:
    if not text.strip():
        raise Refusal(ErrorCode.MALFORMED, 0, f"{what} is empty")
    return text


def _assign(device: DeviceCore, request: m.Assign, _session: Session | None) -> Reply:
    subject = _named(request.subject, "the subject")
    held = Assignment(device.memory)
    if held.subject:
        raise Refusal(ErrorCode.ASSIGNED)
    _quiet(device)
    device.output.drop_token()
    return m.AssignReply(held.assign(subject, device.now_us))


def _subject(device: DeviceCore, request: m.Subject, session: Session | None) -> Reply:
    assert session is not None
    held = Assignment(device.memory)
    if not held.subject:
        raise Refusal(ErrorCode.NOT_ASSIGNED)
    if request.subject != held.subject:
        raise Refusal(ErrorCode.SUBJECT_MISMATCH)
    session.subject = request.subject
    return m.SubjectReply(held.number)


def _retire(device: DeviceCore, request: m.Retire, _session: Session | None) -> Reply:
    held, home = Assignment(device.memory), device.home
    cleaning = _named(request.cleaning, "the cleaning")
    if not held.subject:
        raise Refusal(ErrorCode.NOT_ASSIGNED)
    if request.subject != held.subject:
        raise Refusal(ErrorCode.SUBJECT_MISMATCH)
    _quiet(device)
    home.watch()
    if request.usage_sha256 != home.usage.sha256:
        raise Refusal(ErrorCode.USAGE_UNREAD)
    device.output.drop_token()
    number = held.retire(cleaning, device.now_us)
    device.output.measured = (0, ())
    for one in device.sessions.open.values():
        one.subject = ""
    # One save makes all of it durable; then it is overwritten, log and memory.
    home.erase()
    device.memory.purge()
    return m.RetireReply(number)


def _assignment(device: DeviceCore, _request: m.Assignment, _session: Session | None) -> Reply:
    held = Assignment(device.memory)
    return m.AssignmentReply(held.number, bool(held.subject), held.subject, held.cleaning)


HANDLERS: Final[Handlers] = {
    m.Assign: _assign,
    m.Subject: _subject,
    m.Retire: _retire,
    m.Assignment: _assignment,
}
