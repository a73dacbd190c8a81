"""What comes and goes is told once, each way, also where a port comes back as another."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest

from neurostim.cli import devices
from neurostim.cli.main import build
from neurostim.core.errors import TransportError
from neurostim.device import discovery
from neurostim.transport import BusWatch, Change, Passage, SerialPortInfo, UsbDeviceInfo

SERIAL = SerialPortInfo("/dev/ttyACM0", "neurostim serial port", "neurostim", "S-1", 0x1209, 1, None)
USB = UsbDeviceInfo(
    "usb://1209:0001:S-1", 0x1209, 1, "neurostim", "neurostim stimulator", "S-1", bus=1, address=4
)


class Ports:
    """Ports of a computer, look by look; an error is raised instead."""

    def __init__(self, *looks: list[SerialPortInfo | UsbDeviceInfo] | TransportError) -> None:
        self.looks = list(looks)

    def __call__(self) -> list[SerialPortInfo | UsbDeviceInfo]:
        look = self.looks.pop(0)
        if isinstance(look, TransportError):
            raise look
        return look


def changes(*looks: list[SerialPortInfo | UsbDeviceInfo]) -> list[list[tuple[Passage, object]]]:
    watch = BusWatch(Ports(*looks))
    return [[(change.passage, change.port) for change in watch.poll()] for _ in looks]


def test_the_first_look_tells_what_is_there_and_the_next_only_what_changed() -> None:
    assert changes([SERIAL], [SERIAL], [SERIAL, USB], [USB], []) == [
        [(Passage.ARRIVED, SERIAL)],
        [],
        [(Passage.ARRIVED, USB)],
        [(Passage.LEFT, SERIAL)],
        [(Passage.LEFT, USB)],
    ]


def test_one_that_was_unplugged_and_plugged_in_between_two_looks_left_and_arrived() -> None:
    again = replace(USB, address=5)
    assert changes([USB], [again])[1] == [(Passage.LEFT, USB), (Passage.ARRIVED, again)]


def test_another_stimulator_at_the_same_place_is_another() -> None:
    other = replace(USB, url="usb://1209:0001:S-2", serial_number="S-2")
    assert changes([USB], [other])[1] == [(Passage.LEFT, USB), (Passage.ARRIVED, other)]


def test_what_may_now_be_opened_has_neither_left_nor_arrived() -> None:
    assert changes([replace(USB, problem="no permission")], [USB])[1] == []


def test_a_look_that_fails_changes_nothing() -> None:
    watch = BusWatch(Ports([USB], TransportError("no library"), [USB]))
    assert len(watch.poll()) == 1
    with pytest.raises(TransportError):
        watch.poll()
    assert watch.poll() == []


def test_the_command_tells_changes_until_it_is_ended(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = threading.Event()

    def look() -> list[SerialPortInfo | UsbDeviceInfo]:
        if not ports.looks:
            ended.set()
            return []
        return ports()

    ports = Ports([SERIAL], [SERIAL, USB])
    monkeypatch.setattr(devices, "LOOK_SECONDS", 0.001)
    devices.tell_changes(BusWatch(look), ended, as_json=True)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["change"], line.get("usb", line.get("port"))["serial_number"]) for line in lines] == [
        ("arrived", "S-1"),
        ("arrived", "S-1"),
        ("left", "S-1"),
        ("left", "S-1"),
    ]
    assert [("usb" in line) for line in lines] == [False, True, False, True]


def test_people_read_the_changes_as_lines(capsys: pytest.CaptureFixture[str]) -> None:
    ended = threading.Event()
    ended.set()
    devices.tell_changes(BusWatch(Ports([SERIAL, USB])), ended, as_json=False)
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["arrived", "/dev/ttyACM0"]
    assert second.split()[:2] == ["arrived", "usb://1209:0001:S-1"]


def test_the_list_shows_usb_stimulators_and_what_stands_in_the_way(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = replace(USB, problem="no permission", remedy="Install the rule.")
    monkeypatch.setattr("neurostim.device.discover_usb", lambda: (shut,))
    build(["devices"])(["devices"], standalone_mode=False)
    shown = capsys.readouterr().out
    assert "usb://1209:0001:S-1" in shown
    assert "no permission Install the rule." in shown
    build(["devices"])(["devices", "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["usb"][0]["problem"] == "no permission"


def test_serial_ports_are_listed_where_the_usb_library_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> tuple[UsbDeviceInfo, ...]:
        raise TransportError("the USB library cannot be loaded", code="usb-library")

    monkeypatch.setattr("neurostim.device.discover_usb", broken)
    build(["devices"])(["devices", "--json"], standalone_mode=False)
    document = json.loads(capsys.readouterr().out)
    assert "cannot be loaded" in document["usb_problem"]
    assert isinstance(document["ports"], list)


def test_watching_and_asking_do_not_go_together() -> None:
    import typer

    with pytest.raises(typer.BadParameter):
        build(["devices"])(["devices", "--watch", "--device", "sim://scs"], standalone_mode=False)


def test_device_offers_what_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "serial_ports", lambda: (SERIAL,))
    monkeypatch.setattr(discovery, "usb_devices", lambda: (USB,))
    assert discovery.watch_ports().poll() == [Change(Passage.ARRIVED, SERIAL), Change(Passage.ARRIVED, USB)]
