"""Neither late heartbeats nor lost stops keep output alive."""

from __future__ import annotations

import pytest

from neurostim.wire import messages as m
from neurostim.wire.codec import pack
from neurostim.wire.frame import Frame, FrameDecoder
from support.sim_bench import MS, SimHost, device, tonic
from support.simulated_device import SimulatedDevice
from support.virtual_stimulator import VirtualStimulator


def late_heartbeat(host: SimHost, age_us: int) -> m.HeartbeatReply:
    """A heartbeat whose lease is as old as said; the device's answer."""
    host.beats += 1
    host.sequence += 1
    frame = pack(
        m.Heartbeat(host.beats, host.beats),
        session=host.session,
        sequence=host.sequence,
        command_id=900 + host.beats,
        lease_us=host.core.now_us - age_us,
    )
    host.core.receive(frame)
    [reply] = [one for one in host.heard() if isinstance(one, m.HeartbeatReply)]
    return reply


@pytest.mark.hazard("stale-fire")
@pytest.mark.parametrize(
    ("age_ms", "left_ms"), [(0, 300), (100, 300), (101, 299), (250, 150), (399, 1), (400, None), (500, None)]
)
def test_a_heartbeat_counts_from_100_ms_after_its_lease_at_the_latest(age_ms, left_ms):
    host = SimHost(device("scs"))
    host.start(tonic("scs"))
    host.live_until(host.now_ns + 1000 * MS)
    host.silent_until(host.now_ns + 290 * MS)
    before = host.core.supervision.dead_man_ns
    reply = late_heartbeat(host, age_ms * 1000)
    assert reply.living == (left_ms is not None)
    deadline = host.core.supervision.dead_man_ns
    if left_ms is None:
        assert deadline == before
    else:
        assert deadline == max(before, host.core.now_ns // 1000 * 1000 + left_ms * MS)


@pytest.mark.hazard("slow-stop")
def test_a_line_that_loses_stops_and_carries_heartbeats_ends_in_the_dead_man():
    far = SimulatedDevice("scs")
    stimulator = VirtualStimulator(far)
    stimulator.open()

    def without_stops(data: bytes) -> bytes:
        passed = b""
        for piece in filter(None, data.split(b"\0")):
            [found] = FrameDecoder().feed(piece + b"\0")
            assert isinstance(found, Frame)
            if found.type not in (m.Stop.TYPE, m.EmergencyStop.TYPE):
                passed += b"\0" + piece + b"\0"
        return passed

    def live(slices: int) -> None:
        for _ in range(slices):
            stimulator.beat("ui")
            stimulator.beat("journal")
            stimulator.pass_ns(100 * MS)

    live(5)
    assert far.core.supervision.supervised
    stimulator.to_device = without_stops
    sent = stimulator.core.counters.heartbeats_sent
    future = stimulator.stop()
    live(10)
    error = future.error(0.0)
    assert error is not None
    assert error.code == "stop-not-confirmed"
    assert stimulator.core.counters.heartbeats_sent == sent
    assert not far.core.supervision.supervised
