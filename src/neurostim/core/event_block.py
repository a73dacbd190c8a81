"""Rows of the event table in memory: one array a column. Nothing is computed here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import numpy.typing as npt

from neurostim.core.program import Recharge
from neurostim.core.timing import AreaTiming

KIND_NAMES: Final = ("stim", "recharge", "passive")
STIM, RECHARGE, SHORTED = range(3)


@dataclass(frozen=True)
class EventBlock:
    """Consecutive rows of the event table, one array a column.

    ``start_ns``, ``duration_ns``, ``unit`` int64; ``contact``, ``area`` int16; ``kind`` int8 (index into
    `KIND_NAMES`); ``amplitude_na``, ``pulse`` int32. Sorted by start, then contact (return last).
    ``area`` is the index in file order; ``unit`` counts the area's nominal units from the start of
    the program, dropped ones included.
    """

    start_ns: npt.NDArray[np.int64]
    duration_ns: npt.NDArray[np.int64]
    contact: npt.NDArray[np.int16]
    kind: npt.NDArray[np.int8]
    amplitude_na: npt.NDArray[np.int32]
    area: npt.NDArray[np.int16]
    unit: npt.NDArray[np.int64]
    pulse: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.start_ns)

    @classmethod
    def empty(cls, rows: int) -> EventBlock:
        """A block of uninitialised rows."""
        return cls(
            np.empty(rows, dtype=np.int64),
            np.empty(rows, dtype=np.int64),
            np.empty(rows, dtype=np.int16),
            np.empty(rows, dtype=np.int8),
            np.empty(rows, dtype=np.int32),
            np.empty(rows, dtype=np.int16),
            np.empty(rows, dtype=np.int64),
            np.empty(rows, dtype=np.int32),
        )

    def take(self, rows: slice | npt.NDArray[np.int64]) -> EventBlock:
        """The chosen rows."""
        return EventBlock(*(getattr(self, one.name)[rows] for one in fields(self)))


def rows_per_unit(timing: AreaTiming) -> int:
    """Rows of one unit of an area whose recovery no other area cuts and whose contacts all carry current."""
    recharge = timing.area.recharge
    each = len(timing.phases) * timing.pulses
    if recharge.is_passive:
        each += timing.pulses if recharge is Recharge.PASSIVE else 1
    return each * len(timing.area.shares)
