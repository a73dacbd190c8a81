"""`neurostim run` end to end: a process at a real pty or TCP port, the simulated device another process."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

import neurostim
from neurostim.cli import exits
from neurostim.device.native import NativeStimulator
from neurostim.wire.messages import DeviceState, Role, StopCause
from support.cli_document import undocumented
from support.cli_processes import Host, ended, simulated

REASON = "SAF-FARADAIC-DC=simulated bench load, nobody connected"
TONIC = neurostim.presets()["tonic"]


def words(
    folder: Path, url: str, *more: str, seconds: str = "300 ms", program: str = "tonic"
) -> list[str | Path]:
    journal = ["--journal", str(folder / "journal")]
    return ["run", program, "--device", url, "--for", seconds, *journal, "--acknowledge", REASON, *more]


def records(folder: Path) -> list[dict[str, Any]]:
    """All records of all journals, journal by journal in the order they were written."""
    files = sorted((folder / "journal").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def kinds(folder: Path) -> list[str]:
    return [record["kind"] for record in records(folder)]


def judged(folder: Path, dose: int) -> neurostim.Report:
    [trace] = (folder / "traces").glob(f"*-dose{dose:04}.npz")
    return neurostim.judge_file(trace, TONIC)


@pytest.mark.parametrize("tcp", [False, True], ids=["pty", "tcp"])
def test_a_run_ends_reconciled_and_its_trace_conforms(tmp_path, tcp):
    with simulated(tmp_path, tcp=tcp) as device:
        code, document, progress = ended(*words(tmp_path, device.url, "--json"))
    assert code == exits.OK, progress
    assert document["exit_code"] == exits.OK
    assert document["stop_cause"] == "soft_stop"
    assert document["dose_number"] == 2
    assert document["interrupted"] is False
    found = document["reconciliation"]
    assert found["agrees"]
    assert {one["what"] for one in found["comparisons"]} >= {"dose number", "area 0: pulses"}
    assert undocumented("neurostim run", document) == set()
    assert document["verdict"]["to_acknowledge"] == ["SAF-FARADAIC-DC"]
    assert Path(document["journal"]).parent == tmp_path / "journal"
    assert "Not a cleared medical device" in progress
    assert "digest verified by the device" in progress
    assert judged(tmp_path, 2).conforms


def test_a_warning_without_a_reason_refuses_before_anything_is_loaded(tmp_path):
    with simulated(tmp_path) as device:
        arguments = ["run", "burstdr", "--device", device.url, "--for", "1 s", "--json"]
        code, document, _ = ended(*arguments, "--journal", str(tmp_path / "journal"))
    assert code == document["exit_code"] == exits.SAFETY
    assert document["kind"] == "SafetyError"
    assert "SAF-DENSITY-BURST" in document["rules"]
    assert '--acknowledge SAF-DENSITY-BURST="why"' in document["remedy"]
    assert not {"approved", "loaded", "started"} & set(kinds(tmp_path))
    assert not list((tmp_path / "traces").glob("*-dose0002.*"))


def test_control_c_ramps_down_and_reconciles(tmp_path):
    with simulated(tmp_path) as device, Host(*words(tmp_path, device.url, "--json", seconds="2 h")) as host:
        host.until("delivering")
        host.signal(signal.SIGINT)
        host.until("soft stop: ramping down")
        code, document = host.end()
    assert code == exits.OK, "".join(host.progress)
    assert document["interrupted"] is True
    assert document["stop_cause"] == "soft_stop"
    assert document["reconciliation"]["agrees"]
    assert judged(tmp_path, 2).conforms


def test_a_second_control_c_is_an_emergency_stop(tmp_path):
    with simulated(tmp_path) as device, Host(*words(tmp_path, device.url, "--json", seconds="2 h")) as host:
        host.until("delivering")
        host.signal(signal.SIGINT)
        host.until("soft stop: ramping down")
        host.signal(signal.SIGINT)
        code, document = host.end()
    assert code == exits.OK, "".join(host.progress)
    assert document["stop_cause"] == "emergency_stop"
    [sidecar] = (tmp_path / "traces").glob("*-dose0002.json")
    assert "emergency_stop" in [one["name"] for one in json.loads(sidecar.read_text())["commands"]]
    assert judged(tmp_path, 2).conforms


@pytest.mark.hazard("host-crash")
def test_a_killed_host_leaves_silence_and_the_next_start_waits_until_it_is_settled(tmp_path):
    with simulated(tmp_path) as device:
        with Host(*words(tmp_path, device.url, seconds="2 h")) as host:
            host.until("delivering")
            host.signal(signal.SIGKILL)
            assert host.end()[0] == -signal.SIGKILL
        code, document, _ = ended(*words(tmp_path, device.url, "--json"))
        assert (code, document["error"]) == (exits.UNCERTAIN, "session-in-flight")
        # The dead-man has latched the device; settling alone does not release that.
        code, document, progress = ended(*words(tmp_path, device.url, "--json", "--settle", "device"))
        assert (code, document["error"]) == (exits.DEVICE, "latched")
        assert "dose 2 was delivered and ended by dead_man" in progress
    assert judged(tmp_path, 2).conforms
    [sidecar] = (tmp_path / "traces").glob("*-dose0002.json")
    assert "ramp_down" in [one["name"] for one in json.loads(sidecar.read_text())["commands"]]


@pytest.mark.hazard("cable")
def test_a_cable_pulled_in_a_dose_is_uncertain_until_the_device_has_told(tmp_path):
    with simulated(tmp_path) as device:
        with Host(*words(tmp_path, device.url, "--json", seconds="2 h")) as host:
            host.until("delivering")
            device.order("unplug")
            code, document = host.end()
        assert (code, document["error"]) == (exits.UNCERTAIN, "link-lost")
        device.order("plug")
        code, document, progress = ended(
            *words(tmp_path, device.url, "--json", "--settle", "device", "--clear")
        )
        assert code == exits.OK, (progress, document)
        assert "dose 2 was delivered" in progress
    assert judged(tmp_path, 2).conforms


@pytest.mark.hazard("two-hosts")
def test_a_second_host_may_read_and_stop_and_nothing_else(tmp_path):
    with (
        simulated(tmp_path, tcp=True) as device,
        Host(*words(tmp_path, device.url, "--json", seconds="2 h")) as host,
    ):
        host.until("delivering")
        second = ["run", "tonic", "--device", device.url, "--for", "1 s", "--acknowledge", REASON, "--json"]
        code, document, _ = ended(*second, "--journal", str(tmp_path / "second"))
        assert (code, document["error"]) == (exits.DEVICE, "session-role")
        code, document, _ = ended("devices", "--device", device.url, "--json")
        assert code == exits.OK
        assert document["devices"][0]["state"] == "delivering"
        with NativeStimulator(device.url) as watcher:
            watcher.open(Role.OBSERVE)
            assert watcher.status().result().output_on
            assert watcher.stop().result(5.0).state is DeviceState.STOPPED
        code, document = host.end()
    assert document["stop_cause"] == StopCause.STOP.name.lower()
    assert document["interrupted"] is False
    assert document["reconciliation"]["agrees"], "".join(host.progress)
    assert code == exits.OK
    assert judged(tmp_path, 2).conforms


@pytest.mark.hazard("disk")
def test_a_disk_that_fills_up_stops_output_at_once(tmp_path):
    with simulated(tmp_path) as device:
        code, document, progress = ended(*words(tmp_path, device.url, "--json"))
        assert code == exits.OK, progress
        lines = Path(document["journal"]).read_bytes().splitlines(keepends=True)
        begun = next(n for n, line in enumerate(lines) if json.loads(line)["kind"] == "started")
        room = sum(map(len, lines[: begun + 1])) + 600

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

        arguments = words(tmp_path, device.url, "--json", seconds="2 h")
        code, document, progress = ended(*arguments, preexec_fn=limited)
        assert (code, document["error"]) == (exits.FAILED, "journal-write"), progress
        assert "delivering" in progress
        code, found, _ = ended("devices", "--device", device.url, "--json")
        assert found["devices"][0]["state"] == "stopped"
    [start] = neurostim.in_flight(tmp_path / "journal")
    assert start.kind == "stimulation"
    report = judged(tmp_path, 4)
    assert report.conforms
    assert report.end_ns < 10 * 10**9


def test_impedances_of_an_open_contact_fail_and_of_whole_leads_do_not(tmp_path):
    arguments = ["impedance", "--lead", "octrode", "--journal", str(tmp_path / "journal"), "--json"]
    with simulated(tmp_path) as device:
        code, document, _ = ended(*arguments, "--device", device.url)
        assert code == exits.OK
        assert [one["contact"] for one in document["contacts"]] == list(range(1, 9))
        device.order("fault open:3")
        code, document, _ = ended(*arguments, "--device", device.url)
    assert code == exits.FAILED
    assert [one["contact"] for one in document["contacts"] if one["status"] != "ok"] == [3]


def test_nobody_at_the_address_is_an_error_of_the_link(tmp_path):
    code, document, _ = ended(*words(tmp_path, str(tmp_path / "nothing"), "--json"))
    assert code == document["exit_code"] == exits.DEVICE
    assert document["kind"] == "TransportError"
    assert not (tmp_path / "journal").exists()
