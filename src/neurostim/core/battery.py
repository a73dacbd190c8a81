"""How long the battery of a device lasts at home, as the host predicts it before a release.

The model of the device (docs/going-home.md): power at rest, power of the electronics while output is on, and
the charge that is driven, taken from the rail behind a converter. The device has the same model of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from neurostim.core.image import ProgramImage
from neurostim.core.program import Recharge


@dataclass(frozen=True, slots=True)
class BatteryModel:
    """A supply. Engineering judgement (grade C): two AAA cells, 1000 mAh at 2.4 V.

    Attributes
    ----------
    capacity_uj : int
        Energy of a full battery [uJ].
    running_uw : int
        Power of processor and electronics while output is on [uW].
    efficiency_permille : int
        Part of the energy that reaches the rail [0.1 %].
    floor_permille : int
        Level at which output ends [0.1 %].
    """

    capacity_uj: int = 8_640_000_000
    running_uw: int = 4_800
    efficiency_permille: int = 600
    floor_permille: int = 50


_SECOND_NS: Final = 1_000_000_000
_DRIVEN_PHASES: Final = {
    Recharge.TRIPHASIC: 4,
    Recharge.ACTIVE_SYMMETRIC: 2,
    Recharge.ACTIVE_ASYMMETRIC: 2,
}


def charge_per_second(image: ProgramImage, amplitudes_na: tuple[int, ...]) -> Fraction:
    """Charge that the sources of a program drive in a second, ramps left out [aC/s].

    Active recharge is driven again, passive recovery is not; a triphasic pulse drives four widths.

    Parameters
    ----------
    image : ProgramImage
    amplitudes_na : tuple of int
        Amplitude of each area [nA].
    """
    total = Fraction(0)
    for area, amplitude in zip(image.areas, amplitudes_na, strict=True):
        pulse = amplitude * area.width_ticks * image.grid.tick_ns * _DRIVEN_PHASES.get(area.recharge, 1)
        rate = Fraction(_SECOND_NS * area.period_den * area.burst_pulses, area.period_num)
        duty = Fraction(area.on_ns, area.on_ns + area.off_ns) if area.on_ns else Fraction(1)
        total += pulse * rate * duty
    return total


def hours(
    image: ProgramImage,
    amplitudes_na: tuple[int, ...],
    rail_mv: int,
    level_permille: int = 1000,
    model: BatteryModel | None = None,
) -> Fraction:
    """Hours for which a battery carries a program without a pause [h].

    Parameters
    ----------
    image : ProgramImage
    amplitudes_na : tuple of int
        Amplitude of each area [nA]; the top of the patient's range for the least that can be promised.
    rail_mv : int
        Rail of the output [mV].
    level_permille : int
        Charge that is left [0.1 %].
    model : BatteryModel, optional
    """
    supply = model or BatteryModel()
    # aC x mV is 1e-21 J.
    rail_uw = charge_per_second(image, amplitudes_na) * rail_mv / 10**15
    drawn_uw = supply.running_uw + rail_uw * 1000 / supply.efficiency_permille
    left_uj = Fraction(supply.capacity_uj * max(0, level_permille - supply.floor_permille), 1000)
    return left_uj / drawn_uw / 3600
