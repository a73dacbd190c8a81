"""Rules 5 and 6: ramp factors and contact currents of many units at once, in exact integers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurostim.conformance.commands import CommandLog
from neurostim.conformance.onsets import NEVER, Nominal
from neurostim.conformance.reading import AreaReading

I64 = NDArray[np.int64]
Flags = NDArray[np.bool_]
_INT64_MAX = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class UnitCurrents:
    """Signed current of the stimulation phase [nA], a row a unit, a column a share of the area.

    ``scaled`` marks units whose factor is below 1; ``started`` is false where a fade without length lets no
    unit start, which is not the same as a unit that carries nothing.
    """

    current_na: I64
    scaled: Flags
    started: Flags

    def take(self, which: Flags) -> UnitCurrents:
        """Some of the units."""
        return UnitCurrents(self.current_na[which], self.scaled[which], self.started[which])


def floor_scaled(factor: int, numerator: NDArray[np.int64] | NDArray[np.object_], denominator: int) -> I64:
    """floor(factor x numerator / denominator), exact, for numerators of zero or more."""
    common = math.gcd(factor, denominator)
    factor //= common
    denominator //= common
    largest = int(numerator.max()) if len(numerator) else 0
    narrow = max(factor * largest, factor, denominator) <= _INT64_MAX
    if narrow and numerator.dtype != object:
        return np.asarray(numerator * factor // denominator, dtype=np.int64)
    wide = numerator.astype(object) * factor // denominator
    return np.asarray(wide, dtype=np.int64)


def share_out(magnitudes: I64, area: AreaReading) -> I64:
    """Rule 6 from the cathodes' magnitudes in quanta.

    Parameters
    ----------
    magnitudes : int64 array (units, cathodes)
        Whole quanta of each cathode, in contact order.
    area : AreaReading
        Its shares and quantum.

    Returns
    -------
    int64 array (units, shares)
        Signed contact currents [nA]; each row sums to zero.
    """
    total = magnitudes.sum(axis=1)
    anodes = [share for _, share in area.shares if share > 0]
    dealt = np.stack([total * share // 1000 for share in anodes], axis=1)
    left = total - dealt.sum(axis=1)
    rounds, extra = np.divmod(left, len(anodes))
    dealt += rounds[:, None] + (np.arange(len(anodes))[None, :] < extra[:, None])
    out = np.empty((len(total), len(area.shares)), dtype=np.int64)
    out[:, [i for i, (_, share) in enumerate(area.shares) if share < 0]] = -magnitudes
    out[:, [i for i, (_, share) in enumerate(area.shares) if share > 0]] = dealt
    return np.asarray(out * area.quantum_na, dtype=np.int64)


def unit_currents(
    area: AreaReading, nominal: Nominal, placed: I64, log: CommandLog, tick_ns: int
) -> UnitCurrents:
    """Contact currents of each unit: amplitude in force, ramp and fades at the nominal onset, sharing."""
    epochs = log.amplitudes[area.index]
    since = np.array([at for at, _ in epochs], dtype=np.int64)
    # In force is the last amplitude set at or before the unit's actual onset; the first is the program's.
    epoch = np.maximum(np.searchsorted(since, placed, side="right") - 1, 0)
    cathodes = [-share for _, share in area.shares if share < 0]
    magnitudes = np.empty((len(placed), len(cathodes)), dtype=np.int64)
    for index, (_, amplitude) in enumerate(epochs):
        rows = epoch == index
        if not rows.any():
            continue
        full = [amplitude * share // (1000 * area.quantum_na) for share in cathodes]
        magnitudes[rows] = np.array(full, dtype=np.int64)
    up = (nominal.onset - nominal.start) * tick_ns
    ends = nominal.end != NEVER
    down = np.where(ends, nominal.end - nominal.onset, 0) * tick_ns
    rising = up < area.up_ns
    falling = (down < area.down_ns) & ends
    fading = np.zeros(len(placed), dtype=np.bool_)
    silent = np.zeros(len(placed), dtype=np.bool_)
    for fade in log.fades[area.index]:
        if fade.within_ns == 0:
            silent |= placed > fade.at
        else:
            fading |= nominal.onset > fade.at
    scaled = rising | falling | fading
    terms = [(rising, up, area.up_ns), (falling, down, area.down_ns)]
    terms.append((fading & ~rising & ~falling, np.ones_like(up), 1))
    for rows, span, whole in terms:
        if rows.any():
            _lower(
                magnitudes,
                rows,
                span,
                whole,
                area=area,
                epoch=epoch,
                onset=nominal.onset,
                log=log,
                tick_ns=tick_ns,
            )
    return UnitCurrents(share_out(magnitudes, area), scaled, ~silent)


def _lower(
    magnitudes: I64,
    rows: Flags,
    span: I64,
    whole: int,
    *,
    area: AreaReading,
    epoch: I64,
    onset: I64,
    log: CommandLog,
    tick_ns: int,
) -> None:
    """Bring the marked units down to floor(amplitude x share x span / whole x fades).

    The lowest of several ramp terms has the lowest floor, so terms are taken one after the other.
    """
    cathodes = [-share for _, share in area.shares if share < 0]
    for index, (_, amplitude) in enumerate(log.amplitudes[area.index]):
        at = np.flatnonzero(rows & (epoch == index))
        if not len(at):
            continue
        numerator: NDArray[np.int64] | NDArray[np.object_] = np.maximum(span[at], 0)
        denominator = whole
        for fade in log.fades[area.index]:
            if fade.within_ns == 0 or not (onset[at] > fade.at).any():
                continue
            left = np.clip(fade.within_ns - (onset[at] - fade.at) * tick_ns, 0, fade.within_ns)
            numerator = numerator.astype(object) * left.astype(object)
            denominator *= fade.within_ns
        for column, share in enumerate(cathodes):
            level = floor_scaled(amplitude * share, numerator, denominator * 1000 * area.quantum_na)
            magnitudes[at, column] = np.minimum(magnitudes[at, column], level)
