"""Each rule of the monitor at the electrode: a good history passes, and the nearest bad ones do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from neurostim.core.errors import ConfigError
from neurostim_torture.monitor import Area, Body, HostFrame, Power, Range
from neurostim_torture.monitor.records import AMPLITUDE, CONTACT, LENGTH, DeviceFrame, Record
from support.monitor_histories import (
    BEGAN,
    MS,
    SECOND,
    Rows,
    area,
    flow,
    judged,
    rules,
    session,
    setting,
    state,
    stop,
    table,
    train,
)

KINDS = {
    "passive": area(),
    "passive-after-burst": area(
        recharge="passive-after-burst", burst_pulses=4, burst_period=(2 * MS, 1), width_ns=300_000
    ),
    "active-symmetric": area(recharge="active-symmetric"),
    "active-asymmetric": area(recharge="active-asymmetric", ratio=4),
    "triphasic": area(recharge="triphasic"),
}


def changed(rows: Rows, which: int, column: int, value: int) -> Rows:
    """Rows with one number changed."""
    found = [list(row) for row in rows]
    found[which][column] = value
    return [tuple(row) for row in found]  # type: ignore[misc]


def place_of(rows: Rows, unit: int, kind: int = 0, contact: int = 3) -> int:
    """Index of the first row of a kind in a unit at a contact."""
    return next(i for i, row in enumerate(rows) if (row[6], row[3], row[2]) == (unit, kind, contact))


@pytest.mark.parametrize("kind", KINDS)
def test_a_dose_as_programmed_breaks_no_rule(kind: str) -> None:
    one = KINDS[kind]
    assert judged(session(train(one, 60)), setting(one)) == []


def test_a_dose_of_a_device_with_a_fast_clock_breaks_no_rule() -> None:
    assert judged(session(train(area(), 60)), setting(ppm=200)) == []


def test_rows_that_are_no_table_are_refused() -> None:
    wrong = replace(flow([]), rows=table(train(area(), 30))[:, :5])
    with pytest.raises(ConfigError, match="columns"):
        judged([wrong])


# ------------------------------------------------------------------------------------------------ phases


def test_a_contact_at_its_hard_limit_passes_and_one_step_above_it_does_not() -> None:
    one = area(amplitude_na=10_000_000, approved=Range(9_900_000, 10_010_000, 10_000))
    rows = train(one, 60)
    assert "contact-current" not in rules(session(rows), setting(one))
    above = train(replace(one, amplitude_na=10_010_000), 60)
    assert "contact-current" in rules(session(above), setting(one))


def test_the_anodes_together_have_a_limit_of_their_own() -> None:
    given = setting(hard=replace(setting().hard, total_na=2_000_000))
    assert "total-current" not in rules(session(train(area(), 60)), given)
    tighter = setting(hard=replace(setting().hard, total_na=1_990_000))
    assert "total-current" in rules(session(train(area(), 60)), tighter)


def test_the_charge_of_a_phase_has_a_limit_of_its_own() -> None:
    charge = 2_000_000 * 200_000
    assert "phase-charge" not in rules(
        session(train(area(), 60)), setting(hard=replace(setting().hard, phase_ac=charge))
    )
    assert "phase-charge" in rules(
        session(train(area(), 60)), setting(hard=replace(setting().hard, phase_ac=charge - 1))
    )


def test_a_phase_whose_contacts_do_not_sum_to_zero_is_found() -> None:
    rows = train(area(), 60)
    place = place_of(rows, 40, contact=5)
    assert "phase-sums-to-zero" in rules(session(changed(rows, place, AMPLITUDE, 1_990_000)))


def test_current_at_a_contact_without_share_is_found() -> None:
    rows = train(area(), 60)
    found = rules(session(changed(rows, place_of(rows, 40), CONTACT, 4)))
    assert "programmed-contacts" in found


@pytest.mark.parametrize("length", [199, 201, 400])
def test_a_phase_of_another_width_is_found(length: int) -> None:
    rows = train(area(), 60)
    assert "phase-width" in rules(session(changed(rows, place_of(rows, 40), LENGTH, length)))


def test_the_last_phase_before_an_emergency_stop_may_be_shorter() -> None:
    one = area(recharge="active-symmetric")
    rows = [row for row in train(one, 61) if row[6] < 60]
    rows += [(1_200_000, 120, 3, 0, -2_000_000, 0, 60, 0, 0), (1_200_000, 120, 5, 0, 2_000_000, 0, 60, 0, 0)]
    cut = stop(BEGAN + 1_200_120_000, "EMERGENCY_STOP")
    told = [*cut, state(BEGAN + 1_200_120_000, 4, 6)]
    assert judged(session(rows, told=told), setting(one)) == []
    assert rules(session(rows), setting(one)) == {"phase-width", "balance"}


def test_a_phase_with_the_wrong_sign_is_found() -> None:
    one = area(recharge="active-symmetric")
    rows = [(*row[:4], -row[4], *row[5:]) if row[6] == 40 else row for row in train(one, 60)]
    assert "polarity" in rules(session(rows), setting(one))


def test_the_middle_phase_of_three_is_reversed() -> None:
    one = KINDS["triphasic"]
    rows = [
        (*row[:4], -row[4], *row[5:]) if row[6] == 40 and row[1] == 400 else row for row in train(one, 60)
    ]
    assert "polarity" in rules(session(rows), setting(one))


# ------------------------------------------------------------------------------------------------ pulses


def test_a_recharge_one_step_short_is_found() -> None:
    one = area(recharge="active-symmetric")
    rows = train(one, 60)
    rows = changed(rows, place_of(rows, 40, kind=1), AMPLITUDE, 1_990_000)
    rows = changed(rows, place_of(rows, 40, kind=1, contact=5), AMPLITUDE, -1_990_000)
    assert rules(session(rows), setting(one)) == {"balance"}


def test_a_failing_source_may_leave_100_na_and_350_nc_and_no_more() -> None:
    one = area(recharge="active-symmetric")

    def uneven(units: range) -> Rows:
        return [
            (*row[:4], row[4] * 95 // 100, *row[5:]) if row[6] in units and row[3] == 1 else row
            for row in train(one, 90)
        ]

    told = [Body(BEGAN + 590 * MS, "source", (3,))]
    # 5 % of 2 mA x 200 us are 20 nC: 340 nC after 17 such pulses, and 460 nC, that is more than 350 nC and
    # 100 nA for a second, after 23.
    assert "balance" not in rules(session(uneven(range(30, 47)), told=told), setting(one))
    assert "balance" in rules(session(uneven(range(30, 53)), told=told), setting(one))
    assert "balance" in rules(session(uneven(range(30, 31))), setting(one))


@pytest.mark.parametrize("kind", ["passive", "passive-after-burst"])
def test_a_pulse_without_recovery_is_found(kind: str) -> None:
    one = KINDS[kind]
    rows = [row for row in train(one, 60) if not (row[6] == 40 and row[3] == 2)]
    assert rules(session(rows), setting(one)) == {"recovery"}


def test_recovery_shorter_than_its_least_is_found_at_either_contact() -> None:
    rows = train(area(), 60)
    for contact in (3, 5):
        place = place_of(rows, 40, kind=2, contact=contact)
        assert "recovery" not in rules(session(changed(rows, place, LENGTH, 400)))
        assert "recovery" in rules(session(changed(rows, place, LENGTH, 399)))


def test_recovery_may_be_missing_after_the_supply_was_lost() -> None:
    rows = [row for row in train(area(), 60) if not (row[6] == 59 and row[3] == 2)]
    told = [Power(BEGAN + 1_180_450_000, "reset")]
    assert "recovery" in rules(session(rows))
    assert "recovery" not in rules(session(rows, told=told))


def test_a_source_that_drives_while_a_contact_is_shorted_is_found() -> None:
    rows = train(area(), 60)
    place = place_of(rows, 40, kind=2)
    assert "nothing-driven-while-shorted" not in rules(session(changed(rows, place, LENGTH, 19_700)))
    assert "nothing-driven-while-shorted" in rules(session(changed(rows, place, LENGTH, 19_701)))


def test_a_contact_shorted_for_longer_than_100_ms_is_found() -> None:
    rows = [*train(area(), 60), (1_300_000, 100_000, 3, 2, 0, 0, 59, 0, 0)]
    assert "never-left-shorted" not in rules(session(rows))
    assert "never-left-shorted" in rules(session([*rows, (1_500_000, 100_001, 3, 2, 0, 0, 59, 0, 0)]))


def test_an_open_contact_may_see_three_pulses_and_no_more() -> None:
    rows = train(area(), 44)
    three = [Body(BEGAN + 810 * MS, "open", (3,))]
    four = [Body(BEGAN + 790 * MS, "open", (3,))]
    assert "lost-contacts" not in rules(session(rows, told=three))
    assert "lost-contacts" in rules(session(rows, told=four))


def test_a_contact_that_closed_in_time_may_go_on() -> None:
    told = [Body(BEGAN + 810 * MS, "open", (3,)), Body(BEGAN + 850 * MS, "healed", (3,))]
    late = [told[0], Body(BEGAN + 870 * MS, "healed", (3,))]
    assert "lost-contacts" not in rules(session(train(area(), 60), told=told))
    assert "lost-contacts" in rules(session(train(area(), 60), told=late))


def test_a_lead_that_left_its_port_gives_nothing_even_when_it_is_back() -> None:
    rows = train(area(), 41)
    told = [Body(BEGAN + 810 * MS, "out", (1, 2, 3)), Body(BEGAN + 815 * MS, "in", (1, 2, 3))]
    assert "lost-contacts" not in rules(session(rows, told=told))
    assert "lost-contacts" in rules(session(train(area(), 42), told=told))
    elsewhere = [Body(BEGAN + 810 * MS, "out", (7, 8))]
    assert "lost-contacts" not in rules(session(train(area(), 42), told=elsewhere))


# ----------------------------------------------------------------------------------------------- trains


def test_a_unit_above_the_line_of_the_ramp_is_found() -> None:
    one = area()
    rows = [
        (*row[:4], row[4] + (-10_000 if row[4] < 0 else 10_000), *row[5:]) if row[6] == 12 and row[4] else row
        for row in train(one, 60)
    ]
    assert rules(session(rows)) == {"below-the-ramp"}


def test_a_start_at_full_amplitude_is_found() -> None:
    assert "below-the-ramp" in rules(session(train(replace(area(), ramp_up_ns=1), 60)))


def test_the_ramp_begins_again_at_each_window_of_a_cycle() -> None:
    one = area(on_ns=600 * MS, off_ns=200 * MS)
    first = train(one, 30)
    second = [(row[0] + 800_000, *row[1:6], row[6] + 30, *row[7:]) for row in first]
    assert judged(session([*first, *second]), setting(one)) == []
    full = [
        (*row[:4], -2_000_000 if row[4] < 0 else 2_000_000, *row[5:]) if row[4] else row for row in second
    ]
    assert "below-the-ramp" in rules(session([*first, *full]), setting(one))


def set_amplitude(at_ns: int, before: int, after: int, command: int = 20, **more: Any) -> list[Record]:
    """A change of amplitude and its confirmation."""
    asked = {"dose_number": 1, "area": 0, "from_na": before, "to_na": after}
    done = {"dose_number": 1, "area": 0, "amplitude_na": after, "at_tick": at_ns}
    return [
        HostFrame(at_ns - MS, "SET_AMPLITUDE", session=1, command_id=command, fields=asked, **more),
        DeviceFrame(at_ns, "SET_AMPLITUDE", "reply", session=1, command_id=command, fields=done),
    ]


def raised(*changes: tuple[int, int]) -> Rows:
    """A train whose amplitude is another from some units on."""

    def amplitude(unit: int) -> int:
        return next((na for since, na in reversed(changes) if unit >= since), 2_000_000)

    return train(area(), 90, amplitude=amplitude)


def test_an_amplitude_that_was_asked_for_may_flow_and_one_that_was_not_may_not() -> None:
    told = set_amplitude(BEGAN + 795 * MS, 2_000_000, 2_100_000)
    assert judged(session(raised((40, 2_100_000)), told=told)) == []
    assert rules(session(raised((40, 2_100_000)))) == {"below-the-ramp"}
    assert "below-the-ramp" in rules(session(raised((39, 2_100_000)), told=told))


def test_what_was_asked_for_and_lowered_may_not_flow_any_more() -> None:
    told = set_amplitude(BEGAN + 795 * MS, 2_000_000, 1_900_000)
    assert judged(session(raised((40, 1_900_000)), told=told)) == []
    assert rules(session(raised((41, 1_900_000)), told=told)) == {"below-the-ramp"}


def test_an_amplitude_above_the_approved_range_is_found_though_it_was_asked_for() -> None:
    narrow = area(approved=Range(1_600_000, 2_000_000, 100_000))
    told = set_amplitude(BEGAN + 795 * MS, 2_000_000, 2_100_000)
    found = rules(session(raised((40, 2_100_000)), told=told), setting(narrow))
    assert "approved-range" in found
    assert "amplitude-as-named" in found


def test_two_steps_at_one_unit_are_found() -> None:
    told = [
        *set_amplitude(BEGAN + 785 * MS, 2_000_000, 2_100_000),
        *set_amplitude(BEGAN + 795 * MS, 2_100_000, 2_200_000, command=21),
    ]
    assert rules(session(raised((40, 2_200_000)), told=told)) == {"one-step-a-unit"}
    assert rules(session(raised((40, 2_100_000), (41, 2_200_000)), told=told)) == set()


def test_a_fourth_step_within_a_second_is_found_at_the_electrode_and_on_the_wire() -> None:
    def stairs(apart_ms: int) -> tuple[Rows, list[Record]]:
        told: list[Record] = []
        changes = []
        for number in range(4):
            at_ns = BEGAN + 595 * MS + number * apart_ms * MS
            level = 2_000_000 + number * 100_000
            told += set_amplitude(at_ns, level, level + 100_000, command=20 + number)
            changes.append(((at_ns - BEGAN) // (20 * MS) + 1, level + 100_000))
        return raised(*changes), told

    rows, told = stairs(340)
    assert rules(session(rows, told=told)) == set()
    rows, told = stairs(300)
    assert rules(session(rows, told=told)) == {"three-steps-a-second", "amplitude-as-named"}


def test_units_nearer_than_the_period_are_found() -> None:
    rows = [(row[0] - 1, *row[1:]) if row[6] == 40 else row for row in train(area(), 60)]
    assert rules(session(rows)) == {"rate"}


def test_pulses_of_a_burst_nearer_than_their_period_or_too_many_are_found() -> None:
    one = KINDS["passive-after-burst"]
    rows = [(row[0] - 1, *row[1:]) if (row[6], row[7]) == (40, 1) else row for row in train(one, 60)]
    assert rules(session(rows), setting(one)) == {"rate"}
    many = train(replace(one, burst_pulses=5), 60)
    assert "rate" in rules(session(many), setting(one))


def test_two_areas_keep_the_guard() -> None:
    first, second = area(), area(shares=((6, -1000), (8, 1000)), recharge="active-symmetric")
    first = replace(first, recharge="active-symmetric")
    given = setting(first, second)

    def both(offset_us: int) -> Rows:
        later = [(*row[:5], 1, *row[6:]) for row in train(second, 60, offset_us=offset_us)]
        return [*train(first, 60), *later]

    assert rules(session(both(520)), given) == set()
    assert rules(session(both(519)), given) == {"areas-apart"}


def test_a_unit_of_an_area_that_had_to_wait_is_not_too_near_to_its_next() -> None:
    first = area(recharge="active-symmetric")
    second: Area = replace(first, shares=((6, -1000), (8, 1000)))
    moved = [
        (row[0] + (1000 if row[6] == 40 else 0), *row[1:5], 1, *row[6:])
        for row in train(second, 60, offset_us=10_000)
    ]
    assert rules(session([*train(first, 60), *moved]), setting(first, second)) == set()


# ------------------------------------------------------------------------------------------- soft stops


def soft_stop(at_ns: int) -> list[Record]:
    fields = {"state": 5, "at_tick": 0, "silent_tick": 0}
    return [
        HostFrame(at_ns - MS, "SOFT_STOP", session=1, command_id=30),
        DeviceFrame(at_ns, "SOFT_STOP", "reply", session=1, command_id=30, fields=fields),
    ]


def test_a_soft_stop_that_falls_by_its_ramp_passes_and_one_that_stays_does_not() -> None:
    at_ms = 1000

    def falling(unit: int) -> int:
        left = at_ms + 500 - unit * 20
        return 2_000_000 * max(0, min(500, left)) // 500

    rows = train(area(), 90, amplitude=falling)
    told = soft_stop(BEGAN + at_ms * MS)
    assert rules(session(rows, told=told)) == set()
    assert "falls-after-soft-stop" in rules(session(train(area(), 60), told=told))


def test_two_seconds_after_a_soft_stop_no_unit_starts() -> None:
    slow = area(ramp_down_ns=10 * SECOND)
    told = soft_stop(BEGAN + 500 * MS)
    found = rules(session(train(slow, 130), told=told, lasts_ns=4 * SECOND), setting(slow))
    assert "silent-after-soft-stop" in found


# ----------------------------------------------------------------------------------------- measurements


def measured(*, na: int = 500_000, width: int = 50, pulses: int = 10, back: int = -1) -> set[str]:
    """What is found in a measurement of contact 3 against contact 5."""
    rows: Rows = []
    for unit in range(pulses):
        for part, sign in ((0, 1), (1, back)):
            start = 5_000 * unit + part * width
            rows.append((start, width, 3, part, -sign * na, 0, unit, 0, 0))
            rows.append((start, width, 5, part, sign * na, 0, unit, 0, 0))
    one = replace(flow(rows), digest="", by="measurement")
    return {name for name in rules([one]) if name in ("measurement-is-small", "phase-width")}


def test_a_measurement_is_small_short_balanced_and_few() -> None:
    assert measured() == set()
    for wrong in ({"na": 510_000}, {"width": 51}, {"pulses": 11}, {"back": 1}):
        assert "measurement-is-small" in measured(**wrong)
