"""Stimulators on the USB: found by ids and by what they say of themselves, never by ids alone.

The ids 1209:0001 are for tests in one's own house; any board may carry them, so the texts decide.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import usb.core
import usb.util

from neurostim.core.errors import TransportError
from neurostim.transport.ports import UsbDeviceInfo
from neurostim.transport.usb_errors import FAILURES, missing, not_opened

IDS: Final = ((0x1209, 0x0001),)
MANUFACTURER: Final = "neurostim"
PRODUCT_BEGINS: Final = "neurostim"

SYSFS: Final = Path("/sys/bus/usb/devices")
DEVFS: Final = Path("/dev/bus/usb")


@dataclass(frozen=True, slots=True)
class Texts:
    """What a device says of itself."""

    manufacturer: str
    product: str
    serial_number: str

    @property
    def of_stimulator(self) -> bool:
        """Whether they are those of a stimulator this driver knows."""
        return self.manufacturer == MANUFACTURER and self.product.startswith(PRODUCT_BEGINS)


NO_TEXTS: Final = Texts("", "", "")


def libusb() -> Any:
    """The bus of this computer, through the libusb that is installed with this package.

    Raises
    ------
    TransportError
        Code ``usb-library``, where it cannot be loaded.
    """
    import libusb_package

    backend = libusb_package.get_libusb1_backend()
    if backend is None:
        raise TransportError(
            "the USB library cannot be loaded",
            remedy="Install the neurostim package again; libusb-package brings libusb for this system.",
            code="usb-library",
        )
    return backend


def stimulators(backend: Any = None) -> tuple[UsbDeviceInfo, ...]:
    """List the stimulators on the USB, ordered by place; nothing is opened where the system tells the texts.

    Raises
    ------
    TransportError
        Code ``usb-library``.
    """
    found = []
    for device in _with_ids(backend or libusb(), IDS):
        texts, problem = read_texts(device)
        usb.util.dispose_resources(device)
        gone_meanwhile = problem is not None and problem.code == "usb-missing"
        if gone_meanwhile or (texts is not None and not texts.of_stimulator):
            continue
        texts = texts or NO_TEXTS
        problem = problem or denied(device)
        url = f"usb://{device.idVendor:04x}:{device.idProduct:04x}"
        found.append(
            UsbDeviceInfo(
                url=f"{url}:{quote(texts.serial_number, safe='')}" if texts.serial_number else url,
                vendor_id=device.idVendor,
                product_id=device.idProduct,
                manufacturer=texts.manufacturer,
                product=texts.product,
                serial_number=texts.serial_number,
                bus=device.bus or 0,
                address=device.address or 0,
                problem=problem.message if problem else "",
                remedy=problem.remedy if problem else "",
            )
        )
    return tuple(sorted(found, key=lambda info: (info.bus, info.address)))


def find(vendor_id: int, product_id: int, serial_number: str = "", backend: Any = None) -> Any:
    """The one stimulator with these ids and, where given, this serial number, as a pyusb device.

    Raises
    ------
    TransportError
        Codes ``usb-missing``, ``usb-ambiguous`` (several; their serial numbers are listed, none is
        guessed), ``usb-not-neurostim`` (ids of a stimulator, texts of something else), ``usb-permission``,
        ``usb-library``.
    """
    name = f"usb {vendor_id:04x}:{product_id:04x}"
    known, strangers, shut = [], [], None
    for device in _with_ids(backend or libusb(), ((vendor_id, product_id),)):
        texts, problem = read_texts(device)
        usb.util.dispose_resources(device)
        if texts is None:
            shut = problem
        elif texts.of_stimulator:
            known.append((texts.serial_number, device))
        else:
            strangers.append(f"{texts.manufacturer} {texts.product}".strip() or "nothing")
    wanted = [device for serial, device in known if serial_number in ("", serial)]
    # One that may not be read could be another stimulator, unless the one wanted is named.
    if len(wanted) == 1 and (serial_number or shut is None):
        return wanted[0]
    if wanted:
        raise _ambiguous(name, [serial for serial, _ in known], others=shut is not None)
    if known:
        there = ", ".join(sorted(serial for serial, _ in known))
        raise TransportError(
            f"there is no stimulator {name} with the serial number {serial_number}",
            allowed=f"one that is plugged in: {there}",
            code="usb-missing",
        )
    if shut is not None:
        raise shut
    if strangers:
        raise TransportError(
            f"what is plugged in as {name} says that it is {', '.join(strangers)}, and no stimulator",
            remedy="Plug the stimulator in; these ids alone are not enough.",
            code="usb-not-neurostim",
        )
    raise missing(f"{name}:{serial_number}" if serial_number else name)


def read_texts(device: Any, sysfs: Path = SYSFS) -> tuple[Texts | None, TransportError | None]:
    """What a device says of itself, or why it may not be read.

    Linux tells the texts without a transfer and to every user; elsewhere the device is asked.
    """
    told = _texts_of_system(device, sysfs)
    if told is not None:
        return told, None
    try:
        # Asked first, because pyusb's own cache of languages takes a refusal for a device without texts.
        if not usb.util.get_langids(device):
            return NO_TEXTS, None
        return Texts(device.manufacturer or "", device.product or "", device.serial_number or ""), None
    except FAILURES as error:
        return None, not_opened(_name(device), error)
    except ValueError:
        return NO_TEXTS, None


def denied(device: Any, devfs: Path = DEVFS) -> TransportError | None:
    """Why this user may not open a device, where the system says so without opening it."""
    if not sys.platform.startswith("linux") or device.bus is None or device.address is None:
        return None
    node = devfs / f"{device.bus:03d}" / f"{device.address:03d}"
    if not node.exists() or os.access(node, os.R_OK | os.W_OK):
        return None
    return not_opened(_name(device), PermissionError(errno.EACCES, "no permission"))


def _with_ids(backend: Any, ids: Iterable[tuple[int, int]]) -> list[Any]:
    wanted = set(ids)
    try:
        found = usb.core.find(
            find_all=True, backend=backend, custom_match=lambda one: (one.idVendor, one.idProduct) in wanted
        )
        return list(found)
    except usb.core.USBError as error:
        raise not_opened("the USB", error) from error


def _texts_of_system(device: Any, sysfs: Path) -> Texts | None:
    ports = getattr(device, "port_numbers", None)
    if not sys.platform.startswith("linux") or not ports or device.bus is None:
        return None
    folder = sysfs / f"{device.bus}-{'.'.join(str(port) for port in ports)}"

    def text(name: str) -> str:
        try:
            return (folder / name).read_text(encoding="utf-8", errors="replace").rstrip("\n")
        except OSError:
            return ""

    # A device that was changed for another since it was listed must not lend its texts.
    if text("busnum") != str(device.bus) or text("devnum") != str(device.address):
        return None
    return Texts(text("manufacturer"), text("product"), text("serial"))


def _ambiguous(name: str, serials: list[str], *, others: bool) -> TransportError:
    unread = " and what may not be read" if others else ""
    return TransportError(
        f"more than one stimulator is plugged in as {name}: {', '.join(sorted(serials))}{unread}",
        allowed=", ".join(
            f"usb://{name.removeprefix('usb ')}:{quote(serial, safe='')}" for serial in sorted(serials)
        ),
        remedy="Name the one you mean by its serial number; none is guessed.",
        code="usb-ambiguous",
    )


def _name(device: Any) -> str:
    return f"usb {device.idVendor:04x}:{device.idProduct:04x} (bus {device.bus}, address {device.address})"
