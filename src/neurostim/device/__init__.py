"""Stimulators behind one interface: finding, opening, commanding and watching them."""

from neurostim.device.clock import Clock, SystemClock
from neurostim.device.discovery import connect, discover, discover_usb, watch_ports
from neurostim.device.errors import CommandRefused
from neurostim.device.futures import CommandFuture
from neurostim.device.handshake import DeviceKey
from neurostim.device.host_core import HostCore, LinkState
from neurostim.device.key_file import KeyFile
from neurostim.device.keys import HostKeys, KeyringStore, KeyStore, KeyStoreError
from neurostim.device.known_devices import KnownDevices, KnownKeys
from neurostim.device.notices import DeviceEvent, Happening, LinkCounters, Notice, NoticeKind
from neurostim.device.records import (
    AreaCharge,
    Armed,
    ContactCharge,
    DeviceStatus,
    DoseRecord,
    Identity,
    LifeCounters,
    Paired,
    PairedHosts,
    SlotContents,
    SoftStopped,
    Started,
)
from neurostim.device.registry import driver, drivers
from neurostim.device.stimulator import Stimulator
from neurostim.device.stop_path import StopConfirmation

__all__ = [
    "AreaCharge",
    "Armed",
    "Clock",
    "CommandFuture",
    "CommandRefused",
    "ContactCharge",
    "DeviceEvent",
    "DeviceKey",
    "DeviceStatus",
    "DoseRecord",
    "Happening",
    "HostCore",
    "HostKeys",
    "Identity",
    "KeyFile",
    "KeyStore",
    "KeyStoreError",
    "KeyringStore",
    "KnownDevices",
    "KnownKeys",
    "LifeCounters",
    "LinkCounters",
    "LinkState",
    "Notice",
    "NoticeKind",
    "Paired",
    "PairedHosts",
    "SlotContents",
    "SoftStopped",
    "Started",
    "Stimulator",
    "StopConfirmation",
    "SystemClock",
    "connect",
    "discover",
    "discover_usb",
    "driver",
    "drivers",
    "watch_ports",
]
