"""Write a schedule as an event table, CSV or npz, with its JSON sidecar.

The columns and their order are those of the program format; a table is complete or not there at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from neurostim.core.errors import ConfigError
from neurostim.core.event_block import KIND_NAMES, EventBlock
from neurostim.core.lone_rows import is_small, lone_rows

if TYPE_CHECKING:
    from neurostim.core.schedule import Schedule

EVENT_FORMAT: Final = "neurostim-events/1"
COLUMNS: Final = ("start_ns", "duration_ns", "contact", "kind", "amplitude_na")


def write_events(
    schedule: Schedule,
    path: str | Path,
    *,
    start_ns: int = 0,
    duration_ns: int | None = None,
    image_sha256: str | None = None,
) -> int:
    """Write the rows whose start lies in [start, start + duration), and the sidecar ``<stem>.json``.

    Parameters
    ----------
    schedule : Schedule
        What to expand.
    path : path
        ``.csv`` or ``.npz``. An npz is gathered in memory before it is written.
    start_ns, duration_ns : int
        Selection [ns]; to the end of the program by default. Times in the table stay absolute.
    image_sha256 : str, optional
        Digest of the program image in hexadecimal, where the caller has its bytes.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    ConfigError
        For another suffix, or a program until stopped without a duration.
    """
    place = Path(path)
    if place.suffix not in {".csv", ".npz"}:
        raise ConfigError(
            f"found the event table {place.name!r}", allowed="a name ending in .csv or .npz", code="suffix"
        )
    if duration_ns is None:
        if schedule.duration_ns is None:
            raise ConfigError(
                "the program runs until stopped, so its table needs a length",
                allowed="a duration in ns",
                remedy="Say for how long to expand it (on the command line: --for).",
                code="endless",
            )
        end_ns = max(start_ns, schedule.silence_ns)
    else:
        end_ns = start_ns + duration_ns
    labels = [schedule.labels.get(contact, "") for contact in range(256)]
    last_ns = min(end_ns, schedule.silence_ns)
    if is_small(schedule, start_ns, last_ns):
        blocks = lone_rows(schedule, start_ns, last_ns)
    else:
        blocks = schedule.events(start_ns, duration_ns, reuse=place.suffix == ".csv")
    side = place.with_suffix(".json")
    part, side_part = (one.with_name(one.name + ".part") for one in (place, side))
    try:
        with part.open("wb") as file:
            rows = (
                _write_csv(file, blocks, labels)
                if place.suffix == ".csv"
                else _write_npz(file, blocks, labels)
            )
        sidecar = _sidecar(schedule, rows, start_ns, end_ns)
        if image_sha256 is not None:
            sidecar["image_sha256"] = image_sha256
        side_part.write_text(json.dumps(sidecar, indent=2) + "\n", encoding="utf-8")
        # Both are whole before either takes its name: on a full disk no new table meets an old sidecar.
        os.replace(side_part, side)
        os.replace(part, place)
    finally:
        part.unlink(missing_ok=True)
        side_part.unlink(missing_ok=True)
    return rows


def _sidecar(schedule: Schedule, rows: int, start_ns: int, end_ns: int) -> dict[str, Any]:
    grid = schedule.image.grid
    return {
        "format": EVENT_FORMAT,
        "program": schedule.title,
        "tick_ns": grid.tick_ns,
        "step_na": grid.step_na,
        "guard_ticks": grid.guard_ticks,
        "recovery_min_ticks": grid.recovery_min_ticks,
        "time_base": "program",
        "contacts": "program",
        "from_ticks": -(-start_ns // grid.tick_ns),
        "end_ticks": -(-end_ns // grid.tick_ns),
        "rows": rows,
        "commands": [],
    }


def _write_csv(file: IO[bytes], blocks: Iterator[EventBlock], labels: list[str]) -> int:
    file.write((",".join(COLUMNS) + "\n").encode())
    rows = 0
    for block in blocks:
        columns = zip(
            block.start_ns.tolist(),
            block.duration_ns.tolist(),
            [labels[contact] for contact in block.contact.tolist()],
            [KIND_NAMES[kind] for kind in block.kind.tolist()],
            block.amplitude_na.tolist(),
            strict=True,
        )
        file.write("".join([f"{a},{b},{c},{d},{e}\n" for a, b, c, d, e in columns]).encode("ascii"))
        rows += len(block)
    return rows


def _write_npz(file: IO[bytes], blocks: Iterator[EventBlock], labels: list[str]) -> int:
    kept = list(blocks)
    names = np.array(labels)
    kinds = np.array(KIND_NAMES)

    def gather(column: str, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        return np.concatenate([np.empty(0, dtype), *(getattr(block, column) for block in kept)]).astype(dtype)

    start = gather("start_ns", np.int64)
    np.savez(
        file,
        start_ns=start,
        duration_ns=gather("duration_ns", np.int64),
        contact=names[gather("contact", np.int64)],
        kind=kinds[gather("kind", np.int64)],
        amplitude_na=gather("amplitude_na", np.int64),
    )
    return len(start)
