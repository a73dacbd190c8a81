"""What went wrong on the bus, in words that tell what to do: errors of libusb and of systems explained."""

from __future__ import annotations

import errno
import sys
from typing import Final, TypeAlias

import usb.core

from neurostim.core.errors import TransportError
from neurostim.transport.descriptor import REPLUG
from neurostim.transport.udev import INSTALL_RULE

Failure: TypeAlias = usb.core.USBError | NotImplementedError
"""What a call of pyusb that failed raises, for annotations; `FAILURES` is the same to be caught.

NotImplementedError is pyusb's word for what libusb cannot do on this
system: no driver that lets a program use the device (Windows), or a question it does not answer. It is an
answer of the system, not code that is missing here.
"""
FAILURES: Final = (usb.core.USBError, NotImplementedError)
GONE: Final = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOENT})
DENIED: Final = frozenset({errno.EACCES, errno.EPERM})


def gone(where: str, why: str) -> TransportError:
    """The device left the bus, or its connection ended."""
    return TransportError(f"the link {where} is gone: {why}", remedy=REPLUG, code="link-lost")


def lost(where: str, error: Failure) -> TransportError:
    """Explain what ended a link that was open.

    Codes: ``link-lost`` (unplugged, reset, or too many transfers failed in a row), ``usb-stall``,
    ``usb-babble``.
    """
    number = getattr(error, "errno", None)
    if number == errno.EPIPE:
        return TransportError(
            f"the stimulator at {where} refuses every transfer (stalled)",
            remedy="Switch the stimulator off and on, then connect again; output stays off until a start.",
            code="usb-stall",
        )
    if number == errno.EOVERFLOW:
        return TransportError(
            f"the stimulator at {where} sends more than was asked for (babble)",
            remedy="Use another cable or port without a hub; if it stays, the stimulator is defective.",
            code="usb-babble",
        )
    return gone(where, "it was unplugged or lost its supply" if number in GONE else str(error))


def not_opened(where: str, error: Failure) -> TransportError:
    """Explain why a device could not be opened or its interface not be claimed.

    Codes: ``usb-permission``, ``usb-busy``, ``usb-driver``, ``usb-missing``, ``link-open``.
    """
    number = getattr(error, "errno", None)
    if isinstance(error, NotImplementedError):
        return TransportError(
            f"no driver of this system lets programs use {where}", remedy=_driver_remedy(), code="usb-driver"
        )
    if number in DENIED:
        return TransportError(
            f"no permission to open {where}", remedy=permission_remedy(), code="usb-permission"
        )
    if number == errno.EBUSY:
        return busy(where)
    if number in GONE:
        return missing(where)
    return TransportError(f"cannot open {where}: {error}", remedy=REPLUG, code="link-open")


def busy(where: str) -> TransportError:
    """Another program, or a driver of the system, holds the interface; it is never taken from it."""
    return TransportError(
        f"the stimulator {where} is in use by another program",
        remedy="Close the other program; one program at a time controls a stimulator.",
        code="usb-busy",
    )


def missing(where: str) -> TransportError:
    """Nothing with these ids is on the bus."""
    return TransportError(
        f"there is no stimulator {where}",
        remedy="Plug it in and switch it on, or list what is there with: neurostim devices.",
        code="usb-missing",
    )


def permission_remedy() -> str:
    """What gives this user access on this system."""
    if sys.platform.startswith("linux"):
        return (
            f"Install the rule for it: {INSTALL_RULE}; then plug the stimulator in again. "
            "Without a desktop session be in the group plugdev too: sudo usermod -aG plugdev $USER."
        )
    if sys.platform == "darwin":
        return "Close other programs that use it; macOS gives an interface to one program at a time."
    return _driver_remedy()


def _driver_remedy() -> str:
    if sys.platform == "win32":
        return (
            "Windows binds WinUSB to the stimulator's vendor interface by itself: remove the device with its "
            "driver in the Device Manager and plug it in again, without a driver of another program."
        )
    return "Plug it in again; its vendor interface needs no driver on this system."
