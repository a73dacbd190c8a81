"""The preset library against the facts it is made from: every paradigm, its numbers, its source and grade."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from neurostim.core import presets as library
from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.preset_table import PAGE, page
from neurostim.core.program import Area, Program, Ramp, Recharge
from neurostim.core.program_file import dump_program, load_preset, load_program, parse_program, presets
from neurostim.electrode.library import check_contacts, contact_map, lead
from neurostim.safety import gate
from neurostim.safety.profiles import profile

US, MS, S = 1_000, 1_000_000, 1_000_000_000
MA = 1_000_000
SYMMETRIC, PASSIVE, AFTER = Recharge.ACTIVE_SYMMETRIC, Recharge.PASSIVE, Recharge.PASSIVE_AFTER_BURST
ASYMMETRIC, TRIPHASIC = Recharge.ACTIVE_ASYMMETRIC, Recharge.TRIPHASIC

# By hand from the paradigm facts: rate [Hz], width [us] and amplitude [mA] from and to, recharge.
FACTS = {
    "tonic": (50, (200, 450), (2, 10), PASSIVE),
    "burstdr": (40, (1000, 1000), (0.1, 3), AFTER),
    "burstdr-30-90": (40, (1000, 1000), (0.1, 3), AFTER),
    "burstdr-30-360": (40, (1000, 1000), (0.1, 3), AFTER),
    "burst-active": (40, (250, 1000), (0.1, 3), SYMMETRIC),
    "hf10": (10_000, (30, 30), (0.5, 5), SYMMETRIC),
    "hf10-dosing-14": (10_000, (30, 30), (0.5, 5), SYMMETRIC),
    "hf10-dosing-3": (10_000, (30, 30), (0.5, 5), SYMMETRIC),
    "proco-1khz": (1000, (120, 120), (0.5, 5), SYMMETRIC),
    "proco-4khz": (4000, (60, 60), (0.5, 5), SYMMETRIC),
    "proco-7khz": (7000, (40, 40), (0.5, 5), SYMMETRIC),
    "proco-10khz": (10_000, (30, 30), (0.5, 5), SYMMETRIC),
    "crossover-1200hz": (1200, (180, 180), (0.5, 5), SYMMETRIC),
    "crossover-3030hz": (3030, (60, 60), (0.5, 5), SYMMETRIC),
    "crossover-5882hz": (5882, (30, 30), (0.5, 5), SYMMETRIC),
    "high-density-500hz": (500, (500, 500), (0.5, 5), SYMMETRIC),
    "high-density-1khz": (1000, (90, 250), (0.5, 5), SYMMETRIC),
    "fast": (90, (210, 260), (0.5, 5), SYMMETRIC),
    "drg-20hz": (20, (200, 300), (0.3, 1.5), PASSIVE),
    "drg-4hz": (4, (200, 300), (0.3, 1.5), PASSIVE),
    "drg-trial-20hz": (20, (200, 300), (0.3, 1.5), PASSIVE),
    "drg-trial-40hz": (40, (200, 300), (0.3, 1.5), PASSIVE),
    "drg-trial-60hz": (60, (200, 300), (0.3, 1.5), PASSIVE),
    "drg-trial-80hz": (80, (200, 300), (0.3, 1.5), PASSIVE),
    "drg-trial-sham": (20, (200, 300), (0, 0), PASSIVE),
    "ecap-base": (50, (200, 250), (4, 10), TRIPHASIC),
    "pns-12hz": (12, (10, 200), (0.2, 30), ASYMMETRIC),
    "pns-100hz": (100, (10, 200), (0.2, 30), ASYMMETRIC),
    "pns-8-contact": (100, (12, 1000), (0.1, 10), PASSIVE),
    "tens-conventional": (100, (50, 250), (1, 60), SYMMETRIC),
    "tens-low": (2, (50, 250), (1, 60), SYMMETRIC),
    "tens-burst": (2, (50, 250), (1, 60), SYMMETRIC),
    "kilohertz-block": (10_000, (1, 50), (4, 15), SYMMETRIC),
}
BURSTS = {
    "burstdr": (5, 500),
    "burstdr-30-90": (5, 500),
    "burstdr-30-360": (5, 500),
    "burst-active": (4, 450),
    "tens-burst": (8, 100),
}


def only_area(name: str) -> Area:
    (area,) = load_preset(name).areas
    return area


def compiled(program: Program):
    leads = [lead(one) for one in program.leads]
    check_contacts(program, leads)
    capabilities = profile(program.therapy)
    return compile_program(program, capabilities.grid, contact_map(leads)), leads, capabilities


def test_every_paradigm_is_there_and_nothing_else():
    assert set(presets()) == {*FACTS, "multiplexed"}
    assert list(presets()) == sorted(presets())


@pytest.mark.parametrize("name", FACTS)
def test_a_preset_has_the_published_numbers(name):
    rate, widths, amplitudes, recharge = FACTS[name]
    area = only_area(name)
    assert area.train.rate_hz == rate
    assert widths[0] * US <= area.pulse.width_ns <= widths[1] * US
    assert isinstance(area.amplitude, int)
    assert amplitudes[0] * MA <= area.amplitude <= amplitudes[1] * MA
    assert area.pulse.recharge is recharge
    burst = area.train.burst
    assert (None if burst is None else (burst.pulses, burst.rate_hz)) == BURSTS.get(name)


def test_hf10_fills_its_period_as_published():
    area = only_area("hf10")
    grid = profile("scs").grid
    timing = compiled(load_preset("hf10"))[0].area_timing(0)
    parts = (area.pulse.width_ns, area.pulse.interphase_ns, area.pulse.width_ns)
    assert parts == (30 * US, 20 * US, 30 * US)
    assert (timing.interval - timing.pulse_length) * grid.tick_ns == 20 * US


def test_burstdr_leaves_the_published_rest():
    timing = compiled(load_preset("burstdr"))[0].area_timing(0)
    assert (timing.unit_length, timing.interval - timing.unit_length) == (9000, 16_000)


@pytest.mark.parametrize(
    ("name", "on", "off", "duty"),
    [
        ("burstdr-30-90", 30, 90, None),
        ("burstdr-30-360", 30, 360, None),
        ("hf10-dosing-14", None, None, Fraction(14, 100)),
        ("hf10-dosing-3", None, None, Fraction(3, 100)),
    ],
)
def test_cycles_have_the_published_times_or_duty(name, on, off, duty):
    cycle = only_area(name).cycle
    assert cycle is not None
    if duty is None:
        assert (cycle.on_ns, cycle.off_ns) == (on * S, off * S)
    else:
        assert Fraction(cycle.on_ns, cycle.on_ns + cycle.off_ns) == duty


def test_only_cycled_presets_cycle():
    cycled = {name for name in FACTS if only_area(name).cycle is not None}
    assert cycled == {"burstdr-30-90", "burstdr-30-360", "hf10-dosing-14", "hf10-dosing-3"}


# The check table of the paradigm facts, one cathode, no ramps: uC a phase, C a day, to the printed digits.
CHECK_TABLE = {
    "tonic": ("1.80", "7.78"),
    "burstdr": ("1.50", "25.9"),
    "burstdr-30-90": ("1.50", "6.48"),
    "burstdr-30-360": ("1.50", "1.99"),
    "hf10": ("0.09", "77.8"),
    "high-density-500hz": ("1.50", "64.8"),
    "fast": ("0.75", "5.83"),
    "drg-20hz": ("0.24", "0.41"),
}


@pytest.mark.parametrize("name", CHECK_TABLE)
def test_a_preset_reproduces_the_check_table(name):
    phase, day = CHECK_TABLE[name]
    program = load_preset(name)
    # "No ramps" is a matter of the bench; the dose does not depend on the therapy word.
    areas = tuple(replace(area, ramp=Ramp(0, 0)) for area in program.areas)
    grid = profile(program.therapy).grid
    schedule = compile_program(replace(program, areas=areas, therapy="bench"), grid)
    # The printed figure is the mean of a day: windows of 390 s do not divide one.
    (dose,) = schedule.dose(365 * 86_400 * S).areas
    places = len(phase.split(".")[1]), len(day.split(".")[1])
    assert f"{max(one.max_phase_ac for one in dose.contacts) / 10**12:.{places[0]}f}" == phase
    assert f"{dose.stimulation_ac / 365 / 10**18:.{places[1]}f}" == day


@pytest.mark.parametrize("name", presets())
def test_every_preset_has_source_and_grade_and_says_when_it_is_illustrative(name):
    program = load_preset(name)
    assert program.source
    assert program.evidence in ("A", "B", "C")
    assert ("illustrative" in program.name) == (program.evidence == "C")
    assert presets()[name].read_text(encoding="utf-8").startswith("# "), "a note for the reader comes first"


@pytest.mark.parametrize("name", presets())
def test_every_preset_survives_being_written_again(name):
    program = load_preset(name)
    assert parse_program(dump_program(program)) == program
    assert load_program(presets()[name]) == program


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_given_exactly_as_asked_on_its_profile(name):
    schedule, _, _ = compiled(load_preset(name))
    assert schedule.adjustments == ()


@pytest.mark.parametrize("name", presets())
def test_no_rule_refuses_a_preset_on_its_profile(name):
    verdict = gate.check(*compiled(load_preset(name)))
    assert verdict.refused == ()


def test_what_a_clinical_port_cannot_carry_is_for_the_bench_and_nothing_else():
    bench = {name for name in presets() if load_preset(name).therapy == "bench"}
    assert bench == {"proco-4khz", "proco-7khz", "crossover-3030hz", "crossover-5882hz", "kilohertz-block"}
    for name in bench - {"kilohertz-block"}:
        program = replace(load_preset(name), therapy="scs")
        assert gate.check(*compiled(program)).refused, name


def test_the_multiplexed_trains_meet_without_shift_or_drop():
    program = load_preset("multiplexed")
    assert [area.train.rate_hz for area in program.areas] == [300, 50]
    assert all(area.pulse.width_ns <= 200 * US for area in program.areas)
    assert all(sum(share.permille < 0 for share in area.shares) > 1 for area in program.areas)
    schedule, _, _ = compiled(program)
    assert not program.interleave_drop
    assert not schedule.interleave.dropping
    assert [one.worst_shift_ticks for one in schedule.interleave.areas] == [0, 0]


def test_every_pulse_of_the_multiplexed_trains_keeps_its_recovery_to_itself():
    program = load_preset("multiplexed")
    schedule, _, capabilities = compiled(program)
    occupancy = [schedule.area_timing(area).unit_occupancy for area in (0, 1)]
    onsets = sorted(
        ((area.delay_ns // US) + int(k * 1_000_000 / area.train.rate_hz), number)
        for number, area in enumerate(program.areas)
        for k in range(600)
        if k / area.train.rate_hz < 1
    )
    guard = capabilities.guard_ns // US
    for (onset, number), (following, _) in pairwise(onsets):
        assert following - (onset + occupancy[number]) >= guard


def test_unknown_presets_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r'did you mean "tonic"') as caught:
        load_preset("tonik")
    assert "hf10" in caught.value.allowed


def test_a_preset_without_source_or_grade_is_refused(tmp_path, monkeypatch):
    text = presets()["tonic"].read_text(encoding="utf-8")
    bare = "\n".join(line for line in text.splitlines() if not line.startswith(("source", "evidence")))
    (tmp_path / "stimulation").mkdir()
    (tmp_path / "stimulation" / "tonic.toml").write_text(bare, encoding="utf-8")
    monkeypatch.setattr(library, "protocols", lambda folder: tmp_path / folder)
    with pytest.raises(ConfigError) as caught:
        load_preset("tonic")
    assert [problem.place for problem in caught.value.problems] == ["source", "evidence"]


def test_the_reference_page_is_in_step_with_the_files():
    shipped = Path(__file__).resolve().parents[2] / PAGE
    assert shipped.read_text(encoding="utf-8") == page(), (
        "write it again: python -m neurostim.core.preset_table"
    )
