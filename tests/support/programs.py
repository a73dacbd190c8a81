"""Program texts for tests: one valid program, and the same with parts replaced."""

from __future__ import annotations

import pytest

from neurostim.core.errors import ConfigError
from neurostim.core.program_file import parse_program

HEAD = """\
format = "neurostim-program/1"
name = "Test program"
therapy = "scs"
lead = "octrode"
duration = "20 min"
"""
AREA = """\
[[area]]
amplitude = "1.5 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "300 us", interphase = "100 us", recharge = "passive" }
train = { rate = "40 Hz" }
"""
VALID = HEAD + AREA


def swap(old: str, new: str, text: str = VALID) -> str:
    """The text with one part replaced; the part must be there, or the test would prove nothing."""
    assert old in text
    return text.replace(old, new, 1)


def problems(text: str) -> list[str]:
    """Every problem of a text, as shown; the text must be refused."""
    with pytest.raises(ConfigError) as caught:
        parse_program(text)
    assert caught.value.problems
    return [str(problem) for problem in caught.value.problems]


def the_problem(text: str) -> str:
    """The only problem of a text."""
    found = problems(text)
    assert len(found) == 1, found
    return found[0]
