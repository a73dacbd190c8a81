"""What the device says of itself on the bus: identity, functions and endpoints as data, and their bytes.

A composite device of two functions that speak the same protocol: a serial port (CDC-ACM, interfaces 0 and 1)
and a vendor interface (2). Windows binds WinUSB to the vendor interface by Microsoft's OS 2.0 descriptors.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final
from uuid import UUID

VENDOR_ID: Final = 0x1209
PRODUCT_ID: Final = 0x0001
"""Ids for tests in one's own house: a host must look at the strings too."""
USB_VERSION: Final = 0x0210
DEVICE_VERSION: Final = 0x0100
DEVICE_CLASS: Final = (0xEF, 0x02, 0x01)
MANUFACTURER: Final = "neurostim"
PRODUCT: Final = "neurostim stimulator"
CONFIGURATION: Final = 1
SELF_POWERED: Final = True
MAX_POWER_2MA: Final = 50
LANGUAGE: Final = 0x0409

COMM_INTERFACE: Final = 0
DATA_INTERFACE: Final = 1
VENDOR_INTERFACE: Final = 2
INTERFACES: Final = ((0x02, 0x02, 0x00), (0x0A, 0x00, 0x00), (0xFF, 0x00, 0x00))
"""Class, subclass and protocol of each interface; ACM without AT commands."""

BULK_PACKET: Final = 64
CONTROL_PACKET: Final = 64
INTERRUPT_PACKET: Final = 16

DEVICE, CONFIG, STRING, INTERFACE, ENDPOINT = 1, 2, 3, 4, 5
ASSOCIATION, BOS, CAPABILITY = 0x0B, 0x0F, 0x10

MS_VENDOR_CODE: Final = 0x4D
MS_DESCRIPTOR_INDEX: Final = 7
MS_WINDOWS_8_1: Final = 0x0603_0000
MS_PLATFORM: Final = UUID("d8dd60df-4589-4cc7-9cd2-659d9e648a9f")
INTERFACE_GUID: Final = UUID("edf288a9-2e00-483c-846e-f71a8a9636e9")
"""By which a Windows program finds the vendor interface."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint: address with direction bit, transfer type, packet size [bytes], interval [ms]."""

    address: int
    interface: int
    interrupt: bool
    packet: int
    interval: int


CDC_NOTIFY: Final = Endpoint(0x82, COMM_INTERFACE, True, INTERRUPT_PACKET, 16)
CDC_OUT: Final = Endpoint(0x01, DATA_INTERFACE, False, BULK_PACKET, 0)
CDC_IN: Final = Endpoint(0x81, DATA_INTERFACE, False, BULK_PACKET, 0)
VENDOR_OUT: Final = Endpoint(0x03, VENDOR_INTERFACE, False, BULK_PACKET, 0)
VENDOR_IN: Final = Endpoint(0x83, VENDOR_INTERFACE, False, BULK_PACKET, 0)
VENDOR_HINT: Final = Endpoint(0x84, VENDOR_INTERFACE, True, INTERRUPT_PACKET, 1)
ENDPOINTS: Final = (CDC_NOTIFY, CDC_OUT, CDC_IN, VENDOR_OUT, VENDOR_IN, VENDOR_HINT)


def device_descriptor() -> bytes:
    """The device descriptor."""
    return struct.pack(
        "<BBHBBBBHHHBBBB",
        *(18, DEVICE, USB_VERSION, *DEVICE_CLASS, CONTROL_PACKET),
        *(VENDOR_ID, PRODUCT_ID, DEVICE_VERSION, 1, 2, 3, 1),
    )


def strings(serial_number: str) -> tuple[str, ...]:
    """The texts by index, from 1; the serial number is stable, so that a system knows a device again."""
    return (MANUFACTURER, PRODUCT, serial_number, "neurostim serial port", "neurostim vendor interface")


def string_descriptor(index: int, serial_number: str) -> bytes | None:
    """A string descriptor in UTF-16LE; 0 tells the languages; None for an index there is not."""
    texts = strings(serial_number)
    if index == 0:
        return struct.pack("<BBH", 4, STRING, LANGUAGE)
    if index > len(texts):
        return None
    encoded = texts[index - 1].encode("utf-16-le")
    return struct.pack("<BB", 2 + len(encoded), STRING) + encoded


def configuration_descriptor() -> bytes:
    """The configuration with its association, interfaces, class descriptors and endpoints."""
    parts = [
        struct.pack("<BBBBBBBB", 8, ASSOCIATION, COMM_INTERFACE, 2, *INTERFACES[COMM_INTERFACE], 4),
        _interface(COMM_INTERFACE, 4),
        # CDC 1.20; calls are managed nowhere; line coding and state are; interface 0 controls interface 1.
        bytes((5, 0x24, 0x00, 0x20, 0x01)),
        bytes((5, 0x24, 0x01, 0x00, DATA_INTERFACE)),
        bytes((4, 0x24, 0x02, 0x02)),
        bytes((5, 0x24, 0x06, COMM_INTERFACE, DATA_INTERFACE)),
        _endpoints(COMM_INTERFACE),
        _interface(DATA_INTERFACE, 0),
        _endpoints(DATA_INTERFACE),
        _interface(VENDOR_INTERFACE, 5),
        _endpoints(VENDOR_INTERFACE),
    ]
    body = b"".join(parts)
    attributes = 0x80 | (0x40 if SELF_POWERED else 0)
    head = struct.pack(
        "<BBHBBBBB", 9, CONFIG, 9 + len(body), len(INTERFACES), CONFIGURATION, 0, attributes, MAX_POWER_2MA
    )
    return head + body


def _interface(number: int, text: int) -> bytes:
    count = sum(one.interface == number for one in ENDPOINTS)
    return struct.pack("<BBBBBBBBB", 9, INTERFACE, number, 0, count, *INTERFACES[number], text)


def _endpoints(interface: int) -> bytes:
    return b"".join(
        struct.pack("<BBBBHB", 7, ENDPOINT, one.address, 3 if one.interrupt else 2, one.packet, one.interval)
        for one in ENDPOINTS
        if one.interface == interface
    )


def bos_descriptor() -> bytes:
    """The binary object store: where Microsoft's descriptor set is."""
    platform = struct.pack("<BBBB", 28, CAPABILITY, 0x05, 0) + MS_PLATFORM.bytes_le
    platform += struct.pack("<IHBB", MS_WINDOWS_8_1, len(ms_descriptor_set()), MS_VENDOR_CODE, 0)
    return struct.pack("<BBHB", 5, BOS, 5 + len(platform), 1) + platform


def ms_descriptor_set() -> bytes:
    """Microsoft OS 2.0 descriptor set: WinUSB for the vendor interface alone, with its own GUID."""
    name = "DeviceInterfaceGUIDs\0".encode("utf-16-le")
    value = f"{{{INTERFACE_GUID}}}\0\0".upper().encode("utf-16-le")
    compatible = struct.pack("<HH8s8s", 20, 3, b"WINUSB", b"")
    registry = struct.pack("<HHHH", 10 + len(name) + len(value), 4, 7, len(name)) + name
    registry += struct.pack("<H", len(value)) + value
    features = compatible + registry
    function = struct.pack("<HHBBH", 8, 2, VENDOR_INTERFACE, 0, 8 + len(features)) + features
    # The subset's configuration counts from 0, as a list of configurations does.
    configuration = struct.pack("<HHBBH", 8, 1, 0, 0, 8 + len(function)) + function
    return struct.pack("<HHIH", 10, 0, MS_WINDOWS_8_1, 10 + len(configuration)) + configuration
