"""What use at home draws from the battery: rest, electronics, and the charge that was driven."""

from __future__ import annotations

from neurostim.core.image import ProgramImage
from neurostim_sim.clock import DeviceClock
from neurostim_sim.delivery import Delivery
from neurostim_sim.hardware import Hardware
from neurostim_sim.home import battery


class Supply:
    """The account of the battery in one boot.

    Parameters
    ----------
    hardware : Hardware
        Holds the battery.
    clock : DeviceClock
    """

    def __init__(self, hardware: Hardware, clock: DeviceClock) -> None:
        self._hardware = hardware
        self._clock = clock
        self._until_us = 0
        self._driven: tuple[Delivery | None, int] = (None, 0)

    @property
    def level(self) -> int:
        """Charge left [0.1 %]."""
        return self._hardware.battery

    def begin(self) -> None:
        """From here on what is drawn is counted."""
        self._until_us = self._clock.now_us

    def rest(self) -> None:
        """Take what the time since the last call has cost with output off."""
        self._hardware.draw(battery.IDLE_UW * self._elapsed_us())

    def measure(self) -> None:
        """The same while contacts were read."""
        self._hardware.draw(battery.RUNNING_UW * self._elapsed_us())

    def run(self, delivery: Delivery, image: ProgramImage) -> None:
        """The same with output on, and the charge driven."""
        stim = [area.stim_ac for area in delivery.engine.totals().areas]
        driven = sum(battery.driven_of(area, one) for area, one in zip(image.areas, stim, strict=True))
        before = self._driven[1] if self._driven[0] is delivery else 0
        rail = self._hardware.profile.capabilities.rail_mv
        spent = battery.RUNNING_UW * self._elapsed_us()
        self._hardware.draw(spent + battery.energy_pj(driven - before, rail))
        self._driven = delivery, driven

    def _elapsed_us(self) -> int:
        since, self._until_us = self._until_us, self._clock.now_us
        return self._until_us - since
