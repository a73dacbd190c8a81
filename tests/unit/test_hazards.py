"""Hazards and the tests that prove their controls name each other; the page for readers is up to date."""

import ast
from pathlib import Path

import pytest

from neurostim.core.errors import ConfigError
from neurostim.safety import hazards

TESTS = Path(__file__).resolve().parents[1]
# The hazards of the safety facts this project began with; each must stay, whatever is found since.
KNOWN = {
    "unit-slip", "nan-overflow", "rounding", "imbalance", "density", "step", "overlap", "double-dose",
    "stale-fire", "replay", "forgery", "interference", "host-crash", "cable", "slow-stop", "resume",
    "half-written", "wrong-device", "together", "stale-display", "mode-trap", "race-wrap", "cycling",
    "open-short", "stuck-host", "disk", "tamper", "wall-clock", "session-reset", "reuse",
    "threshold-width", "leads-swapped", "lid", "no-expiry", "replug",
}  # fmt: skip


def marked(function: ast.FunctionDef) -> set[str]:
    """Ids of the `hazard` markers of a test."""
    return {
        argument.value
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.hazard"
        for argument in decorator.args
        if isinstance(argument, ast.Constant)
    }


@pytest.fixture(scope="module")
def in_tests() -> dict[str, set[str]]:
    """Hazard ids by test, as the files below tests/ have them."""
    found = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[f"{path.relative_to(TESTS).as_posix()}::{node.name}"] = marked(node)
    return found


def test_every_test_that_a_hazard_names_is_there_and_says_so(in_tests):
    missing = [
        (one.id, name)
        for one in hazards.load_hazards()
        for name in one.tests
        if one.id not in in_tests.get(name, set())
    ]
    assert missing == []


def test_every_marker_names_a_hazard_that_names_the_test(in_tests):
    named = {(one.id, name) for one in hazards.load_hazards() for name in one.tests}
    assert [(i, name) for name, ids in in_tests.items() for i in ids if (i, name) not in named] == []


def test_no_hazard_of_the_facts_is_lost():
    assert {one.id for one in hazards.load_hazards()} >= KNOWN


def test_the_page_says_what_the_data_says():
    assert hazards.PAGE.read_text(encoding="utf-8") == hazards.hazards_page()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('id = "density"', 'id = "imbalance"'),
        ('title = "Charge density on a small contact"', 'title = ""'),
        ('title = "Charge density on a small contact"\n', ""),
        ('id = "density"', 'id = "density"\nextra = "x"'),
    ],
)
def test_a_table_that_is_not_whole_is_refused(tmp_path, old, new):
    text = hazards.DATA.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "hazards.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError):
        hazards.load_hazards(path)


def test_a_hazard_that_nothing_proves_is_refused(tmp_path):
    path = tmp_path / "hazards.toml"
    words = "".join(f'{key} = "x"\n' for key in ("id", "title", "cause", "source", "host", "device", "left"))
    path.write_text(f"[[hazard]]\n{words}tests = []\n", encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        hazards.load_hazards(path)
    assert refused.value.problems[0].place == "hazard[1].tests"
