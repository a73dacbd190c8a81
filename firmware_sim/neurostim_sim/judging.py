"""The order in which the device judges a frame (specification, section 3): the first that fails decides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neurostim.core.errors import ProtocolError
from neurostim.wire import messages as m
from neurostim.wire.codec import error_code, frame_error_code, unpack_request
from neurostim.wire.frame import Frame, FrameError
from neurostim.wire.layout import Need, Reply, Request
from neurostim.wire.messages import ErrorCode, EventCode, Role
from neurostim_sim.commands import execute
from neurostim_sim.sessions import Outcome, Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore


def take(device: DeviceCore, item: Frame | FrameError) -> None:
    """Judge what came off the line, carry it out where it passes, and answer."""
    link = device.link
    if isinstance(item, FrameError):
        code = frame_error_code(item)
        if code is not None:
            link.reply(None, 0, _error(device, Refusal(code), 0))
        return
    session = link.sessions.open.get(item.session)
    try:
        request = unpack_request(item)
    except ProtocolError as error:
        code = error_code(error)
        link.reply(session, item.command_id, _error(device, Refusal(code), item.type))
        return
    if session is not None:
        session.heard_ns = device.clock.now_ns
    try:
        reply = _judge(device, item, request, session)
    except Refusal as refusal:
        reply = _error(device, refusal, item.type)
    device.make_log_durable()
    link.reply(session, item.command_id, reply)


def _judge(device: DeviceCore, frame: Frame, request: Request, session: Session | None) -> Reply:
    if isinstance(request, (m.Stop, m.EmergencyStop)):
        return device.output.stop(emergency=isinstance(request, m.EmergencyStop))
    if request.NEEDS is Need.NONE:
        return execute(device, request, session)
    if session is None:
        raise Refusal(ErrorCode.NO_SESSION)
    if frame.command_id == 0:
        raise Refusal(ErrorCode.MALFORMED)
    if request.ONCE:
        kept = session.kept(frame.command_id, frame.type, frame.payload)
        if kept is not None:
            return kept
    if frame.sequence <= session.sequence:
        raise Refusal(ErrorCode.SEQUENCE_STALE)
    session.sequence = frame.sequence
    try:
        if request.NEEDS is Need.CONTROL and session.role is not Role.CONTROL:
            raise Refusal(ErrorCode.NOT_CONTROLLER)
        if request.LEASE:
            _check_lease(device.clock.now_us - frame.lease_us)
        reply = execute(device, request, session)
    except Refusal as refusal:
        if request.RAISES_OUTPUT:
            device.memory.note(
                device.clock.now_us, EventCode.REFUSED, device.output.dose_number, value=int(refusal.code)
            )
        reply = _error(device, refusal, frame.type)
    if request.ONCE:
        session.keep(frame.command_id, Outcome(frame.type, frame.payload, reply))
    return reply


def _check_lease(age_us: int) -> None:
    if age_us < 0:
        raise Refusal(ErrorCode.LEASE_FUTURE)
    if age_us > m.LEASE_MAX_AGE_US:
        raise Refusal(ErrorCode.LEASE_STALE, age_us)


def _error(device: DeviceCore, refusal: Refusal, request_type: int) -> m.Error:
    """The ERROR reply of a refusal."""
    return m.Error(refusal.code, request_type, device.output.state, refusal.detail, refusal.message[:64])
