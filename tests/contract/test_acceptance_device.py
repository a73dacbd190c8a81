"""Frames built by hand against the simulated device: what a hostile line or broken memory must not reach."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.image import Grid, ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim.core.program_file import parse_program
from neurostim.electrode.library import lead
from neurostim.safety.gate import AmplitudeRange, approve, check
from neurostim.wire import messages as m
from neurostim.wire.codec import pack, unpack
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.image import encode_image
from neurostim.wire.layout import Request
from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile
from neurostim_sim.store import BANK_BYTES, MemoryMedium
from neurostim_sim.trace import TraceFiles

MS = 1_000_000
HOST = b"H" * 16
APPROVAL = b"\x01" * 32
ALL_EIGHT = 0xFF
OFF_THE_GRID = """
format = "neurostim-program/1"
name = "between two steps"
therapy = "scs"
lead = "octrode"
[[area]]
amplitude = "1.2345 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "200 us", recharge = "passive" }
train = { rate = "50 Hz" }
"""


@dataclass
class Bench:
    """A device and a host that does exactly what a test says; heartbeats only where asked."""

    core: DeviceCore
    now_ns: int = 0
    session: int = 0
    sequence: int = 0
    command_id: int = 0
    beats: int = 0
    decoder: FrameDecoder = field(default_factory=FrameDecoder)

    def send(self, request: Request, *, session: int | None = None, sequence: int | None = None) -> Any:
        """Send one command with a fresh lease; return what it was answered."""
        number = self.session if session is None else session
        if sequence is None and number:
            self.sequence += 1
        self.command_id += 1
        self.core.receive(
            pack(
                request,
                session=number,
                sequence=(self.sequence if number else 0) if sequence is None else sequence,
                command_id=self.command_id,
                lease_us=self.core.now_us,
            )
        )
        answers = []
        for frame in self.decoder.feed(self.core.take_output()):
            assert isinstance(frame, Frame)
            if frame.command_id == self.command_id:
                answers.append(unpack(frame))
        assert len(answers) == 1
        return answers[0]

    def hello(self, nonce: int = 1) -> None:
        """Open a session and take control."""
        self.session = self.send(m.Hello(HOST, nonce, m.Role.CONTROL, bytes(16)), session=0).session
        self.sequence = 0

    def beat(self) -> None:
        """One living heartbeat."""
        self.beats += 1
        self.send(m.Heartbeat(self.beats, self.beats))

    def live(self, ms: int, *, beating: bool = True) -> None:
        """Let time pass, with a heartbeat each 100 ms."""
        for _ in range(ms // 100):
            self.wait(100)
            if beating:
                self.beat()

    def wait(self, ms: int) -> None:
        """Let time pass without a word."""
        self.now_ns += ms * MS
        self.core.advance(self.now_ns)

    def load(self, image: ProgramImage, ranges: tuple[m.RangeOfArea, ...] | None = None) -> Any:
        """Load slot 0; return the answer to the commit."""
        data = encode_image(image)
        digest = hashlib.sha256(data).digest()
        self.send(m.LoadBegin(0, len(data), digest))
        for offset in range(0, len(data), 128):
            self.send(m.LoadChunk(0, offset, data[offset : offset + 128]))
        if ranges is None:
            ranges = tuple(
                m.RangeOfArea(i, 0, one.amplitude_na, image.grid.step_na) for i, one in enumerate(image.areas)
            )
        return self.send(m.LoadCommit(0, APPROVAL, ranges))

    def arm(self, image: ProgramImage) -> m.ArmReply:
        """Arm slot 0."""
        digest = hashlib.sha256(encode_image(image)).digest()
        reply = self.send(m.Arm(m.ArmKind.STIMULATION, 0, digest, APPROVAL))
        assert isinstance(reply, m.ArmReply)
        return reply

    def start(self, image: ProgramImage) -> None:
        """Load and start."""
        self.hello()
        assert isinstance(self.load(image), m.LoadCommitReply)
        self.beat()
        armed = self.arm(image)
        assert isinstance(self.send(m.Fire(armed.token, armed.dose_count)), m.FireReply)

    def measure(self) -> None:
        """Start an impedance measurement of contacts 1 to 8."""
        self.hello()
        self.beat()
        armed = self.send(m.Arm(m.ArmKind.IMPEDANCE, m.NO_SLOT, bytes(32), bytes(32)))
        reply = self.send(m.ImpedanceFire(armed.token, armed.dose_count, ALL_EIGHT))
        assert isinstance(reply, m.ImpedanceFireReply)


def bench(name: str = "scs", **more: Any) -> Bench:
    return Bench(DeviceCore(profile(name), **more))


def image(grid: Grid, rate_hz: int = 40, amplitude_na: int = 1_000_000) -> ProgramImage:
    area = ImageArea(
        amplitude_na=amplitude_na,
        shares=((1, -1000), (2, 1000)),
        width_ticks=200,
        interphase_ticks=0,
        recharge=Recharge.PASSIVE,
        ratio=1,
        period_num=1_000_000_000 // rate_hz,
        period_den=1,
        burst_pulses=1,
        burst_period_num=0,
        burst_period_den=1,
        ramp_up_ns=500 * MS,
        ramp_down_ns=500 * MS,
        delay_ns=0,
        on_ns=0,
        off_ns=0,
        priority=1,
    )
    return ProgramImage(grid, (area,), 0, False, False)


def scs(rate_hz: int = 40) -> ProgramImage:
    return image(profile("scs").capabilities.grid, rate_hz)


@pytest.mark.hazard("race-wrap")
def test_the_largest_sequence_does_not_break_the_device() -> None:
    host = bench()
    host.hello()
    host.send(m.Status(), sequence=2**64 - 1)
    refused = host.send(m.Status(), sequence=5)
    assert (refused.code, refused.detail) == (m.ErrorCode.SEQUENCE_STALE, 0)
    assert isinstance(host.send(m.Stop()), m.StopReply)


@pytest.mark.hazard("stuck-device")
@pytest.mark.timeout(20)
def test_a_processor_that_hangs_while_measuring_ends_in_the_watchdog() -> None:
    host = bench()
    host.measure()
    host.core.inject("hang", 5 * MS)
    host.wait(1000)
    assert host.core.state is m.DeviceState.FAULT
    assert host.core.memory.fault == m.FaultCode.WATCHDOG


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["scs", "bench"])
def test_a_range_of_a_hundred_million_steps_is_refused_at_once(name: str) -> None:
    host = bench(name)
    host.hello()
    nothing = image(host.core.profile.capabilities.grid, amplitude_na=0)
    refused = host.load(nothing, (m.RangeOfArea(0, 0, 150_000_000, 1),))
    assert refused.code is m.ErrorCode.AMPLITUDE_RANGE


@pytest.mark.timeout(20)
def test_a_range_that_leaves_the_limits_is_refused_from_its_top() -> None:
    host = bench("bench")
    host.hello()
    nothing = image(host.core.profile.capabilities.grid, amplitude_na=0)
    refused = host.load(nothing, (m.RangeOfArea(0, 0, 150_000_000, 10_000),))
    assert refused.code is m.ErrorCode.DEVICE_LIMIT


def test_a_token_does_not_tell_the_next_one() -> None:
    # splitmix64, the generator of the line's faults, can be run backwards from one output.
    mask = (1 << 64) - 1

    def unshift(value: int, places: int) -> int:
        found = value
        for _ in range(64 // places + 1):
            found = value ^ (found >> places)
        return found

    host = bench(seed=5)
    host.hello()
    host.load(scs())
    host.beat()
    first, second = host.arm(scs()).token, host.arm(scs()).token
    for guess in (first - 1, first, first + 1):
        state = unshift(guess & mask, 31) * pow(0x94D049BB133111EB, -1, 1 << 64) & mask
        state = unshift(state, 27) * pow(0xBF58476D1CE4E5B9, -1, 1 << 64) & mask
        state = (unshift(state, 30) + 0x9E3779B97F4A7C15) & mask
        mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & mask
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & mask
        assert abs((mixed ^ (mixed >> 31)) - second) > 2


def test_no_number_of_the_log_is_given_twice_across_a_reset() -> None:
    host = bench()
    host.hello()
    host.load(scs())
    host.beat()
    host.arm(scs())
    before = {one.index: one for one in host.send(m.EventLog(1, 24)).records}
    host.core.restart()
    host.hello(nonce=2)
    after = {one.index: one for one in host.send(m.EventLog(1, 24)).records}
    assert before.keys() < after.keys()
    assert all(after[index] == record for index, record in before.items())


def test_a_memory_without_one_whole_document_is_a_fault_not_a_new_device() -> None:
    medium = MemoryMedium()
    host = bench(medium=medium)
    host.start(scs())
    host.live(500)
    host.send(m.Stop())
    host.live(300)
    for bank in (0, 1):
        if len(medium.data) > bank * BANK_BYTES:
            medium.data[bank * BANK_BYTES + 40] ^= 1
    host.core.restart()
    # Who may speak to it is lost, too: without a key nobody may any more.
    refused = host.send(m.Hello(HOST, 2, m.Role.CONTROL, bytes(16)), session=0)
    assert (refused.code, refused.state) == (m.ErrorCode.AUTHENTICATION_REQUIRED, m.DeviceState.FAULT)
    assert host.core.memory.fault == m.FaultCode.MEMORY


def test_a_new_memory_is_no_fault() -> None:
    assert bench(medium=MemoryMedium()).core.state is m.DeviceState.IDLE


@pytest.mark.hazard("replug")
def test_a_lead_out_and_in_between_two_pulses_does_not_resume() -> None:
    host = bench()
    host.start(scs(rate_hz=2))
    host.live(3000)
    given = host.core.delivery.engine.totals().areas[0].pulses  # type: ignore[union-attr]
    host.core.inject("unplug-lead", host.now_ns + 10 * MS)
    host.core.inject("plug-lead", host.now_ns + 300 * MS)
    host.live(200)
    held = host.send(m.Clear(m.StopCause.FAULT, m.FaultCode.LEAD_UNPLUGGED))
    assert held.code is m.ErrorCode.CAUSE_PRESENT
    host.live(2800)
    status = host.send(m.Status())
    assert (status.state, status.fault) == (m.DeviceState.FAULT, m.FaultCode.LEAD_UNPLUGGED)
    assert host.send(m.Dose(0)).areas[0].pulses <= given + 1
    cleared = host.send(m.Clear(m.StopCause.FAULT, m.FaultCode.LEAD_UNPLUGGED))
    assert isinstance(cleared, m.ClearReply)


def test_a_measurement_that_is_stopped_counts_what_it_gave() -> None:
    host = bench()
    host.measure()
    host.wait(26)
    host.send(m.Stop())
    contacts = host.send(m.Counters(1)).contacts
    assert contacts[0].cathodic_nc == 4 * 25
    assert contacts[1].cathodic_nc == 2 * 25


def test_a_token_that_was_dropped_is_invalid_and_not_expired() -> None:
    host = bench()
    host.hello()
    host.load(scs())
    host.beat()
    armed = host.arm(scs())
    host.send(m.SoftStop())
    assert host.send(m.Fire(armed.token, armed.dose_count)).code is m.ErrorCode.TOKEN_INVALID
    armed = host.arm(scs())
    host.live(2100)
    assert host.send(m.Fire(armed.token, armed.dose_count)).code is m.ErrorCode.TOKEN_EXPIRED


def test_a_fault_at_a_contact_the_device_lacks_is_refused() -> None:
    with pytest.raises(ConfigError):
        bench().core.inject("open:200", 0)


def test_a_dose_that_lost_its_supply_does_not_end_before_it_began() -> None:
    host = bench()
    host.start(scs())
    host.live(2900)
    host.core.restart()
    host.hello(nonce=2)
    dose = host.send(m.Dose(0))
    assert dose.stop_cause is m.StopCause.POWER_LOST
    assert 1_900_000 < dose.end_tick - dose.start_tick <= 2_900_000


def test_a_dose_that_lost_its_supply_at_once_lasted_no_time() -> None:
    host = bench()
    host.start(scs())
    host.core.restart()
    host.hello(nonce=2)
    dose = host.send(m.Dose(0))
    assert dose.end_tick == dose.start_tick


@pytest.mark.hazard("rounding")
def test_what_the_gate_approves_between_two_steps_the_device_takes() -> None:
    leads = (lead("octrode"),)
    text = OFF_THE_GRID
    capabilities = profile("scs").capabilities
    schedule = compile_program(parse_program(text), capabilities.grid)
    verdict = check(schedule, leads, capabilities)
    approved = approve(verdict, dict.fromkeys(verdict.to_acknowledge, "a test on a simulated device"))
    host = bench()
    host.hello()
    ranges = tuple(m.RangeOfArea(r.area, r.min_na, r.max_na, r.step_na) for r in approved.ranges)
    assert isinstance(host.load(approved.image, ranges), m.LoadCommitReply)


def test_a_range_whose_steps_miss_the_setting_is_refused_by_the_host() -> None:
    capabilities = profile("scs").capabilities
    schedule = compile_program(parse_program(OFF_THE_GRID), capabilities.grid)
    with pytest.raises(ConfigError) as caught:
        check(schedule, (lead("octrode"),), capabilities, ranges=[AmplitudeRange(0, 0, 2_000_000, 10_000)])
    assert "whole steps" in str(caught.value)


def test_a_disk_that_takes_no_record_does_not_end_the_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "traces"
    host = bench(traces=TraceFiles(folder, "T"))
    host.start(scs())
    host.live(600)
    folder.rmdir()
    assert isinstance(host.send(m.Stop()), m.StopReply)
    host.live(500)
    assert host.send(m.Status()).state is m.DeviceState.STOPPED
    assert "the record of dose 1 is lost" in capsys.readouterr().err
