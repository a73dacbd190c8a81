"""What the command line loads, and what it leaves alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from neurostim.cli.main import build

NAMES = list(typer.main.get_command(build()).commands)  # type: ignore[attr-defined]


def loaded_by(*words: str) -> set[str]:
    """Modules that are loaded when the command line has answered ``words``."""
    code = (
        "import sys, neurostim.cli.main as front\n"
        "try:\n    front.main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], check=True, capture_output=True, text=True, timeout=60
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("name", NAMES)
def test_a_command_is_built_alone_as_it_is_among_all(name: str) -> None:
    alone = typer.main.get_command(build([name, "--help"])).commands  # type: ignore[attr-defined]
    assert list(alone) == [name]


@pytest.mark.parametrize("words", [(), ("--help",), ("nonsense",), ("--version", "run")])
def test_words_that_begin_with_no_command_see_all(words: tuple[str, ...]) -> None:
    assert list(typer.main.get_command(build(words)).commands) == NAMES  # type: ignore[attr-defined]


def test_help_loads_neither_arrays_nor_models_nor_kernels() -> None:
    loaded = loaded_by("--help")
    assert "neurostim.cli.run" in loaded
    assert not loaded & {"numpy", "numba", "pydantic", "matplotlib", "serial", "usb", "libusb_package"}


def test_a_small_table_is_written_without_the_kernels(tmp_path: Path) -> None:
    loaded = loaded_by("program", "compile", "hf10", "--out", str(tmp_path / "a.csv"), "--for", "2500 ms")
    assert "numpy" in loaded
    assert not loaded & {"numba", "matplotlib", "serial", "neurostim.cli.run"}
