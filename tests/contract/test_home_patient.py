"""The scripted patient: seven days in a moment, the same from the same seed, and a log that adds up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neurostim.core.errors import ConfigError
from neurostim.wire.messages import StopCause, UsageKind
from neurostim_sim import patient
from neurostim_sim.core import DeviceCore
from neurostim_sim.home import Button
from neurostim_sim.patient import Patient, live, main, patient_of, read_script
from neurostim_sim.profiles import profile
from neurostim_sim.store import FileMedium
from support.home_bench import (
    DAY,
    HOUR,
    HomeBench,
    dose_of,
    home_tonic,
    of_kind,
)
from support.sim_bench import device

PROGRAMS = [home_tonic(period_num=25_000_000), home_tonic(width_ticks=200)]
BUSY = Patient(adherence=100, postures=4, switches=2, baths=2, overnight=0)


def released(days: int = 8) -> DeviceCore:
    bench = HomeBench()
    bench.send_home(PROGRAMS, expires_s=days * 86_400)
    return bench.core


def test_seven_days_of_sixteen_hours_are_delivered_exactly() -> None:
    core = released()
    for day in range(7):
        core.advance(day * DAY + 7 * HOUR)
        core.press(Button.START)
        core.advance(day * DAY + 23 * HOUR)
        core.press(Button.STOP)
    core.advance(7 * DAY)
    records = core.home.usage.records(1)
    told = dose_of(records, slots=(0,))
    # 16 h at 40 Hz, and the second of the ramp that a stop takes; the first pulse of a ramp carries nothing.
    assert abs(told[3][0] - 7 * 40 * (16 * 3600 + 1)) <= 7 * 8
    assert dose_of(records) == core.memory.contacts
    on_us = sum(one.value for one in of_kind(records, UsageKind.HOUR_ON))
    assert abs(on_us - 7 * (16 * 3600 + 1) * 10**6) < 100
    assert {one.value for one in of_kind(records, UsageKind.STOP)} == {StopCause.PATIENT_STOP}
    # The reading of contacts, each of the 16 hours and the end are told.
    assert len(of_kind(records, UsageKind.HOUR_ON)) == 7 * (1 + 16 + 1)


def test_the_same_seed_gives_the_same_days_and_another_one_others() -> None:
    first, again, other = (live(released(), 1, seed) for seed in (5, 5, 6))
    assert first == again
    assert first.usage_sha256 != other.usage_sha256


def test_a_busy_patient_comes_through_baths_and_switches() -> None:
    core = released()
    told = live(core, 2, 3, BUSY)
    records = core.home.usage.records(1)
    assert told.lead_out == 4
    assert told.switches == 4
    assert told.starts > 2 + 4
    assert told.on_s > 20 * 3600
    assert dose_of(records) == core.memory.contacts
    assert {one.slot for one in of_kind(records, UsageKind.START)} == {0, 1}
    assert len(of_kind(records, UsageKind.LEAD)) == 8
    assert not core.home.usage.broken


def test_lying_down_brings_the_level_down() -> None:
    core = released()
    calm = Patient(
        adherence=100, postures=0, switches=0, baths=0, overnight=0, standing=8, sitting=8, lying=3
    )
    live(core, 1, 1, calm)
    steps = [one.value for one in of_kind(core.home.usage.records(1), UsageKind.STEP)]
    assert core.home.chosen is not None
    top = core.home.chosen.top
    assert max(steps) <= core.home.chosen.amplitudes(8 * top // 10)[0]
    assert steps[-1] == core.home.chosen.amplitudes(3 * top // 10)[0]


def test_an_empty_battery_is_changed_and_the_days_go_on() -> None:
    core = released()
    core.battery = 160
    told = live(core, 1, 1, Patient(adherence=100, postures=4, switches=0, baths=0, overnight=100))
    assert told.battery_changes == 1
    assert core.battery > 900
    assert not told.expired


def test_a_release_that_ends_ends_the_days() -> None:
    told = live(released(days=1), 2, 1, BUSY)
    assert told.expired
    assert told.on_s < 24 * 3600


def test_a_device_that_is_not_released_has_no_patient() -> None:
    with pytest.raises(ConfigError, match="not released"):
        live(device("scs"), 1, 1)


def test_habits_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "habits.toml"
    path.write_text('format = "neurostim-patient/1"\nwakes = "6 h"\nbaths = 0\nlying = 2\n')
    assert read_script(path) == Patient(wakes=6 * HOUR, baths=0, lying=2)


@pytest.mark.parametrize(
    "values",
    [
        {"baths": 5},
        {"baths": True},
        {"adherence": 101},
        {"wakes": "24 h"},
        {"wakes": "12 h", "sleeps": "11 h"},
        {"happy": 1},
    ],
)
def test_habits_no_person_has_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        patient_of(values)


def test_the_command_lives_with_the_device_of_a_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "device"
    core = DeviceCore(profile("scs"), medium=FileMedium(store))
    bench = HomeBench(core)
    bench.send_home(PROGRAMS)
    core.close()
    before = store.read_bytes()
    words = ["--store", str(store), "--days", "1", "--seed", "3", "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["days"] == 1
    assert told["starts"] >= 1
    assert store.read_bytes() != before
    after = DeviceCore(profile("scs"), medium=FileMedium(store))
    assert after.autonomous
    assert not after.output_on
    assert after.home.usage.next_index > told["usage_records"]
    after.close()
    patient._print(patient.Summary(**told))
    assert "1 days at home, seed 3" in capsys.readouterr().out


def test_the_command_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", str(tmp_path / "none")]) == 2
    assert "there is no store" in capsys.readouterr().err
    assert main(["--store", str(tmp_path), "--days", "91"]) == 2
    assert "1 to 90" in capsys.readouterr().err


def test_every_field_of_the_summary_is_what_the_documentation_lists() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "cli.md").read_text()
    section = text.split("### neurostim-sim patient")[1].split("## ")[0]
    for name in patient.Summary.__dataclass_fields__:
        assert f"`{name}`" in section, name


def test_ninety_days_fit_the_usage_log() -> None:
    from neurostim_sim.home.usage import RECORDS, RESERVE

    sixteen_contacts, readings, hours = 2 + 16 * 3, 2 * 90, 90 * 24
    assert hours * sixteen_contacts + readings * 33 * 3 + 90 * 600 < RECORDS - RESERVE
