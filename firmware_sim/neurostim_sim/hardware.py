"""The parts of the device, which no reset changes: battery, sensor, recharge source, leads and tissue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from neurostim_sim.home.battery import PERMILLE_PJ
from neurostim_sim.profiles import Profile
from neurostim_sim.servers.line import Dice
from neurostim_sim.tissue import OutputPhysics, Tissue

BATTERY_FULL: Final = 1000
NEVER_OHM: Final = 1e12
"""What a switch that does not close has [ohm]."""
LEAST_BATTERY: Final = 20
"""Below this no start could be carried to its end [0.1 %]."""
BATTERY_SECONDS: Final = 86_400
"""Time for which a full battery carries the output [s]."""


class Hardware:
    """The parts, and what is wrong with them.

    Attributes
    ----------
    battery : int
        Charge left [0.1 %].
    drained_s : int
        Seconds for which this battery has carried output.
    sensor_works : bool
        What the self-test of the output sensor shows.
    recharge : tuple of int
        Numerator and denominator: the part of what it should that the recharge source delivers.
    source : tuple of int
        The same of all sources together.
    switch_works : bool
        Whether the switch that shorts contacts for their recovery closes.
    unplugged : list of int
        Contacts whose lead is out of its port.
    drawn_pj : int
        Energy drawn at home since the level last fell by a step [pJ].
    off_pressed, battery_changed : bool
        The off button was pressed, or the battery changed, and the processor has not seen it yet.
    """

    def __init__(self, profile: Profile, tissue: Tissue, dice: Dice) -> None:
        self.profile = profile
        self.tissue = tissue
        self.dice = dice
        self.battery = BATTERY_FULL
        self.drained_s = 0
        self.sensor_works = True
        self.recharge = (1, 1)
        self.source = (1, 1)
        self.switch_works = True
        self.unplugged: list[int] = []
        self.drawn_pj = 0
        self.off_pressed = False
        self.battery_changed = False
        self._gauged = False

    def gauge_after(self, kept: list[int] | None) -> Callable[[], list[int]]:
        """Take over what the memory kept of the battery, when first switched on; returns the gauge."""
        if kept is not None and not self._gauged:
            self.battery, self.drained_s, self.drawn_pj = kept
        self._gauged = True
        return lambda: [self.battery, self.drained_s, self.drawn_pj]

    @property
    def carries_ns(self) -> int:
        """Time for which the battery carries supervised output from now on [ns]."""
        return self.battery * BATTERY_SECONDS * 1_000_000_000 // BATTERY_FULL

    def change_battery(self) -> None:
        """A fresh battery is in."""
        self.battery, self.drained_s, self.drawn_pj = BATTERY_FULL, 0, 0
        self.battery_changed = True

    def draw(self, energy_pj: int) -> None:
        """Energy has been drawn from the battery [pJ]."""
        steps, self.drawn_pj = divmod(self.drawn_pj + energy_pj, PERMILLE_PJ)
        self.battery = max(0, self.battery - steps)

    def drain(self) -> None:
        """One more second of output."""
        self.drained_s += 1
        left = BATTERY_FULL - self.drained_s * BATTERY_FULL // BATTERY_SECONDS
        self.battery = max(0, min(self.battery, left))

    @property
    def nominal(self) -> bool:
        """Whether the output does exactly what it is told: then its monitor can find nothing."""
        return self.recharge == self.source == (1, 1) and self.sensor_works and self.switch_works

    def physics(self) -> OutputPhysics:
        """The output stage as it is now."""
        able = self.profile.capabilities
        return OutputPhysics(
            able.rail_mv / 1000,
            float(able.discharge_ohm) if self.switch_works else NEVER_OHM,
            self.profile.open_ohm,
            self.profile.short_ohm,
            self.sensor_works,
        )
