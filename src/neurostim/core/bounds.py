"""The bounds of program format 1, as data, and the bounds of a device's grid.

They are what the format can say at all; what may be delivered is the safety gate's to decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final


@dataclass(frozen=True, slots=True)
class Bound:
    """The closed range of one field in its base unit, and how to write it for people."""

    low: Fraction | int
    high: Fraction | int
    text: str

    def admits(self, value: Fraction | int) -> bool:
        """Whether ``value`` lies in the range, both ends included."""
        return self.low <= value <= self.high


DAY_NS: Final = 86_400 * 10**9

AMPLITUDE_NA: Final = Bound(0, 150_000_000, "0 to 150 mA in whole nA")
WIDTH_NS: Final = Bound(1_000, 10_000_000, "1 us to 10 ms")
INTERPHASE_NS: Final = Bound(0, 10_000_000, "0 to 10 ms")
RATE_HZ: Final = Bound(Fraction(1, 1000), Fraction(20_000), "0.001 Hz to 20 kHz, at most 3 decimals in Hz")
INTERVAL_NS: Final = Bound(50_000, 1000 * 10**9, "50 us to 1000 s")
BURST_PULSES: Final = Bound(2, 1000, "2 to 1000 pulses")
RATIO: Final = Bound(2, 20, "an integer from 2 to 20")
RAMP_NS: Final = Bound(0, 60 * 10**9, "0 to 60 s")
ON_NS: Final = Bound(100_000_000, DAY_NS, "0.1 s to 24 h")
OFF_NS: Final = Bound(0, DAY_NS, "0 to 24 h")
DELAY_NS: Final = Bound(0, 60 * 10**9, "0 to 60 s, less than the duration")
DURATION_NS: Final = Bound(1, 365 * DAY_NS, "up to 365 days, or absent")
AREAS: Final = Bound(1, 8, "1 to 8 areas")
PRIORITY: Final = Bound(0, 255, "0 to 255")
SHARE_PERMILLE: Final = Bound(-1000, 1000, "-100 % to +100 % in steps of 0.1 %")
CONTACT: Final = Bound(1, 32, "device contacts 1 to 32, or the return pad")

TICK_NS: Final = Bound(1, 1_000_000, "1 ns to 1 ms")
STEP_NA: Final = Bound(1, 10_000_000, "1 nA to 10 mA")
GUARD_NS: Final = Bound(0, 10_000_000, "0 to 10 ms")
RECOVERY_MIN_NS: Final = Bound(0, 100_000_000, "0 to 100 ms")

HORIZON_NS: Final = 2**60
"""Latest instant any time arithmetic is asked for [ns], about 36 years."""

PASSIVE_LIMIT_NS: Final = 100_000_000
"""Longest passive stretch after a pulse [ns] (rule 9)."""
