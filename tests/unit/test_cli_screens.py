"""What several commands show to people: rules are counted as rules, lists read as text."""

from __future__ import annotations

import json

import pytest

import neurostim
from neurostim.cli.main import build
from neurostim.cli.run import rules_in_words
from neurostim.safety.gate import Severity


def devices(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    build(["devices"])(["devices", "--device", "sim://drg?seed=1", *words], standalone_mode=False)
    return capsys.readouterr().out


def test_a_rule_that_warns_of_several_contacts_counts_once() -> None:
    program = neurostim.load("burstdr")
    device = neurostim.profile("scs")
    leads = [neurostim.lead(name) for name in program.leads]
    schedule = neurostim.compile(program, device.grid, neurostim.contact_map(leads))
    verdict = neurostim.check(schedule, leads, device)
    warned = [one.code for one in verdict.findings if one.severity is Severity.WARN]
    assert len(warned) > len(set(warned))
    words = rules_in_words(verdict)
    assert f"{len(set(warned))} warn" in words
    assert "refuse" not in words
    rules = {one.code for one in verdict.findings}
    assert sum(int(part.split()[0]) for part in words.split(", ")) == len(rules)


def test_the_ports_of_a_device_read_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    shown = devices(capsys)
    ports = json.loads(devices(capsys, "--json"))["devices"][0]["ports"]
    [line] = [line for line in shown.splitlines() if line.strip().startswith("ports")]
    assert line.split(maxsplit=1)[1].rstrip() == ", ".join(ports)


def test_a_device_tells_for_whom_it_is_and_whether_it_is_released(capsys: pytest.CaptureFixture[str]) -> None:
    [told] = json.loads(devices(capsys, "--json"))["devices"]
    assert (told["subject"], told["release"]) == ("assigned to nobody", "not released")
