"""The clinic's side of use at home, against the simulated device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from neurostim.core.errors import ConfigError, DeliveryUncertain, SafetyError, TransportError
from neurostim.core.program_file import load_preset
from neurostim.device import CommandFuture, CommandRefused, DeviceKey
from neurostim.device.home import HomeCommands
from neurostim.electrode.library import lead
from neurostim.safety.approval import ApprovedProgram
from neurostim.safety.context import AmplitudeRange
from neurostim.session import Session
from neurostim.session.home import HomeSession, release_of
from neurostim.session.journal import read_journal
from neurostim.session.usage_file import read_usage
from neurostim.wire.messages import ErrorCode, FaultCode, SlotState, StopCause, UsageKind
from neurostim.wire.pairing import parse_code
from neurostim_sim.home.controls import Button
from support.simulated_device import SimulatedDevice
from support.virtual_stimulator import VirtualStimulator

S = 1_000_000_000
SUBJECT = "S-014"
WEEK_S = 7 * 86_400


class Clinic:
    """A device with a key, in virtual time, and the journals of everything done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.device = SimulatedDevice("scs")
        serial = self.device.core.profile.capabilities.serial_number
        first = VirtualStimulator(self.device)
        told = first.pair(parse_code(self.device.core.label_code), serial)
        self.key = DeviceKey(serial, told.host_key, (1).to_bytes(16, "big"))
        self.stimulator = VirtualStimulator(self.device, first.clock, key=self.key)
        self.stimulator.open()
        self.approved: list[tuple[int, str, ApprovedProgram]] = []

    def home(self, subject: str | None = SUBJECT) -> HomeSession:
        return HomeSession(
            self.stimulator, None, (), self.folder, subject=subject, clock=self.stimulator.clock
        )

    def assign(self) -> None:
        with self.home(subject=None) as session:
            session.assign(SUBJECT)

    def load(self, slot: int, name: str, preset: str = "tonic", width_na: int = 500_000) -> None:
        program = load_preset(preset)
        leads = [lead(one) for one in program.leads]
        setting = program.areas[0].amplitude
        assert isinstance(setting, int)
        ranges = [AmplitudeRange(0, setting - width_na, setting, 100_000)]
        clock = self.stimulator.clock
        with Session(
            self.stimulator, program, leads, self.folder, slot=slot, subject=SUBJECT, clock=clock
        ) as session:
            session.measure()
            verdict = session.check(ranges)
            session.approve(dict.fromkeys(verdict.to_acknowledge, "a test without a person"))
            session.load()
            assert session.approved is not None
            self.approved.append((slot, name, session.approved))

    def release(self, expires_s: int | None = WEEK_S) -> None:
        with self.home() as session:
            session.release(release_of(SUBJECT, self.approved, expires_s=expires_s))

    def leave(self) -> None:
        """The patient goes: nobody listens any more."""
        self.stimulator.core.shut_down(self.stimulator.clock.now_ns)
        self.pass_time(10)

    def pass_time(self, seconds: float) -> None:
        clock = self.stimulator.clock
        clock.now_ns += round(seconds * S)
        self.device.advance(clock.now_ns)
        self.device.take_output()

    def come_back(self) -> None:
        self.stimulator = VirtualStimulator(self.device, self.stimulator.clock, key=self.key, host=1)
        self.stimulator.open()


@pytest.fixture
def clinic(tmp_path):
    one = Clinic(tmp_path)
    one.assign()
    return one


@pytest.mark.hazard("reuse")
def test_from_assignment_to_retirement_everything_is_on_record(clinic, tmp_path):
    clinic.load(0, "Walking")
    clinic.load(1, "Resting")
    clinic.release()
    clinic.leave()
    core = clinic.device.core
    core.press(Button.START)
    clinic.pass_time(3600)
    core.press(Button.STOP)
    clinic.pass_time(10)
    clinic.come_back()
    with clinic.home() as session:
        assert not session.end_output()
        log = session.read_usage(tmp_path / "usage.jsonl")
        number = session.take_back(SUBJECT, log)
        assert number == 1
        again = session.read_usage(tmp_path / "later.jsonl")
        session.retire(SUBJECT, again, "wiped with isopropanol")
        held = session._stimulator.slot(0).result()
    kinds = {record.kind for record in log.records}
    assert {UsageKind.RELEASED, UsageKind.START, UsageKind.STOP, UsageKind.HOUR_ON} <= kinds
    assert read_usage(tmp_path / "usage.jsonl") == log
    assert held.state is SlotState.EMPTY
    told = [
        record.kind
        for path in sorted(tmp_path.glob("*.journal.jsonl"), key=lambda path: path.stat().st_mtime_ns)
        for record in read_journal(path).records
    ]
    wanted = ["assigned", "loaded", "loaded", "release_intended", "released"]
    wanted += ["usage_read", "taken_back", "usage_read", "retire_intended", "retired"]
    assert [kind for kind in told if kind in wanted] == wanted


def test_a_release_whose_answer_is_lost_is_uncertain_and_says_what_to_read(clinic, monkeypatch):
    clinic.load(0, "Walking")
    lost = CommandFuture("RELEASE")
    lost.fail(TransportError("the link is gone", code="link-lost"))
    monkeypatch.setattr(HomeCommands, "release", lambda *_: lost)
    with pytest.raises(DeliveryUncertain) as told:
        clinic.release()
    assert told.value.code == "release-uncertain"
    assert "neurostim devices" in told.value.remedy


@pytest.mark.hazard("home-tamper")
def test_a_host_changes_nothing_at_home_and_its_stop_still_works(clinic):
    clinic.load(0, "Walking")
    clinic.release()
    clinic.leave()
    core = clinic.device.core
    core.press(Button.START)
    clinic.pass_time(10)
    clinic.come_back()
    with pytest.raises(CommandRefused) as refused:
        clinic.stimulator.home.release(release_of(SUBJECT, clinic.approved, expires_s=60), 0).result()
    assert refused.value.refusal is ErrorCode.AUTONOMOUS
    with pytest.raises(CommandRefused) as refused:
        clinic.stimulator.clear(StopCause.STOP, FaultCode.NONE).result()
    assert refused.value.refusal is ErrorCode.AUTONOMOUS
    state = clinic.stimulator.home.release_state().result()
    assert state.autonomous
    assert clinic.stimulator.status().result().output_on
    clinic.stimulator.stop().result()
    clinic.pass_time(1)
    assert not core.output_on


@pytest.mark.hazard("home-tamper")
def test_a_start_that_is_refused_at_home_leaves_what_the_patient_started(clinic):
    clinic.load(0, "Walking")
    clinic.release()
    clinic.leave()
    core = clinic.device.core
    core.press(Button.START)
    clinic.pass_time(10)
    clinic.come_back()
    program = load_preset("tonic")
    leads = [lead(one) for one in program.leads]
    clock = clinic.stimulator.clock
    with Session(clinic.stimulator, program, leads, clinic.folder, subject=SUBJECT, clock=clock) as session:
        with pytest.raises(CommandRefused) as refused:
            session.measure()
        path = session.journal_path
    assert refused.value.refusal is ErrorCode.AUTONOMOUS
    assert "start_failed" in [record.kind for record in read_journal(path).records]
    clinic.leave()
    assert core.output_on


@pytest.mark.hazard("wrong-device")
def test_another_subject_is_refused_until_the_device_is_retired(clinic):
    with pytest.raises(CommandRefused) as refused:
        clinic.stimulator.home.work_for("S-015").result()
    assert refused.value.refusal is ErrorCode.SUBJECT_MISMATCH
    with pytest.raises(CommandRefused) as refused:
        clinic.stimulator.home.assign("S-015").result()
    assert refused.value.refusal is ErrorCode.ASSIGNED
    program = load_preset("tonic")
    clock = clinic.stimulator.clock
    with Session(
        clinic.stimulator, program, [lead(n) for n in program.leads], clinic.folder, clock=clock
    ) as session:
        session.measure()
        verdict = session.check()
        session.approve(dict.fromkeys(verdict.to_acknowledge, "a test without a person"))
        session.load()
        with pytest.raises(CommandRefused) as refused:
            session.start()
    assert refused.value.refusal is ErrorCode.SUBJECT_MISMATCH


def test_what_was_not_read_is_not_taken_back(clinic, tmp_path):
    clinic.load(0, "Walking")
    clinic.release()
    clinic.leave()
    clinic.come_back()
    with clinic.home() as session:
        log = session.read_usage(tmp_path / "usage.jsonl")
        with pytest.raises(CommandRefused) as refused:
            session.take_back(SUBJECT, replace(log, sha256=bytes(32)))
    assert refused.value.refusal is ErrorCode.USAGE_UNREAD


@pytest.mark.hazard("no-expiry")
def test_output_at_home_ends_with_the_release(clinic):
    clinic.load(0, "Walking")
    clinic.release(expires_s=None)
    clinic.leave()
    core = clinic.device.core
    core.press(Button.START)
    clinic.pass_time(1100)
    assert core.output_on
    clinic.pass_time(110)
    assert not core.output_on
    core.press(Button.START)
    clinic.pass_time(5)
    assert not core.output_on


@pytest.mark.hazard("no-expiry")
@pytest.mark.parametrize("expires_s", [0, -1, 90 * 86_400 + 1])
def test_a_release_without_an_end_is_not_made(clinic, expires_s):
    clinic.load(0, "Walking")
    with pytest.raises(ConfigError) as refused:
        release_of(SUBJECT, clinic.approved, expires_s=expires_s)
    assert refused.value.problems[0].place == "expiry"


def test_two_programs_of_one_name_and_none_at_all_are_not_released(clinic):
    with pytest.raises(ConfigError):
        release_of(SUBJECT, [], expires_s=60)
    clinic.load(0, "Walking")
    clinic.load(1, "Walking")
    with pytest.raises(ConfigError):
        release_of(SUBJECT, clinic.approved, expires_s=60)


def test_only_what_the_gate_approved_is_released(clinic):
    with pytest.raises((SafetyError, AttributeError, TypeError)):
        release_of(SUBJECT, [(0, "Walking", object())], expires_s=60)


@pytest.mark.parametrize("code", ["", " ", "x" * 33, "Zoë", "a\nb"])
def test_a_subject_is_a_short_printable_code(clinic, code):
    with pytest.raises(ConfigError):
        clinic.stimulator.home.assign(code)
