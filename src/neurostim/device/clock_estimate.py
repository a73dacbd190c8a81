"""What the device's clock shows now, from timed exchanges; slow exchanges and outliers do not count.

Only for showing and recording when things happened: the device makes the pulses by its own clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

WINDOW: Final = 64
MAX_ROUND_TRIP_NS: Final = 100_000_000
SLACK_NS: Final = 2_000_000
RESTART_AFTER: Final = 4
MIN_SPAN_NS: Final = 5_000_000_000

_NS_PER_US: Final = 1000
_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ClockFit:
    """Device time = host time + ``offset_ns``, within ``bound_ns``, at host time ``at_ns``.

    ``drift_ppm`` (exact) is how much faster the device runs; None until five seconds were seen.
    """

    at_ns: int
    offset_ns: int
    bound_ns: int
    drift_ppm: Fraction | None
    samples: int
    rejected: int


@dataclass(frozen=True, slots=True)
class _Sample:
    middle_ns: int
    offset_ns: int
    bound_ns: int


class ClockEstimate:
    """Offset and drift by least squares over the latest exchanges."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=WINDOW)
        self._rejected = 0
        self._misses = 0

    def add(self, sent_ns: int, received_ns: int, device_us: int) -> bool:
        """Add one exchange; return whether it was taken.

        The device read its clock somewhere between ``sent_ns`` and ``received_ns``, so half the
        round trip bounds the error. A sample that no drift within 1000 ppm explains is rejected;
        several in a row mean that the device's clock started anew, and so does the estimate.
        """
        round_trip = received_ns - sent_ns
        if not 0 <= round_trip <= MAX_ROUND_TRIP_NS:
            self._rejected += 1
            return False
        middle = (sent_ns + received_ns) // 2
        sample = _Sample(middle, device_us * _NS_PER_US - middle, round_trip // 2 + _NS_PER_US)
        if self._samples and not self._plausible(sample):
            self._rejected += 1
            self._misses += 1
            if self._misses < RESTART_AFTER:
                return False
            self._samples.clear()
        self._misses = 0
        self._samples.append(sample)
        return True

    def fit(self) -> ClockFit | None:
        """Estimate now, or None before the first exchange."""
        if not self._samples:
            return None
        best = min(sample.bound_ns for sample in self._samples)
        used = [sample for sample in self._samples if sample.bound_ns <= 2 * best + SLACK_NS // 4]
        last = used[-1].middle_ns
        slope = _slope(used)
        if slope is None:
            closest = min(used, key=lambda sample: sample.bound_ns)
            offset = closest.offset_ns
        else:
            count = len(used)
            mean_time = Fraction(sum(sample.middle_ns for sample in used), count)
            mean_offset = Fraction(sum(sample.offset_ns for sample in used), count)
            offset = round(mean_offset + slope * (last - mean_time))
        return ClockFit(
            at_ns=last,
            offset_ns=offset,
            bound_ns=best,
            drift_ppm=None if slope is None else slope * _MILLION,
            samples=len(used),
            rejected=self._rejected,
        )

    def _plausible(self, sample: _Sample) -> bool:
        latest = self._samples[-1]
        elapsed = abs(sample.middle_ns - latest.middle_ns)
        allowed = sample.bound_ns + latest.bound_ns + elapsed // 1000 + SLACK_NS
        return abs(sample.offset_ns - latest.offset_ns) <= allowed


def _slope(samples: list[_Sample]) -> Fraction | None:
    """Least-squares slope of offset against host time, exact; None over too short a span."""
    first = samples[0].middle_ns
    if samples[-1].middle_ns - first < MIN_SPAN_NS:
        return None
    count = len(samples)
    times = [sample.middle_ns - first for sample in samples]
    offsets = [sample.offset_ns - samples[0].offset_ns for sample in samples]
    spread = count * sum(t * t for t in times) - sum(times) ** 2
    return Fraction(
        count * sum(t * o for t, o in zip(times, offsets, strict=True)) - sum(times) * sum(offsets), spread
    )
