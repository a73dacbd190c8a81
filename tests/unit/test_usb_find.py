"""Stimulators on the USB are found by ids and texts, and what stands in the way is explained."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest
import usb.core

from neurostim.core.errors import TransportError
from neurostim.transport import usb_find
from neurostim.transport.usb_find import find, read_texts, stimulators
from neurostim.transport.usb_open import open_usb
from support.usb_bus import HINT, IN, OUT, FakeBus, FakeDevice, timed_out, usb_error

IDS = (0x1209, 0x0001)


def code_of(*words: object, bus: FakeBus) -> str:
    with pytest.raises(TransportError) as caught:
        open_usb(*words, backend=bus)  # type: ignore[arg-type]
    return caught.value.code


def test_the_one_stimulator_is_found_by_ids_and_texts_and_opened() -> None:
    stranger = FakeDevice(manufacturer="somebody", product="a toaster", serial="T-1", address=3)
    wanted = FakeDevice()
    link = open_usb(*IDS, backend=FakeBus(stranger, wanted))
    assert wanted.claimed == {2}
    assert stranger.claimed == set()
    assert stranger.opened == stranger.closed, "a device that is not ours stays open"
    assert sorted(wanted.cleared) == [OUT, IN, HINT]
    assert wanted.set_configurations == []
    link.close()
    assert wanted.claimed == set()
    assert wanted.opened == wanted.closed


def test_a_serial_number_chooses_among_several() -> None:
    first, second = FakeDevice(serial="A"), FakeDevice(serial="B", address=3)
    link = open_usb(*IDS, "B", backend=FakeBus(first, second))
    assert (first.claimed, second.claimed) == (set(), {2})
    link.close()


def test_among_several_none_is_guessed_and_all_are_named() -> None:
    bus = FakeBus(FakeDevice(serial="B 2"), FakeDevice(serial="A", address=3))
    with pytest.raises(TransportError, match="none is guessed") as caught:
        find(*IDS, backend=bus)
    assert caught.value.code == "usb-ambiguous"
    assert caught.value.allowed == "usb://1209:0001:A, usb://1209:0001:B%202"


def test_one_that_may_not_be_read_could_be_a_second_stimulator() -> None:
    shut = FakeDevice(address=3, texts_refused=errno.EACCES)
    assert code_of(*IDS, bus=FakeBus(FakeDevice(), shut)) == "usb-ambiguous"
    open_usb(*IDS, "SN-1", backend=FakeBus(FakeDevice(), shut)).close()


@pytest.mark.parametrize(
    ("device", "code"),
    [
        (FakeDevice(vendor_id=0x1234), "usb-missing"),
        (FakeDevice(manufacturer="Neurostim Inc"), "usb-not-neurostim"),
        (FakeDevice(product="toaster"), "usb-not-neurostim"),
        (FakeDevice(texts_refused=errno.EACCES), "usb-permission"),
        (FakeDevice(driver_active=lambda interface: interface == 2), "usb-busy"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_reason(device: FakeDevice, code: str) -> None:
    assert code_of(*IDS, bus=FakeBus(device)) == code
    assert device.opened == device.closed
    assert device.claimed == set()


def test_a_serial_number_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(TransportError, match="SN-1") as caught:
        find(*IDS, "SN-2", FakeBus(FakeDevice()))
    assert caught.value.code == "usb-missing"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (usb_error(errno.EACCES), "usb-permission"),
        (usb_error(errno.EBUSY), "usb-busy"),
        (usb_error(errno.ENODEV), "usb-missing"),
        (usb_error(errno.EIO), "link-open"),
        (NotImplementedError(), "usb-driver"),
    ],
)
def test_a_claim_that_fails_is_explained_and_leaves_nothing_open(error: Exception, code: str) -> None:
    def refuse(_interface: int) -> None:
        raise error

    device = FakeDevice(on_claim=refuse)
    assert code_of(*IDS, bus=FakeBus(device)) == code
    assert device.opened == device.closed


def test_a_busy_device_is_asked_again_while_it_is_opened() -> None:
    late = [timed_out(), timed_out()]

    def clear(_endpoint: int) -> None:
        if late:
            raise late.pop()

    device = FakeDevice(on_clear=clear)
    open_usb(*IDS, backend=FakeBus(device)).close()
    assert sorted(device.cleared) == [OUT, IN, HINT]


def test_a_device_that_never_answers_while_it_is_opened_is_not() -> None:
    def clear(_endpoint: int) -> None:
        raise timed_out()

    device = FakeDevice(on_clear=clear)
    assert code_of(*IDS, bus=FakeBus(device)) == "link-open"
    assert device.opened == device.closed


def test_no_driver_is_ever_detached_nor_a_configuration_changed() -> None:
    device = FakeDevice(driver_active=lambda interface: interface in (0, 1))
    open_usb(*IDS, backend=FakeBus(device)).close()
    assert device.set_configurations == []


def test_a_device_without_configuration_gets_its_first() -> None:
    device = FakeDevice(configured=False)
    open_usb(*IDS, backend=FakeBus(device)).close()
    assert device.set_configurations == [1]


def test_a_device_with_the_serial_function_alone_says_to_use_it() -> None:
    device = FakeDevice()
    vendor = device.configuration_bytes.index(bytes((9, 4, 2, 0)))
    device.configuration_bytes = bytearray(device.configuration_bytes)  # type: ignore[assignment]
    device.configuration_bytes[vendor + 5] = 0x0A  # type: ignore[index]
    with pytest.raises(TransportError, match="serial port") as caught:
        open_usb(*IDS, backend=FakeBus(device))
    assert caught.value.code == "usb-interface"


@pytest.mark.parametrize("endpoint", [OUT, IN])
@pytest.mark.parametrize("size", [0, 1, 63, 100, 2047])
def test_a_device_with_packets_there_are_not_is_refused(endpoint: int, size: int) -> None:
    device = FakeDevice()
    data = bytearray(device.configuration_bytes)
    place = data.index(bytes((7, 5, endpoint))) + 4
    data[place : place + 2] = size.to_bytes(2, "little")
    device.configuration_bytes = bytes(data)
    assert code_of(*IDS, bus=FakeBus(device)) == "usb-interface"


def test_permission_is_explained_with_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = FakeBus(FakeDevice(texts_refused=errno.EACCES))
    with pytest.raises(TransportError) as caught:
        find(*IDS, backend=bus)
    assert "neurostim doctor --udev" in caught.value.remedy
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(TransportError, match="WinUSB"):
        find(*IDS, backend=bus)
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(TransportError, match="macOS"):
        find(*IDS, backend=bus)


def test_listing_opens_nothing_for_good_and_tells_what_stands_in_the_way() -> None:
    fine = FakeDevice(serial="A B", address=5)
    shut = FakeDevice(address=4, texts_refused=errno.EACCES)
    gone = FakeDevice(address=6, texts_refused=errno.ENODEV)
    stranger = FakeDevice(manufacturer="somebody", address=7)
    listed = stimulators(FakeBus(fine, shut, gone, stranger))
    assert [(one.url, bool(one.problem)) for one in listed] == [
        ("usb://1209:0001", True),
        ("usb://1209:0001:A%20B", False),
    ]
    assert "doctor" in listed[0].remedy
    assert fine.opened == fine.closed


def test_linux_tells_the_texts_without_asking_the_device(tmp_path: Path) -> None:
    folder = tmp_path / "1-4.2"
    folder.mkdir()
    told = {
        "busnum": "1",
        "devnum": "2",
        "manufacturer": "neurostim",
        "product": "neurostim x",
        "serial": "S",
    }
    for name, text in told.items():
        (folder / name).write_text(text + "\n")
    silent = FakeDevice(ports=(4, 2), texts_refused=errno.EACCES)
    device = usb.core.find(backend=FakeBus(silent))
    texts, problem = read_texts(device, tmp_path)
    assert problem is None
    assert texts is not None
    assert (texts.of_stimulator, texts.serial_number) == (True, "S")
    assert silent.opened == 0
    # Another device has come to this place since: its texts are not lent.
    (folder / "devnum").write_text("9\n")
    texts, problem = read_texts(device, tmp_path)
    assert texts is None
    assert problem is not None
    assert problem.code == "usb-permission"


def test_linux_tells_permission_without_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = usb.core.find(backend=FakeBus(FakeDevice()))
    assert usb_find.denied(device, tmp_path) is None, "no node, nothing known"
    (tmp_path / "001").mkdir()
    (tmp_path / "001" / "002").touch()
    assert usb_find.denied(device, tmp_path) is None
    monkeypatch.setattr(usb_find.os, "access", lambda *_: False)
    problem = usb_find.denied(device, tmp_path)
    assert problem is not None
    assert problem.code == "usb-permission"


def test_a_device_without_texts_is_no_stimulator() -> None:
    device = FakeDevice(manufacturer="", product="", serial="")
    assert stimulators(FakeBus(device)) == ()


def test_a_library_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import libusb_package

    monkeypatch.setattr(libusb_package, "get_libusb1_backend", lambda: None)
    with pytest.raises(TransportError, match="libusb-package") as caught:
        stimulators()
    assert caught.value.code == "usb-library"


def test_the_library_of_this_computer_loads_and_can_look() -> None:
    assert isinstance(stimulators(), tuple)
