"""Finding and opening stimulators."""

from __future__ import annotations

from neurostim.device.keys import HostKeys
from neurostim.device.registry import NATIVE, driver
from neurostim.device.stimulator import Stimulator
from neurostim.transport import (
    INSTALL_RULE,
    BusWatch,
    Change,
    InstalledRule,
    Passage,
    RuleState,
    SerialPortInfo,
    UsbDeviceInfo,
    installed_rule,
    parse_address,
    rule_text,
    serial_ports,
    usb_devices,
)
from neurostim.wire.messages import Role

__all__ = [
    "INSTALL_RULE",
    "BusWatch",
    "Change",
    "InstalledRule",
    "Passage",
    "RuleState",
    "SerialPortInfo",
    "UsbDeviceInfo",
    "connect",
    "discover",
    "discover_usb",
    "installed_rule",
    "rule_text",
    "watch_ports",
]


def discover() -> tuple[SerialPortInfo, ...]:
    """List the serial ports of this computer, without opening any: opening a port can disturb a device.

    Ptys and network addresses are not listed; they are typed in.
    """
    return serial_ports()


def discover_usb() -> tuple[UsbDeviceInfo, ...]:
    """List the stimulators on the USB, by ids and texts, and whether this user may open them; none is opened
    where the system tells its texts.

    Raises
    ------
    TransportError
        Code ``usb-library``, where the USB library cannot be loaded.
    """
    return usb_devices()


def watch_ports() -> BusWatch:
    """What tells serial ports and USB stimulators that arrive and leave, each time it is asked to poll."""
    return BusWatch(lambda: (*discover(), *discover_usb()))


def connect(
    url: str,
    driver_name: str = NATIVE,
    *,
    keys: HostKeys | None = None,
    role: Role = Role.CONTROL,
) -> Stimulator:
    """Open the stimulator at an address, ready for commands.

    Parameters
    ----------
    url : str
        ``/dev/ttyACM0``, ``COM3``, ``usb://1209:0001``, ``socket://127.0.0.1:7700``,
        ``usbip://127.0.0.1:3240/1-1``, ``sim://scs`` or the path of a pty.
    driver_name : str
        Kind of stimulator.
    keys : HostKeys, optional
        Asked for the key of the device that answers; see `NativeStimulator`.
    role : Role
        What this host asks to do.

    Raises
    ------
    ConfigError
        Where the address or the driver is not known.
    KeyStoreError
        Where it cannot be told whether there is a key.
    TransportError, CommandTimeout, ProtocolError
        Where it cannot be reached, does not answer, or contradicts itself.
    """
    parse_address(url)
    maker = driver(driver_name)
    stimulator = maker(url) if keys is None else maker(url, keys=keys)
    stimulator.open(role)
    return stimulator
