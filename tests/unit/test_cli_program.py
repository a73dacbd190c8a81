"""The program commands as a person and as another program use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from neurostim.cli import exits
from neurostim.cli.program import app
from neurostim.core.errors import ConfigError
from neurostim.core.program_file import load_preset, load_program, parse_program, presets
from support.programs import VALID, swap


def invoke(*arguments: str | Path) -> Result:
    """Run a command; what it raises on purpose comes out as it is."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def ask(*arguments: str | Path) -> Any:
    """Run a command with ``--json`` and read its answer."""
    result = invoke(*arguments, "--json")
    return json.loads(result.stdout)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(VALID, encoding="utf-8")
    return path


def test_list_names_every_preset_with_its_grade():
    text = invoke("list").stdout
    rows = {line.split()[0]: line for line in text.splitlines() if line.split()}
    assert set(presets()) <= set(rows)
    assert rows["hf10"].split()[1:3] == ["scs", "B"]
    assert "(illustrative)" in rows["multiplexed"]


def test_list_keeps_each_preset_on_one_line_when_piped():
    lines = invoke("list").stdout.splitlines()
    assert len(lines) == len(presets()) + 2


def test_list_as_json_and_by_therapy():
    found = ask("list", "--therapy", "drg")
    assert {one["preset"] for one in found} == {name for name in presets() if name.startswith("drg")}
    assert all(one["therapy"] == "drg" for one in found)
    with pytest.raises(ConfigError, match="spine"):
        invoke("list", "--therapy", "spine")


def test_show_says_what_a_file_says(file):
    text = invoke("show", file).stdout
    for part in (
        "Test program",
        "octrode",
        "20 min",
        "1.5 mA",
        "3 -100 %",
        "40 Hz",
        "300 us",
        "recharge passive",
    ):
        assert part in text


def test_show_as_json_is_exact_integers_and_rates():
    found = ask("show", "burstdr-30-90")
    (area,) = found["areas"]
    assert area["amplitude_na"] == 1_500_000
    assert area["shares_permille"] == {"3": -1000, "5": 1000}
    assert area["rate_hz"] == "40"
    assert area["burst"] == {"pulses": 5, "rate_hz": "500"}
    assert area["cycle"] == {"on_ns": 30_000_000_000, "off_ns": 90_000_000_000}


def test_show_as_toml_is_a_program_file(file):
    assert parse_program(invoke("show", file, "--toml").stdout) == load_program(file)


def test_show_knows_relative_amplitudes_intervals_and_ratios(file):
    text = swap('"1.5 mA"', '{ of = "perception", percent = "60.5 %", mark = "m-1" }')
    text = swap(
        'rate = "40 Hz"', 'interval = "3 s"', swap('"passive"', '"active-asymmetric", ratio = 4', text)
    )
    file.write_text(text, encoding="utf-8")
    shown = invoke("show", file).stdout
    for part in ("60.5 % of the perception mark m-1", "every 3 s", "active-asymmetric 1:4"):
        assert part in shown


def test_text_of_a_file_is_never_taken_for_markup(file):
    file.write_text(swap("Test program", "[red]loud[/red] [/]"), encoding="utf-8")
    assert "[red]loud[/red] [/]" in invoke("show", file).stdout
    assert "[red]loud[/red] [/]" in invoke("check", file).stdout


def test_a_file_is_taken_for_a_preset_only_by_its_bare_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tonic.toml").write_text(VALID, encoding="utf-8")
    assert ask("show", "tonic")["name"] == load_preset("tonic").name
    assert ask("show", "tonic.toml")["name"] == "Test program"
    assert ask("show", "./tonic.toml")["name"] == "Test program"
    with pytest.raises(ConfigError, match="did you mean"):
        invoke("show", "tonik")
    with pytest.raises(ConfigError, match="nothing at this path"):
        invoke("show", "tonik.toml")


def test_check_passes_a_preset_and_shows_all_rules_side_by_side():
    result = invoke("check", "tonic")
    assert result.exit_code == exits.OK
    for part in (
        "Charge density of a phase",
        "Shannon k of a phase",
        "Current of a contact",
        "Margin",
        "7.78 C a day",
    ):
        assert part in result.stdout


def test_check_refuses_with_its_own_exit_code(file):
    file.write_text(swap('"1.5 mA"', '"25 mA"', swap('"300 us"', '"1 ms"')), encoding="utf-8")
    result = invoke("check", file)
    assert result.exit_code == exits.SAFETY
    assert "REFUSE" in result.stdout
    found = ask("check", file)
    assert found["refused"] is True
    assert "SAF-DENSITY" in {one["code"] for one in found["findings"] if one["severity"] == "refuse"}


def test_check_tells_which_warnings_need_a_reason():
    text = invoke("check", "burstdr").stdout
    assert "7.5 uC before recovery" in text
    assert '--acknowledge SAF-DENSITY-BURST="..."' in text
    assert "SAF-DENSITY-BURST" in ask("check", "burstdr")["to_acknowledge"]


def test_check_on_another_profile_judges_by_that_device():
    assert invoke("check", "proco-4khz").exit_code == exits.OK
    assert invoke("check", "proco-4khz", "--profile", "scs").exit_code == exits.SAFETY
    with pytest.raises(ConfigError, match="spine"):
        invoke("check", "tonic", "--profile", "spine")


def test_check_names_contacts_and_leads_that_do_not_exist(file):
    file.write_text(swap("5 =", "9 ="), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"area\[1\].contacts.9"):
        invoke("check", file)
    file.write_text(swap('"octrode"', '"octrodes"'), encoding="utf-8")
    with pytest.raises(ConfigError, match="octrode"):
        invoke("check", file)


def test_check_reports_what_the_grid_changes(file):
    file.write_text(swap('"300 us"', '"300400 ns"'), encoding="utf-8")
    (change,) = ask("check", file)["adjustments"]
    assert change == {"place": "area[1].pulse.width", "asked": "300.4 us", "given": "300 us"}
    assert "gives 300 us where area[1].pulse.width asks for 300.4 us" in invoke("check", file).stdout


def test_check_reports_how_areas_share_the_output():
    areas = ask("check", "multiplexed")["interleave"]["areas"]
    assert [one["worst_shift_ns"] for one in areas] == [0, 0]
    assert "base: moved by at most 0 s" in invoke("check", "multiplexed").stdout


def test_the_dose_of_a_short_program_is_that_of_all_of_it(file):
    assert "in all" in invoke("check", file).stdout
    found = ask("check", file)
    assert found["dose_ns"] == 20 * 60 * 10**9
    assert int(found["dose"][0]["pulses"]) < 20 * 60 * 40


def test_new_writes_a_checked_program(tmp_path):
    out = tmp_path / "new.toml"
    result = invoke("new", out, "--lead", "linear-8", "--therapy", "scs", "--amplitude", "2.5 mA")
    assert result.exit_code == exits.OK
    assert f"Written to {out}" in result.stdout
    program = load_program(out)
    assert program.leads == ("linear-8",)
    assert program.therapy == "scs"
    (area,) = program.areas
    assert area.amplitude == 2_500_000
    assert [(one.contact, one.permille) for one in area.shares] == [("4", -1000), ("5", 1000)]
    assert area.train == load_preset("tonic").areas[0].train


@pytest.mark.parametrize(
    ("therapy", "lead"),
    [
        ("scs", "penta"),
        ("drg", "slimtip-drg"),
        ("pns", "open-coil"),
        ("tens", "surface-pair"),
        ("bench", "nerve-cuff"),
    ],
)
def test_new_begins_something_deliverable_for_every_therapy(tmp_path, therapy, lead):
    out = tmp_path / "new.toml"
    result = invoke("new", out, "--lead", lead, "--therapy", therapy, "--amplitude", "0.5 mA")
    assert result.exit_code == exits.OK
    assert load_program(out).therapy == therapy


def test_new_takes_waveform_contacts_and_name_as_told(tmp_path):
    out = tmp_path / "new.toml"
    contacts = "1 = -50 %, 2 = -50 %, 4 = 100 %"
    ask(
        "new", out, "--lead", "octrode", "--therapy", "scs", "--amplitude", "1 mA",
        "--like", "burstdr-30-90", "--contacts", contacts, "--name", "Low back",
    )  # fmt: skip
    program = load_program(out)
    assert program.name == "Low back"
    assert [(one.contact, one.permille) for one in program.areas[0].shares] == [
        ("1", -500),
        ("2", -500),
        ("4", 1000),
    ]
    assert program.areas[0].cycle == load_preset("burstdr-30-90").areas[0].cycle


def test_new_reports_every_wrong_choice_at_once_and_writes_nothing(tmp_path):
    out = tmp_path / "new.toml"
    with pytest.raises(ConfigError) as caught:
        invoke("new", out, "--lead", "octrod", "--therapy", "spine", "--amplitude", "2", "--like", "tonik",
               "--contacts", "1")  # fmt: skip
    places = [problem.place for problem in caught.value.problems]
    assert places == ["--therapy", "--lead", "--amplitude", "--like", "--contacts"]
    assert not out.exists()


def test_new_refuses_a_waveform_of_several_areas_and_contacts_that_are_not_there(tmp_path):
    out = tmp_path / "new.toml"
    given = ("--lead", "octrode", "--therapy", "scs", "--amplitude", "1 mA")
    with pytest.raises(ConfigError, match="2 areas"):
        invoke("new", out, *given, "--like", "multiplexed")
    with pytest.raises(ConfigError, match=r"contacts\.9"):
        invoke("new", out, *given, "--contacts", "3 = -100 %, 9 = 100 %")
    with pytest.raises(ConfigError, match=r"sum to -50 %"):
        invoke("new", out, *given, "--contacts", "3 = -50 %, 5 = 100 %")
    with pytest.raises(ConfigError, match="the contact 3 a second time"):
        invoke("new", out, *given, "--contacts", "3 = -50 %, 3 = -50 %, 5 = 100 %")
    assert not out.exists()


def test_new_tells_that_the_amplitude_is_refused(tmp_path):
    out = tmp_path / "new.toml"
    result = invoke("new", out, "--lead", "octrode", "--therapy", "scs", "--amplitude", "25 mA")
    assert result.exit_code == exits.SAFETY
    assert "REFUSE" in result.stdout


def test_new_never_writes_over_a_file_unless_told(file):
    given = ("--lead", "octrode", "--therapy", "scs", "--amplitude", "1 mA")
    with pytest.raises(ConfigError, match="is there already"):
        invoke("new", file, *given)
    assert file.read_text(encoding="utf-8") == VALID
    invoke("new", file, *given, "--force")
    assert file.read_text(encoding="utf-8") != VALID


def test_new_without_a_terminal_names_the_options_that_are_missing(tmp_path):
    with pytest.raises(ConfigError) as caught:
        invoke("new", tmp_path / "new.toml", "--therapy", "scs")
    assert [problem.place for problem in caught.value.problems] == ["--lead", "--amplitude"]


def test_new_where_it_cannot_write_says_so(tmp_path):
    given = ("--lead", "octrode", "--therapy", "scs", "--amplitude", "1 mA")
    with pytest.raises(ConfigError, match="cannot be written"):
        invoke("new", tmp_path / "no" / "folder.toml", *given)


def test_the_three_charge_warnings_are_told_apart():
    told = invoke("check", "tonic", "--range", "0 mA .. 12.5 mA by 0.1 mA", "--saved", "burstdr").stdout
    assert "charge warnings of the setting: none" in told
    assert "SAF-DENSITY-RANGE" in told.partition("charge warnings of the range: ")[2].splitlines()[0]
    assert "SAF-DENSITY-BURST" in told.partition("charge warnings of burstdr: ")[2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4 mA",
        "0 .. 4",
        "0 mA .. 4 mA",
        "0 mA .. nan mA by 1 mA",
        "7 mA .. 9 mA by 0.1 mA",
        "0 mA .. 8 mA by 0.1 uA",
    ],
)
def test_a_range_that_cannot_be_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        invoke("check", "tonic", "--range", text)
    assert caught.value.problems
    assert "found found" not in str(caught.value)


def test_a_file_with_the_name_of_a_preset_is_not_passed_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tonic").write_text(VALID, encoding="utf-8")
    with pytest.raises(ConfigError, match="same name"):
        invoke("show", "tonic")
    assert ask("show", "./tonic")["name"] == parse_program(VALID).name
