"""The exact envelope of any window of a schedule, straight from the program.

For each contact and column of time: the least and greatest current that flows in it at any instant.
No samples are made, so nothing is missed between them, and a day costs what a second costs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from neurostim.core.errors import ConfigError
from neurostim.core.kernel_envelope import (
    build_trees,
    edge_units,
    inside_columns,
    locate_edges,
    lone_edge_units,
    walk_units,
)
from neurostim.core.placement import Placer, chunks, unit_bound

if TYPE_CHECKING:
    from neurostim.core.schedule import Schedule

Int64 = npt.NDArray[np.int64]
Int32 = npt.NDArray[np.int32]

_WALKED_UNITS_PER_COLUMN = 4
_MAX_COLUMNS = 1 << 16


class Enveloper:
    """Makes envelopes of one schedule; holds the range trees of its ramps."""

    def __init__(self, schedule: Schedule, placer: Placer) -> None:
        self._contacts = schedule.contacts
        self._tables = schedule.tables
        self._timings = schedule.timings
        self._placer = placer
        self._dropping = schedule.interleave.dropping
        shifts = [area.worst_shift_ticks for area in schedule.interleave.areas]
        self._margins = np.array(
            [timing.unit_length + shift for timing, shift in zip(self._timings, shifts, strict=True)],
            dtype=np.int64,
        )
        self._rows = [
            np.array([self._contacts.index(contact) for contact, _ in timing.area.shares], dtype=np.int64)
            for timing in self._timings
        ]
        rows, columns = self._tables.currents.shape
        self._bottom = np.zeros((rows, columns), dtype=np.int32)
        self._top = np.zeros((rows, columns), dtype=np.int32)
        self._least = np.zeros((2 * rows, columns), dtype=np.int32)
        self._most = np.zeros((2 * rows, columns), dtype=np.int32)
        self._driven = np.zeros((rows, columns), dtype=np.int64)
        build_trees(self._tables, self._bottom, self._top, self._least, self._most, self._driven)

    def envelope(self, start_ns: int, duration_ns: int, columns: int) -> Int32:
        """Least and greatest current [nA] in each column: int32[contacts, columns, 2]."""
        if start_ns < 0 or duration_ns < 1 or not 1 <= columns <= _MAX_COLUMNS:
            raise ConfigError(
                f"found start {start_ns} ns, duration {duration_ns} ns, {columns} columns",
                allowed=f"start from 0, duration from 1 ns, 1 to {_MAX_COLUMNS} columns",
                code="range",
            )
        distinct = min(columns, duration_ns)
        if distinct * duration_ns < 1 << 62:
            edges = start_ns + np.arange(distinct + 1, dtype=np.int64) * duration_ns // distinct
        else:
            edges = np.array(
                [start_ns + i * duration_ns // distinct for i in range(distinct + 1)], dtype=np.int64
            )
        result = self._columns(edges)
        if distinct < columns:
            # Columns finer than 1 ns repeat the nanosecond they begin in.
            result = result[:, [i * duration_ns // columns for i in range(columns)]]
        return result

    def _columns(self, edges: Int64) -> Int32:
        shape = (len(self._contacts), len(edges) - 1)
        floor = np.full(shape, np.iinfo(np.int32).max, dtype=np.int32)
        ceiling = np.full(shape, np.iinfo(np.int32).min, dtype=np.int32)
        driven_ns = np.zeros(shape, dtype=np.int64)
        tick = self._tables.tick_ns
        low = int(edges[0]) // tick - int(self._margins.max()) - max(t.max_shift for t in self._timings)
        high = -(-int(edges[-1]) // tick)
        narrowest = int(np.diff(edges).min()) // tick
        units = sum(timing.nominal_until(high) - timing.nominal_until(low) for timing in self._timings)
        many = units > _WALKED_UNITS_PER_COLUMN * shape[1]
        if many and not self._dropping and narrowest > int(self._margins.max()) + 1:
            self._closed(edges, floor, ceiling, driven_ns)
        else:
            self._walked(low, high, edges, floor, ceiling, driven_ns)
        still = driven_ns < np.diff(edges)[None, :]
        result = np.empty((*shape, 2), dtype=np.int32)
        result[:, :, 0] = np.where(still, np.minimum(floor, 0), floor)
        result[:, :, 1] = np.where(still, np.maximum(ceiling, 0), ceiling)
        return result

    def _walked(
        self, low: int, high: int, edges: Int64, floor: Int32, ceiling: Int32, driven_ns: Int64
    ) -> None:
        for begin, end in chunks(self._timings, low, high):
            placed = self._placer.place(begin, end)
            for index, rows in enumerate(self._rows):
                count = int(placed.counts[index, 0])
                # Earlier areas are placed beyond the chunk, and each unit may count only once.
                first, last = (int(i) for i in np.searchsorted(placed.nominal[index, :count], (begin, end)))
                walk_units(
                    self._tables,
                    self._bottom,
                    self._top,
                    index,
                    last - first,
                    placed.onset[index, first:last],
                    placed.run[index, first:last],
                    edges,
                    rows,
                    floor,
                    ceiling,
                    driven_ns,
                )

    def _closed(self, edges: Int64, floor: Int32, ceiling: Int32, driven_ns: Int64) -> None:
        near = int(self._margins.max()) + 2
        capacity = len(edges) * max(unit_bound(timing, near) for timing in self._timings)
        onset = np.empty((len(self._timings), capacity), dtype=np.int64)
        run = np.empty_like(onset)
        found = np.zeros(len(self._timings), dtype=np.int64)
        scratch, occupied = self._placer.scratch(near)
        places = np.empty((len(self._timings), 2, len(edges), 3), dtype=np.int64)
        floors = edges // self._tables.tick_ns
        ceilings = floors + (edges % self._tables.tick_ns > 0)
        locate_edges(self._tables, self._margins, floors, ceilings, places)
        if len(self._timings) == 1:
            found[0] = lone_edge_units(self._tables, places[0], onset[0], run[0])
        elif not edge_units(
            self._tables,
            self._margins,
            places,
            floors,
            ceilings,
            scratch.onset,
            scratch.unit,
            scratch.run,
            scratch.nominal,
            occupied,
            scratch.counts,
            onset,
            run,
            found,
        ):
            raise AssertionError("more units near the edges of columns than their bound")
        for index, rows in enumerate(self._rows):
            walk_units(
                self._tables,
                self._bottom,
                self._top,
                index,
                found[index],
                onset[index],
                run[index],
                edges,
                rows,
                floor,
                ceiling,
                driven_ns,
            )
            inside_columns(
                self._tables,
                self._least,
                self._most,
                self._driven,
                index,
                places[index],
                rows,
                floor,
                ceiling,
                driven_ns,
            )
