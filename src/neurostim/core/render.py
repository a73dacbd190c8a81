"""Dense samples of a schedule, for converters, recorders and scopes.

Onsets are quantised to samples and widths are whole samples, so every rendered pulse is as balanced
as the pulse itself, and any partition into blocks gives identical bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurostim.core.errors import ConfigError
from neurostim.core.kernel_paint import LANE, paint_alone, paint_onto
from neurostim.core.placement import Placer
from neurostim.core.timing import AreaTiming

if TYPE_CHECKING:
    from neurostim.core.schedule import Schedule

INT16_MAX = 32767
NA_PER_MA = 1_000_000
_PIECE_UNITS = 8192
_PATTERN_SAMPLES = 1024
_STRETCH_SAMPLES = 4096


class Renderer:
    """Renders one schedule at one sample rate for chosen contacts; holds scratch memory between blocks.

    Parameters
    ----------
    schedule : Schedule
        What to render.
    placer : Placer
        Places its areas.
    rate_hz : int or Fraction
        Samples a second, exact.
    contacts : sequence of int
        Device contacts, 1 to 32 of them (`RETURN_INDEX` for the return pad).
    dtype : numpy dtype
        int16, in units of ``unit_na``, or float32, in mA.
    unit_na : int
        What one count of int16 is [nA].
    """

    def __init__(
        self,
        schedule: Schedule,
        placer: Placer,
        *,
        rate_hz: int | Fraction,
        contacts: Sequence[int],
        dtype: npt.DTypeLike,
        unit_na: int,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.contacts = tuple(contacts)
        self.rate_hz = Fraction(rate_hz)
        self._tables = schedule.tables
        self._timings = schedule.timings
        self._placer = placer
        _require(schedule, self.contacts, self.dtype, self.rate_hz)
        ratio = self.rate_hz * self._tables.tick_ns / 10**9
        self._num, self._den = ratio.numerator, ratio.denominator
        self._templates = [_template(index, timing, ratio) for index, timing in enumerate(self._timings)]
        self._require_range(unit_na, schedule.image.grid.step_na)
        self._levels = [self._area_levels(index, unit_na) for index in range(len(self._timings))]
        self._drivers = [
            [index for index, timing in enumerate(self._timings) if contact in dict(timing.area.shares)]
            for contact in self.contacts
        ]
        self._patterns = [
            self._pattern(timing, template)
            for timing, template in zip(self._timings, self._templates, strict=True)
        ]
        self._pitches = [self._pitch(timing, ratio) for timing in self._timings]
        self._stretch = np.empty(_STRETCH_SAMPLES, dtype=self.dtype)
        # A template may be a few samples longer than its pulse.
        self._back = max(timing.unit_length + timing.max_shift for timing in self._timings) + 8 * -(
            -self._den // self._num
        )
        fastest = min(timing.interval for timing in self._timings)
        self._piece = max(4096, min(1 << 24, int(_PIECE_UNITS * fastest * ratio)))

    def first_sample(self, start_ns: int) -> int:
        """Index of the first sample at or after ``start_ns``; sample 0 is at time 0."""
        return -(-start_ns * self.rate_hz.numerator // (self.rate_hz.denominator * 10**9))

    def buffer(self, samples: int) -> npt.NDArray[Any]:
        """A new array for ``samples`` samples of each contact."""
        return np.empty((len(self.contacts), samples), dtype=self.dtype)

    def render(self, first: int, out: npt.NDArray[Any]) -> None:
        """Write samples ``first ..`` of each contact into ``out`` [contacts, samples]."""
        samples = out.shape[1]
        for begin in range(0, samples, self._piece):
            self._render_piece(first + begin, out[:, begin : begin + self._piece])

    def _render_piece(self, first: int, out: npt.NDArray[Any]) -> None:
        low = first * self._den // self._num - self._back
        high = -(-(first + out.shape[1]) * self._den // self._num) + 1
        placed = self._placer.place(low, high)
        for row, drivers in enumerate(self._drivers):
            if len(drivers) != 1:
                out[row] = 0
            for index in drivers:
                units = placed.counts[index, 0], placed.onset[index], placed.run[index]
                scale = self._num, self._den, first, out[row]
                levels, template = self._levels[index][row], self._templates[index]
                if len(drivers) == 1:
                    patterns = self._patterns[index], *self._pitches[index], self._stretch
                    paint_alone(self._tables, index, *units, levels, template, *patterns, *scale)
                else:
                    paint_onto(self._tables, index, *units, levels, template, *scale)

    @staticmethod
    def _pitch(timing: AreaTiming, ratio: Fraction) -> tuple[int, int]:
        """Ticks and samples from unit to unit where both are whole and several units fit the scratch."""
        pitch = timing.period * ratio
        if timing.pulses > 1 or timing.period.denominator > 1 or pitch.denominator > 1:
            return 0, 0
        return (int(timing.period), int(pitch)) if pitch <= _PATTERN_SAMPLES else (0, 0)

    def _pattern(self, timing: AreaTiming, template: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Room for one pulse, and for the zeros up to the next where they are few."""
        length = int(template[-1].sum())
        spacing = timing.burst_period if timing.pulses > 1 else timing.period
        samples = int(spacing * self._num / self._den) + 2
        size = samples if samples <= _PATTERN_SAMPLES else length
        return np.zeros(-(-size // LANE) * LANE, dtype=self.dtype)

    def _area_levels(self, index: int, unit_na: int) -> list[npt.NDArray[Any]]:
        """Value of each phase for each run, a contact; empty where the area does not drive it."""
        timing = self._timings[index]
        columns = [contact for contact, _ in timing.area.shares]
        found: list[npt.NDArray[Any]] = []
        for contact in self.contacts:
            if contact not in columns:
                found.append(np.empty((0, 0), dtype=self.dtype))
                continue
            currents = self._tables.currents[:, columns.index(contact)].astype(np.int64)
            values = np.stack([sign * currents // divisor for _, _, sign, divisor in timing.phases], axis=1)
            counts = values // unit_na if self.dtype == np.int16 else values / NA_PER_MA
            found.append(np.ascontiguousarray(counts.astype(self.dtype)))
        return found

    def _require_range(self, unit_na: int, step_na: int) -> None:
        if self.dtype != np.int16:
            return
        if unit_na < 1 or step_na % unit_na:
            raise ConfigError(
                f"found int16 samples of {unit_na} nA",
                allowed=f"a unit that divides the amplitude step, {step_na} nA",
                code="sample-unit",
            )
        total = sum(timing.area.amplitude_na for timing in self._timings)
        if total > INT16_MAX * unit_na:
            raise ConfigError(
                f"{total} nA do not fit int16 samples of {unit_na} nA",
                allowed=f"at most {INT16_MAX * unit_na} nA over all areas",
                remedy="Render float32.",
                code="sample-range",
            )


def _require(schedule: Schedule, contacts: tuple[int, ...], dtype: np.dtype[Any], rate: Fraction) -> None:
    if not 1 <= len(contacts) <= 32:
        raise ConfigError(f"found {len(contacts)} contacts", allowed="1 to 32 contacts", code="contacts")
    if dtype not in (np.dtype(np.int16), np.dtype(np.float32)):
        raise ConfigError(f"found samples of type {dtype}", allowed="int16 or float32", code="sample-type")
    if not 1 <= rate <= 10**9:
        raise ConfigError(f"found {rate} samples a second", allowed="1 Hz to 1 GHz", code="sample-rate")


def _template(index: int, timing: AreaTiming, ratio: Fraction) -> npt.NDArray[np.int64]:
    """Offset and width in samples of each phase; recharge keeps its exact ratio to the stimulation."""
    width = round(timing.area.width_ticks * ratio)
    gap = round(timing.area.interphase_ticks * ratio)
    rows = []
    at = 0
    for _, ticks, _, _ in timing.phases:
        samples = width * (ticks // timing.area.width_ticks)
        rows.append((at, samples))
        at += samples + gap
    length = rows[-1][0] + rows[-1][1]
    spacing = int(timing.least_spacing * ratio)
    if width == 0 or length > spacing:
        raise ConfigError(
            f"area {index + 1}: a phase has {width} samples, a pulse {length}, with one every {spacing}",
            allowed="a sample rate at which each phase is at least one sample and pulses do not meet",
            remedy="Render at a higher sample rate.",
            code="sample-rate",
        )
    return np.array(rows, dtype=np.int64)
