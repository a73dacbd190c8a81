"""The check table of the paradigm facts from the shipped presets: charge, density, Shannon k, charge a day.

The printed figures were computed by hand: one cathode takes all the current, no ramps, and a day is the mean
of a year, since a cycle of 390 s does not divide one. Exit code 1 where a digit differs.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import replace

from neurostim.core.compile import compile_program
from neurostim.core.program import Program, Ramp
from neurostim.core.program_file import load_preset
from neurostim.electrode.library import contact_map, lead
from neurostim.safety.profiles import profile

DAYS = 365
DAY_NS = 86_400 * 10**9
UC_AC, C_AC, CM2_UM2 = 10**12, 10**18, 10**8

# Preset; per phase or per burst; printed uC, uC/cm2, Shannon k, C/day.
PRINTED = [
    ("tonic", "phase", "1.80", "14.7", "1.42", "7.78"),
    ("burstdr", "phase", "1.50", "12.2", "1.26", "25.9"),
    ("burstdr", "burst", "7.5", "61", "2.66", "25.9"),
    ("burstdr-30-90", "phase", "1.50", "12.2", "1.26", "6.48"),
    ("burstdr-30-360", "phase", "1.50", "12.2", "1.26", "1.99"),
    ("hf10", "phase", "0.09", "0.73", "-1.18", "77.8"),
    ("high-density-500hz", "phase", "1.50", "12.2", "1.26", "64.8"),
    ("fast", "phase", "0.75", "6.1", "0.66", "5.83"),
    ("drg-20hz", "phase", "0.24", "6.1", "0.17", "0.41"),
]


def figures(program: Program, per: str) -> tuple[float, float, float, float]:
    """The four figures of a program, from its exact dose."""
    leads = [lead(one) for one in program.leads]
    # A ramp of 0 s is a matter of the bench; the dose does not depend on the therapy word.
    areas = tuple(replace(area, ramp=Ramp(0, 0)) for area in program.areas)
    plain = replace(program, areas=areas, therapy="bench")
    schedule = compile_program(plain, profile(program.therapy).grid, contact_map(leads))
    (dose,) = schedule.dose(DAYS * DAY_NS).areas
    worst = max(one.max_unit_ac if per == "burst" else one.max_phase_ac for one in dose.contacts)
    charge = worst / UC_AC
    density = charge / (leads[0].contacts[0].area_um2 / CM2_UM2)
    return charge, density, math.log10(density) + math.log10(charge), dose.stimulation_ac / DAYS / C_AC


def main() -> int:
    """Print computed beside printed figures; 1 where a printed digit differs."""
    print(f"{'preset':<20}{'per':<7}{'uC':>7}{'uC/cm2':>9}{'k':>8}{'C/day':>8}   printed")
    wrong = 0
    began = time.perf_counter()
    for name, per, *printed in PRINTED:
        found = figures(load_preset(name), per)
        shown = [_like(value, text) for value, text in zip(found, printed, strict=True)]
        same = shown == printed
        wrong += not same
        charge, density, k, day = shown
        mark = "equal" if same else f"DIFFERS: {', '.join(printed)}"
        print(f"{name:<20}{per:<7}{charge:>7}{density:>9}{k:>8}{day:>8}   {mark}")
    took = time.perf_counter() - began
    print(
        f"{len(PRINTED) - wrong} of {len(PRINTED)} rows equal to the printed digits, in {took * 1000:.0f} ms"
    )
    return 1 if wrong else 0


def _like(value: float, printed: str) -> str:
    """The value with as many decimals as were printed."""
    return f"{value:.{len(printed.partition('.')[2])}f}"


if __name__ == "__main__":
    sys.exit(main())
