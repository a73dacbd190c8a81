"""The bounds of the format, both ends of each, and that the integers they lead to fit their types."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest

from neurostim.core import program_bounds as bounds
from neurostim.core.errors import ConfigError
from neurostim.core.program_bounds import PRODUCTS, QUANTITY_BOUNDS, Bound, Holder
from neurostim.core.program_file import parse_program
from neurostim.core.units import parse_quantity
from support.programs import VALID, problems, swap, the_problem

# Written from the format document, not from the code: field, lowest, highest, just below, just above.
DOCUMENTED = {
    "amplitude": (bounds.AMPLITUDE, "0 mA", "150 mA", None, "150.000001 mA"),
    "rate": (bounds.RATE_BOUND, "0.001 Hz", "20 kHz", "0 Hz", "20000.001 Hz"),
    "interval": (bounds.INTERVAL, "50 us", "1000 s", "49999 ns", "1000.000000001 s"),
    "width": (bounds.WIDTH, "1 us", "10 ms", "999 ns", "10000001 ns"),
    "interphase": (bounds.INTERPHASE, "0 us", "10 ms", None, "10000001 ns"),
    "ramp": (bounds.RAMP, "0 s", "60 s", None, "60.000000001 s"),
    "on": (bounds.CYCLE_ON, "0.1 s", "24 h", "99999999 ns", "86400.000000001 s"),
    "off": (bounds.CYCLE_OFF, "0 s", "24 h", None, "86400.000000001 s"),
    "delay": (bounds.DELAY, "0 s", "60 s", None, "60.000000001 s"),
    "duration": (bounds.DURATION, "1 ns", "8760 h", "0 s", "31536000.000000001 s"),
}
FIELDS = {
    "amplitude": ('"1.5 mA"', '"{}"'),
    "rate": ('"40 Hz"', '"{}"'),
    "interval": ('rate = "40 Hz"', 'interval = "{}"'),
    "width": ('"300 us"', '"{}"'),
    "interphase": ('"100 us"', '"{}"'),
    "ramp": ("train =", 'ramp = {{ up = "{0}", down = "{0}" }}\ntrain ='),
    "on": ("train =", 'cycle = {{ on = "{}", off = "1 s" }}\ntrain ='),
    "off": ("train =", 'cycle = {{ on = "1 s", off = "{}" }}\ntrain ='),
    "delay": ("train =", 'delay = "{}"\ntrain ='),
    "duration": ('"20 min"', '"{}"'),
}
BENCH = swap('"scs"', '"bench"')


def put(field: str, value: str) -> str:
    old, new = FIELDS[field]
    return swap(old, new.format(value), BENCH)


@pytest.mark.parametrize("field", DOCUMENTED)
def test_both_ends_of_a_bound_are_allowed(field):
    bound, low, high, _, _ = DOCUMENTED[field]
    for text, value in ((low, bound.low), (high, bound.high)):
        assert parse_quantity(text, bound.dimension) == value
        parse_program(put(field, text))


@pytest.mark.parametrize("field", DOCUMENTED)
def test_one_step_past_a_bound_is_refused_with_the_bound(field):
    bound, _, _, below, above = DOCUMENTED[field]
    for text in filter(None, (below, above)):
        lines = [line for line in problems(put(field, text)) if bound.text in line]
        assert lines, text


def test_a_rate_has_at_most_three_decimals_in_hertz():
    for good in ("1200.5 Hz", "333.333 Hz", "1.2005 kHz", "40.000 Hz", "0.333333 kHz", "1 mHz"):
        parse_program(put("rate", good))
    for bad in ("333.3333 Hz", "1.0000001 kHz", "1.5 mHz", "0.3333333 kHz"):
        assert "at most 3 decimals in Hz" in the_problem(put("rate", bad))


def test_the_percentage_of_a_mark_is_bounded_in_tenths():
    text = swap('"1.5 mA"', '{ of = "perception", percent = "60 %", mark = "m" }')
    for good in ("0.1 %", "200 %", "66.6 %"):
        parse_program(swap("60 %", good, text))
    for bad in ("0 %", "200.1 %", "66.66 %", "-5 %"):
        assert the_problem(swap("60 %", bad, text)).startswith("area[1].amplitude.percent (line 7):")


def test_every_bound_is_among_the_documented_ones():
    named = {bound.name for bound, *_ in DOCUMENTED.values()} | {bounds.MARK_PERCENT.name}
    assert named == {bound.name for bound in QUANTITY_BOUNDS}


def test_the_text_of_a_bound_reads_back_to_its_ends():
    for bound in QUANTITY_BOUNDS:
        low, high = bound.text.split(" to ")
        assert parse_quantity(low, bound.dimension) == bound.low
        if high != "365 days":
            assert parse_quantity(high, bound.dimension) == bound.high


def test_a_bound_holds_its_ends_and_nothing_past_them():
    bound = Bound("x", bounds.WIDTH.dimension, Fraction(1), Fraction(2))
    assert bound.holds(Fraction(1))
    assert bound.holds(Fraction(2))
    assert not bound.holds(Fraction(1) - Fraction(1, 10**30))
    assert not bound.holds(Fraction(2) + Fraction(1, 10**30))


@pytest.mark.hazard("nan-overflow")
@pytest.mark.parametrize("product", PRODUCTS, ids=[product.name for product in PRODUCTS])
def test_every_integer_product_fits_its_type_and_needs_it(product):
    sizes = [Holder.INT16, Holder.INT32, Holder.INT64]
    smallest = next((holder for holder in sizes if product.largest <= holder.value), Holder.PYTHON)
    assert product.holder is smallest


def test_the_products_are_those_of_the_documented_bounds():
    largest = {product.name: product.largest for product in PRODUCTS}
    milliamperes, microseconds, seconds = 10**6, 10**3, 10**9
    assert largest["amplitude [nA]"] == 150 * milliamperes
    assert largest["charge of a phase [aC]"] == 150 * milliamperes * 10_000 * microseconds
    assert largest["charge of an unrecovered burst [aC]"] == 1000 * largest["charge of a phase [aC]"]
    assert largest["units in a program"] == 365 * 86_400 * 20_000
    assert largest["end of a program, ticks of 1 ns"] >= 365 * 86_400 * seconds


def test_the_file_of_the_tests_is_valid():
    parse_program(VALID)


def test_the_format_page_has_the_bounds_and_an_example_that_reads():
    page = (Path(__file__).resolve().parents[2] / "docs" / "program-format.md").read_text(encoding="utf-8")
    example = page.split("```toml\n")[1].split("```")[0]
    assert parse_program(example).areas[0].train.burst is not None
    rows = dict(line.strip("| ").split(" | ")[:2] for line in page.splitlines() if line.count(" | ") == 1)
    assert rows["width"] == bounds.WIDTH.text
    assert rows["interval"] == bounds.INTERVAL.text
    assert rows["rate"].startswith(bounds.RATE_BOUND.text)
    assert rows["percent of a mark"].startswith(bounds.MARK_PERCENT.text)
    assert rows["pulses in a burst"] == f"{bounds.BURST_PULSES.low} to {bounds.BURST_PULSES.high}"


def test_the_message_of_a_bad_file_points_to_a_page_that_is_there():
    with pytest.raises(ConfigError) as caught:
        parse_program("")
    (page,) = re.findall(r"docs/\S+\.md", caught.value.remedy)
    assert (Path(__file__).resolve().parents[2] / page).is_file()
