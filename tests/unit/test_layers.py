"""Every contract of the architecture can fail: a forbidden import put in by hand is found."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

VIOLATIONS = {
    "layers": ("src/neurostim/core/units.py", "import neurostim.electrode"),
    "conformance": ("src/neurostim/conformance/__init__.py", "import neurostim.core.sharing"),
    "simulator": ("firmware_sim/neurostim_sim/__init__.py", "import neurostim.core.placement"),
    "host-without-simulator": ("src/neurostim/device/__init__.py", "import neurostim_sim"),
    "transport-door": ("src/neurostim/session/__init__.py", "import neurostim.transport"),
    "nobody-needs-torture": ("firmware_sim/neurostim_sim/__init__.py", "import neurostim_torture.faults"),
    "torture-monitor": (
        "firmware_sim/neurostim_torture/monitor/__init__.py",
        "import neurostim_torture.generate",
    ),
}

# What of the core judge and simulator may stand on: definitions only. The rules they apply by themselves.
DEFINITIONS = {
    "conformance": {"errors", "units"},
    "simulator": {"bounds", "errors", "hardware", "image", "program", "resources", "units"},
}


def lint(tree: Path, contract: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(tree / "src"), str(tree / "firmware_sim")])
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--contract", contract],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for part in ("src", "firmware_sim"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_each_contract_has_a_violation_here() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    contracts = {name.rpartition(":")[2] for name in config.sections() if ":contract:" in name}
    assert contracts == set(VIOLATIONS)


@pytest.mark.parametrize("contract", DEFINITIONS)
def test_a_module_of_the_core_is_closed_unless_it_is_definitions(contract: str) -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / ".importlinter")
    forbidden = config[f"importlinter:contract:{contract}"]["forbidden_modules"].split()
    closed = {name.rpartition(".")[2] for name in forbidden if name.startswith("neurostim.core.")}
    modules = {path.stem for path in (ROOT / "src" / "neurostim" / "core").glob("*.py")} - {"__init__"}
    assert closed == modules - DEFINITIONS[contract]


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_the_contract_is_kept_and_a_violation_breaks_it(tree: Path, contract: str) -> None:
    kept = lint(tree, contract)
    assert kept.returncode == 0, kept.stdout
    name, line = VIOLATIONS[contract]
    target = tree / name
    target.write_text(target.read_text() + f"\n{line}\n")
    broken = lint(tree, contract)
    assert broken.returncode == 1
    assert "1 broken" in broken.stdout, broken.stdout
