"""Quantities: exact decimals with a unit, everything else a typed error."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.core import units
from neurostim.core.errors import ConfigError


@pytest.mark.hazard("unit-slip")
@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("2.5 mA", units.CURRENT, 2_500_000),
        ("2.5mA", units.CURRENT, 2_500_000),
        ("0.1 A", units.CURRENT, 100_000_000),
        ("15 \u00b5A", units.CURRENT, 15_000),
        ("15 \u03bcA", units.CURRENT, 15_000),
        ("7 nA", units.CURRENT, 7),
        ("300 us", units.TIME, 300_000),
        ("30.5 \u00b5s", units.TIME, 30_500),
        ("20 min", units.TIME, 1_200 * 10**9),
        ("24 h", units.TIME, 86_400 * 10**9),
        ("1200.5 Hz", units.RATE, Fraction(2401, 2)),
        ("10 kHz", units.RATE, 10_000),
        ("500 mHz", units.RATE, Fraction(1, 2)),
        ("-33.3 %", units.SHARE, Fraction(-333, 10)),
        ("+100 %", units.SHARE, 100),
        ("12 V", units.VOLTAGE, 12_000_000),
    ],
)
def test_a_quantity_is_read_exactly(text: str, dimension: units.Dimension, value: Fraction | int) -> None:
    assert units.parse_quantity(text, dimension) == value


@pytest.mark.hazard("unit-slip")
@pytest.mark.parametrize(
    "bad",
    [
        2.5,
        300,
        True,
        None,
        float("nan"),
        float("inf"),
        [],
        {"a": 1},
        "",
        " ",
        "300",
        "us",
        "300us ",
        " 300 us",
        "300  us",
        "3e2 us",
        "3E2 us",
        "300,5 us",
        "1_000 us",
        "-300 us",
        "+300 us",
        "--300 us",
        "0x10 us",
        "nan us",
        "inf us",
        "NaN",
        ".5 us",
        "5. us",
        "1.2.3 us",
        "300 Us",
        "300 US",
        "300 sec",
        "300 mA",
        "300 us\n",
        "३ us",
        "300\u00a0us",
        "1" * 401 + " us",
        "0." + "1" * 400 + " us",
    ],
)
def test_what_is_no_time_is_refused_with_the_accepted_units(bad: object) -> None:
    with pytest.raises(ConfigError) as caught:
        units.parse_quantity(bad, units.TIME)
    assert "us" in caught.value.allowed
    assert len(str(caught.value)) < 400


def test_a_fraction_of_the_base_unit_is_refused_where_whole_numbers_are_kept() -> None:
    with pytest.raises(ConfigError) as caught:
        units.parse_whole("0.0005 us", units.TIME)
    assert caught.value.code == "resolution"
    assert units.parse_whole("0.005 us", units.TIME) == 5


@given(st.integers(min_value=0, max_value=10**18), st.sampled_from([units.CURRENT, units.TIME]))
def test_written_quantities_are_read_back_exactly(value: int, dimension: units.Dimension) -> None:
    assert units.parse_whole(units.format_quantity(value, dimension), dimension) == value


@pytest.mark.hazard("unit-slip")
@given(st.decimals(min_value=0, max_value=10**6, places=3))
def test_decimals_are_never_rounded(value: Decimal) -> None:
    assert units.parse_quantity(f"{value:f} Hz", units.RATE) == Fraction(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 nA"),
        (1, "1 nA"),
        (999, "999 nA"),
        (1_500, "1.5 uA"),
        (25_500_000, "25.5 mA"),
        (-12_500, "-12.5 uA"),
    ],
)
def test_currents_are_written_in_the_largest_fitting_unit(value: int, text: str) -> None:
    assert units.format_current(value) == text
