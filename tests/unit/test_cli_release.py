"""What `neurostim release` makes of its words."""

from __future__ import annotations

import pytest

from neurostim.cli.release_words import read_wanted
from neurostim.core.errors import ConfigError
from neurostim.core.program_file import load_preset
from neurostim.safety.context import AmplitudeRange

STEP_NA = 100_000
SETTING_NA = load_preset("tonic").areas[0].amplitude
AREA = load_preset("tonic").areas[0].name
RELATIVE = """
format = "neurostim-program/1"
name = "Of a mark"
therapy = "scs"
lead = "octrode"

[[area]]
name = "main"
amplitude = { of = "perception", percent = "80 %", mark = "M-1" }
contacts = { "3" = "-100 %", "5" = "+100 %" }
pulse = { width = "300 us", recharge = "passive" }
train = { rate = "50 Hz" }
"""


def range_word(limits: str, name: str = "Walking", area: str = AREA) -> str:
    return f"{name}/{area}={limits}"


@pytest.mark.hazard("posture")
def test_without_a_range_the_patient_has_on_and_off_only():
    [one] = read_wanted(["Walking=tonic"], [], STEP_NA)
    assert one.ranges == (AmplitudeRange(0, SETTING_NA, SETTING_NA, STEP_NA),)


def test_a_range_is_read_with_its_units_and_step():
    words = [range_word("2 mA..6.0 mA by 200 uA")]
    [one] = read_wanted(["Walking=tonic"], words, STEP_NA)
    assert one.ranges == (AmplitudeRange(0, 2_000_000, 6_000_000, 200_000),)


def test_an_area_may_be_counted_from_one():
    [one] = read_wanted(["Walking=tonic"], [range_word("2 mA..6 mA", area="1")], STEP_NA)
    assert one.ranges[0].area == 0


@pytest.mark.parametrize("place", ["0", "2", "-1", "1.0"])
def test_a_place_without_an_area_is_refused(place):
    with pytest.raises(ConfigError):
        read_wanted(["Walking=tonic"], [range_word("2 mA..6 mA", area=place)], STEP_NA)


def test_the_step_is_the_devices_where_none_is_given():
    [one] = read_wanted(["Walking=tonic"], [range_word("2 mA..6 mA")], STEP_NA)
    assert one.ranges[0].step_na == STEP_NA


def test_programs_keep_their_order_and_ranges_their_program():
    words = [range_word("2 mA..6 mA", name="Resting")]
    walking, resting = read_wanted(["Walking=tonic", "Resting=tonic"], words, STEP_NA)
    assert (walking.name, resting.name) == ("Walking", "Resting")
    assert walking.ranges[0].min_na == SETTING_NA
    assert resting.ranges[0].min_na == 2_000_000


@pytest.mark.parametrize("words", [["tonic"], ["=tonic"], ["Walking="], ["Walking=tonic", "Walking=tonic"]])
def test_a_program_has_a_name_of_its_own_and_a_file(words):
    with pytest.raises(ConfigError) as refused:
        read_wanted(words, [], STEP_NA)
    assert refused.value.code == "program-option"


@pytest.mark.parametrize(
    "words",
    [
        range_word("2 mA"),
        range_word("2..6"),
        range_word("2 mA..6 mA", name="Running"),
        range_word("2 mA..6 mA", area="nowhere"),
        range_word("2 mA..6 mA by 3"),
        range_word("2 mA..six mA"),
        range_word("-2 mA..6 mA"),
        "Walking",
        "",
    ],
)
def test_a_range_that_is_off_is_refused_with_an_example(words):
    with pytest.raises(ConfigError) as refused:
        read_wanted(["Walking=tonic"], [words], STEP_NA)
    assert refused.value.allowed


def test_two_ranges_of_one_area_are_refused():
    with pytest.raises(ConfigError):
        read_wanted(["Walking=tonic"], [range_word("2 mA..6 mA"), range_word("1 mA..6 mA")], STEP_NA)


@pytest.mark.hazard("threshold-width")
def test_a_relative_amplitude_is_not_released(tmp_path):
    path = tmp_path / "relative.toml"
    path.write_text(RELATIVE, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        read_wanted([f"Walking={path}"], [], STEP_NA)
    assert refused.value.code == "relative-amplitude", str(refused.value)
