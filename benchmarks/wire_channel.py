"""What a seal costs: authenticated exchanges of a command and its reply, beside the same without a key.

An exchange is what host and device do to bytes: make a command, seal, stuff, check, open and read it, and
the same for the reply. The comparison is the same path without a channel; a last line shows a handshake.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from neurostim.wire.channel import Channel
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.messages import DeviceState, Heartbeat, HeartbeatReply
from neurostim.wire.noise import Initiator, Responder

EXCHANGES = 20_000
ROUNDS = 5
HANDSHAKES = 300


def hands() -> tuple[Channel, Channel]:
    """A handshake, both sides of it."""
    psk, bound = bytes(32), b"bench"
    one, other = Initiator(psk, bound, os.urandom(32)), Responder(psk, bound, os.urandom(32))
    other.read(one.write())
    one.read(other.write())
    return Channel(one.split()), Channel(other.split())


def exchanges(host: Channel | None, device: Channel | None, first: int) -> None:
    """Command there, reply back."""
    to_device, to_host = FrameDecoder(), FrameDecoder()
    reply = HeartbeatReply(1_000_000, 1_000_000, DeviceState.DELIVERING, True, 3)
    for sequence in range(first, first + EXCHANGES):
        command = Heartbeat(sequence, sequence)
        line = pack(command, session=1, sequence=sequence, command_id=7, lease_us=9, channel=host)
        (frame,) = to_device.feed(line)
        assert isinstance(frame, Frame)
        heard = unpack(device.open(frame) if device else frame)
        line = pack(reply, session=1, sequence=sequence, command_id=7, lease_us=9, channel=device)
        (frame,) = to_host.feed(line)
        assert isinstance(frame, Frame)
        told = unpack(host.open(frame) if host else frame)
        assert heard == command
        assert told == reply


def best(run: Callable[[int], None]) -> float:
    """Exchanges in a second of one core, of the best round."""
    found = []
    for number in range(ROUNDS):
        begun = time.process_time()
        run(1 + number * EXCHANGES)
        found.append(EXCHANGES / (time.process_time() - begun))
    return max(found)


def main() -> None:
    """Print the figures."""
    host, device = hands()
    sealed = best(lambda first: exchanges(host, device, first))
    plain = best(lambda first: exchanges(None, None, first))
    begun = time.process_time()
    for _ in range(HANDSHAKES):
        hands()
    each_us = (time.process_time() - begun) / HANDSHAKES * 1e6
    print(f"authenticated exchanges      {sealed:10,.0f} /s")
    print(f"the same without a key       {plain:10,.0f} /s   ratio {sealed / plain:.2f}")
    print(
        f"one handshake, both sides    {each_us:10,.0f} us  as long as {each_us * sealed / 1e6:.0f} exchanges"
    )


if __name__ == "__main__":
    main()
