"""The order in which the device judges a frame (specification, section 3): the first that fails decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurostim.core.errors import ProtocolError
from neurostim.wire import messages as m
from neurostim.wire.codec import error_code, frame_error_code, unpack_request
from neurostim.wire.frame import Frame, FrameError
from neurostim.wire.layout import Kind, Need, Reply, Request
from neurostim.wire.messages import ErrorCode, EventCode, HandshakePurpose, Role
from neurostim_sim.commands import execute
from neurostim_sim.sessions import Outcome, Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore

STOPS: Final[dict[int, type[m.Stop] | type[m.EmergencyStop]]] = {
    m.Stop.TYPE: m.Stop,
    m.EmergencyStop.TYPE: m.EmergencyStop,
}
WITHOUT_KEY: Final = (m.Identify, m.Handshake)
"""What a device that was paired still answers to those without a key; stops never come so far."""
FIRST_ON: Final[dict[HandshakePurpose, type[Request]]] = {
    HandshakePurpose.SESSION: m.Hello,
    HandshakePurpose.PAIR: m.Pair,
}


def take(device: DeviceCore, item: Frame | FrameError) -> None:
    """Judge what came off the line, carry it out where it passes, and answer."""
    link = device.link
    if isinstance(item, FrameError):
        code = frame_error_code(item)
        if code is not None:
            link.reply(None, 0, _error(device, Refusal(code), 0))
        return
    if item.type in STOPS and item.kind is Kind.REQUEST and not item.payload:
        _stop(device, item)
        return
    session = link.sessions.open.get(item.session)
    if item.sealed:
        if session is None or session.channel is None:
            pending = link.handshakes.get(item.session, device.clock.now_ns)
            session = pending.session if pending is not None else None
        if session is None or session.channel is None:
            link.reply(None, item.command_id, _error(device, Refusal(ErrorCode.NO_SESSION), item.type))
            return
        opened = link.open(item, session.channel)
        if opened is None:
            return
        item = opened
    elif session is not None and session.channel is not None:
        # Nobody has proven to be its host: it neither lives on this nor answers for it.
        session = None
        if item.type not in (one.TYPE for one in WITHOUT_KEY):
            refusal = Refusal(ErrorCode.AUTHENTICATION_REQUIRED)
            link.reply(None, item.command_id, _error(device, refusal, item.type))
            return
    try:
        request = unpack_request(item)
    except ProtocolError as error:
        link.reply(session, item.command_id, _error(device, Refusal(error_code(error)), item.type))
        return
    if session is not None:
        link.heard(session)
    try:
        reply = _judge(device, item, request, session)
    except Refusal as refusal:
        reply = _error(device, refusal, item.type)
    device.make_log_durable()
    link.reply(session, item.command_id, reply)


def _stop(device: DeviceCore, frame: Frame) -> None:
    """STOP and EMERGENCY_STOP: from anybody, at any time, with whatever around them; no tag is asked either.

    The answer names the session that the stop named, sealed where that one is, so that its host can
    believe it.
    """
    link = device.link
    session = link.sessions.open.get(frame.session)
    if session is not None:
        channel = session.channel
        if channel is None or (frame.sealed and link.open(frame, channel) is not None):
            link.heard(session)
    reply = device.output.stop(emergency=STOPS[frame.type] is m.EmergencyStop)
    device.make_log_durable()
    link.reply(session, frame.command_id, reply)


def _judge(device: DeviceCore, frame: Frame, request: Request, session: Session | None) -> Reply:
    _check_key(device, frame, request, session)
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
            session.lease_us = frame.lease_us
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


def _check_key(device: DeviceCore, frame: Frame, request: Request, session: Session | None) -> None:
    """What only a host with a key may ask; and a channel is nothing until its first frame."""
    if not frame.authenticated:
        if request.KEYED or (device.keyring.closed and not isinstance(request, WITHOUT_KEY)):
            raise Refusal(ErrorCode.AUTHENTICATION_REQUIRED)
        return
    if session is None or session.number in device.sessions.open:
        return
    pending = device.link.handshakes.get(session.number, device.clock.now_ns)
    if pending is None or not isinstance(request, FIRST_ON[pending.purpose]):
        raise Refusal(ErrorCode.NO_SESSION)


def _check_lease(age_us: int) -> None:
    if age_us < 0:
        raise Refusal(ErrorCode.LEASE_FUTURE)
    if age_us > m.LEASE_MAX_AGE_US:
        raise Refusal(ErrorCode.LEASE_STALE, age_us)


def _error(device: DeviceCore, refusal: Refusal, request_type: int) -> m.Error:
    """The ERROR reply of a refusal."""
    return m.Error(refusal.code, request_type, device.output.state, refusal.detail, refusal.message[:64])
