"""The udev rule, and what the doctor says of it, of the group, the library and the stimulators."""

from __future__ import annotations

import grp
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from neurostim.cli import doctor_usb
from neurostim.cli.main import build
from neurostim.core.errors import TransportError
from neurostim.transport.udev import RULE_NAME, InstalledRule, RuleState, installed_rule, rule_text
from neurostim.transport.usb_find import IDS, MANUFACTURER
from support.usb_bus import FakeBus, FakeDevice

ROOT = Path(__file__).resolve().parents[2]
SEAT = "73-seat-late.rules"


def lines() -> list[str]:
    return [line for line in rule_text().splitlines() if line and not line.startswith("#")]


def test_the_rule_says_what_a_plain_user_needs() -> None:
    usb, tty = lines()
    for line in (usb, tty):
        assert 'MODE="0660", GROUP="plugdev", TAG+="uaccess"' in line
        assert 'ENV{ID_MM_DEVICE_IGNORE}="1"' in line
        found = re.search(r'idVendor}=="(\w+)", ATTRS?{idProduct}=="(\w+)"', line)
        assert found is not None
        assert tuple(int(word, 16) for word in found.groups()) in IDS
        assert f'{{manufacturer}}=="{MANUFACTURER}"' in line
    assert usb.startswith('SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", ATTR{')
    assert tty.startswith('SUBSYSTEM=="tty", ATTRS{')
    assert RULE_NAME < SEAT
    assert (ROOT / "protocols" / "usb" / RULE_NAME).read_text(encoding="utf-8") == rule_text()


def test_the_doctor_writes_the_rule_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    build(["doctor"])(["doctor", "--udev"], standalone_mode=False)
    assert capsys.readouterr().out == rule_text()


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "etc", tmp_path / "lib"
    first.mkdir()
    second.mkdir()
    return first, second


def test_where_there_is_no_udev_there_is_no_rule(tmp_path: Path) -> None:
    assert installed_rule([tmp_path / "none"]) == InstalledRule(RuleState.NO_UDEV)


def test_a_rule_is_missing_outdated_too_late_or_current(folders: tuple[Path, Path]) -> None:
    first, second = folders
    (second / "99-other.rules").write_text(rule_text())
    assert installed_rule(folders).state is RuleState.MISSING
    (first / "90-neurostim.rules").write_text(rule_text())
    assert installed_rule(folders) == InstalledRule(RuleState.TOO_LATE, first / "90-neurostim.rules")
    (second / RULE_NAME).write_text("# newer words\n\n" + "\n".join(lines()) + "\n")
    assert installed_rule(folders) == InstalledRule(RuleState.CURRENT, second / RULE_NAME)
    # A file of the same name in an earlier folder hides it.
    (first / RULE_NAME).write_text(rule_text().replace("0660", "0600"))
    assert installed_rule(folders) == InstalledRule(RuleState.TOO_LATE, first / "90-neurostim.rules")
    (first / "90-neurostim.rules").unlink()
    assert installed_rule(folders) == InstalledRule(RuleState.OUTDATED, first / RULE_NAME)


@pytest.mark.parametrize(
    ("state", "verdict", "words"),
    [
        (RuleState.NO_UDEV, "ok", ""),
        (RuleState.CURRENT, "ok", ""),
        (RuleState.MISSING, "warn", "neurostim doctor --udev"),
        (RuleState.OUTDATED, "warn", "Install it again"),
        (RuleState.TOO_LATE, "warn", "Remove it"),
    ],
)
def test_the_doctor_tells_what_to_do_about_the_rule(state: RuleState, verdict: str, words: str) -> None:
    [check] = doctor_usb.check_rule(InstalledRule(state, Path("/etc/udev/rules.d/x")))
    assert (check.name, check.state) == ("udev rule", verdict)
    assert words in check.remedy
    assert bool(check.remedy) is (verdict == "warn")


def group(number: int) -> Callable[[str], grp.struct_group]:
    return lambda name: grp.struct_group((name, "x", number, []))


def test_the_group_is_only_for_those_without_a_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(grp, "getgrnam", group(os.getegid()))
    [inside] = doctor_usb.check_group()
    assert (inside.state, inside.remedy) == ("ok", "")
    monkeypatch.setattr(grp, "getgrnam", group(4_000_000))
    [outside] = doctor_usb.check_group()
    assert "usermod -aG plugdev" in outside.remedy

    def missing(name: str) -> grp.struct_group:
        raise KeyError(name)

    monkeypatch.setattr(grp, "getgrnam", missing)
    [none] = doctor_usb.check_group()
    assert "groupadd" in none.remedy


def test_each_stimulator_is_fine_or_fails_with_a_remedy() -> None:
    from neurostim.transport.usb_find import stimulators

    fine, shut = FakeDevice(serial="A"), FakeDevice(address=9, texts_refused=13)
    checks = list(doctor_usb.check_stimulators(stimulators(FakeBus(fine, shut))))
    assert [(check.name, check.state) for check in checks] == [
        ("usb://1209:0001:A", "ok"),
        ("usb://1209:0001", "fail"),
    ]
    assert "neurostim doctor --udev" in checks[1].remedy
    [none] = doctor_usb.check_stimulators(())
    assert none.state == "ok"


def test_a_library_that_does_not_load_fails_and_the_rest_is_still_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> tuple[object, ...]:
        raise TransportError("the USB library cannot be loaded", remedy="Install it.", code="usb-library")

    monkeypatch.setattr("neurostim.device.discovery.discover_usb", broken)
    monkeypatch.setattr(sys, "platform", "linux")
    checks = {check.name: check for check in doctor_usb.check_usb()}
    assert (checks["usb library"].state, checks["usb library"].remedy) == ("fail", "Install it.")
    assert {"udev rule", "group plugdev", "usb stimulators"} <= set(checks)
    monkeypatch.setattr(sys, "platform", "win32")
    assert {check.name for check in doctor_usb.check_usb()} == {"usb library", "usb stimulators"}


def test_a_slow_adapter_is_told_how_to_be_quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from neurostim.cli import doctor
    from neurostim.transport import SerialPortInfo

    path = tmp_path / "ttyUSB0"
    path.touch()
    port = SerialPortInfo(str(path), "FT232R", "FTDI", "A1", 0x0403, 0x6001, 16)
    monkeypatch.setattr("neurostim.device.discover", lambda: (port,))
    _, timer = doctor.check_ports()
    assert (timer.state, timer.seen) == ("warn", "16 ms")
    assert "echo 1 | sudo tee /sys/class/tty/ttyUSB0/device/latency_timer" in timer.remedy
    monkeypatch.setattr("neurostim.device.discover", lambda: (replace(port, latency_timer_ms=1),))
    _, timer = doctor.check_ports()
    assert (timer.state, timer.remedy) == ("ok", "")
