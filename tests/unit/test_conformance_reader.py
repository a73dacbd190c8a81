"""Records are read exactly or refused with the place; nothing is mended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.conformance import TraceTable, judge, read_trace
from neurostim.core.errors import ConfigError
from support.conformance_files import arrays, write_csv, write_npz
from support.conformance_programs import area, program
from support.wrong_compilers import expand

PROGRAM = program(area(contacts={"1.3": "-100 %", "2.10": "+60 %", "return": "+40 %"}), duration="150 ms")
ROWS, SIDECAR = expand(PROGRAM, 300_000)


def same(left: TraceTable, right: TraceTable) -> bool:
    names = (
        "start_ns",
        "duration_ns",
        "contact",
        "kind",
        "amplitude_na",
        "area",
        "unit",
        "pulse",
        "charge_ac",
    )
    return left.labels == right.labels and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in names
    )


def test_csv_and_npz_read_back_the_rows_that_were_written(tmp_path: Path) -> None:
    wanted = TraceTable.from_rows(ROWS, extra=True)
    assert wanted.labels == ("1.3", "2.10", "return")
    from_csv, csv_side = read_trace(write_csv(tmp_path / "a.csv", ROWS, SIDECAR))
    from_npz, npz_side = read_trace(write_npz(tmp_path / "b.npz", arrays(ROWS), SIDECAR))
    assert same(from_csv, wanted)
    assert same(from_npz, wanted)
    assert csv_side == npz_side == SIDECAR
    assert judge(PROGRAM, from_csv, csv_side).conforms


def test_lines_may_end_as_on_any_system(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS, SIDECAR)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert same(read_trace(path)[0], TraceTable.from_rows(ROWS, extra=True))


def test_an_event_table_needs_no_columns_of_a_trace(tmp_path: Path) -> None:
    rows = [row[:5] for row in ROWS]
    sidecar = SIDECAR | {"format": "neurostim-events/1"}
    table, side = read_trace(write_csv(tmp_path / "a.csv", rows, sidecar))
    assert table.area is None
    assert judge(PROGRAM, table, side).conforms
    write_csv(tmp_path / "b.csv", rows, SIDECAR)
    with pytest.raises(ConfigError, match="lacks the columns of a trace"):
        read_trace(tmp_path / "b.csv")


def test_a_record_without_rows_is_read(tmp_path: Path) -> None:
    sidecar = SIDECAR | {"rows": 0, "end_ticks": 0}
    table, _ = read_trace(write_csv(tmp_path / "a.csv", [], sidecar))
    assert len(table) == 0
    assert judge(PROGRAM, table, sidecar).conforms


LINE = "20350000,300000,1.3,stim,-50000,0,1,0,0"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (LINE.replace("-50000", "-5e4"), "line 3, column amplitude_na: no whole number"),
        (LINE.replace("-50000", "nan"), "column amplitude_na: no whole number"),
        (LINE.replace("-50000", "-50000.0"), "column amplitude_na: no whole number"),
        (LINE.replace("-50000", ""), "column amplitude_na: no whole number"),
        (LINE.replace("-50000", "--5"), "column amplitude_na: no whole number"),
        (LINE.replace("-50000", "-"), "column amplitude_na: no whole number"),
        (LINE.replace("20350000", "1" * 19), "column start_ns: a number of more than 18 digits"),
        (LINE.replace("stim", "stimulus!"), "column kind: text"),
        (LINE.replace("stim", "drive"), "of the kind 'drive'"),
        (LINE.replace("1.3", ""), "column contact: text"),
        (LINE.replace("1.3", "1.03"), "the contact '1.03'"),
        (LINE.replace("1.3", "can"), "the contact 'can'"),
        (LINE.rsplit(",", 1)[0], "column charge_ac: too few columns"),
        (LINE + ",0", "column charge_ac: too many columns"),
        (LINE.replace("stim", "st\u00efm"), "column kind: text"),
        ("", "column start_ns"),
    ],
)
def test_a_bad_line_is_refused_with_its_place(tmp_path: Path, wrong: str, message: str) -> None:
    path = write_csv(tmp_path / "a.csv", [], {key: value for key, value in SIDECAR.items() if key != "rows"})
    good = LINE.replace("20350000", "350000")
    path.write_text(path.read_text() + f"{good}\n{wrong}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_trace(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("start_ns,duration_ns,contact,kind", "lacks the columns amplitude_na"),
        ("start_ns,duration_ns,contact,kind,amplitude_na,kind", "names a column twice"),
        ("start_ns,duration_ns,contact,kind,amplitude_na,voltage", "unknown columns voltage"),
        ("start_ns,duration_ns,contact,kind,amplitude_na,area", "lacks the columns unit, pulse, charge_ac"),
        ("\u00b5s,duration_ns,contact,kind,amplitude_na", "no plain text in its header"),
        ("x" * 5000, "no header line"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, header: str, message: str) -> None:
    path = write_csv(tmp_path / "a.csv", [], SIDECAR | {"rows": 0})
    path.write_text(header + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        read_trace(path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS[:6], SIDECAR | {"rows": 6})
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(ConfigError):
            read_trace(path)


def test_an_archive_cut_or_flipped_is_refused_or_read_as_it_was(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", arrays(ROWS), SIDECAR)
    whole = path.read_bytes()
    wanted = TraceTable.from_rows(ROWS, extra=True)
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(ConfigError):
            read_trace(path)
    for place in range(0, len(whole), 41):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            read = read_trace(path)[0]
        except ConfigError:
            continue
        assert same(read, wanted), place


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", arrays(ROWS), SIDECAR)
    with path.open("wb") as out:
        np.save(out, np.arange(9))
    with pytest.raises(ConfigError, match="no npz archive"):
        read_trace(path)


def test_rows_out_of_order_are_refused_with_their_number(tmp_path: Path) -> None:
    rows = [*ROWS[:4], ROWS[8], *ROWS[5:8]]
    with pytest.raises(ConfigError, match="row 6 comes before the row above it"):
        read_trace(write_csv(tmp_path / "a.csv", rows, SIDECAR | {"rows": 8}))
    swapped = [ROWS[1], ROWS[0]]
    with pytest.raises(ConfigError, match="row 2 comes before the row above it"):
        read_trace(write_csv(tmp_path / "b.csv", swapped, SIDECAR | {"rows": 2}))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("start_ns", np.float64),
        ("amplitude_na", np.int32),
        ("contact", np.int64),
        ("kind", np.dtype("S8")),
        ("charge_ac", np.uint64),
    ],
)
def test_a_column_of_another_type_is_refused(tmp_path: Path, name: str, kind: Any) -> None:
    columns = arrays(ROWS)
    columns[name] = np.arange(len(ROWS)).astype(kind) if name == "contact" else columns[name].astype(kind)
    with pytest.raises(ConfigError, match=f"column {name} is"):
        read_trace(write_npz(tmp_path / "a.npz", columns, SIDECAR))


def test_columns_of_objects_or_of_two_dimensions_are_refused(tmp_path: Path) -> None:
    columns = arrays(ROWS)
    columns["kind"] = columns["kind"].astype(object)
    with pytest.raises(ConfigError, match="pickle"):
        read_trace(write_npz(tmp_path / "a.npz", columns, SIDECAR))
    columns = arrays(ROWS)
    columns["start_ns"] = columns["start_ns"].reshape(-1, 1)
    with pytest.raises(ConfigError, match="shape"):
        read_trace(write_npz(tmp_path / "b.npz", columns, SIDECAR))
    columns = arrays(ROWS)
    columns["pulse"] = columns["pulse"][:-1]
    with pytest.raises(ConfigError, match="shape"):
        read_trace(write_npz(tmp_path / "c.npz", columns, SIDECAR))
    del columns["start_ns"]
    with pytest.raises(ConfigError, match="lacks the columns start_ns"):
        read_trace(write_npz(tmp_path / "d.npz", columns, SIDECAR))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"rows": len(ROWS) - 1}, "rows"),
        ({"tick_ns": 0}, "tick_ns"),
        ({"tick_ns": True}, "tick_ns"),
        ({"tick_ns": 1000.0}, "tick_ns"),
        ({"step_na": None}, "step_na"),
        ({"guard_ticks": -1}, "guard_ticks"),
        ({"recovery_min_ticks": "400"}, "recovery_min_ticks"),
        ({"end_ticks": 10**30}, "end_ticks"),
        ({"from_ticks": 400_000}, "end_ticks"),
        ({"format": "neurostim-trace/2"}, "format"),
        ({"time_base": "local"}, "time_base"),
        ({"contacts": "wires"}, "contacts"),
        ({"image_sha256": 7}, "image_sha256"),
    ],
)
def test_a_sidecar_that_cannot_be_right_is_refused(
    tmp_path: Path, change: dict[str, Any], place: str
) -> None:
    with pytest.raises(ConfigError, match=place):
        read_trace(write_csv(tmp_path / "a.csv", ROWS, SIDECAR | change))


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, "\udcff"])
def test_a_sidecar_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    path = write_csv(tmp_path / "a.csv", ROWS, SIDECAR)
    path.with_suffix(".json").write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(ConfigError, match="sidecar"):
        read_trace(path)


def test_missing_files_and_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="neither CSV nor npz"):
        read_trace(tmp_path / "a.txt")
    with pytest.raises(ConfigError, match=r"sidecar a\.json cannot be read"):
        read_trace(tmp_path / "a.csv")
    for suffix in (".csv", ".npz"):
        (tmp_path / "a.json").write_text(json.dumps(SIDECAR))
        with pytest.raises(ConfigError, match="cannot be read"):
            read_trace(tmp_path / f"a{suffix}")


@given(st.binary(max_size=400))
def test_no_bytes_crash_the_reader(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    folder = tmp_path_factory.mktemp("noise")
    header = b"start_ns,duration_ns,contact,kind,amplitude_na\n"
    sidecar = SIDECAR | {"format": "neurostim-events/1", "rows": 1}
    for name, content in (("a.csv", noise), ("b.csv", header + noise), ("c.npz", noise)):
        path = folder / name
        path.write_bytes(content)
        path.with_suffix(".json").write_text(json.dumps(sidecar))
        with pytest.raises(ConfigError):
            read_trace(path)
