"""The device's own clock: true time of the supply, seen through an oscillator that runs fast or slow."""

from __future__ import annotations

from typing import Final

US: Final = 1_000
MILLION: Final = 1_000_000


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
        self._boot_ns = 0

    def boot(self) -> None:
        """Begin the device's own time anew."""
        self._boot_ns = self.true_ns

    @property
    def now_ns(self) -> int:
        """The device's own time [ns since boot]."""
        return (self.true_ns - self._boot_ns) * (MILLION + self.ppm) // MILLION

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
        return self._boot_ns + -(-device_ns * MILLION // (MILLION + self.ppm))
