"""From an address to an open link; links of other packages are found by entry point."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

from neurostim.core.errors import ConfigError, NeurostimError, TransportError
from neurostim.transport.address import EXAMPLES, SERIAL, SOCKET, USB, USBIP, parse_address
from neurostim.transport.base import Transport
from neurostim.transport.serial_port import open_serial
from neurostim.transport.tcp import open_tcp

GROUP: Final = "neurostim.transports"


def open_url(url: str) -> Transport:
    """Open the link an address names.

    Parameters
    ----------
    url : str
        A serial path or name (``/dev/ttyACM0``, ``COM3``), ``serial:///dev/ttyUSB0?baud=115200``,
        ``usb://1209:0001`` or ``usb://1209:0001:SERIAL``, ``socket://host:port``,
        ``usbip://host:port/bus-id``, or an address whose scheme an installed package registered under
        the entry points ``neurostim.transports``, such as ``sim://scs?seed=1``.

    Raises
    ------
    ConfigError
        Where the address is not one, or its scheme is unknown.
    TransportError
        Where the link cannot be opened, with what to do.
    """
    address = parse_address(url)
    if address.scheme == SERIAL:
        return open_serial(address.path, address.baud)
    if address.scheme == SOCKET:
        return open_tcp(address.host, address.port)
    if address.scheme == USB:
        from neurostim.transport.usb_open import open_usb

        return open_usb(address.vendor_id, address.product_id, address.serial_number)
    if address.scheme == USBIP:
        from neurostim.transport.usb_open import open_usbip

        return open_usbip(address.host, address.port, address.path)
    found = _registered(address.scheme)
    try:
        opener = found.load()
    except ImportError as error:
        raise TransportError(
            f"the package behind {address.scheme}:// cannot be loaded: {error}",
            remedy="Install the neurostim package again, with its simulator.",
            code="transport-package",
        ) from error
    try:
        link = opener(url)
    except NeurostimError:
        raise
    except (OSError, ValueError) as error:
        raise TransportError(f"cannot open {url}: {error}", code="link-open") from error
    if not isinstance(link, Transport):
        raise TransportError(
            f"what {found.value} opened for {url} is not a link",
            allowed="an object with description, read, write, drop_pending_output, wake and close",
            code="transport-package",
        )
    return link


def schemes() -> tuple[str, ...]:
    """Every scheme this installation can open."""
    return tuple(sorted({SERIAL, SOCKET, USB, USBIP, *(point.name for point in entry_points(group=GROUP))}))


def _registered(scheme: str) -> EntryPoint:
    for point in entry_points(group=GROUP):
        if point.name == scheme:
            return point
    raise ConfigError(
        f"no installed package opens addresses that start with {scheme}://",
        allowed=f"{', '.join(schemes())}; for example {EXAMPLES}",
        code="address",
    )
