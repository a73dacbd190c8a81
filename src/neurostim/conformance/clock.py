"""A free observer's clock against the device's: offset and parts per million, fitted robustly.

The fit starts at the first pulses, where any clock error is still small, and widens from there, so that
a missing or extra pulse never shifts the count.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from neurostim.conformance.expectation import Expectation
from neurostim.conformance.report import ClockFit
from neurostim.conformance.trace import PASSIVE, Sidecar, TraceTable

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
WORST_PPM: Final = 2000
CANDIDATES: Final = 24
SAMPLE_PHASES: Final = 512
LEAST_PULSES: Final = 3


def in_ticks(time_ns: I64, clock: ClockFit, tick_ns: int) -> I64:
    """Times of the observer [ns] as device ticks, rounded to the nearest."""
    device = (time_ns - clock.offset_ns) * (1 + clock.ppm * 1e-6)
    return np.asarray(np.rint(device / tick_ns), dtype=np.int64)


def fit_clock(
    expectation: Expectation, trace: TraceTable, column: I64, side: Sidecar, tolerance_ticks: int
) -> ClockFit | None:
    """Fit the observer's clock to the device's.

    Parameters
    ----------
    expectation : Expectation
        Gives the expected onsets anywhere in the dose.
    trace : TraceTable
        The record, in the observer's time.
    column : int64 array
        Judge's column of each row.
    side : Sidecar
        Grid and span of the record.
    tolerance_ticks : int
        Reported with the fit.

    Returns
    -------
    ClockFit or None
        None where fewer than three recorded phases answer the program.
    """
    driven = trace.kind != PASSIVE
    start, amplitude, contact = trace.start_ns[driven], trace.amplitude_na[driven], column[driven]
    order = np.argsort(start, kind="stable")
    start, amplitude, contact = start[order], amplitude[order], contact[order]
    if len(start) < LEAST_PULSES:
        return None
    fresh = np.ones(len(start), dtype=np.bool_)
    fresh[1:] = start[1:] != start[:-1]
    head = np.flatnonzero(fresh)
    seen = start[head].astype(np.float64)
    # The same weighted sum of contact currents on both sides tells phases of a ramp apart.
    weights = np.arange(1, len(expectation.columns) + 1, dtype=np.int64)
    mark = np.add.reduceat(amplitude * weights[contact], head)

    def sample(low: int) -> tuple[F64, I64]:
        """Some expected phases at or after tick ``low`` [ns], with their weighted currents."""
        size = _span(expectation)
        at = low
        while at < side.end:
            drive = expectation.stretch(at, min(at + size, side.end)).drive
            if len(drive) >= LEAST_PULSES or at + size >= side.end:
                want = drive.start[:SAMPLE_PHASES].astype(np.float64) * side.grid.tick_ns
                return want, (drive.current_na @ weights)[:SAMPLE_PHASES]
            if len(drive):
                at = int(drive.start[0])
                size *= 4
            else:
                at += size
        return np.empty(0), np.empty(0, dtype=np.int64)

    want, want_mark = sample(side.begin)
    first = _first_guess(want, want_mark, seen, mark)
    if first is None:
        return None
    offset, slope = first, 1.0
    xs, ys = _pairs(want, seen, offset, slope)
    offset, slope = _robust_line(xs, ys)
    reach = side.begin + max(_span(expectation) * 2, 1)
    while reach < side.end:
        want, _ = sample(reach)
        more_x, more_y = _pairs(want, seen, offset, slope)
        xs, ys = np.concatenate([xs, more_x]), np.concatenate([ys, more_y])
        offset, slope = _robust_line(xs, ys)
        reach = side.begin + (reach - side.begin) * 2
    residual = ys - (offset + slope * xs)
    if len(xs) < LEAST_PULSES:
        return None
    spread = float(np.percentile(np.abs(residual), 90))
    return ClockFit(float(offset), float((1 / slope - 1) * 1e6), len(xs), spread, tolerance_ticks)


def _span(expectation: Expectation) -> int:
    """Ticks that hold a sample of phases."""
    density = sum(len(a.offsets) * len(a.phases) / a.period for a in expectation.program.areas)
    return max(int(SAMPLE_PHASES / density), 1)


def _first_guess(want: F64, want_mark: I64, seen: F64, mark: I64) -> float | None:
    """Offset at which most of the first phases meet in time and current, the least shift at a tie."""
    if len(want) < LEAST_PULSES or len(seen) < LEAST_PULSES:
        return None
    head, head_mark = seen[: len(want)], mark[: len(want)]
    cell = float(np.diff(want).min()) / 4
    best: tuple[int, int] | None = None
    guess = 0.0
    shifts = [(0, i) for i in range(min(CANDIDATES, len(want)))] + [
        (i, 0) for i in range(1, min(CANDIDATES, len(head)))
    ]
    for i, j in shifts:
        offset = head[i] - want[j]
        at = np.clip(np.searchsorted(want, head - offset), 1, len(want) - 1)
        at -= np.abs(want[at - 1] - (head - offset)) < np.abs(want[at] - (head - offset))
        drift = np.abs(head - head[i]) * WORST_PPM * 1e-6
        near = np.abs(want[at] + offset - head) <= np.minimum(cell, drift + 1000)
        score = int(np.count_nonzero(near & (want_mark[at] == head_mark)))
        if best is None or (score, -(i + j)) > best:
            best, guess = (score, -(i + j)), float(offset)
    return guess if best is not None and best[0] >= LEAST_PULSES else None


def _pairs(want: F64, seen: F64, offset: float, slope: float) -> tuple[F64, F64]:
    """Expected times and the recorded ones that answer them, within a quarter of the shortest distance."""
    if len(want) < 2:
        return np.empty(0), np.empty(0)
    cell = float(np.diff(want).min()) / 4
    at = offset + slope * want
    index = np.clip(np.searchsorted(seen, at), 1, len(seen) - 1)
    index = index - (np.abs(seen[index - 1] - at) < np.abs(seen[index] - at))
    near = np.abs(seen[index] - at) <= cell
    return want[near], seen[index][near]


def _robust_line(xs: F64, ys: F64) -> tuple[float, float]:
    """Least squares, three times over, each time without the residuals beyond four median deviations."""
    if len(xs) < 2:
        return (float(ys[0] - xs[0]) if len(xs) else 0.0), 1.0
    keep = np.ones(len(xs), dtype=np.bool_)
    offset, slope = 0.0, 1.0
    for _ in range(4):
        x, y = xs[keep], ys[keep]
        middle_x, middle_d = x.mean(), (y - x).mean()
        spread = ((x - middle_x) ** 2).sum()
        # Fit the difference of the clocks: it is small, so nothing of it is lost to rounding.
        excess = ((x - middle_x) * ((y - x) - middle_d)).sum() / spread if spread > 0 else 0.0
        slope = 1.0 + excess
        offset = middle_d - excess * middle_x
        residual = np.abs((ys - xs) - (offset + excess * xs))
        limit = 4 * max(float(np.median(residual[keep])), 1.0)
        keep = residual <= limit
        if np.count_nonzero(keep) < 2:
            break
    return float(offset), float(slope)
