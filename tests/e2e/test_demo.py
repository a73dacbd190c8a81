"""`neurostim demo` as a newcomer runs it: one whole performance, and every way it can be ended early."""

from __future__ import annotations

import json
import os
import re
import signal
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest

import neurostim
from neurostim.cli import demo, exits
from neurostim.cli.console import RESEARCH_NOTICE
from neurostim.cli.demo_device import SimulatedDevice, port_options
from neurostim.core.errors import ConfigError, TransportError
from support.cli_document import undocumented
from support.cli_processes import Host, ended

VOID = {"meta", "br", "path", "rect", "link"}


def has_ended(progress: str) -> bool:
    """Whether the simulated device that was named in the progress has ended."""
    [number] = re.findall(r"simulated device, process (\d+)", progress)
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    return False


@pytest.fixture(scope="module")
def performed(tmp_path_factory) -> SimpleNamespace:
    place = tmp_path_factory.mktemp("demo")
    code, document, progress = ended("demo", "--seconds", "3", "--json", cwd=place)
    return SimpleNamespace(code=code, document=document, progress=progress, out=place / "demo-output")


def test_everything_agrees_and_the_simulated_device_has_ended(performed):
    assert performed.code == exits.OK, performed.progress
    document = performed.document
    assert document["agrees"]
    assert [one["preset"] for one in document["doses"]] == ["tonic", "burstdr", "hf10", "tonic"]
    assert [one["dose_number"] for one in document["doses"]] == [2, 4, 6, 8]
    for one in document["doses"]:
        assert one["reconciliation"]["agrees"]
        assert one["conformance"]["conforms"]
        assert one["pulses"] > 100
    assert document["doses"][2]["residue_ac"] == 0  # active recharge is exact
    assert has_ended(performed.progress)


def test_the_link_is_paired_before_anything_is_delivered(performed):
    progress = " ".join(performed.progress.split())
    assert progress.index("paired with") < progress.index("delivering")


def test_the_document_has_the_names_of_the_reference(performed):
    doses = performed.document["doses"]
    assert undocumented("neurostim demo", performed.document) == set()
    assert undocumented("neurostim demo", {**doses[-1], **doses[-1]["cable"]}) == set()


def test_every_warning_was_acknowledged_with_a_reason_that_names_the_simulation(performed):
    acknowledged = [one["acknowledged"] for one in performed.document["doses"]]
    assert set(acknowledged[1]) >= {"SAF-DENSITY-BURST", "SAF-SHANNON-BURST"}
    for one, reasons in zip(performed.document["doses"], acknowledged, strict=True):
        assert set(reasons) == set(one["verdict"]["to_acknowledge"])
        assert all("simulated device" in reason for reason in reasons.values())


def test_the_pulled_cable_ends_in_silence_by_itself_and_nothing_resumes(performed):
    dose = performed.document["doses"][-1]
    cable = dose["cable"]
    assert dose["stop_cause"] == "dead man"
    # The last heartbeat was at most 100 ms old; the ramp-down begins 300 ms after it.
    assert 150e6 < cable["ramp_down_ns"] - cable["pulled_ns"] <= 300e6
    assert 200e6 < cable["silent_after_ns"] <= 500e6
    assert cable["states"] == ["stopped (dead man)", "stopped (dead man)"]
    assert cable["resumed"] is False
    assert "link lost" in cable["refused"]
    assert "may only read and stop" in cable["refused"]


def test_journals_are_whole_and_nothing_is_in_flight(performed):
    folder = performed.out / "journal"
    journals = [neurostim.read_journal(path) for path in folder.glob("*.jsonl")]
    assert len(journals) == 4
    for reading in journals:
        assert reading.torn_bytes == 0
        assert reading.last("reconciled") is not None
    assert neurostim.in_flight(folder) == ()


def test_the_folder_stands_alone_its_traces_can_be_judged_again(performed):
    for one in performed.document["doses"]:
        trace = performed.out.parent / one["trace"]
        assert neurostim.judge_file(trace, performed.out / "programs" / f"{one['preset']}.toml").conforms
    pictures = {path.name: path.read_bytes() for path in (performed.out / "plots").iterdir()}
    assert set(pictures) == {"tonic.png", "burstdr.png", "hf10.png", "cable-pulled.png"}
    assert all(data.startswith(b"\x89PNG") and len(data) > 20_000 for data in pictures.values())
    assert json.loads((performed.out / "result.json").read_text()) == performed.document


class Page(HTMLParser):
    """Elements opened and closed, and everything that would be fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.svgs = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.svgs += tag == "svg"
        self.fetched += [value or "" for name, value in attributes if name in {"src", "href"}]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in VOID

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_summary_is_one_whole_page_that_fetches_nothing(performed):
    text = (performed.out / "summary.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.fetched == []
    assert page.svgs == 7
    assert not re.search(r"url\(|@import|https?://", text)
    assert RESEARCH_NOTICE in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert "$" not in text


def test_the_numbers_of_the_summary_are_those_of_the_run(performed):
    text = (performed.out / "summary.html").read_text(encoding="utf-8")
    doses = performed.document["doses"]
    assert f"<b>{sum(one['pulses'] for one in doses):,}</b>" in text
    silent_ms = doses[-1]["cable"]["silent_after_ns"] / 1e6
    assert f"<b>{silent_ms:.0f} <small>ms</small></b>" in text
    for one in doses:
        assert f'<td class="n">{one["pulses"]:,}</td>' in text
        assert one["conformance"]["image_sha256"][:12] in text
    for ohm in doses[0]["impedances"].values():
        assert f"<td>{ohm:,}</td>" in text


def test_without_a_terminal_progress_is_plain_lines(performed):
    assert "\x1b" not in performed.progress
    assert len(re.findall(r"^  delivering +\d", performed.progress, re.MULTILINE)) >= 4 * 2
    assert performed.progress.count("reconciled: device, journal and program agree") == 4
    assert "Contact" in performed.progress
    assert "silent" in performed.progress


def test_control_c_in_a_delivery_ramps_down_and_ends_everything(tmp_path):
    out = tmp_path / "out"
    with Host("demo", "--out", out, "--seconds", "60") as host:
        host.until("delivering")
        host.signal(signal.SIGINT)
        code, _ = host.end()
    progress = "".join(host.progress)
    assert code == exits.INTERRUPTED, progress
    assert "soft stop: ramping down" in progress
    assert "Ended as asked" in progress
    assert has_ended(progress)
    [journal] = (out / "journal").glob("*.jsonl")
    record = neurostim.read_journal(journal).last("reconciled")
    assert record is not None
    assert record.data["agrees"]
    [trace] = (out / "traces").glob("*-dose0002.npz")
    assert neurostim.judge_file(trace, out / "programs" / "tonic.toml").conforms
    assert not (out / "summary.html").exists()


@pytest.mark.parametrize("more", [[], ["--json"]], ids=["text", "json"])
def test_control_c_before_a_delivery_ends_the_simulated_device_too(tmp_path, more):
    with Host("demo", "--out", tmp_path / "out", *more) as host:
        host.until("simulated device, process")
        host.signal(signal.SIGINT)
        code, _ = host.end()
    progress = "".join(host.progress)
    assert code == exits.INTERRUPTED, progress
    assert "Traceback" not in progress
    assert has_ended(progress)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    code, document, _ = ended("demo", "--out", tmp_path, "--json")
    assert code == document["exit_code"] == exits.CONFIG
    assert "thesis.txt" in document["message"]
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_folder_of_an_earlier_demonstration_is_begun_anew(tmp_path):
    demo.prepare_folder(tmp_path)
    old = tmp_path / "journal" / "old.journal.jsonl"
    old.write_text("old")
    (tmp_path / "summary.html").write_text("old")
    demo.prepare_folder(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(demo.OWN_FOLDERS)
    assert not old.exists()


def dose(*, agrees: bool = True, conforms: bool = True, good: bool = True) -> Any:
    found = SimpleNamespace(agrees=agrees)
    return SimpleNamespace(
        scene=SimpleNamespace(found=found),
        report=SimpleNamespace(conforms=conforms),
        good=agrees and conforms and good,
    )


@pytest.mark.parametrize(
    ("doses", "code"),
    [
        ([dose(), dose()], exits.OK),
        ([dose(), dose(good=False)], exits.DEVICE),
        ([dose(conforms=False), dose(good=False)], exits.CONFORMANCE),
        ([dose(conforms=False), dose(agrees=False)], exits.UNCERTAIN),
    ],
)
def test_the_heaviest_disagreement_gives_the_exit_code(doses, code):
    assert demo.exit_code(doses) == code


def test_a_device_that_cannot_start_is_an_error_with_its_last_words(tmp_path):
    log = tmp_path / "simulator.log"
    with (
        SimulatedDevice([*port_options(tmp_path), "--profile", "pacemaker"], log) as device,
        pytest.raises(TransportError, match="pacemaker"),
    ):
        assert device.url
    assert device.ended


def test_an_order_that_is_refused_is_an_error_and_the_device_goes_on(tmp_path):
    with SimulatedDevice(port_options(tmp_path), tmp_path / "simulator.log") as device:
        with pytest.raises(TransportError, match="refuses 'dance'"):
            device.order("dance")
        assert device.order("unplug")["ok"]
    assert device.ended


def test_where_there_is_no_pty_the_device_listens_on_tcp(tmp_path, monkeypatch):
    monkeypatch.setattr("neurostim.cli.demo_device.sys.platform", "win32")
    assert port_options(tmp_path) == ["--tcp", "127.0.0.1:0"]
    monkeypatch.undo()
    (tmp_path / "stimulator").write_text("in the way")
    with pytest.raises(ConfigError, match="in the way"):
        port_options(tmp_path)
