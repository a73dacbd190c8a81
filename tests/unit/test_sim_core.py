"""The device's behaviour on the wire, in virtual time: starts, dead-man, stops, repeats, resets."""

from __future__ import annotations

import hashlib

import pytest

from neurostim.core.image import ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim.wire import messages as m
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.image import encode_image
from neurostim.wire.layout import Event, Message, Request
from neurostim.wire.messages import ArmKind, DeviceState, ErrorCode, FaultCode, Role, StopCause
from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile
from neurostim_sim.store import MemoryMedium

MS = 1_000_000
APPROVAL = b"\7" * 32
AREA = ImageArea(
    *(1_000_000, ((3, -1000), (5, 1000)), 200, 0, Recharge.PASSIVE, 1, 20_000_000, 1, 1, 0, 1),
    *(500_000_000, 500_000_000, 0, 0, 0, 1),
)


class Host:
    def __init__(self, device: DeviceCore | None = None) -> None:
        self.device = device or DeviceCore(profile("scs"), seed=3)
        self.session = self.sequence = self.command = self.token = 0
        self.now = self.lease_us = self.beat = 0
        self.events: list[Message] = []
        self._decoder = FrameDecoder()

    def heard(self) -> list[Message]:
        frames = self._decoder.feed(self.device.take_output())
        found = []
        for frame in frames:
            assert isinstance(frame, Frame)
            self.lease_us = max(self.lease_us, frame.lease_us)
            message = unpack(frame)
            (self.events if isinstance(message, Event) else found).append(message)
        return found

    def ask(self, request: Request, *, command: int = 0, lease_us: int | None = None) -> Message:
        self.sequence += 1
        self.command += 0 if command else 1
        self.device.receive(
            pack(
                request,
                session=self.session,
                sequence=self.sequence,
                command_id=command or self.command,
                lease_us=self.lease_us if lease_us is None else lease_us,
            )
        )
        return self.heard()[-1]

    def hello(self, role: Role = Role.CONTROL, host: bytes = b"h" * 16) -> m.HelloReply:
        reply = self.ask(m.Hello(host, 1, role, bytes(16)))
        assert isinstance(reply, m.HelloReply)
        self.session, self.sequence, self.command = reply.session, 0, 0
        return reply

    def live(self, ms: int) -> None:
        for _ in range(ms // 100):
            self.beat += 1
            self.ask(m.Heartbeat(self.beat, self.beat))
            self.silent(100)

    def silent(self, ms: int) -> None:
        self.now += ms * MS
        self.device.advance(self.now)
        self.heard()

    def load(self) -> bytes:
        image = ProgramImage(self.device.profile.capabilities.grid, (AREA,), 0, False, False)
        data = encode_image(image)
        digest = hashlib.sha256(data).digest()
        self.ask(m.LoadBegin(0, len(data), digest))
        self.ask(m.LoadChunk(0, 0, data))
        ranges = (m.RangeOfArea(0, 0, 1_200_000, 100_000),)
        reply = self.ask(m.LoadCommit(0, APPROVAL, ranges))
        assert reply == m.LoadCommitReply(0, digest)
        return digest

    def fire(self) -> Message:
        self.live(100)
        armed = self.ask(m.Arm(ArmKind.STIMULATION, 0, self.device.memory.slots[0].digest, APPROVAL))
        assert isinstance(armed, m.ArmReply)
        self.token = armed.token
        return self.ask(m.Fire(armed.token, armed.dose_count))


@pytest.fixture
def host() -> Host:
    one = Host()
    one.hello()
    one.load()
    assert isinstance(one.fire(), m.FireReply)
    return one


def code(reply: Message) -> ErrorCode:
    assert isinstance(reply, m.Error)
    return reply.code


@pytest.mark.hazard("host-crash")
def test_supervised_output_is_silent_500_ms_after_the_last_heartbeat_and_latched(host: Host) -> None:
    host.live(1000)
    host.silent(199)
    assert host.device.state is DeviceState.DELIVERING
    host.silent(2)
    assert host.device.state is DeviceState.RAMPING_DOWN
    host.silent(200)
    assert host.device.state is DeviceState.STOPPED
    assert host.device.memory.cause == StopCause.DEAD_MAN
    pulses = host.device.memory.doses[-1].areas[0][2]
    host.silent(3000)
    assert host.device.memory.doses[-1].areas[0][2] == pulses


def test_a_heartbeat_with_an_old_lease_feeds_nothing(host: Host) -> None:
    host.live(1000)
    old = host.lease_us
    for _ in range(8):
        host.ask(m.Heartbeat(host.beat + 1, host.beat + 1), lease_us=max(0, old - 600_000))
        host.silent(100)
    assert host.device.state is DeviceState.STOPPED


@pytest.mark.hazard("double-dose")
def test_a_repeated_fire_returns_the_kept_reply_and_starts_nothing(host: Host) -> None:
    first = host.ask(m.Fire(host.token, 0), command=host.command)
    assert isinstance(first, m.FireReply)
    assert host.device.memory.dose_count == 1
    assert code(host.ask(m.Fire(host.token, 1))) is ErrorCode.WRONG_STATE


@pytest.mark.hazard("stale-fire")
def test_a_token_is_valid_once_and_for_two_seconds(host: Host) -> None:
    host.ask(m.SoftStop())
    host.live(2000)
    assert host.device.state is DeviceState.IDLE
    armed = host.ask(m.Arm(ArmKind.STIMULATION, 0, host.device.memory.slots[0].digest, APPROVAL))
    assert isinstance(armed, m.ArmReply)
    host.live(2100)
    assert code(host.ask(m.Fire(armed.token, 1))) is ErrorCode.TOKEN_EXPIRED
    assert host.device.memory.dose_count == 1


@pytest.mark.hazard("slow-stop")
def test_a_stop_from_nobody_stops_latches_and_is_idempotent(host: Host) -> None:
    host.live(500)
    host.session = 0
    first, second = host.ask(m.Stop()), host.ask(m.Stop())
    assert isinstance(first, m.StopReply)
    assert isinstance(second, m.StopReply)
    assert first.state is second.state is DeviceState.STOPPED
    assert first.at_tick == second.at_tick


@pytest.mark.hazard("step")
def test_upward_steps_are_single_and_three_a_second(host: Host) -> None:
    host.live(1000)

    def step(start: int, end: int) -> Message:
        return host.ask(m.SetAmplitude(1, 0, start, end))

    assert code(step(900_000, 1_000_000)) is ErrorCode.AMPLITUDE_MISMATCH
    assert isinstance(step(1_000_000, 0), m.SetAmplitudeReply)
    assert code(step(0, 200_000)) is ErrorCode.AMPLITUDE_STEP
    for level in range(3):
        assert isinstance(step(level * 100_000, (level + 1) * 100_000), m.SetAmplitudeReply)
        # Two steps must never meet in one unit, however slow the units are.
        assert code(step((level + 1) * 100_000, (level + 2) * 100_000)) is ErrorCode.AMPLITUDE_RATE
        host.live(100)
    assert code(step(300_000, 400_000)) is ErrorCode.AMPLITUDE_RATE
    assert code(step(300_000, 350_000)) is ErrorCode.AMPLITUDE_RANGE


@pytest.mark.hazard("session-reset")
def test_a_second_host_observes_and_may_stop(host: Host) -> None:
    host.live(300)
    reply = host.hello(Role.CONTROL, b"2" * 16)
    assert (reply.role, reply.refusal) == (Role.OBSERVE, ErrorCode.CONTROL_HELD)
    assert code(host.ask(m.SetAmplitude(1, 0, 1_000_000, 0))) is ErrorCode.NOT_CONTROLLER
    assert isinstance(host.ask(m.SoftStop()), m.SoftStopReply)


@pytest.mark.hazard("open-short")
def test_an_open_contact_latches_a_fault(host: Host) -> None:
    host.live(1000)
    host.device.inject("open:5", host.now)
    host.live(200)
    assert host.device.state is DeviceState.FAULT
    [fault] = [event for event in host.events if isinstance(event, m.Fault)]
    assert (fault.fault, fault.contact) == (FaultCode.OPEN_CIRCUIT, 5)


@pytest.mark.hazard("replug")
def test_a_lead_plugged_in_again_resumes_nothing(host: Host) -> None:
    host.live(1000)
    host.device.inject("unplug-lead", host.now)
    host.live(200)
    host.device.inject("plug-lead", host.now)
    host.live(1000)
    assert host.device.state is DeviceState.FAULT
    assert not host.device.output_on


@pytest.mark.hazard("resume")
def test_a_reset_during_output_comes_back_off_and_latched_with_the_dose_counted() -> None:
    medium = MemoryMedium()
    host = Host(DeviceCore(profile("scs"), medium=medium))
    host.hello()
    host.load()
    host.fire()
    host.live(500)
    host.device.inject("reset", host.now)
    host.silent(1)
    assert host.device.state is DeviceState.STOPPED
    assert host.device.memory.cause == StopCause.POWER_LOST
    assert host.device.memory.dose_count == 1
    assert DeviceCore(profile("scs"), medium=medium).state is DeviceState.STOPPED
