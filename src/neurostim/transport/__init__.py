"""Links that carry bytes: serial ports and ptys, USB, TCP, and those that other packages register."""

from neurostim.transport.address import Address, parse_address
from neurostim.transport.base import Transport
from neurostim.transport.opening import open_url, schemes
from neurostim.transport.ports import SerialPortInfo, UsbDeviceInfo, serial_ports, usb_devices
from neurostim.transport.udev import INSTALL_RULE, InstalledRule, RuleState, installed_rule, rule_text
from neurostim.transport.watch import BusWatch, Change, Passage

__all__ = [
    "INSTALL_RULE",
    "Address",
    "BusWatch",
    "Change",
    "InstalledRule",
    "Passage",
    "RuleState",
    "SerialPortInfo",
    "Transport",
    "UsbDeviceInfo",
    "installed_rule",
    "open_url",
    "parse_address",
    "rule_text",
    "schemes",
    "serial_ports",
    "usb_devices",
]
