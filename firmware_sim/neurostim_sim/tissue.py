"""The simulated body and plugs: each contact's circuit, what is broken in it, and the physics of the output.

Values start from the lead library; the steps in time are in the engine's kernel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from neurostim.core.errors import ConfigError
from neurostim.core.hardware import Port
from neurostim.core.image import RETURN_INDEX
from neurostim.electrode.lead import ContactCircuit, Lead

DISCONNECTED_OHM: Final = 1e9
SHORTED_OHM: Final = 20.0


@dataclass(frozen=True, slots=True)
class OutputPhysics:
    """The output stage: rail [V], discharge resistor [ohm], thresholds for open and short [ohm]."""

    rail_v: float
    discharge_ohm: float
    open_ohm: float
    short_ohm: float
    sensor_works: bool = True

    def numbers(self) -> tuple[float, ...]:
        """In the order of the engine's layout."""
        return (
            self.rail_v,
            self.discharge_ohm,
            self.open_ohm,
            self.short_ohm,
            1.0 if self.sensor_works else 0.0,
        )


@dataclass
class Contact:
    """One contact in the body: its circuit, the voltage on its double layer [V], and what is wrong."""

    circuit: ContactCircuit
    series_ohm: float
    volt: float = 0.0
    since: float = 0.0
    is_open: bool = False
    is_short: bool = False
    plugged: bool = True

    @property
    def present_ohm(self) -> float:
        """Series resistance as the output sees it now."""
        if self.is_open or not self.plugged:
            return DISCONNECTED_OHM
        return SHORTED_OHM if self.is_short else self.series_ohm


@dataclass
class Tissue:
    """All contacts of a device by number."""

    contacts: dict[int, Contact] = field(default_factory=dict)

    def row(self, contact: int) -> tuple[float, float, float, float, float]:
        """Circuit of one contact in the order of the engine's layout: ohm, farad, ohm, volt, time [ticks]."""
        one = self.contacts[contact]
        return (
            one.present_ohm,
            one.circuit.double_layer_nf * 1e-9,
            float(one.circuit.faradaic_ohm),
            one.volt,
            one.since,
        )

    def behind(self, port: Port) -> list[int]:
        """Numbered contacts of a port."""
        return [c for c in self.contacts if port.first_contact <= c < port.first_contact + port.contact_count]


def tissue_of(
    ports: Sequence[Port], leads: Sequence[Lead], series_ohm: Mapping[int, int] | None = None
) -> Tissue:
    """Plug leads into ports, one after the other, and put each contact into tissue.

    Parameters
    ----------
    ports : sequence of Port
        The device's connectors; several leads fill their contacts in order.
    leads : sequence of Lead
        What is plugged in. A contact with no lead on it is unplugged.
    series_ohm : mapping of int to int, optional
        Resistances [ohm] that replace those of the library, by device contact.
    """
    circuits: list[ContactCircuit] = [lead.circuit for lead in leads for _ in lead.contacts]
    numbers = [
        c for port in ports for c in range(port.first_contact, port.first_contact + port.contact_count)
    ]
    if len(circuits) > len(numbers):
        raise ConfigError(
            f"leads with {len(circuits)} contacts do not fit a device with {len(numbers)}",
            allowed=f"at most {len(numbers)} contacts",
            code="leads",
        )
    tissue = Tissue()
    for place, number in enumerate(numbers):
        circuit = circuits[place] if place < len(circuits) else leads[0].circuit
        tissue.contacts[number] = Contact(circuit, float(circuit.series_ohm), plugged=place < len(circuits))
    if any(port.has_return for port in ports):
        pads = [lead.return_pad for lead in leads if lead.return_pad is not None]
        circuit = pads[0].circuit if pads else leads[0].circuit
        tissue.contacts[RETURN_INDEX] = Contact(circuit, float(circuit.series_ohm), plugged=bool(pads))
    for number, ohm in (series_ohm or {}).items():
        if number not in tissue.contacts or ohm <= 0:
            raise ConfigError(
                f"no contact {number} with {ohm} ohm",
                allowed=f"contacts {sorted(tissue.contacts)}, resistances above 0",
                code="impedance",
            )
        tissue.contacts[number].series_ohm = float(ohm)
    return tissue
