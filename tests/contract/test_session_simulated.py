"""Host and simulated device together, in virtual time: what one counts is what the other asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurostim.core.program_file import load_preset
from neurostim.electrode.library import lead
from neurostim.session import Session, Stage, in_flight
from neurostim.wire import messages as m
from neurostim.wire.frame import Frame, FrameDecoder
from neurostim.wire.messages import DeviceState, Role, StopCause
from support.simulated_device import SimulatedDevice
from support.virtual_stimulator import VirtualStimulator

S = 1_000_000_000


class Bench:
    def __init__(self, folder: Path, preset: str, profile: str = "scs") -> None:
        self.device = SimulatedDevice(profile)
        self.stimulator = VirtualStimulator(self.device)
        self.stimulator.open()
        program = load_preset(preset)
        leads = [lead(name) for name in program.leads]
        self.folder = folder
        self.session = Session(self.stimulator, program, leads, folder, clock=self.stimulator.clock)

    def to_start(self) -> Session:
        session = self.session
        session.open()
        session.measure()
        verdict = session.check()
        session.approve(dict.fromkeys(verdict.to_acknowledge, "a test without a person"))
        session.load()
        return session


def only(data: bytes, keep) -> bytes:
    """Drop the frames of a message type from what passes."""
    passed = b""
    for piece in data.split(b"\0"):
        frames = FrameDecoder().feed(piece + b"\0") if piece else []
        if piece and not (frames and isinstance(frames[0], Frame) and not keep(frames[0])):
            passed += b"\0" + piece + b"\0"
    return passed


@pytest.mark.parametrize("preset", ["tonic", "burstdr"])
def test_a_dose_with_steps_and_a_soft_stop_is_reconciled_with_the_simulator(tmp_path, preset) -> None:
    session = Bench(tmp_path, preset).to_start()
    session.start()
    session.run_for(3)
    session.step_down(0)
    session.run_for(1)
    session.step_up(0)
    session.run_for(1)
    session.soft_stop()
    found = session.finish()
    assert found.agrees, found.disagreements
    assert session.state is DeviceState.IDLE
    session.start()
    session.run_for(1)
    session.stop()
    found = session.finish()
    assert found.agrees, found.disagreements
    session.close()
    assert in_flight(tmp_path) == ()


@pytest.mark.hazard("double-dose")
def test_a_lost_fire_acknowledgement_gives_one_dose(tmp_path) -> None:
    bench = Bench(tmp_path, "tonic")
    session = bench.to_start()
    reply = (m.Fire.TYPE, m.FireReply.KIND)
    bench.stimulator.to_host = lambda data: only(data, lambda frame: (frame.type, frame.kind) != reply)
    started = session.start()
    bench.stimulator.to_host = lambda data: data
    assert started.dose_number == 2
    session.run_for(1)
    session.stop()
    assert session.finish().agrees
    session.close()
    assert bench.stimulator.link_counters.queries == 1


@pytest.mark.hazard("cable")
def test_a_pulled_cable_ends_the_dose_and_reconnecting_only_reads(tmp_path) -> None:
    bench = Bench(tmp_path, "tonic")
    session = bench.to_start()
    session.start()
    session.run_for(1)
    bench.stimulator.unplug()
    session.watch()
    assert session.stage is Stage.LOST
    bench.stimulator.pass_ns(S)
    status = session.reconnect()
    assert not status.output_on
    assert status.stop_cause is StopCause.DEAD_MAN
    assert bench.stimulator.role is Role.OBSERVE
    found = session.finish()
    assert found.agrees, found.disagreements
    session.close()


@pytest.mark.hazard("stuck-host")
def test_a_program_that_freezes_loses_the_output_within_the_facts(tmp_path) -> None:
    bench = Bench(tmp_path, "tonic")
    session = bench.to_start()
    session.start()
    session.run_for(1)
    bench.stimulator.pass_ns(2 * S)
    session.watch()
    assert not session.delivering
    assert session.finish().agrees
    session.close()


def test_a_second_host_reads_and_stops_the_simulator(tmp_path) -> None:
    bench = Bench(tmp_path, "tonic")
    session = bench.to_start()
    session.start()
    second = VirtualStimulator(bench.device, bench.stimulator.clock, host=2)
    second.open()
    assert second.role is Role.OBSERVE
    assert second.status().result().state is DeviceState.DELIVERING
    assert second.stop().result().state is DeviceState.STOPPED
    session.close()
