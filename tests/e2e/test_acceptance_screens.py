"""From outside: what people read fits a narrow terminal, and its sums are those of its table."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from neurostim.cli import console
from neurostim.cli.main import build
from neurostim.conformance import read_trace
from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.events import write_events
from neurostim.core.image import Grid
from neurostim.core.program_file import load_preset


def run(*words: str) -> str:
    result = CliRunner().invoke(build(), list(words))
    assert result.exit_code == 0, result.output
    return str(result.stdout)


@pytest.mark.parametrize("preset", ["tonic", "burstdr", "multiplexed"])
def test_the_sum_of_a_check_counts_the_rows_of_its_table(preset: str) -> None:
    text = run("program", "check", preset)
    table = text.split("\n\n")[0]
    words = re.search(r"Deliverable with reasons: (.*)\.", text)
    assert words is not None
    for part in words.group(1).split(", "):
        count, word = part.split()
        rows = [line for line in table.splitlines() if line.lower().startswith(word)]
        assert len(rows) == int(count), part


@pytest.mark.parametrize("columns", [60, 80])
def test_limits_keep_their_figures_whole_in_a_narrow_window(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "out", lambda plain_width=160: Console(highlight=False, width=columns))
    text = run("limits")
    assert all(len(line) <= columns for line in text.splitlines())
    assert re.search(r"SAF-AREA-CURRENT +25\.5 mA", text)
    assert re.search(r"SAF-SHANNON +1\.5 k +1\.75 k", text)
    assert "--json" in text


def test_limits_name_layer_and_source_in_a_wide_window() -> None:
    assert re.search(r"SAF-AREA-CURRENT +Current of an area +25\.5 mA +port +Ranges", run("limits"))


def test_a_damaged_npz_is_refused_without_advice_to_trust_it(tmp_path: Path) -> None:
    trace = tmp_path / "x.npz"
    trace.write_bytes(bytes(range(1, 256)) * 8)
    schedule = compile_program(load_preset("tonic"), Grid.of(1000, 10_000))
    write_events(schedule, tmp_path / "x.csv", duration_ns=10**9)
    with pytest.raises(ConfigError) as caught:
        read_trace(trace)
    assert "x.npz" in caught.value.message
    assert "unsafe" not in str(caught.value)
    assert "trust" not in str(caught.value)
