"""Nominal capabilities of the device profiles, for judging a program before any device is connected."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from neurostim.core.errors import ConfigError
from neurostim.core.hardware import Capabilities, Port, PortKind
from neurostim.core.image import Grid
from neurostim.core.units import CURRENT, RATE, TIME, VOLTAGE, parse_quantity, parse_whole

PROTOCOL_VERSION = 1


@cache
def profiles() -> Mapping[str, Capabilities]:
    """All nominal profiles by name, in the order of the file."""
    text = resources.files("neurostim.safety").joinpath("profiles.toml").read_text(encoding="utf-8")
    return {name: _capabilities(name, table) for name, table in tomllib.loads(text).items()}


def profile(name: str) -> Capabilities:
    """Nominal capabilities of one profile.

    Parameters
    ----------
    name : str
        ``scs``, ``drg``, ``pns``, ``tens`` or ``bench``.

    Raises
    ------
    ConfigError
        For any other name.
    """
    known = profiles()
    if name not in known:
        raise ConfigError(
            f"there is no device profile {name!r}",
            allowed=", ".join(known),
            code="profile",
        )
    return known[name]


def _capabilities(name: str, table: Mapping[str, Any]) -> Capabilities:
    guard_ns = parse_whole(table["guard"], TIME)
    recovery_min_ns = parse_whole(table["recovery_min"], TIME)
    return Capabilities(
        profile=name,
        model=f"nominal {name}",
        serial_number="",
        firmware="",
        protocol_version=PROTOCOL_VERSION,
        grid=Grid.of(
            parse_whole(table["tick"], TIME), parse_whole(table["step"], CURRENT), guard_ns, recovery_min_ns
        ),
        guard_ns=guard_ns,
        recovery_min_ns=recovery_min_ns,
        ports=_ports(table["ports"]),
        slots=table["slots"],
        max_areas=table["max_areas"],
        max_contact_na=parse_whole(table["max_contact"], CURRENT),
        max_total_na=parse_whole(table["max_total"], CURRENT),
        min_width_ns=parse_whole(table["min_width"], TIME),
        max_width_ns=parse_whole(table["max_width"], TIME),
        max_rate_mhz=int(parse_quantity(table["max_rate"], RATE) * 1000),
        rail_mv=int(parse_quantity(table["rail"], VOLTAGE) / 1000),
        discharge_ohm=table["discharge_ohm"],
        min_ramp_ns=parse_whole(table["min_ramp"], TIME),
        max_image_bytes=table["max_image_bytes"],
    )


def _ports(rows: list[dict[str, Any]]) -> tuple[Port, ...]:
    ports: list[Port] = []
    first = 1
    for row in rows:
        count = row["contacts"]
        ports.append(Port(PortKind[row["kind"].upper()], first, count, bool(row.get("return", False))))
        first += count
    return tuple(ports)
