"""Which contact currents an amplitude range can reach, every level of it, ramps included.

Rule 6 of the program format is not monotone in the amplitude, so a range is judged at each of its
levels: every amplitude from zero to the end of the range, whole or scaled by any ramp factor. The currents
change only where a cathode gains one quantum, so the levels are finitely many, and those that can hold no
largest value are left out by a proven bound (see `_floor_na`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurostim.core.image import ImageArea


@dataclass(frozen=True)
class Reach:
    """The largest current of each contact over all levels.

    Attributes
    ----------
    peaks_na : dict of int to int
        Device contact and the largest magnitude [nA].
    at_na : dict of int to int
        The smallest whole amplitude [nA] at which that magnitude is reached.
    vectors_na : int64[vectors, contacts]
        The signed currents of the levels at which some contact is at its largest, in share order.
    total_na : int
        The largest sum of the cathodes [nA].
    """

    peaks_na: dict[int, int]
    at_na: dict[int, int]
    vectors_na: NDArray[np.int64]
    total_na: int


def reach(area: ImageArea, step_na: int, max_na: int) -> Reach:
    """List every level of an area up to ``max_na`` and keep the largest of each contact.

    Parameters
    ----------
    area : ImageArea
        Shares and ratio; its own amplitude is not read.
    step_na : int
        Amplitude step of the device [nA].
    max_na : int
        Upper end of the range, before sharing [nA].
    """
    quantum = step_na * area.ratio
    cathodes = [-share for _, share in area.shares if share < 0]
    anodes = [share for _, share in area.shares if share > 0]
    amplitudes, units = _cathode_levels(
        cathodes, quantum, _floor_na(cathodes, anodes, quantum, max_na), max_na
    )
    totals = units.sum(axis=1)
    currents = np.empty((len(totals), len(area.shares)), dtype=np.int64)
    left = totals.copy()
    column = 0
    for place, (_, share) in enumerate(area.shares):
        if share < 0:
            currents[:, place] = -units[:, column]
            column += 1
        else:
            currents[:, place] = totals * share // 1000
            left -= currents[:, place]
    for place, (_, share) in enumerate(area.shares):
        if share > 0:
            currents[:, place] += left > 0
            left -= left > 0
    magnitudes = np.abs(currents)
    rows = _first_largest(magnitudes, amplitudes)
    contacts = [contact for contact, _ in area.shares]
    peaks = {
        contact: int(magnitudes[row, place]) * quantum
        for place, (contact, row) in enumerate(zip(contacts, rows, strict=True))
    }
    at = {
        contact: -(-int(amplitudes[row, 0]) // int(amplitudes[row, 1]))
        for contact, row in zip(contacts, rows, strict=True)
    }
    kept = sorted({*rows, int(totals.argmax())})
    return Reach(peaks, at, currents[kept] * quantum, int(totals.max()) * quantum)


def _floor_na(cathodes: list[int], anodes: list[int], quantum: int, max_na: int) -> int:
    """An amplitude below which no contact can be at its largest.

    Let C be the cathodes' sum in quanta. An anode of share s (in 0.1 %) carries more than C s/1000 - 1 and
    less than C s/1000 + 1 quanta, so at its largest C is within 2000/s of the largest C. A cathode of share
    c reaches its largest at most 1000/c quanta of amplitude below the end. C and the amplitude in quanta
    differ by less than the number of cathodes.
    """
    quanta = -(-1000 // min(cathodes)) + -(-2000 // min(anodes)) + 2 * len(cathodes) + 1
    return max(0, max_na - quanta * quantum)


def _cathode_levels(
    cathodes: list[int], quantum: int, from_na: int, max_na: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Amplitudes (numerator, denominator) at which a cathode gains a quantum, and all cathodes there.

    Cathode i has m quanta from the amplitude ``m x 1000 x quantum / share_i`` on, where cathode j has
    ``floor(m x share_j / share_i)``. The level that holds at ``from_na`` is the first. No product reaches
    2^63: m x 1000 x quantum <= amplitude x share < 2^38, m x share < 2^38.
    """
    first = [from_na * share // (1000 * quantum) for share in cathodes]
    amplitudes = [np.array([[from_na if any(first) else 0, 1]], dtype=np.int64)]
    units = [np.array([first], dtype=np.int64)]
    for share, begin in zip(cathodes, first, strict=True):
        level = np.arange(begin + 1, max_na * share // (1000 * quantum) + 1, dtype=np.int64)
        amplitudes.append(np.stack([level * (1000 * quantum), np.full(len(level), share)], axis=1))
        units.append(level[:, np.newaxis] * np.array(cathodes, dtype=np.int64) // share)
    return np.concatenate(amplitudes), np.concatenate(units)


def _first_largest(magnitudes: NDArray[np.int64], amplitudes: NDArray[np.int64]) -> list[int]:
    """For each contact the row with its largest magnitude, among equals that of the smallest amplitude."""
    rows = []
    for place in range(magnitudes.shape[1]):
        column = magnitudes[:, place]
        candidates = np.flatnonzero(column == column.max())
        whole = -(-amplitudes[candidates, 0] // amplitudes[candidates, 1])
        rows.append(int(candidates[int(whole.argmin())]))
    return rows
