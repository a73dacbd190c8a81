"""Measured values in exact integers, and how each is compared with an integer limit.

No float can enter: every number is checked to be an ``int`` when a measure is made, so a NaN
has no way to slip past a comparison. A value that could not be computed is `Unknown`, which
fires every tier.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from neurostim.core.errors import ConfigError
from neurostim.safety.quantities import Kind

UC_CM2_SCALE: Final = 10**16
"""Q^2/A in uC^2/cm2 is q^2 / (a * 10^16) for q in aC and a in um2."""


def whole(value: object, what: str) -> int:
    """Return ``value`` if it is an ``int`` and nothing else.

    Raises
    ------
    ConfigError
        For floats (NaN and infinity among them), bools, numpy scalars, text and None.
    """
    if type(value) is not int:
        raise ConfigError(
            f"found {value!r} ({type(value).__name__}) for {what}",
            allowed="a whole number (int)",
            remedy="Safety is judged in integers only.",
            code="not-an-integer",
        )
    return value


class Measure(ABC):
    """A value that can be compared with an integer limit in base units."""

    __slots__ = ()

    def fires(self, how: str, limit: int, bands: Iterable[tuple[int, int]] = ()) -> bool:
        """Whether a tier fires.

        Parameters
        ----------
        how : str
            ``above``, ``at least``, ``below``, ``outside`` (of all bands) or ``state``.
        limit : int
            Base units; unused for bands and states.
        bands : iterable of (int, int)
            Closed bands in base units.
        """
        if how == "above":
            return self._compare(limit) > 0
        if how == "at least":
            return self._compare(limit) >= 0
        if how == "below":
            return self._compare(limit) < 0
        if how == "outside":
            return not any(self._compare(low) >= 0 >= self._compare(high) for low, high in bands)
        raise ConfigError(f"a {type(self).__name__} cannot fire {how!r}", code="measure")

    def shown(self, kind: Kind) -> Fraction | None:
        """The value in the shown unit of the kind, for people; None where there is none."""
        return None

    def margin(self, limit: int) -> Fraction | None:
        """How far the value lies under the limit, in percent of the limit; negative above it."""
        return None

    def headroom(self, limit: int) -> int:
        """A whole number that grows with the distance to the limit, to order values of one rule by."""
        return 0

    @abstractmethod
    def _compare(self, limit: int) -> int:
        """-1, 0 or 1 as the value is below, at or above the limit."""


@dataclass(frozen=True, slots=True)
class Exact(Measure):
    """``numerator / denominator`` base units, denominator above zero."""

    numerator: int
    denominator: int = 1

    def __post_init__(self) -> None:
        whole(self.numerator, "a measured value")
        if whole(self.denominator, "a measured value") <= 0:
            raise ConfigError("a measured value has no positive denominator", code="not-an-integer")

    def shown(self, kind: Kind) -> Fraction | None:
        """Exact."""
        return kind.to_shown(self.numerator, self.denominator)

    def margin(self, limit: int) -> Fraction | None:
        """Exact; None for a limit of zero."""
        if limit == 0:
            return None
        return 100 * (Fraction(limit) - Fraction(self.numerator, self.denominator)) / abs(limit)

    def headroom(self, limit: int) -> int:
        """In ppm of the limit."""
        return (limit * self.denominator - self.numerator) * 10**6 // (max(abs(limit), 1) * self.denominator)

    def _compare(self, limit: int) -> int:
        other = limit * self.denominator
        return (self.numerator > other) - (self.numerator < other)


@dataclass(frozen=True, slots=True)
class Root(Measure):
    """The square root of ``numerator / denominator`` squared base units, compared by its square."""

    numerator: int
    denominator: int = 1

    def __post_init__(self) -> None:
        if whole(self.numerator, "a squared value") < 0 or whole(self.denominator, "a squared value") <= 0:
            raise ConfigError("a squared value is negative", code="not-an-integer")

    def shown(self, kind: Kind) -> Fraction | None:
        """In whole base units, rounded down."""
        return kind.to_shown(math.isqrt(self.numerator // self.denominator))

    def margin(self, limit: int) -> Fraction | None:
        """From the value in whole base units."""
        if limit <= 0:
            return None
        return 100 * (1 - Fraction(math.isqrt(self.numerator // self.denominator), limit))

    def headroom(self, limit: int) -> int:
        """In ppm of the limit."""
        return (limit - math.isqrt(self.numerator // self.denominator)) * 10**6 // max(abs(limit), 1)

    def _compare(self, limit: int) -> int:
        if limit < 0:
            return 1
        other = limit * limit * self.denominator
        return (self.numerator > other) - (self.numerator < other)


@dataclass(frozen=True, slots=True)
class ShannonK(Measure):
    """Shannon's k = log10(Q/A) + log10(Q), Q in uC a phase, A in cm2 (Shannon 1992, IEEE TBME 39:424).

    Compared exactly: "k reaches n/100" is ``q^200 >= 10^n (a 10^16)^100`` in integers, with the common
    divisor of n and 100 taken out of the exponents.

    Attributes
    ----------
    charge_ac : int
        Charge of one phase [aC].
    area_um2 : int
        Area of the contact [um2].
    """

    charge_ac: int
    area_um2: int

    def __post_init__(self) -> None:
        if whole(self.charge_ac, "a charge") < 0 or whole(self.area_um2, "a contact area") <= 0:
            raise ConfigError("Shannon's k needs a charge from 0 and an area above", code="not-an-integer")

    def shown(self, kind: Kind) -> Fraction | None:
        """In whole hundredths, rounded down; None without charge."""
        if self.charge_ac == 0:
            return None
        estimate = 100 * (2 * math.log10(self.charge_ac) - math.log10(self.area_um2) - 16)
        # The float only starts the search; the integers decide the last digit.
        found = math.floor(estimate) - 2
        while self._compare(found + 1) >= 0:
            found += 1
        return kind.to_shown(found)

    def margin(self, limit: int) -> Fraction | None:
        """Headroom as charge: how far this charge lies under the largest one below the limit."""
        allowed = shannon_charge(limit, self.area_um2)
        return 100 * (1 - Fraction(self.charge_ac, allowed)) if allowed else None

    def headroom(self, limit: int) -> int:
        """By charge squared over area, which k grows with; the same for every limit."""
        return -(self.charge_ac * self.charge_ac // self.area_um2)

    def _compare(self, limit: int) -> int:
        exponent, divisor = _lowest(limit)
        left: int = self.charge_ac ** (2 * divisor)
        right: int = (self.area_um2 * UC_CM2_SCALE) ** divisor
        if exponent >= 0:
            right *= 10**exponent
        else:
            left *= 10**-exponent
        return (left > right) - (left < right)


def shannon_charge(limit: int, area_um2: int) -> int:
    """The largest whole charge [aC] whose k lies below ``limit`` / 100 on a contact of ``area_um2``."""
    exponent, divisor = _lowest(limit)
    base = (area_um2 * UC_CM2_SCALE) ** divisor
    target = base * 10**exponent if exponent >= 0 else -(-base // 10**-exponent)
    return _root(target - 1, 2 * divisor)


def _lowest(limit: int) -> tuple[int, int]:
    common = math.gcd(limit, 100)
    return limit // common, 100 // common


def _root(value: int, degree: int) -> int:
    """The integer part of the ``degree``-th root, 0 for values below 1."""
    low, high = 0, 1 << -(-max(value, 0).bit_length() // degree)
    while low < high:
        middle = (low + high + 1) // 2
        if middle**degree <= value:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass(frozen=True, slots=True)
class State(Measure):
    """Something a rule asks for, and whether it is violated."""

    violated: bool

    def fires(self, how: str, limit: int, bands: Iterable[tuple[int, int]] = ()) -> bool:
        """Whether the rule is violated; only rules that fire on a state may ask."""
        if how != "state" or type(self.violated) is not bool:
            raise ConfigError(f"a state cannot fire {how!r}", code="measure")
        return self.violated

    def _compare(self, limit: int) -> int:
        raise ConfigError("a state has no size", code="measure")


@dataclass(frozen=True, slots=True)
class Unknown(Measure):
    """A value that could not be computed, or that the device calls invalid; it fires every tier."""

    why: str

    def fires(self, how: str, limit: int, bands: Iterable[tuple[int, int]] = ()) -> bool:
        """Always."""
        return True

    def _compare(self, limit: int) -> int:
        raise ConfigError("an unknown value has no size", code="measure")


def from_physics(value: float, *, scale: int = 1) -> Measure:
    """A value of the circuit model as a measure, its magnitude rounded up to whole base units.

    Parameters
    ----------
    value : float
        What the model gives; not finite makes it `Unknown`.
    scale : int
        Base units in one unit of ``value``.
    """
    if not math.isfinite(value):
        return Unknown("the circuit model gives no finite value")
    scaled = Fraction(value) * scale
    return Exact(math.floor(scaled) if scaled < 0 else math.ceil(scaled))
