"""Stimulators behind one interface: finding, opening, commanding and watching them."""

from neurostim.device.clock import Clock, SystemClock
from neurostim.device.discovery import connect, discover
from neurostim.device.errors import CommandRefused
from neurostim.device.futures import CommandFuture
from neurostim.device.host_core import HostCore, LinkState
from neurostim.device.notices import DeviceEvent, Happening, LinkCounters, Notice, NoticeKind
from neurostim.device.records import (
    AreaCharge,
    Armed,
    ContactCharge,
    DeviceStatus,
    DoseRecord,
    Identity,
    LifeCounters,
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
    "DeviceStatus",
    "DoseRecord",
    "Happening",
    "HostCore",
    "Identity",
    "LifeCounters",
    "LinkCounters",
    "LinkState",
    "Notice",
    "NoticeKind",
    "SlotContents",
    "SoftStopped",
    "Started",
    "Stimulator",
    "StopConfirmation",
    "SystemClock",
    "connect",
    "discover",
    "driver",
    "drivers",
]
