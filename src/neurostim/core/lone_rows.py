"""Rows of the one area of a program by whole-array arithmetic: small tables without waking the kernels.

Loading the compiled kernels takes longer than making 100,000 rows. Where rows are many, or areas share the
output, `neurostim.core.expand` is the way; both say the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from neurostim.core.event_block import RECHARGE, SHORTED, STIM, EventBlock, rows_per_unit
from neurostim.core.profile import onsets_from
from neurostim.core.program import Recharge
from neurostim.core.tables import ENDLESS
from neurostim.core.timing import AreaTiming

if TYPE_CHECKING:
    from neurostim.core.schedule import Schedule

MOST_ROWS: Final = 1 << 20
"""Rows up to which this is the quicker way."""

Int64 = npt.NDArray[np.int64]


def is_small(schedule: Schedule, start_ns: int, end_ns: int) -> bool:
    """Whether the rows of [start, end) come from one area and are few."""
    if len(schedule.timings) > 1:
        return False
    timing = schedule.timings[0]
    low, high = start_ns // timing.tick_ns, -(-end_ns // timing.tick_ns)
    units = timing.nominal_until(high) - timing.nominal_until(low)
    return units * rows_per_unit(timing) <= MOST_ROWS


def lone_rows(schedule: Schedule, start_ns: int, end_ns: int, block: int = 1 << 16) -> Iterator[EventBlock]:
    """Blocks of about ``block`` rows whose starts lie in [start_ns, end_ns); programs of one area only."""
    timing = schedule.timings[0]
    tick = timing.tick_ns
    low, high = -(-start_ns // tick), -(-end_ns // tick)
    # A unit may begin so much before its last row.
    tail = timing.unit_length + timing.area.interphase_ticks
    step = max(1, block // rows_per_unit(timing))
    pulses = _Pulses(timing, schedule.image.grid.guard_ticks)
    for window in timing.windows(max(0, low - tail) * tick, high * tick):
        profile = schedule.profile(0, window.length)
        stop = timing.units_before(high - window.start)
        if profile.fitting is not None:
            stop = min(stop, profile.fitting)
        first = timing.units_before(low - tail - window.start)
        base = timing.nominal_before(window.number)
        for begin in range(first, stop, step):
            end = min(begin + step, stop)
            onsets = window.start + onsets_from(timing, begin, end - begin + 1)
            if end == profile.fitting:
                onsets[-1] = _next_window(schedule, window.number)
            unit = np.arange(begin, end, dtype=np.int64)
            run = np.searchsorted(profile.run_starts, unit, side="right") - 1
            rows = pulses.rows(onsets, base + unit, profile.currents[run].astype(np.int64), low, high)
            if len(rows):
                yield rows


def _next_window(schedule: Schedule, number: int) -> int:
    """Onset of the first unit after window ``number`` [ticks], or a time no stretch reaches."""
    timing = schedule.timings[0]
    if timing.cycle_ns == 0:
        return ENDLESS
    # The window after the next begins at least 100 ms later, and no stretch goes on beyond that.
    for following in (number + 1, number + 2):
        if timing.window_count is None or following < timing.window_count:
            window = timing.window(following)
            if schedule.profile(0, window.length).fitting:
                return window.start
    return ENDLESS


class _Pulses:
    """Makes the rows of all pulses of given units of an area."""

    def __init__(self, timing: AreaTiming, guard: int) -> None:
        area = timing.area
        self._timing = timing
        self._guard = guard
        self._contacts = np.array([contact for contact, _ in area.shares], dtype=np.int16)
        self._offsets = np.array([timing.pulse_onset(j) for j in range(timing.pulses)], dtype=np.int64)
        self._phases = timing.phases
        # Which pulses of a unit are followed by a shorted stretch.
        self._shorted = np.full(timing.pulses, area.recharge is Recharge.PASSIVE)
        self._shorted[-1] = area.recharge.is_passive

    def rows(self, onsets: Int64, unit: Int64, currents: Int64, low: int, high: int) -> EventBlock:
        """Rows of units that start in [low, high) ticks.

        ``onsets`` [units + 1] ends with that of the unit after them; ``currents`` is [units, contacts].
        """
        timing, tick = self._timing, self._timing.tick_ns
        columns = len(self._contacts)
        slots = len(self._phases) + int(timing.area.recharge.is_passive)
        shape = (len(unit), timing.pulses, slots, columns)
        begins = onsets[:-1, None] + self._offsets
        start, lasts = np.empty(shape, np.int64), np.empty(shape, np.int64)
        kind, amplitude = np.empty(shape, np.int8), np.empty(shape, np.int32)
        chosen = np.empty(shape, np.bool_)
        for p, (offset, width, sign, divisor) in enumerate(self._phases):
            start[:, :, p] = (begins + offset)[:, :, None]
            lasts[:, :, p] = width
            kind[:, :, p] = RECHARGE if p and timing.area.recharge is not Recharge.TRIPHASIC else STIM
            # The divisor divides every current exactly (rule 6).
            amplitude[:, :, p] = (sign * currents // divisor)[:, None, :]
            chosen[:, :, p] = (currents != 0)[:, None, :]
        if timing.area.recharge.is_passive:
            after = begins + timing.pulse_length + timing.area.interphase_ticks
            # The area's own next pulse, less the guard, or the longest stretch (rule 9).
            following = np.concatenate([begins[:, 1:], onsets[1:, None]], axis=1) - self._guard
            width = np.minimum(following - after, timing.passive_limit)
            start[:, :, -1], lasts[:, :, -1] = after[:, :, None], width[:, :, None]
            kind[:, :, -1], amplitude[:, :, -1] = SHORTED, 0
            driven = (currents != 0).any(axis=1)[:, None] & self._shorted & (width > 0)
            chosen[:, :, -1] = driven[:, :, None]
        chosen &= (start >= low) & (start < high)
        at = np.nonzero(chosen)
        count = len(at[0])
        return EventBlock(
            start[at] * tick,
            lasts[at] * tick,
            self._contacts[at[3]],
            kind[at],
            amplitude[at],
            np.zeros(count, dtype=np.int16),
            unit[at[0]],
            at[1].astype(np.int32),
        )
