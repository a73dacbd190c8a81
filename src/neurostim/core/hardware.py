"""What a stimulator is and measures: ports, capabilities, impedances. Plain values, no I/O."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from neurostim.core.image import Grid


class PortKind(enum.IntEnum):
    """The kind of an output port; default limits come from it, never from a program's therapy word."""

    SCS = 1
    DRG = 2
    PNS = 3
    SURFACE = 4
    BENCH = 5


@dataclass(frozen=True, slots=True)
class Port:
    """One connector: its kind and the device contacts ``first .. first + count - 1`` behind it."""

    kind: PortKind
    first_contact: int
    contact_count: int
    has_return: bool = False


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a device says of itself.

    Currents in nA, times in ns, voltages in mV, resistances in ohm. ``rail_mv`` is the compliance
    voltage; ``discharge_ohm`` the resistor through which passive recovery runs.
    ``min_ramp_ns`` is the shortest ramp the device starts with.
    """

    profile: str
    model: str
    serial_number: str
    firmware: str
    protocol_version: int
    grid: Grid
    guard_ns: int
    recovery_min_ns: int
    ports: tuple[Port, ...]
    slots: int
    max_areas: int
    max_contact_na: int
    max_total_na: int
    min_width_ns: int
    max_width_ns: int
    max_rate_mhz: int
    rail_mv: int
    discharge_ohm: int
    min_ramp_ns: int
    max_image_bytes: int

    @property
    def contact_count(self) -> int:
        """Number of numbered contacts over all ports."""
        return sum(port.contact_count for port in self.ports)


@dataclass(frozen=True, slots=True)
class ContactImpedance:
    """One contact measured against all others tied: early (series) and late [ohm].

    ``status`` is ``ok``, ``open``, ``short`` or ``clipped`` (the rail limited the reading).
    """

    contact: int
    series_ohm: int
    late_ohm: int
    status: str = "ok"


@dataclass(frozen=True, slots=True)
class Impedances:
    """A measured set, by device contact."""

    contacts: Mapping[int, ContactImpedance] = field(default_factory=dict)
