"""Lazy expansion of a schedule into blocks of the event table, from any time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from neurostim.core.bounds import HORIZON_NS
from neurostim.core.event_block import EventBlock, rows_per_unit
from neurostim.core.kernel_rows import merge_order, other_pulses, write_rows
from neurostim.core.placement import Placed, Placer

if TYPE_CHECKING:
    from neurostim.core.schedule import Schedule


class Expander:
    """Expands one schedule; holds the scratch memory that blocks share."""

    def __init__(self, schedule: Schedule, placer: Placer, *, reuse: bool = False) -> None:
        self._tables = schedule.tables
        self._timings = schedule.timings
        self._placer = placer
        self._rows = [rows_per_unit(timing) for timing in self._timings]
        self._reuse = reuse
        self._buffer = EventBlock.empty(0)
        self._cut = np.empty((2, 0), dtype=np.int64)
        passive = [timing.area.recharge.is_passive for timing in self._timings]
        guard = schedule.image.grid.guard_ticks
        # How far before its rows a unit may have begun, and how far after them one may still end a stretch.
        self._back = max(
            timing.unit_length
            + timing.max_shift
            + (timing.area.interphase_ticks + timing.passive_limit if shorted else 0)
            for timing, shorted in zip(self._timings, passive, strict=True)
        )
        self._ahead = 0
        if any(passive):
            self._ahead = guard + max(
                timing.unit_length + timing.area.interphase_ticks + timing.passive_limit
                for timing in self._timings
            )

    def blocks(self, start_ns: int, end_ns: int, block: int) -> Iterator[EventBlock]:
        """Blocks of at most ``block`` rows whose starts lie in [start_ns, end_ns)."""
        tick = self._tables.tick_ns
        low, stop = -(-start_ns // tick), -(-end_ns // tick)
        while low < stop:
            high = min(self._chunk_end(low, block), stop)
            rows = self._range(low, high)
            for begin in range(0, len(rows), block):
                yield rows if len(rows) <= block else rows.take(slice(begin, begin + block))
            low = high

    def _chunk_end(self, low: int, block: int) -> int:
        """A tick before which about ``block`` rows start, from exact unit counts."""
        load = sum(rows / timing.interval for rows, timing in zip(self._rows, self._timings, strict=True))
        step = max(1, int(block / load) - max(timing.interval for timing in self._timings))
        step = min(step, HORIZON_NS // self._tables.tick_ns)
        base = self._load_before(low)
        while low + 2 * step < HORIZON_NS and self._load_before(low + 2 * step) - base <= block:
            step *= 2
        return low + step

    def _load_before(self, ticks: int) -> int:
        return sum(
            rows * timing.nominal_until(ticks) for rows, timing in zip(self._rows, self._timings, strict=True)
        )

    def _range(self, low: int, high: int) -> EventBlock:
        placed = self._placer.place(low - self._back, high + self._ahead)
        capacity = self._capacity(placed)
        rows = self._memory(capacity)
        bounds = [0]
        at = 0
        for index in range(len(self._timings)):
            cuts = self._cuts(placed, index)
            at = write_rows(
                self._tables,
                index,
                placed.counts[index, 0],
                placed.onset[index],
                placed.unit[index],
                placed.run[index],
                low,
                high,
                self._cut[0],
                self._cut[1],
                cuts,
                rows.start_ns,
                rows.duration_ns,
                rows.contact,
                rows.kind,
                rows.amplitude_na,
                rows.area,
                rows.unit,
                rows.pulse,
                at,
            )
            bounds.append(at)
        rows = rows.take(slice(0, at))
        if len(self._timings) == 1:
            return rows
        order = np.empty(at, dtype=np.int64)
        merge_order(rows.start_ns, rows.contact, rows.kind, np.array(bounds, dtype=np.int64), order)
        return rows.take(order)

    def _memory(self, rows: int) -> EventBlock:
        if not self._reuse:
            return EventBlock.empty(rows)
        if len(self._buffer) < rows:
            self._buffer = EventBlock.empty(rows)
        return self._buffer

    def _capacity(self, placed: Placed) -> int:
        units = [int(count) for count in placed.counts[:, 0]]
        rows = sum(count * each for count, each in zip(units, self._rows, strict=True))
        if len(units) > 1:
            # Each pulse of another area can cut a stretch in two.
            for index, timing in enumerate(self._timings):
                if timing.area.recharge.is_passive:
                    pieces = sum(
                        count * other.pulses
                        for number, (count, other) in enumerate(zip(units, self._timings, strict=True))
                        if number != index
                    )
                    rows += pieces * len(timing.area.shares)
        return rows

    def _cuts(self, placed: Placed, index: int) -> int:
        if len(self._timings) == 1 or not self._timings[index].area.recharge.is_passive:
            return 0
        most = sum(
            int(placed.counts[other, 0]) * timing.pulses
            for other, timing in enumerate(self._timings)
            if other != index
        )
        if most > self._cut.shape[1]:
            self._cut = np.empty((2, most), dtype=np.int64)
        return int(other_pulses(self._tables, index, placed.onset, placed.counts, self._cut[0], self._cut[1]))
