"""The built wheel carries everything: installed apart from the checkout, it lists, checks and simulates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = [
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run([*pip, *build], check=True, timeout=120, cwd=folder)
    [wheel] = folder.glob("neurostim-*.whl")
    target = folder / "site"
    install = ["install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run([*pip, *install], check=True, timeout=120, cwd=folder)
    return target


def python(installed: Path, *words: str) -> str:
    """Run Python from outside the checkout with the wheel's packages before all others."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed), "NUMBA_CACHE_DIR": str(installed / "cache")},
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    return done.stdout


def test_the_packages_come_from_the_wheel(installed: Path) -> None:
    code = "import neurostim, neurostim_sim; print(neurostim.__file__); print(neurostim_sim.__file__)"
    assert all(line.startswith(str(installed)) for line in python(installed, "-c", code).splitlines())


def test_the_wheel_carries_the_udev_rule(installed: Path) -> None:
    rule = python(installed, "-m", "neurostim", "doctor", "--udev")
    assert rule == (ROOT / "protocols" / "usb" / "60-neurostim.rules").read_text(encoding="utf-8")


def test_the_wheel_carries_presets_leads_limits_and_schema(installed: Path) -> None:
    listed = json.loads(python(installed, "-m", "neurostim", "program", "list", "--json"))
    assert {one["preset"] for one in listed} == {
        path.stem for path in (ROOT / "protocols" / "stimulation").glob("*.toml")
    }
    judged = json.loads(python(installed, "-m", "neurostim", "program", "check", "burstdr", "--json"))
    assert "SAF-DENSITY-BURST" in json.dumps(judged)
    assert (installed / "neurostim" / "_protocols" / "wire" / "specification.md").is_file()


def test_the_wheel_carries_the_simulated_device(installed: Path) -> None:
    code = "from neurostim_sim.settings import Settings; print(Settings('drg').core().profile.lead)"
    assert python(installed, "-c", code).strip() == "slimtip-drg"
    assert "brown-out" in python(installed, "-m", "neurostim_sim.main", "--list-faults")


def test_the_source_archive_carries_what_the_two_commands_need(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(build, check=True, capture_output=True, timeout=120, cwd=ROOT)
    [archive] = tmp_path.glob("neurostim-*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    needed = {".ci/bootstrap", ".ci/run", ".importlinter", "Makefile", "constraints.txt", "pyproject.toml"}
    assert needed <= names
    for folder in ("benchmarks", "docs", "firmware_sim", "protocols", "src", "tests"):
        assert any(name.startswith(f"{folder}/") for name in names), folder
