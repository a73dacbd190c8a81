"""docs/reference/cli.md names every command, option and exit code there is, and none that is not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from neurostim.cli import exits
from neurostim.cli.main import build

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^##+ (neurostim.*?)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = dict(SECTION.findall(DOCUMENT))


def commands(command: Any, name: str) -> dict[str, Any]:
    found = {name: command}
    for child, one in getattr(command, "commands", {}).items():
        found |= commands(one, f"{name} {child}")
    return found


REAL = commands(typer.main.get_command(build()), "neurostim")


def documented(section: str) -> dict[str, str]:
    rows = re.findall(r"^\| `(--[a-z-]+)(.*?)` \| (.*) \|$", SECTIONS[section], re.MULTILINE)
    return {option: meaning for option, _, meaning in rows}


def test_every_command_has_a_section_and_every_section_a_command():
    assert set(SECTIONS) == set(REAL)


@pytest.mark.parametrize("name", REAL)
def test_the_options_are_those_of_the_command(name):
    options = [one for one in REAL[name].params if one.param_type_name == "option"]
    real = {opt for one in options for opt in one.opts}
    table = documented(name)
    assert set(table) == real
    required = {one.opts[0] for one in options if one.required}
    assert {option for option, meaning in table.items() if "required" in meaning} == required


@pytest.mark.parametrize("name", REAL)
def test_words_of_examples_are_options_of_that_command(name):
    for example in re.findall(r"^neurostim .*$", SECTIONS[name], re.MULTILINE):
        words = example.split()
        path = next(
            n for n in sorted(REAL, key=len, reverse=True) if example.startswith(n + " ") or example == n
        )
        if path == "neurostim sim":
            continue
        known = {opt for one in REAL[path].params for opt in one.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, example


@pytest.mark.parametrize(
    "name", [n for n, one in REAL.items() if any("--json" in p.opts for p in one.params)]
)
def test_what_json_gives_is_documented(name):
    assert re.search(r"^JSON[:,]", SECTIONS[name], re.MULTILINE)


def test_exit_codes_are_those_of_the_program():
    table = {int(code): name for code, name in re.findall(r"^\| (\d+) \| (\w+) \|", DOCUMENT, re.MULTILINE)}
    real = {value: key.lower() for key, value in vars(exits).items() if key.isupper()}
    assert table == real
