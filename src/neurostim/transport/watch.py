"""What comes and goes between two looks at the ports of this computer; no time and no waiting here."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from neurostim.transport.ports import SerialPortInfo, UsbDeviceInfo

Port = SerialPortInfo | UsbDeviceInfo


class Passage(enum.Enum):
    """Which way something went."""

    ARRIVED = "arrived"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class Change:
    """One port or stimulator that arrived or left."""

    passage: Passage
    port: Port


class BusWatch:
    """Compares each look with the one before; the first tells everything that is there.

    libusb can report arrivals by itself on some systems, but not through pyusb and not on Windows; asking
    twice a second costs next to nothing and is the same everywhere.

    Parameters
    ----------
    look : callable
        Lists the ports, or raises; an error leaves the last look as it was.
    """

    def __init__(self, look: Callable[[], Iterable[Port]]) -> None:
        self._look = look
        self._known: dict[tuple[object, ...], Port] = {}

    def poll(self) -> list[Change]:
        """What changed since the last call: departures first, as a port may have come back as another."""
        now = {_identity(port): port for port in self._look()}
        left = [Change(Passage.LEFT, port) for key, port in self._known.items() if key not in now]
        arrived = [Change(Passage.ARRIVED, port) for key, port in now.items() if key not in self._known]
        self._known = now
        return left + arrived


def _identity(port: Port) -> tuple[object, ...]:
    """What makes a port the same: one that was unplugged and plugged in again has another address."""
    if isinstance(port, SerialPortInfo):
        return (port.path, port.vendor_id, port.product_id, port.serial_number)
    return (port.url, port.bus, port.address)
