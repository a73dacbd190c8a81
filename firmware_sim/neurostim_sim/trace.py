"""The record of one dose: its rows, its command log and a sidecar, written whole when the dose has ended."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neurostim.core.errors import ConfigError
from neurostim.core.image import RETURN_INDEX, Grid
from neurostim_sim.clock import Rates
from neurostim_sim.engine import layout as at

FORMAT: Final = "neurostim-trace/1"
KINDS: Final = ("stim", "recharge", "passive")
MILLION: Final = 1_000_000


class TraceFiles:
    """Where records go: a folder, or the pattern ``STEM.csv`` or ``STEM.npz``.

    Each dose becomes ``STEM-dose0001.npz`` (or ``.csv``) with ``STEM-dose0001.json`` beside it; in a folder
    the stem is the device's serial number.

    Parameters
    ----------
    path : Path
    time_base : str
        ``device`` for times of the device's own clock, ``free`` for those of an outside observer, from whom a
        clock that is off by ``ppm`` cannot be hidden.
    """

    def __init__(self, path: Path, serial_number: str, time_base: str = "device") -> None:
        if time_base not in ("device", "free"):
            raise ConfigError(f"no time base {time_base!r}", allowed="device, free", code="time-base")
        if path.suffix in (".csv", ".npz"):
            self._folder, self._stem, self._suffix = path.parent, path.stem, path.suffix
        else:
            self._folder, self._stem, self._suffix = path, serial_number, ".npz"
        self._time_base = time_base
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make {self._folder}: {error.strerror}", code="trace") from error

    def write(
        self,
        dose_number: int,
        rows: NDArray[np.int64],
        grid: Grid,
        commands: list[dict[str, Any]],
        *,
        image_sha256: str,
        end_ticks: int,
        ppm: int | Rates,
    ) -> Path:
        """Write the record of one dose; returns the path of its table."""
        order = np.lexsort((rows[:, at.T_KIND], rows[:, at.T_CONTACT], rows[:, at.T_START]))
        rows = rows[order]
        columns = self._columns(rows, grid.tick_ns, ppm)
        path = self._folder / f"{self._stem}-dose{dose_number:04}{self._suffix}"
        fresh = path.with_name(f".{path.name}")
        if self._suffix == ".npz":
            with fresh.open("wb") as file:
                np.savez(file, **columns)  # type: ignore[arg-type]
        else:
            with fresh.open("w", encoding="ascii") as file:
                file.write(",".join(columns) + "\n")
                file.writelines(
                    ",".join(map(str, values)) + "\n"
                    for values in zip(*(c.tolist() for c in columns.values()), strict=True)
                )
        sidecar = {
            "format": FORMAT,
            "tick_ns": grid.tick_ns,
            "step_na": grid.step_na,
            "guard_ticks": grid.guard_ticks,
            "recovery_min_ticks": grid.recovery_min_ticks,
            "image_sha256": image_sha256,
            "time_base": self._time_base,
            "contacts": "device",
            "end_ticks": end_ticks,
            "rows": len(rows),
            "dose_number": dose_number,
            "commands": commands,
        }
        path.with_suffix(".json").write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")
        os.replace(fresh, path)
        return path

    def tell_lost(self, dose_number: int, error: OSError) -> None:
        """Say on standard error that the record of a dose could not be written, and leave no half of it."""
        path = self._folder / f"{self._stem}-dose{dose_number:04}{self._suffix}"
        with contextlib.suppress(OSError):
            path.with_name(f".{path.name}").unlink(missing_ok=True)
            path.with_suffix(".json").unlink(missing_ok=True)
        print(
            f"the record of dose {dose_number} is lost: {path}: {error.strerror}", file=sys.stderr, flush=True
        )

    def _columns(self, rows: NDArray[np.int64], tick_ns: int, ppm: int | Rates) -> Mapping[str, NDArray[Any]]:
        start = rows[:, at.T_START] * tick_ns
        length = rows[:, at.T_LENGTH] * tick_ns
        if self._time_base == "free":
            stop = _true_ns(start + length, ppm)
            start = _true_ns(start, ppm)
            length = stop - start
        names = np.array(["0", *map(str, range(1, RETURN_INDEX)), "return"])
        return {
            "start_ns": start,
            "duration_ns": length,
            "contact": names[rows[:, at.T_CONTACT]],
            "kind": np.array(KINDS)[rows[:, at.T_KIND]],
            "amplitude_na": rows[:, at.T_AMPLITUDE],
            "area": rows[:, at.T_AREA],
            "unit": rows[:, at.T_UNIT],
            "pulse": rows[:, at.T_PULSE],
            "charge_ac": rows[:, at.T_CHARGE],
        }


def _true_ns(device_ns: NDArray[np.int64], ppm: int | Rates) -> NDArray[np.int64]:
    """Time of an outside observer at which a clock off by ``ppm`` shows ``device_ns``."""
    if not isinstance(ppm, int):
        return _true_through(device_ns, ppm)
    whole, rest = np.divmod(device_ns, MILLION + ppm)
    true: NDArray[np.int64] = whole * MILLION + rest * MILLION // (MILLION + ppm)
    return true


def _true_through(device_ns: NDArray[np.int64], rates: Rates) -> NDArray[np.int64]:
    """The same where the clock has changed its rate in between."""
    found = np.zeros_like(device_ns)
    passed = np.int64(0)
    for (begin, ppm), (end, _) in zip(rates, [*rates[1:], (None, 0)], strict=True):
        inside = device_ns >= begin
        found[inside] = passed + _true_ns(device_ns[inside] - begin, ppm)
        if end is not None:
            passed += _true_ns(np.array([end - begin]), ppm)[0]
    return found
