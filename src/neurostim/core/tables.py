"""A schedule as plain integer arrays, the form its kernels read. Times in ticks unless named otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from neurostim.core.program import Recharge
from neurostim.core.timing import AreaTiming

if TYPE_CHECKING:
    from neurostim.core.schedule import Schedule

ENDLESS: Final = 1 << 61
"""End of a window that has none [ticks], and the number of windows where there is no last."""

(
    DELAY_NS,
    CYCLE_NS,
    ON_NS,
    PERIOD_NUM,
    PERIOD_DEN,
    PULSES,
    PULSE_LEN,
    OCCUPANCY,
    LAST_OCCUPANCY,
    UNIT_LEN,
    UNIT_OCCUPANCY,
    MAX_SHIFT,
    WINDOWS,
    CUT_WINDOW,
    CUT_END,
    SOLID,
    INTERPHASE,
    PASSIVE,
    PASSIVE_LIMIT,
    CONTACTS,
    PHASES,
    TRIPHASIC,
    SHORT_UNITS,
    LONG_UNITS,
    FIELDS,
) = range(25)
"""Columns of `Tables.area`.

``SOLID``: the unit is one occupancy; ``PASSIVE``: 1 after each pulse, 2 after the unit.
"""

SHORT, LONG, CUT, KINDS = range(4)
"""Kinds of window: ``floor(on)`` ticks, one tick more, and the one cut by the duration (or endless)."""


class Tables(NamedTuple):
    """What the kernels know of a schedule.

    ``area`` int64[areas, FIELDS]; ``offsets`` int64[areas, pulses] onset of each pulse in its unit;
    ``phases`` int64[areas, 3, 4] offset, width, sign, divisor; ``contacts`` int64[areas, columns]
    device contacts; ``order`` int64[areas] areas by placement; ``look_back``,
    ``look_ahead`` int64[areas], in that order: how much farther than a range asked for each area is
    placed, because areas after it depend on it; ``fitting`` int64[areas, KINDS]
    units that fit a window of each kind (rule 4); ``run_first``, ``run_count``
    int64[areas, KINDS] rows of ``run_starts`` int64 and ``currents`` int32[rows, columns].
    """

    area: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    phases: npt.NDArray[np.int64]
    contacts: npt.NDArray[np.int64]
    order: npt.NDArray[np.int64]
    look_back: npt.NDArray[np.int64]
    look_ahead: npt.NDArray[np.int64]
    fitting: npt.NDArray[np.int64]
    run_first: npt.NDArray[np.int64]
    run_count: npt.NDArray[np.int64]
    run_starts: npt.NDArray[np.int64]
    currents: npt.NDArray[np.int32]
    tick_ns: int
    guard: int


def window_lengths(timing: AreaTiming) -> tuple[int | None, int | None, int | None]:
    """Lengths of the window kinds (`SHORT`, `LONG`, `CUT`) that occur; None where one does not.

    An endless window counts as `CUT`, with None as its length: see `cut_window`.
    """
    if timing.cycle_ns == 0:
        return None, None, timing.window(0).length
    short = timing.area.on_ns // timing.tick_ns
    cut = cut_window(timing)
    longer = short + 1 if timing.area.on_ns % timing.tick_ns else None
    return short, longer, None if cut is None else timing.window(cut).length


def cut_window(timing: AreaTiming) -> int | None:
    """Number of the window that the duration cuts (or the only one); None where none is cut."""
    if timing.cycle_ns == 0:
        return 0
    count = timing.window_count
    if count is None:
        return None
    last_start = timing.area.delay_ns + (count - 1) * timing.cycle_ns
    return count - 1 if last_start + timing.area.on_ns > timing.duration_ns else None


def placement_order(schedule: Schedule) -> list[int]:
    """Areas in the order they are placed: by priority, ties in file order."""
    areas = schedule.image.areas
    return sorted(range(len(areas)), key=lambda index: (areas[index].priority, index))


def build_tables(schedule: Schedule) -> Tables:
    """Gather the arrays of a schedule."""
    timings = [schedule.area_timing(index) for index in range(len(schedule.image.areas))]
    count = len(timings)
    columns = max(len(timing.area.shares) for timing in timings)
    area = np.zeros((count, FIELDS), dtype=np.int64)
    offsets = np.zeros((count, max(timing.pulses for timing in timings)), dtype=np.int64)
    phases = np.zeros((count, 3, 4), dtype=np.int64)
    phases[:, :, 3] = 1
    contacts = np.zeros((count, columns), dtype=np.int64)
    fitting = np.zeros((count, KINDS), dtype=np.int64)
    run_first = np.zeros((count, KINDS), dtype=np.int64)
    run_count = np.zeros((count, KINDS), dtype=np.int64)
    starts: list[npt.NDArray[np.int64]] = []
    currents: list[npt.NDArray[np.int32]] = []
    rows = 0
    for index, timing in enumerate(timings):
        area[index] = _fields(timing)
        offsets[index, : timing.pulses] = [timing.pulse_onset(j) for j in range(timing.pulses)]
        phases[index, : len(timing.phases)] = timing.phases
        contacts[index, : len(timing.area.shares)] = [contact for contact, _ in timing.area.shares]
        lengths = window_lengths(timing)
        for kind, length in enumerate(lengths):
            if length is None and not (kind == CUT and timing.cycle_ns == 0):
                continue
            profile = schedule.profile(index, length)
            fitting[index, kind] = ENDLESS if profile.fitting is None else profile.fitting
            run_first[index, kind] = rows
            run_count[index, kind] = len(profile.run_starts)
            starts.append(profile.run_starts)
            padded = np.zeros((len(profile.run_starts), columns), dtype=np.int32)
            padded[:, : profile.currents.shape[1]] = profile.currents
            currents.append(padded)
            rows += len(profile.run_starts)
    order = placement_order(schedule)
    look_back, look_ahead = _reaches([timings[index] for index in order], schedule.image.grid.guard_ticks)
    return Tables(
        area=area,
        offsets=offsets,
        phases=phases,
        contacts=contacts,
        order=np.array(order, dtype=np.int64),
        look_back=look_back,
        look_ahead=look_ahead,
        fitting=fitting,
        run_first=run_first,
        run_count=run_count,
        run_starts=np.concatenate(starts),
        currents=np.concatenate(currents),
        tick_ns=schedule.image.grid.tick_ns,
        guard=schedule.image.grid.guard_ticks,
    )


def _reaches(ordered: list[AreaTiming], guard: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    back = np.zeros(len(ordered), dtype=np.int64)
    ahead = np.zeros(len(ordered), dtype=np.int64)
    for rank in range(len(ordered) - 2, -1, -1):
        mine = ordered[rank]
        shift = mine.max_shift if rank else 0
        back[rank] = back[rank + 1 :].max() + guard + mine.unit_occupancy + shift
        ahead[rank] = max(
            int(ahead[later]) + ordered[later].max_shift + ordered[later].unit_occupancy + guard
            for later in range(rank + 1, len(ordered))
        )
    return back, ahead


def _fields(timing: AreaTiming) -> list[int]:
    area = timing.area
    row = [0] * FIELDS
    cut = cut_window(timing)
    cut_end = None if cut is None else timing.window(cut).end
    short = area.on_ns // timing.tick_ns
    row[DELAY_NS], row[CYCLE_NS], row[ON_NS] = area.delay_ns, timing.cycle_ns, area.on_ns
    row[PERIOD_NUM], row[PERIOD_DEN] = timing.period.numerator, timing.period.denominator
    row[PULSES], row[PULSE_LEN] = timing.pulses, timing.pulse_length
    row[OCCUPANCY], row[LAST_OCCUPANCY] = timing.occupancy, timing.last_occupancy
    row[UNIT_LEN], row[UNIT_OCCUPANCY] = timing.unit_length, timing.unit_occupancy
    row[MAX_SHIFT] = timing.max_shift
    row[WINDOWS] = ENDLESS if timing.window_count is None else timing.window_count
    row[CUT_WINDOW] = -1 if cut is None else cut
    row[CUT_END] = ENDLESS if cut_end is None else cut_end
    row[SOLID] = int(timing.pulses == 1 or area.recharge is Recharge.PASSIVE_AFTER_BURST)
    row[INTERPHASE] = area.interphase_ticks
    row[PASSIVE] = {Recharge.PASSIVE: 1, Recharge.PASSIVE_AFTER_BURST: 2}.get(area.recharge, 0)
    row[PASSIVE_LIMIT] = timing.passive_limit
    row[CONTACTS], row[PHASES] = len(area.shares), len(timing.phases)
    row[TRIPHASIC] = int(area.recharge is Recharge.TRIPHASIC)
    row[SHORT_UNITS], row[LONG_UNITS] = timing.units_before(short), timing.units_before(short + 1)
    return row
