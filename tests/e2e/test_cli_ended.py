"""A command that is ended from outside leaves nothing half written and says so by its exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

from neurostim.cli import exits

NEUROSTIM = [sys.executable, "-m", "neurostim"]


def test_termination_leaves_no_part_of_a_table(tmp_path: Path) -> None:
    table = tmp_path / "events.csv"
    command = ["program", "compile", "tonic", "--out", str(table), "--for", "24 h"]
    process = subprocess.Popen([*NEUROSTIM, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not any(tmp_path.iterdir()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == exits.TERMINATED
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_goes_away_is_no_success() -> None:
    process = subprocess.Popen(
        [*NEUROSTIM, "limits"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == exits.FAILED
    assert "Traceback" not in told
    assert "BrokenPipe" not in told
