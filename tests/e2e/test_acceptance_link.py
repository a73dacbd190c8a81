"""Run as a process beside a device as a process: what a script learns when something goes wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path

import pytest

from neurostim.cli import exits
from neurostim.device.native import NativeStimulator
from neurostim.wire.messages import DeviceState, Role
from support.cli_processes import Host, ended, simulated

PROGRAM = """
format = "neurostim-program/1"
name = "a pair at 50 Hz"
therapy = "scs"
lead = "octrode"
[[area]]
amplitude = "1 mA"
contacts = { 3 = "-100 %", 5 = "+100 %" }
pulse = { width = "200 us", recharge = "passive" }
train = { rate = "50 Hz" }
"""


def words(folder: Path, url: str, seconds: str, *more: str) -> list[str]:
    program = folder / "program.toml"
    program.write_text(PROGRAM, encoding="utf-8")
    return [
        "run",
        str(program),
        "--device",
        url,
        "--for",
        seconds,
        "--journal",
        str(folder / "journal"),
        *more,
    ]


def kinds(folder: Path) -> list[str]:
    (journal,) = (folder / "journal").glob("*.jsonl")
    return [json.loads(line)["kind"] for line in journal.read_bytes().splitlines()]


def test_a_dose_that_the_dead_man_ended_is_no_success(tmp_path: Path) -> None:
    with (
        simulated(tmp_path, tcp=True) as device,
        Host(*words(tmp_path, device.url, "2 h", "--json")) as host,
    ):
        host.until("delivering")
        host.signal(signal.SIGSTOP)
        with NativeStimulator(device.url) as watcher:
            watcher.open(Role.OBSERVE)
            while watcher.status().result().state is not DeviceState.STOPPED:
                watcher.wait(0.05)
        host.signal(signal.SIGCONT)
        code, document = host.end()
    assert (code, document["error"]) == (exits.DEVICE, "dead-man")
    assert "--clear" in document["remedy"]
    assert "reconciled" in kinds(tmp_path)


def test_control_c_again_and_again_costs_no_reconciliation(tmp_path: Path) -> None:
    with simulated(tmp_path) as device, Host(*words(tmp_path, device.url, "2 h", "--json")) as host:
        host.until("delivering")
        host.signal(signal.SIGINT)
        host.until("soft stop")
        host.signal(signal.SIGINT)
        for _ in range(20):
            host.signal(signal.SIGINT)
        code, document = host.end()
    assert code == exits.OK
    assert document["stop_cause"] == "emergency_stop"
    assert kinds(tmp_path)[-2:] == ["reconciled", "closed"]


@pytest.mark.parametrize("fault", ["hang", "lost"])
def test_a_device_that_falls_silent_in_a_dose_leaves_no_doubt_that_there_is_doubt(
    tmp_path: Path, fault: str
) -> None:
    with simulated(tmp_path) as device:
        with Host(*words(tmp_path, device.url, "3 s", "--json")) as host:
            host.until("delivering")
            for _ in range(3 if fault == "lost" else 1):
                device.order(f"fault {fault}")
            code, _ = host.end()
        accounted = "reconciled" in kinds(tmp_path)
        assert code != exits.OK or accounted
        if not accounted:
            assert code == exits.UNCERTAIN
            code, _, progress = ended(*words(tmp_path, device.url, "1 s", "--settle", "device", "--clear"))
            assert code == exits.OK, progress
            assert "settled the start" in progress


def test_a_stop_that_nobody_confirms_is_shown_at_once_with_what_to_do(tmp_path: Path) -> None:
    with (
        simulated(tmp_path) as device,
        Host(*words(tmp_path, device.url, "2 h", "--json")) as host,
    ):
        host.until("delivering")
        os.kill(device.pid, signal.SIGSTOP)
        try:
            host.signal(signal.SIGINT)
            host.signal(signal.SIGINT)
            host.until("pull the lead cable")
            code, document = host.end()
        finally:
            os.kill(device.pid, signal.SIGCONT)
        assert (code, document["error"]) == (exits.UNCERTAIN, "not-reconciled")


@pytest.mark.hazard("open-short")
def test_a_current_that_the_rail_limits_is_told_while_it_lasts(tmp_path: Path) -> None:
    with (
        simulated(tmp_path) as device,
        Host(*words(tmp_path, device.url, "2 h", "--json")) as host,
    ):
        host.until("delivering")
        device.order("fault open:3")
        assert "contact 3" in host.until("the rail limits")
        code, _ = host.end()
        assert code == exits.DEVICE


def test_a_mute_listener_is_told_as_one_that_does_not_answer(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"socket://127.0.0.1:{mute.getsockname()[1]}"
        code, document, _ = ended(*words(tmp_path, url, "1 s", "--json"))
    assert code == exits.DEVICE
    assert "has not answered IDENTIFY" in document["message"]
    assert "address" in document["remedy"]
