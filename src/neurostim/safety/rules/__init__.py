"""The rules, one function each; what they compare with is data in ``limits.toml``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from neurostim.safety.context import Context
from neurostim.safety.findings import Finding
from neurostim.safety.rules import charge, circuit, currents, fit, surface, timing, together

Rule = Callable[[Context], list[Finding]]

PRECONDITION: Final = "SAF-FIT-CONTACT"
"""Judged first, by `neurostim.safety.rules.fit.contacts_exist`; nothing else is where it refuses."""

RULES: Final[Mapping[str, Rule]] = {
    "SAF-FIT-LEAD": fit.lead_on_port,
    "SAF-FIT-PORTS": fit.area_on_one_kind,
    "SAF-FIT-GRID": fit.grid_of_device,
    "SAF-FIT-AREAS": fit.area_count,
    "SAF-FIT-IMAGE": fit.image_size,
    "SAF-BENCH-ONLY": fit.bench_only,
    "SAF-RECHARGE-NONE": fit.recharge_none,
    "SAF-MATERIAL": fit.material,
    "SAF-SMALL-CONTACT": fit.small_contact,
    "SAF-CONTACT-CURRENT": currents.contact_current,
    "SAF-AREA-CURRENT": currents.area_current,
    "SAF-STEP": currents.amplitude_step,
    "SAF-STEP-BURST": currents.amplitude_step_burst,
    "SAF-WIDTH-LOW": currents.width_low,
    "SAF-WIDTH-HIGH": currents.width_high,
    "SAF-WIDTH-GIVEN": currents.width_given,
    "SAF-SHARE-GIVEN": currents.share_given,
    "SAF-RATE": currents.rate,
    "SAF-DUTY": currents.duty,
    "SAF-CHARGE-PHASE": charge.charge_phase,
    "SAF-CHARGE-BURST": charge.charge_burst,
    "SAF-DENSITY": charge.density,
    "SAF-DENSITY-BURST": charge.density_burst,
    "SAF-SHANNON": charge.shannon,
    "SAF-SHANNON-DAMAGE": charge.shannon_damage,
    "SAF-SHANNON-BURST": charge.shannon_burst,
    "SAF-CHARGE-STACK": charge.charge_stack,
    "SAF-CHARGE-DAY": charge.charge_day,
    "SAF-NET-DC": circuit.net_dc,
    "SAF-FARADAIC-DC": circuit.faradaic_dc,
    "SAF-MISMATCH": currents.mismatch,
    "SAF-POTENTIAL-LOW": circuit.potential_low,
    "SAF-POTENTIAL-HIGH": circuit.potential_high,
    "SAF-EXCURSION-LOW": circuit.excursion_low,
    "SAF-EXCURSION-HIGH": circuit.excursion_high,
    "SAF-RECOVERY": circuit.recovery,
    "SAF-RECHARGE-PEAK": circuit.recharge_peak,
    "SAF-COMPLIANCE": circuit.compliance,
    "SAF-IMPEDANCE-MISSING": circuit.impedance_missing,
    "SAF-IMPEDANCE-OPEN": circuit.impedance_open,
    "SAF-IMPEDANCE-SHORT": circuit.impedance_short,
    "SAF-RAMP-MIN": timing.ramp_min,
    "SAF-RAMP-SECOND": timing.ramp_second,
    "SAF-RAMP-PULSE": timing.ramp_pulse,
    "SAF-CYCLE-ON": timing.cycle_on,
    "SAF-CYCLE-OFF": timing.cycle_off,
    "SAF-INTERLEAVE": together.interleave,
    "SAF-INTERLEAVE-SHIFT": together.interleave_shift,
    "SAF-DUTY-TOTAL": together.duty_total,
    "SAF-POWER": together.power,
    "SAF-ENERGY": surface.energy,
    "SAF-OPEN-VOLTAGE": surface.open_voltage,
    "SAF-SURFACE-DENSITY": surface.surface_density,
}

MEASURED: Final = frozenset(code for code, rule in RULES.items() if rule.__module__ == circuit.__name__)
"""Rules that read the contact circuit: what they say may change once impedances are measured."""
