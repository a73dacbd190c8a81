"""What each verdict says of records made wrong by hand, of stops, of limits and of a free clock."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from neurostim.conformance import Report, TraceTable, judge
from neurostim.core.errors import ConfigError
from support.conformance_programs import area, program
from support.wrong_compilers import Bench, expand

TONIC = program(area(), duration="400 ms")
ACTIVE = program(
    area(
        pulse={"width": "100 us", "interphase": "20 us", "recharge": "active-symmetric"},
        train={"rate": "200 Hz"},
    ),
    duration="300 ms",
)
TWO = program(
    area(train={"rate": "61 Hz"}),
    area(contacts={"2": "-100 %", "4": "+100 %"}, train={"rate": "47 Hz"}, priority=2),
    duration="500 ms",
)
BURST = program(
    area(
        pulse={"width": "1 ms", "recharge": "passive-after-burst"},
        train={"rate": "40 Hz", "burst": {"pulses": 5, "rate": "500 Hz"}},
    )
)
Row = list[Any]
Edit = Callable[[list[Row]], list[Row]]


def unedited(rows: list[Row]) -> list[Row]:
    return rows


def report(source: dict[str, Any], edit: Edit = unedited, horizon: int = 600_000, **options: Any) -> Report:
    commands = options.pop("commands", ())
    side_changes = options.pop("sidecar", {})
    rows, sidecar = expand(source, horizon, commands=commands)
    changed = edit([list(row) for row in rows])
    changed.sort(key=lambda row: (row[0], int(row[2]) if row[2].isdigit() else 10**6))
    sidecar = sidecar | {"rows": len(changed)} | side_changes
    return judge(source, TraceTable.from_rows(changed, extra=True), sidecar, **options)


def altered(number: int, column: int, change: Callable[[Any], Any]) -> Edit:
    def edit(rows: list[Row]) -> list[Row]:
        rows[number][column] = change(rows[number][column])
        return rows

    return edit


def stim_row(source: dict[str, Any], kind: str = "stim") -> int:
    rows, _ = expand(source, 600_000)
    return next(i for i, row in enumerate(rows) if row[0] > 200_000_000 and row[3] == kind)


@pytest.mark.parametrize(
    ("source", "kind", "column", "change", "verdicts"),
    [
        (TONIC, "stim", 1, lambda v: 0, {"rows", "closure", "charge"}),
        (TONIC, "stim", 1, lambda v: -v, {"rows", "closure"}),
        (TONIC, "stim", 4, lambda v: 0, {"rows", "closure", "amplitude"}),
        (TONIC, "passive", 4, lambda v: 5, {"rows", "grid"}),
        (TONIC, "stim", 8, lambda v: 1, {"rows"}),
        (TONIC, "stim", 0, lambda v: v + 1, {"grid"}),
        (TONIC, "stim", 1, lambda v: v + 1, {"grid"}),
        (TONIC, "stim", 4, lambda v: v - 1, {"grid", "closure", "amplitude", "charge"}),
        (TONIC, "stim", 4, lambda v: -v, {"closure", "polarity", "charge"}),
        (TONIC, "stim", 4, lambda v: v * 2, {"closure", "amplitude", "charge"}),
        (TONIC, "stim", 3, lambda v: "recharge", {"polarity"}),
        (TONIC, "stim", 5, lambda v: 1, {"indices"}),
        (TONIC, "stim", 6, lambda v: v + 1, {"indices"}),
        (TONIC, "stim", 7, lambda v: v + 1, {"indices"}),
        (TONIC, "passive", 1, lambda v: v - 1000, {"recovery"}),
        (TONIC, "passive", 1, lambda v: 399_000, {"recovery", "recovery_time"}),
        (TONIC, "passive", 0, lambda v: v - 150_000, {"recovery", "shorted"}),
        (TONIC, "stim", 2, lambda v: "7", {"amplitude", "charge"}),
        (ACTIVE, "recharge", 4, lambda v: v * 2, {"balance", "closure", "amplitude", "charge"}),
    ],
)
def test_one_wrong_value_is_named_by_its_verdicts(
    source: dict[str, Any], kind: str, column: int, change: Callable[[Any], Any], verdicts: set[str]
) -> None:
    assert report(source).conforms
    found = report(source, altered(stim_row(source, kind), column, change))
    assert verdicts <= set(found.failures), found.to_text()
    others = {"program", "record", "stops", "release", "limits", "guard", "clock"}
    assert not others & set(found.failures), found.to_text()


def test_a_late_pulse_is_an_onset_and_an_interval_and_keeps_its_width() -> None:
    start = expand(TONIC, 600_000)[0][stim_row(TONIC)][0]

    def late(rows: list[Row]) -> list[Row]:
        return [[row[0] + 3000, *row[1:]] if row[0] == start else row for row in rows]

    found = report(TONIC, late)
    assert found.failures == ("onsets", "intervals")
    onset = found.check("onsets")
    assert (onset.failed, onset.worst, onset.unit) == (1, 3, "ticks")
    assert onset.first is not None
    assert (onset.first.at_ns, onset.first.area, onset.first.unit) == (start + 3000, 0, start // 20_000_000)
    # Away from its place, and back to it.
    assert found.check("intervals").failed == 2


def test_a_missing_recharge_is_missing_and_leaves_charge_behind() -> None:
    rows, _ = expand(ACTIVE, 600_000)
    at = rows[stim_row(ACTIVE, "recharge")][0]
    found = report(ACTIVE, lambda rows: [row for row in rows if row[0] != at])
    assert set(found.failures) == {"missing", "balance"}
    assert abs(found.check("balance").worst) == 2_000_000 * 100_000


def test_the_same_pulse_twice_is_extra() -> None:
    rows, _ = expand(ACTIVE, 600_000)
    start = rows[stim_row(ACTIVE)][0]
    again = [[row[0] + 1_000_000, *row[1:]] for row in rows if start <= row[0] < start + 200_000]
    found = report(ACTIVE, lambda rows: rows + again)
    assert set(found.failures) == {"extra"}
    assert found.check("extra").failed == 2


def test_a_stretch_that_belongs_nowhere_is_found() -> None:
    rows, _ = expand(ACTIVE, 600_000)
    start = rows[stim_row(ACTIVE)][0] + 2_000_000
    short = [[start, 100_000, "3", "passive", 0, 0, 0, 0, 0]]
    found = report(ACTIVE, lambda rows: rows + short)
    assert found.failures == ("recovery",)
    assert found.check("recovery").failed == 1


@pytest.mark.hazard("overlap")
def test_two_sources_at_once_overlap() -> None:
    rows, _ = expand(ACTIVE, 600_000)
    start = rows[stim_row(ACTIVE)][0]
    foreign = [
        [start + 50_000, 20_000, label, "stim", value, 0, 0, 0, 0]
        for label, value in (("1", -50_000), ("2", 50_000))
    ]
    found = report(ACTIVE, lambda rows: rows + foreign)
    assert {"overlap", "extra"} == set(found.failures)
    assert found.check("overlap").worst == 50


def test_a_row_outside_the_record_and_a_wrong_count_are_the_records_fault() -> None:
    assert report(TONIC, sidecar={"rows": 3}).failures == ("record",)
    found = report(TONIC, sidecar={"end_ticks": 200_000})
    assert "record" in found.failures


def test_a_record_may_end_within_a_pulse_or_a_stretch() -> None:
    for horizon in (200_100, 200_299, 200_350, 200_351, 210_000):

        def cut(rows: list[Row], horizon: int = horizon) -> list[Row]:
            return [[row[0], min(row[1], horizon * 1000 - row[0]), *row[2:]] for row in rows]

        assert report(TONIC, cut, horizon).conforms
        assert report(TONIC, horizon=horizon).conforms


def test_an_empty_record_of_a_program_misses_every_pulse() -> None:
    found = report(TONIC, lambda rows: [])
    assert "missing" in found.failures
    # The first unit of the ramp carries nothing; the last nominal one starts before 400 ms.
    assert found.check("missing").failed == 19


def test_a_record_that_claims_a_year_and_holds_nothing_is_judged_without_a_years_work() -> None:
    source = program(area(pulse={"width": "30 us", "recharge": "active-symmetric"}, train={"rate": "10 kHz"}))
    found = report(source, lambda rows: [], sidecar={"end_ticks": 365 * 86_400 * 10**6}, horizon=1000)
    assert "missing" in found.failures
    assert found.notes[0].startswith("Judging ended at")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("contact_current_na", {"contact_current_na": 1_999_999}),
        ("contact_current_na", {"contact_current_na": {"5": 1_999_999}}),
        ("phase_charge_ac", {"phase_charge_ac": 2_000_000 * 300_000 - 1}),
        (
            "phase_density_ac_per_um2",
            {"phase_density_ac_per_um2": 48_979, "contact_area_um2": {"3": 12_250_000, "5": 12_250_000}},
        ),
    ],
)
def test_limits_are_judged_to_the_last_unit(name: str, change: dict[str, Any]) -> None:
    found = report(TONIC, limits=change)
    assert found.failures == ("limits",), found.to_text()
    looser = {
        key: ({label: v + 1 for label, v in value.items()} if isinstance(value, dict) else value + 1)
        if key == name
        else value
        for key, value in change.items()
    }
    assert report(TONIC, limits=looser).conforms


@pytest.mark.parametrize(
    "limits",
    [
        {"contact_current": 5},
        {"phase_charge_ac": 1.5},
        {"phase_charge_ac": True},
        {"contact_current_na": {"3": -1}},
        {"phase_density_ac_per_um2": 5},
        {"phase_density_ac_per_um2": 5, "contact_area_um2": {"3": 10}},
        {"contact_area_um2": 0},
    ],
)
def test_limits_that_cannot_be_meant_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="limits cannot be read"):
        report(TONIC, limits=limits)


def test_program_refusals_of_the_format_are_a_verdict() -> None:
    tight = program(area(train={"rate": "1 kHz"}, pulse={"width": "700 us", "recharge": "passive"}))
    assert "program" in report(tight, horizon=50_000).failures
    fits = program(area(train={"rate": "1 kHz"}, pulse={"width": "600 us", "recharge": "passive"}))
    assert report(fits, horizon=50_000).conforms


def test_a_dropped_unit_needs_the_word_of_the_program() -> None:
    blocked = program(
        area(
            pulse={"width": "1 ms", "recharge": "passive-after-burst"},
            train={"rate": "40 Hz", "burst": {"pulses": 5, "rate": "500 Hz"}},
        ),
        area(contacts={"2": "-100 %", "4": "+100 %"}, priority=2),
    )
    assert report(blocked).conforms
    del blocked["interleave"]
    found = report(blocked)
    assert found.failures == ("program",)
    assert found.check("program").first is not None
    assert "yield" in found.check("program").first.note  # type: ignore[union-attr]


# -- stops -----------------------------------------------------------------------------------------


def test_a_stop_inside_a_burst_lets_the_pulse_end_and_no_other_start() -> None:
    commands = [{"at_ticks": 229_500, "name": "stop"}]
    found = report(BURST, commands=commands)
    assert found.conforms, found.to_text()
    assert found.check("release").judged > 0
    rows, _ = expand(BURST, 600_000, commands=commands)
    assert max(row[0] for row in rows if row[3] == "stim") == 229_000_000

    def unrecovered(rows: list[Row]) -> list[Row]:
        return [row for row in rows if not (row[3] == "passive" and row[0] > 229_000_000)]

    assert report(BURST, unrecovered, commands=commands).failures == ("release",)

    def left_shorted(rows: list[Row]) -> list[Row]:
        return [[row[0], row[1] * 2 if row[0] > 229_000_000 else row[1], *row[2:]] for row in rows]

    assert report(BURST, left_shorted, commands=commands).failures == ("release",)


def test_a_pulse_that_starts_with_the_stop_may_be_delivered_or_not() -> None:
    commands = [{"at_ticks": 240_000, "name": "stop"}]
    assert report(TONIC, commands=commands).conforms
    with_it, _ = expand(TONIC, 600_000, commands=[{"at_ticks": 240_001, "name": "stop"}])
    found = report(TONIC, lambda rows: [list(row) for row in with_it], commands=commands)
    assert found.conforms, found.to_text()


def test_an_emergency_cuts_the_pulse_and_shorts_the_contacts_for_100_ms() -> None:
    commands = [{"at_ticks": 240_100, "name": "emergency_stop"}]
    assert report(TONIC, commands=commands).conforms
    assert report(ACTIVE, commands=commands).conforms

    def uncut(rows: list[Row]) -> list[Row]:
        return [[row[0], 300_000 if row[0] == 240_000_000 else row[1], *row[2:]] for row in rows]

    assert "widths" in report(TONIC, uncut, commands=commands).failures

    def unshorted(rows: list[Row]) -> list[Row]:
        return [row for row in rows if not (row[0] > 240_100_000 and row[2] == "5")]

    found = report(TONIC, unshorted, commands=commands)
    assert found.failures == ("release",)
    assert found.check("release").first is not None
    assert found.check("release").first.contact == "5"  # type: ignore[union-attr]

    def too_long(rows: list[Row]) -> list[Row]:
        return [[row[0], row[1] + (90_000_000 if row[0] > 240_100_000 else 0), *row[2:]] for row in rows]

    assert report(TONIC, too_long, commands=commands).failures == ("release",)


def test_a_fault_may_cut_the_pulse_or_let_it_end_but_nothing_follows() -> None:
    commands = [{"at_ticks": 240_100, "name": "fault", "fault": "open"}]
    ended, _ = expand(TONIC, 600_000, commands=[{"at_ticks": 240_100, "name": "stop"}])
    cut, _ = expand(TONIC, 600_000, commands=[{"at_ticks": 240_100, "name": "emergency_stop"}])
    for rows in (ended, cut):
        found = report(TONIC, lambda _, rows=rows: [list(row) for row in rows], commands=commands)
        assert found.conforms, found.to_text()
    later, _ = expand(TONIC, 600_000, commands=[{"at_ticks": 260_100, "name": "stop"}])
    assert "stops" in report(TONIC, lambda _: [list(row) for row in later], commands=commands).failures


def test_a_dose_that_ends_by_the_dead_man_is_silent_in_time() -> None:
    source = program(area(ramp={"up": "50 ms", "down": "400 ms"}))
    commands = [{"at_ticks": 200_000, "name": "ramp_down", "within_ns": 100_000_000}]
    found = report(source, commands=commands)
    assert found.conforms, found.to_text()
    rows, _ = expand(source, 600_000, commands=commands)
    assert 280_000_000 <= max(row[0] for row in rows if row[3] == "stim") < 300_000_000


@pytest.mark.parametrize(
    "commands",
    [
        "stop",
        [{"at_ticks": 5, "name": "pause"}],
        [{"at_ticks": -1, "name": "stop"}],
        [{"at_ticks": 1.5, "name": "stop"}],
        [{"name": "stop"}],
        [{"at_ticks": 9, "name": "stop"}, {"at_ticks": 8, "name": "stop"}],
        [{"at_ticks": 5, "name": "set_amplitude", "area": 1, "amplitude_na": 1}],
        [{"at_ticks": 5, "name": "set_amplitude", "area": 0, "amplitude_na": -1}],
        [{"at_ticks": 5, "name": "set_amplitude", "area": 0}],
        [{"at_ticks": 5, "name": "ramp_down"}],
        [7],
    ],
)
def test_a_command_log_that_cannot_be_read_is_refused(commands: Any) -> None:
    with pytest.raises(ConfigError, match="command"):
        report(TONIC, sidecar={"commands": commands})


# -- contacts --------------------------------------------------------------------------------------


def test_a_trace_in_device_contacts_is_judged_through_the_contact_map() -> None:
    source = program(area(contacts={"1.3": "-100 %", "2.1": "+60 %", "return": "+40 %"}), duration="300 ms")
    index = {"1.3": 3, "2.1": 9, "return": 255}
    rows, sidecar = expand(source, 300_000)
    device = [[*row[:2], {"1.3": "3", "2.1": "9"}.get(row[2], row[2]), *row[3:]] for row in rows]
    table = TraceTable.from_rows(device, extra=True)
    side = sidecar | {"contacts": "device"}
    assert judge(source, table, side, contact_index=index).conforms
    with pytest.raises(ConfigError, match="several leads"):
        judge(source, table, side)
    with pytest.raises(ConfigError, match="its own device contact"):
        judge(source, table, side, contact_index={"1.3": 3})
    wrong = judge(source, table, side, contact_index=index | {"2.1": 10})
    assert "amplitude" in wrong.failures
    one = program(area(), duration="300 ms")
    rows, sidecar = expand(one, 300_000)
    assert judge(one, TraceTable.from_rows(rows, extra=True), sidecar | {"contacts": "device"}).conforms


# -- a free clock ----------------------------------------------------------------------------------


def observed(rows: list[Any], ppm: float, offset_ns: int, jitter_ns: int, seed: int = 1) -> list[Row]:
    noise = random.Random(seed)
    out = []
    shift: dict[int, int] = {}
    for row in rows:
        late = shift.setdefault(row[0], noise.randint(-jitter_ns, jitter_ns))
        # A device whose clock runs fast by ppm finishes early for everyone else.
        start = round(offset_ns + row[0] / (1 + ppm * 1e-6)) + late
        out.append([start, round(row[1] / (1 + ppm * 1e-6)), *row[2:]])
    return out


@pytest.mark.parametrize("source", [TONIC, ACTIVE, TWO, BURST])
@pytest.mark.parametrize(("ppm", "offset"), [(0.0, 0), (47.0, 3_123_456_789), (-180.0, 12_345)])
def test_a_free_clock_is_fitted_and_reported(source: dict[str, Any], ppm: float, offset: int) -> None:
    rows, sidecar = expand(source, 600_000)
    table = TraceTable.from_rows(observed(rows, ppm, offset, 200), extra=True)
    found = judge(source, table, sidecar | {"time_base": "free"})
    assert found.conforms, found.to_text()
    assert found.clock is not None
    assert found.clock.ppm == pytest.approx(ppm, abs=1)
    assert found.clock.offset_ns == pytest.approx(offset, abs=300)
    assert "ppm" in found.to_text()


def test_a_clock_too_far_off_fails_and_a_late_pulse_is_still_found() -> None:
    rows, sidecar = expand(ACTIVE, 600_000)
    side = sidecar | {"time_base": "free"}
    fast = TraceTable.from_rows(observed(rows, 300, 0, 0), extra=True)
    assert judge(ACTIVE, fast, side).failures == ("clock",)
    assert judge(ACTIVE, fast, side, max_ppm=400).conforms
    moved = observed(rows, 20, 777, 100)
    start = moved[stim_row(ACTIVE)][0]
    moved = [[row[0] + (5000 if row[0] == start else 0), *row[1:]] for row in moved]
    found = judge(ACTIVE, TraceTable.from_rows(moved, extra=True), side)
    assert {"onsets", "intervals"} <= set(found.failures)
    assert abs(found.check("onsets").worst) == 5


def test_a_missing_first_pulse_does_not_shift_the_fit() -> None:
    rows, sidecar = expand(TONIC, 600_000)
    late = observed(rows, 30, 5000, 100)
    first = late[0][0]
    late = [row for row in late if row[0] != first]
    side = sidecar | {"time_base": "free", "rows": len(late)}
    found = judge(TONIC, TraceTable.from_rows(late, extra=True), side)
    assert found.failures == ("missing",), found.to_text()
    assert found.check("missing").failed == 1


def test_a_free_record_without_pulses_has_no_clock() -> None:
    found = report(TONIC, lambda rows: rows[:2], sidecar={"time_base": "free"})
    assert "clock" in found.failures


# -- the report ------------------------------------------------------------------------------------


def test_the_report_is_one_page_and_plain_data() -> None:
    found = report(TONIC, altered(stim_row(TONIC), 4, lambda value: value * 2))
    text = found.to_text()
    assert text.startswith("DOES NOT CONFORM")
    assert len(text.splitlines()) < 60
    data = found.to_dict()
    assert data["conforms"] is False
    assert data["failures"] == list(found.failures)
    assert {check["name"] for check in data["checks"]} == {check.name for check in found.checks}
    amplitude = next(check for check in data["checks"] if check["name"] == "amplitude")
    assert amplitude["first"]["contact"] in ("3", "5")
    with pytest.raises(KeyError):
        found.check("colour")


def test_a_finer_grid_is_kept_to_the_tick() -> None:
    bench = Bench(tick_ns=250, step_na=7_777, guard=80, recovery_min=1600)
    rows, sidecar = expand(TWO, 1_200_000, bench)
    assert judge(TWO, TraceTable.from_rows(rows, extra=True), sidecar).conforms
    coarse = judge(TWO, TraceTable.from_rows(rows, extra=True), sidecar | {"guard_ticks": 81})
    assert {"onsets", "recovery"} & set(coarse.failures)
