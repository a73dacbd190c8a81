"""Handshake, pairing and its undoing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurostim.core.errors import ProtocolError
from neurostim.wire import messages as m
from neurostim.wire.channel import Channel
from neurostim.wire.layout import Reply, Request
from neurostim.wire.messages import DeviceState, ErrorCode, HandshakePurpose, Role
from neurostim.wire.noise import EMPTY_MESSAGE_BYTES, KEY_BYTES, Responder
from neurostim.wire.pairing import prologue
from neurostim_sim.commands.table import Handlers
from neurostim_sim.handshakes import VALID_NS, Pending
from neurostim_sim.keyring import PairingsFull
from neurostim_sim.sessions import Refusal, Session

if TYPE_CHECKING:
    from neurostim_sim.core import DeviceCore


def _handshake(device: DeviceCore, request: m.Handshake, _session: Session | None) -> Reply:
    link, now_ns = device.link, device.clock.now_ns
    again = link.handshakes.same(request, link.heard_on, now_ns)
    if again is not None:
        return again.reply
    if len(request.noise) != EMPTY_MESSAGE_BYTES:
        raise Refusal(ErrorCode.MALFORMED, len(request.noise), "message 1 has 48 bytes")
    if request.purpose is HandshakePurpose.PAIR:
        _allow_pairing(device)
        if device.keyring.locked_s:
            raise Refusal(ErrorCode.PAIRING_LOCKED, device.keyring.locked_s)
        psk = device.keyring.psk
    else:
        key = device.keyring.key_of(request.host_id)
        if key is None:
            raise Refusal(ErrorCode.AUTHENTICATION_FAILED)
        psk = key
    link.numbers.check()
    serial = device.profile.capabilities.serial_number
    responder = Responder(psk, prologue(request.purpose, request.host_id, serial), device.entropy(KEY_BYTES))
    pairing = request.purpose is HandshakePurpose.PAIR
    if pairing:
        # Counted before anything depends on the code: a supply that is cut at silence gives no try back.
        device.keyring.begin_try()
    try:
        responder.read(request.noise)
    except ProtocolError as error:
        if pairing:
            device.keyring.wrong_code()
        raise Refusal(ErrorCode.AUTHENTICATION_FAILED) from error
    if pairing:
        device.keyring.right_code()
    try:
        answer = responder.write()
    except ProtocolError as error:
        # A public key that agrees on nothing, from one who knows the key: no wrong code, and no channel.
        raise Refusal(ErrorCode.AUTHENTICATION_FAILED) from error
    session = Session(
        link.numbers.take(),
        request.host_id,
        0,
        Role.OBSERVE,
        now_ns,
        channel=Channel(responder.split()),
    )
    reply = m.HandshakeReply(session.number, answer)
    until_ns = now_ns + VALID_NS
    link.handshakes.hold(Pending(session, request.purpose, request, reply, until_ns, link.heard_on))
    return reply


def _allow_pairing(device: DeviceCore) -> None:
    """Nobody is let in while output is on, armed, or left to the patient."""
    if device.output_on:
        raise Refusal(ErrorCode.OUTPUT_ON)
    if device.state is DeviceState.ARMED:
        raise Refusal(ErrorCode.WRONG_STATE)
    if device.autonomous:
        raise Refusal(ErrorCode.AUTONOMOUS)


def _pair(device: DeviceCore, request: m.Pair, session: Session | None) -> Reply:
    assert session is not None  # keyed: it came sealed
    now_ns = device.clock.now_ns
    pending = device.link.handshakes.get(session.number, now_ns)
    if pending is None:
        raise Refusal(ErrorCode.AUTHENTICATION_REQUIRED, 0, "not a channel for pairing")
    if pending.paired is not None:
        asked, given = pending.paired
        if asked != request:
            raise Refusal(ErrorCode.COMMAND_ID_REUSED)
        return given
    _allow_pairing(device)
    key = device.entropy(KEY_BYTES)
    first = not device.keyring.closed
    try:
        device.keyring.give(session.host, request.host_name, key)
    except PairingsFull as error:
        raise Refusal(ErrorCode.PAIRINGS_FULL) from error
    # From here on nobody is in a session whom the new key, or another one, did not let in.
    device.link.handshakes.drop_sessions_of(session.host)
    for other in list(device.sessions.open.values()):
        if first or other.host == session.host:
            device.close_session(other)
    reply = m.PairReply(key, len(device.keyring.hosts))
    pending.paired, pending.until_ns = (request, reply), now_ns + VALID_NS
    return reply


def _unpair(device: DeviceCore, request: m.Unpair, _session: Session | None) -> Reply:
    if device.output_on:
        raise Refusal(ErrorCode.OUTPUT_ON)
    if not device.keyring.erase(request.host_id):
        raise Refusal(ErrorCode.NOT_PAIRED)
    device.link.handshakes.drop_host(request.host_id)
    for other in list(device.sessions.open.values()):
        if other.host == request.host_id:
            device.close_session(other)
    return m.UnpairReply(len(device.keyring.hosts))


def _pairings(device: DeviceCore, _request: Request, _session: Session | None) -> Reply:
    keyring = device.keyring
    hosts = tuple(m.PairedHost(one.host_id, one.name) for one in keyring.hosts)
    return m.PairingsReply(keyring.tries_left, keyring.locked_s, hosts)


HANDLERS: Final[Handlers] = {
    m.Handshake: _handshake,
    m.Pair: _pair,
    m.Unpair: _unpair,
    m.Pairings: _pairings,
}
