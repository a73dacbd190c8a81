"""Rules 1 and 2: an area's on-windows and the nominal onsets of its units in any stretch of time.

Random access: an onset is computed from its window's start and its index, never from the one before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neurostim.conformance.reading import AreaReading
from neurostim.core.errors import ConfigError

I64 = NDArray[np.int64]
NEVER: Final = (1 << 62) - 1
_SAFE: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Nominal:
    """Nominal units in time order, in ticks.

    Onset, start and end of the window (`NEVER` without end), next own nominal onset (`NEVER` where
    there is none), and the running index from the start of the program.
    """

    onset: I64
    start: I64
    end: I64
    following: I64
    unit: I64

    def take(self, which: NDArray[np.bool_]) -> Nominal:
        """Some of the units."""
        return Nominal(
            self.onset[which], self.start[which], self.end[which], self.following[which], self.unit[which]
        )


@dataclass(slots=True)
class Train:
    """The train of one area: its windows and its nominal onsets, on a grid."""

    area: AreaReading
    tick_ns: int
    duration_ns: int | None
    _per_pattern: list[int] = field(default_factory=list)

    @property
    def cycle_ns(self) -> int | None:
        """Distance between the starts of two on-windows [ns]; None without a cycle."""
        return None if self.area.on_ns is None else self.area.on_ns + self.area.off_ns

    def window(self, n: int) -> tuple[int, int] | None:
        """Start and end [ticks] of on-window ``n``, floored; None where there is none."""
        if self.cycle_ns is None and n > 0:
            return None
        begin_ns = self.area.delay_ns + n * (self.cycle_ns or 0)
        if self.duration_ns is not None and begin_ns >= self.duration_ns:
            return None
        end_ns = self.duration_ns
        if self.area.on_ns is not None:
            own = begin_ns + self.area.on_ns
            end_ns = own if end_ns is None else min(own, end_ns)
        return begin_ns // self.tick_ns, NEVER if end_ns is None else end_ns // self.tick_ns

    def count(self, length: int) -> int:
        """Nominal units in a window of ``length`` ticks: every k with T(k) < length."""
        return math.ceil(length / self.area.period) if length > 0 else 0

    def units_before(self, n: int) -> int:
        """Nominal units of all windows before window ``n``, which must exist."""
        if n == 0 or self.cycle_ns is None:
            return 0
        pattern = self.tick_ns // math.gcd(self.cycle_ns, self.tick_ns)
        if not self._per_pattern:
            self._per_pattern.append(0)
        while len(self._per_pattern) <= min(n, pattern):
            begin_ns = self.area.delay_ns + (len(self._per_pattern) - 1) * self.cycle_ns
            assert self.area.on_ns is not None
            length = (begin_ns + self.area.on_ns) // self.tick_ns - begin_ns // self.tick_ns
            self._per_pattern.append(self._per_pattern[-1] + self.count(length))
        whole, rest = divmod(n, pattern)
        return (whole * self._per_pattern[pattern] if whole else 0) + self._per_pattern[rest]

    def nominal(self, low: int, high: int, most: int) -> Nominal:
        """Nominal units with onset in [low, high) ticks.

        Raises
        ------
        ConfigError
            Where there are more than ``most`` of them.
        """
        low = max(low, 0)
        pieces: list[tuple[int, int, int, int, int, int, int]] = []
        total = 0
        n = self._first_window(low)
        while (window := self.window(n)) is not None and window[0] < high:
            start, end = window
            after = self.window(n + 1)
            window_units = self.count(end - start) if end != NEVER else NEVER
            first = max(0, math.ceil((low - start) / self.area.period))
            last = min(window_units, max(0, math.ceil((high - start) / self.area.period)))
            if last > first:
                total += last - first
                if total > most:
                    raise ConfigError(
                        f"{self.area.name}: more than {most} units in one stretch of the record",
                        allowed=f"at most {most} units at once",
                        code="conformance-size",
                    )
                base = self.units_before(n)
                pieces += self._pieces(
                    first, last, start=start, end=end, base=base, after=NEVER if after is None else after[0]
                )
            n += 1
        return self._expand(pieces)

    def _first_window(self, low: int) -> int:
        if self.cycle_ns is None:
            return 0
        # A window that began one cycle earlier may still hold units: step back once more than the floor says.
        return max(0, (low * self.tick_ns - self.area.delay_ns) // self.cycle_ns - 1)

    def _pieces(
        self, first: int, last: int, *, start: int, end: int, base: int, after: int
    ) -> list[tuple[int, int, int, int, int, int, int]]:
        """Cut units [first, last) of a window so that k x numerator stays inside 64 bits."""
        period = self.area.period
        room = max(1, (_SAFE - period.denominator) // period.numerator - 1)
        pieces = []
        k = first
        while k < last:
            size = min(room, last - k)
            whole, rest = divmod(k * period.numerator, period.denominator)
            pieces.append((size, start, end, after, base + k, start + whole, rest))
            k += size
        return pieces

    def _expand(self, pieces: list[tuple[int, int, int, int, int, int, int]]) -> Nominal:
        table = np.array(pieces, dtype=np.int64).reshape(-1, 7)
        size = table[:, 0]
        row = np.repeat(np.arange(len(table)), size)
        i = np.arange(int(size.sum()), dtype=np.int64) - np.repeat(np.cumsum(size) - size, size)
        p, q = self.area.period.numerator, self.area.period.denominator
        rest = table[row, 6]
        onset = table[row, 5] + (rest + i * p) // q
        following = table[row, 5] + (rest + (i + 1) * p) // q
        return Nominal(
            onset=onset,
            start=table[row, 1],
            end=table[row, 2],
            following=np.minimum(following, table[row, 3]),
            unit=table[row, 4] + i,
        )
