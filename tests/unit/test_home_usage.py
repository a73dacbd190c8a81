"""The usage log as the host has it: sums, digest, file, and what is refused."""

import hashlib
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurostim.core.errors import ConfigError, ProtocolError
from neurostim.device.records import Identity
from neurostim.device.usage import (
    UsageLog,
    civil_date,
    day_of,
    moment_of,
    require_unbroken,
    summarise,
    usage_digest,
)
from neurostim.session.errors import JournalError
from neurostim.session.usage_file import SavedUsage, read_saved, read_usage, write_usage
from neurostim.wire.messages import NO_SLOT, UsageKind, UsageRecord

WHO = Identity("Bench", "SIM-1", "1.0", "scs", 1, 3)
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US


def record(index, kind, *, slot=NO_SLOT, place=0, count=0, value=0, rest=0, wall=0, boot=1):
    return UsageRecord(index, boot, index * 1000, wall, kind, slot, place, count, value, rest)


def log_of(*records):
    return UsageLog(records, records[0].index if records else 1, usage_digest(records))


def test_sums_are_exact_by_contact_slot_day_and_cause():
    found = summarise(
        [
            record(1, UsageKind.START, slot=0, count=7),
            record(2, UsageKind.HOUR_ON, slot=0, value=HOUR_US, count=144_000, wall=1_767_225_600),
            record(3, UsageKind.HOUR_CONTACT, slot=0, place=3, count=144_000, value=10**10, rest=999_999_999),
            record(4, UsageKind.HOUR_CONTACT, slot=0, place=3, count=1, value=0, rest=1),
            record(5, UsageKind.HOUR_RECOVERED, slot=0, place=3, value=-1, rest=999_999_999),
            record(6, UsageKind.HOUR_ON, slot=1, value=5, boot=2),
            record(7, UsageKind.CHARGE_BOUND, place=3, value=40),
            record(8, UsageKind.STOP, value=8),
            record(9, UsageKind.FAULT, value=1),
            record(10, UsageKind.BATTERY, value=400),
            record(11, UsageKind.BATTERY, value=900),
        ]
    )
    assert found.on_us == HOUR_US + 5
    assert found.by_slot_us == {0: HOUR_US, 1: 5}
    assert found.days == {"2026-01-01": HOUR_US, "boot 2, day 1, time of day unknown": 5}
    one = found.contacts[3]
    assert (one.pulses, one.cathodic_ac) == (144_001, 10**19 + 10**9)
    assert (one.recovered_ac, one.bound_ac) == (-1, 40 * 10**9)
    assert found.stop_causes == {8: 1}
    assert found.faults == {1: 1}
    assert found.lowest_battery == 400
    assert found.counts[UsageKind.BATTERY] == 2


def test_a_time_of_day_that_nobody_told_is_called_unknown_and_a_wild_one_does_not_crash():
    assert day_of(record(1, UsageKind.HOUR_ON)) == "boot 1, day 1, time of day unknown"
    whole = record(DAY_US // 1000, UsageKind.HOUR_ON)
    assert day_of(whole) == "boot 1, day 1, time of day unknown"
    assert day_of(record(DAY_US // 1000 + 1, UsageKind.HOUR_ON)) == "boot 1, day 2, time of day unknown"
    assert civil_date(0) == "1970-01-01"
    assert civil_date(20_000) == "2024-10-04"
    assert civil_date(2**63) == f"day {2**63} since 1970"


def test_the_digest_is_that_of_the_bytes_the_specification_lays_out():
    one = record(2, UsageKind.HOUR_CONTACT, slot=1, place=3, count=5, value=-2, rest=7, wall=9)
    laid_out = struct.pack("<QIQQBBBQqI", 2, 1, 2000, 9, int(UsageKind.HOUR_CONTACT), 1, 3, 5, -2, 7)
    assert usage_digest([one]) == hashlib.sha256(laid_out).digest()


@pytest.mark.parametrize("indices", [(1, 3), (2, 1), (1, 1)])
def test_a_log_with_a_gap_or_out_of_order_is_refused(indices):
    with pytest.raises(ProtocolError) as refused:
        require_unbroken([record(i, UsageKind.BOOT) for i in indices], 1)
    assert refused.value.code == "usage-order"


def test_a_file_holds_exactly_what_was_read(tmp_path):
    log = log_of(record(5, UsageKind.BOOT, count=4), record(6, UsageKind.STEP, place=1, value=2_000_000))
    path = tmp_path / "usage.jsonl"
    write_usage(path, WHO, "S-014", log)
    assert read_usage(path) == log
    assert json.loads(path.read_text().splitlines()[0])["subject"] == "S-014"


def test_an_empty_log_is_a_file_too(tmp_path):
    path = tmp_path / "usage.jsonl"
    write_usage(path, WHO, None, log_of())
    assert read_usage(path).records == ()


@pytest.mark.hazard("tamper")
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_any_changed_byte_of_the_file_is_found(tmp_path_factory, place, byte):
    log = log_of(record(1, UsageKind.BOOT, count=4), record(2, UsageKind.STEP, place=1, value=2_000_000))
    path = tmp_path_factory.mktemp("usage") / "usage.jsonl"
    write_usage(path, WHO, "S", log)
    data = bytearray(path.read_bytes())
    place %= len(data)
    if data[place] == byte:
        return
    data[place] = byte
    path.write_bytes(data)
    try:
        # White space and the case of the digest are not content.
        assert read_saved(path) == SavedUsage(WHO.model, WHO.serial_number, "S", log)
    except ConfigError:
        return


@pytest.mark.hazard("tamper")
@pytest.mark.parametrize(
    ("old", "new"), [("SIM-1", "SIM-2"), ('"S"', '"T"'), ('"S"', "null"), ("Bench", "Other")]
)
def test_a_log_is_not_given_to_another_device_or_subject(tmp_path, old, new):
    path = tmp_path / "usage.jsonl"
    write_usage(path, WHO, "S", log_of(record(1, UsageKind.BOOT)))
    assert read_saved(path).serial_number == "SIM-1"
    first, *rest = path.read_text().splitlines(keepends=True)
    assert old in first
    path.write_text("".join([first.replace(old, new), *rest]))
    with pytest.raises(ConfigError):
        read_saved(path)


def test_an_erased_log_is_told_from_one_whose_oldest_records_made_room():
    released = record(8, UsageKind.RELEASED)
    assert not log_of(record(1, UsageKind.RELEASED)).begins_anew
    assert log_of(released, record(9, UsageKind.START)).begins_anew
    assert UsageLog((), 8, usage_digest(())).begins_anew
    assert not UsageLog((), 1, usage_digest(())).begins_anew
    assert not log_of(record(8, UsageKind.HOUR_ON), record(9, UsageKind.START)).begins_anew


def test_a_moment_is_told_by_a_hosts_clock_or_as_unknown():
    assert moment_of(record(1, UsageKind.BOOT, wall=1_767_225_600 + 3660)) == "2026-01-01 01:01 UTC"
    late = record(HOUR_US // 1000 + 120_000, UsageKind.BOOT, boot=3)
    assert moment_of(late) == "1 h 02 min into boot 3, time of day unknown"


@pytest.mark.parametrize("cut", ["header", "record", "end"])
def test_a_file_cut_short_is_refused(tmp_path, cut):
    log = log_of(record(1, UsageKind.BOOT), record(2, UsageKind.BOOT))
    path = tmp_path / "usage.jsonl"
    write_usage(path, WHO, "S", log)
    lines = path.read_text().splitlines(keepends=True)
    kept = {"header": lines[1:], "record": [lines[0], *lines[2:]], "end": lines[:-1]}[cut]
    path.write_text("".join(kept))
    with pytest.raises(ConfigError):
        read_usage(path)


def test_an_existing_file_is_never_written_over(tmp_path):
    path = tmp_path / "usage.jsonl"
    path.write_text("something of value")
    with pytest.raises(JournalError) as refused:
        write_usage(path, WHO, "S", log_of())
    assert refused.value.code == "usage-file"
    assert path.read_text() == "something of value"


class FullDisk:
    def write(self, data):
        raise OSError(28, "No space left on device")

    def sync(self):
        raise AssertionError("never reached")

    def truncate(self, size):
        raise AssertionError("never reached")

    def close(self):
        pass


@pytest.mark.hazard("disk")
def test_a_full_disk_is_told_before_anything_is_taken_back(tmp_path):
    with pytest.raises(JournalError) as refused:
        write_usage(tmp_path / "u", WHO, "S", log_of(), opener=lambda path, *, new: FullDisk())
    assert "nothing was taken back" in str(refused.value)
