"""The device profiles of the simulator: what a device says of itself, and what it keeps to inside."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

from neurostim.core.errors import ConfigError
from neurostim.core.hardware import Capabilities, Port, PortKind
from neurostim.core.image import Grid
from neurostim.core.units import CURRENT, RATE, TIME, VOLTAGE, parse_quantity, parse_whole

FIRMWARE: Final = "1.0.0-sim"
PROTOCOL_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of device.

    ``max_phase_ac`` is the firmware's own cap on the charge of a phase at a contact [aC]; a contact from
    ``open_ohm`` on is open, below ``short_ohm`` short. ``lead`` is plugged in where none is named.
    """

    capabilities: Capabilities
    lead: str
    max_phase_ac: int
    open_ohm: float
    short_ohm: float


def profile_names() -> tuple[str, ...]:
    """Names of all profiles."""
    return tuple(_table("profiles.toml"))


def profile(name: str, serial_number: str = "SIM-0001") -> Profile:
    """A profile by name, as the device with this serial number.

    Raises
    ------
    ConfigError
        For an unknown name.
    """
    if name not in profile_names():
        raise ConfigError(
            f"there is no device profile {name!r}", allowed=", ".join(profile_names()), code="profile"
        )
    table, inside = _table("profiles.toml")[name], _table("hardware.toml")[name]
    guard_ns = parse_whole(table["guard"], TIME)
    recovery_ns = parse_whole(table["recovery_min"], TIME)
    ports: list[Port] = []
    first = 1
    for row in table["ports"]:
        ports.append(Port(PortKind[row["kind"].upper()], first, row["contacts"], bool(row.get("return"))))
        first += row["contacts"]
    capabilities = Capabilities(
        profile=name,
        model=inside["model"],
        serial_number=serial_number,
        firmware=FIRMWARE,
        protocol_version=PROTOCOL_VERSION,
        grid=Grid.of(
            parse_whole(table["tick"], TIME), parse_whole(table["step"], CURRENT), guard_ns, recovery_ns
        ),
        guard_ns=guard_ns,
        recovery_min_ns=recovery_ns,
        ports=tuple(ports),
        slots=table["slots"],
        max_areas=table["max_areas"],
        max_contact_na=parse_whole(table["max_contact"], CURRENT),
        max_total_na=parse_whole(table["max_total"], CURRENT),
        min_width_ns=parse_whole(table["min_width"], TIME),
        max_width_ns=parse_whole(table["max_width"], TIME),
        max_rate_mhz=int(parse_quantity(table["max_rate"], RATE) * 1000),
        rail_mv=int(parse_quantity(table["rail"], VOLTAGE)) // 1000,
        discharge_ohm=table["discharge_ohm"],
        min_ramp_ns=parse_whole(table["min_ramp"], TIME),
        max_image_bytes=table["max_image_bytes"],
    )
    return Profile(
        capabilities,
        inside["lead"],
        inside["max_phase_nc"] * 10**9,
        float(inside["open_ohm"]),
        float(inside["short_ohm"]),
    )


@cache
def _table(file: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("neurostim_sim").joinpath(file).read_text(encoding="utf-8"))
