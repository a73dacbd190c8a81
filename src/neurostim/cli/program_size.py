"""How large an event table becomes, said before it is written: a day of 10 kHz fills a disk, silently."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from neurostim.core.errors import ConfigError
from neurostim.core.program import Recharge

if TYPE_CHECKING:
    from neurostim.core.schedule import Schedule
    from neurostim.core.timing import AreaTiming

ROW_BYTES: Final = 40  # of CSV: two times, a label, a word and a current; the longest seen are about 45
NPZ_ROWS: Final = 20_000_000  # an npz is gathered in memory, about 150 bytes a row: 3 GB
ANNOUNCED_ROWS: Final = 5_000_000  # from here writing takes more than some seconds


def expected_rows(schedule: Schedule, start_ns: int, duration_ns: int | None) -> int:
    """About how many rows a table gets; too many where ramps start at zero, units drop or recovery is short.

    Parameters
    ----------
    schedule : Schedule
        What is expanded.
    start_ns, duration_ns : int
        Selection [ns], as for `core.events.write_events`.

    Returns
    -------
    int
        Rows; 0 for a program until stopped without a duration, which is refused elsewhere.
    """
    ends = [start_ns + duration_ns] if duration_ns is not None else []
    if schedule.duration_ns is not None:
        ends.append(schedule.duration_ns)
    if not ends:
        return 0
    span_ns = max(0, min(ends) - start_ns)
    return _rows(schedule.timings, span_ns)


def _rows(timings: Sequence[AreaTiming], span_ns: int) -> int:
    units = [_units(timing, span_ns) for timing in timings]
    pulses = [count * timing.pulses for count, timing in zip(units, timings, strict=True)]
    rows = 0
    for timing, own_units, own_pulses in zip(timings, units, pulses, strict=True):
        recharge = timing.area.recharge
        # Each pulse of another area cuts a shorted stretch in two.
        cuts = sum(pulses) - own_pulses
        shorted = {
            Recharge.PASSIVE: own_pulses + cuts,
            Recharge.PASSIVE_AFTER_BURST: own_units + cuts,
        }.get(recharge, 0)
        rows += (own_pulses * len(timing.phases) + shorted) * len(timing.area.shares)
    return rows


def _units(timing: AreaTiming, span_ns: int) -> int:
    area = timing.area
    driven = Fraction(span_ns)
    if area.on_ns:
        windows = Fraction(span_ns * area.on_ns, area.on_ns + area.off_ns) + area.on_ns
        driven = min(driven, windows)
    return ceil(driven / (timing.period * timing.tick_ns))


def check_size(schedule: Schedule, out: Path, start_ns: int, duration_ns: int | None) -> int:
    """Refuse a table that its disk or the memory cannot hold; the expected rows otherwise.

    Raises
    ------
    ConfigError
        With the rows expected and what there is room for.
    """
    rows = expected_rows(schedule, start_ns, duration_ns)
    found = f"a table of about {rows:,} rows".replace(",", " ")
    remedy = "Choose a shorter --for; --from reaches any hour at the same cost."
    if out.suffix == ".npz" and rows > NPZ_ROWS:
        raise ConfigError(
            found, allowed=f"{NPZ_ROWS:,} rows in an npz".replace(",", " "), remedy=remedy, code="table-size"
        )
    if out.suffix == ".csv" and rows > ANNOUNCED_ROWS and out.parent.is_dir():
        free = shutil.disk_usage(out.parent).free
        if rows * ROW_BYTES > free:
            needed = f"{rows * ROW_BYTES / 1e9:.0f} GB"
            allowed = f"{free / 1e9:.0f} GB, what is free at {out.parent}; it takes about {needed}"
            raise ConfigError(found, allowed=allowed, remedy=remedy, code="table-size")
    return rows
