"""Descriptors of a USB device: from the bytes it sends to what a pyusb backend hands out. No I/O."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Final

DEVICE: Final = 1
CONFIGURATION: Final = 2
INTERFACE: Final = 4
ENDPOINT: Final = 5

DEVICE_BYTES: Final = 18
CONFIGURATION_BYTES: Final = 9
INTERFACE_BYTES: Final = 9
ENDPOINT_BYTES: Final = 7

_DEVICE: Final = struct.Struct("<BBHBBBBHHHBBBB")
_CONFIGURATION: Final = struct.Struct("<BBHBBBBB")
_INTERFACE: Final = struct.Struct("<9B")
_ENDPOINT: Final = struct.Struct("<BBBBHB")

_DEVICE_FIELDS: Final = (
    "bLength",
    "bDescriptorType",
    "bcdUSB",
    "bDeviceClass",
    "bDeviceSubClass",
    "bDeviceProtocol",
    "bMaxPacketSize0",
    "idVendor",
    "idProduct",
    "bcdDevice",
    "iManufacturer",
    "iProduct",
    "iSerialNumber",
    "bNumConfigurations",
)
_CONFIGURATION_FIELDS: Final = (
    "bLength",
    "bDescriptorType",
    "wTotalLength",
    "bNumInterfaces",
    "bConfigurationValue",
    "iConfiguration",
    "bmAttributes",
    "bMaxPower",
)
_INTERFACE_FIELDS: Final = (
    "bLength",
    "bDescriptorType",
    "bInterfaceNumber",
    "bAlternateSetting",
    "bNumEndpoints",
    "bInterfaceClass",
    "bInterfaceSubClass",
    "bInterfaceProtocol",
    "iInterface",
)
_ENDPOINT_FIELDS: Final = (
    "bLength",
    "bDescriptorType",
    "bEndpointAddress",
    "bmAttributes",
    "wMaxPacketSize",
    "bInterval",
)


class DescriptorError(ValueError):
    """Bytes that are no descriptor of the kind asked for."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration: its own fields, and its interfaces, each with its alternate settings."""

    fields: SimpleNamespace
    interfaces: tuple[tuple[SimpleNamespace, ...], ...]


def parse_device(data: bytes) -> SimpleNamespace:
    """Fields of a device descriptor, under their names of the USB specification.

    Raises
    ------
    DescriptorError
        Where the bytes are none.
    """
    if len(data) < DEVICE_BYTES or data[1] != DEVICE or data[0] < DEVICE_BYTES:
        raise DescriptorError(f"{len(data)} bytes are no device descriptor")
    return SimpleNamespace(**dict(zip(_DEVICE_FIELDS, _DEVICE.unpack_from(data), strict=True)))


def total_length(data: bytes) -> int:
    """Length of a whole configuration, told by its first 9 bytes.

    Raises
    ------
    DescriptorError
        Where the bytes do not begin a configuration.
    """
    if len(data) < CONFIGURATION_BYTES or data[0] < CONFIGURATION_BYTES or data[1] != CONFIGURATION:
        raise DescriptorError(f"{len(data)} bytes begin no configuration")
    total: int = _CONFIGURATION.unpack_from(data)[2]
    if total < data[0]:
        raise DescriptorError("the configuration is shorter than its own head")
    return total


def parse_configuration(data: bytes) -> Configuration:
    """A configuration with interfaces and endpoints; descriptors of other kinds follow theirs as bytes.

    Each object has ``extra_descriptors``; an interface has ``endpoints``.

    Raises
    ------
    DescriptorError
        Where lengths run over, or an endpoint stands before any interface.
    """
    end = total_length(data)
    if len(data) < end:
        raise DescriptorError(f"the configuration has {end} bytes, {len(data)} came")
    head = _named(_CONFIGURATION_FIELDS, _CONFIGURATION, data)
    settings: dict[int, list[SimpleNamespace]] = {}
    owner, setting = head, None
    for piece in _pieces(data[data[0] : end]):
        if piece[1] == INTERFACE and len(piece) >= INTERFACE_BYTES:
            owner = setting = _named(_INTERFACE_FIELDS, _INTERFACE, piece)
            setting.endpoints = []
            settings.setdefault(setting.bInterfaceNumber, []).append(setting)
        elif piece[1] == ENDPOINT and len(piece) >= ENDPOINT_BYTES:
            if setting is None:
                raise DescriptorError("an endpoint stands before any interface")
            owner = _named(_ENDPOINT_FIELDS, _ENDPOINT, piece)
            owner.bRefresh = owner.bSynchAddress = 0
            setting.endpoints.append(owner)
        else:
            owner.extra_descriptors.extend(piece)
    return Configuration(head, tuple(tuple(one) for one in settings.values()))


def _pieces(data: bytes) -> list[bytes]:
    pieces = []
    while data:
        length = data[0]
        if length < 2 or length > len(data):
            raise DescriptorError(f"a descriptor of {length} bytes in the {len(data)} that are left")
        pieces.append(data[:length])
        data = data[length:]
    return pieces


def _named(names: tuple[str, ...], layout: struct.Struct, data: bytes) -> SimpleNamespace:
    return SimpleNamespace(**dict(zip(names, layout.unpack_from(data), strict=True)), extra_descriptors=[])
