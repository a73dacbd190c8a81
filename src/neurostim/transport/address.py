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
DEFAULT_BAUD: Final = 115_200
BAUD_RATES: Final = (9_600, 19_200, 38_400, 57_600, 115_200, 230_400, 460_800, 921_600, 1_000_000, 3_000_000)
EXAMPLES: Final = (
    "/dev/ttyACM0, COM3, serial:///dev/ttyUSB0?baud=115200, socket://127.0.0.1:7700 or sim://scs"
)

_MAX_LENGTH: Final = 1024
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """A checked address.

    Attributes
    ----------
    scheme : str
        ``serial``, ``socket`` or the name of an entry point of ``neurostim.transports``.
    url : str
        The text as given.
    path : str
        Serial device path or name.
    host, port
        Of a ``socket`` address.
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
        port = parts.port if scheme == SOCKET else None
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as error:
        raise _refused(f"the address {url!r} cannot be read: {error}") from error
    if scheme == SOCKET:
        return _socket_address(url, parts.hostname, port, parts.path, options)
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
