"""The device's own clock: true time of the supply, seen through an oscillator that runs fast or slow."""

from __future__ import annotations

from typing import Final

US: Final = 1_000
MILLION: Final = 1_000_000
SECOND_NS: Final = 30_518
"""Step of the second time base [ns]."""
SECOND_PPM: Final = 100
"""Error of the second time base itself [parts in a million]."""
GATE_NS: Final = 10_000_000

Rates = tuple[tuple[int, int], ...]
"""Errors of an oscillator that changed: from when [ns of the device, from 0 on], and how much [ppm]."""


class DeviceClock:
    """Two times: the true one of the world, and the device's own, which begins at each boot.

    Parameters
    ----------
    tick_ns : int
        Tick of the device's grid [ns].
    ppm : int
        Error of the oscillator [parts in a million]; positive runs fast.
    """

    def __init__(self, tick_ns: int, ppm: int = 0) -> None:
        self.tick_ns = tick_ns
        self.ppm = ppm
        self.true_ns = 0
        # Since this true time, which was this time of the device, the oscillator runs as it does now.
        self._from_ns = 0
        self._then_ns = 0
        self._changes: list[tuple[int, int]] = [(0, ppm)]

    def boot(self) -> None:
        """Begin the device's own time anew."""
        self._from_ns, self._then_ns, self._changes = self.true_ns, 0, [(0, self.ppm)]

    def set_ppm(self, ppm: int) -> None:
        """The oscillator runs otherwise from now on; the device's time goes on where it is."""
        self._then_ns, self._from_ns = self.now_ns, self.true_ns
        self.ppm = ppm
        self._changes.append((self._then_ns, ppm))

    def rates_since(self, device_ns: int) -> int | Rates:
        """Error of the oscillator since a moment of this boot, with the times it changed where it did."""
        later = [(at - device_ns, ppm) for at, ppm in self._changes if at > device_ns]
        first = next(ppm for at, ppm in reversed(self._changes) if at <= device_ns)
        return ((0, first), *later) if later else first

    @property
    def measured_ppm(self) -> int:
        """What the second time base, a crystal of 32 768 Hz, shows of the first over 10 ms [ppm]."""
        steps = (abs(self.ppm) + SECOND_PPM) * GATE_NS // (SECOND_NS * MILLION)
        size = steps * SECOND_NS * MILLION // GATE_NS
        return size if self.ppm > 0 else -size

    @property
    def now_ns(self) -> int:
        """The device's own time [ns since boot]."""
        return self._then_ns + (self.true_ns - self._from_ns) * (MILLION + self.ppm) // MILLION

    @property
    def now_us(self) -> int:
        """The device's own time [us since boot]."""
        return self.now_ns // US

    @property
    def now_ticks(self) -> int:
        """The device's own time [ticks since boot]."""
        return self.now_ns // self.tick_ns

    def true_of(self, device_ns: int) -> int:
        """First true time [ns] at which the device's clock has reached ``device_ns``."""
        return self._from_ns + -(-(device_ns - self._then_ns) * MILLION // (MILLION + self.ppm))
