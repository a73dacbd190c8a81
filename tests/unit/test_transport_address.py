"""Addresses are checked before anything is opened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.core.errors import ConfigError, TransportError
from neurostim.transport import open_url, parse_address, schemes


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("/dev/ttyACM0", ("serial", "/dev/ttyACM0", "", 0, 115200)),
        ("COM3", ("serial", "COM3", "", 0, 115200)),
        ("./device link", ("serial", "./device link", "", 0, 115200)),
        ("serial:///dev/ttyUSB0?baud=3000000", ("serial", "/dev/ttyUSB0", "", 0, 3000000)),
        ("serial://COM3", ("serial", "COM3", "", 0, 115200)),
        ("socket://127.0.0.1:7700", ("socket", "", "127.0.0.1", 7700, 115200)),
        ("SOCKET://[::1]:1", ("socket", "", "::1", 1, 115200)),
        ("sim://scs?seed=1&fault=open", ("sim", "scs", "", 0, 115200)),
        ("usbip://127.0.0.1:3241/1-1", ("usbip", "1-1", "127.0.0.1", 3241, 115200)),
        ("usbip://host/3-2.1", ("usbip", "3-2.1", "host", 3240, 115200)),
        ("USBIP://[::1]:1/1-1", ("usbip", "1-1", "::1", 1, 115200)),
    ],
)
def test_an_address_says_what_it_names(url, named) -> None:
    address = parse_address(url)
    assert (address.scheme, address.path, address.host, address.port, address.baud) == named


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("usb://1209:0001", (0x1209, 1, "")),
        ("USB://0aFf:BEEF", (0x0AFF, 0xBEEF, "")),
        ("usb://1209:0001:SIM-0001", (0x1209, 1, "SIM-0001")),
        ("usb://1209:0001:a%20b%3Ac", (0x1209, 1, "a b:c")),
    ],
)
def test_a_usb_address_names_ids_in_hexadecimal_and_a_serial_number(url, named) -> None:
    address = parse_address(url)
    assert (address.scheme, address.vendor_id, address.product_id) == ("usb", *named[:2])
    assert address.serial_number == named[2]


def test_options_of_other_links_are_kept() -> None:
    assert parse_address("sim://scs?seed=1&fault=").options == {"seed": "1", "fault": ""}


@pytest.mark.parametrize(
    "url",
    [
        "",
        " /dev/ttyACM0",
        "/dev/tty\x00",
        "x" * 2000,
        "socket://",
        "socket://host",
        "socket://host:0",
        "socket://host:65536",
        "socket://host:port",
        "socket://host:1/path",
        "socket://host:1?a=b",
        "serial://",
        "serial:///dev/ttyUSB0?parity=N",
        "usb://",
        "usb://1209",
        "usb://1209:1",
        "usb://12090001",
        "usb://1209:000g",
        "usb://0x1209:0x0001",
        "usb://1209:0001:",
        "usb://1209:0001:a:b",
        "usb://1209:0001/x",
        "usb://1209:0001?serial=x",
        "usbip://host",
        "usbip://host/",
        "usbip:///1-1",
        "usbip://host:0/1-1",
        "usbip://host:99999/1-1",
        "usbip://host/1-1/2",
        "usbip://host/1_1",
        "usbip://host/" + "1" * 32,
        "usbip://host/1-1?x=y",
        "://x",
        "9p://x",
        None,
        7,
        b"/dev/ttyACM0",
    ],
)
def test_what_is_no_address_is_refused_with_an_example(url) -> None:
    with pytest.raises(ConfigError, match="socket://") as caught:
        parse_address(url)
    assert caught.value.code == "address"


@pytest.mark.parametrize("baud", ["7", "1e5", "115201", "-9600", " 9600"])
def test_a_wrong_baud_rate_lists_those_allowed(baud) -> None:
    with pytest.raises(ConfigError, match="460800"):
        parse_address(f"serial:///dev/ttyUSB0?baud={baud}")


@given(st.text())
def test_any_text_is_an_address_or_a_typed_error(text: str) -> None:
    try:
        address = parse_address(text)
    except ConfigError:
        return
    assert address.url == text


def test_an_unknown_scheme_names_those_that_are_installed() -> None:
    with pytest.raises(ConfigError, match="serial") as caught:
        open_url("carrier-pigeon://roof")
    assert {"serial", "socket", "sim"} <= set(schemes())
    assert caught.value.code == "address"


def test_a_package_that_returns_no_link_is_refused(monkeypatch) -> None:
    class Point:
        name = "odd"
        value = "odd:open_url"

        def load(self):
            return lambda _url: object()

    monkeypatch.setattr("neurostim.transport.opening.entry_points", lambda group: [Point()])
    with pytest.raises(TransportError, match="not a link") as caught:
        open_url("odd://x")
    assert caught.value.code == "transport-package"


def test_a_package_that_cannot_be_loaded_says_what_to_install(monkeypatch) -> None:
    class Point:
        name = "odd"
        value = "odd:open_url"

        def load(self):
            raise ImportError("no module named odd")

    monkeypatch.setattr("neurostim.transport.opening.entry_points", lambda group: [Point()])
    with pytest.raises(TransportError, match="Install") as caught:
        open_url("odd://x")
    assert isinstance(caught.value.__cause__, ImportError)
