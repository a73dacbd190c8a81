"""The program commands as processes: exit codes, streams, speed of help, questions at a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from neurostim.cli import exits
from neurostim.core.program_file import load_program
from support.programs import VALID, swap

HEAVY = ("numpy", "numba", "pydantic", "matplotlib", "rich.table")


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "neurostim", "program", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=cwd)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.toml"
    path.write_text(swap('"300 us"', "300", swap('"40 Hz"', '"40 kHz"')), encoding="utf-8")
    return path


def test_a_bad_file_ends_with_its_code_and_all_its_problems_on_standard_error(bad):
    done = run("check", bad)
    assert done.returncode == exits.CONFIG
    assert done.stdout == ""
    assert "area[1].pulse.width (line 9)" in done.stderr
    assert "area[1].train.rate (line 10)" in done.stderr
    assert "Traceback" not in done.stderr


def test_with_json_the_error_is_data_on_standard_output(bad):
    done = run("check", bad, "--json")
    assert done.returncode == exits.CONFIG
    found = json.loads(done.stdout)
    assert found["exit_code"] == exits.CONFIG
    assert [one["place"] for one in found["problems"]] == [
        "area[1].pulse.width (line 9)",
        "area[1].train.rate (line 10)",
    ]


def test_a_refused_program_ends_with_the_code_of_the_gate(tmp_path):
    file = tmp_path / "strong.toml"
    file.write_text(swap('"1.5 mA"', '"25 mA"'), encoding="utf-8")
    assert run("check", file).returncode == exits.SAFETY


def test_wrong_words_are_a_usage_error(tmp_path):
    for arguments in (("chek", "tonic"), ("check",), ("compile", "tonic"), ("show", "tonic", "--tomll")):
        assert run(*arguments).returncode == exits.USAGE


def test_the_commands_load_nothing_heavy_until_they_run():
    code = (
        "import sys, neurostim.cli.program;"
        f"heavy = [name for name in {HEAVY!r} if name in sys.modules];"
        "assert not heavy, heavy"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_reader_that_goes_away_is_no_error():
    command = [sys.executable, "-m", "neurostim", "program", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
        process.wait(timeout=60)


def test_new_asks_at_a_terminal_and_asks_again_after_a_wrong_answer(tmp_path):
    out = tmp_path / "asked.toml"
    here, there = pty.openpty()
    command = [sys.executable, "-m", "neurostim", "program", "new", str(out)]
    with subprocess.Popen(
        command, stdin=there, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(there)
        os.write(here, b"spine\nscs\nlinear-8\n2\n2 mA\n")
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == exits.OK, stderr
    os.close(here)
    assert 'found "spine"' in stderr
    assert "the unit is missing" in stderr
    assert f"Written to {out}" in stdout
    program = load_program(out)
    assert (program.therapy, program.leads, program.areas[0].amplitude) == ("scs", ("linear-8",), 2_000_000)


def test_files_with_other_letters_in_their_names_are_read(tmp_path):
    file = tmp_path / "dos \u00e0 c\u00f4t\u00e9.toml"
    file.write_text(VALID, encoding="utf-8")
    assert run("show", file.name, cwd=tmp_path).returncode == exits.OK
