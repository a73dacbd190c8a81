"""The gated impedance program: what the device does to one contact after another, and what it reads.

Balanced pulses of 0.5 mA x 50 us against all other contacts tied, once more at 0.1 mA where the rail clips.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

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


class Given(NamedTuple):
    """One balanced pulse as it flowed: its beginning [ns from the start], each contact's first phase [nA].

    The second phase follows at once, as wide, with the signs reversed.
    """

    at_ns: int
    currents_na: dict[int, int]


@dataclass
class Measurement:
    """A measurement under way, in device time [ns] from its start."""

    contacts: list[int]
    readings: list[ContactReading] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)

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
        self._give(contact, min(current, clipped), range(given), tissue, counters)
        if clipped < current:
            current = RETRY_NA
            reading, clipped = _read(contact, current, tissue, profile)
        flowing = min(current, clipped)
        self._give(contact, flowing, range(given, PULSES), tissue, counters)
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
        self._give(contact, min(CURRENT_NA, allowed), range(first), tissue, counters)
        again = min(CURRENT_NA if allowed >= CURRENT_NA else RETRY_NA, allowed)
        self._give(contact, again, range(first, given), tissue, counters)

    def _give(
        self, contact: int, current_na: int, places: range, tissue: Tissue, counters: dict[int, list[int]]
    ) -> None:
        """Count balanced pulses: cathodic at the contact, its return shared by conductance in whole nA."""
        if current_na == 0 or not places:
            return
        currents = _shared(contact, current_na, tissue)
        begun = len(self.readings) * PULSES
        self.given += [Given((begun + place) * SPACING_NS, currents) for place in places]
        pulses, charge = len(places), WIDTH_NS * len(places)
        for number, current in currents.items():
            values = counters.setdefault(number, [0, 0, 0, 0])
            values[0] += pulses
            values[1 if current < 0 else 2] += abs(current) * charge
            values[3] -= current * charge


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


def _shared(contact: int, current_na: int, tissue: Tissue) -> dict[int, int]:
    """Current of each contact in the first phase [nA]; what rounding leaves goes to the best conductor."""
    others = {n: 1.0 / one.present_ohm for n, one in tissue.contacts.items() if n != contact}
    total = sum(others.values())
    shared = {n: int(current_na * conductance / total) for n, conductance in others.items()}
    best = max(others, key=lambda number: others[number])
    shared[best] += current_na - sum(shared.values())
    return {contact: -current_na, **{n: part for n, part in shared.items() if part}}
