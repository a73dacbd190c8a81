"""The monitor's rules in time, of starts, states and books: one good history, and the nearest bad ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from neurostim_torture.monitor import (
    RULES,
    Books,
    Counter,
    DeviceFrame,
    Flow,
    HostFrame,
    Intent,
    Kept,
    Life,
    Power,
    Taken,
)
from neurostim_torture.monitor.records import PowerWhat, Record
from support.monitor_histories import (
    APPROVAL,
    BEGAN,
    DIGEST,
    MS,
    SECOND,
    TOKEN,
    area,
    counters,
    flow,
    heartbeats,
    judged,
    rules,
    session,
    setting,
    start,
    state,
    stop,
    train,
)

ROWS = train(area(), 60)
LAST = BEGAN + 1_180_200_000
"""When the last phase of `ROWS` ends: unit 59 begins 1.18 s after the start."""


def without(records: list[Record], unwanted: Callable[[Any], bool]) -> list[Record]:
    """A history with some records left out; at least one."""
    left = [one for one in records if not unwanted(one)]
    assert len(left) < len(records)
    return left


def swapped(records: list[Record], kind: type, change: Callable[[Any], Any]) -> list[Record]:
    """A history with every record of a type changed."""
    return [change(one) if isinstance(one, kind) else one for one in records]


def test_every_rule_has_a_name_of_its_own_a_bound_and_a_source() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.bound and rule.source for rule in RULES)


# ------------------------------------------------------------------------------------------------ in time


@pytest.mark.parametrize(("early_ns", "found"), [(MS, set()), (MS + 1, {"silent-without-host"})])
def test_a_phase_ends_500_ms_after_the_last_heartbeat_at_the_latest(early_ns: int, found: set[str]) -> None:
    last = LAST - 500 * MS - early_ns
    records = without(
        session(ROWS), lambda one: isinstance(one, HostFrame) and one.living and one.at_ns > last
    )
    assert rules([*records, HostFrame(last, "HEARTBEAT", living=True)]) == found


@pytest.mark.parametrize("origin", ["observer", "replayed", "forged"])
def test_the_heartbeat_of_another_keeps_nothing_alive(origin: Any) -> None:
    records = swapped(
        session(ROWS),
        HostFrame,
        lambda one: replace(one, origin=origin) if one.living and one.at_ns > BEGAN + 500 * MS else one,
    )
    assert rules(records) == {"silent-without-host", "silent-however-late"}


def test_the_heartbeat_of_a_program_that_does_not_live_keeps_nothing_alive() -> None:
    records = swapped(
        session(ROWS),
        HostFrame,
        lambda one: replace(one, living=False) if one.at_ns > BEGAN + 500 * MS and one.living else one,
    )
    assert rules(records) == {"silent-without-host", "silent-however-late"}


@pytest.mark.parametrize("what", ["ui", "journal"])
@pytest.mark.parametrize(("early_ns", "found"), [(MS, set()), (MS + 1, {"silent-without-program"})])
def test_output_ends_1510_ms_after_the_program_or_journal(what: Any, early_ns: int, found: set[str]) -> None:
    rows = train(area(), 95)
    last = BEGAN + 1_880_200_000 - 1_510 * MS - early_ns
    records = without(
        session(rows), lambda one: isinstance(one, Life) and one.what == what and one.at_ns > last
    )
    assert rules([*records, Life(last, what)]) == found


@pytest.mark.parametrize(("early_ns", "found"), [(0, set()), (1, {"silent-after-asking"})])
def test_output_ends_500_ms_after_a_person_asked_for_a_stop(early_ns: int, found: set[str]) -> None:
    asked = LAST - 500 * MS - early_ns
    records = [*session(ROWS), Intent(asked, "stop"), HostFrame(asked, "STOP", session=1)]
    assert rules(records) == found


def test_the_stop_is_the_first_frame_after_it_was_asked_for() -> None:
    asked = BEGAN + 1_250 * MS
    sent = HostFrame(asked + 1, "STOP", session=1)
    beat = HostFrame(asked, "HEARTBEAT", living=True, fields={"ui_token": 1, "journal_token": 1})
    good = [*session(ROWS), Intent(asked, "stop")]
    assert rules([*good, sent]) == rules([*good, beat, sent]) == set()
    late = replace(beat, at_ns=asked + 1)
    assert rules([*good, late, replace(sent, at_ns=asked + 2)]) == {"stop-leaves-first"}
    assert rules(good) == {"stop-leaves-first"}


def test_after_a_stop_the_pulse_under_way_is_the_last() -> None:
    under_way = BEGAN + 1_180_100_000
    told = [*stop(under_way), state(under_way, 4, 6)]
    assert rules(session(ROWS, told=told)) == set()
    before = BEGAN + 1_179_000_000
    told = [*stop(before), state(before, 4, 6)]
    assert rules(session(ROWS, told=told)) == {"silent-after-stop"}


def test_a_processor_that_stands_still_takes_no_stop() -> None:
    told = [Power(BEGAN + 900 * MS, "hang"), *stop(BEGAN + 1_000 * MS)]
    assert rules(session(ROWS, told=told)) == set()


def test_after_an_emergency_stop_the_sources_are_off_within_20_us() -> None:
    for late_us, found in ((20, set[str]()), (21, {"silent-after-emergency"})):
        moment = LAST - late_us * 1000
        told = [*stop(moment, "EMERGENCY_STOP"), state(moment, 4, 6)]
        assert rules(session(ROWS, told=told)) == found


@pytest.mark.parametrize("what", ["reset", "brown_out", "power_cut", "off_button", "battery"])
def test_nothing_flows_after_the_supply_is_gone(what: PowerWhat) -> None:
    assert "silent-without-supply" not in rules(session(ROWS, told=[Power(LAST, what)]))
    assert "silent-without-supply" in rules(session(ROWS, told=[Power(LAST - 100 * MS, what)]))


def test_a_processor_that_stands_still_ends_output_within_its_watchdog() -> None:
    assert rules(session(ROWS, told=[Power(LAST - 500 * MS, "hang")])) == set()
    assert rules(session(ROWS, told=[Power(LAST - 501 * MS, "hang")])) == {"silent-without-processor"}


# ------------------------------------------------------------------------------------------------- starts


def test_a_dose_that_nobody_asked_for_is_found() -> None:
    records = without(session(ROWS), lambda one: isinstance(one, Intent))
    assert rules(records) == {"doses-at-most-intents"}


def test_an_intent_for_another_program_or_count_is_none() -> None:
    for change in ({"digest": "cc" * 32}, {"dose_count": 1}):
        records = swapped(session(ROWS), Intent, lambda one, change=change: replace(one, **change))  # type: ignore[misc]
        assert rules(records) == {"doses-at-most-intents"}


def test_a_dose_that_is_only_counted_needs_an_intent_too() -> None:
    records = session(ROWS, dose_count=2, journal_announced=2, uncertain=True)
    assert rules(records) == {"doses-at-most-intents"}


def test_an_image_that_was_never_approved_is_found() -> None:
    other = "cc" * 32
    records = [
        replace(one, digest=other) if isinstance(one, (Flow, Intent)) else one for one in session(ROWS)
    ]
    assert "fired-is-approved" in rules(records)


@pytest.mark.parametrize("field", ["image_sha256", "approval_sha256"])
def test_what_is_fired_is_what_was_armed(field: str) -> None:
    def other(one: HostFrame) -> HostFrame:
        return replace(one, fields={**one.fields, field: bytes(32)}) if one.kind == "ARM" else one

    assert rules(swapped(session(ROWS), HostFrame, other)) == {"fired-is-approved"}


def moved_fire(records: list[Record], by_ns: int) -> list[Record]:
    """A history in which FIRE had been sent earlier, and all before it too."""
    kinds = (HostFrame, Intent, Kept, DeviceFrame, Taken)
    return [
        replace(one, at_ns=one.at_ns - by_ns)
        if isinstance(one, kinds)
        and BEGAN - 60 * MS < one.at_ns < BEGAN
        and getattr(one, "kind", "") != "HEARTBEAT"
        else one
        for one in records
    ]


def test_a_fire_that_lay_in_a_buffer_is_found() -> None:
    assert rules(moved_fire(session(ROWS), 498 * MS)) == set()
    assert "fire-is-fresh" in rules(moved_fire(session(ROWS), 499 * MS))


def test_a_dose_without_the_fire_of_the_host_is_found() -> None:
    for origin in ("observer", "replayed", "forged"):

        def strange(one: HostFrame, origin: Any = origin) -> HostFrame:
            return replace(one, origin=origin) if one.kind == "FIRE" else one

        found = rules(swapped(session(ROWS), HostFrame, strange))
        assert found >= {"fire-is-fresh", "changes-are-asked"}


def test_a_token_that_the_device_did_not_give_is_found() -> None:
    def other(one: HostFrame) -> HostFrame:
        fields = {"token": TOKEN + 1, "expected_dose_count": 0}
        return replace(one, fields=fields) if one.kind == "FIRE" else one

    assert rules(swapped(session(ROWS), HostFrame, other)) == {"token-once"}


def test_a_token_that_was_used_or_destroyed_or_is_old_is_found() -> None:
    again = [
        *session(ROWS, dose_count=2, journal_announced=2, journal_started=2, counters={}),
        *start(2, began_ns=BEGAN + 2 * SECOND, command=40),
        replace(flow([]), dose=2, began_ns=BEGAN + 2 * SECOND),
    ]
    assert "token-once" in rules(again)
    fresh = [
        *session(ROWS, dose_count=2, journal_announced=2, journal_started=2),
        *start(2, began_ns=BEGAN + 2 * SECOND, command=40, token=TOKEN + 1),
        replace(flow([]), dose=2, began_ns=BEGAN + 2 * SECOND),
    ]
    assert rules(fresh) == set()
    stopped = [*session(ROWS), *stop(BEGAN - 10 * MS)]
    assert "token-once" in rules(stopped)
    assert "token-once" in rules(
        [*session(ROWS), Power(BEGAN - 10 * MS, "reset"), Power(BEGAN - 9 * MS, "boot")]
    )
    replaced = DeviceFrame(
        BEGAN - 30 * MS, "ARM", "reply", session=1, command_id=12, fields={"token": 5, "dose_count": 0}
    )
    assert "token-once" in rules([*session(ROWS), replaced])
    late = swapped(
        session(ROWS),
        DeviceFrame,
        lambda one: replace(one, at_ns=one.at_ns - 2 * SECOND + 30 * MS) if one.kind == "ARM" else one,
    )
    assert "token-once" in rules(late)


def test_a_fire_before_its_record_is_on_the_disk_is_found() -> None:
    late = swapped(session(ROWS), Kept, lambda one: replace(one, at_ns=BEGAN - MS))
    other = swapped(session(ROWS), Kept, lambda one: replace(one, data={"expected_dose_count": 5}))
    for records in (late, other, without(session(ROWS), lambda one: isinstance(one, Kept))):
        assert rules(records) == {"journal-before-fire"}


# ------------------------------------------------------------------------------------------------- states


def test_a_state_that_nobody_asked_for_is_found() -> None:
    for before, after in ((1, 3), (3, 4), (3, 2), (6, 1), (7, 1)):
        records = [*session(ROWS), state(BEGAN + 1_900 * MS, before, after)]
        assert "changes-are-asked" in rules(records)
    assert rules([*session(ROWS), state(BEGAN + 1_900 * MS, 4, 1)]) == set()


def test_one_command_explains_one_change() -> None:
    records = [*session(ROWS), state(BEGAN - 20 * MS, 1, 3)]
    assert rules(records) == {"changes-are-asked"}


def test_a_change_long_after_its_command_is_found() -> None:
    clear = HostFrame(BEGAN + 1_300 * MS, "CLEAR", session=1, command_id=50)
    latched = [*stop(BEGAN + 1_250 * MS), state(BEGAN + 1_250 * MS, 4, 6), clear]
    for late_ms, found in ((500, set[str]()), (502, {"changes-are-asked"})):
        released = state(clear.at_ns + late_ms * MS, 6, 1)
        assert rules(session(ROWS, told=[*latched, released])) == found


def answers(*told: tuple[str, dict[str, Any]], kind: str = "ARM") -> list[Record]:
    """Answers to one command, in order."""
    at = BEGAN + 1_500 * MS
    replies = [
        DeviceFrame(at + i, name, "reply", session=1, command_id=60, fields=fields)
        for i, (name, fields) in enumerate(told)
    ]
    return [*session(ROWS), HostFrame(at - MS, kind, session=1, command_id=60, fields={}), *replies]


def test_a_repeat_that_gives_another_outcome_is_found() -> None:
    first, second = ("CLEAR", {"state": 1}), ("CLEAR", {"state": 6})
    refused = ("ERROR", {"code": 8, "request_type": 0x33})
    stale = ("ERROR", {"code": 11, "request_type": 0x33})
    assert rules(answers(first, first, kind="CLEAR")) == set()
    assert rules(answers(stale, first, kind="CLEAR")) == set()
    assert rules(answers(refused, stale, kind="CLEAR")) == set()
    assert rules(answers(first, stale, kind="CLEAR")) == {"outcome-is-kept"}
    for told in ((first, second), (first, refused), (refused, first)):
        assert rules(answers(*told, kind="CLEAR")) == {"outcome-is-kept"}


def test_the_command_of_another_that_is_carried_out_is_found() -> None:
    at = BEGAN + 1_500 * MS
    forged = HostFrame(at - MS, "LOAD_BEGIN", "forged", session=1, command_id=99)
    done = DeviceFrame(at, "LOAD_BEGIN", "reply", session=1, command_id=99)
    refused = DeviceFrame(at, "ERROR", "reply", session=1, command_id=99, fields={"code": 6})
    assert rules([*session(ROWS), forged, refused]) == set()
    assert rules([*session(ROWS), forged, done]) == {"others-change-nothing"}


def again(*between: Record) -> list[Record]:
    """Two doses, with something between them."""
    second = BEGAN + 2 * SECOND
    return [
        *session(ROWS, lasts_ns=3 * SECOND, dose_count=2, journal_announced=2, journal_started=2),
        *between,
        *start(2, began_ns=second, command=40, token=TOKEN + 1),
        replace(flow([]), dose=2, began_ns=second),
    ]


def cleared(at_ns: int) -> list[Record]:
    """A person releases the latch."""
    return [
        HostFrame(at_ns - MS, "CLEAR", session=1, command_id=50),
        Taken(at_ns, "CLEAR", session=1, command_id=50),
        state(at_ns, 6, 1),
    ]


def test_after_a_stop_the_next_dose_needs_clear_arm_and_fire() -> None:
    halted = [*stop(BEGAN + 1_250 * MS), state(BEGAN + 1_250 * MS, 4, 6)]
    assert rules(again(*halted, *cleared(BEGAN + 1_400 * MS))) == set()
    assert rules(again(*halted)) == {"latched-until-cleared"}
    assert rules(again(state(BEGAN + 1_250 * MS, 4, 7))) == {"latched-until-cleared"}


def test_a_stop_after_arming_latches_again() -> None:
    halted = [*stop(BEGAN + 1_250 * MS), state(BEGAN + 1_250 * MS, 4, 6), *cleared(BEGAN + 1_400 * MS)]
    late = stop(BEGAN + 1_970 * MS)
    assert rules(again(*halted, *late)) == {"token-once", "latched-until-cleared"}


def test_after_a_reset_in_output_the_next_dose_needs_clear() -> None:
    lost = [Power(LAST, "reset"), Power(LAST + 1, "boot")]
    records = again(*lost, *cleared(BEGAN + 1_400 * MS))
    assert rules(records) == set()
    assert rules(again(*lost)) == {"latched-until-cleared"}
    over = state(LAST + 100 * MS, 4, 1)
    idle = [over, Power(LAST + 200 * MS, "reset"), Power(LAST + 201 * MS, "boot")]
    assert rules(again(*idle)) == set()


def change(at_ns: int, before: int, after: int, **more: Any) -> list[Record]:
    """A change of amplitude, confirmed."""
    asked = {"dose_number": 1, "area": 0, "from_na": before, "to_na": after}
    done = {"dose_number": 1, "area": 0, "amplitude_na": after, "at_tick": at_ns}
    command = at_ns // MS
    return [
        HostFrame(at_ns - MS, "SET_AMPLITUDE", session=1, command_id=command, fields=asked, **more),
        DeviceFrame(at_ns, "SET_AMPLITUDE", "reply", session=1, command_id=command, fields=done),
    ]


def test_a_change_names_the_amplitude_it_replaces_and_is_one_step() -> None:
    late = BEGAN + 1_300 * MS
    assert rules([*session(ROWS), *change(late, 2_000_000, 2_100_000)]) == set()
    for before, after in ((1_900_000, 2_000_000), (2_000_000, 2_200_000), (2_000_000, 2_500_000)):
        assert rules([*session(ROWS), *change(late, before, after)]) == {"amplitude-as-named"}
    downward = change(late, 2_000_000, 1_600_000)
    assert rules([*session(ROWS), *downward]) == set()
    assert "amplitude-as-named" in rules(
        [*session(ROWS), *change(late, 2_000_000, 1_900_000, origin="replayed")]
    )


# -------------------------------------------------------------------------------------------------- books


def test_counters_that_are_one_attocoulomb_off_are_found() -> None:
    right = counters(flow(ROWS))
    for name in ("pulses", "cathodic_ac", "recovered_ac"):
        for by in (1, -1):
            wrong = {**right, 3: replace(right[3], **{name: getattr(right[3], name) + by})}
            assert rules(session(ROWS, counters=wrong)) == {"counters-are-the-charge"}


def test_counters_count_from_what_they_were_before() -> None:
    right = counters(flow(ROWS))
    before = {3: Counter(7, 8, 9, -10)}
    after = {
        **right,
        3: Counter(*(getattr(right[3], f) + getattr(before[3], f) for f in Counter.__slots__)),
    }
    assert rules(session(ROWS, counters=after, at_start=before)) == set()
    assert rules(session(ROWS, counters=right, at_start=before)) == {"counters-are-the-charge"}


def test_after_a_loss_of_power_counters_may_be_above_the_charge_by_the_bound_and_never_below() -> None:
    right = counters(flow(ROWS))
    lost = [Power(LAST, "reset")]
    # 1.51 s at 50 Hz and three units more, one step above the top of the range, 5 %.
    bound = (75 + 3) * 2_410_000 * 200_000
    bound += bound * 50 // 1000 + 1

    def with_counted(by: int) -> set[str]:
        counted = {**right, 3: replace(right[3], cathodic_ac=right[3].cathodic_ac + by)}
        return rules(session(ROWS, told=lost, counters=counted))

    assert with_counted(0) == with_counted(bound) == set()
    assert with_counted(-1) == with_counted(bound + 1) == {"counters-are-the-charge"}


@pytest.mark.parametrize(
    ("books", "agrees"),
    [
        ({}, True),
        ({"journal_announced": 0, "journal_started": 0}, False),
        ({"journal_started": 0, "uncertain": True}, True),
        ({"journal_started": 0}, False),
        ({"journal_announced": 2, "journal_started": 2}, False),
        ({"journal_announced": 2, "journal_started": 1}, True),
        ({"has_journal": False, "journal_announced": 0}, True),
    ],
)
def test_the_journal_holds_what_the_device_counts_but_for_the_one_in_flight(
    books: dict[str, Any], agrees: bool
) -> None:
    found = rules(session(ROWS, **books))
    assert found == (set() if agrees else {"journal-is-the-electrode"})


def test_two_doses_in_flight_are_one_too_many() -> None:
    records = again()
    books = next(one for one in records if isinstance(one, Books))
    records.remove(books)
    assert rules([*records, replace(books, journal_started=0, uncertain=True)]) == {
        "journal-is-the-electrode"
    }


def test_violations_come_in_order_of_time() -> None:
    records = [*session(ROWS), state(BEGAN + 1_900 * MS, 6, 1), Intent(BEGAN + 100 * MS, "stop")]
    records.append(HostFrame(BEGAN + 100 * MS, "STOP", session=1))
    moments = [one.at_ns for one in judged(records, setting())]
    assert moments == sorted(moments)
    assert len(moments) == 2


def test_the_history_of_the_tests_is_a_whole_one() -> None:
    assert judged(session(ROWS)) == []
    assert judged(again()) == []
    assert {type(one) for one in session(ROWS)} >= {HostFrame, Taken, DeviceFrame, Flow, Kept, Life, Books}
    assert DIGEST != APPROVAL
    assert len(heartbeats(SECOND)) == 33
