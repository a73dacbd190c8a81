"""The compiler and the judge, written apart from one document, agree on presets and random programs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings

from neurostim.conformance import Report, TraceTable, judge, read_trace
from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.events import write_events
from neurostim.core.image import RETURN_INDEX, Grid
from neurostim.core.program_file import load_preset, parse_program, presets
from neurostim.core.schedule import Schedule
from support.conformance_programs import benches, programs, to_toml
from support.wrong_compilers import Bench

GRIDS = (
    Bench(1000, 10_000, 20, 400),
    Bench(500, 50_000, 40, 800),
    Bench(10_000, 25_000, 2, 40),
    Bench(1000, 1, 5, 100),
)


def judged(
    source: dict[str, Any], schedule: Schedule, bench: Bench, start_ns: int, duration_ns: int
) -> Report:
    blocks = list(schedule.events(start_ns, duration_ns))
    empty = np.empty(0, dtype=np.int64)
    names = ("start_ns", "duration_ns", "contact", "kind", "amplitude_na", "area", "unit", "pulse")
    columns = {
        name: np.concatenate([empty, *(getattr(block, name) for block in blocks)]).astype(np.int64)
        for name in names
    }
    used = np.unique(columns["contact"])
    table = TraceTable(
        start_ns=columns["start_ns"],
        duration_ns=columns["duration_ns"],
        contact=np.searchsorted(used, columns["contact"]).astype(np.int16),
        labels=tuple("return" if index == RETURN_INDEX else str(index) for index in used),
        kind=columns["kind"].astype(np.int8),
        amplitude_na=columns["amplitude_na"],
        area=columns["area"],
        unit=columns["unit"],
        pulse=columns["pulse"],
        charge_ac=np.zeros_like(columns["area"]),
    )
    sidecar = {
        "format": "neurostim-trace/1",
        "tick_ns": bench.tick_ns,
        "step_na": bench.step_na,
        "guard_ticks": bench.guard,
        "recovery_min_ticks": bench.recovery_min,
        "time_base": "program",
        "contacts": "device",
        "from_ticks": -(-start_ns // bench.tick_ns),
        "end_ticks": -(-(start_ns + duration_ns) // bench.tick_ns),
        "rows": len(table),
        "commands": [],
    }
    return judge(source, table, sidecar)


def grid(bench: Bench) -> Grid:
    return Grid(
        tick_ns=bench.tick_ns,
        step_na=bench.step_na,
        guard_ticks=bench.guard,
        recovery_min_ticks=bench.recovery_min,
    )


@pytest.mark.parametrize("name", sorted(presets()))
def test_every_preset_as_compiled_conforms_on_several_grids(name: str) -> None:
    source = tomllib.loads(presets()[name].read_text(encoding="utf-8"))
    program = load_preset(name)
    for bench in GRIDS:
        schedule = compile_program(program, grid(bench))
        report = judged(source, schedule, bench, 0, 2_500_000_000)
        assert report.conforms, f"{bench}\n{report.to_text()}"


@pytest.mark.parametrize("name", ["tonic", "burstdr-30-90", "hf10-dosing-14", "multiplexed"])
def test_a_second_of_hour_23_as_compiled_conforms(name: str) -> None:
    source = tomllib.loads(presets()[name].read_text(encoding="utf-8"))
    schedule = compile_program(load_preset(name), grid(GRIDS[0]))
    # Microseconds past the hour, so that the cut falls between the phases of a pulse too.
    report = judged(source, schedule, GRIDS[0], 23 * 3600 * 10**9 + 47_000, 1_000_000_000)
    assert report.conforms, report.to_text()


@pytest.mark.parametrize("name", sorted(presets()))
def test_the_event_table_of_every_preset_is_read_and_conforms(name: str, tmp_path: Path) -> None:
    source = tomllib.loads(presets()[name].read_text(encoding="utf-8"))
    schedule = compile_program(load_preset(name), grid(GRIDS[0]))
    for path, start_ns in ((tmp_path / "a.csv", 0), (tmp_path / "b.npz", 3_600_000_047_000)):
        rows = write_events(schedule, path, start_ns=start_ns, duration_ns=200_000_000)
        table, sidecar = read_trace(path)
        report = judge(source, table, sidecar)
        assert (report.rows, report.conforms) == (rows, True), report.to_text()


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(programs(), benches)
def test_any_program_as_compiled_conforms(source: dict[str, Any], bench: Bench) -> None:
    program = parse_program(to_toml(source))
    try:
        schedule = compile_program(program, grid(bench))
    except ConfigError as error:
        event(f"refused: {error.problems[0].place if error.problems else error.message}")
        assume(False)
    report = judged(source, schedule, bench, 0, 420_000_000)
    assert report.conforms, report.to_text()
