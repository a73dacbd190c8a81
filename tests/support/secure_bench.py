"""A host with a key, reduced to what a test needs: it pairs, shakes hands, seals and opens."""

from __future__ import annotations

import hashlib
from typing import Any

from neurostim.core.errors import ProtocolError
from neurostim.wire import messages as m
from neurostim.wire.channel import Channel
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.layout import Event, Message, Request
from neurostim.wire.messages import HandshakePurpose, Role
from neurostim.wire.noise import Initiator
from neurostim.wire.pairing import pairing_psk, parse_code, prologue
from neurostim_sim.core import DeviceCore
from support.sim_bench import SimHost

NOBODY = bytes(16)


class SecureBench(SimHost):
    """A `SimHost` whose session is sealed. `pair` once, then `hello` as often as sessions are needed.

    Parameters
    ----------
    core : DeviceCore
    host : bytes
        Host id, 16 bytes.
    pieces_ns : int
        Time is cut into pieces of this length, 0 for none.
    line : int
        Line of the device; hosts that live side by side need one each.

    Attributes
    ----------
    key : bytes
        What pairing gave.
    unsealed : list of Message
        What the device said without a seal since a channel was made: nothing that this host may believe.
    sent : list of bytes
        Every frame that went to the device, for those who replay them.
    """

    def __init__(self, core: DeviceCore, host: bytes = b"k" * 16, pieces_ns: int = 0, line: int = 0) -> None:
        super().__init__(core, pieces_ns)
        self.host = host
        self.line = line
        self.key = b""
        self.channel: Channel | None = None
        self.unsealed: list[Message] = []
        self.sent: list[bytes] = []
        self._lines = FrameDecoder()
        self._shakes = 0

    # ----------------------------------------------------------------------------------- handshake

    def begin(self, purpose: HandshakePurpose, psk: bytes) -> tuple[Initiator, m.Handshake]:
        """The first message of a handshake, with a key pair of its own."""
        self._shakes += 1
        ephemeral = hashlib.sha256(b"%b %d" % (self.host, self._shakes)).digest()
        serial = self.core.profile.capabilities.serial_number
        initiator = Initiator(psk, prologue(purpose, self.host, serial), ephemeral)
        return initiator, m.Handshake(purpose, self.host, initiator.write())

    def shake(self, purpose: HandshakePurpose, psk: bytes) -> Any:
        """Shake hands; the reply, and where it is one the channel is this host's from now on."""
        initiator, message = self.begin(purpose, psk)
        self.channel, self.session = None, 0
        self.sequence, self.command = 0, 0
        self.heard()
        self._say(pack(message, session=0, sequence=0, command_id=1, lease_us=0))
        reply = self.heard()[-1]
        if isinstance(reply, m.HandshakeReply):
            initiator.read(reply.noise)
            self.channel = Channel(initiator.split())
            self.session = reply.session
            self.sequence = self.command = 0
            self.unsealed.clear()
        return reply

    def pair(self, code: str = "", name: str = "bench") -> Any:
        """Be given a key, under the code of the label or another; the reply."""
        reply = self.shake(HandshakePurpose.PAIR, pairing_psk(parse_code(code or self.core.label_code)))
        if not isinstance(reply, m.HandshakeReply):
            return reply
        reply = self.ask(m.Pair(name))
        if isinstance(reply, m.PairReply):
            self.key = reply.host_key
        return reply

    def greet(self, role: Role = Role.CONTROL, takeover: bytes = NOBODY, nonce: int = 1) -> Any:
        """Open a sealed session; the reply."""
        reply = self.shake(HandshakePurpose.SESSION, self.key)
        if not isinstance(reply, m.HandshakeReply):
            return reply
        return self.ask(m.Hello(self.host, nonce, role, takeover))

    def hello(self, nonce: int = 1) -> None:
        """Take control with a key; pairs first where there is none."""
        if not self.key:
            paired = self.pair()
            assert isinstance(paired, m.PairReply), paired
        reply = self.greet(nonce=nonce)
        assert isinstance(reply, m.HelloReply), reply
        assert reply.role is Role.CONTROL, reply

    # ---------------------------------------------------------------------------------- what it says

    def packed(self, request: Request) -> bytes:
        """A command as it goes on the line, sealed, with a fresh lease."""
        return pack(
            request,
            session=self.session,
            sequence=self.sequence,
            command_id=self.command,
            lease_us=self.core.now_us,
            channel=self.channel,
        )

    def ask_anyway(self, request: Request) -> Any:
        """Send a command now; None where the device gives no answer."""
        self.heard()
        self.sequence += 1
        self.command += 1
        self._say(self.packed(request))
        replies = self.heard()
        return replies[-1] if replies else None

    def bare(self, request: Request, command_id: int = 1) -> Any:
        """Say something in this session without a seal, as one without the key would; the answer."""
        self.heard()
        already = len(self.unsealed)
        line = pack(
            request,
            session=self.session,
            sequence=self.sequence + 1,
            command_id=command_id,
            lease_us=self.core.now_us,
        )
        self._say(line)
        replies = self.heard()
        found = [*replies, *(one for one in self.unsealed[already:] if not isinstance(one, Event))]
        return found[-1] if found else None

    def heard(self) -> list[Message]:
        """Sealed replies since the last call (any, while no channel is there); events are put aside."""
        data = self.core.take_output(self.line)
        self.bytes += data
        replies: list[Message] = []
        for frame in self._lines.feed(data):
            assert isinstance(frame, Frame)
            opened = self._opened(frame)
            if opened is None:
                continue
            self.lease_us = max(self.lease_us, opened.lease_us)
            message = unpack(opened)
            (self.events if isinstance(message, Event) else replies).append(message)
        return replies

    def _opened(self, frame: Frame) -> Frame | None:
        """A frame this host may believe; others are put aside, or belong to another host."""
        if self.channel is None:
            return None if frame.sealed else frame
        if not frame.sealed:
            self.unsealed.append(unpack(frame))
            return None
        if frame.session != self.session:
            return None
        try:
            return self.channel.open(frame)
        except ProtocolError as error:  # pragma: no cover - only where the device is wrong
            raise AssertionError(f"the device sealed a frame that its host cannot open: {error}") from error

    def _say(self, data: bytes) -> None:
        self.sent.append(data)
        self.core.receive(data, self.line)
