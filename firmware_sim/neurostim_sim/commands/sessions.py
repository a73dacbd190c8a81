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


def _hello(device: DeviceCore, request: m.Hello, _session: Session | None) -> Reply:
    table = device.sessions
    session = table.same(request)
    refusal = ErrorCode.NONE
    if session is None:
        if len(table.open) >= SESSIONS:
            raise Refusal(ErrorCode.TOO_MANY_SESSIONS)
        role, refusal = _grant(device, request)
        device.memory.session_count += 1
        session = Session(device.memory.session_count, request.host_id, request.nonce, role, device.now_ns)
        device.memory.note(device.now_us, EventCode.SESSION_OPENED, value=session.number)
        device.memory.save()
        table.open[session.number] = session
    session.heard_ns = device.now_ns
    return m.HelloReply(
        session.number,
        request.nonce,
        session.role,
        refusal,
        table.controller_host,
        device.now_us,
        device.now_ticks,
        device.memory.boot_count,
        device.memory.dose_count,
        device.state,
    )


def _grant(device: DeviceCore, request: m.Hello) -> tuple[Role, ErrorCode]:
    if request.role is not Role.CONTROL:
        return Role.OBSERVE, ErrorCode.NONE
    holder = device.sessions.controller
    if holder is None:
        return Role.CONTROL, ErrorCode.NONE
    named = request.takeover_from != NOBODY and request.takeover_from == holder.host
    lost = holder.host == request.host_id and not device.supervision.supervised
    if not (named or lost):
        return Role.OBSERVE, ErrorCode.CONTROL_HELD
    if device.state in ON:
        return Role.OBSERVE, ErrorCode.OUTPUT_ON
    holder.role = Role.OBSERVE
    device.output.drop_token()
    device.memory.note(device.now_us, EventCode.TAKEOVER, value=device.memory.session_count + 1)
    return Role.CONTROL, ErrorCode.NONE


def _heartbeat(device: DeviceCore, request: m.Heartbeat, session: Session | None) -> Reply:
    assert session is not None
    age_ns = m.SUPERVISOR_TOKEN_MAX_AGE_US * US
    living = session.beat((request.ui_token, request.journal_token), device.now_ns, age_ns)
    return m.HeartbeatReply(device.now_us, device.now_ticks, device.state, living, device.dose_number)


def _goodbye(device: DeviceCore, _request: Request, session: Session | None) -> Reply:
    assert session is not None
    if session.role is Role.CONTROL and device.state in ON:
        raise Refusal(ErrorCode.OUTPUT_ON)
    device.close_session(session)
    return m.GoodbyeReply(session.number)


HANDLERS: Final[Handlers] = {
    m.Hello: _hello,
    m.Heartbeat: _heartbeat,
    m.Goodbye: _goodbye,
}
