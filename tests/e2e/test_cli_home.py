"""A device goes home and comes back by the command line alone, as a clinic would use it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from neurostim.cli import exits
from neurostim.cli.demo_device import SimulatedDevice
from neurostim.cli.links import PASSPHRASE_FD
from neurostim.cli.main import build
from neurostim.core.errors import NeurostimError
from neurostim.session import in_flight
from neurostim.session.adapters import new_session_id
from neurostim.session.journal import Journal
from support.cli_document import undocumented
from support.cli_processes import simulated

SUBJECT = ["--subject", "S-014"]
WALKING = ["--program", "Walking=tonic"]
BOTH = [*WALKING, "--program", "Resting=tonic"]
CODE = "SAF-FARADAIC-DC"
WHY = "bench load, nobody connected"


def call(*words: str | Path, typed: str = "") -> Result:
    return CliRunner().invoke(build([str(words[0])]), [str(one) for one in words], input=typed)


def told(*words: str | Path) -> dict[str, Any]:
    result = call(*words, "--json")
    assert result.exception is None, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(*words: str | Path) -> NeurostimError:
    result = call(*words)
    assert isinstance(result.exception, NeurostimError), result.output
    return result.exception


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedDevice]:
    """One that is paired and assigned; passphrases come from a file descriptor."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    words = tmp_path / "passphrase"
    words.write_text("correct horse battery\n" * 80)
    handle = os.open(words, os.O_RDONLY)
    monkeypatch.setenv(PASSPHRASE_FD, str(handle))
    with simulated(tmp_path) as one:
        paired = call(
            "pair", one.url, "--keys", tmp_path / "keys", "--name", "desk", typed=one.label_code + "\n"
        )
        assert paired.exception is None, paired.output
        told("assign", one.url, *SUBJECT)
        yield one
    os.close(handle)


def doses(device: SimulatedDevice) -> int:
    [found] = told("devices", "--device", device.url)["devices"]
    return int(found["doses"])


IMPOSSIBLE = {
    "off the grid": ["--range", "Walking/1=5.05 mA..7 mA by 0.1 mA"],
    "beyond a limit": ["--range", "Resting/1=5 mA..20 mA"],
    "a reason of no program": ["--acknowledge", f"{CODE}={WHY}"],
    "a long name": ["--program", "A name of seventeen=tonic"],
    "a reason of another": [
        "--program",
        "Burst=burstdr",
        "--acknowledge",
        f"Walking/SAF-DENSITY-BURST={WHY}",
    ],
}


def test_what_cannot_be_released_is_refused_before_anything_is_delivered(device: SimulatedDevice) -> None:
    for what, words in IMPOSSIBLE.items():
        refused("release", device.url, *SUBJECT, "--days", "7", *BOTH, *words)
        assert doses(device) == 0, what


def test_from_release_to_retirement_by_the_command_line(device: SimulatedDevice, tmp_path: Path) -> None:
    journal = ["--journal", tmp_path / "journal"]
    base = ["release", device.url, *SUBJECT, "--days", "90", *BOTH, *journal]
    own = ["--acknowledge", f"Walking/{CODE}={WHY}"]
    error = refused(*base, *own)
    assert error.code == "unacknowledged"
    assert f'--acknowledge Resting/{CODE}="why"' in error.remedy
    assert f"Walking/{CODE}" not in error.remedy
    # Both are named at once, though only the first has been measured by then.
    error = refused(*base)
    assert f"{CODE} of 'Walking'" in error.message
    assert f"{CODE} of 'Resting'" in error.message

    result = call(*base, *own, "--acknowledge", f"Resting/{CODE}=another reason on another load", "--json")
    released = json.loads(result.stdout)
    assert undocumented("neurostim release", released) == set()
    assert [one["acknowledged"] for one in released["slots"]] == [
        {CODE: WHY},
        {CODE: "another reason on another load"},
    ]
    assert all(0 < one["battery_hours"] < 90 * 24 for one in released["slots"])
    assert abs(released["battery_hours"] - released["slots"][0]["battery_hours"]) <= 1
    for name in ("Walking", "Resting"):
        assert f"of {name} without a pause" in result.stderr
    assert result.stderr.count("less than the 90 days of the release") == 2
    records = [json.loads(line) for line in Path(released["journal"]).read_text().splitlines()]
    [intended] = [one for one in records if one["kind"] == "release_intended"]
    assert [one["acknowledged"] for one in intended["data"]["slots"]] == [
        one["acknowledged"] for one in released["slots"]
    ]

    save = tmp_path / "early.jsonl"
    error = refused("retire", device.url, *SUBJECT, "--cleaning", "wiped", "--save", save, *journal)
    assert error.code == "session-released"
    assert not save.exists()

    save = tmp_path / "usage.jsonl"
    back = told("takeback", device.url, *SUBJECT, "--save", save, *journal)
    assert (back["serial_number"], back["subject"]) == ("SIM-0001", "S-014")
    assert undocumented("neurostim takeback", back, "neurostim usage") == set()
    error = refused("takeback", device.url, *SUBJECT, "--save", tmp_path / "twice.jsonl", *journal)
    assert error.code == "session-not-released"
    assert not (tmp_path / "twice.jsonl").exists()

    shown = call("usage", "--file", save).stdout
    assert "SIM-0001, subject S-014" in shown
    assert f"from {back['begins']['text']} to {back['ends']['text']}" in shown
    assert "UTC" in back["begins"]["text"]
    assert "made room" not in shown

    last = tmp_path / "last.jsonl"
    error = refused("retire", device.url, *SUBJECT, "--cleaning", "w" * 65, "--save", last, *journal)
    assert not last.exists()
    assert (
        told("retire", device.url, *SUBJECT, "--cleaning", "wiped", "--save", last, *journal)["assignment"]
        == 1
    )
    shown = call("usage", device.url).stdout
    assert "no subject" in shown
    assert "were erased when the device was retired" in shown
    assert "made room" not in shown
    assert undocumented("neurostim usage", told("usage", device.url)) == set()


def test_an_impedance_measurement_settles_an_earlier_start_like_every_command(tmp_path: Path) -> None:
    with Journal.create(
        tmp_path, new_session_id(), monotonic_ns=lambda: 1, wall_text=lambda: "2026-01-01"
    ) as journal:
        journal.append("device", {"serial_number": "SIM-0001"})
        start = {"kind": "impedance", "expected_dose_count": 4, "boot_count": 1, "image_sha256": ""}
        journal.append("start_intended", start, durable=True)
    words = ["impedance", "--device", "sim://scs?seed=1", "--lead", "octrode", "--journal", tmp_path]
    error = refused(*words)
    assert error.code == "session-in-flight"
    assert "not impedance" not in error.remedy
    result = call(*words, "--settle", "output was seen to be off")
    assert result.exit_code == exits.OK, result.output
    assert in_flight(tmp_path) == ()
