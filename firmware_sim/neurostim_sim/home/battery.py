"""How long the battery lasts: a model of the supply, from rest, electronics and charge delivered.

Two AAA cells. Engineering judgement (grade C), stated so that it can be replaced: what counts is that the
prediction and the simulated drain are one model, and that the host has the same one of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from neurostim.core.image import ImageArea, ProgramImage
from neurostim.core.program import Recharge

CAPACITY_UJ: Final = 8_640_000_000
"""1000 mAh at 2.4 V, the mean of two alkaline cells under load [uJ]."""
IDLE_UW: Final = 240
"""Processor asleep, clock and buttons awake: 0.1 mA [uW]."""
RUNNING_UW: Final = 4_800
"""Processor, timing and output stage without its current: 2 mA [uW]."""
EFFICIENCY_PERMILLE: Final = 600
"""Part of the energy that reaches the rail behind the step-up converter [0.1 %]."""

FULL_PERMILLE: Final = 1000
LOW_PERMILLE: Final = 150
"""The patient is told to change the battery."""
FLOOR_PERMILLE: Final = 50
"""Output at home ends softly and does not start: what is left keeps memory and log."""

_PJ_OF_UJ: Final = 1_000_000
PERMILLE_PJ: Final = CAPACITY_UJ * _PJ_OF_UJ // FULL_PERMILLE
"""Energy of one step of the level [pJ]."""
_AC_MV_OF_PJ: Final = 1_000_000_000
HOUR_US: Final = 3_600_000_000
SECOND_NS: Final = 1_000_000_000
MOST_HOURS: Final = 0xFFFFFFFF


def energy_pj(driven_ac: int, rail_mv: int) -> int:
    """Energy drawn for a charge driven from the rail [pJ], rounded up."""
    return -(-driven_ac * rail_mv * FULL_PERMILLE // (_AC_MV_OF_PJ * EFFICIENCY_PERMILLE))


def driven_of(area: ImageArea, stim_ac: int) -> int:
    """Charge the source drives where an area delivered this much [aC]: active recharge is driven again.

    Passive recovery costs nothing. All phases of a triphasic pulse count as stimulation already.
    """
    active = area.recharge in (Recharge.ACTIVE_SYMMETRIC, Recharge.ACTIVE_ASYMMETRIC)
    return stim_ac * 2 if active else stim_ac


def driven_per_hour(image: ProgramImage, amplitudes_na: Sequence[int]) -> int:
    """Charge that a program drives in an hour at these amplitudes [aC], ramps left out, rounded up."""
    total = 0
    for area, amplitude in zip(image.areas, amplitudes_na, strict=True):
        width_ns = area.width_ticks * image.grid.tick_ns
        phases = 4 if area.recharge is Recharge.TRIPHASIC else 1
        unit = driven_of(area, amplitude * width_ns * phases) * area.burst_pulses
        hour_ns = 3600 * SECOND_NS
        numerator = unit * hour_ns * area.period_den
        denominator = area.period_num
        if area.on_ns:
            numerator *= area.on_ns
            denominator *= area.on_ns + area.off_ns
        total += -(-numerator // denominator)
    return total


def hours_left(image: ProgramImage, amplitudes_na: Sequence[int], rail_mv: int, level_permille: int) -> int:
    """Whole hours that the charge above the floor carries a program without a pause [h]."""
    left_pj = PERMILLE_PJ * max(0, level_permille - FLOOR_PERMILLE)
    hour_pj = RUNNING_UW * HOUR_US + energy_pj(driven_per_hour(image, amplitudes_na), rail_mv)
    return min(left_pj // hour_pj, MOST_HOURS)
