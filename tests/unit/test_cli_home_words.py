"""What the commands of use at home make of their words, before and beside what the device says."""

from __future__ import annotations

from pathlib import Path

import pytest

from neurostim.cli.main import build
from neurostim.core.errors import NeurostimError
from neurostim.session import in_flight
from neurostim.session.adapters import new_session_id
from neurostim.session.journal import Journal

DEVICE = "sim://scs?seed=1"
REASON = "output was seen to be off"
WORDS = {
    "assign": ["--subject", "S-014"],
    "release": ["--subject", "S-014", "--days", "1", "--program", "Walking=tonic"],
    "takeback": ["--subject", "S-014", "--save", "usage.jsonl"],
    "retire": ["--subject", "S-014", "--save", "usage.jsonl", "--cleaning", "wiped"],
}


def call(command: str, *words: str) -> NeurostimError:
    """Give a command of use at home to a device that was never paired; what it said."""
    with pytest.raises(NeurostimError) as told:
        build([command])([command, DEVICE, *words], standalone_mode=False)
    return told.value


def announced(folder: Path) -> None:
    """A folder with the journal of a host that crashed in a start."""
    session = new_session_id()
    with Journal.create(folder, session, monotonic_ns=lambda: 1, wall_text=lambda: "2026-01-01") as journal:
        journal.append("device", {"serial_number": "SIM-0001"})
        start = {"kind": "impedance", "expected_dose_count": 4, "boot_count": 1, "image_sha256": ""}
        journal.append("start_intended", start, durable=True)


@pytest.mark.parametrize("command", WORDS)
def test_an_earlier_start_of_unknown_outcome_blocks_until_the_command_settles_it(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    announced(tmp_path)
    words = [*WORDS[command], "--journal", str(tmp_path)]
    blocked = call(command, *words)
    assert blocked.code == "session-in-flight"
    assert "--settle" in str(blocked)
    assert call(command, *words, "--settle", REASON).code.startswith("refused-")
    assert in_flight(tmp_path) == ()
