"""The journal: durable before use, chained, honest about crashes, tampering and full disks."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurostim.core.errors import ConfigError
from neurostim.session import Journal, JournalError, read_journal
from neurostim.session.adapters import DiskFile, open_durable

SESSION = "0123456789abcdef"


class Ticks:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        self.now += 1000
        return self.now


def create(folder: Path, session: str = SESSION, **more) -> Journal:
    return Journal.create(
        folder, session, monotonic_ns=Ticks(), wall_text=lambda: "2026-01-01T00:00:00.000+00:00", **more
    )


def reopen(path: Path, **more) -> Journal:
    return Journal.reopen(path, monotonic_ns=Ticks(), wall_text=lambda: "later", **more)


class Disk:
    """A disk that fails at the n-th write, takes few bytes at a time, or counts what is synced."""

    def __init__(self, *, fail_at: int = 0, take: int = 1 << 20, sync_fails: bool = False) -> None:
        self.fail_at = fail_at
        self.take = take
        self.sync_fails = sync_fails
        self.writes = 0
        self.log: list[str] = []
        self.file: DiskFile

    def open(self, path: Path, *, new: bool) -> Disk:
        inner = open_durable(path, new=new)
        assert isinstance(inner, DiskFile)
        self.file = inner
        self.log.append("open")
        return self

    def write(self, data: bytes) -> int:
        self.writes += 1
        if self.fail_at and self.writes >= self.fail_at:
            self.file.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.log.append("write")
        return self.file.write(data[: self.take])

    def sync(self) -> None:
        if self.sync_fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.log.append("sync")
        self.file.sync()

    def truncate(self, size: int) -> None:
        self.file.truncate(size)

    def close(self) -> None:
        self.file.close()


def test_what_is_appended_is_read_back_in_order(tmp_path) -> None:
    with create(tmp_path) as journal:
        journal.append("event", {"text": "mu \u00b5", "number": 10**30, "list": [1, None, True]})
        journal.append("fire", {}, durable=True)
    reading = read_journal(journal.path)
    assert [record.kind for record in reading.records] == ["opened", "event", "fire"]
    assert reading.records[1].data == {"text": "mu \u00b5", "number": 10**30, "list": [1, None, True]}
    assert reading.head == journal.head
    assert reading.torn_bytes == 0


def test_a_durable_record_is_synced_before_the_append_returns(tmp_path) -> None:
    disk = Disk()
    with create(tmp_path, opener=disk.open) as journal:
        disk.log.clear()
        journal.append("note", {})
        assert disk.log == ["write"]
        journal.append("start_intended", {}, durable=True)
        assert disk.log == ["write", "write", "sync"]


def test_a_new_journals_name_is_durable(tmp_path, monkeypatch) -> None:
    synced = []
    monkeypatch.setattr("neurostim.session.adapters.sync_folder", synced.append)
    create(tmp_path).close()
    assert synced == [tmp_path]


def test_a_write_that_takes_few_bytes_is_continued(tmp_path) -> None:
    disk = Disk(take=7)
    with create(tmp_path, opener=disk.open) as journal:
        journal.append("event", {"text": "x" * 100}, durable=True)
    assert len(read_journal(journal.path).records) == 2


def test_a_write_of_no_bytes_is_a_failure(tmp_path) -> None:
    disk = Disk(take=0)
    with pytest.raises(JournalError) as caught:
        create(tmp_path, opener=disk.open)
    assert caught.value.code == "journal-write"


def fill(folder: Path, disk: Disk, kept: list[Journal]) -> None:
    kept.append(create(folder, opener=disk.open))
    while True:
        kept[0].append("event", {"n": disk.writes}, durable=True)


@pytest.mark.parametrize("nth", range(1, 6))
def test_a_full_disk_poisons_the_journal_and_leaves_it_whole(tmp_path, nth) -> None:
    disk = Disk(fail_at=nth)
    kept: list[Journal] = []
    with pytest.raises(JournalError, match="Free space") as caught:
        fill(tmp_path, disk, kept)
    written = disk.writes - 1
    assert caught.value.code == "journal-write"
    assert written == nth - 1
    path = tmp_path / f"{SESSION}.journal.jsonl"
    reading = read_journal(path)
    assert (len(reading.records), reading.torn_bytes) == (written, 0)
    for journal in kept:
        with pytest.raises(JournalError):
            journal.append("event", {})
        assert journal.failure is not None
        journal.close()


def test_a_failed_sync_is_a_failed_record(tmp_path) -> None:
    disk = Disk()
    journal = create(tmp_path, opener=disk.open)
    disk.sync_fails = True
    with pytest.raises(JournalError):
        journal.append("start_intended", {}, durable=True)
    with pytest.raises(JournalError):
        journal.sync()
    journal.close()
    assert [record.kind for record in read_journal(journal.path).records] == ["opened"]


@pytest.mark.hazard("two-hosts")
def test_a_second_session_in_the_folder_is_refused_until_the_first_ends(tmp_path) -> None:
    first = create(tmp_path)
    with pytest.raises(JournalError) as caught:
        create(tmp_path, "fedcba9876543210")
    assert caught.value.code == "journal-locked"
    first.close()
    create(tmp_path, "fedcba9876543210").close()


def test_a_session_is_never_written_twice(tmp_path) -> None:
    create(tmp_path).close()
    with pytest.raises(JournalError) as caught:
        create(tmp_path)
    assert caught.value.code == "journal-write"
    create(tmp_path, "fedcba9876543210").close()


@pytest.mark.parametrize("session", ["", "../../etc/passwd", "ABCDEF01", "0123", "g" * 16, "0" * 65])
def test_a_session_id_is_hexadecimal(tmp_path, session) -> None:
    with pytest.raises(ConfigError):
        create(tmp_path, session)


@pytest.mark.parametrize("value", [1.5, float("nan"), b"x", {1: 2}, object(), [[{"a": 0.1}]]])
def test_only_plain_exact_values_are_recorded(tmp_path, value) -> None:
    with create(tmp_path) as journal:
        with pytest.raises(ConfigError):
            journal.append("event", {"value": value})
        journal.append("event", {"value": 1})
    assert len(read_journal(journal.path).records) == 2


def test_a_closed_journal_takes_nothing_and_closes_twice(tmp_path) -> None:
    journal = create(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append("event", {})


def written(tmp_path: Path, count: int = 5) -> Path:
    with create(tmp_path) as journal:
        for number in range(count - 1):
            journal.append("event", {"number": number})
    return journal.path


def test_every_cut_of_the_last_record_is_tolerated_and_told(tmp_path) -> None:
    path = written(tmp_path)
    whole = path.read_bytes()
    last = whole.rfind(b"\n", 0, -1) + 1
    for size in range(last, len(whole)):
        path.write_bytes(whole[:size])
        reading = read_journal(path)
        assert len(reading.records) == 4
        assert reading.torn_bytes == size - last
        assert reading.good_bytes == last


def test_going_on_after_a_crash_cuts_the_torn_record_and_says_so(tmp_path) -> None:
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:-10])
    with reopen(path) as journal:
        journal.append("resolved", {}, durable=True)
    reading = read_journal(path)
    assert [record.kind for record in reading.records[-2:]] == ["reopened", "resolved"]
    assert reading.records[-2].data["torn_bytes"] > 0


@pytest.mark.hazard("tamper")
def test_any_changed_byte_is_found(tmp_path) -> None:
    path = written(tmp_path, 3)
    whole = path.read_bytes()
    for place in range(len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 0x01
        path.write_bytes(changed)
        try:
            reading = read_journal(path)
        except JournalError:
            continue
        # Only a damaged line end can look like a crash, and then the rest is left out and told.
        assert reading.torn_bytes > 0


@pytest.mark.hazard("tamper")
@pytest.mark.parametrize("change", ["drop", "swap", "repeat"])
def test_records_that_are_dropped_swapped_or_repeated_are_found(tmp_path, change) -> None:
    path = written(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    if change == "drop":
        del lines[2]
    elif change == "swap":
        lines[2], lines[3] = lines[3], lines[2]
    else:
        lines.insert(2, lines[2])
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError) as caught:
        read_journal(path)
    assert caught.value.code == "journal-tampered"
    assert ("line 4" if change == "repeat" else "line 3") in caught.value.message


def test_a_record_rewritten_with_a_right_check_sum_breaks_the_chain(tmp_path) -> None:
    import hashlib
    import zlib

    path = written(tmp_path)
    lines = path.read_bytes().splitlines()
    body = json.loads(lines[2])
    del body["crc"], body["hash"]
    body["data"] = {"number": 99}

    def canonical(value) -> bytes:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    body["hash"] = hashlib.sha256(canonical(body)).hexdigest()
    body["crc"] = f"{zlib.crc32(canonical(body)):08x}"
    lines[2] = canonical(body)
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(JournalError, match="line 4"):
        read_journal(path)


def test_changed_content_with_a_right_check_sum_and_the_old_digest_is_found(tmp_path) -> None:
    import zlib

    path = written(tmp_path)
    lines = path.read_bytes().splitlines()
    body = json.loads(lines[-1])
    del body["crc"]
    body["data"] = {"number": 99}
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    body["crc"] = f"{zlib.crc32(canonical):08x}"
    lines[-1] = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    path.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(JournalError, match="digest"):
        read_journal(path)


def resealed(path: Path, **texts: str) -> None:
    """Write the last record anew with these texts of its values, and seal it as somebody would who can."""
    import hashlib
    import zlib

    lines = path.read_bytes().splitlines()
    body = json.loads(lines[-1])
    values = {
        name: json.dumps(value, separators=(",", ":"))
        for name, value in body.items()
        if name not in ("crc", "hash")
    } | texts

    def text() -> str:
        return "{" + ",".join(f'"{name}":{values[name]}' for name in sorted(values)) + "}"

    values["hash"] = json.dumps(hashlib.sha256(text().encode()).hexdigest())
    values["crc"] = json.dumps(f"{zlib.crc32(text().encode()):08x}")
    lines[-1] = text().encode()
    path.write_bytes(b"\n".join(lines) + b"\n")


def test_a_record_that_somebody_can_seal_is_read(tmp_path) -> None:
    path = written(tmp_path)
    resealed(path, data='{"number":99}')
    assert read_journal(path).records[-1].data == {"number": 99}


@pytest.mark.parametrize("data", ['{"number": 99}', '{"b":1,"a":2}', '{"a":1,"a":1}', '{"name":"\\u0061"}'])
def test_a_record_in_another_form_is_refused_whatever_its_seals(tmp_path, data) -> None:
    path = written(tmp_path)
    resealed(path, data=data)
    with pytest.raises(JournalError, match="form"):
        read_journal(path)


@pytest.mark.parametrize(
    "texts", [{"data": "[]"}, {"kind": "3"}, {"seq": '"4"'}, {"host_ns": "null"}, {"at": "0"}]
)
def test_a_field_of_the_wrong_type_is_refused_whatever_its_seals(tmp_path, texts) -> None:
    path = written(tmp_path)
    resealed(path, **texts)
    with pytest.raises(JournalError, match="wrong type"):
        read_journal(path)


@pytest.mark.parametrize("text", [',"hash":"', '","kind":"started","prev":"', '\\",\\"hash\\":\\"'])
def test_text_that_looks_like_a_seal_is_read_back(tmp_path, text) -> None:
    with create(tmp_path) as journal:
        journal.append("event", {"hash": text, "text": text})
        journal.append(text, {"kind": text})
    last = read_journal(journal.path).records
    assert (last[-2].data, last[-1].kind) == ({"hash": text, "text": text}, text)


def test_another_file_is_no_journal(tmp_path) -> None:
    path = tmp_path / "x.journal.jsonl"
    path.write_bytes(b'{"a":1}\n')
    with pytest.raises(JournalError):
        read_journal(path)
    with pytest.raises(JournalError):
        read_journal(tmp_path / "missing.journal.jsonl")


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_no_bytes_crash_the_reader(tmp_path_factory, data) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.journal.jsonl"
    path.write_bytes(data)
    try:
        reading = read_journal(path)
    except JournalError:
        return
    assert reading.records == ()
    assert reading.torn_bytes == len(data)


def test_the_time_of_day_may_jump_and_is_only_written_down(tmp_path) -> None:
    days = iter(["2026-05-01", "1970-01-01", "2099-12-31"])
    with Journal.create(tmp_path, SESSION, monotonic_ns=Ticks(), wall_text=lambda: next(days)) as journal:
        journal.append("event", {})
        journal.append("event", {})
    assert [record.at for record in read_journal(journal.path).records] == [
        "2026-05-01",
        "1970-01-01",
        "2099-12-31",
    ]
