"""The store file of a simulated device: torn at any byte, garbled, shared, or on a full disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from neurostim.core.errors import ConfigError
from neurostim.wire.messages import DeviceState, FaultCode, StopCause
from neurostim_sim.core import DeviceCore
from neurostim_sim.main import main
from neurostim_sim.profiles import profile
from neurostim_sim.settings import Settings
from neurostim_sim.store import BANK_BYTES, FileMedium, Store
from support.sim_bench import MS, SimHost, tonic

OLD, NEW = {"dose_count": 1, "text": "old" * 3000}, {"dose_count": 2, "text": "new" * 3000}


class Recorder(FileMedium):
    """Remembers what was written where."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.log: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:
        self.log.append((offset, data))
        super().write(offset, data)


def read(path: Path) -> tuple[dict[str, object], bool]:
    medium = FileMedium(path)
    store = Store(medium)
    found = store.load()
    medium.close()
    return found, store.damaged


def put(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@pytest.fixture
def torn(tmp_path: Path) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The file that holds OLD, and the writes that make it hold NEW."""
    path = tmp_path / "first"
    medium = Recorder(path)
    store = Store(medium)
    store.save({"dose_count": 0})
    store.save(OLD)
    before = path.read_bytes()
    medium.log.clear()
    store.save(NEW)
    medium.close()
    return before, medium.log


@pytest.mark.hazard("half-written")
def test_a_file_torn_at_any_byte_of_any_write_holds_the_old_document_or_the_new(
    torn: tuple[bytes, list[tuple[int, bytes]]], tmp_path: Path
) -> None:
    before, log = torn
    path = tmp_path / "torn"
    for number, (offset, data) in enumerate(log):
        cuts = range(len(data) + 1) if len(data) < 100 else (0, 1, 511, 512, len(data) - 1, len(data))
        for cut in cuts:
            path.write_bytes(before)
            for place, whole in log[:number]:
                put(path, place, whole)
            put(path, offset, data[:cut])
            found, damaged = read(path)
            # The header is the third write; the last one only closes the older bank.
            complete = (number, cut) >= (2, len(log[2][1]))
            assert found == (NEW if complete else OLD)
            assert not damaged


def test_a_torn_file_takes_the_next_document(
    torn: tuple[bytes, list[tuple[int, bytes]]], tmp_path: Path
) -> None:
    before, log = torn
    path = tmp_path / "torn"
    path.write_bytes(before)
    put(path, log[0][0], log[0][1])
    put(path, log[1][0], log[1][1][:100])
    medium = FileMedium(path)
    store = Store(medium)
    assert store.load() == OLD
    store.save(NEW)
    medium.close()
    assert read(path) == (NEW, False)


@pytest.mark.parametrize("size", [1, 10, 23, 24, 25, 500, BANK_BYTES, BANK_BYTES + 23, BANK_BYTES + 4000])
def test_a_file_cut_short_is_an_older_document_or_damaged_and_never_new(size: int, tmp_path: Path) -> None:
    path = tmp_path / "store"
    medium = FileMedium(path)
    store = Store(medium)
    store.save(OLD)
    store.save(NEW)
    medium.close()
    with path.open("r+b") as file:
        file.truncate(size)
    found, damaged = read(path)
    assert found in (OLD, NEW, {})
    assert found or damaged


@pytest.mark.hazard("half-written")
def test_a_device_whose_store_lost_everything_is_a_fault_and_starts_nothing(tmp_path: Path) -> None:
    settings = Settings("scs", store=tmp_path / "store")
    settings.core().close()
    for bank in (0, 1):
        put(tmp_path / "store", bank * BANK_BYTES + 20, b"\xff\xff\xff\xff")
    core = settings.core()
    assert core.state is DeviceState.FAULT
    assert core.memory.fault == FaultCode.MEMORY
    core.close()
    # The fault lasts: the next start must not take the fresh counters for the truth either.
    again = settings.core()
    assert again.state is DeviceState.FAULT
    again.close()


def test_two_devices_never_share_a_store(tmp_path: Path) -> None:
    settings = Settings("scs", store=tmp_path / "store")
    first = settings.core()
    with pytest.raises(ConfigError, match="another device"):
        settings.core()
    first.close()
    settings.core().close()


def test_a_file_that_is_no_store_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("three years of work")
    assert main(["--store", str(path)]) == 2
    assert "no store" in capsys.readouterr().err
    assert path.read_text() == "three years of work"


def test_writes_that_take_only_a_part_are_carried_to_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: whole(fd, data[: max(1, len(data) // 2)], at))
    medium = FileMedium(tmp_path / "store")
    Store(medium).save(NEW)
    medium.close()
    monkeypatch.undo()
    assert read(tmp_path / "store") == (NEW, False)


@pytest.mark.hazard("disk")
@pytest.mark.parametrize("failing", ["pwrite", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_during_a_dose_ends_output_and_never_crashes(
    failing: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = SimHost(DeviceCore(profile("scs"), medium=FileMedium(tmp_path / "store")))
    start = host.start(tonic())
    host.live_until(start + 700 * MS)
    assert host.core.output_on

    def refuse(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, failing, refuse)
    host.live_until(start + 3_000 * MS)
    assert host.core.dead
    assert not host.core.output_on
    host.core.close()
    monkeypatch.undo()
    after = DeviceCore(profile("scs"), medium=FileMedium(tmp_path / "store"))
    assert after.state is DeviceState.STOPPED
    assert after.memory.cause == StopCause.POWER_LOST
    assert after.memory.dose_count == 1
    after.close()


def test_a_full_disk_at_the_start_counts_no_dose_that_flows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = SimHost(DeviceCore(profile("scs"), medium=FileMedium(tmp_path / "store")))
    host.hello()
    host.live_until(0)
    host.load(tonic())
    armed = host.arm()

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "pwrite", refuse)
    assert host.fire_with(armed) is None
    assert not host.core.output_on
    host.core.close()
