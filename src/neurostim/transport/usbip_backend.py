"""A pyusb backend whose bus is a USB/IP server: unmodified pyusb drives the one device it imported."""

from __future__ import annotations

import errno
import os
import struct
from array import array
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Final

import usb.backend
import usb.core

from neurostim.core.errors import TransportError
from neurostim.transport.usb_descriptors import (
    CONFIGURATION,
    CONFIGURATION_BYTES,
    DEVICE,
    DEVICE_BYTES,
    Configuration,
    DescriptorError,
    parse_configuration,
    parse_device,
    total_length,
)
from neurostim.transport.usbip_client import Completion
from neurostim.transport.usbip_connection import UsbipConnection, import_device

SETUP_MS: Final = 2000
CLEAR_MS: Final = 50
"""Of the request that ends a stall; it is made by threads that must not be held up."""

GET_DESCRIPTOR: Final = 0x06
GET_CONFIGURATION: Final = 0x08
SET_CONFIGURATION: Final = 0x09
SET_INTERFACE: Final = 0x0B
CLEAR_FEATURE: Final = 0x01
ENDPOINT_HALT: Final = 0

_IN: Final = 0x80
_TO_INTERFACE: Final = 0x01
_TO_ENDPOINT: Final = 0x02

# Ends of a transfer as the kernel numbers them, whatever the system of this program; and libusb's codes.
_SHORT: Final = -121
_MEANINGS: Final = {
    -32: (errno.EPIPE, -9),
    -75: (errno.EOVERFLOW, -8),
    -108: (errno.ENODEV, -4),
    -19: (errno.ENODEV, -4),
    -16: (errno.EBUSY, -6),
}
_OTHERWISE: Final = (errno.EIO, -1)
_TIMED_OUT: Final = -7


class UsbipBackend(usb.backend.IBackend):  # type: ignore[misc]
    """The imported device as pyusb's bus.

    Parameters
    ----------
    connection : UsbipConnection
        Belongs to this backend from now on.
    """

    def __init__(self, connection: UsbipConnection) -> None:
        self._connection = connection
        self._claimed: set[int] = set()
        self._device = self._read_device()
        self._configurations = tuple(
            self._read_configuration(index) for index in range(self._device.bNumConfigurations)
        )

    def _finalize_object(self) -> None:
        # A device that was found and never opened has no handle that would give it back.
        self._connection.close()

    # What there is.

    def enumerate_devices(self) -> Iterator[UsbipConnection]:
        """The imported device."""
        yield self._connection

    def get_parent(self, dev: UsbipConnection) -> None:
        """There is no hub in between."""
        del dev

    def get_device_descriptor(self, dev: UsbipConnection) -> SimpleNamespace:
        """The device descriptor, with the place on the server's bus."""
        place = {"bus": dev.device.bus, "address": dev.device.address, "speed": dev.device.speed}
        return SimpleNamespace(**vars(self._device), **place, port_number=None, port_numbers=None)

    def get_configuration_descriptor(self, dev: UsbipConnection, config: int) -> SimpleNamespace:
        """A configuration by its place in the list; IndexError past the end."""
        del dev
        return self._configurations[config].fields

    def get_interface_descriptor(
        self, dev: UsbipConnection, intf: int, alt: int, config: int
    ) -> SimpleNamespace:
        """An alternate setting of an interface by their places in the lists; IndexError past the end."""
        del dev
        return self._configurations[config].interfaces[intf][alt]

    def get_endpoint_descriptor(
        self, dev: UsbipConnection, ep: int, intf: int, alt: int, config: int
    ) -> SimpleNamespace:
        """An endpoint by its place in the list; IndexError past the end."""
        found: SimpleNamespace = self.get_interface_descriptor(dev, intf, alt, config).endpoints[ep]
        return found

    # Life of a handle.

    def open_device(self, dev: UsbipConnection) -> UsbipConnection:
        """The connection is the handle."""
        return dev

    def close_device(self, dev_handle: UsbipConnection) -> None:
        """Give the device back to the server."""
        dev_handle.close()

    def set_configuration(self, dev_handle: UsbipConnection, config_value: int) -> None:
        """Choose a configuration."""
        self._control(dev_handle, 0, SET_CONFIGURATION, config_value, 0)

    def get_configuration(self, dev_handle: UsbipConnection) -> int:
        """Value of the present configuration; 0 for none."""
        return self._control(dev_handle, _IN, GET_CONFIGURATION, 0, 0, length=1).data[0]

    def set_interface_altsetting(self, dev_handle: UsbipConnection, intf: int, altsetting: int) -> None:
        """Choose an alternate setting."""
        self._control(dev_handle, _TO_INTERFACE, SET_INTERFACE, altsetting, intf)

    def claim_interface(self, dev_handle: UsbipConnection, intf: int) -> None:
        """The connection holds the whole device, so any interface there is may be claimed."""
        del dev_handle
        numbers = {one[0].bInterfaceNumber for each in self._configurations for one in each.interfaces}
        if intf not in numbers:
            raise usb.core.USBError("Entity not found", -5, errno.ENOENT)
        self._claimed.add(intf)

    def release_interface(self, dev_handle: UsbipConnection, intf: int) -> None:
        """Let an interface go."""
        del dev_handle
        self._claimed.discard(intf)

    def is_kernel_driver_active(self, dev_handle: UsbipConnection, intf: int) -> bool:
        """No driver of this computer knows the device."""
        del dev_handle, intf
        return False

    # Transfers.

    def bulk_write(
        self, dev_handle: UsbipConnection, ep: int, intf: int, data: array[int], timeout: int
    ) -> int:
        """Send, and return how many bytes went; none at all is a packet too."""
        del intf
        return _ended(dev_handle.transfer(ep, _seconds(timeout), data=data.tobytes())).actual

    def bulk_read(
        self, dev_handle: UsbipConnection, ep: int, intf: int, buff: array[int], timeout: int
    ) -> int:
        """Receive into a buffer, and return how many bytes came."""
        del intf
        size = len(buff) * buff.itemsize
        data = _ended(dev_handle.transfer(ep, _seconds(timeout), length=size)).data
        memoryview(buff).cast("B")[: len(data)] = data
        return len(data)

    intr_write = bulk_write
    intr_read = bulk_read

    def ctrl_transfer(
        self,
        dev_handle: UsbipConnection,
        kind: int,
        request: int,
        value: int,
        index: int,
        data: array[int],
        timeout: int,
    ) -> int:
        """Carry out a control request; return how many bytes its data stage carried."""
        size = len(data) * data.itemsize
        into = bool(kind & _IN)
        ended = self._control(
            dev_handle,
            kind,
            request,
            value,
            index,
            length=size if into else 0,
            data=b"" if into else data.tobytes(),
            timeout_ms=timeout,
        )
        if into:
            memoryview(data).cast("B")[: len(ended.data)] = ended.data
        return ended.actual

    def clear_halt(self, dev_handle: UsbipConnection, ep: int) -> None:
        """End a stall of an endpoint; its packets begin anew with the first toggle."""
        self._control(dev_handle, _TO_ENDPOINT, CLEAR_FEATURE, ENDPOINT_HALT, ep, timeout_ms=CLEAR_MS)

    def _control(
        self,
        handle: UsbipConnection,
        kind: int,
        request: int,
        value: int,
        index: int,
        *,
        length: int = 0,
        data: bytes = b"",
        timeout_ms: int = SETUP_MS,
    ) -> Completion:
        setup = struct.pack("<BBHHH", kind, request, value, index, length or len(data))
        return _ended(
            handle.transfer(kind & _IN, _seconds(timeout_ms), length=length, data=data, setup=setup)
        )

    def _read_device(self) -> SimpleNamespace:
        data = self._control(self._connection, _IN, GET_DESCRIPTOR, DEVICE << 8, 0, length=DEVICE_BYTES).data
        return parse_device(data)

    def _read_configuration(self, index: int) -> Configuration:
        value = CONFIGURATION << 8 | index
        head = self._control(self._connection, _IN, GET_DESCRIPTOR, value, 0, length=CONFIGURATION_BYTES).data
        whole = self._control(self._connection, _IN, GET_DESCRIPTOR, value, 0, length=total_length(head)).data
        return parse_configuration(whole)


def attach(host: str, port: int, bus_id: str) -> UsbipBackend:
    """Import a device and read what it is.

    Raises
    ------
    TransportError
        As `neurostim.transport.usbip_connection.import_device`; ``usb-descriptors`` for a device whose
        descriptors cannot be read.
    """
    connection = import_device(host, port, bus_id)
    try:
        return UsbipBackend(connection)
    except (usb.core.USBError, DescriptorError) as error:
        connection.close()
        raise TransportError(
            f"the device {bus_id} at {host}:{port} does not tell what it is: {error}",
            remedy="Plug it in again, or start its simulator again.",
            code="usb-descriptors",
        ) from error
    except BaseException:
        connection.close()
        raise


def _seconds(timeout_ms: int) -> float | None:
    """Time-out in seconds; 0 means none, as in libusb."""
    return timeout_ms / 1000 if timeout_ms else None


def _ended(completion: Completion | None) -> Completion:
    if completion is None:
        raise usb.core.USBTimeoutError("Operation timed out", _TIMED_OUT, errno.ETIMEDOUT)
    if completion.status in (0, _SHORT):
        return completion
    number, code = _MEANINGS.get(completion.status, _OTHERWISE)
    raise usb.core.USBError(os.strerror(number), code, number)
