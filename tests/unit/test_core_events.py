"""Event tables on disk: the columns of the format, complete or not there at all."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.events import write_events
from neurostim.core.program import Burst, Pulse, Recharge, Share, Train
from neurostim.core.schedule import Schedule
from support.core_programs import DAY, MS, US, S, area, microseconds, program


@pytest.fixture
def tonic() -> Schedule:
    return compile_program(program(area(), duration_ns=40 * MS), microseconds())


def test_a_table_by_hand_is_written_to_the_letter(tonic: Schedule, tmp_path: Path) -> None:
    # 50 Hz, 300 us, 6 mA passive on 3 and 5: at 0 and 20 ms, shorted from 300 us until 20 us before the next
    # pulse, the last for at most 100 ms.
    rows = write_events(tonic, tmp_path / "tonic.csv", image_sha256="ab" * 32)
    assert rows == 8
    assert (tmp_path / "tonic.csv").read_text() == (
        "start_ns,duration_ns,contact,kind,amplitude_na\n"
        "0,300000,3,stim,-6000000\n"
        "0,300000,5,stim,6000000\n"
        "300000,19680000,3,passive,0\n"
        "300000,19680000,5,passive,0\n"
        "20000000,300000,3,stim,-6000000\n"
        "20000000,300000,5,stim,6000000\n"
        "20300000,100000000,3,passive,0\n"
        "20300000,100000000,5,passive,0\n"
    )
    sidecar = json.loads((tmp_path / "tonic.json").read_text())
    assert sidecar["format"] == "neurostim-events/1"
    assert (sidecar["tick_ns"], sidecar["step_na"], sidecar["guard_ticks"]) == (1000, 10_000, 20)
    assert (sidecar["recovery_min_ticks"], sidecar["end_ticks"], sidecar["rows"]) == (400, 140_000, 8)
    assert (sidecar["time_base"], sidecar["image_sha256"]) == ("program", "ab" * 32)


def test_both_suffixes_hold_the_same_table(tmp_path: Path) -> None:
    guarded = area(
        shares=(Share("2", -1000), Share("12", 400), Share("return", 600)),
        pulse=Pulse(200 * US, Recharge.ACTIVE_SYMMETRIC, 50 * US),
        train=Train(Fraction(40), Burst(3, Fraction(500))),
    )
    schedule = compile_program(program(guarded, duration_ns=S), microseconds())
    rows = write_events(schedule, tmp_path / "a.csv", start_ns=500 * MS, duration_ns=100 * MS)
    assert write_events(schedule, tmp_path / "a.npz", start_ns=500 * MS, duration_ns=100 * MS) == rows
    lines = (tmp_path / "a.csv").read_text().splitlines()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as table:
        names = lines[0].split(",")
        columns = [table[name].tolist() for name in names]
    assert [",".join(map(str, row)) for row in zip(*columns, strict=True)] == lines[1:]
    assert lines[1] == "500000000,200000,2,stim,-6000000"
    assert [line.split(",")[2] for line in lines[1:4]] == ["2", "12", "return"]


def test_selection_takes_rows_by_their_start_and_clips_nothing(tonic: Schedule, tmp_path: Path) -> None:
    assert write_events(tonic, tmp_path / "s.csv", start_ns=300 * US, duration_ns=1) == 2
    assert write_events(tonic, tmp_path / "s.csv", start_ns=300 * US + 1, duration_ns=19 * MS) == 0
    assert "19680000" not in (tmp_path / "s.csv").read_text()


def test_nothing_is_left_behind_where_a_table_cannot_be_written(tonic: Schedule, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.csv or \.npz"):
        write_events(tonic, tmp_path / "table.txt")
    endless = compile_program(program(), microseconds())
    with pytest.raises(ConfigError, match="until stopped"):
        write_events(endless, tmp_path / "table.csv")
    with pytest.raises(OSError, match="No such file"):
        write_events(tonic, tmp_path / "missing" / "table.csv")
    assert list(tmp_path.iterdir()) == []


def test_hour_23_is_written_like_the_first_second(tmp_path: Path) -> None:
    schedule = compile_program(program(), microseconds())
    write_events(schedule, tmp_path / "first.csv", duration_ns=S)
    write_events(schedule, tmp_path / "late.csv", start_ns=365 * DAY, duration_ns=S)
    shift = 365 * DAY
    first = [line.split(",", 1) for line in (tmp_path / "first.csv").read_text().splitlines()[1:]]
    late = [line.split(",", 1) for line in (tmp_path / "late.csv").read_text().splitlines()[1:]]
    assert [[str(int(start) + shift), rest] for start, rest in first] == late
