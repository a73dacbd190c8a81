"""The kinds of number a limit can be, each an exact integer in a base unit, read from and written as text."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from neurostim.core.errors import ConfigError
from neurostim.core.units import (
    CURRENT_UNITS,
    PERCENT_UNITS,
    RATE_UNITS,
    TIME_UNITS,
    Dimension,
    parse_quantity,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of limited quantity.

    Attributes
    ----------
    name : str
        The word used in the limits file.
    shown : str
        The unit people read, and that a limits file uses.
    per_shown : Fraction
        Base units in one shown unit; every limit is a whole number of base units.
    suffix : str
        The part of the unit after the numerator, such as ``/cm2``; the text must end with it.
    dimension : Dimension
        How the numerator is read, in base units.
    """

    name: str
    shown: str
    per_shown: Fraction
    suffix: str
    dimension: Dimension

    def parse(self, text: object) -> int:
        """Read a limit exactly as a whole number of base units.

        Raises
        ------
        ConfigError
            For anything but text with the unit of this kind, or a fraction of the base unit.
        """
        if not isinstance(text, str) or not text.endswith(self.suffix):
            raise ConfigError(
                f"found {text!r} where a {self.name} belongs",
                allowed=f'text such as "1.5 {self.shown}"',
                code="quantity",
            )
        value = parse_quantity(text.removesuffix(self.suffix), self.dimension)
        if value.denominator != 1:
            raise ConfigError(
                f"found {text!r}, finer than this limit is judged",
                allowed=f"a whole number of {self.dimension.base}",
                code="resolution",
            )
        return int(value)

    def to_shown(self, numerator: int, denominator: int = 1) -> Fraction:
        """The exact value in the shown unit of ``numerator / denominator`` base units."""
        return Fraction(numerator, denominator) / self.per_shown


def _kind(
    name: str,
    shown: str,
    per_shown: int | Fraction,
    base: str,
    units: dict[str, Fraction],
    *,
    suffix: str = "",
    signed: bool = False,
) -> Kind:
    return Kind(name, shown, Fraction(per_shown), suffix, Dimension(name, base, units, signed))


_CHARGE: Final = {
    "uC": Fraction(10**12),
    "nC": Fraction(10**9),
    "mC": Fraction(10**15),
    "C": Fraction(10**18),
}

KINDS: Final = {
    kind.name: kind
    for kind in (
        _kind("current", "mA", 10**6, "nA", dict(CURRENT_UNITS)),
        _kind("direct current", "nA", 1, "nA", dict(CURRENT_UNITS)),
        _kind("time", "ms", 10**6, "ns", dict(TIME_UNITS)),
        _kind("rate", "Hz", 1000, "mHz", {unit: size * 1000 for unit, size in RATE_UNITS.items()}),
        _kind("charge", "uC", 10**12, "aC", _CHARGE),
        _kind("charge density", "uC/cm2", 10**4, "aC/um2", {"uC": Fraction(10**4)}, suffix="/cm2"),
        _kind("daily charge", "C", 10**18, "aC", _CHARGE),
        _kind("Shannon k", "k", 100, "1/100", {"k": Fraction(100)}),
        _kind("voltage", "V", 10**6, "uV", {"V": Fraction(10**6), "mV": Fraction(10**3)}, signed=True),
        _kind("percentage", "%", 10**4, "ppm", {unit: size * 10**4 for unit, size in PERCENT_UNITS.items()}),
        _kind("resistance", "Ohm", 1, "Ohm", {"Ohm": Fraction(1), "kOhm": Fraction(1000)}),
        _kind("energy", "mJ", 10**24, "1e-27 J", {"mJ": Fraction(10**24)}),
        _kind("current density", "mA/cm2", 10**6, "nA/cm2", {"mA": Fraction(10**6)}, suffix="/cm2"),
        _kind(
            "current slope",
            "mA/s",
            10**6,
            "nA/s",
            {"mA": Fraction(10**6), "uA": Fraction(10**3)},
            suffix="/s",
        ),
        _kind("power", "mW", 10**9, "pW", {"mW": Fraction(10**9), "W": Fraction(10**12)}),
        _kind("area", "mm2", 10**6, "um2", {"mm": Fraction(10**6)}, suffix="2"),
        _kind("count", "areas", 1, "areas", {"areas": Fraction(1)}),
        _kind("size", "B", 1, "B", {"B": Fraction(1)}),
        _kind("state", "", 1, "", {}),
    )
}
