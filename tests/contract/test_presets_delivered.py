"""Every preset goes the whole way on a simulated device of its profile, and its trace conforms."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from neurostim.conformance import judge, read_trace
from neurostim.core.program_file import load_preset, presets
from neurostim.electrode.library import lead
from neurostim.session import Session
from neurostim_sim.trace import TraceFiles
from support.simulated_device import SimulatedDevice
from support.virtual_stimulator import VirtualStimulator

REASON = "a simulated load, no person connected"


@pytest.mark.parametrize("name", presets())
def test_the_preset_is_approved_delivered_reconciled_and_conforms(name: str, tmp_path: Path) -> None:
    program = load_preset(name)
    leads = [lead(one) for one in program.leads]
    device = SimulatedDevice(program.therapy, leads=leads, traces=TraceFiles(tmp_path / "traces", "SIM-0001"))
    stimulator = VirtualStimulator(device)
    stimulator.open()
    with Session(stimulator, program, leads, tmp_path / "journal", clock=stimulator.clock) as session:
        session.measure()
        verdict = session.check()
        assert [finding.code for finding in verdict.refused] == []
        session.approve(dict.fromkeys(verdict.to_acknowledge, REASON))
        session.load()
        started = session.start()
        session.run_for(2.5)
        session.soft_stop()
        found = session.finish()
        assert found.agrees, found.disagreements
    table, sidecar = read_trace(tmp_path / "traces" / f"SIM-0001-dose{started.dose_number:04}.npz")
    report = judge(tomllib.loads(presets()[name].read_text(encoding="utf-8")), table, sidecar)
    assert report.conforms, report.to_text()
    currents = any(area.amplitude for area in program.areas)
    assert (len(table) > 0) == currents
