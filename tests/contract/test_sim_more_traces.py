"""The device's own trace files, whatever ends the dose and whenever, before the independent judge."""

from __future__ import annotations

import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from neurostim.conformance import Report, judge, read_trace
from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.image import ProgramImage
from neurostim.core.program_file import load_preset, parse_program, presets
from neurostim.wire import messages as m
from neurostim_sim.profiles import profile
from support.conformance_programs import area, program, programs, to_toml
from support.sim_bench import MS, STEP_NA, SimHost, device

HIGH_RAIL_MV = 10_000_000
BURST = program(
    area(
        pulse={"width": "1 ms", "interphase": "100 us", "recharge": "passive-after-burst"},
        train={"rate": "40 Hz", "burst": {"pulses": 5, "rate": "500 Hz"}},
        ramp={"up": "0 s", "down": "1 s"},
    )
)
ACTIVE = program(
    area(
        pulse={"width": "300 us", "interphase": "50 us", "recharge": "active-asymmetric", "ratio": 4},
        ramp={"up": "0 s", "down": "1 s"},
    ),
    area(train={"rate": "33.3 Hz"}, contacts={"1": "-100 %", "8": "+100 %"}, priority=2, delay="2 ms"),
)


def image_of(source: dict[str, Any], name: str = "bench") -> ProgramImage:
    return compile_program(parse_program(to_toml(source)), profile(name).capabilities.grid).image


def verdict(folder: Path, source: dict[str, Any], dose: int = 1) -> tuple[Report, dict[str, Any]]:
    table, sidecar = read_trace(folder / f"SIM-dose{dose:04}.npz")
    assert len(table) == sidecar["rows"]
    return judge(source, table, sidecar), dict(sidecar)


def end(host: SimHost, how: str, at_ns: int) -> None:
    """End a dose at a moment in one of the ways there are, and let everything become quiet."""
    core = host.core
    match how:
        case "dead-man":
            host.silent_until(at_ns)
        case "soft stop" | "soft stop, then dead-man" | "soft stop, then emergency":
            host.live_until(at_ns)
            host.ask(m.SoftStop())
            if how.endswith("emergency"):
                host.live_until(at_ns + 31_234_567)
                host.ask(m.EmergencyStop())
            if how == "soft stop":
                host.live_until(at_ns + 2_500 * MS)
        case "stop" | "stop, then emergency":
            host.live_until(at_ns)
            host.ask(m.Stop())
            if how.endswith("emergency"):
                host.live_until(at_ns + 312_345)
                host.ask(m.EmergencyStop())
        case "emergency":
            host.live_until(at_ns)
            host.ask(m.EmergencyStop())
        case "dose runs out":
            host.live_until(at_ns)
        case "hang":
            host.live_until(at_ns)
            core.inject(how, at_ns)
        case _:
            host.live_until(at_ns)
            core.inject(how, at_ns)
            host.live_until(at_ns + (1_100 * MS if how == "stuck-sensor" else 0))
    host.silent_until(max(host.now_ns, at_ns) + 3_000 * MS)
    core.close()


ENDS = [
    "dead-man",
    "soft stop",
    "soft stop, then dead-man",
    "soft stop, then emergency",
    "stop",
    "stop, then emergency",
    "emergency",
    "reset",
    "brown-out",
    "dead-battery",
    "hang",
    "unplug-lead",
    "stuck-sensor",
    "dose runs out",
]
EXPECTED = {
    "dead-man": "ramp_down",
    "soft stop": "soft_stop",
    "soft stop, then dead-man": "ramp_down",
    "soft stop, then emergency": "emergency_stop",
    "stop": "stop",
    "stop, then emergency": "emergency_stop",
    "emergency": "emergency_stop",
    "reset": "power_lost",
    "brown-out": "power_lost",
    "dead-battery": "fault",
    "hang": "fault",
    "unplug-lead": "fault",
    "stuck-sensor": "emergency_stop",
}


@pytest.mark.parametrize("how", EXPECTED)
@pytest.mark.parametrize("name", ["burst", "active"])
@pytest.mark.parametrize("moment", [0, 1, 2, 3])
def test_every_end_at_moments_inside_pulses_conforms(
    name: str, how: str, moment: int, tmp_path: Path
) -> None:
    source = BURST if name == "burst" else ACTIVE
    host = SimHost(device(rail_mv=HIGH_RAIL_MV, traces=tmp_path))
    start = host.start(image_of(source))
    # Onsets are 25 and 20 ms apart; these moments are in a phase, in a gap and in recharge or recovery.
    inside = (
        (500_500, 2_950_500, 6_700_000, 340_500) if name == "burst" else (150_500, 325_500, 900_000, 1_600)
    )
    end(host, how, start + 500 * MS + inside[moment])
    report, sidecar = verdict(tmp_path, source)
    assert report.conforms, report.to_text()
    assert EXPECTED[how] in [one["name"] for one in sidecar["commands"]]


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data(), programs(), st.sampled_from(ENDS), st.integers(0, 600 * MS))
def test_any_program_with_steps_and_any_end_conforms(
    data: st.DataObject, source: dict[str, Any], how: str, after_ns: int
) -> None:
    try:
        image = image_of(source)
    except ConfigError:
        assume(False)
    with tempfile.TemporaryDirectory() as name:
        host = SimHost(device(rail_mv=HIGH_RAIL_MV, traces=Path(name)))
        start = host.start(image)
        present = [one.amplitude_na for one in image.areas]
        for at in sorted(data.draw(st.lists(st.integers(0, after_ns), max_size=3))):
            host.live_until(start + at)
            index = data.draw(st.integers(0, len(present) - 1))
            steps = data.draw(st.integers(-1, present[index] // STEP_NA))
            wanted = present[index] - steps * STEP_NA
            reply = host.ask(m.SetAmplitude(1, index, present[index], wanted))
            if isinstance(reply, m.SetAmplitudeReply):
                present[index] = wanted
        end(host, how, start + after_ns)
        report, _ = verdict(Path(name), source)
    assert report.conforms, report.to_text()


@pytest.mark.long
@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data(), programs(), st.sampled_from(ENDS), st.integers(0, 600 * MS))
def test_a_great_many_programs_with_steps_and_ends_conform(
    data: st.DataObject, source: dict[str, Any], how: str, after_ns: int
) -> None:
    test_any_program_with_steps_and_any_end_conforms.hypothesis.inner_test(data, source, how, after_ns)


@pytest.mark.hazard("imbalance")
@pytest.mark.parametrize("name", ["burst", "active"])
def test_a_mismatch_of_the_recharge_source_fails_the_balance_of_active_recharge(
    name: str, tmp_path: Path
) -> None:
    source = BURST if name == "burst" else ACTIVE
    host = SimHost(device(rail_mv=HIGH_RAIL_MV, traces=tmp_path))
    start = host.start(image_of(source))
    host.live_until(start + 300 * MS)
    host.core.inject("mismatch", host.now_ns)
    end(host, "stop", start + 700 * MS)
    report, _ = verdict(tmp_path, source)
    # Passive recovery does not come from the source.
    assert set(report.failures) == (set() if name == "burst" else {"balance", "charge", "amplitude", "grid"})
    assert not host.of(m.Fault)


@pytest.mark.hazard("imbalance")
def test_ten_kilohertz_with_one_percent_of_mismatch_leaves_nine_microamperes_and_is_stopped_at_once(
    tmp_path: Path,
) -> None:
    source = program(
        area(
            amplitude="3 mA",
            pulse={"width": "30 us", "recharge": "active-symmetric"},
            train={"rate": "10 kHz"},
            ramp={"up": "0 s", "down": "0 s"},
        )
    )
    core = device(rail_mv=HIGH_RAIL_MV, traces=tmp_path)
    core.inject("mismatch", 0)
    host = SimHost(core)
    start = host.start(image_of(source))
    host.live_until(start + 1_000 * MS)
    [told] = host.of(m.Fault)
    assert told.fault is m.FaultCode.CHARGE_IMBALANCE
    assert told.contact in (3, 5)
    assert abs(abs(told.value) - 9_000) <= 100
    table, _ = read_trace(tmp_path / "SIM-dose0001.npz")
    driven = table.start_ns[table.kind != 2]
    assert driven.max() <= 40 * MS


def test_clipping_is_told_counted_and_fails_the_judge(tmp_path: Path) -> None:
    source = program(area(amplitude="6 mA", ramp={"up": "0 s", "down": "60 ms"}))
    host = SimHost(device(traces=tmp_path, series_ohm={3: 3500}))
    start = host.start(image_of(source))
    end(host, "stop", start + 500 * MS)
    [told] = host.of(m.Compliance)
    assert told.contact in (3, 5)
    assert abs(told.commanded_na) == 6_000_000
    assert 0 < abs(told.delivered_na) < 6_000_000
    assert host.core.memory.doses[-1].clipped == 25
    report, _ = verdict(tmp_path, source)
    assert "amplitude" in report.failures
    assert "closure" not in report.failures


@pytest.mark.parametrize("fault", ["open:5", "short:3"])
def test_three_open_or_short_pulses_latch_give_nothing_to_others_and_are_judged(
    fault: str, tmp_path: Path
) -> None:
    source = program(
        area(contacts={"3": "-100 %", "5": "+50 %", "6": "+50 %"}, ramp={"up": "0 s", "down": "60 ms"})
    )
    host = SimHost(device(traces=tmp_path))
    start = host.start(image_of(source))
    host.live_until(start + 500 * MS)
    host.core.inject(fault, host.now_ns)
    end(host, "dose runs out", start + 900 * MS)
    [told] = host.of(m.Fault)
    assert told.fault is (m.FaultCode.OPEN_CIRCUIT if fault == "open:5" else m.FaultCode.SHORT_CIRCUIT)
    assert told.contact == int(fault[-1])
    table, _ = read_trace(tmp_path / "SIM-dose0001.npz")
    late = (table.start_ns >= 500 * MS) & (table.kind == 0)
    assert len({int(at) for at in table.start_ns[late]}) == 3
    largest = dict.fromkeys(table.labels, 0)
    for column, amplitude in zip(table.contact[late], table.amplitude_na[late], strict=True):
        label = table.labels[column]
        largest[label] = max(largest[label], abs(int(amplitude)))
    assert largest["6"] <= 1_000_000
    report, _ = verdict(tmp_path, source)
    assert "closure" not in report.failures
    if fault == "open:5":
        assert "amplitude" in report.failures
        assert max(largest.values()) < 100_000
    else:
        assert report.conforms, report.to_text()


@pytest.mark.parametrize("ppm", [-180, 40, 150])
def test_the_record_of_a_free_observer_conforms_and_shows_the_clocks_error(ppm: int, tmp_path: Path) -> None:
    source = tomllib.loads(presets()["tonic"].read_text(encoding="utf-8"))
    image = compile_program(load_preset("tonic"), profile("scs").capabilities.grid).image
    host = SimHost(device("scs", traces=tmp_path, time_base="free", ppm=ppm))
    start = host.start(image)
    host.live_until(start + 4_000 * MS)
    end(host, "soft stop", start + 6_000 * MS)
    report, _ = verdict(tmp_path, source)
    assert report.conforms, report.to_text()
    assert report.clock is not None
    assert report.clock.ppm == pytest.approx(ppm, abs=1)
