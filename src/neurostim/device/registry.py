"""Which kinds of stimulator this installation knows, found by entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Final, cast

from neurostim.core.errors import ConfigError, TransportError
from neurostim.device.stimulator import Stimulator

GROUP: Final = "neurostim.devices"
NATIVE: Final = "native"

Maker = Callable[[str], Stimulator]


def drivers() -> tuple[str, ...]:
    """Names of the drivers that are installed."""
    return tuple(sorted({point.name for point in entry_points(group=GROUP)}))


def driver(name: str = NATIVE) -> Maker:
    """What makes a stimulator of this kind from an address.

    Raises
    ------
    ConfigError
        Where no such driver is installed.
    TransportError
        Where its package cannot be loaded.
    """
    for point in entry_points(group=GROUP):
        if point.name == name:
            try:
                return cast(Maker, point.load())
            except ImportError as error:
                raise TransportError(
                    f"the driver {name!r} cannot be loaded: {error}",
                    remedy="Install the package it belongs to again.",
                    code="driver-package",
                ) from error
    raise ConfigError(f"there is no driver {name!r}", allowed=", ".join(drivers()), code="driver")
