"""Descriptors as a device sends them, whole, odd and hostile."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.transport.usb_descriptors import (
    DescriptorError,
    parse_configuration,
    parse_device,
    total_length,
)

DEVICE = bytes.fromhex("1201 1002 ef 02 01 40 0912 0100 0001 01 02 03 01")
HEAD = bytes.fromhex("0902 0000 02 01 00 c0 32")
INTERFACE = bytes.fromhex("0904 00 00 01 ff 00 00 05")
OTHER_SETTING = bytes.fromhex("0904 00 01 01 ff 00 00 05")
SECOND = bytes.fromhex("0904 07 00 00 0a 00 00 00")
ENDPOINT = bytes.fromhex("0705 83 02 4000 00")
STRANGE = bytes.fromhex("0524 00 2001")


def configuration(*parts: bytes) -> bytes:
    data = HEAD + b"".join(parts)
    return data[:2] + len(data).to_bytes(2, "little") + data[4:]


def test_a_device_has_the_names_of_the_specification() -> None:
    found = parse_device(DEVICE)
    assert (found.bcdUSB, found.idVendor, found.idProduct, found.bcdDevice) == (0x0210, 0x1209, 1, 0x0100)
    assert (found.bDeviceClass, found.bMaxPacketSize0, found.bNumConfigurations) == (0xEF, 64, 1)
    assert (found.iManufacturer, found.iProduct, found.iSerialNumber) == (1, 2, 3)


def test_interfaces_settings_and_endpoints_stand_in_their_places() -> None:
    data = configuration(INTERFACE, ENDPOINT, OTHER_SETTING, ENDPOINT, SECOND)
    assert total_length(data[:9]) == len(data)
    found = parse_configuration(data)
    assert (found.fields.bConfigurationValue, found.fields.bMaxPower) == (1, 0x32)
    assert [len(settings) for settings in found.interfaces] == [2, 1]
    assert [one.bAlternateSetting for one in found.interfaces[0]] == [0, 1]
    [endpoint] = found.interfaces[0][1].endpoints
    assert (endpoint.bEndpointAddress, endpoint.bmAttributes, endpoint.wMaxPacketSize) == (0x83, 2, 64)
    assert found.interfaces[1][0].bInterfaceNumber == 7
    assert found.interfaces[1][0].endpoints == []


def test_what_is_of_another_kind_stays_with_the_one_before_it() -> None:
    found = parse_configuration(configuration(STRANGE, INTERFACE, STRANGE, ENDPOINT, STRANGE))
    interface = found.interfaces[0][0]
    for owner in (found.fields, interface, interface.endpoints[0]):
        assert bytes(owner.extra_descriptors) == STRANGE


def test_bytes_after_the_configuration_are_not_its_own() -> None:
    assert parse_configuration(configuration(INTERFACE) + ENDPOINT).interfaces[0][0].endpoints == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        HEAD[:8],
        configuration(INTERFACE)[:-1],
        configuration(ENDPOINT),
        configuration(b"\x00\x04"),
        configuration(b"\x01\x04"),
        configuration(b"\x20\x04"),
        HEAD[:2] + b"\x08\x00" + HEAD[4:],
        DEVICE,
    ],
)
def test_what_is_no_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(DescriptorError):
        parse_configuration(data)


@pytest.mark.parametrize("data", [b"", DEVICE[:17], HEAD * 2])
def test_what_is_no_device_is_refused(data: bytes) -> None:
    with pytest.raises(DescriptorError):
        parse_device(data)


@given(st.binary(max_size=120))
def test_hostile_bytes_are_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(DescriptorError):
        parse_configuration(configuration(data))
    with contextlib.suppress(DescriptorError):
        parse_configuration(data)
    with contextlib.suppress(DescriptorError):
        parse_device(data)
