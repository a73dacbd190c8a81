"""The scripted stimulator with a label code and keys: it answers handshakes and seals what it says."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from neurostim.core.errors import ProtocolError
from neurostim.core.hardware import Capabilities
from neurostim.wire import messages as m
from neurostim.wire.channel import Channel
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame
from neurostim.wire.layout import Message, Reply, Request
from neurostim.wire.messages import ErrorCode, HandshakePurpose
from neurostim.wire.noise import Responder
from neurostim.wire.pairing import pairing_psk, prologue
from support.scripted_device import BENCH, Link, ScriptedDevice

CODE = bytes(range(100, 116))


@dataclass
class Opened:
    """A channel as the device keeps it."""

    channel: Channel
    purpose: HandshakePurpose
    host_id: bytes


class SealedDevice(ScriptedDevice):
    """`tamper` may replace the bytes of a frame that is about to leave."""

    def __init__(self, capabilities: Capabilities = BENCH, code: bytes = CODE) -> None:
        super().__init__(capabilities)
        self.code = code
        self.keys: dict[bytes, bytes] = {}
        self.names: dict[bytes, str] = {}
        self.channels: dict[int, Opened] = {}
        self.unsealed: list[Request] = []
        self.refused_tags = 0
        self.chances = 0

    def entropy(self, size: int) -> bytes:
        self.chances += 1
        return hashlib.sha256(f"device {self.chances}".encode()).digest()[:size]

    def reset(self) -> None:
        super().reset()
        self.channels.clear()

    def _pack(self, message: Message, session: int, sequence: int, command_id: int) -> bytes:
        opened = self.channels.get(session)
        return pack(
            message,
            session=session,
            sequence=sequence,
            command_id=command_id,
            lease_us=self.clock_us,
            channel=opened.channel if opened else None,
        )

    def _take(self, frame: Frame) -> None:
        if not frame.sealed:
            request = unpack(frame)
            assert isinstance(request, Request)
            self.unsealed.append(request)
            if isinstance(request, (m.Stop, m.EmergencyStop, m.Identify, m.Handshake)) or not self.keys:
                super()._take(frame)
            else:
                self.say(
                    self._pack(self._no(request, ErrorCode.AUTHENTICATION_REQUIRED), 0, 0, frame.command_id)
                )
            return
        opened = self.channels.get(frame.session)
        if opened is None:
            request_type = frame.type
            error = m.Error(ErrorCode.NO_SESSION, request_type, self.state, 0, "")
            self.say(self._pack(error, 0, 0, frame.command_id))
            return
        try:
            plain = opened.channel.open(frame)
        except ProtocolError:
            self.refused_tags += 1
            return
        request = unpack(plain)
        if isinstance(request, (m.Hello, m.Pair)):
            self._take_first(plain, request)
        else:
            super()._take(plain)

    def _take_first(self, frame: Frame, request: m.Hello | m.Pair) -> None:
        """The first frame of a channel makes it a session, or gives a key."""
        if self.deaf(request):
            return
        self.received.append(request)
        if isinstance(request, m.Pair):
            link = self.links.setdefault(
                frame.session, Link(self.channels[frame.session].host_id, 0, m.Role.OBSERVE)
            )
            reply: Reply = self._pair(frame.session, request)
        elif frame.session in self.links:
            link = self.links[frame.session]
            reply = self._hello_reply(frame.session, link, ErrorCode.NONE)
        else:
            for other in self.links.values():  # of another channel: never this session again
                other.nonce = 0 if other.nonce == request.nonce else other.nonce
            self.sessions = frame.session - 1
            reply = self._on_hello(request, frame, None)
            link = self.links[frame.session]
        for delay_ns, treated in self.treat(request, reply):
            link.sent += 1
            self.say(self._pack(treated, frame.session, link.sent, frame.command_id), delay_ns)

    def _pair(self, session: int, request: m.Pair) -> Reply:
        host_id = self.channels[session].host_id
        if host_id not in self.keys:
            self.keys[host_id] = self.entropy(32)
        self.names[host_id] = request.host_name
        return m.PairReply(self.keys[host_id], len(self.keys))

    def _on_handshake(self, request: m.Handshake, *_: object) -> Reply:
        if request.purpose is HandshakePurpose.PAIR:
            psk = pairing_psk(self.code)
        elif request.host_id in self.keys:
            psk = self.keys[request.host_id]
        else:
            return self._no(request, ErrorCode.AUTHENTICATION_FAILED)
        bound = prologue(request.purpose, request.host_id, self.capabilities.serial_number)
        responder = Responder(psk, bound, self.entropy(32))
        try:
            responder.read(request.noise)
        except ProtocolError:
            return self._no(request, ErrorCode.AUTHENTICATION_FAILED)
        answer = responder.write()
        session = max(self.sessions, *self.channels, 0) + 1 if self.channels else self.sessions + 1
        self.channels[session] = Opened(Channel(responder.split()), request.purpose, request.host_id)
        return m.HandshakeReply(session, answer)

    def _on_pairings(self, *_: object) -> Reply:
        hosts = tuple(m.PairedHost(host_id, name) for host_id, name in self.names.items())
        return m.PairingsReply(3, 0, hosts)

    def _on_unpair(self, request: m.Unpair, *_: object) -> Reply:
        if self.keys.pop(request.host_id, None) is None:
            return self._no(request, ErrorCode.NOT_PAIRED)
        del self.names[request.host_id]
        return m.UnpairReply(len(self.keys))
