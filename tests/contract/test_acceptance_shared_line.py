"""Two hosts on one line: what the device answers the other host must not be taken for an own answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from neurostim.device import LinkState
from neurostim.wire import messages as m
from neurostim.wire.codec import pack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.layout import Message, Request
from support.simulated_device import SimulatedDevice
from support.virtual_stimulator import VirtualStimulator

MS = 1_000_000
OTHER = 4242


def live(stimulator: VirtualStimulator, ms: int) -> None:
    for _ in range(ms // 50):
        stimulator.beat("ui")
        stimulator.beat("journal")
        stimulator.pass_ns(50 * MS)


def asks(request: Request) -> Iterator[Request]:
    reply = yield request
    return reply


class Eavesdropped:
    """Before each answer of one type, the line carries an answer to another host with the same command id."""

    def __init__(self, number: int, *answers: Message) -> None:
        self.number, self.answers, self.carried = number, answers, 0
        self._decoder = FrameDecoder()

    def __call__(self, data: bytes) -> bytes:
        for frame in self._decoder.feed(data):
            assert isinstance(frame, Frame)
            if frame.type == self.number:
                self.carried += 1
                foreign = b"".join(
                    pack(
                        answer,
                        session=OTHER,
                        sequence=1,
                        command_id=frame.command_id,
                        lease_us=frame.lease_us + 1_000_000,
                    )
                    for answer in self.answers
                )
                return foreign + data
        return data


@pytest.fixture
def host() -> VirtualStimulator:
    stimulator = VirtualStimulator(SimulatedDevice())
    stimulator.open()
    live(stimulator, 300)
    return stimulator


def refused(code: m.ErrorCode, request: type[Request]) -> m.Error:
    return m.Error(code, request.TYPE, m.DeviceState.IDLE, 0, "")


def test_a_start_is_not_taken_for_refused_because_the_other_host_was_refused(host: VirtualStimulator) -> None:
    arm = m.Arm(m.ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32), bytes(32))
    armed = host._run("ARM", asks(arm), changes=True).result()
    line = host.to_host = Eavesdropped(
        m.ImpedanceFire.TYPE, refused(m.ErrorCode.NOT_CONTROLLER, m.ImpedanceFire)
    )
    fire = m.ImpedanceFire(armed.token, armed.dose_count, 1)
    started = host._run("IMPEDANCE_FIRE", asks(fire), changes=True).result()
    assert line.carried
    assert started.dose_number == armed.dose_count + 1


def test_the_other_hosts_lost_session_and_dead_heartbeat_are_not_ours(host: VirtualStimulator) -> None:
    dead = m.HeartbeatReply(1, 1, m.DeviceState.IDLE, False, 0)
    line = host.to_host = Eavesdropped(m.Heartbeat.TYPE, dead, refused(m.ErrorCode.NO_SESSION, m.Heartbeat))
    live(host, 500)
    assert line.carried
    assert host.core.state is LinkState.OPEN
    assert host.supervised
    assert host.core.counters.heartbeats_dead == 0


def test_events_of_the_other_hosts_session_are_not_told_twice(host: VirtualStimulator) -> None:
    host.take_critical()
    event = m.StateChanged(
        m.DeviceState.IDLE, m.DeviceState.STOPPED, m.StopCause.STOP, m.FaultCode.NONE, 0, 1
    )
    host.core.feed(pack(event, session=OTHER, sequence=1, command_id=0, lease_us=1), host.clock.now_ns)
    host.lanes.put(host.core.take_happenings())
    assert host.take_critical() == []
