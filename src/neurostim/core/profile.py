"""Ramps as runs: the units of one window, gathered into stretches of identical contact currents.

On an amplitude grid a ramp is a staircase, so a window of millions of units is a few hundred runs.
Dose, envelope and expansion all read the same table. Pure numpy; no enumeration outside ramps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurostim.core.image import Grid
from neurostim.core.sharing import contact_currents
from neurostim.core.timing import AreaTiming

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]

_BLOCK = 1 << 16
_SPLIT = 1 << 19


@dataclass(frozen=True)
class WindowProfile:
    """The units of a window of one length.

    Attributes
    ----------
    length : int or None
        Length of the window [ticks]; None is endless.
    nominal : int or None
        Nominal units; None where endless.
    fitting : int or None
        Units that obey rule 4 where nothing shifts them; None where endless.
    run_starts : int64[runs]
        Index of the first unit of each run, ascending from 0; the last run reaches to ``fitting``.
    currents : int32[runs, contacts]
        Contact currents of the first phase [nA], in the area's contact order.
    """

    length: int | None
    nominal: int | None
    fitting: int | None
    run_starts: Int64
    currents: Int32

    def run_counts(self, units: int) -> Int64:
        """How many of the first ``units`` units fall into each run."""
        counts: Int64 = np.diff(np.minimum(self.run_starts, units), append=units)
        return counts


def window_profile(timing: AreaTiming, grid: Grid, length: int | None) -> WindowProfile:
    """Build the profile of a window of ``length`` ticks (None: endless), exactly (rules 4 to 6)."""
    sharer = _Sharer(timing, grid)
    area, tick = timing.area, timing.tick_ns
    up_units = timing.units_before(-(-area.ramp_up_ns // tick))
    full = np.array([sharer.full], dtype=np.int32)
    if length is None:
        nominal = fitting = None
        down_from = up_units
    else:
        nominal = timing.units_before(length)
        fitting = timing.units_fitting(length)
        up_units = min(up_units, fitting)
        down_from = fitting
        if area.ramp_down_ns:
            down_from = min(fitting, timing.units_before(length + 1 - -(-area.ramp_down_ns // tick)))
    pieces: list[tuple[Int64, Int32]] = []
    pieces.extend(sharer.enumerate(0, min(up_units, down_from), length))
    if length is None or down_from > up_units:
        pieces.append((np.array([up_units], dtype=np.int64), full))
        pieces.extend(sharer.enumerate(down_from, fitting or 0, length))
    else:
        pieces.extend(sharer.enumerate(down_from, fitting or 0, length))
    if not pieces:
        pieces.append((np.zeros(1, dtype=np.int64), full))
    starts = np.concatenate([piece[0] for piece in pieces])
    currents = np.concatenate([piece[1] for piece in pieces])
    kept = _changes(currents)
    return WindowProfile(length, nominal, fitting, starts[kept], np.ascontiguousarray(currents[kept]))


def _changes(currents: Int32) -> npt.NDArray[np.bool_]:
    changed = np.ones(len(currents), dtype=np.bool_)
    changed[1:] = (currents[1:] != currents[:-1]).any(axis=1)
    return changed


def onsets_from(timing: AreaTiming, first: int, count: int) -> Int64:
    """T(k) [ticks] for ``count`` units (at most 65537) from ``first`` on.

    Seeded with Python integers: ``first`` x numerator may exceed 64 bits, a block of it cannot
    (65537 x 10^12 + 2 x 10^13 < 2^63).
    """
    period = timing.period
    onset, carry = divmod(first * period.numerator, period.denominator)
    steps = np.arange(count, dtype=np.int64) * period.numerator + carry
    return onset + steps // period.denominator


class _Sharer:
    """Rule 6 for many units at once, in int64 that cannot overflow within the format's bounds."""

    def __init__(self, timing: AreaTiming, grid: Grid) -> None:
        area = timing.area
        self._timing = timing
        self._area = area
        self._quantum = grid.step_na * area.ratio
        self._shares = [share for _, share in area.shares]
        self.full = list(
            contact_currents(area.amplitude_na, 1, area.shares, grid.step_na, area.ratio).values()
        )

    def enumerate(self, first: int, stop: int, length: int | None) -> list[tuple[Int64, Int32]]:
        """Runs of the units ``first <= k < stop`` of a window, unit by unit."""
        pieces = []
        for begin in range(first, stop, _BLOCK):
            k = np.arange(begin, min(begin + _BLOCK, stop), dtype=np.int64)
            currents = self._currents(onsets_from(self._timing, begin, len(k)), length)
            kept = _changes(currents)
            pieces.append((k[kept], currents[kept]))
        return pieces

    def _currents(self, onsets: Int64, length: int | None) -> Int32:
        area, tick = self._area, self._timing.tick_ns
        since = onsets * tick
        until = None if length is None else (length - onsets) * tick
        result = np.zeros((len(onsets), len(self._shares)), dtype=np.int64)
        total = np.zeros(len(onsets), dtype=np.int64)
        for column, share in enumerate(self._shares):
            if share >= 0:
                continue
            asked = area.amplitude_na * -share
            level = np.full(len(onsets), asked, dtype=np.int64)
            if area.ramp_up_ns:
                level = np.minimum(level, _scaled(asked, since, area.ramp_up_ns))
            if until is not None and area.ramp_down_ns:
                level = np.minimum(level, _scaled(asked, until, area.ramp_down_ns))
            magnitude = level // (1000 * self._quantum) * self._quantum
            result[:, column] = -magnitude
            total += magnitude
        left = total.copy()
        for column, share in enumerate(self._shares):
            if share > 0:
                result[:, column] = total * share // (1000 * self._quantum) * self._quantum
                left -= result[:, column]
        for column, share in enumerate(self._shares):
            if share > 0:
                extra = np.minimum(left, self._quantum)
                result[:, column] += extra
                left -= extra
        return result.astype(np.int32)


def _scaled(asked: int, numerator: Int64, denominator: int) -> Int64:
    """``floor(asked x min(numerator, denominator) / denominator)`` without a 64-bit overflow.

    ``asked`` < 2^38 and ``denominator`` < 2^36; ``asked`` is split at 19 bits, so that no
    product passes 2^56.
    """
    bounded = np.minimum(numerator, denominator)
    high, low = divmod(asked, _SPLIT)
    quotient, remainder = np.divmod(bounded * high, denominator)
    scaled: Int64 = quotient * _SPLIT + (remainder * _SPLIT + bounded * low) // denominator
    return scaled
