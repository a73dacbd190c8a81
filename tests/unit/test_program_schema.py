"""The JSON Schema of program files: valid itself, in step, true to presets and to bad files."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import jsonschema
import pytest

from neurostim.core.program_file import dump_program, load_preset, presets, program_schema
from neurostim.core.program_lines import key_lines
from neurostim.core.resources import protocols
from support.programs import AREA, HEAD, VALID, swap


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = program_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_shipped_schema_is_that_of_the_code():
    shipped = (protocols("stimulation") / "program.schema.json").read_text(encoding="utf-8")
    assert shipped == json.dumps(program_schema(), indent=2, ensure_ascii=False) + "\n", (
        "write it again with: python -m neurostim.core.program_schema"
    )


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_valid_as_shipped_and_as_written_again(validator, name):
    validator.validate(tomllib.loads(presets()[name].read_text(encoding="utf-8")))
    validator.validate(tomllib.loads(dump_program(load_preset(name))))


@pytest.mark.parametrize(
    "text",
    [
        VALID,
        swap('"1.5 mA"', '{ of = "perception", percent = "60 %", mark = "m" }'),
        swap('rate = "40 Hz"', 'interval = "3 s"'),
        swap('"passive"', '"active-asymmetric", ratio = 3'),
        swap('"octrode"', '["octrode", "octrode"]'),
        swap("us", "\u00b5s"),
        f'{VALID}ramp = {{ up = "1 s" }}\ncycle = {{ on = "1 s", off = "0 s" }}\n',
    ],
)
def test_what_the_reader_takes_is_valid(validator, text):
    validator.validate(tomllib.loads(text))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "Test program"\n', ""),
        ('"neurostim-program/1"', '"neurostim-program/2"'),
        ('"scs"', '"spine"'),
        ("duration =", "durration ="),
        ('"1.5 mA"', "1.5"),
        ('"1.5 mA"', '"1.5 kg"'),
        ('"1.5 mA"', '"-1.5 mA"'),
        ('"1.5 mA"', '"1,5 mA"'),
        ('"1.5 mA"', '{ of = "perception", percent = "60 %" }'),
        ('"300 us"', "true"),
        ('recharge = "passive"', 'recharge = "sine"'),
        (', recharge = "passive"', ""),
        ('"passive"', '"passive", ratio = 3'),
        ('"passive"', '"active-asymmetric"'),
        ('"passive"', '"active-asymmetric", ratio = 21'),
        ('rate = "40 Hz"', 'rate = "40 Hz", interval = "3 s"'),
        ('{ rate = "40 Hz" }', "{}"),
        ('"40 Hz"', '"40 Hz", burst = { pulses = 5 }'),
        ('"40 Hz"', '"40 Hz", burst = { pulses = 1, rate = "500 Hz" }'),
        ('3 = "-100 %", 5 = "+100 %"', '3 = "-100 %"'),
        ('3 = "-100 %"', 'tip = "-100 %"'),
        ('3 = "-100 %"', "3 = -100"),
        ('"octrode"', "[]"),
        (AREA, ""),
        ("train =", "priority = 1.5\ntrain ="),
    ],
)
def test_what_the_reader_refuses_by_shape_is_not_valid(validator, old, new):
    document = tomllib.loads(swap(old, new))
    assert not validator.is_valid(document)


def test_nine_areas_are_not_valid(validator):
    assert validator.is_valid(tomllib.loads(HEAD + AREA * 8))
    assert not validator.is_valid(tomllib.loads(HEAD + AREA * 9))


def test_lines_are_found_for_every_key_of_every_shipped_file():
    for path in presets().values():
        text = path.read_text(encoding="utf-8")
        rows = text.splitlines()
        found = key_lines(text)
        for keys, line in found.items():
            named = [str(key) for key in keys if isinstance(key, str)]
            assert named[-1] in rows[line - 1]
        assert ("area", 0, "pulse", "width") in found
