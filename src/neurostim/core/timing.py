"""The exact timing of one area on a grid: windows, onsets, widths and counts, in Python integers.

Rules 1 to 4 of the program format, as closed forms: nothing here depends on how late in the
program a question is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from neurostim.core.bounds import HORIZON_NS, PASSIVE_LIMIT_NS
from neurostim.core.image import Grid, ImageArea
from neurostim.core.program import Recharge


@dataclass(frozen=True, slots=True)
class Window:
    """One on-window: its number, first tick, and the tick after its last; ``end`` None is endless."""

    number: int
    start: int
    end: int | None

    @property
    def length(self) -> int | None:
        """Length [ticks], None where endless."""
        return None if self.end is None else self.end - self.start


@dataclass(frozen=True, slots=True)
class AreaTiming:
    """Timing of one area; all durations and offsets in ticks.

    Attributes
    ----------
    period : Fraction
        Exact time from unit to unit [ticks]; unit k of a window is at ``floor(k x period)``.
    burst_period : Fraction
        Exact time from pulse to pulse within a unit [ticks], 0 without burst.
    pulses : int
        Pulses in a unit.
    phases : tuple of (int, int, int, int)
        Driven phases of a pulse: offset from its onset, width, sign times 1, divisor of the
        contact current (the ratio for asymmetric recharge, else 1).
    pulse_length : int
        L of rule 3: from onset to the end of the last driven phase.
    occupancy, last_occupancy : int
        O of a pulse that is not the last of its unit, and of the last.
    interval : int
        ``floor(period)``.
    unit_length : int
        From the first onset of a unit to the end of its last driven phase.
    unit_occupancy : int
        From the first onset of a unit to the end of its last occupancy.
    """

    area: ImageArea
    tick_ns: int
    duration_ns: int
    period: Fraction
    burst_period: Fraction
    pulses: int
    phases: tuple[tuple[int, int, int, int], ...]
    pulse_length: int
    occupancy: int
    last_occupancy: int
    interval: int
    unit_length: int
    unit_occupancy: int

    @classmethod
    def of(cls, area: ImageArea, grid: Grid, duration_ns: int) -> AreaTiming:
        """Derive the timing of ``area``; ``duration_ns`` 0 is endless."""
        tick = grid.tick_ns
        period = Fraction(area.period_num, area.period_den * tick)
        pulses = area.burst_pulses
        burst_period = (
            Fraction(area.burst_period_num, area.burst_period_den * tick) if pulses > 1 else Fraction(0)
        )
        phases = _phases(area)
        length = max(offset + width for offset, width, _, _ in phases)
        recovery = area.interphase_ticks + grid.recovery_min_ticks
        occupancy = length + recovery if area.recharge is Recharge.PASSIVE else length
        last = length + recovery if area.recharge.is_passive else length
        span = int((pulses - 1) * burst_period)
        return cls(
            area=area,
            tick_ns=tick,
            duration_ns=duration_ns,
            period=period,
            burst_period=burst_period,
            pulses=pulses,
            phases=phases,
            pulse_length=length,
            occupancy=occupancy,
            last_occupancy=last,
            interval=int(period),
            unit_length=span + length,
            unit_occupancy=span + last,
        )

    @property
    def cycle_ns(self) -> int:
        """Time from window to window [ns], 0 without cycle."""
        return self.area.on_ns + self.area.off_ns

    @property
    def max_shift(self) -> int:
        """The farthest a unit may move for another area [ticks] (rule 8)."""
        return self.interval // 4

    @property
    def least_spacing(self) -> int:
        """The least ticks from any pulse of the area to its next, window to window included."""
        last = self.pulse_onset(self.pulses - 1)
        spacing = self.interval - last
        if self.pulses > 1:
            spacing = min(spacing, int(self.burst_period))
        for length, distance in self.window_kinds() if self.cycle_ns else ():
            units = self.units_fitting(length)
            if distance is not None and units:
                spacing = min(spacing, distance - self.onset(units - 1) - last)
        return spacing

    @property
    def passive_limit(self) -> int:
        """The longest passive stretch after a pulse [ticks]."""
        return PASSIVE_LIMIT_NS // self.tick_ns

    @property
    def window_count(self) -> int | None:
        """Number of windows, None where there is no end."""
        if self.cycle_ns == 0:
            return 1
        if self.duration_ns == 0:
            return None
        return max(0, -(-(self.duration_ns - self.area.delay_ns) // self.cycle_ns))

    def window(self, number: int) -> Window:
        """Window ``number`` (0 upward), its ends floored to ticks and cut at the duration."""
        start_ns = self.area.delay_ns + number * self.cycle_ns
        if self.cycle_ns:
            end_ns = start_ns + self.area.on_ns
            end_ns = min(end_ns, self.duration_ns) if self.duration_ns else end_ns
        elif self.duration_ns:
            end_ns = self.duration_ns
        else:
            return Window(number, start_ns // self.tick_ns, None)
        return Window(number, start_ns // self.tick_ns, end_ns // self.tick_ns)

    def windows(self, from_ns: int = 0, to_ns: int = HORIZON_NS) -> Iterator[Window]:
        """Windows that begin before ``to_ns``, from the last that begins at or before ``from_ns``."""
        number = max(0, (from_ns - self.area.delay_ns) // self.cycle_ns) if self.cycle_ns else 0
        count = self.window_count
        while (count is None or number < count) and (self.area.delay_ns + number * self.cycle_ns < to_ns):
            yield self.window(number)
            number += 1

    def onset(self, k: int) -> int:
        """T(k): ticks from the start of a window to its nominal unit k."""
        return k * self.period.numerator // self.period.denominator

    def pulse_onset(self, j: int) -> int:
        """b(j): ticks from the onset of a unit to its pulse j."""
        return j * self.burst_period.numerator // self.burst_period.denominator

    def units_before(self, ticks: int) -> int:
        """How many k have T(k) < ``ticks``."""
        if ticks <= 0:
            return 0
        return -(-ticks * self.period.denominator // self.period.numerator)

    def units_fitting(self, length: int) -> int:
        """How many units of a window of ``length`` ticks end whole within it (rule 4, not shifted)."""
        return self.units_before(length - self.unit_length + 1)

    def nominal_before(self, number: int) -> int:
        """Nominal units in all windows before window ``number``: the running index of its unit 0."""
        if number == 0 or self.cycle_ns == 0:
            return 0
        short = self.area.on_ns // self.tick_ns
        long_windows = self.long_windows(number)
        return (number - long_windows) * self.units_before(short) + long_windows * self.units_before(
            short + 1
        )

    def nominal_until(self, ticks: int) -> int:
        """How many nominal units of all windows have an onset before ``ticks``."""
        tick, delay = self.tick_ns, self.area.delay_ns
        begun = 1 if self.cycle_ns == 0 else max(0, -(-(ticks * tick - delay) // self.cycle_ns))
        if self.window_count is not None:
            begun = min(begun, self.window_count)
        if begun == 0:
            return 0
        last = self.window(begun - 1)
        ends = ticks if last.end is None else min(ticks, last.end)
        return self.nominal_before(begun - 1) + self.units_before(ends - last.start)

    def window_kinds(self) -> set[tuple[int, int | None]]:
        """Every pair (length, ticks to the next window or None) that occurs; cycled areas only."""
        tick, cycle, on = self.tick_ns, self.cycle_ns, self.area.on_ns
        count = self.window_count
        # Window starts repeat modulo the tick after this many windows; the last window has no next.
        repeats = Fraction(cycle, tick).denominator
        followed = repeats if count is None else min(repeats, count - 1)
        most = (1 + (on % tick > 0)) * (1 + (cycle % tick > 0))
        kinds: set[tuple[int, int | None]] = set()
        for number in range(followed):
            phase = (self.area.delay_ns + number * cycle) % tick
            kinds.add(((phase + on) // tick, (phase + cycle) // tick))
            if len(kinds) == most:
                break
        if count:
            last = self.window(count - 1).length
            if last is not None:
                kinds.add((last, None))
        return kinds

    def long_windows(self, number: int) -> int:
        """How many of the first ``number`` uncut windows are one tick longer than ``floor(on)``."""
        tick, on = self.tick_ns, self.area.on_ns % self.tick_ns
        first, cycle = self.area.delay_ns % tick, self.cycle_ns % tick
        return floor_sum(number, tick, cycle, first + on) - floor_sum(number, tick, cycle, first)


def _phases(area: ImageArea) -> tuple[tuple[int, int, int, int], ...]:
    width, gap = area.width_ticks, area.interphase_ticks
    if area.recharge is Recharge.TRIPHASIC:
        return ((0, width, 1, 1), (width + gap, 2 * width, -1, 1), (3 * width + 2 * gap, width, 1, 1))
    if area.recharge in (Recharge.ACTIVE_SYMMETRIC, Recharge.ACTIVE_ASYMMETRIC):
        return ((0, width, 1, 1), (width + gap, width * area.ratio, -1, area.ratio))
    return ((0, width, 1, 1),)


def floor_sum(count: int, modulus: int, slope: int, offset: int) -> int:
    """Sum of ``floor((slope x i + offset) / modulus)`` over i in 0 .. count - 1, in O(log) steps.

    The Euclid-like reduction of lattice-point counting; all arguments at least 0.
    """
    total = 0
    while count > 0:
        total += (count - 1) * count // 2 * (slope // modulus) + count * (offset // modulus)
        slope %= modulus
        offset %= modulus
        top = slope * count + offset
        if top < modulus:
            break
        count, offset = divmod(top, modulus)
        modulus, slope = slope, modulus
    return total
