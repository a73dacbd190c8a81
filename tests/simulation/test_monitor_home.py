"""The monitor's rules at home: a day with one start is good, and the nearest bad ones are found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from neurostim_torture.monitor import (
    Area,
    Books,
    DeviceFrame,
    Flow,
    HostFrame,
    Intent,
    Power,
    Range,
    Setting,
    Violation,
)
from neurostim_torture.monitor.records import PowerWhat, Record, UsageRead
from support.monitor_histories import (
    BEGAN,
    DIGEST,
    MS,
    SECOND,
    area,
    counters,
    flow,
    judged,
    rules,
    setting,
    train,
)

PATIENT = Range(1_600_000, 2_000_000, 100_000)
RELEASED = Intent(SECOND, "release", slots=(DIGEST,), until_ns=100 * SECOND)


def home_setting(**changes: object) -> Setting:
    """The usual setting with a patient's range."""
    return setting(area(patient=PATIENT, **changes))


def doses(*began: int, one: Area | None = None) -> list[Flow]:
    """Doses that the patient's control began."""
    rows = train(one or area(), 60)
    return [
        replace(flow(rows), at_ns=at_ns + 5 * SECOND, dose=number, began_ns=at_ns, by="patient")
        for number, at_ns in enumerate(began, start=1)
    ]


def day(flows: Iterable[Flow], *told: Record, release: Intent | None = RELEASED) -> list[Record]:
    """A press for each dose, the release before, and books that agree."""
    whole = list(flows)
    books = Books(
        at_ns=500 * SECOND,
        dose_count=len(whole),
        dose_count_at_start=0,
        counters=counters(*whole),
        has_journal=False,
    )
    presses = [Intent(one.began_ns - 200 * MS, "patient_start") for one in whole]
    return [Power(0, "boot"), *([release] if release else []), *presses, *whole, books, *told]


def found(records: Iterable[Record], given: Setting | None = None) -> set[str]:
    return rules(records, given or home_setting())


def test_a_dose_that_the_patient_started_breaks_no_rule() -> None:
    none: list[Violation] = []
    assert judged(day(doses(BEGAN, BEGAN + 30 * SECOND)), home_setting()) == none


def test_a_dose_without_a_press_of_its_own_is_found() -> None:
    records = day(doses(BEGAN, BEGAN + 3 * SECOND))
    pressed_once = [one for one in records if not (isinstance(one, Intent) and one.at_ns > BEGAN)]
    assert found(pressed_once) >= {"patient-starts"}
    late = day(doses(BEGAN), Intent(BEGAN + MS, "patient_start"))
    assert found([one for one in late if one != Intent(BEGAN - 200 * MS, "patient_start")]) >= {
        "patient-starts"
    }


@pytest.mark.parametrize("what", ["reset", "battery", "off_button", "brown_out"])
def test_after_a_loss_of_power_only_a_new_press_starts(what: PowerWhat) -> None:
    assert found(day(doses(BEGAN), Power(BEGAN - 300 * MS, what))) == set()
    assert "patient-starts" in found(day(doses(BEGAN), Power(BEGAN - 100 * MS, what)))


def test_what_was_not_released_or_is_taken_back_does_not_run() -> None:
    other = replace(RELEASED, slots=("cc" * 32,))
    assert "inside-the-release" in found(day(doses(BEGAN), release=None))
    assert "inside-the-release" in found(day(doses(BEGAN), release=other))
    assert "inside-the-release" in found(day(doses(BEGAN), Intent(BEGAN - 500 * MS, "take_back")))


def test_output_fades_when_the_release_ends() -> None:
    last = BEGAN + 1_180_200_000
    ends = replace(RELEASED, until_ns=last - 2 * SECOND)
    assert found(day(doses(BEGAN), release=ends)) == set()
    early = replace(RELEASED, until_ns=last - 2_010 * MS)
    assert found(day(doses(BEGAN), release=early)) == {"inside-the-release"}


def test_the_patients_range_holds_at_home_and_not_at_the_bedside() -> None:
    above = area(amplitude_na=2_100_000)
    assert "approved-range" in found(day(doses(BEGAN, one=above)))
    assert "approved-range" not in found(
        day([replace(one, by="host") for one in doses(BEGAN, one=above)], release=None)
    )


def test_a_sixth_start_within_a_minute_is_found() -> None:
    assert found(day(doses(*(BEGAN + n * 9 * SECOND for n in range(5))))) == set()
    assert found(day(doses(*(BEGAN + n * 9 * SECOND for n in range(6))))) == {"no-cycling"}
    assert found(day(doses(*(BEGAN + n * 13 * SECOND for n in range(6))))) == set()


def test_a_host_neither_starts_nor_changes_anything_at_home() -> None:
    by_host = [replace(one, by="host") for one in doses(BEGAN)]
    assert "hosts-change-nothing-at-home" in found(day(by_host))
    at = BEGAN + 2 * SECOND
    for kind in ("LOAD_BEGIN", "CLEAR", "ARM", "SET_AMPLITUDE"):
        fields = {"image_sha256": b"", "approval_sha256": b"", "dose_number": 9, "area": 0, "token": 5}
        asked = HostFrame(at, kind, session=1, command_id=7, fields={**fields, "from_na": 0, "to_na": 0})
        done = DeviceFrame(at + MS, kind, "reply", session=1, command_id=7, fields={**fields, "at_tick": 0})
        refused = DeviceFrame(at + MS, "ERROR", "reply", session=1, command_id=7, fields={"code": 48})
        assert "hosts-change-nothing-at-home" in found(day(doses(BEGAN), asked, done))
        assert "hosts-change-nothing-at-home" not in found(day(doses(BEGAN), asked, refused))
        before = replace(asked, at_ns=SECOND - 2 * MS), replace(done, at_ns=SECOND - MS)
        assert "hosts-change-nothing-at-home" not in found(day(doses(BEGAN), *before))


def test_a_usage_log_may_state_a_bound_only_where_power_was_lost_and_no_larger_than_the_program() -> None:
    whole = doses(BEGAN)
    told, lost = counters(*whole), Power(BEGAN + 10 * SECOND, "reset")

    def log(bound_ac: int) -> UsageRead:
        return UsageRead(400 * SECOND, told, dict.fromkeys(told, bound_ac))

    name = "usage-is-the-charge"
    assert name not in found(day(whole, log(0)))
    assert name in found(day(whole, log(1)))
    assert name not in found(day(whole, log(1), lost))
    assert name in found(day(whole, log(1 << 60), lost))
