"""The gated impedance program: what the device does to one contact after another, and what it reads.

Balanced pulses of 0.5 mA x 50 us against all other contacts tied, once more at 0.1 mA where the rail clips.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from neurostim.core.image import RETURN_INDEX
from neurostim.wire.messages import ContactReading, ContactStatus
from neurostim_sim.profiles import Profile
from neurostim_sim.tissue import Tissue

CURRENT_NA: Final = 500_000
RETRY_NA: Final = 100_000
WIDTH_NS: Final = 50_000
PULSES: Final = 4
SPACING_NS: Final = 5_000_000
OPEN_BELOW_NA: Final = 1_000


@dataclass
class Measurement:
    """A measurement under way, in device time [ns] from its start."""

    contacts: list[int]
    readings: list[ContactReading] = field(default_factory=list)

    @property
    def next_ns(self) -> int:
        """When the contact under way is done."""
        return (len(self.readings) + 1) * PULSES * SPACING_NS

    @property
    def complete(self) -> bool:
        """Whether every contact asked for was measured."""
        return len(self.readings) == len(self.contacts)

    def step(self, tissue: Tissue, profile: Profile, counters: dict[int, list[int]]) -> None:
        """Measure the next contact; what flowed is added to the counters [pulses and aC]."""
        contact = self.contacts[len(self.readings)]
        current, given = CURRENT_NA, PULSES // 2
        reading, clipped = _read(contact, current, tissue, profile)
        _count(contact, min(current, clipped), given, tissue, counters)
        if clipped < current:
            current = RETRY_NA
            reading, clipped = _read(contact, current, tissue, profile)
        flowing = min(current, clipped)
        _count(contact, flowing, PULSES - given, tissue, counters)
        series, late = reading
        if flowing < OPEN_BELOW_NA:
            status = ContactStatus.OPEN
        elif clipped < current:
            status = ContactStatus.CLIPPED
        else:
            status = ContactStatus.SHORT if series < profile.short_ohm else ContactStatus.OK
        self.readings.append(ContactReading(contact, status, series, late, flowing, PULSES))

    def break_off(self, at_ns: int, tissue: Tissue, profile: Profile, counters: dict[int, list[int]]) -> None:
        """Count the pulses given to the contact under way when the measurement ended early, at ``at_ns``."""
        if self.complete:
            return
        begun = at_ns - len(self.readings) * PULSES * SPACING_NS
        given = min(max(begun // SPACING_NS + 1, 0), PULSES)
        contact = self.contacts[len(self.readings)]
        allowed = _read(contact, CURRENT_NA, tissue, profile)[1]
        first = min(given, PULSES // 2)
        _count(contact, min(CURRENT_NA, allowed), first, tissue, counters)
        again = min(CURRENT_NA if allowed >= CURRENT_NA else RETRY_NA, allowed)
        _count(contact, again, given - first, tissue, counters)


def contacts_of_mask(mask: int) -> list[int]:
    """Contacts a mask names: bit n - 1 contact n, bit 32 the return pad."""
    numbered = [bit + 1 for bit in range(32) if mask >> bit & 1]
    return [*numbered, RETURN_INDEX] if mask >> 32 & 1 else numbered


def _read(contact: int, current_na: int, tissue: Tissue, profile: Profile) -> tuple[tuple[int, int], int]:
    """Early and late reading [ohm], and the largest current the rail allows [nA]."""
    own = tissue.contacts[contact]
    others = [one for number, one in tissue.contacts.items() if number != contact]
    tied = 1.0 / sum(1.0 / one.present_ohm for one in others)
    series = own.present_ohm + tied
    farads = sum(one.circuit.double_layer_nf for one in others) * 1e-9
    rise = WIDTH_NS * 1e-9 * (1e9 / own.circuit.double_layer_nf + 1.0 / farads)
    allowed = int(profile.capabilities.rail_mv * 1e-3 / (series + rise) * 1e9)
    return (min(round(series), 0xFFFFFFFF), min(round(series + rise), 0xFFFFFFFF)), allowed


def _count(
    contact: int, current_na: int, pulses: int, tissue: Tissue, counters: dict[int, list[int]]
) -> None:
    """Add balanced pulses to the counters: cathodic at the contact, its return shared by conductance."""
    charge = current_na * WIDTH_NS * pulses
    if charge == 0:
        return
    others = {n: 1.0 / one.present_ohm for n, one in tissue.contacts.items() if n != contact}
    total, left = sum(others.values()), charge
    last = max(others, key=lambda number: others[number])
    for number, conductance in others.items():
        if number == last:
            continue
        part = int(charge * conductance / total)
        left -= part
        _add(counters, number, pulses if part else 0, 0, part)
    _add(counters, last, pulses, 0, left)
    _add(counters, contact, pulses, charge, 0)


def _add(counters: dict[int, list[int]], contact: int, pulses: int, cathodic: int, anodic: int) -> None:
    values = counters.setdefault(contact, [0, 0, 0, 0])
    values[0] += pulses
    values[1] += cathodic
    values[2] += anodic
    values[3] += cathodic - anodic
