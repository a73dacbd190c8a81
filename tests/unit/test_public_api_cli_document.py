"""docs/reference/cli.md names every command, option and exit code there is, and none that is not."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from neurostim.cli import exits
from neurostim.cli.main import build
from neurostim_sim import patient
from neurostim_sim.main import parser
from neurostim_torture import main as torture
from support.cli_document import SECTIONS, TEXT, undocumented


def commands(command: Any, name: str) -> dict[str, Any]:
    found = {name: command}
    for child, one in getattr(command, "commands", {}).items():
        found |= commands(one, f"{name} {child}")
    return found


SIMULATOR = "neurostim-sim"
SIMULATOR_COMMANDS = {"neurostim-sim patient": patient.parser, "neurostim-sim torture": torture.parser}
REAL = commands(typer.main.get_command(build()), "neurostim")


def documented(section: str) -> dict[str, str]:
    rows = re.findall(r"^\| `(--[a-z-]+)(.*?)` \| (.*) \|$", SECTIONS[section], re.MULTILINE)
    return {option: meaning for option, _, meaning in rows}


def test_every_command_has_a_section_and_every_section_a_command():
    assert set(SECTIONS) == {*REAL, SIMULATOR, *SIMULATOR_COMMANDS}


@pytest.mark.parametrize("name", REAL)
def test_the_options_are_those_of_the_command(name):
    options = [one for one in REAL[name].params if one.param_type_name == "option"]
    real = {opt for one in options for opt in one.opts}
    table = documented(name)
    assert set(table) == real
    required = {one.opts[0] for one in options if one.required}
    assert {option for option, meaning in table.items() if "required" in meaning} == required


def test_the_options_of_the_simulator_are_those_of_its_parser():
    actions = parser()._actions
    real = {option for action in actions for option in action.option_strings if option.startswith("--")}
    assert set(documented(SIMULATOR)) == real - {"--help"}


@pytest.mark.parametrize("name", SIMULATOR_COMMANDS)
def test_the_options_of_its_commands_are_those_of_their_parsers(name):
    actions = SIMULATOR_COMMANDS[name]()._actions
    real = {option for action in actions for option in action.option_strings if option.startswith("--")}
    assert set(documented(name)) == real - {"--help"}


@pytest.mark.parametrize("name", REAL)
def test_words_of_examples_are_options_of_that_command(name):
    for example in re.findall(r"^neurostim .*$", SECTIONS[name], re.MULTILINE):
        words = example.split()
        path = next(
            n for n in sorted(REAL, key=len, reverse=True) if example.startswith(n + " ") or example == n
        )
        known = {opt for one in REAL[path].params for opt in one.opts}
        if path == "neurostim sim":
            known = set(documented(SIMULATOR))
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, example


@pytest.mark.parametrize(
    "name", [n for n, one in REAL.items() if any("--json" in p.opts for p in one.params)]
)
def test_what_json_gives_is_documented(name):
    assert re.search(r"^JSON[:,]", SECTIONS[name], re.MULTILINE)


@pytest.mark.parametrize(
    "words",
    [
        "devices",
        "limits",
        "doctor --journal {folder}",
        "program list",
        "program show tonic",
        "program check tonic",
        "program compile tonic --out {folder}/events.npz --for 1s",
        "program plot tonic --out {folder}/tonic.png --for 1s",
        "program new {folder}/new.toml --lead octrode --therapy scs --amplitude 2mA",
    ],
)
def test_every_name_that_json_gives_is_in_its_section(words, tmp_path):
    arguments = words.format(folder=tmp_path).split()
    done = CliRunner().invoke(build(), [*arguments, "--json"])
    document = json.loads(done.stdout)
    entry = document[0] if isinstance(document, list) else document
    name = max((one for one in REAL if f"neurostim {words} ".startswith(f"{one} ")), key=len)
    more = {"list": ["neurostim program show"], "new": ["neurostim program check"]}
    assert undocumented(name, entry, *more.get(name.split()[-1], [])) == set()


def test_exit_codes_are_those_of_the_program():
    table = {int(code): name for code, name in re.findall(r"^\| (\d+) \| (\w+) \|", TEXT, re.MULTILINE)}
    real = {value: key.lower() for key, value in vars(exits).items() if key.isupper()}
    assert table == real
