"""The simulator's pulse engine and the judge, written apart from one document, agree on what is delivered."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from neurostim.conformance import judge, read_trace
from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.image import Grid, ProgramImage
from neurostim.core.program_file import load_preset, parse_program, presets
from neurostim_sim.trace import TraceFiles
from support.conformance_engine import delivered, judged
from support.conformance_programs import area, benches, program, programs, to_toml
from support.wrong_compilers import Bench

BENCH = Bench(1000, 10_000, 20, 400)
LOGS: dict[str, list[dict[str, Any]]] = {
    "nothing": [],
    "a new amplitude": [
        {"at_ticks": 1_300_123, "name": "set_amplitude", "area": 0, "amplitude_na": 1_234_567}
    ],
    "a soft stop": [{"at_ticks": 1_300_123, "name": "soft_stop"}],
    "the dead-man": [{"at_ticks": 1_300_123, "name": "ramp_down", "within_ns": 200_000_000}],
    "a stop": [{"at_ticks": 1_712_345, "name": "stop"}],
    "an emergency": [{"at_ticks": 1_700_123, "name": "emergency_stop"}],
    "a lost supply": [{"at_ticks": 1_700_123, "name": "power_lost"}],
}


def image(source: dict[str, Any], bench: Bench) -> ProgramImage:
    grid = Grid(
        tick_ns=bench.tick_ns,
        step_na=bench.step_na,
        guard_ticks=bench.guard,
        recovery_min_ticks=bench.recovery_min,
    )
    return compile_program(parse_program(to_toml(source)), grid).image


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize("name", ["tonic", "burstdr", "hf10", "multiplexed", "ecap-base", "pns-100hz"])
def test_a_preset_as_delivered_conforms_under_every_kind_of_command(name: str, log: str) -> None:
    source = tomllib.loads(presets()[name].read_text(encoding="utf-8"))
    compiled = compile_program(load_preset(name), Grid(1000, 10_000, 20, 400)).image
    report = judged(source, compiled, BENCH, 2_000_000, LOGS[log])
    assert report.conforms, report.to_text()


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_as_delivered_conforms(name: str) -> None:
    source = tomllib.loads(presets()[name].read_text(encoding="utf-8"))
    compiled = compile_program(load_preset(name), Grid(1000, 10_000, 20, 400)).image
    report = judged(source, compiled, BENCH, 700_000)
    assert report.conforms, report.to_text()


@pytest.mark.parametrize(("time_base", "ppm"), [("device", 0), ("device", 80), ("free", 80), ("free", -120)])
@pytest.mark.parametrize("name", ["tonic", "burstdr", "multiplexed"])
def test_the_trace_file_of_a_dose_is_read_and_conforms(
    name: str, time_base: str, ppm: int, tmp_path: Path
) -> None:
    source = tomllib.loads(presets()[name].read_text(encoding="utf-8"))
    grid = Grid(1000, 10_000, 20, 400)
    commands = [{"at_ticks": 0, "name": "start"}, *LOGS["a soft stop"]]
    rows = delivered(compile_program(load_preset(name), grid).image, 2_500_000, commands)
    files = TraceFiles(tmp_path / "record.csv", "S1", time_base)
    path = files.write(1, rows, grid, commands, image_sha256="0" * 64, end_ticks=2_500_000, ppm=ppm)
    table, sidecar = read_trace(path)
    report = judge(source, table, sidecar)
    assert report.conforms, report.to_text()
    assert len(table) == len(rows)
    if time_base == "free":
        assert report.clock is not None
        assert report.clock.ppm == pytest.approx(ppm, abs=1)


@st.composite
def command_logs(draw: st.DrawFn, areas: int, tick_ns: int) -> list[dict[str, Any]]:
    last = 300_000_000 // tick_ns
    log: list[dict[str, Any]] = []
    for at in sorted(draw(st.lists(st.integers(1, last), max_size=2))):
        value = draw(st.integers(0, 6_000_000))
        index = draw(st.integers(0, areas - 1))
        log.append({"at_ticks": at, "name": "set_amplitude", "area": index, "amplitude_na": value})
    begin = log[-1]["at_ticks"] if log else 1
    end = draw(st.sampled_from(["", "soft_stop", "ramp_down", "emergency_stop", "power_lost", "stop"]))
    if end:
        log.append({"at_ticks": draw(st.integers(begin, last + 1)), "name": end, "within_ns": 50_000_000})
    return log


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data(), programs(), benches)
def test_any_program_as_delivered_conforms_under_any_commands(
    data: st.DataObject, source: dict[str, Any], bench: Bench
) -> None:
    try:
        compiled = image(source, bench)
    except ConfigError:
        assume(False)
    commands = data.draw(command_logs(len(source["area"]), bench.tick_ns))
    bursts_recover_late = any(entry["pulse"]["recharge"] == "passive-after-burst" for entry in source["area"])
    # A stop inside such a burst has a test of its own.
    assume(not (bursts_recover_late and commands and commands[-1]["name"] == "stop"))
    report = judged(source, compiled, bench, 420_000_000 // bench.tick_ns, commands)
    assert report.conforms, report.to_text()


@pytest.mark.parametrize("pulse", range(5))
def test_a_stop_inside_a_burst_still_recovers_what_the_burst_has_left(pulse: int) -> None:
    source = program(
        area(
            pulse={"width": "1 ms", "recharge": "passive-after-burst"},
            train={"rate": "40 Hz", "burst": {"pulses": 5, "rate": "500 Hz"}},
        )
    )
    commands = [{"at_ticks": 225_500 + 2000 * pulse, "name": "stop"}]
    report = judged(source, image(source, BENCH), BENCH, 420_000, commands)
    assert report.conforms, report.to_text()
