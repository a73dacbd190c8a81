"""The judge agrees with a literal pulse-by-pulse expander over random programs, grids and commands."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from neurostim.conformance import TraceTable, judge
from support.conformance_programs import benches, programs
from support.wrong_compilers import Bench, expand

HORIZON_NS = 420_000_000


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(programs(), benches)
def test_a_literal_expansion_of_any_program_conforms(program: dict[str, Any], bench: Bench) -> None:
    rows, sidecar = expand(program, HORIZON_NS // bench.tick_ns, bench)
    report = judge(program, TraceTable.from_rows(rows, extra=True), sidecar)
    assume(report.check("program").passed)
    assert report.conforms, report.to_text()


@st.composite
def command_logs(draw: st.DrawFn, areas: int, tick_ns: int) -> list[dict[str, Any]]:
    times = sorted(draw(st.lists(st.integers(1, HORIZON_NS // 2 // tick_ns), min_size=1, max_size=3)))
    log: list[dict[str, Any]] = []
    for at in times:
        kind = draw(st.sampled_from(["set_amplitude", "set_amplitude", "soft_stop", "ramp_down"]))
        entry: dict[str, Any] = {"at_ticks": at, "name": kind}
        if kind == "set_amplitude":
            entry |= {
                "area": draw(st.integers(0, areas - 1)),
                "amplitude_na": draw(st.integers(0, 6_000_000)),
            }
        elif kind == "ramp_down":
            entry["within_ns"] = draw(st.sampled_from([20_000_000, 200_000_000]))
        log.append(entry)
    if draw(st.booleans()):
        at = draw(st.integers(times[-1], HORIZON_NS // tick_ns - 1))
        log.append({"at_ticks": at, "name": draw(st.sampled_from(["stop", "emergency_stop", "power_lost"]))})
    return log


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data(), programs(), benches)
def test_a_literal_expansion_under_any_command_log_conforms(
    data: st.DataObject, program: dict[str, Any], bench: Bench
) -> None:
    commands = data.draw(command_logs(len(program["area"]), bench.tick_ns))
    rows, sidecar = expand(program, HORIZON_NS // bench.tick_ns, bench, commands=commands)
    report = judge(program, TraceTable.from_rows(rows, extra=True), sidecar)
    assume(report.check("program").passed)
    assert report.conforms, report.to_text()
