"""Which kinds of stimulator this installation knows, found by entry point."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final, Protocol, cast

from neurostim.core.errors import ConfigError, TransportError
from neurostim.device.keys import HostKeys
from neurostim.device.stimulator import Stimulator

GROUP: Final = "neurostim.devices"
NATIVE: Final = "native"


class Maker(Protocol):
    """What makes a stimulator from an address; ``keys`` is given only where there are any."""

    def __call__(self, url: str, *, keys: HostKeys | None = None) -> Stimulator:
        """Make it; nothing is opened yet."""


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
