"""``neurostim conform``: the page, the JSON and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from neurostim.cli import main as front_door
from support.conformance_files import write_csv
from support.conformance_programs import area, program, to_toml
from support.wrong_compilers import expand

PROGRAM = program(area(), duration="300 ms")


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr("sys.argv", ["neurostim", "conform", *(str(word) for word in words)])
    with pytest.raises(SystemExit) as caught:
        front_door.main()
    code = caught.value.code
    return 0 if code is None else int(code)


def files(folder: Path, bug: str = "", **sidecar: Any) -> tuple[Path, Path]:
    rows, side = expand(PROGRAM, 300_000, bug=bug)
    source = folder / "program.toml"
    source.write_text(to_toml(PROGRAM), encoding="utf-8")
    return write_csv(folder / "trace.csv", rows, side | sidecar), source


def test_a_conforming_trace_exits_with_zero(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, source = files(tmp_path)
    assert run(monkeypatch, trace, "--program", source) == 0
    assert capsys.readouterr().out.startswith("CONFORMS: test\n")


def test_a_wrong_trace_exits_with_seven_and_names_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, source = files(tmp_path, "passive past the next onset")
    assert run(monkeypatch, trace, "--program", source, "--json") == 7
    document = json.loads(capsys.readouterr().out)
    assert document["failures"] == ["recovery"]
    assert run(monkeypatch, trace, "--program", source) == 7
    assert "FAIL recovery" in capsys.readouterr().out


def test_limits_come_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trace, source = files(tmp_path)
    limits = tmp_path / "limits.toml"
    limits.write_text("contact_current_na = 1999999\n")
    assert run(monkeypatch, trace, "--program", source, "--limits", limits) == 7
    assert "current reaches 2000000 nA, limit 1999999 nA" in capsys.readouterr().out


@pytest.mark.parametrize("broken", ["trace", "sidecar", "program", "missing", "binary", "limits"])
def test_input_that_cannot_be_read_exits_with_three(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    trace, source = files(tmp_path)
    words: list[object] = [trace, "--program", source]
    if broken == "trace":
        trace.write_text(trace.read_text()[:-5])
    elif broken == "sidecar":
        trace.with_suffix(".json").write_text("{")
    elif broken == "program":
        source.write_text(source.read_text().replace("300 us", "300 feet"))
    elif broken == "missing":
        source.unlink()
    elif broken == "binary":
        source.write_bytes(bytes(range(256)))
    else:
        (tmp_path / "limits.json").write_text('{"contact_current_na": 1.5}')
        words += ["--limits", tmp_path / "limits.json"]
    assert run(monkeypatch, *words) == 3
    assert capsys.readouterr().err
    assert run(monkeypatch, *words, "--json") == 3
    assert json.loads(capsys.readouterr().out)["exit_code"] == 3
