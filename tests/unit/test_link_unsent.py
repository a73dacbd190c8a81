"""What a host does not take: telemetry gives way, what is critical waits, nothing grows without bound."""

from __future__ import annotations

import pytest

from neurostim.wire import messages as m
from neurostim.wire.channel import Channel
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import FrameDecoder
from neurostim.wire.layout import Message
from neurostim.wire.messages import DeviceState, FaultCode, StopCause
from neurostim.wire.noise import TransportKeys
from neurostim_sim.servers.unsent import MOST, MOST_WITH_TELEMETRY, Unsent, is_telemetry

KEYS = TransportKeys(b"a" * 32, b"b" * 32, b"h" * 32)


def channel() -> Channel:
    return Channel(KEYS)


def telemetry(number: int, seal: Channel | None = None) -> bytes:
    event = m.Telemetry(number, 0, DeviceState.DELIVERING, 1, 0, 0, 1000, 0, 0, ())
    return pack(event, session=1, sequence=number, command_id=0, lease_us=number, channel=seal)


def critical(number: int, seal: Channel | None = None) -> bytes:
    event = m.StateChanged(
        DeviceState.DELIVERING, DeviceState.STOPPED, StopCause.STOP, FaultCode.NONE, 1, number
    )
    return pack(event, session=1, sequence=number, command_id=0, lease_us=0, channel=seal)


class Descriptor:
    """Takes `room` bytes and then no more."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.taken = b""

    def write(self, data: bytes) -> int:
        if self.room == 0:
            raise BlockingIOError
        taken = data[: self.room]
        self.room -= len(taken)
        self.taken += taken
        return len(taken)

    def messages(self) -> list[Message]:
        return [unpack(frame) for frame in FrameDecoder().feed(self.taken)]  # type: ignore[arg-type]


def test_all_goes_out_in_order_where_the_line_keeps_up() -> None:
    unsent, line = Unsent(), Descriptor(1 << 20)
    for number in range(1, 50):
        unsent.put(telemetry(number) + critical(number))
    unsent.send(line.write)
    assert not unsent
    assert unsent.dropped == 0
    assert line.taken == b"".join(telemetry(n) + critical(n) for n in range(1, 50))


@pytest.mark.parametrize("sealed", [False, True])
def test_a_stalled_host_loses_telemetry_and_no_critical_event(sealed: bool) -> None:
    unsent, line = Unsent(), Descriptor(100)
    seal = channel() if sealed else None
    for number in range(1, 2000, 2):
        unsent.put(telemetry(number, seal))
        if number % 20 == 1:
            unsent.put(critical(number + 1, seal))
        unsent.send(line.write)
    assert unsent.dropped > 500
    line.room = 1 << 20
    unsent.send(line.write)
    assert not unsent
    frames = FrameDecoder().feed(line.taken)
    kinds = [frame.type for frame in frames]  # type: ignore[union-attr]
    assert kinds.count(m.StateChanged.TYPE) == 100
    assert 0 < kinds.count(m.Telemetry.TYPE) * len(telemetry(1)) < 2 * MOST_WITH_TELEMETRY


def test_frames_are_lost_whole() -> None:
    unsent, line = Unsent(), Descriptor(len(telemetry(1)) + 7)
    for number in range(1, 9000):
        unsent.put(critical(number))
        if number % 300 == 0:
            unsent.send(line.write)
    assert unsent.dropped > 0
    line.room = 1 << 20
    unsent.send(line.write)
    decoder = FrameDecoder()
    ticks = [unpack(frame).at_tick for frame in decoder.feed(line.taken)]  # type: ignore[arg-type, attr-defined]
    assert decoder.counts.dropped_frames == 0
    assert ticks == sorted(set(ticks))
    assert ticks[-1] == 8999
    assert len(line.taken) <= MOST + 8192


def test_a_frame_that_comes_in_pieces_leaves_whole() -> None:
    unsent, line = Unsent(), Descriptor(1 << 16)
    frame = critical(3)
    unsent.put(frame[:10])
    unsent.send(line.write)
    assert line.taken == b""
    unsent.put(frame[10:])
    unsent.send(line.write)
    assert line.taken == frame


def test_only_telemetry_is_taken_for_telemetry() -> None:
    assert is_telemetry(telemetry(1)[1:-1])
    assert is_telemetry(telemetry(1, channel())[1:-1])
    assert not is_telemetry(critical(1)[1:-1])
    assert not is_telemetry(critical(1, channel())[1:-1])
    for command in (
        m.Stop(),
        m.EmergencyStop(),
        m.Status(),
        m.StopReply(DeviceState.STOPPED, StopCause.STOP, False, 1),
    ):
        assert not is_telemetry(pack(command, session=1, sequence=1, command_id=1, lease_us=1)[1:-1])
