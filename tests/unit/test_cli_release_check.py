"""What `neurostim release` refuses before a measurement is given, and whose reason a reason is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from neurostim.cli.release_check import (
    LEAST_BATTERY_PERMILLE,
    LEAST_RAMP_NS,
    require_battery,
    require_possible,
)
from neurostim.cli.release_words import Wanted, read_reasons, read_wanted
from neurostim.core.errors import ConfigError, DeviceFault, SafetyError
from neurostim.core.hardware import Capabilities
from neurostim.core.program import Ramp
from neurostim.safety.profiles import profile
from neurostim_sim.home import battery, release

NAMES = ["Walking", "Resting"]
WHY = "bench load, nobody connected"


@pytest.fixture
def able() -> Capabilities:
    return profile("scs")


def wanted(*ranges: str, second: str = "tonic", able: Capabilities) -> list[Wanted]:
    return read_wanted(["Walking=tonic", f"Resting={second}"], ranges, able.grid.step_na)


def test_a_reason_is_read_for_one_warning_of_one_program():
    words = [f'Walking/SAF-DENSITY="{WHY}"', f"Resting/SAF-DENSITY-RANGE={WHY}"]
    assert read_reasons(words, NAMES) == {
        "Walking": {"SAF-DENSITY": WHY},
        "Resting": {"SAF-DENSITY-RANGE": WHY},
    }


@pytest.mark.parametrize(
    "word",
    [
        f"SAF-DENSITY={WHY}",
        f"/SAF-DENSITY={WHY}",
        f"Walking/={WHY}",
        f"Running/SAF-DENSITY={WHY}",
        f"Walking/SAF-NOTHING={WHY}",
        "Walking/SAF-DENSITY",
        "Walking/SAF-DENSITY=",
        "Walking/SAF-DENSITY=ok",
        "",
    ],
)
def test_a_reason_for_no_program_or_warning_and_one_that_says_nothing_are_refused(word):
    with pytest.raises(ConfigError) as refused:
        read_reasons([word], NAMES)
    assert refused.value.code == "acknowledge"


def test_a_second_reason_for_one_warning_is_refused_and_another_program_has_its_own():
    once = f"Walking/SAF-DENSITY={WHY}"
    with pytest.raises(ConfigError):
        read_reasons([once, once], NAMES)
    read_reasons([once, f"Resting/SAF-DENSITY={WHY}"], NAMES)


def test_a_name_with_a_slash_is_refused_for_no_range_could_name_it():
    with pytest.raises(ConfigError) as refused:
        read_wanted(["Walk/run=tonic"], [], 100_000)
    assert refused.value.code == "program-option"


def test_every_range_off_the_grid_is_named_at_once_with_its_program_and_area(able):
    ranges = ["Walking/1=5.05 mA..7 mA by 0.1 mA", "Resting/1=5 mA..7 mA by 0.13 mA"]
    with pytest.raises(ConfigError) as refused:
        require_possible(wanted(*ranges, able=able), read_reasons([], NAMES), able)
    places = [one.place for one in refused.value.problems]
    assert places == ["--range Walking/area 1", "--range Resting/area 1"]
    assert "5.05 mA" in refused.value.problems[0].found


@pytest.mark.parametrize(
    "limits", ["6.1 mA..7 mA", "5 mA..5.9 mA", "7 mA..5 mA", "0 mA..160 mA", "5 mA..7 mA by 0 mA"]
)
def test_a_range_without_the_setting_or_an_order_is_refused(limits, able):
    with pytest.raises(ConfigError):
        require_possible(wanted(f"Walking/1={limits}", able=able), read_reasons([], NAMES), able)


def test_a_range_beyond_a_limit_is_refused_with_the_program_that_has_it(able):
    with pytest.raises(SafetyError) as refused:
        require_possible(wanted("Resting/1=5 mA..20 mA", able=able), read_reasons([], NAMES), able)
    assert refused.value.code == "refused"
    assert "SAF-CONTACT-CURRENT-RANGE" in refused.value.rules
    assert "'Resting'" in refused.value.message
    assert "'Walking'" not in refused.value.message


def test_what_only_a_measurement_decides_is_left_to_it(able):
    require_possible(wanted("Walking/1=5 mA..7 mA", able=able), read_reasons([], NAMES), able)


def test_a_warning_that_no_measurement_takes_away_needs_its_programs_own_reason(able):
    both = wanted(second="burstdr", able=able)
    codes = ["SAF-DENSITY-BURST", "SAF-SHANNON-BURST"]
    others = read_reasons([f"Walking/{code}={WHY}" for code in codes], NAMES)
    with pytest.raises(SafetyError) as refused:
        require_possible(both, others, able)
    assert refused.value.code == "unacknowledged"
    assert list(refused.value.rules) == codes
    assert "of 'Resting'" in refused.value.message
    assert '--acknowledge Resting/SAF-SHANNON-BURST="why"' in refused.value.remedy
    require_possible(both, read_reasons([f"Resting/{code}={WHY}" for code in codes], NAMES), able)


@pytest.mark.parametrize(("level", "goes"), [(151, True), (150, False), (0, False)])
def test_a_battery_that_the_device_would_refuse_is_refused_before_a_measurement(level, goes):
    if goes:
        require_battery(level)
        return
    with pytest.raises(DeviceFault) as refused:
        require_battery(level)
    assert refused.value.code == "battery"


def test_a_start_that_rises_too_fast_does_not_go_home(able):
    one, other = wanted(able=able)
    area = one.program.areas[0]
    fast = replace(one.program, areas=(replace(area, ramp=Ramp(1_999_999_999, area.ramp.down_ns)),))
    with pytest.raises(ConfigError) as refused:
        require_possible([replace(one, program=fast), other], read_reasons([], NAMES), able)
    assert refused.value.problems[0].place.startswith("Walking")


def test_what_the_host_refuses_beforehand_is_what_the_device_refuses():
    assert LEAST_RAMP_NS == release.LEAST_RAMP_NS
    assert LEAST_BATTERY_PERMILLE == battery.LOW_PERMILLE


def test_more_programs_than_the_device_has_slots_and_a_name_too_long_are_refused(able):
    with pytest.raises(ConfigError):
        require_possible(wanted(able=able), read_reasons([], NAMES), replace(able, slots=1))
    words = read_wanted(["A name of seventeen=tonic"], [], able.grid.step_na)
    with pytest.raises(ConfigError):
        require_possible(words, read_reasons([], ["A name of seventeen"]), able)
