"""A slot delivered without a host: the dose of days in a moment, and a record that agrees with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.program_file import load_preset
from neurostim.core.schedule import Schedule
from neurostim.safety.profiles import profile
from neurostim.wire.image import encode_image, image_digest
from neurostim_sim.main import main
from neurostim_sim.records import Slot
from neurostim_sim.servers.alone import deliver
from neurostim_sim.settings import Settings

S = 1_000_000_000
DAY_NS = 24 * 3600 * S


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0
        self.waits: list[int] = []

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep_until(self, at_ns: int) -> None:
        self.waits.append(at_ns)
        self.now_ns = max(self.now_ns, at_ns)


@pytest.fixture
def tonic() -> Schedule:
    return compile_program(load_preset("tonic"), profile("scs").grid)


@pytest.fixture
def settings(tmp_path: Path, tonic: Schedule) -> Settings:
    made = Settings("scs", store=tmp_path / "store")
    core = made.core()
    data = encode_image(tonic.image)
    core.memory.slots[0] = Slot(len(data), image_digest(data), data, committed=True)
    core.memory.save()
    core.close()
    return made


def test_a_day_is_delivered_at_once_with_the_dose_of_the_schedule(
    settings: Settings, tonic: Schedule
) -> None:
    short = deliver(settings, 0, 5 * S, 0, Clock())["areas"][0]
    fading = short["pulses"] - tonic.dose(5 * S).areas[0].pulses
    day = deliver(settings, 0, DAY_NS, 0, Clock())["areas"][0]
    assert day["pulses"] == tonic.dose(DAY_NS).areas[0].pulses + fading
    faded_ac = short["stim_ac"] - tonic.dose(5 * S).areas[0].stimulation_ac
    assert day["stim_ac"] == tonic.dose(DAY_NS).areas[0].stimulation_ac + faded_ac


def test_the_record_holds_the_charge_that_was_told(settings: Settings, tmp_path: Path) -> None:
    plain = deliver(settings, 0, 3 * S, 0, Clock())
    told = deliver(replace(settings, trace=tmp_path / "t.npz"), 0, 3 * S, 0, Clock())
    assert told["areas"] == plain["areas"]
    with np.load(told["trace"]) as table:
        stim = (table["kind"] == "stim") & (table["amplitude_na"] < 0)
        charge = int((-table["amplitude_na"][stim] * table["duration_ns"][stim]).sum())
    assert charge == told["areas"][0]["stim_ac"]


def test_speed_paces_the_delivery(settings: Settings) -> None:
    clock = Clock()
    paced = deliver(settings, 0, 2 * S, 4.0, clock)
    assert clock.now_ns == (2 * S - 50_000_000) // 4
    assert paced["areas"] == deliver(settings, 0, 2 * S, 0, Clock())["areas"]


def test_an_empty_slot_and_a_record_of_days_are_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="slot 1"):
        deliver(settings, 1, S, 0, Clock())
    with pytest.raises(ConfigError, match="86400 s"):
        deliver(replace(settings, trace=tmp_path / "t.npz"), 0, DAY_NS, 0, Clock())


def test_the_command_tells_the_dose(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    store = str(settings.store)
    assert main(["--deliver", "0", "--store", store, "--for", "24 h", "--speed", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["areas"][0]["pulses"] > 24 * 3600 * 49


@pytest.mark.parametrize(
    "options",
    [
        ["--speed", "10"],
        ["--speed", "10", "--tcp", "127.0.0.1:0"],
        ["--deliver", "0", "--for", "1 s"],
        ["--deliver", "0", "--for", "1 s", "--store", "s", "--speed", "nan"],
        ["--deliver", "0", "--for", "1 s", "--store", "s", "--speed", "-1"],
        ["--deliver", "0", "--for", "1 s", "--store", "s", "--tcp", "127.0.0.1:0"],
        ["--deliver", "0", "--for", "1", "--store", "s"],
    ],
)
def test_speed_is_refused_where_a_heartbeat_is_live(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(options) == 2
    assert "neurostim-sim:" in capsys.readouterr().err
