"""Opening, keeping and closing a session: HELLO, HEARTBEAT, GOODBYE."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurostim.wire import messages as m
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import (
    ErrorCode,
    EventCode,
    Role,
)
from neurostim_sim.clock import US
from neurostim_sim.commands.table import Handlers
from neurostim_sim.output import ON
from neurostim_sim.sessions import NOBODY, SESSIONS, Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore


def _hello(device: DeviceCore, request: m.Hello, session: Session | None) -> Reply:
    if session is None or session.channel is None:
        session = device.sessions.same(request)
    elif request.host_id != session.host:
        raise Refusal(ErrorCode.MALFORMED, 0, "the channel is of another host")
    elif session.number not in device.sessions.open:
        session.nonce = request.nonce
    elif request.nonce != session.nonce:
        raise Refusal(ErrorCode.MALFORMED, 0, "this session is open already")
    refusal = ErrorCode.NONE
    if session is None or session.number not in device.sessions.open:
        session, refusal = _open(device, request, session)
    device.link.heard(session)
    return m.HelloReply(
        session.number,
        request.nonce,
        session.role,
        refusal,
        device.sessions.controller_host,
        device.now_us,
        device.now_ticks,
        device.memory.boot_count,
        device.memory.dose_count,
        device.state,
    )


def _open(device: DeviceCore, request: m.Hello, session: Session | None) -> tuple[Session, ErrorCode]:
    """A new session, or the channel whose host has proven to be there; and why control was not granted."""
    table, memory = device.sessions, device.memory
    if len(table.open) >= SESSIONS:
        _make_room(device, keyed=session is not None and request.role is Role.CONTROL)
    if session is None:
        session = Session(
            device.link.numbers.take(), request.host_id, request.nonce, Role.OBSERVE, device.now_ns
        )
    session.role, refusal = _grant(device, request, session)
    device.link.handshakes.drop(session.number)
    memory.session_count += 1
    memory.note(device.now_us, EventCode.SESSION_OPENED, value=session.number)
    memory.save()
    table.open[session.number] = session
    return session, refusal


def _make_room(device: DeviceCore, *, keyed: bool) -> None:
    """Observers must not keep out who asks for control with a key."""
    silent = device.sessions.longest_silent
    if not keyed or silent is None:
        raise Refusal(ErrorCode.TOO_MANY_SESSIONS)
    device.memory.note(device.now_us, EventCode.SESSION_EVICTED, value=silent.number)
    device.close_session(silent)


def _grant(device: DeviceCore, request: m.Hello, session: Session) -> tuple[Role, ErrorCode]:
    if request.role is not Role.CONTROL:
        return Role.OBSERVE, ErrorCode.NONE
    holder = device.sessions.controller
    if holder is None:
        return Role.CONTROL, ErrorCode.NONE
    living = device.supervision.supervised
    # Ids are no secrets: without a key a host that lives is not put aside, whatever is named.
    named = request.takeover_from == holder.host != NOBODY and (session.channel is not None or not living)
    lost = holder.host == request.host_id and not living
    if not (named or lost):
        return Role.OBSERVE, ErrorCode.CONTROL_HELD
    if device.output_on:
        return Role.OBSERVE, ErrorCode.OUTPUT_ON
    holder.role = Role.OBSERVE
    device.output.drop_token()
    device.memory.note(device.now_us, EventCode.TAKEOVER, value=session.number)
    return Role.CONTROL, ErrorCode.NONE


def _heartbeat(device: DeviceCore, request: m.Heartbeat, session: Session | None) -> Reply:
    assert session is not None
    age_ns = m.SUPERVISOR_TOKEN_MAX_AGE_US * US
    tokens = (request.ui_token, request.journal_token)
    living = session.beat(tokens, device.now_ns, session.lease_us * US, age_ns)
    return m.HeartbeatReply(device.now_us, device.now_ticks, device.state, living, device.dose_number)


def _goodbye(device: DeviceCore, _request: Request, session: Session | None) -> Reply:
    assert session is not None
    # At home output is the patient's own: a host that leaves has nothing to end.
    if session.role is Role.CONTROL and device.state in ON and not device.autonomous:
        raise Refusal(ErrorCode.OUTPUT_ON)
    device.close_session(session)
    return m.GoodbyeReply(session.number)


HANDLERS: Final[Handlers] = {
    m.Hello: _hello,
    m.Heartbeat: _heartbeat,
    m.Goodbye: _goodbye,
}
