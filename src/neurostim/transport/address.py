"""Reading the address of a link: text to a checked value, before anything is opened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from neurostim.core.errors import ConfigError

SERIAL: Final = "serial"
SOCKET: Final = "socket"
USB: Final = "usb"
USBIP: Final = "usbip"
USBIP_PORT: Final = 3240
DEFAULT_BAUD: Final = 115_200
BAUD_RATES: Final = (9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600, 1_000_000, 3_000_000)
EXAMPLES: Final = (
    "/dev/ttyACM0, COM3, serial:///dev/ttyUSB0?baud=115200, usb://1209:0001, socket://127.0.0.1:7700, "
    "usbip://127.0.0.1:3240/1-1 or sim://scs"
)

_MAX_LENGTH: Final = 1024
_USB_NAME: Final = re.compile(r"([0-9a-fA-F]{4}):([0-9a-fA-F]{4})(?::([^:]+))?", re.ASCII)
_BUS_ID: Final = re.compile(r"/([0-9A-Za-z.-]{1,31})", re.ASCII)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address.

    Attributes
    ----------
    scheme : str
        ``serial``, ``usb``, ``usbip``, ``socket`` or an entry point of ``neurostim.transports``.
    url : str
        The text as given.
    path : str
        Serial device path or name; bus id of a ``usbip`` address.
    host, port
        Of a ``socket`` or ``usbip`` address.
    vendor_id, product_id, serial_number
        Of a ``usb`` address; the serial number is empty where any will do.
    baud : int
        Line rate of a serial address [baud].
    options : mapping
        What stood behind ``?``.
    """

    scheme: str
    url: str
    path: str = ""
    host: str = ""
    port: int = 0
    baud: int = DEFAULT_BAUD
    options: Mapping[str, str] = field(default_factory=dict)
    vendor_id: int = 0
    product_id: int = 0
    serial_number: str = ""


def parse_address(url: object) -> Address:
    """Check an address.

    Raises
    ------
    ConfigError
        Code ``address``: what is wrong and what an address looks like.
    """
    if not isinstance(url, str):
        raise _refused(f"found {type(url).__name__} where the address of a stimulator belongs")
    if not url or url != url.strip():
        raise _refused(f"the address {url!r} is empty or starts or ends with a space")
    if len(url) > _MAX_LENGTH or not url.isprintable():
        raise _refused("the address is too long or has characters that cannot be printed")
    match = _SCHEME.match(url)
    if match is None:
        if "://" in url:
            raise _refused(f"the address {url!r} has no readable scheme before '://'")
        return Address(SERIAL, url, path=url)
    scheme = match.group(1).lower()
    try:
        parts = urlsplit(url)
        port = parts.port if scheme in (SOCKET, USBIP) else None
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise _refused(f"the address {url!r} cannot be read: {error}") from error
    if scheme == SOCKET:
        return _socket_address(url, parts.hostname, port, parts.path, options)
    if scheme == USB:
        return _usb_address(url, parts.netloc, parts.path, options)
    if scheme == USBIP:
        return _usbip_address(url, parts.hostname, port, parts.path, options)
    if scheme == SERIAL:
        return _serial_address(url, unquote(parts.netloc + parts.path), options)
    return Address(scheme, url, path=unquote(parts.netloc + parts.path), options=options)


def _socket_address(
    url: str, host: str | None, port: int | None, path: str, options: dict[str, str]
) -> Address:
    if not host or not port:
        raise _refused(f"the address {url!r} lacks a host or a port from 1 to 65535")
    if path not in ("", "/") or options:
        raise _refused(f"the address {url!r} has something behind the port")
    return Address(SOCKET, url, host=host, port=port)


def _usb_address(url: str, name: str, path: str, options: dict[str, str]) -> Address:
    match = _USB_NAME.fullmatch(name)
    if match is None or path or options:
        raise _refused(f"the address {url!r} is not usb://VENDOR:PRODUCT or usb://VENDOR:PRODUCT:SERIAL")
    vendor, product, serial = match.groups(default="")
    return Address(
        USB,
        url,
        vendor_id=int(vendor, 16),
        product_id=int(product, 16),
        serial_number=unquote(serial),
    )


def _usbip_address(
    url: str, host: str | None, port: int | None, path: str, options: dict[str, str]
) -> Address:
    match = _BUS_ID.fullmatch(path)
    if not host or port == 0 or match is None or options:
        raise _refused(f"the address {url!r} is not usbip://HOST:PORT/BUSID")
    return Address(USBIP, url, host=host, port=port or USBIP_PORT, path=match.group(1))


def _serial_address(url: str, path: str, options: dict[str, str]) -> Address:
    unknown = sorted(set(options) - {"baud"})
    if not path or unknown:
        what = f"the unknown option {unknown[0]!r}" if unknown else "no path"
        raise _refused(f"the address {url!r} has {what}")
    text = options.get("baud", str(DEFAULT_BAUD))
    if text not in {str(rate) for rate in BAUD_RATES}:
        raise ConfigError(
            f"the address {url!r} asks for {text!r} baud",
            allowed=", ".join(str(rate) for rate in BAUD_RATES),
            code="address",
        )
    return Address(SERIAL, url, path=path, baud=int(text), options=options)


def _refused(message: str) -> ConfigError:
    return ConfigError(message, allowed=f"an address such as {EXAMPLES}", code="address")
