"""Event tables as the compile command writes them: columns, selection, sidecar, labels; and they conform."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from neurostim.cli.program import app
from neurostim.conformance import judge, read_trace
from neurostim.core.errors import ConfigError
from neurostim.core.program_file import presets
from support.programs import swap

Rows = list[dict[str, str]]


def compile_to(out: Path, *arguments: str | Path) -> Any:
    result = CliRunner().invoke(app, ["compile", *map(str, arguments), "--out", str(out), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def rows(path: Path) -> Rows:
    with path.open(encoding="ascii", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(swap('"20 min"', '"3 s"'), encoding="utf-8")
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "events.csv"


def test_a_table_has_the_columns_and_first_pulse_of_the_format(table):
    report = compile_to(table, "tonic", "--for", "30 ms")
    assert table.read_text(encoding="ascii").splitlines() == [
        "start_ns,duration_ns,contact,kind,amplitude_na",
        "20000000,300000,3,stim,-60000",
        "20000000,300000,5,stim,60000",
        "20300000,19680000,3,passive,0",
        "20300000,19680000,5,passive,0",
    ]
    assert report["rows"] == 4


def test_a_selection_takes_what_starts_in_it_and_cuts_nothing(table):
    compile_to(table, "tonic", "--from", "10.0201 s", "--for", "40 ms")
    found = rows(table)
    assert [one["start_ns"] for one in found] == ["10020300000", "10020300000", *["10040000000"] * 2] + [
        "10040300000"
    ] * 2 + ["10060000000"] * 2
    assert found[0]["duration_ns"] == "19680000"


def test_parts_of_a_table_join_to_the_whole(tmp_path):
    whole, first, second = (tmp_path / name for name in ("whole.csv", "first.csv", "second.csv"))
    compile_to(whole, "multiplexed", "--for", "700 ms")
    compile_to(first, "multiplexed", "--for", "333333333 ns")
    compile_to(second, "multiplexed", "--from", "333333333 ns", "--for", "366666667 ns")
    assert rows(first) + rows(second) == rows(whole)


def test_without_a_length_a_program_with_an_end_is_written_whole(file, table):
    compile_to(table, file)
    found = rows(table)
    last = max(int(one["start_ns"]) for one in found if one["kind"] == "stim")
    assert last == 2_975_000_000
    units = {one["start_ns"] for one in found if one["kind"] == "stim"}
    assert len(units) == 119, "120 units, the first of the ramp without current"


def test_a_program_without_an_end_needs_a_length(table):
    with pytest.raises(ConfigError, match="until stopped"):
        compile_to(table, "tonic")
    assert not table.exists()


def test_npz_holds_what_csv_holds(tmp_path):
    text, binary = tmp_path / "events.csv", tmp_path / "events.npz"
    for out in (text, binary):
        compile_to(out, "ecap-base", "--for", "500 ms")
    with np.load(binary, allow_pickle=False) as found:
        columns = {name: found[name].tolist() for name in found.files}
    expected = rows(text)
    assert list(columns) == ["start_ns", "duration_ns", "contact", "kind", "amplitude_na"]
    for name, values in columns.items():
        assert [str(value) for value in values] == [one[name] for one in expected]


def test_the_sidecar_carries_grid_digest_and_selection(table):
    report = compile_to(
        table, "hf10", "--from", "2 s", "--for", "1 ms", "--tick", "500 ns", "--step", "20 uA",
        "--guard", "10.3 us", "--recovery-min", "300 us",
    )  # fmt: skip
    sidecar = json.loads(table.with_suffix(".json").read_text(encoding="utf-8"))
    assert sidecar["format"] == "neurostim-events/1"
    assert (sidecar["tick_ns"], sidecar["step_na"]) == (500, 20_000)
    assert (sidecar["guard_ticks"], sidecar["recovery_min_ticks"]) == (21, 600), "rounded up to ticks"
    assert sidecar["image_sha256"] == report["image_sha256"]
    assert len(report["image_sha256"]) == 64
    assert sidecar["rows"] == len(rows(table))
    assert sidecar["time_base"] == "program"


def test_contacts_of_several_leads_keep_their_labels(file, table):
    text = swap('"octrode"', '["octrode", "linear-8"]', swap('"20 min"', '"3 s"'))
    file.write_text(swap("3 =", '"1.3" =', swap("5 =", '"2.5" =', text)), encoding="utf-8")
    compile_to(table, file)
    assert {one["contact"] for one in rows(table)} == {"1.3", "2.5"}


def test_the_return_pad_comes_last(table):
    compile_to(table, "pns-12hz", "--for", "200 ms")
    found = [one["contact"] for one in rows(table)]
    assert found[:2] == ["1", "return"]


def test_what_the_gate_refuses_is_compiled_all_the_same(file, table):
    file.write_text(swap('"1.5 mA"', '"150 mA"', swap('"20 min"', '"3 s"')), encoding="utf-8")
    compile_to(table, file)
    assert max(int(one["amplitude_na"]) for one in rows(table)) == 150_000_000


def test_leads_and_contacts_are_those_of_the_library(file, table):
    file.write_text(swap('"octrode"', '"octrod"', swap('"20 min"', '"3 s"')), encoding="utf-8")
    with pytest.raises(ConfigError, match="octrode"):
        compile_to(table, file)
    file.write_text(swap("5 = ", "9 = ", swap('"20 min"', '"3 s"')), encoding="utf-8")
    with pytest.raises(ConfigError, match="1 to 8"):
        compile_to(table, file)
    assert not table.exists()


def test_a_return_pad_is_the_device_s_and_passes_here(file, table):
    file.write_text(swap("5 = ", "return = ", swap('"20 min"', '"3 s"')), encoding="utf-8")
    compile_to(table, file)
    assert {one["contact"] for one in rows(table)} == {"3", "return"}


def test_what_the_format_refuses_on_this_grid_is_not_written(file, table):
    file.write_text(swap('"40 Hz"', '"1.4 kHz"'), encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be compiled"):
        compile_to(table, file)
    with pytest.raises(ConfigError, match="20 %"):
        compile_to(table, "hf10", "--for", "1 s", "--tick", "50 us")
    assert not table.exists()


def test_what_the_grid_changes_is_reported(table):
    (change,) = compile_to(table, "drg-4hz", "--for", "1 s", "--tick", "7 us")["adjustments"]
    assert change == {"place": "area[1].pulse.width", "asked": "300 us", "given": "301 us"}


def test_every_wrong_option_is_named(table):
    with pytest.raises(ConfigError) as caught:
        compile_to(table, "tonic", "--from", "1", "--for", "1 mA", "--tick", "1.5 ns", "--step", "0,1 mA")
    assert [one.place for one in caught.value.problems] == ["--from", "--for", "--tick", "--step"]
    wrong = {"--tick": "0 s", "--step": "0 mA", "--from": "-1 s", "--guard": "1 s", "--recovery-min": "9 h"}
    for option, value in wrong.items():
        with pytest.raises(ConfigError) as caught:
            compile_to(table, "tonic", "--for", "1 s", option, value)
        assert [one.place for one in caught.value.problems] == [option]
    assert not table.exists()


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    for out in (tmp_path / "events.txt", tmp_path / "no" / "events.csv", tmp_path):
        with pytest.raises(ConfigError):
            compile_to(out, "tonic", "--for", "1 s")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", presets())
def test_the_table_of_every_preset_conforms_to_its_file(tmp_path, name):
    out = tmp_path / "events.npz"
    compile_to(out, name, "--for", "400 ms", "--tick", "500 ns")
    trace, sidecar = read_trace(out)
    report = judge(tomllib.loads(presets()[name].read_text(encoding="utf-8")), trace, sidecar)
    assert report.conforms, report
