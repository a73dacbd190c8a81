"""The host's half of a handshake: it opens the sealed channel of a session, or of a pairing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from neurostim.core.errors import CommandTimeout, ConfigError, ProtocolError
from neurostim.device.notices import LinkCounters
from neurostim.device.outbox import Outbox
from neurostim.device.tasks import Script
from neurostim.wire.channel import Channel
from neurostim.wire.frame import Frame
from neurostim.wire.messages import (
    Error,
    Handshake,
    HandshakePurpose,
    HandshakeReply,
    Hello,
    HelloReply,
    Identify,
    IdentifyReply,
)
from neurostim.wire.noise import KEY_BYTES, Initiator
from neurostim.wire.pairing import pairing_psk, prologue

SHAKES: Final = 3
_OF_HANDSHAKES: Final = frozenset({Handshake.TYPE, Error.TYPE})


@dataclass(frozen=True, slots=True)
class DeviceKey:
    """The key this host was given by one device.

    Attributes
    ----------
    serial_number : str
        Whose key it is, as IDENTIFY tells it; another device cannot answer in its place.
    key : bytes
        32 bytes.
    host_id : bytes
        The id under which the device keeps it; empty for the one the host core was made with.
    """

    serial_number: str
    key: bytes
    host_id: bytes = b""

    def __post_init__(self) -> None:
        """Refuse what cannot be a key."""
        if len(self.key) != KEY_BYTES:
            raise ConfigError(f"a host key of {len(self.key)} bytes", allowed="32 bytes", code="bad-key")

    def __repr__(self) -> str:
        return f"DeviceKey(serial_number={self.serial_number!r})"


class HostHandshake:
    """One handshake under way.

    Parameters
    ----------
    purpose : HandshakePurpose
        A session or a pairing.
    psk : bytes
        The key that both sides know.
    host_id : bytes
        16 bytes of this host.
    serial_number : str
        Of the device that must answer.
    entropy : callable
        Returns so many random bytes.
    """

    def __init__(
        self,
        purpose: HandshakePurpose,
        psk: bytes,
        host_id: bytes,
        serial_number: str,
        entropy: Callable[[int], bytes],
    ) -> None:
        bound = prologue(purpose, host_id, serial_number)
        self._noise = Initiator(psk, bound, entropy(KEY_BYTES))
        self.request = Handshake(purpose, host_id, self._noise.write())
        self._session = 0

    @classmethod
    def of_session(cls, key: DeviceKey, host_id: bytes, entropy: Callable[[int], bytes]) -> HostHandshake:
        """The handshake of a session under the key that pairing gave."""
        return cls(HandshakePurpose.SESSION, key.key, host_id, key.serial_number, entropy)

    @classmethod
    def of_pairing(
        cls, secret: bytes, serial_number: str, host_id: bytes, entropy: Callable[[int], bytes]
    ) -> HostHandshake:
        """The handshake of a pairing under the code on the label, 16 bytes."""
        return cls(HandshakePurpose.PAIR, pairing_psk(secret), host_id, serial_number, entropy)

    def answered_by(self, reply: HandshakeReply) -> bool:
        """Whether a reply comes from who knows the key; a forged one changes nothing."""
        try:
            self._noise.read(reply.noise)
        except ProtocolError:
            return False
        self._session = reply.session
        return True

    def channel(self) -> tuple[int, Channel]:
        """Session and channel, once answered."""
        return self._session, Channel(self._noise.split())


def ask_who() -> Script[IdentifyReply]:
    """Ask who is there; what is answered is proven only by a handshake that binds it."""
    reply = yield Identify()
    assert isinstance(reply, IdentifyReply)
    return reply


def shake_hands(handshake: HostHandshake | None, outbox: Outbox) -> Script[None]:
    """Open the sealed channel, where there is a handshake for one."""
    if handshake is not None:
        yield handshake.request
        outbox.begin_session(*handshake.channel())


def greet_sealed(
    handshake: HostHandshake, renew: Callable[[], HostHandshake], outbox: Outbox, hello: Hello
) -> Script[HelloReply]:
    """Shake hands and say hello; anew, a few times, where nothing answers on the channel.

    Whoever repeats recorded first messages on this line can push the channel out of the device before the
    hello comes; what was made for nothing is forgotten there.
    """
    for left in reversed(range(SHAKES)):
        yield from shake_hands(handshake, outbox)
        try:
            reply = yield hello
        except CommandTimeout:
            if not left:
                raise
            outbox.begin_session(0)
            # Nothing was answered for a second: what lies unread must not keep the new handshake back.
            outbox.renew()
            handshake = renew()
        else:
            assert isinstance(reply, HelloReply)
            return reply
    raise AssertionError("the last round answers or raises")


def believed(
    frame: Frame, outbox: Outbox, handshake: HostHandshake | None, counters: LinkCounters
) -> Frame | None:
    """The frame if it may be believed: sealed in this session, or unsealed where nothing is at stake."""
    channel = outbox.channel
    if frame.authenticated and frame.tag:
        if channel is not None and frame.session == outbox.session:
            # Every frame of a session comes this way: `contextlib.suppress` costs as much as the cipher.
            try:
                return channel.open(frame)
            except ProtocolError:
                pass
        counters.seals_refused += 1
        return None
    # Whoever shares the line could say it: nothing of it is believed, not even that there is no session.
    if channel is not None or (handshake is not None and frame.type not in _OF_HANDSHAKES):
        counters.frames_unsealed += 1
        return None
    return frame
