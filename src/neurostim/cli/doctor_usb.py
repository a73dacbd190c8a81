"""What ``neurostim doctor`` looks at for USB: the library, the udev rule, the group, the stimulators."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Final

from neurostim.cli.doctor_check import Check
from neurostim.core.errors import TransportError

if TYPE_CHECKING:
    from neurostim.device.discovery import InstalledRule, UsbDeviceInfo

GROUP: Final = "plugdev"


def check_usb() -> Iterator[Check]:
    """Everything that stands between this user and a stimulator on the USB."""
    from neurostim.device.discovery import discover_usb, installed_rule

    found: tuple[UsbDeviceInfo, ...] = ()
    try:
        found = discover_usb()
    except TransportError as error:
        yield Check("usb library", "fail", error.message, error.remedy)
    else:
        yield Check("usb library", "ok", f"libusb-package {metadata.version('libusb-package')}")
    if sys.platform.startswith("linux"):
        yield from check_rule(installed_rule())
        yield from check_group()
    yield from check_stimulators(found)


def check_rule(rule: InstalledRule) -> Iterator[Check]:
    """The udev rule is installed under a name that is early enough, and says what this version says."""
    from neurostim.device.discovery import INSTALL_RULE, RuleState

    place = f"{rule.path}"
    seen, state, remedy = {
        RuleState.NO_UDEV: ("there is no udev here", "ok", ""),
        RuleState.CURRENT: (place, "ok", ""),
        RuleState.MISSING: ("not installed", "warn", f"Install it: {INSTALL_RULE}"),
        RuleState.OUTDATED: (f"{place} says something else", "warn", f"Install it again: {INSTALL_RULE}"),
        RuleState.TOO_LATE: (
            f"{place} sorts after 73-seat-late.rules",
            "warn",
            f"Remove it, and install it under its own name: {INSTALL_RULE}",
        ),
    }[rule.state]
    yield Check("udev rule", state, seen, remedy)


def check_group() -> Iterator[Check]:
    """Without a desktop session the rule gives access by a group."""
    import grp

    try:
        group = grp.getgrnam(GROUP)
    except KeyError:
        remedy = f"For use without a desktop session: sudo groupadd --system {GROUP}"
        yield Check(f"group {GROUP}", "ok", "not on this system; a desktop session needs none", remedy)
        return
    if os.geteuid() == 0 or group.gr_gid in {os.getegid(), *os.getgroups()}:
        yield Check(f"group {GROUP}", "ok", "you are in it, or the administrator")
    else:
        remedy = f"Without a desktop session: sudo usermod -aG {GROUP} $USER, then log out and in again."
        yield Check(f"group {GROUP}", "ok", "you are not in it; a desktop session needs none", remedy)


def check_stimulators(found: tuple[UsbDeviceInfo, ...]) -> Iterator[Check]:
    """Which stimulators are on the USB, and whether this user may open them."""
    if not found:
        yield Check("usb stimulators", "ok", "none attached")
    for one in found:
        if one.problem:
            yield Check(one.url, "fail", one.problem, one.remedy)
        else:
            yield Check(one.url, "ok", one.product)
