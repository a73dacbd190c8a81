"""A session from identifying to reconciling, and everything that can go wrong on its way."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from neurostim.core.errors import (
    CommandTimeout,
    ConfigError,
    DeliveryUncertain,
    NeurostimError,
    ProtocolError,
    SafetyError,
    TransportError,
)
from neurostim.core.image import Grid
from neurostim.core.program_file import parse_program
from neurostim.device import Notice, NoticeKind
from neurostim.electrode.library import lead
from neurostim.safety.interlock import State
from neurostim.session import (
    JournalError,
    Session,
    SessionError,
    Stage,
    in_flight,
    read_journal,
    resolve_by_decision,
    resolve_with_device,
)
from neurostim.session.adapters import DurableFile, open_durable
from neurostim.wire import messages as m
from neurostim.wire.messages import DeviceState, FaultCode, Role, StopCause
from support.scripted_device import BENCH, ScriptedDevice, with_serial
from support.virtual_stimulator import VirtualStimulator

S = 1_000_000_000
MS = 1_000_000

PROGRAM = parse_program("""
format = "neurostim-program/1"
name = "session test"
therapy = "scs"
lead = "octrode"
duration = "20 s"
[[area]]
amplitude = "1 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "200 us", interphase = "50 us", recharge = "active-symmetric" }
train = { rate = "40 Hz" }
ramp = { up = "1 s", down = "1 s" }
""")

CAPABILITIES = replace(BENCH, grid=Grid.of(1000, 50_000))


class Bench:
    """A device, a stimulator in virtual time, and a folder for journals."""

    def __init__(self, folder: Path, device: ScriptedDevice | None = None) -> None:
        self.device = device or ScriptedDevice(CAPABILITIES)
        self.stimulator = VirtualStimulator(self.device)
        self.stimulator.open()
        self.folder = folder

    def session(self, **more) -> Session:
        return Session(
            self.stimulator, PROGRAM, [lead("octrode")], self.folder, clock=self.stimulator.clock, **more
        )

    def delivering(self, **more) -> Session:
        session = self.session(**more)
        session.open()
        to_start(session)
        session.start()
        return session

    def again(self) -> VirtualStimulator:
        """A new program instance on the same device, later."""
        clock = self.stimulator.clock
        clock.now_ns += 6 * S
        self.device.advance(clock.now_ns)
        self.device.links.clear()
        fresh = VirtualStimulator(self.device, clock)
        fresh.open()
        return fresh

    def settle(self, stimulator: VirtualStimulator):
        start = in_flight(self.folder)[0]
        clock = stimulator.clock
        return resolve_with_device(
            start, stimulator, monotonic_ns=clock.monotonic_ns, wall_text=clock.wall_text
        )


@pytest.fixture
def bench(tmp_path) -> Bench:
    return Bench(tmp_path)


def to_start(session: Session) -> None:
    session.measure()
    session.check()
    session.approve()
    session.load()


def kinds(session: Session) -> list[str]:
    return [record.kind for record in read_journal(session.journal_path).records]


def starts(device: ScriptedDevice) -> int:
    return sum(isinstance(request, m.Fire) for request in device.executed)


def lose(device: ScriptedDevice, *types: type) -> None:
    device.treat = lambda request, reply: [] if isinstance(request, types) else [(0, reply)]


# The whole way.


def test_a_dose_to_its_end_agrees_with_schedule_journal_and_device(bench) -> None:
    with bench.session() as session:
        to_start(session)
        started = session.start()
        session.run_for(30)
        assert not session.delivering
        assert session.stop_cause is StopCause.COMPLETED
        found = session.finish()
    assert found.agrees, found.disagreements
    assert found.dose_number == started.dose_number == 2
    assert kinds(session)[-2:] == ["reconciled", "closed"]
    assert in_flight(bench.folder) == ()


def test_a_soft_stop_ramps_down_and_reconciles(bench) -> None:
    with bench.session() as session:
        to_start(session)
        session.start()
        session.run_for(3)
        assert session.live is not None
        assert session.live.elapsed_ns >= 2 * S
        session.soft_stop()
        assert bench.device.cause is StopCause.SOFT_STOP
        assert session.finish().agrees
        assert bench.device.state is DeviceState.IDLE


def test_a_second_dose_can_be_started_after_the_first_is_reconciled(bench) -> None:
    with bench.session() as session:
        to_start(session)
        for _ in range(2):
            session.start()
            session.run_for(1)
            session.soft_stop()
            assert session.finish().agrees
    assert starts(bench.device) == 2


@pytest.mark.hazard("disk")
def test_the_start_is_on_the_disk_before_it_is_sent(bench) -> None:
    session = bench.session()
    seen: list[list[str]] = []

    def deaf(request) -> bool:
        if isinstance(request, (m.Fire, m.ImpedanceFire)):
            seen.append(kinds(session))
        return False

    bench.device.deaf = deaf
    with session:
        to_start(session)
        session.start()
        session.stop()
    assert [names[-1] for names in seen] == ["start_intended", "start_intended"]


def test_the_verdict_uses_the_measured_impedances(bench) -> None:
    bench.device.contact_reading = lambda contact: m.ContactReading(
        contact, m.ContactStatus.OPEN, 90_000, 90_000, 100_000, 4
    )
    with bench.session() as session:
        session.measure()
        verdict = session.check()
        assert verdict.refused
        with pytest.raises(SafetyError):
            session.approve()
        with pytest.raises(SessionError):
            session.load()
    assert starts(bench.device) == 0


@pytest.mark.parametrize(
    ("before", "step"),
    [
        ([], "check"),
        ([], "approve"),
        ([], "load"),
        ([], "start"),
        (["measure"], "load"),
        (["measure", "check"], "start"),
        (["measure", "check", "approve"], "start"),
        ([], "finish"),
        ([], "reconnect"),
    ],
)
def test_no_step_can_be_skipped(bench, before, step) -> None:
    with bench.session() as session:
        for name in before:
            getattr(session, name)()
        with pytest.raises(SessionError) as caught:
            getattr(session, step)()
        assert caught.value.code == "session-order"
    assert starts(bench.device) == 0


def test_a_closed_session_does_nothing(bench) -> None:
    session = bench.session()
    for step in (session.measure, session.watch, session.soft_stop):
        with pytest.raises(SessionError):
            step()
    session.close()


def test_leads_that_the_device_has_no_contacts_for_are_refused(tmp_path) -> None:
    few = replace(CAPABILITIES, ports=(replace(CAPABILITIES.ports[0], contact_count=4),))
    bench = Bench(tmp_path, ScriptedDevice(few))
    with bench.session() as session, pytest.raises(ConfigError, match="5, 6, 7, 8"):
        session.measure()
    assert bench.device.dose_count == 0


@pytest.mark.hazard("leads-swapped")
@pytest.mark.hazard("wrong-device")
def test_leads_that_are_not_those_of_the_program_are_refused(bench) -> None:
    other = [lead("linear-8")]
    with Session(bench.stimulator, PROGRAM, other, bench.folder, clock=bench.stimulator.clock) as session:
        session.measure()
        with pytest.raises(ConfigError, match="linear-8") as caught:
            session.check()
    assert caught.value.code == "lead-mismatch"


def test_a_session_still_delivering_is_told_apart_from_a_crash(bench) -> None:
    running = bench.delivering()
    second = bench.session()
    with pytest.raises(JournalError) as caught:
        second.open()
    assert caught.value.code == "journal-locked"
    running.stop()
    running.finish()
    running.close()


def test_a_device_that_tells_another_digest_is_not_started(bench) -> None:
    def treat(request, reply):
        if isinstance(reply, (m.SlotInfoReply, m.LoadCommitReply)):
            values = {name: getattr(reply, name) for name in reply.__slots__}
            return [(0, type(reply)(**{**values, "image_sha256": b"x" * 32}))]
        return [(0, reply)]

    bench.device.treat = treat
    with bench.session() as session:
        session.measure()
        session.check()
        session.approve()
        with pytest.raises(ProtocolError) as caught:
            session.load()
        assert caught.value.code == "digest-mismatch"
        with pytest.raises(SessionError):
            session.start()
    assert starts(bench.device) == 0


def test_an_observer_starts_nothing(bench) -> None:
    second = VirtualStimulator(bench.device, bench.stimulator.clock, host=2)
    second.open()
    assert second.role is Role.OBSERVE
    session = Session(second, PROGRAM, [lead("octrode")], bench.folder, clock=second.clock)
    with session, pytest.raises(SessionError) as caught:
        session.measure()
    assert caught.value.code == "session-role"
    assert bench.device.dose_count == 0


# Amplitude.


def test_amplitude_moves_in_single_approved_steps_on_record(bench) -> None:
    session = bench.delivering()
    assert session.amplitude(0) == 1_000_000
    assert session.step_down(0) == 950_000
    assert session.step_up(0) == 1_000_000
    assert session.set_amplitude(0, 500_000) == 500_000
    assert session.set_amplitude(0, 500_000) == 500_000
    session.run_for(1)
    session.soft_stop()
    session.finish()
    session.close()
    names = [name for name in kinds(session) if name.startswith("amplitude")]
    assert names == ["amplitude_intended", "amplitude_set"] * 3


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1_050_000, "amplitude-range"),
        (975_000, "amplitude-range"),
        (-50_000, "amplitude-range"),
        (True, "amplitude-range"),
        (9.5e5, "amplitude-range"),
    ],
)
def test_an_amplitude_outside_the_approved_levels_is_never_sent(bench, value, code) -> None:
    session = bench.delivering()
    with pytest.raises(SafetyError) as caught:
        session.set_amplitude(0, value)
    session.stop()
    session.close()
    assert caught.value.code == code
    assert not any(isinstance(request, m.SetAmplitude) for request in bench.device.received)


@pytest.mark.hazard("step")
def test_more_than_one_step_up_is_refused(bench) -> None:
    session = bench.delivering()
    session.set_amplitude(0, 500_000)
    with pytest.raises(SessionError) as caught:
        session.set_amplitude(0, 600_000)
    assert caught.value.code == "session-step"
    session.stop()
    session.close()


@pytest.mark.hazard("step")
def test_at_most_three_steps_up_in_any_second_and_downward_freely(bench) -> None:
    session = bench.delivering()
    session.set_amplitude(0, 0)
    for _ in range(3):
        session.step_up(0)
    with pytest.raises(SessionError) as caught:
        session.step_up(0)
    assert caught.value.code == "session-pace"
    for _ in range(3):
        session.step_down(0)
    session.run_for(1.0)
    session.step_up(0)
    session.stop()
    session.close()


def test_an_area_that_is_not_there_is_refused(bench) -> None:
    session = bench.delivering()
    with pytest.raises(SessionError) as caught:
        session.step_up(1)
    assert caught.value.code == "session-range"
    session.stop()
    session.close()


def test_a_lost_amplitude_answer_is_resolved_by_the_devices_record(bench) -> None:
    session = bench.delivering()
    lose(bench.device, m.SetAmplitude)
    assert session.step_down(0) == 950_000
    assert sum(isinstance(one, m.SetAmplitude) for one in bench.device.received) == 1
    session.stop()
    session.close()


def test_an_uncertain_amplitude_stops_the_output(bench) -> None:
    session = bench.delivering()
    lose(bench.device, m.SetAmplitude, m.QueryCommand)
    with pytest.raises(DeliveryUncertain):
        session.step_down(0)
    assert bench.device.state is DeviceState.STOPPED
    session.close()


def test_a_device_that_sets_another_amplitude_is_stopped(bench) -> None:
    session = bench.delivering()

    def treat(request, reply):
        if isinstance(reply, m.SetAmplitudeReply):
            return [(0, m.SetAmplitudeReply(reply.dose_number, reply.area, reply.amplitude_na + 1, 1))]
        return [(0, reply)]

    bench.device.treat = treat
    with pytest.raises(ProtocolError) as caught:
        session.step_down(0)
    assert caught.value.code == "amplitude-not-set"
    assert bench.device.state is DeviceState.STOPPED
    session.close()


# Uncertain starts, and never a second dose.


@pytest.mark.hazard("double-dose")
def test_a_lost_fire_acknowledgement_is_resolved_and_delivers_once(bench) -> None:
    with bench.session() as session:
        to_start(session)
        lose(bench.device, m.Fire)
        started = session.start()
        assert started.dose_number == 2
        session.run_for(1)
        session.soft_stop()
        assert session.finish().agrees
    assert starts(bench.device) == 1
    assert bench.device.dose_count == 2


def test_a_fire_that_never_arrived_failed_for_certain_and_can_be_repeated(bench) -> None:
    with bench.session() as session:
        to_start(session)
        bench.device.deaf = lambda request: isinstance(request, m.Fire)
        with pytest.raises(CommandTimeout):
            session.start()
        assert bench.device.dose_count == 1
        assert kinds(session)[-1] == "start_failed"
        bench.device.deaf = lambda request: False
        session.run_for(0.1)
        assert session.start().dose_number == 2
        session.stop()


def test_an_unresolved_fire_is_stopped_and_settled_by_the_dose_count(bench) -> None:
    with bench.session() as session:
        to_start(session)
        lose(bench.device, m.Fire, m.QueryCommand)
        with pytest.raises(DeliveryUncertain):
            session.start()
        assert bench.device.state is DeviceState.STOPPED
        assert "resolved" in kinds(session)
        assert not session.delivering
    assert starts(bench.device) == 1
    assert in_flight(bench.folder) == ()


def test_a_mute_device_leaves_the_start_in_flight_and_blocks_the_next(bench) -> None:
    session = bench.session()
    session.open()
    to_start(session)

    def deaf(request) -> bool:
        if isinstance(request, m.Fire):
            bench.device.treat = lambda request, reply: []
            bench.device.mute_events = True
        return False

    bench.device.deaf = deaf
    with pytest.raises(NeurostimError):
        session.start()
    session.close()
    bench.device.treat = lambda request, reply: [(0, reply)]
    bench.device.mute_events = False
    fresh = bench.again()
    assert not bench.device.output_on
    blocked = Session(fresh, PROGRAM, [lead("octrode")], bench.folder, clock=fresh.clock)
    with pytest.raises(SessionError) as caught:
        blocked.open()
    assert caught.value.code == "session-in-flight"
    resolution = bench.settle(fresh)
    assert resolution.delivered
    blocked.open()
    blocked.close()
    assert starts(bench.device) == 1


def test_a_fire_refused_by_the_device_is_a_certain_failure(bench) -> None:
    with bench.session() as session:
        to_start(session)

        def treat(request, reply):
            if isinstance(request, m.Arm):
                bench.device.token = None
            return [(0, reply)]

        bench.device.treat = treat
        with pytest.raises(NeurostimError) as caught:
            session.start()
        assert caught.value.code == "refused-token-invalid"
        assert kinds(session)[-1] == "start_failed"
        assert session.stage is Stage.LOADED


@pytest.mark.hazard("two-hosts")
def test_another_host_that_started_meanwhile_is_noticed_before_fire(bench) -> None:
    with bench.session() as session:
        to_start(session)

        def treat(request, reply):
            if isinstance(request, m.Counters):
                bench.device.dose_count += 1
            return [(0, reply)]

        bench.device.treat = treat
        with pytest.raises(SessionError) as caught:
            session.start()
        assert caught.value.code == "session-dose-count"
    assert starts(bench.device) == 0


# Stops, faults, loss.


def test_an_emergency_stop_is_confirmed_and_latches(bench) -> None:
    session = bench.delivering()
    confirmation = session.stop(emergency=True)
    assert confirmation.stop_cause is StopCause.EMERGENCY_STOP
    assert not session.delivering
    session.finish()
    with pytest.raises(NeurostimError) as caught:
        session.start()
    assert caught.value.code == "refused-latched"
    session.clear(StopCause.EMERGENCY_STOP)
    session.start()
    session.stop()
    session.close()


def test_a_latch_is_not_cleared_while_output_may_be_on(bench) -> None:
    session = bench.delivering()
    with pytest.raises(SessionError):
        session.clear(StopCause.STOP)
    session.stop()
    session.close()


def test_an_unconfirmed_stop_says_pull_the_cable_and_the_journal_keeps_it(bench) -> None:
    session = bench.delivering()
    bench.device.treat = lambda request, reply: []
    bench.device.mute_events = True
    with pytest.raises(DeliveryUncertain, match="Pull the lead cable"):
        session.stop()
    session.close()
    assert "stop_not_confirmed" in kinds(session)
    assert len(in_flight(bench.folder)) == 1


def test_a_fault_of_the_device_ends_the_dose_and_is_on_record(bench) -> None:
    session = bench.delivering()
    session.run_for(1)
    bench.device.latch_fault(FaultCode.OPEN_CIRCUIT)
    session.run_for(1)
    assert not session.delivering
    assert session.state is DeviceState.FAULT
    found = session.finish()
    assert found.agrees
    session.close()
    faults = [r.data for r in read_journal(session.journal_path).records if r.kind == "event"]
    assert faults[-1]["fields"]["fault"] == "OPEN_CIRCUIT"


@pytest.mark.hazard("resume")
def test_after_a_fault_nothing_starts_before_a_person_has_cleared_it(bench) -> None:
    session = bench.delivering()
    bench.device.latch_fault(FaultCode.OPEN_CIRCUIT)
    session.run_for(1)
    session.finish()
    arms = sum(isinstance(one, m.Arm) for one in bench.device.received)
    with pytest.raises(SafetyError) as caught:
        session.start()
    assert caught.value.code == "interlock"
    assert sum(isinstance(one, m.Arm) for one in bench.device.received) == arms
    session.clear(StopCause.FAULT, FaultCode.OPEN_CIRCUIT)
    session.start()
    session.stop()
    session.close()
    assert starts(bench.device) == 2


def test_a_slot_that_was_changed_between_two_doses_is_not_started(bench) -> None:
    session = bench.delivering()
    session.soft_stop()
    session.finish()
    bench.device.slots[0].digest = b"y" * 32
    with pytest.raises(ProtocolError) as caught:
        session.start()
    assert caught.value.code == "digest-mismatch"
    session.close()
    assert starts(bench.device) == 1


def test_nothing_starts_after_a_stop_that_nobody_confirmed(bench) -> None:
    session = bench.delivering()
    bench.device.treat = lambda request, reply: []
    bench.device.mute_events = True
    with pytest.raises(DeliveryUncertain):
        session.stop()
    assert session.interlock is State.UNCERTAIN
    bench.device.treat = lambda request, reply: [(0, reply)]
    bench.stimulator.pass_ns(100 * MS)
    with pytest.raises(NeurostimError):
        session.start()
    session.close()
    assert starts(bench.device) == 1


def test_an_exception_in_the_program_stops_the_output(bench) -> None:
    class Boom(Exception):
        pass

    session = bench.session()

    def whole() -> None:
        with session:
            to_start(session)
            session.start()
            session.run_for(1)
            raise Boom

    with pytest.raises(Boom):
        whole()
    assert bench.device.state is DeviceState.STOPPED
    assert kinds(session)[-1] == "closed"


@pytest.mark.parametrize("moment", ["measure", "check", "approve", "load", "start", "run"])
def test_ctrl_c_at_every_step_leaves_the_output_off(bench, moment) -> None:
    def interrupt(session: Session) -> None:
        for name in ("measure", "check", "approve", "load", "start"):
            getattr(session, name)()
            if name == moment:
                raise KeyboardInterrupt
        session.run_for(1)
        raise KeyboardInterrupt

    def whole() -> None:
        with bench.session() as session:
            interrupt(session)

    with pytest.raises(KeyboardInterrupt):
        whole()
    assert not bench.device.output_on


def test_ctrl_c_while_waiting_for_the_fire_answer_stops_the_output(bench) -> None:
    def whole() -> None:
        with bench.session() as session:
            to_start(session)

            def treat(request, reply):
                if isinstance(request, m.Fire):
                    raise KeyboardInterrupt
                return [(0, reply)]

            bench.device.treat = treat
            session.start()

    with pytest.raises(KeyboardInterrupt):
        whole()
    assert bench.device.dose_count == 2
    assert bench.device.state is DeviceState.STOPPED
    assert len(in_flight(bench.folder)) == 1


def test_a_caller_that_no_longer_watches_loses_the_output(bench) -> None:
    session = bench.delivering()
    bench.stimulator.pass_ns(2 * S)
    assert not bench.device.output_on
    assert bench.device.cause is StopCause.DEAD_MAN
    session.watch()
    assert not session.delivering
    assert session.finish().agrees
    session.close()


STEPS = ["measure", "check", "approve", "load", "start", "run", "soft_stop", "finish"]


@pytest.mark.hazard("cable")
@pytest.mark.parametrize("moment", STEPS)
def test_a_cable_pulled_at_any_step_ends_silent_accounted_for_and_never_resumes(bench, moment) -> None:
    session = bench.session()
    session.open()
    actions = {
        "run": lambda: session.run_for(1),
        "start": session.start,
        **{name: getattr(session, name) for name in ("measure", "check", "approve", "load")},
        "soft_stop": session.soft_stop,
        "finish": session.finish,
    }
    for name in STEPS:
        if name == moment:
            bench.stimulator.unplug()
            if name == "run":
                actions[name]()
            elif name not in ("check", "approve"):
                with pytest.raises((TransportError, DeliveryUncertain, CommandTimeout)):
                    actions[name]()
            break
        actions[name]()
    doses = bench.device.dose_count
    session.watch()
    assert session.stage is Stage.LOST
    bench.stimulator.pass_ns(S)
    assert not bench.device.output_on
    session.reconnect()
    assert bench.stimulator.role is Role.OBSERVE
    for step in (session.measure, session.start):
        with pytest.raises(SessionError):
            step()
    if STEPS.index(moment) >= STEPS.index("run"):
        assert session.finish().agrees
    session.close()
    bench.stimulator.pass_ns(S)
    assert not bench.device.output_on
    assert bench.device.dose_count == doses
    assert in_flight(bench.folder) == ()


def test_reconnecting_to_a_device_that_still_delivers_stops_it(bench) -> None:
    session = bench.delivering()
    bench.stimulator.unplug()
    session.watch()
    bench.device.living_ns = bench.stimulator.clock.now_ns + 60 * S
    session.reconnect()
    assert bench.device.state is DeviceState.STOPPED
    session.close()


def test_a_reset_of_the_device_in_mid_dose_is_told_and_reconciled(bench) -> None:
    session = bench.delivering()
    session.run_for(1)
    bench.device.reset()
    session.run_for(1)
    assert session.stage is Stage.LOST
    session.reconnect()
    found = session.finish()
    assert found.agrees, found.disagreements
    assert any("reset" in remark for remark in found.remarks)
    session.close()


# The device counts otherwise.


def test_counters_that_disagree_are_found(bench) -> None:
    session = bench.delivering()
    session.run_for(3)
    session.soft_stop()
    honest = bench.device._areas

    def generous(dose):
        return tuple(replace_area(area, pulses=area.pulses + 500) for area in honest(dose))

    bench.device._areas = generous
    found = session.finish()
    assert not found.agrees
    assert [one.what for one in found.disagreements] == ["area 0: pulses"]
    session.close()


def replace_area(area: m.AreaDose, **changes) -> m.AreaDose:
    values = {name: getattr(area, name) for name in area.__slots__}
    return m.AreaDose(**{**values, **changes})


# The disk.


class FullDisk:
    """Fails at the n-th write, and counts those before it."""

    def __init__(self, fail_at: int) -> None:
        self.fail_at = fail_at
        self.writes = 0

    def open(self, path: Path, *, new: bool) -> DurableFile:
        inner = open_durable(path, new=new)
        plain = inner.write

        def write(data: bytes) -> int:
            self.writes += 1
            if self.writes >= self.fail_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return plain(data)

        inner.write = write  # type: ignore[method-assign]
        return inner


def whole_session(bench: Bench, disk: FullDisk) -> None:
    with bench.session(opener=disk.open) as session:
        to_start(session)
        session.start()
        session.run_for(2)
        session.step_down(0)
        session.soft_stop()
        session.finish()


@pytest.mark.hazard("disk")
def test_a_disk_full_at_any_write_ends_in_silence_with_nothing_delivered_unrecorded(tmp_path) -> None:
    counting = FullDisk(1 << 30)
    whole_session(Bench(tmp_path / "count"), counting)
    assert counting.writes > 20
    for nth in range(1, counting.writes):
        folder = tmp_path / str(nth)
        bench = Bench(folder)
        with pytest.raises(JournalError) as caught:
            whole_session(bench, FullDisk(nth))
        assert caught.value.code == "journal-write"
        assert not bench.device.output_on
        announced = [
            record
            for path in folder.glob("*.jsonl")
            for record in read_journal(path).records
            if record.kind == "start_intended"
        ]
        assert bench.device.dose_count <= len(announced)


def test_a_journal_that_fails_in_mid_dose_stops_the_output_before_the_caller_hears_of_it(bench) -> None:
    disk = FullDisk(1 << 30)
    session = bench.delivering(opener=disk.open)
    session.run_for(1)
    disk.fail_at = disk.writes + 1
    with pytest.raises(JournalError):
        session.run_for(5)
    assert bench.device.state is DeviceState.STOPPED
    assert not session.delivering
    session.close()


# After a crash.


def crash(bench: Bench, session: Session) -> None:
    """The program dies here: nothing is closed, the system drops the lock."""
    session._journal._lock.release()
    session._journal._file.close()


def test_a_crash_in_mid_dose_is_found_and_settled_with_the_devices_counters(bench) -> None:
    session = bench.delivering()
    session.run_for(2)
    crash(bench, session)
    fresh = bench.again()
    (start,) = in_flight(bench.folder)
    assert (start.kind, start.confirmed_dose, start.expected_dose_count) == ("stimulation", 2, 1)
    assert start.serial_number == "TEST-0001"
    resolution = bench.settle(fresh)
    assert resolution.delivered is True
    assert "dead_man" in resolution.text
    assert resolution.evidence["areas"][0]["pulses"] > 50
    assert in_flight(bench.folder) == ()
    read_journal(start.path)


def test_a_crash_between_announcing_and_sending_is_settled_as_not_delivered(bench) -> None:
    session = bench.session()
    session.open()
    to_start(session)
    session._announce("stimulation", 1, session.approved.image_sha256.hex(), {})
    crash(bench, session)
    resolution = bench.settle(bench.again())
    assert resolution.delivered is False
    assert bench.device.dose_count == 1


def test_a_crash_is_not_settled_by_another_device_or_while_output_is_on(bench) -> None:
    session = bench.delivering()
    crash(bench, session)
    clock = bench.stimulator.clock
    other = VirtualStimulator(ScriptedDevice(with_serial("TEST-0002")), clock)
    other.open()
    with pytest.raises(SessionError, match="TEST-0002"):
        bench.settle(other)
    with pytest.raises(SessionError, match="output"):
        bench.settle(bench.stimulator)
    assert len(in_flight(bench.folder)) == 1


def test_counters_that_went_backwards_need_a_decision_with_a_reason(bench) -> None:
    session = bench.delivering()
    crash(bench, session)
    fresh = bench.again()
    bench.device.dose_count = 0
    with pytest.raises(SessionError, match="fewer"):
        bench.settle(fresh)
    start = in_flight(bench.folder)[0]
    times = {"monotonic_ns": fresh.clock.monotonic_ns, "wall_text": fresh.clock.wall_text}
    with pytest.raises(ConfigError):
        resolve_by_decision(start, "ok", **times)
    resolution = resolve_by_decision(start, "device replaced after its memory failed", **times)
    assert resolution.delivered is None
    assert in_flight(bench.folder) == ()
    records = read_journal(start.path).records
    assert records[-1].data["evidence"]["reason"] == "device replaced after its memory failed"


@pytest.mark.hazard("tamper")
def test_a_tampered_journal_blocks_the_next_session(bench) -> None:
    session = bench.delivering()
    session.stop()
    session.close()
    path = session.journal_path
    path.write_bytes(path.read_bytes().replace(b"start_intended", b"start_forgotte"))
    with pytest.raises(JournalError) as caught:
        bench.session().open()
    assert caught.value.code == "journal-tampered"


def test_two_sessions_in_one_folder_are_refused(bench) -> None:
    with bench.session() as session:
        assert session.stage is Stage.IDENTIFIED
        with pytest.raises(JournalError) as caught:
            bench.session().open()
        assert caught.value.code == "journal-locked"


@pytest.mark.hazard("wall-clock")
def test_the_time_of_day_may_jump_in_mid_dose(bench) -> None:
    session = bench.delivering()
    session.run_for(1)
    bench.stimulator.clock.wall = "1999-12-31T23:59:59.000+00:00"
    session.run_for(1)
    assert session.delivering
    session.soft_stop()
    assert session.finish().agrees
    session.close()


def test_what_happens_is_handed_to_the_caller_in_order(bench) -> None:
    session = bench.session()
    session.open()
    seen = session.watch(0)
    assert [one.kind for one in seen if isinstance(one, Notice)] == [NoticeKind.SESSION_OPENED]
    session.close()
