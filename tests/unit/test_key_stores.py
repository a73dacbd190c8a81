"""Where keys are kept: in a keyring that protects them, in a sealed file, and never silently elsewhere."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import ClassVar

import keyring
import keyring.backend
import keyring.errors
import pytest

from neurostim.cli.doctor_keys import check_keys
from neurostim.core.errors import ConfigError
from neurostim.device import (
    DeviceKey,
    KeyFile,
    KeyringStore,
    KeyStoreError,
    KnownDevices,
    KnownKeys,
    lasting_file,
)
from neurostim.device.key_file import Hardness

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
EASY = Hardness(memory_kib=8 * 1024, iterations=1, lanes=1)
WORDS = "correct horse battery"


class Chances:
    """Entropy of a test: never the same twice."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, size: int) -> bytes:
        self.asked += 1
        return hashlib.sha256(f"{id(self)} {self.asked}".encode()).digest()[:size]


class Ring(keyring.backend.KeyringBackend):
    """A keyring in memory."""

    priority: ClassVar[float] = 5

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}
        self.locked = False
        self.forgets = False

    def _look(self) -> None:
        if self.locked:
            raise keyring.errors.KeyringLocked("locked")

    def get_password(self, service: str, username: str) -> str | None:
        self._look()
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._look()
        if not self.forgets:
            self.held[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._look()
        del self.held[service, username]


@pytest.fixture
def ring():
    before, ring = keyring.get_keyring(), Ring()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def key_file(path: Path, words: str = WORDS, asked: list[bool] | None = None) -> KeyFile:
    def passphrase(new: bool) -> str:
        if asked is not None:
            asked.append(new)
        return words

    return KeyFile(path, passphrase, entropy=Chances(), hardness=EASY)


@pytest.fixture(params=["keyring", "file"])
def store(request, tmp_path):
    return KeyringStore(Chances()) if request.param == "keyring" else key_file(tmp_path / "keys")


# Both kinds.


@pytest.mark.usefixtures("ring")
def test_keys_come_back_with_the_id_they_belong_to(store):
    host_id = store.host_id
    assert len(host_id) == 16
    store.put("A-1", KEY)
    store.put("B-2", OTHER)
    assert store.get("A-1") == DeviceKey("A-1", KEY, host_id)
    assert store.get("B-2") == DeviceKey("B-2", OTHER, host_id)
    assert store.get("C-3") is None
    assert store.host_id == host_id
    store.put("A-1", OTHER)
    assert store.get("A-1") == DeviceKey("A-1", OTHER, host_id)
    assert store.remove("A-1")
    assert not store.remove("A-1")
    assert store.get("A-1") is None
    assert store.get("B-2") is not None


@pytest.mark.usefixtures("ring")
def test_what_is_no_key_is_not_kept(store):
    with pytest.raises(ConfigError):
        store.put("A-1", KEY[:31])
    assert store.get("A-1") is None


# The keyring.


def test_a_locked_keyring_is_an_error_and_not_a_missing_key(ring):
    store = KeyringStore(Chances())
    store.put("A-1", KEY)
    ring.locked = True
    with pytest.raises(KeyStoreError) as caught:
        store.get("A-1")
    assert caught.value.code == "keyring-locked"


def test_a_keyring_that_protects_nothing_is_refused(ring, monkeypatch):
    monkeypatch.setattr(Ring, "priority", 0.5)
    with pytest.raises(KeyStoreError) as caught:
        KeyringStore(Chances()).get("A-1")
    assert caught.value.code == "no-keyring"
    assert ring.held == {}


@pytest.mark.parametrize("best", [0.6, 5])
def test_a_chain_of_keyrings_is_as_good_as_its_best_and_uses_no_other(ring, monkeypatch, best):
    good, plain = Ring(), Ring()
    monkeypatch.setattr(good, "priority", best)
    monkeypatch.setattr(plain, "priority", 0.5)
    monkeypatch.setattr(ring, "priority", 10)
    monkeypatch.setattr(ring, "backends", [plain, good], raising=False)
    store = KeyringStore(Chances())
    if best < 1:
        with pytest.raises(KeyStoreError) as caught:
            store.put("A-1", KEY)
        assert caught.value.code == "no-keyring"
    else:
        store.put("A-1", KEY)
    assert bool(good.held) == (best > 1)
    assert plain.held == ring.held == {}


def test_a_keyring_that_forgets_is_noticed_when_a_key_is_put(ring):
    ring.forgets = True
    with pytest.raises(KeyStoreError):
        KeyringStore(Chances()).put("A-1", KEY)


@pytest.mark.parametrize("text", ["", "zz", "00", KEY.hex() + "00"])
def test_something_else_in_the_keyring_is_an_error(ring, text):
    store = KeyringStore(Chances())
    assert store.host_id
    ring.held["neurostim", "device A-1"] = text
    with pytest.raises(KeyStoreError) as caught:
        store.get("A-1")
    assert caught.value.code == "key-store-content"


# The file.


def test_the_file_is_for_its_owner_only_and_shows_no_key(tmp_path):
    path = tmp_path / "new" / "keys"
    store = key_file(path)
    store.put("A-1", KEY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text(encoding="ascii")
    for secret in (KEY.hex(), "A-1", store.host_id.hex(), WORDS):
        assert secret not in text
    assert sorted(one.name for one in path.parent.iterdir()) == [".keys.lock", "keys"]


def test_another_program_with_the_passphrase_reads_what_was_put(tmp_path):
    path = tmp_path / "keys"
    first = key_file(path)
    first.put("A-1", KEY)
    second = key_file(path)
    assert second.host_id == first.host_id
    second.put("B-2", OTHER)
    assert first.get("B-2") == DeviceKey("B-2", OTHER, first.host_id)


def test_the_passphrase_is_asked_once_and_as_new_only_for_a_new_file(tmp_path):
    asked: list[bool] = []
    store = key_file(tmp_path / "keys", asked=asked)
    store.put("A-1", KEY)
    store.put("B-2", KEY)
    assert store.get("A-1") is not None
    assert asked == [True]
    again: list[bool] = []
    assert key_file(tmp_path / "keys", asked=again).get("A-1") is not None
    assert again == [False]


def test_a_wrong_passphrase_is_an_error_and_leaves_the_file(tmp_path):
    path = tmp_path / "keys"
    key_file(path).put("A-1", KEY)
    before = path.read_bytes()
    wrong = key_file(path, "wrong horse battery")
    for action in (lambda: wrong.get("A-1"), lambda: wrong.put("B-2", KEY), lambda: wrong.remove("A-1")):
        with pytest.raises(KeyStoreError) as caught:
            action()
        assert caught.value.code == "passphrase"
    assert path.read_bytes() == before


def test_a_short_passphrase_makes_no_file(tmp_path):
    with pytest.raises(KeyStoreError) as caught:
        key_file(tmp_path / "keys", "short").put("A-1", KEY)
    assert caught.value.code == "passphrase-short"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_not_a_missing_key(tmp_path):
    for action in (lambda one: one.get("A-1"), lambda one: one.remove("A-1")):
        with pytest.raises(KeyStoreError) as caught:
            action(key_file(tmp_path / "keys"))
        assert caught.value.code == "key-file"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("field", ["salt", "nonce", "sealed", "memory_kib", "iterations", "lanes"])
def test_every_altered_part_of_the_file_is_noticed(tmp_path, field):
    path = tmp_path / "keys"
    key_file(path).put("A-1", KEY)
    document = json.loads(path.read_text())
    if field in document["hardness"]:
        document["hardness"][field] *= 2
    else:
        text = document[field]
        document[field] = ("1" if text[0] != "1" else "2") + text[1:]
    path.write_text(json.dumps(document))
    with pytest.raises(KeyStoreError) as caught:
        key_file(path).get("A-1")
    assert caught.value.code == "passphrase"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "nonsense",
        '{"format": "neurostim keys 2"}',
        '{"format": "neurostim keys 1"}',
        "[" * 100_000,
        '{"format": "neurostim keys 1", "hardness": {"lanes": 1e999}, "salt": "", "nonce": ""}',
    ],
    ids=range(8),
)
def test_another_file_is_no_file_of_keys(tmp_path, text):
    path = tmp_path / "keys"
    path.write_text(text)
    with pytest.raises(KeyStoreError) as caught:
        key_file(path).get("A-1")
    assert caught.value.code == "key-file-format"
    assert path.read_text() == text


def test_a_file_that_would_stop_the_computer_is_refused_before_it_does(tmp_path):
    path = tmp_path / "keys"
    key_file(path).put("A-1", KEY)
    document = json.loads(path.read_text())
    document["hardness"]["memory_kib"] = 1 << 40
    path.write_text(json.dumps(document))
    with pytest.raises(KeyStoreError) as caught:
        key_file(path).get("A-1")
    assert caught.value.code == "key-file-format"


def test_the_hardness_of_new_files_is_that_of_the_recommendation():
    assert Hardness() == Hardness(memory_kib=65536, iterations=3, lanes=4)
    for weak in ({"memory_kib": 4096}, {"iterations": 0}, {"lanes": 0}):
        with pytest.raises(ConfigError):
            Hardness(**weak)


def test_a_disk_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "keys"
    store = key_file(path)
    store.put("A-1", KEY)
    before = path.read_bytes()

    def broken(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(KeyStoreError, match="No space left"):
        store.put("B-2", OTHER)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert sorted(one.name for one in tmp_path.iterdir()) == [".keys.lock", "keys"]
    assert store.get("B-2") is None


def at_once(actions: list[Callable[[], object]]) -> None:
    """Carry them out in threads of their own, all at the same time; an error of one is raised."""
    together = Barrier(len(actions))

    def one(action: Callable[[], object]) -> None:
        together.wait(30)
        action()

    with ThreadPoolExecutor(len(actions)) as pool:
        for done in [pool.submit(one, action) for action in actions]:
            done.result(60)


@pytest.mark.parametrize("new", [True, False])
def test_no_key_is_lost_where_several_programs_put_one_at_once(tmp_path, new):
    path = tmp_path / "keys"
    if not new:
        key_file(path).put("A-9", KEY)
    stores = [key_file(path) for _ in range(8)]
    at_once([partial(store.put, f"A-{n}", bytes([n]) * 32) for n, store in enumerate(stores)])
    held = key_file(path)
    host_id = held.host_id
    for n in range(8):
        assert held.get(f"A-{n}") == DeviceKey(f"A-{n}", bytes([n]) * 32, host_id)
    assert (held.get("A-9") is None) == new


def test_one_store_may_be_used_by_several_threads(tmp_path):
    store = key_file(tmp_path / "keys")
    at_once([partial(store.put, f"A-{n}", bytes([n]) * 32) for n in range(8)])
    assert all(store.get(f"A-{n}") is not None for n in range(8))


def test_no_pairing_is_forgotten_where_several_programs_note_one_at_once(tmp_path):
    at_once([partial(known(tmp_path).note, f"A-{n}", "keyring") for n in range(16)])
    assert sorted(known(tmp_path).places()) == sorted(f"A-{n}" for n in range(16))
    assert sorted(one.name for one in (tmp_path / "data").iterdir()) == [".paired.json.lock", "paired.json"]


def test_who_is_kept_waiting_too_long_is_told(tmp_path, monkeypatch):
    store, devices = key_file(tmp_path / "keys"), known(tmp_path)
    store.put("A-1", KEY)
    devices.note("A-1", "keyring")
    monkeypatch.setattr(lasting_file, "TRIES", 2)

    def nobody() -> KeyStoreError:
        raise AssertionError

    for path, action, code in (
        (tmp_path / "keys", lambda: store.put("B-2", KEY), "key-file-busy"),
        (tmp_path / "data" / "paired.json", lambda: devices.forget("A-1"), "known-devices-busy"),
    ):
        before = path.read_bytes()
        with lasting_file.alone(path, nobody), pytest.raises(KeyStoreError) as caught:
            action()
        assert caught.value.code == code
        assert path.read_bytes() == before
    store.put("B-2", KEY)


def test_what_is_remembered_is_durable_with_its_folder(tmp_path, monkeypatch):
    synced: list[bool] = []
    true_sync = os.fsync

    def watched(handle: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        true_sync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    known(tmp_path).note("A-1", "keyring")
    assert synced == [False, True]
    store = key_file(tmp_path / "keys")
    assert store.host_id
    assert synced[2:] == [False, True]
    store.put("A-1", KEY)
    assert synced[4:] == [False, True]


def test_a_disk_that_fails_leaves_what_was_remembered(tmp_path, monkeypatch):
    devices = known(tmp_path)
    devices.note("A-1", "keyring")

    def broken(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(KeyStoreError, match="No space left"):
        devices.note("B-2", "keyring")
    assert devices.places() == {"A-1": "keyring"}
    assert len(list((tmp_path / "data").iterdir())) == 2


# What is remembered without a secret.


def known(tmp_path: Path) -> KnownDevices:
    return KnownDevices(tmp_path / "data" / "paired.json")


def test_a_device_that_was_never_paired_needs_neither_keyring_nor_passphrase(tmp_path):
    def never(place: str):
        raise AssertionError(place)

    assert KnownKeys(known(tmp_path), never).get("A-1") is None
    assert known(tmp_path).places() == {}


def test_the_key_is_looked_for_where_it_was_put(tmp_path):
    store = key_file(tmp_path / "keys")
    store.put("A-1", KEY)
    known(tmp_path).note("A-1", store.place)
    places: list[str] = []

    def store_at(place: str) -> KeyFile:
        places.append(place)
        return store

    assert KnownKeys(known(tmp_path), store_at).get("A-1") == DeviceKey("A-1", KEY, store.host_id)
    assert places == [store.place]


def test_a_key_that_is_gone_or_looked_for_elsewhere_is_an_error_and_never_none(tmp_path):
    store, elsewhere = key_file(tmp_path / "keys"), key_file(tmp_path / "other")
    assert store.host_id
    assert elsewhere.host_id
    known(tmp_path).note("A-1", store.place)
    for keys in (
        KnownKeys(known(tmp_path), lambda _place: store),
        KnownKeys(known(tmp_path), lambda _place: store, elsewhere),
    ):
        with pytest.raises(KeyStoreError) as caught:
            keys.get("A-1")
        assert caught.value.code == "key-missing"
    assert KnownKeys(known(tmp_path), lambda _place: store).get("B-2") is None


def test_a_place_that_is_named_insists_on_a_key(tmp_path):
    """So that a device which passes for another, never paired, is not taken without one."""
    store = key_file(tmp_path / "keys")
    store.put("A-1", KEY)
    keys = KnownKeys(known(tmp_path), lambda _place: store, store)
    assert keys.get("A-1") is not None
    with pytest.raises(KeyStoreError, match="never paired here") as caught:
        keys.get("B-2")
    assert caught.value.code == "key-missing"


def test_what_is_remembered_can_be_forgotten(tmp_path):
    devices = known(tmp_path)
    devices.note("A-1", "keyring")
    devices.note("B-2", "/keys")
    devices.forget("A-1")
    devices.forget("C-3")
    assert known(tmp_path).places() == {"B-2": "/keys"}


@pytest.mark.parametrize("text", ["", "[]", '{"A-1": 3}', "nonsense"])
def test_a_memory_that_cannot_be_read_is_an_error_and_not_empty(tmp_path, text):
    path = tmp_path / "paired.json"
    path.write_text(text)
    with pytest.raises(KeyStoreError) as caught:
        KnownDevices(path).places()
    assert caught.value.code == "known-devices"


# What the doctor says of it.


def found(tmp_path, monkeypatch) -> dict[str, tuple[str, str]]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return {one.name: (one.state, one.remedy) for one in check_keys()}


def test_the_doctor_looks_for_the_key_of_each_paired_device(ring, tmp_path, monkeypatch):
    store, file = KeyringStore(Chances()), tmp_path / "keys"
    store.put("A-1", KEY)
    file.touch()
    devices = KnownDevices(tmp_path / "neurostim" / "paired.json")
    for serial, place in (
        ("A-1", "keyring"),
        ("B-2", "keyring"),
        ("C-3", str(file)),
        ("D-4", str(tmp_path / "no")),
    ):
        devices.note(serial, place)
    told = found(tmp_path, monkeypatch)
    assert {name: state for name, (state, _) in told.items()} == {
        "keyring": "ok",
        "key of A-1": "ok",
        "key of B-2": "fail",
        "key of C-3": "ok",
        "key of D-4": "fail",
    }
    assert "--forget B-2" in told["key of B-2"][1]
    ring.locked = True
    assert found(tmp_path, monkeypatch)["keyring"][0] == "fail"


@pytest.mark.usefixtures("ring")
def test_the_doctor_warns_of_a_keyring_only_while_no_key_is_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(Ring, "priority", 0.5)
    assert found(tmp_path, monkeypatch)["keyring"][0] == "warn"
    KnownDevices(tmp_path / "neurostim" / "paired.json").note("A-1", "keyring")
    assert found(tmp_path, monkeypatch)["keyring"][0] == "fail"


def test_the_doctor_tells_of_a_memory_that_cannot_be_read(tmp_path, monkeypatch):
    (tmp_path / "neurostim").mkdir()
    (tmp_path / "neurostim" / "paired.json").write_text("nonsense")
    assert found(tmp_path, monkeypatch)["paired devices"][0] == "fail"
