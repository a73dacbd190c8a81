"""What a lead is: contacts with geometry and exposed area, and the circuit of each contact. Plain values.

The leads themselves are data, read by `neurostim.electrode.library`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from neurostim.core.errors import ConfigError


class LeadClass(enum.StrEnum):
    """The kind of a lead, from which limits come."""

    PERCUTANEOUS = "percutaneous"
    DRG = "drg"
    PADDLE = "paddle"
    PNS = "pns"
    CUFF = "cuff"
    COIL = "coil"
    SURFACE = "surface"


class Material(enum.StrEnum):
    """What a contact is made of; potential limits of platinum hold for platinum only."""

    PLATINUM_IRIDIUM = "platinum-iridium"
    STAINLESS_STEEL = "stainless-steel"
    HYDROGEL = "hydrogel"


class Shape(enum.StrEnum):
    """How the exposed area follows from width and length."""

    BAND = "band"
    PLATE = "plate"
    COIL = "coil"


@dataclass(frozen=True, slots=True)
class ContactCircuit:
    """One contact's circuit: a series resistance, then a double layer with a Faradaic leak across it.

    Attributes
    ----------
    series_ohm : int
        Contact and tissue, from the contact to the common tissue node [ohm].
    double_layer_nf : int
        Double-layer capacitance [nF].
    faradaic_ohm : int
        Leak across the double layer [ohm].
    grade, source : str
        How well the values are known, and from where.
    low_nf, high_nf : int
        Lowest and highest plausible double layer [nF]; 0 stands for the nominal value.
    faradaic_low_ohm : int
        Lowest plausible leak resistance [ohm]; 0 stands for the nominal value.
    """

    series_ohm: int
    double_layer_nf: int
    faradaic_ohm: int
    grade: str = ""
    source: str = ""
    low_nf: int = 0
    high_nf: int = 0
    faradaic_low_ohm: int = 0

    def at_low(self) -> ContactCircuit:
        """The same contact with its lowest capacitance: largest potentials and recharge peaks."""
        return replace(self, double_layer_nf=self.low_nf or self.double_layer_nf)

    def at_high(self) -> ContactCircuit:
        """The same contact with its highest capacitance: slowest recovery, largest residue."""
        return replace(self, double_layer_nf=self.high_nf or self.double_layer_nf)

    def at_leaky(self) -> ContactCircuit:
        """The same contact with its lowest Faradaic resistance: most DC after passive recovery."""
        return replace(self, faradaic_ohm=self.faradaic_low_ohm or self.faradaic_ohm)


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact: centre and size [um], exposed area [um2].

    ``x_um`` is lateral, ``y_um`` runs from the most rostral centre towards the tail; ``width_um`` is the
    diameter of a band or coil.
    """

    number: int
    x_um: int
    y_um: int
    width_um: int
    length_um: int
    area_um2: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class ReturnPad:
    """A declared skin pad that carries the return current: size [um], area [um2], impedance [ohm]."""

    width_um: int
    length_um: int
    area_um2: int
    impedance_ohm: int
    circuit: ContactCircuit
    grade: str
    source: str


@dataclass(frozen=True, slots=True)
class Lead:
    """A lead of the library.

    ``contacts`` are numbered from 1 without gaps; ``circuit`` is that of each of them. ``return_pad`` is
    present only where the lead is used with a skin pad as the contact ``return``.
    """

    id: str
    title: str
    lead_class: LeadClass
    material: Material
    contacts: tuple[Contact, ...]
    circuit: ContactCircuit
    grade: str
    source: str
    note: str = ""
    return_pad: ReturnPad | None = None

    def contact(self, number: int) -> Contact:
        """The contact of this number.

        Raises
        ------
        ConfigError
            Where the lead has no such contact.
        """
        if not 1 <= number <= len(self.contacts):
            raise ConfigError(
                f"lead {self.id!r} has no contact {number}",
                allowed=f"1 to {len(self.contacts)}",
                code="unknown-contact",
            )
        return self.contacts[number - 1]
