"""From outside: usage errors are JSON too, and no table fills a disk or the memory without a word."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neurostim.cli import main as front_door
from neurostim.cli.program_size import NPZ_ROWS, ROW_BYTES, expected_rows
from neurostim.core.compile import compile_program
from neurostim.core.events import write_events
from neurostim.core.image import Grid
from neurostim.core.program_file import load_preset


def call(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["neurostim", *map(str, words)])
    with pytest.raises(SystemExit) as ending:
        front_door.main()
    return int(ending.value.code or 0)


@pytest.mark.parametrize(
    "words",
    [
        ["program", "chek", "--json"],
        ["program", "check", "--json"],
        ["program", "check", "tonic", "--profil", "scs", "--json"],
        ["conform", "x.csv", "--program", "p.toml", "--tolerance", "-1", "--json"],
        ["unheard-of", "--json"],
    ],
)
def test_words_that_are_off_are_one_json_document(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, *words) == 2
    out, _ = capsys.readouterr()
    document = json.loads(out)
    assert (document["error"], document["exit_code"]) == ("usage", 2)
    assert document["message"]


def test_words_that_are_off_are_prose_without_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "program", "chek") == 2
    out, err = capsys.readouterr()
    assert not out
    assert "check" in err


def test_a_json_command_keeps_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "program", "check", "tonic", "--json") == 0
    assert not json.loads(capsys.readouterr().out)["refused"]
    assert call(monkeypatch, "program", "check", "proco-4khz", "--profile", "scs", "--json") == 4
    assert json.loads(capsys.readouterr().out)["refused"]


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_a_year_of_10_khz_is_refused_before_a_byte_is_written(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"x.{suffix}"
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=100_000_000_000))
    assert call(monkeypatch, "program", "compile", "hf10", "--out", out, "--for", "8760 h", "--json") == 3
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["error"] == "table-size"
    assert "1 261 440 000 000 rows" in document["message"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("span_s", "room", "code"), [(130, 10**9, 0), (130, 10**6, 3)])
def test_room_on_the_disk_decides_over_a_large_table(
    span_s: int, room: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda place: SimpleNamespace(free=room))
    monkeypatch.setattr("neurostim.core.events.write_events", lambda *words, **more: 0)
    out = tmp_path / "x.csv"
    assert call(monkeypatch, "program", "compile", "hf10", "--out", out, "--for", f"{span_s} s") == code


@pytest.mark.parametrize("preset", ["tonic", "hf10", "burstdr", "burst-active", "ecap-base", "multiplexed"])
def test_expected_rows_are_near_those_written(preset: str, tmp_path: Path) -> None:
    schedule = compile_program(load_preset(preset), Grid.of(1000, 10_000))
    start_ns, span_ns = 5 * 10**9, 10**9
    rows = write_events(schedule, tmp_path / "x.csv", start_ns=start_ns, duration_ns=span_ns)
    assert (tmp_path / "x.csv").stat().st_size <= rows * ROW_BYTES
    assert rows * 0.95 <= expected_rows(schedule, start_ns, span_ns) <= rows * 1.05
    assert rows < NPZ_ROWS


def test_a_full_disk_at_the_sidecar_leaves_the_old_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = compile_program(load_preset("tonic"), Grid.of(1000, 10_000))
    table, side = tmp_path / "x.csv", tmp_path / "x.json"
    write_events(schedule, table, duration_ns=10**9)
    before = table.read_bytes(), side.read_bytes()

    def full(*words: object, **more: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_events(schedule, table, duration_ns=2 * 10**9)
    assert (table.read_bytes(), side.read_bytes()) == before
    assert sorted(one.name for one in tmp_path.iterdir()) == ["x.csv", "x.json"]
