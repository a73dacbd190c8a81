"""The flat public API: light to import, complete, documented, and the same for type checkers."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import neurostim

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def typed_names() -> set[str]:
    """Names that a type checker sees, from the imports under `TYPE_CHECKING`."""
    tree = ast.parse(Path(neurostim.__file__).read_text(encoding="utf-8"))
    names = set()
    for block in ast.walk(tree):
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            for line in ast.walk(block):
                if isinstance(line, ast.ImportFrom):
                    names |= {alias.asname or alias.name for alias in line.names}
    return names


def test_importing_the_package_loads_nothing_else():
    code = "import sys, neurostim; print([name for name in sys.modules if name.startswith('neurostim.')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", neurostim.__all__)
def test_every_public_name_loads_and_is_kept(name):
    value = getattr(neurostim, name)
    assert value is not None
    assert vars(neurostim)[name] is value
    assert name in dir(neurostim)


def test_type_checkers_see_exactly_the_public_names():
    assert typed_names() == set(neurostim.__all__) - {"__version__"}


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'stimulate'"):
        neurostim.stimulate  # noqa: B018 - the access is what is tested


def test_every_public_name_is_in_the_document_and_no_other():
    table = DOCUMENT[DOCUMENT.index("## Names") :]
    cells = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    named = {word for cell in cells for word in re.findall(r"`(\w+)", cell)}
    errors = table[table.index("NeurostimError") :]
    named |= set(re.findall(r"`([A-Z]\w+)`", errors))
    assert named == set(neurostim.__all__) - {"__version__"}


def test_load_takes_a_preset_a_path_and_refuses_what_is_neither(tmp_path):
    preset = neurostim.presets()["tonic"]
    assert neurostim.load("tonic") == neurostim.load(preset) == neurostim.load(str(preset))
    with pytest.raises(neurostim.ConfigError, match="tonic"):
        neurostim.load("tonik")
    with pytest.raises(neurostim.ConfigError):
        neurostim.load(tmp_path / "missing.toml")


def test_judge_file_finds_a_pulse_that_was_taken_out_of_an_event_table(tmp_path):
    program = neurostim.load("tonic")
    file = tmp_path / "tonic.toml"
    file.write_text(neurostim.dump(program), encoding="utf-8")
    schedule = neurostim.compile(program, neurostim.profile("scs").grid)
    table = tmp_path / "events.csv"
    neurostim.write_events(schedule, table, start_ns=0, duration_ns=4 * 10**9)
    assert neurostim.judge_file(table, file).conforms
    lines = table.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("3000000000,")]
    assert len(kept) == len(lines) - 2
    table.write_text("".join(kept))
    sidecar = table.with_suffix(".json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "rows": len(kept) - 1}))
    report = neurostim.judge_file(table, file)
    assert "missing" in report.failures


def test_judge_file_refuses_a_program_that_is_no_text(tmp_path):
    (tmp_path / "program.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(neurostim.ConfigError, match="cannot be read"):
        neurostim.judge_file(tmp_path / "events.npz", tmp_path / "program.toml")
