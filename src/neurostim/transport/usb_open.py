"""Opening a stimulator's vendor interface, on a bus of this computer or behind a USB/IP server.

It detaches no driver and chooses no configuration on a device that has one: the serial function beside the
vendor interface may be in use, and belongs to the system.
"""

from __future__ import annotations

from typing import Any, Final

import usb.core
import usb.util

from neurostim.core.errors import TransportError
from neurostim.transport.usb_errors import FAILURES, busy, missing, not_opened
from neurostim.transport.usb_find import find, read_texts
from neurostim.transport.usb_link import Pipes, UsbTransport

VENDOR_CLASS: Final = 0xFF
CLEAR_TRIES: Final = 20
BULK_PACKETS: Final = frozenset({8, 16, 32, 64, 512, 1024})
"""Sizes of bulk packets there are, by USB 2.0 (5.8.3) and 3.2; reads are whole multiples of each."""


def open_usb(vendor_id: int, product_id: int, serial_number: str = "", backend: Any = None) -> UsbTransport:
    """Open the one stimulator with these ids and, where given, this serial number.

    Raises
    ------
    TransportError
        Codes of `neurostim.transport.usb_find.find`, and ``usb-permission``, ``usb-busy``, ``usb-driver``,
        ``usb-interface``, ``link-open``.
    """
    device = find(vendor_id, product_id, serial_number, backend)
    name = f"usb {vendor_id:04x}:{product_id:04x}"
    return _claim(device, f"{name} {serial_number}" if serial_number else name)


def open_usbip(host: str, port: int, bus_id: str) -> UsbTransport:
    """Open a stimulator that a USB/IP server exports.

    Raises
    ------
    TransportError
        Codes ``link-open``, ``usbip-refused``, ``usbip-protocol``, ``usb-descriptors``,
        ``usb-not-neurostim``, ``usb-interface``.
    """
    from neurostim.transport.usbip_backend import attach

    backend = attach(host, port, bus_id)
    name = f"usbip {host}:{port}/{bus_id}"
    device = usb.core.find(backend=backend)
    if device is None:
        raise missing(name)
    texts, problem = read_texts(device)
    if texts is None or not texts.of_stimulator:
        usb.util.dispose_resources(device)
        raise problem or TransportError(
            f"the device {name} says that it is {texts.manufacturer} {texts.product}, and no stimulator"
            if texts
            else f"the device {name} says nothing of itself",
            remedy="Give the bus id of a stimulator.",
            code="usb-not-neurostim",
        )
    return _claim(device, name)


def _claim(device: Any, name: str) -> UsbTransport:
    try:
        if device_is_unconfigured(device):
            device.set_configuration()
        pipes = vendor_pipes(device.get_active_configuration())
        if pipes is None:
            raise TransportError(
                f"{name} has no vendor interface with a pipe each way",
                remedy="Use the serial port of the stimulator; see neurostim devices.",
                code="usb-interface",
            )
        if driver_holds(device, pipes.interface):
            raise busy(name)
        usb.util.claim_interface(device, pipes.interface)
        # What an earlier program left halted, or with the wrong toggle after a crash, begins anew.
        for endpoint in (pipes.out, pipes.into, pipes.hint):
            if endpoint is not None:
                _begin_anew(device, endpoint)
    except FAILURES as error:
        usb.util.dispose_resources(device)
        raise not_opened(name, error) from error
    except TransportError:
        usb.util.dispose_resources(device)
        raise
    return UsbTransport(device, pipes, name)


def _begin_anew(device: Any, endpoint: int) -> None:
    """Clear a halt; here there is time to ask a busy device again."""
    for _ in range(CLEAR_TRIES - 1):
        try:
            device.clear_halt(endpoint)
        except usb.core.USBTimeoutError:
            continue
        return
    device.clear_halt(endpoint)


def device_is_unconfigured(device: Any) -> bool:
    """Whether no configuration is chosen, which pyusb tells by an error without a number."""
    try:
        device.get_active_configuration()
    except usb.core.USBError as error:
        if error.errno is None:
            return True
        raise
    return False


def driver_holds(device: Any, interface: int) -> bool:
    """Whether a driver of the system holds an interface, where the system tells."""
    try:
        return bool(device.is_kernel_driver_active(interface))
    except NotImplementedError:  # a system whose libusb does not tell; a claim will
        return False


def vendor_pipes(configuration: Any) -> Pipes | None:
    """The first vendor interface with a bulk pipe each way, and its interrupt pipe where it has one."""
    for interface in configuration:
        if interface.bInterfaceClass != VENDOR_CLASS or interface.bAlternateSetting != 0:
            continue
        out = _endpoint(interface, usb.util.ENDPOINT_TYPE_BULK, usb.util.ENDPOINT_OUT)
        into = _endpoint(interface, usb.util.ENDPOINT_TYPE_BULK, usb.util.ENDPOINT_IN)
        hint = _endpoint(interface, usb.util.ENDPOINT_TYPE_INTR, usb.util.ENDPOINT_IN)
        if out is not None and into is not None and {_packet(out), _packet(into)} <= BULK_PACKETS:
            return Pipes(
                interface=interface.bInterfaceNumber,
                out=out.bEndpointAddress,
                into=into.bEndpointAddress,
                hint=None if hint is None else hint.bEndpointAddress,
                packet_bytes=_packet(out),
            )
    return None


def _packet(endpoint: Any) -> int:
    return int(endpoint.wMaxPacketSize) & 0x7FF


def _endpoint(interface: Any, kind: int, direction: int) -> Any:
    for endpoint in interface:
        address, attributes = endpoint.bEndpointAddress, endpoint.bmAttributes
        if usb.util.endpoint_type(attributes) == kind and usb.util.endpoint_direction(address) == direction:
            return endpoint
    return None
