"""What the commands of use at home make of their words, before and beside what the device says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from neurostim.cli import console, usage
from neurostim.cli.main import build, main
from neurostim.cli.run import await_control
from neurostim.core.errors import NeurostimError
from neurostim.device.usage import UsageLog, usage_digest
from neurostim.session import in_flight
from neurostim.session.adapters import new_session_id
from neurostim.session.journal import Journal
from neurostim.session.usage_file import SavedUsage
from neurostim.wire.messages import NO_SLOT, Role, UsageKind, UsageRecord

DEVICE = "sim://scs?seed=1"
REASON = "output was seen to be off"
WORDS = {
    "assign": ["--subject", "S-014"],
    "release": ["--subject", "S-014", "--days", "1", "--program", "Walking=tonic"],
    "takeback": ["--subject", "S-014", "--save", "usage.jsonl"],
    "retire": ["--subject", "S-014", "--save", "usage.jsonl", "--cleaning", "wiped"],
}


def call(command: str, *words: str) -> NeurostimError:
    """Give a command of use at home to a device that was never paired; what it said."""
    with pytest.raises(NeurostimError) as told:
        build([command])([command, DEVICE, *words], standalone_mode=False)
    return told.value


def announced(folder: Path) -> None:
    """A folder with the journal of a host that crashed in a start."""
    session = new_session_id()
    with Journal.create(folder, session, monotonic_ns=lambda: 1, wall_text=lambda: "2026-01-01") as journal:
        journal.append("device", {"serial_number": "SIM-0001"})
        start = {"kind": "impedance", "expected_dose_count": 4, "boot_count": 1, "image_sha256": ""}
        journal.append("start_intended", start, durable=True)


@pytest.mark.parametrize("command", WORDS)
def test_an_earlier_start_of_unknown_outcome_blocks_until_the_command_settles_it(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    announced(tmp_path)
    words = [*WORDS[command], "--journal", str(tmp_path)]
    blocked = call(command, *words)
    assert blocked.code == "session-in-flight"
    assert "--settle" in str(blocked)
    assert call(command, *words, "--settle", REASON).code.startswith("refused-")
    assert in_flight(tmp_path) == ()


def record(index: int, kind: UsageKind, place: int = 0, count: int = 0, value: int = 0) -> UsageRecord:
    return UsageRecord(index, 1, index * 1000, 0, kind, NO_SLOT, place, count, value, 0)


def test_a_log_is_told_in_units_that_show_something(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = [
        (UsageKind.BOOT, 0, 1, 0),
        (UsageKind.HOUR_ON, 0, 8, 98_000_000),
        (UsageKind.HOUR_CONTACT, 3, 8, 28_186 * 10**6),
        (UsageKind.HOUR_RECOVERED, 1, 8, -233),
        (UsageKind.IMPEDANCE, 1, 0, 341),
        (UsageKind.IMPEDANCE, 2, 0, 900),
        (UsageKind.COMPLIANCE, 0, 12, 0),
        (UsageKind.LEAD, 0, 0, 0),
        (UsageKind.LEAD, 0, 0, 1),
        (UsageKind.LOCKOUT, 0, 0, 300),
        (UsageKind.OFF_BUTTON, 0, 0, 0),
        (UsageKind.BATTERY, 0, 0, 632),
    ]
    records = tuple(record(index, *words) for index, words in enumerate(kinds, 1))
    log = UsageLog(records, 1, usage_digest(records))
    usage.show(SavedUsage("Bench", "SIM-1", "S-014", log), source="as it was saved")
    shown = capsys.readouterr().out
    for words in (
        "Bench SIM-1, subject S-014", "from 0 h 00 min into boot 1",
        "as it was saved", "1 min 38 s", "28.19 C", "-233 nC", "341 to 900 Ohm", "rail limited: 12",
        "pulled out: 1", "too many: 1", "off button: 1", "63.2 %",
    ):  # fmt: skip
        assert words in shown
    assert " -0" not in shown


@pytest.mark.parametrize(
    ("kind", "words"),
    [(UsageKind.RELEASED, "erased when the device was retired"), (UsageKind.START, "made room")],
)
def test_what_became_of_older_records_is_told(
    kind: UsageKind, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    records = (record(40, kind), record(41, UsageKind.STOP))
    usage.show(SavedUsage("Bench", "SIM-1", None, UsageLog(records, 40, usage_digest(records))))
    shown = capsys.readouterr().out
    assert "no subject" in shown
    assert "records before 40" in shown
    assert words in shown


def test_a_log_from_a_file_is_not_saved_again_and_nobody_thinks_so(tmp_path: Path) -> None:
    words = ["--file", str(tmp_path / "one.jsonl"), "--save", str(tmp_path / "two.jsonl")]
    with pytest.raises(NeurostimError) as told:
        build(["usage"])(["usage", *words], standalone_mode=False)
    assert told.value.code == "usage-option"


@pytest.mark.parametrize("command", ["takeback", "retire", "usage"])
@pytest.mark.parametrize("file", ["there.jsonl", "nowhere/new.jsonl"])
def test_a_file_that_cannot_be_new_is_refused_before_the_device_is_touched(
    command: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.jsonl").write_text("another log")
    words = [one if one != "usage.jsonl" else file for one in WORDS.get(command, ["--save", file])]
    with pytest.raises(NeurostimError) as told:
        build([command])([command, "socket://127.0.0.1:1", *words], standalone_mode=False)
    assert told.value.code == "usage-file"
    assert (tmp_path / "there.jsonl").read_text() == "another log"


class Held:
    """A device whose output is on and whose control is held by a host that has gone, for one more look."""

    def __init__(self, *, autonomous: bool) -> None:
        self.role = Role.OBSERVE
        self.home = self
        self.output_on = True
        self.autonomous = autonomous

    def status(self) -> Held:
        return self

    def release_state(self) -> Held:
        return self

    def result(self) -> Held:
        return self

    def wait(self, _seconds: float) -> None:
        pass

    def take_critical(self) -> None:
        pass

    def take_control(self) -> None:
        self.role = Role.CONTROL


@pytest.mark.parametrize("autonomous", [True, False])
def test_output_of_the_patient_does_not_end_the_wait_for_a_host_that_has_gone(autonomous: bool) -> None:
    device = Held(autonomous=autonomous)
    await_control(cast(Any, device), console.err())
    assert (device.role is Role.CONTROL) is autonomous


def test_words_that_are_off_name_their_option_as_data_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "sys.argv", ["neurostim", "release", DEVICE, *WORDS["release"], "--days", "91", "--json"]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "--days" in json.loads(capsys.readouterr().out)["message"]
