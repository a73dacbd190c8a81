"""Links that carry bytes: serial ports and ptys, TCP, and those that other packages register."""

from neurostim.transport.address import Address, parse_address
from neurostim.transport.base import Transport
from neurostim.transport.opening import open_url, schemes
from neurostim.transport.ports import SerialPortInfo, serial_ports

__all__ = [
    "Address",
    "SerialPortInfo",
    "Transport",
    "open_url",
    "parse_address",
    "schemes",
    "serial_ports",
]
