"""Programs of every kind survive being written and read; no text makes the reader fail in any other way."""

from __future__ import annotations

import itertools
import string
import tomllib
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from neurostim.core import program_bounds as bounds
from neurostim.core.errors import ConfigError
from neurostim.core.program import (
    THERAPIES,
    Area,
    Burst,
    Cycle,
    Program,
    Pulse,
    Ramp,
    Recharge,
    RelativeAmplitude,
    Share,
    Train,
    contact_key,
)
from neurostim.core.program_file import dump_program, parse_program
from neurostim.core.program_lines import key_lines
from neurostim.core.units import NS_PER_S
from support.programs import VALID

S = NS_PER_S
names = st.text(
    st.characters(exclude_categories=["C", "Z"]) | st.sampled_from(' "\\#=[]'), min_size=1, max_size=40
).filter(str.strip)


def whole(bound: bounds.Bound) -> st.SearchStrategy[int]:
    low, high = int(bound.low), int(bound.high)
    edges = st.sampled_from([low, high, min(low + 1, high)])
    return edges | st.integers(low, high) | st.integers(low // 1000 + 1, high // 1000).map(lambda n: n * 1000)


rates = st.integers(1, 20_000_000).map(lambda millihertz: Fraction(millihertz, 1000))
intervals = whole(bounds.INTERVAL).map(lambda ns: Fraction(S, ns))


@st.composite
def parts_of_a_whole(draw: Any, sign: int, count: int) -> list[int]:
    cuts = sorted(draw(st.lists(st.integers(1, 999), min_size=count - 1, max_size=count - 1, unique=True)))
    edges = [0, *cuts, 1000]
    return [sign * (after - before) for before, after in itertools.pairwise(edges)]


@st.composite
def shares(draw: Any, leads: int) -> tuple[Share, ...]:
    numbers = st.integers(1, 32).map(str)
    labels = (
        numbers if leads == 1 else st.tuples(st.integers(1, leads), numbers).map(lambda t: f"{t[0]}.{t[1]}")
    )
    chosen = draw(st.lists(labels | st.just("return"), min_size=2, max_size=12, unique=True))
    cathodes = draw(st.integers(1, len(chosen) - 1))
    values = draw(parts_of_a_whole(-1, cathodes)) + draw(parts_of_a_whole(1, len(chosen) - cathodes))
    made = [Share(label, value) for label, value in zip(chosen, values, strict=True)]
    return tuple(sorted(made, key=lambda share: contact_key(share.contact)))


@st.composite
def areas(draw: Any, number: int, therapy: str, leads: int, duration: int | None) -> Area:
    by_interval, burst_by_interval = draw(st.booleans()), draw(st.booleans())
    burst = None
    if draw(st.booleans()):
        pace = draw(intervals if burst_by_interval else rates)
        burst = Burst(draw(st.integers(2, 1000)), pace, burst_by_interval)
    recharges = set(Recharge)
    if burst is None:
        recharges.discard(Recharge.PASSIVE_AFTER_BURST)
    if therapy != "bench":
        recharges.discard(Recharge.NONE)
    recharge = draw(st.sampled_from(sorted(recharges)))
    ratio = draw(st.integers(2, 20)) if recharge is Recharge.ACTIVE_ASYMMETRIC else 1
    shortest = 0 if therapy == "bench" else 1
    ramp_times = st.integers(shortest, int(bounds.RAMP.high))
    mark = st.builds(
        RelativeAmplitude,
        st.sampled_from(["perception", "comfort", "maximum", "motor"]),
        st.integers(1, 2000),
        names,
    )
    longest_delay = int(bounds.DELAY.high) if duration is None else min(int(bounds.DELAY.high), duration - 1)
    return Area(
        name=draw(st.just(f"area {number}") | names.map(lambda name: f"{name}/{number}")),
        amplitude=draw(whole(bounds.AMPLITUDE) | mark),
        shares=draw(shares(leads)),
        pulse=Pulse(draw(whole(bounds.WIDTH)), recharge, draw(whole(bounds.INTERPHASE)), ratio),
        train=Train(draw(intervals if by_interval else rates), burst, by_interval),
        ramp=draw(st.just(Ramp()) | st.builds(Ramp, ramp_times, ramp_times)),
        cycle=draw(st.none() | st.builds(Cycle, whole(bounds.CYCLE_ON), whole(bounds.CYCLE_OFF))),
        delay_ns=draw(st.just(0) | st.integers(0, longest_delay)),
        priority=draw(st.integers(0, 255)),
    )


@st.composite
def programs(draw: Any) -> Program:
    therapy = draw(st.sampled_from(THERAPIES))
    leads = draw(st.lists(st.sampled_from(["octrode", "linear-8", "penta"]), min_size=1, max_size=3))
    duration = draw(st.none() | whole(bounds.DURATION))
    count = draw(st.sampled_from([1, 2, 3, 8]))
    return Program(
        name=draw(names),
        therapy=therapy,
        leads=tuple(leads),
        areas=tuple(draw(areas(number, therapy, len(leads), duration)) for number in range(1, count + 1)),
        duration_ns=duration,
        source=draw(st.just("") | names),
        evidence=draw(st.sampled_from(["", "A", "B", "C"])),
        interleave_drop=draw(st.booleans()),
    )


@given(programs())
def test_what_is_written_reads_back_equal_and_has_a_line_for_every_key(program):
    text = dump_program(program)
    assert parse_program(text) == program
    rows = text.splitlines()
    found = key_lines(text)
    for path in _paths(tomllib.loads(text)):
        assert path in found
        if isinstance(path[-1], str):
            assert path[-1] in rows[found[path] - 1]


def _paths(node: Any, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = []
    for key, value in items:
        found += [(*above, key), *_paths(value, (*above, key))]
    return found


TOML_PIECES = st.sampled_from([
    "[[area]]", "[area]", "[a.b]", "a = 1", '"x y" = 2', "'q' = '''\n'''", 'd = """\n # \\" """', "# c = 3",
    "e = [1, [2,\n # no\n 3], {f = 4}]", "g = {h.i = 1, j = []}", "k = 1979-05-27T07:32:00Z", "", "[[a.c]]",
])  # fmt: skip


@given(st.lists(TOML_PIECES, max_size=12).map("\n".join))
def test_lines_are_known_for_every_key_of_any_valid_text(text):
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    found = key_lines(text)
    for path in _paths(document):
        assert path in found, (path, found)


def outcome(text: str) -> None:
    """Read a text that may be anything: a program, or one error with problems that can be printed."""
    try:
        parse_program(text)
    except ConfigError as error:
        problems = error.problems
    else:
        return
    assert problems
    for problem in problems:
        assert str(problem).isprintable(), problem
        assert problem.place
        assert problem.allowed


@given(st.text(max_size=200))
@example("\ufeff")
@example("a = \ud800")
def test_any_text_is_a_program_or_one_error(text):
    outcome(text)


@given(st.data())
def test_any_change_of_a_valid_text_is_a_program_or_one_error(data):
    start = data.draw(st.integers(0, len(VALID)))
    length = data.draw(st.integers(0, 20))
    marks = st.sampled_from(['"', "=", "[", "{", "}", "\\u001b"])
    piece = data.draw(st.text(string.printable, max_size=6) | marks)
    outcome(VALID[:start] + piece + VALID[start + length :])


VALUES = ["1", "-1", "1.5", "nan", "inf", "true", "[]", "{}", "[[]]", "{ a = { b = 1 } }", "''", "1e400"]


@given(st.data())
def test_any_value_in_any_place_is_a_program_or_one_error(data):
    lines = VALID.splitlines()
    number = data.draw(st.sampled_from([n for n, line in enumerate(lines) if "=" in line]))
    value = data.draw(st.sampled_from(VALUES) | st.integers(-(10**30), 10**30).map(str))
    lines[number] = f"{lines[number].split(' =')[0]} = {value}"
    outcome("\n".join(lines))


def test_a_program_the_format_cannot_say_is_refused_when_written():
    good = parse_program(VALID)
    area = good.areas[0]
    for bad in (
        replace(area, train=Train(Fraction(1, 3))),
        replace(area, shares=tuple(reversed(area.shares))),
        replace(area, amplitude=-1),
        replace(area, pulse=Pulse(300_000, Recharge.ACTIVE_ASYMMETRIC)),
    ):
        with pytest.raises(ConfigError):
            dump_program(replace(good, areas=(bad,)))
