"""The program image: a program on one device's grid, in integers only; what a device is loaded with.

The bytes of an image are made by `neurostim.wire.image`; both sides compute SHA-256 over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neurostim.core.program import Recharge

RETURN_INDEX: Final = 255


@dataclass(frozen=True, slots=True)
class Grid:
    """What a device rounds to.

    ``tick_ns`` is the time step [ns], ``step_na`` the amplitude step [nA]; the guard between
    areas and the shortest passive recovery are in ticks, rounded up.
    """

    tick_ns: int
    step_na: int
    guard_ticks: int
    recovery_min_ticks: int

    @classmethod
    def of(cls, tick_ns: int, step_na: int, guard_ns: int = 20_000, recovery_min_ns: int = 400_000) -> Grid:
        """Make a grid from times in ns; the defaults are those of the program format."""
        return cls(tick_ns, step_na, -(-guard_ns // tick_ns), -(-recovery_min_ns // tick_ns))


@dataclass(frozen=True, slots=True)
class ImageArea:
    """One area of an image.

    Attributes
    ----------
    amplitude_na : int
        Current of the stimulation phase before sharing [nA].
    shares : tuple of (int, int)
        Device contact (1 upward, `RETURN_INDEX` for the return pad) and share in 0.1 %,
        in ascending contact order.
    width_ticks, interphase_ticks : int
        Rounded widths [ticks].
    recharge, ratio
        Kind of recharge; ``ratio`` is 1 except for active-asymmetric (2..20).
    period_num, period_den : int
        Exact time from unit to unit, ``num / den`` ns in lowest terms.
    burst_pulses, burst_period_num, burst_period_den : int
        Pulses in a unit (1 where there is no burst) and their exact spacing [ns]; 0/1 without burst.
    ramp_up_ns, ramp_down_ns, delay_ns : int
        As in the file [ns].
    on_ns, off_ns : int
        Cycle [ns]; both 0 where there is none.
    priority : int
        Who yields when areas meet: the lower number stays; ties by order.
    """

    amplitude_na: int
    shares: tuple[tuple[int, int], ...]
    width_ticks: int
    interphase_ticks: int
    recharge: Recharge
    ratio: int
    period_num: int
    period_den: int
    burst_pulses: int
    burst_period_num: int
    burst_period_den: int
    ramp_up_ns: int
    ramp_down_ns: int
    delay_ns: int
    on_ns: int
    off_ns: int
    priority: int


@dataclass(frozen=True, slots=True)
class ProgramImage:
    """A whole program on a grid. ``duration_ns`` 0 means until stopped."""

    grid: Grid
    areas: tuple[ImageArea, ...]
    duration_ns: int
    interleave_drop: bool
    bench: bool
