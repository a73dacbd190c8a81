"""What the demonstration reads off a trace: charges, silence after the pull, and when that is not good."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from neurostim.cli.demo_evidence import Evidence, examine
from neurostim.cli.demo_scenes import Cable
from neurostim.cli.demo_svg import Axis, Chart
from neurostim.conformance import TraceTable
from neurostim.core.errors import ConfigError

MS = 1_000_000
CABLE = Cable(1_000 * MS, 1_800 * MS, ("stopped (dead man)",) * 2, False, "refused")


def evidence(
    *,
    last_ms: int = 1_450,
    cable: Cable | None = CABLE,
    cause: str = "dead man",
    logged: str = "ramp_down",
    agrees: bool = True,
    conforms: bool = True,
    start_tick: int = 0,
) -> Evidence:
    """Biphasic pulses of 2 mA and 100 us on contacts 3 and 5 each 50 ms, the last one at `last_ms`."""
    rows: list[list[Any]] = []
    for unit, start in enumerate(range(0, last_ms + 1, 50)):
        rows += [
            [start * MS, 100_000, "3", "stim", -2_000_000, 0, unit, 0, 0],
            [start * MS, 100_000, "5", "stim", 2_000_000, 0, unit, 0, 0],
            [start * MS + 100_000, 900_000, "3", "passive", 0, 0, unit, 0, 199_000_000_000],
            [start * MS + 100_000, 900_000, "5", "passive", 0, 0, unit, 0, -199_000_000_000],
        ]
    scene: Any = SimpleNamespace(
        cable=cable,
        stop_cause=cause,
        good=agrees and (cable is None or cable.good),
        dose=SimpleNamespace(start_tick=start_tick),
    )
    sidecar = {"tick_ns": 1000, "commands": [{"at_ticks": 1_290_000, "name": logged}]}
    report: Any = SimpleNamespace(conforms=conforms)
    return Evidence(scene, Path("x.npz"), TraceTable.from_rows(rows, extra=True), sidecar, report)


def test_silence_is_the_end_of_the_last_driven_phase_after_the_pull():
    found = evidence()
    assert found.silent_ns == 1_450 * MS + 100_000
    assert found.silent_after_ns == 450 * MS + 100_000
    assert found.command_ns("ramp_down") == 1_290 * MS
    assert found.good


def test_the_time_of_the_pull_is_counted_from_the_start_of_output():
    assert evidence(start_tick=400_000).pulled_ns == 600 * MS


@pytest.mark.parametrize(
    "wrong",
    [
        {"last_ms": 1_500},
        {"last_ms": 950},
        {"cause": "stop"},
        {"logged": "stop"},
        {"agrees": False},
        {"conforms": False},
        {"cable": Cable(1_000 * MS, 1_800 * MS, (), True, "refused")},
        {"cable": Cable(1_000 * MS, 1_800 * MS, (), False, "")},
    ],
    ids=[
        "late",
        "before the pull",
        "stopped by a host",
        "no dead-man",
        "counters",
        "trace",
        "resumed",
        "started",
    ],
)
def test_anything_that_is_not_as_it_has_to_be_is_not_good(wrong):
    assert not evidence(**wrong).good


def test_a_dose_without_a_cable_needs_no_dead_man():
    assert evidence(cable=None, cause="soft stop", logged="soft_stop").good


def test_charges_are_exact():
    found = evidence(last_ms=50)
    assert found.phase_ac == 200_000_000_000
    assert found.residue_ac == 2 * (200_000_000_000 - 199_000_000_000)
    assert found.table.labels[found.cathode] == "3"
    starts, amplitudes = found.pulses
    assert starts.tolist() == [0, 50 * MS]
    assert amplitudes.tolist() == [2_000_000, 2_000_000]


@pytest.mark.parametrize("count", [0, 2])
def test_a_dose_has_exactly_one_trace(tmp_path, count):
    for number in range(count):
        (tmp_path / f"{number}-dose0002.npz").write_bytes(b"")
    scene: Any = SimpleNamespace(dose=SimpleNamespace(number=2))
    with pytest.raises(ConfigError, match=f"found {count} traces"):
        examine(scene, tmp_path, tmp_path / "program.toml")


@pytest.mark.parametrize(
    ("low", "high", "most", "ticks"),
    [
        (0, 6, 4, [0, 2, 4, 6]),
        (0, 1.8, 4, [0, 0.5, 1.0, 1.5]),
        (-7.2, 7.2, 4, [-5, 0, 5]),
        (-400, 700, 8, [-400, -200, 0, 200, 400, 600]),
        (0, 0.03, 4, [0, 0.01, 0.02, 0.03]),
    ],
)
def test_ticks_are_round_and_inside(low, high, most, ticks):
    assert Axis(low, high, "x").ticks(most) == pytest.approx(ticks)


def test_a_chart_places_its_data_and_escapes_its_words():
    chart = Chart(200, 100, Axis(0, 10, "time (s)"), Axis(0, 5, "current (mA)"), 'a "title" <b>')
    assert chart.x(0) < chart.x(10) <= 200
    assert chart.y(5) < chart.y(0) <= 100
    chart.stems([(5, 5)], "stem")
    chart.steps([], "line")
    chart.mark(5, "1 < 2", "note")
    svg = chart.svg()
    assert f"M{chart.x(5):.1f} {chart.y(0):.1f}V{chart.y(5):.1f}" in svg
    assert "1 &lt; 2" in svg
    assert "a &quot;title&quot; &lt;b&gt;" in svg
    assert "time (s)" in svg
    assert "current (mA)" in svg
