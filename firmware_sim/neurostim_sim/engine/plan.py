"""Rules 1-4 of the format as integers of one area: windows, onsets, lengths, and what does not fit.

Nothing here keeps state; the engine's accumulators start from these numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from neurostim.core.image import Grid, ImageArea, ProgramImage
from neurostim.core.program import Recharge

INFINITE: Final = 1 << 62
SHORTING_NS: Final = 100_000_000


@dataclass(frozen=True)
class AreaPlan:
    """One area's timing in ticks.

    Attributes
    ----------
    index : int
        Place of the area in the image.
    image : ImageArea
        What the device was loaded with.
    grid : Grid
        The device's tick and step.
    duration_ns : int
        End of the program [ns]; 0 for none.
    """

    index: int
    image: ImageArea
    grid: Grid
    duration_ns: int

    @property
    def pulses(self) -> int:
        """Pulses in a unit."""
        return self.image.burst_pulses

    @property
    def has_burst(self) -> bool:
        """Whether a unit is a burst."""
        return self.image.burst_period_num > 0

    @cached_property
    def divisor(self) -> int:
        """Denominator of the onset accumulator: one tick is this many parts."""
        return self.image.period_den * self.grid.tick_ns

    @cached_property
    def interval(self) -> int:
        """Shortest distance of two units of a window [ticks]."""
        return self.image.period_num // self.divisor

    def onset(self, k: int) -> int:
        """T(k), the onset of unit ``k`` after its window's start [ticks]."""
        return k * self.image.period_num // self.divisor

    def first_at(self, ticks: int) -> int:
        """Number of units of a window whose onset is before ``ticks``."""
        if ticks <= 0:
            return 0
        return -(-ticks * self.divisor // self.image.period_num)

    @cached_property
    def burst_offsets(self) -> tuple[int, ...]:
        """b(j) of each pulse of a unit [ticks]."""
        if not self.has_burst:
            return (0,)
        divisor = self.image.burst_period_den * self.grid.tick_ns
        return tuple(j * self.image.burst_period_num // divisor for j in range(self.pulses))

    @cached_property
    def pulse_length(self) -> int:
        """L: stimulation phases, interphase and active recharge [ticks]."""
        width, gap = self.image.width_ticks, self.image.interphase_ticks
        if self.image.recharge is Recharge.TRIPHASIC:
            return 4 * width + 2 * gap
        if self.image.recharge in (Recharge.ACTIVE_SYMMETRIC, Recharge.ACTIVE_ASYMMETRIC):
            return width + gap + width * self.image.ratio
        return width

    @cached_property
    def recovery(self) -> int:
        """Interphase and shortest recovery that follow a pulse with passive recharge [ticks]."""
        return self.image.interphase_ticks + self.grid.recovery_min_ticks

    @cached_property
    def occupancy(self) -> int:
        """O of a pulse that is not the last of its unit [ticks]."""
        return self.pulse_length + (self.recovery if self.image.recharge is Recharge.PASSIVE else 0)

    @cached_property
    def last_occupancy(self) -> int:
        """O of the last pulse of a unit [ticks]."""
        return self.pulse_length + (self.recovery if self.image.recharge.is_passive else 0)

    @cached_property
    def unit_length(self) -> int:
        """From a unit's onset to the end of its last phase or active recharge [ticks]."""
        return self.burst_offsets[-1] + self.pulse_length

    @cached_property
    def unit_occupancy(self) -> int:
        """From a unit's onset to the end of its occupancy [ticks]."""
        return self.burst_offsets[-1] + self.last_occupancy

    @property
    def one_occupancy(self) -> bool:
        """Whether a whole unit is a single occupancy when areas meet."""
        return self.has_burst and self.image.recharge is Recharge.PASSIVE_AFTER_BURST

    @property
    def cycle_ns(self) -> int:
        """Distance of windows [ns]; 0 without cycle."""
        return self.image.on_ns + self.image.off_ns

    def window(self, n: int) -> tuple[int, int] | None:
        """Start and end of window ``n`` [ticks]; None where the program has none."""
        start_ns = self.image.delay_ns + n * self.cycle_ns
        if n > 0 and self.cycle_ns == 0:
            return None
        if self.duration_ns and start_ns >= self.duration_ns:
            return None
        tick = self.grid.tick_ns
        if self.cycle_ns:
            end_ns = start_ns + self.image.on_ns
            if self.duration_ns:
                end_ns = min(end_ns, self.duration_ns)
            return start_ns // tick, end_ns // tick
        return start_ns // tick, self.duration_ns // tick if self.duration_ns else INFINITE

    def nominal_units(self, length: int) -> int:
        """Units that begin nominally in a window of this length."""
        return INFINITE if length >= INFINITE // 2 else self.first_at(length)

    def emitted_units(self, length: int) -> int:
        """Units of such a window that rule 4 lets through."""
        return INFINITE if length >= INFINITE // 2 else self.first_at(length - self.unit_length + 1)


def plans_of(image: ProgramImage) -> tuple[AreaPlan, ...]:
    """All areas of an image, in the order in which rule 8 places them."""
    plans = [AreaPlan(i, area, image.grid, image.duration_ns) for i, area in enumerate(image.areas)]
    return tuple(sorted(plans, key=lambda plan: (plan.image.priority, plan.index)))


def misfits(plan: AreaPlan) -> list[str]:
    """What rule 3 refuses in one area: pulses that do not end before the next one, windows that overlap."""
    found: list[str] = []
    area = plan.image
    if plan.has_burst:
        spacing = area.burst_period_num // (area.burst_period_den * plan.grid.tick_ns)
        inner = plan.pulse_length if area.recharge is Recharge.PASSIVE_AFTER_BURST else plan.occupancy
        if plan.pulses > 1 and inner > spacing:
            found.append(f"a pulse of {inner} ticks in a burst with {spacing} ticks from pulse to pulse")
    elif area.recharge is Recharge.PASSIVE_AFTER_BURST:
        found.append("passive-after-burst without a burst")
    if plan.unit_occupancy > plan.interval:
        found.append(f"a unit of {plan.unit_occupancy} ticks every {plan.interval} ticks")
    if plan.cycle_ns and _window_spills(plan):
        found.append("a unit whose recovery reaches into the next window")
    return found


@lru_cache(maxsize=256)
def _window_spills(plan: AreaPlan) -> bool:
    # Windows repeat on the tick grid after at most tick_ns of them, so these are all the cases there are.
    for n in range(plan.grid.tick_ns + 1):
        here, following = plan.window(n), plan.window(n + 1)
        if here is None or following is None:
            return False
        last = plan.emitted_units(here[1] - here[0]) - 1
        if last >= 0 and here[0] + plan.onset(last) + plan.unit_occupancy > following[0]:
            return True
    return False
