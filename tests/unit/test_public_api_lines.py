"""The code of docs/api.md is run exactly as it stands there, against the simulated device in this process."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

import neurostim

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "api.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(block: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(block, str(DOCUMENT), "exec"), names)
    return names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(neurostim.presets()["tonic"], tmp_path / "tonic.toml")
    return tmp_path


def test_ten_lines_go_from_a_program_file_to_a_judged_trace(folder, capsys):
    lines = [line for line in BLOCKS[0].splitlines() if line.strip()]
    assert len(lines) == 10
    names = run(BLOCKS[0])
    printed = capsys.readouterr().out
    assert printed.startswith("True CONFORMS: Tonic spinal cord stimulation")
    outcome = names["outcome"]
    assert isinstance(outcome, neurostim.Outcome)
    assert outcome.stop_cause == "soft_stop"
    assert outcome.dose_number == 2  # the impedance measurement is the first
    assert outcome.journal.is_file()
    assert neurostim.in_flight(folder / "journal") == ()


def test_the_lines_without_a_device_print_the_dose_of_a_day_and_what_needs_a_reason(folder, capsys):
    run(BLOCKS[1])
    printed = capsys.readouterr().out.splitlines()
    # 40 bursts of 5 pulses a second for a day, less the ramp's zero-current first unit.
    pulses, word, charge, unit = printed[0].split()
    assert (word, unit) == ("pulses", "aC")
    assert 17_279_000 < int(pulses) <= 17_280_000
    assert 25.9e18 < int(charge) <= 25.92e18
    assert any(line.startswith("SAF-DENSITY-BURST ") for line in printed[1:])


def test_the_single_steps_measure_step_down_and_reconcile(folder, capsys):
    names = run(BLOCKS[2])
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[:8]] == [str(number) for number in range(1, 9)]
    assert all(line.endswith("Ohm ok") for line in printed[:8])
    assert printed[-1].startswith("True ")
    assert names["session"].journal_path.parent == Path("journal")
