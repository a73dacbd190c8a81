"""How the bounds of program format 1 stand in a file, and the integer products they lead to.

The numbers are those of `neurostim.core.bounds`: what the format can express. What may be delivered is
narrower and is the work of the safety gate.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from neurostim.core import bounds as core
from neurostim.core.bounds import Bound as Range
from neurostim.core.units import CURRENT, NS_PER_S, PERCENT, RATE, TIME, Dimension, format_quantity

INT16_MAX: Final = 2**15 - 1
INT32_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1

MAX_FILE_BYTES: Final = 64 * 1024
MAX_LINE_CHARACTERS: Final = 4096
MAX_NAME_CHARACTERS: Final = 120
MAX_SOURCE_CHARACTERS: Final = 400
MAX_LEADS: Final = 32
MAX_CONTACT_NUMBER: Final = 32

_HOUR: Final = 3600 * NS_PER_S
_DAY: Final = 24 * _HOUR


@dataclass(frozen=True, slots=True)
class Bound:
    """One bounded quantity of the format, both ends included, in the dimension's base unit.

    ``resolution`` is the finest step the format can say, in the base unit.
    """

    name: str
    dimension: Dimension
    low: Fraction
    high: Fraction
    resolution: Fraction = Fraction(1)

    def holds(self, value: Fraction) -> bool:
        """Whether the value lies within the bound (its resolution is judged apart)."""
        return self.low <= value <= self.high

    @property
    def text(self) -> str:
        """The bound for people, such as ``1 us to 10 ms``."""
        return f"{_plain(self.low, self.dimension)} to {_plain(self.high, self.dimension)}"


@dataclass(frozen=True, slots=True)
class Count:
    """One bounded whole number of the format, both ends included."""

    name: str
    low: int
    high: int

    @property
    def text(self) -> str:
        """The bound for people."""
        return f"a whole number from {self.low} to {self.high}"


def _plain(value: Fraction, dimension: Dimension) -> str:
    if dimension is TIME and value == 365 * _DAY:
        return "365 days"
    if dimension is TIME and value and value % _HOUR == 0:
        return f"{value // _HOUR} h"
    if value == 0:
        return {"time": "0 s", "current": "0 mA"}.get(dimension.name, f"0 {dimension.base}")
    if dimension is RATE and value < 1:
        return f"{float(value):g} Hz"
    return format_quantity(value, dimension)


def _bound(name: str, dimension: Dimension, limits: Range, resolution: Fraction = Fraction(1)) -> Bound:
    return Bound(name, dimension, Fraction(limits.low), Fraction(limits.high), resolution)


def _count(name: str, limits: Range) -> Count:
    return Count(name, int(limits.low), int(limits.high))


AMPLITUDE: Final = _bound("amplitude", CURRENT, core.AMPLITUDE_NA)
RATE_BOUND: Final = _bound("rate", RATE, core.RATE_HZ, Fraction(1, 1000))
INTERVAL: Final = _bound("interval", TIME, core.INTERVAL_NS)
WIDTH: Final = _bound("width", TIME, core.WIDTH_NS)
INTERPHASE: Final = _bound("interphase", TIME, core.INTERPHASE_NS)
RAMP: Final = _bound("ramp", TIME, core.RAMP_NS)
CYCLE_ON: Final = _bound("cycle on", TIME, core.ON_NS)
CYCLE_OFF: Final = _bound("cycle off", TIME, core.OFF_NS)
DELAY: Final = _bound("delay", TIME, core.DELAY_NS)
DURATION: Final = _bound("duration", TIME, core.DURATION_NS)
MARK_PERCENT: Final = Bound("percent of a mark", PERCENT, Fraction(1, 10), Fraction(200), Fraction(1, 10))

AREAS: Final = _count("areas", core.AREAS)
BURST_PULSES: Final = _count("pulses in a burst", core.BURST_PULSES)
RATIO: Final = _count("ratio", core.RATIO)
PRIORITY: Final = _count("priority", core.PRIORITY)

QUANTITY_BOUNDS: Final = (
    AMPLITUDE,
    RATE_BOUND,
    INTERVAL,
    WIDTH,
    INTERPHASE,
    RAMP,
    CYCLE_ON,
    CYCLE_OFF,
    DELAY,
    DURATION,
    MARK_PERCENT,
)

WHOLE_PERMILLE: Final = 1000


class Holder(enum.Enum):
    """What a product must be held in."""

    INT16 = INT16_MAX
    INT32 = INT32_MAX
    INT64 = INT64_MAX
    PYTHON = None


@dataclass(frozen=True, slots=True)
class Product:
    """The largest value an integer product of the format can reach, and the type that holds it.

    ``PYTHON`` says that 64 bits are too few: such a product is made of Python integers, never in a kernel.
    """

    name: str
    largest: int
    holder: Holder


_amplitude: Final = int(AMPLITUDE.high)
_width: Final = int(WIDTH.high)
_ratio: Final = RATIO.high
_pulses: Final = BURST_PULSES.high
_duration: Final = int(DURATION.high)
_rate: Final = int(RATE_BOUND.high)
_units: Final = _duration // NS_PER_S * _rate
_pulse_length: Final = _width + int(INTERPHASE.high) + _width * _ratio
_period_numerator: Final = NS_PER_S * 1000

PRODUCTS: Final = (
    Product("amplitude [nA]", _amplitude, Holder.INT32),
    Product("share of a contact [0.1 %]", WHOLE_PERMILLE, Holder.INT16),
    Product("ticks of 1 ns in a width with its recharge, ratio 20", _pulse_length, Holder.INT32),
    Product("amplitude x share [nA x 0.1 %]", _amplitude * WHOLE_PERMILLE, Holder.INT64),
    Product("charge of a phase [aC]", _amplitude * _width, Holder.INT64),
    Product("charge of the middle phase of a triphasic pulse [aC]", _amplitude * 2 * _width, Holder.INT64),
    Product("charge of an unrecovered burst [aC]", _amplitude * _width * _pulses, Holder.INT64),
    Product("end of a program, ticks of 1 ns", _duration + _pulse_length, Holder.INT64),
    Product("a window's start, ticks of 1 ns", int(DELAY.high) + _duration, Holder.INT64),
    Product("units in a program", _units, Holder.INT64),
    Product("pulses in a program", _units * _pulses, Holder.INT64),
    Product("period [ns], numerator over a rate in mHz", _period_numerator, Holder.INT64),
    Product("span of a burst [ns x mHz]", (_pulses - 1) * _period_numerator, Holder.INT64),
    Product("onset of the last unit [ns x mHz]", _units * _period_numerator, Holder.PYTHON),
    Product("ramp factor [nA x 0.1 % x ns]", _amplitude * WHOLE_PERMILLE * int(RAMP.high), Holder.PYTHON),
    Product("charge of a program [aC]", _amplitude * _width * _units * _pulses, Holder.PYTHON),
)
