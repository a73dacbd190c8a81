"""Quantities as text with a unit, read as exact decimals and never as floats.

A quantity is ASCII decimal digits, at most one point, an optional space and a unit.
Exponents, decimal commas, bare numbers, NaN and infinity have no spelling here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from neurostim.core.errors import ConfigError

NS_PER_S: Final = 1_000_000_000
MAX_DIGITS: Final = 24

MICRO_SIGN: Final = "\u00b5"
GREEK_MU: Final = "\u03bc"

CURRENT_UNITS: Final = {
    "A": Fraction(10**9),
    "mA": Fraction(10**6),
    "uA": Fraction(10**3),
    "nA": Fraction(1),
}
TIME_UNITS: Final = {
    "s": Fraction(NS_PER_S),
    "ms": Fraction(10**6),
    "us": Fraction(10**3),
    "ns": Fraction(1),
    "min": Fraction(60 * NS_PER_S),
    "h": Fraction(3600 * NS_PER_S),
}
RATE_UNITS: Final = {"Hz": Fraction(1), "kHz": Fraction(1000), "mHz": Fraction(1, 1000)}
PERCENT_UNITS: Final = {"%": Fraction(1)}
VOLTAGE_UNITS: Final = {"V": Fraction(10**6), "mV": Fraction(10**3)}

_QUANTITY: Final = re.compile(r"([+-]?)([0-9]+)(?:\.([0-9]+))? ?([A-Za-z%]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Dimension:
    """A kind of quantity: its name, base unit, and the units a file may use.

    ``units`` maps a spelling to its size in the base unit.
    """

    name: str
    base: str
    units: dict[str, Fraction]
    signed: bool = False

    @property
    def accepted(self) -> str:
        """The accepted units, for a message."""
        return ", ".join(self.units)


CURRENT: Final = Dimension("current", "nA", CURRENT_UNITS)
TIME: Final = Dimension("time", "ns", TIME_UNITS)
RATE: Final = Dimension("rate", "Hz", RATE_UNITS)
PERCENT: Final = Dimension("percentage", "%", PERCENT_UNITS)
SHARE: Final = Dimension("share", "%", PERCENT_UNITS, signed=True)
VOLTAGE: Final = Dimension("voltage", "uV", VOLTAGE_UNITS)


def parse_quantity(text: object, dimension: Dimension) -> Fraction:
    """Read one quantity exactly.

    Parameters
    ----------
    text : object
        What the file or field holds; anything but text is refused.
    dimension : Dimension
        The kind expected, which decides the accepted units and whether a sign may stand.

    Returns
    -------
    Fraction
        The value in ``dimension.base``.

    Raises
    ------
    ConfigError
        With what was found, the accepted units and an example.
    """
    allowed = f'{dimension.name} as text with a unit ({dimension.accepted}), such as "{_example(dimension)}"'
    if not isinstance(text, str):
        raise ConfigError(
            f"found {_show(text)} where a {dimension.name} belongs", allowed=allowed, code="quantity"
        )
    match = _QUANTITY.fullmatch(text.replace(MICRO_SIGN, "u").replace(GREEK_MU, "u"))
    if match is None:
        raise ConfigError(f"found {_show(text)}", allowed=allowed, code="quantity")
    sign, whole, decimals, unit = match.groups()
    if unit not in dimension.units:
        raise ConfigError(f"found the unit {unit!r} in {_show(text)}", allowed=allowed, code="unit")
    if sign and not dimension.signed:
        raise ConfigError(f"found a sign in {_show(text)}", allowed=f"{allowed}, unsigned", code="sign")
    decimals = decimals or ""
    if len(whole) + len(decimals) > MAX_DIGITS:
        raise ConfigError(
            f"found {_show(text)}", allowed=f"{allowed}, at most {MAX_DIGITS} digits", code="digits"
        )
    value = Fraction(int(whole + decimals), 10 ** len(decimals)) * dimension.units[unit]
    return -value if sign == "-" else value


def parse_whole(text: object, dimension: Dimension) -> int:
    """Read one quantity that must be a whole number of the base unit (nA, ns).

    Raises
    ------
    ConfigError
        As `parse_quantity`, and where a fraction of the base unit is left.
    """
    value = parse_quantity(text, dimension)
    if value.denominator != 1:
        raise ConfigError(
            f"found {_show(text)}, a fraction of 1 {dimension.base}",
            allowed=f"a {dimension.name} in whole {dimension.base}",
            code="resolution",
        )
    return int(value)


def format_quantity(value: Fraction | int, dimension: Dimension) -> str:
    """Write a value of the base unit with the largest unit that keeps it at or above 1.

    The text is exact where the decimal expansion ends, and `parse_quantity` reads it back.
    """
    exact = Fraction(value)
    choices = sorted(dimension.units.items(), key=lambda item: item[1], reverse=True)
    if dimension is TIME:
        choices = [(unit, size) for unit, size in choices if unit not in {"min", "h"}]
    fitting = (choice for choice in choices if abs(exact) >= choice[1])
    unit, size = next(fitting, choices[-1])
    return f"{_decimal(exact / size)} {unit}"


def format_current(value_na: Fraction | int) -> str:
    """Write a current [nA] for people, such as ``1.5 mA``."""
    return format_quantity(value_na, CURRENT)


def format_time(value_ns: Fraction | int) -> str:
    """Write a time [ns] for people, such as ``300 us``."""
    return format_quantity(value_ns, TIME)


def format_rate(value_hz: Fraction | int) -> str:
    """Write a rate [Hz] for people, such as ``10 kHz``."""
    return format_quantity(value_hz, RATE)


def _decimal(value: Fraction, places: int = 12) -> str:
    sign = "-" if value < 0 else ""
    scaled = round(abs(value) * 10**places)
    whole, rest = divmod(scaled, 10**places)
    digits = f"{rest:0{places}d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def _example(dimension: Dimension) -> str:
    return {"current": "2.5 mA", "time": "300 us", "rate": "40 Hz", "voltage": "12 V", "share": "-100 %"}.get(
        dimension.name, "60 %"
    )


def _show(value: object) -> str:
    shown = repr(value) if isinstance(value, (str, int, float, bool)) else type(value).__name__
    limit = 60
    return shown if len(shown) <= limit else f"{shown[:limit]}... ({len(shown)} characters)"
