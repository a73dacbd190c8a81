"""Scenes at the door of a paired device, each with a check of its own: guessed codes, repeated messages.

What the monitor sees are pulses and states; these two barriers hold off what comes long before any. So the
scene looks for itself, and tells what it finds under the name of its own rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from neurostim.wire import messages as m
from neurostim.wire.channel import Channel
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.layout import Message
from neurostim.wire.messages import ErrorCode, HandshakePurpose, Role
from neurostim.wire.noise import Initiator
from neurostim.wire.pairing import pairing_psk, prologue
from neurostim_sim.core import DeviceCore
from neurostim_sim.entropy import seeded
from neurostim_sim.store import MemoryMedium
from neurostim_torture.keys import LABEL, paired
from neurostim_torture.monitor.records import Violation
from neurostim_torture.programs import device_profile
from neurostim_torture.schedule import Outcome, Schedule

GUESSES: Final = 12
ELSEWHERE: Final = 7
LOCKED: Final = "three-wrong-codes-lock"
UNTOUCHED: Final = "a-handshake-touches-nothing"
UNSEALED: Final = "no-key-no-command"


class Guessing:
    """Somebody tries one code after the other, with a reset now and then."""

    def run(self, seed: int) -> Outcome:
        """No more than three of them may be told apart from the right one."""
        device, chance = _device(seed), seeded(seed, "codes")
        told: list[ErrorCode] = []
        for guess in range(GUESSES):
            if guess % 4 == seed % 4:
                device.restart()
            _, request = _first(HandshakePurpose.PAIR, pairing_psk(chance(16)), chance(32))
            for reply in _asked(device, request):
                assert isinstance(reply, m.Error)
                told.append(reply.code)
        tried = told.count(ErrorCode.AUTHENTICATION_FAILED)
        found = []
        if len(told) != GUESSES or tried > m.PAIRING_TRIES:
            text = f"{tried} of {GUESSES} codes were tried where {m.PAIRING_TRIES} may be"
            found.append(Violation(LOCKED, device.clock.true_ns, text))
        return _outcome(device, seed, found)


@dataclass(frozen=True, slots=True)
class Meddling:
    """A host is in control, and somebody on another line repeats the first message of its handshake.

    ``sealed``: sends frames of its session instead, which only look sealed.
    """

    sealed: bool = False

    def run(self, seed: int) -> Outcome:
        """Sessions and control are as before."""
        device, chance = _device(seed), seeded(seed, "repeats")
        key = paired(device_profile()).own
        initiator, request = _first(HandshakePurpose.SESSION, key.key, chance(32), key.host_id)
        (reply,) = _asked(device, request)
        assert isinstance(reply, m.HandshakeReply)
        initiator.read(reply.noise)
        hello = m.Hello(key.host_id, 1, Role.CONTROL, bytes(16))
        channel = Channel(initiator.split())
        device.receive(
            pack(hello, session=reply.session, sequence=1, command_id=1, lease_us=0, channel=channel)
        )
        before = dict(device.sessions.open), device.sessions.controller
        assert before[1] is not None
        frame = _frame(request)
        for place in range(1 + seed % 3):
            if self.sealed:
                names = {"session": reply.session, "sequence": 2 + place, "command_id": 2 + place}
                frame = pack(m.Goodbye(), **names, lease_us=0, channel=_Guess())
            device.receive(frame, ELSEWHERE)
        found = []
        if (dict(device.sessions.open), device.sessions.controller) != before:
            rule = UNSEALED if self.sealed else UNTOUCHED
            found.append(Violation(rule, device.clock.true_ns, "somebody else has changed the sessions"))
        return _outcome(device, seed, found)


class _Guess:
    """Seals as somebody does who has no key."""

    def seal(self, _sequence: int, _head: bytes, payload: bytes) -> bytes:
        """Payload, and a tag that fits nothing."""
        return payload + bytes(16)


def _device(seed: int) -> DeviceCore:
    medium = MemoryMedium()
    medium.data = bytearray(paired(device_profile()).memory)
    return DeviceCore(device_profile(), seed=seed, medium=medium, label_code=LABEL)


def _first(
    purpose: HandshakePurpose, psk: bytes, ephemeral: bytes, host_id: bytes = b"stranger at door"
) -> tuple[Initiator, m.Handshake]:
    bound = prologue(purpose, host_id, device_profile().capabilities.serial_number)
    initiator = Initiator(psk, bound, ephemeral)
    return initiator, m.Handshake(purpose, host_id, initiator.write())


def _frame(request: m.Handshake) -> bytes:
    return pack(request, session=0, sequence=0, command_id=1, lease_us=0)


def _asked(device: DeviceCore, request: m.Handshake) -> Iterator[Message]:
    device.receive(_frame(request))
    for frame in FrameDecoder().feed(device.take_output()):
        assert isinstance(frame, Frame)
        yield unpack(frame)


def _outcome(device: DeviceCore, seed: int, found: list[Violation]) -> Outcome:
    device.close()
    return Outcome(Schedule(seed), virtual_ns=device.clock.true_ns, violations=tuple(found))
