"""``neurostim pair`` and the key of a device over a real link: what is typed, kept, shown and refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from neurostim.cli.links import PASSPHRASE_FD, opened
from neurostim.cli.main import build
from neurostim.core.errors import NeurostimError
from neurostim.device import CommandRefused, KeyFile, KeyStoreError
from neurostim.device.native import NativeStimulator
from neurostim.wire.messages import ErrorCode
from neurostim.wire.pairing import PairingCodeError, format_code, qr_text
from support.device_server import DeviceServer
from support.sealed_device import CODE, SealedDevice

SERIAL = "TEST-0001"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A user of its own, whose passphrase comes from a file descriptor."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    words = tmp_path / "passphrase"
    words.write_text("correct horse battery\n" * 40)
    handle = os.open(words, os.O_RDONLY)
    monkeypatch.setenv(PASSPHRASE_FD, str(handle))
    yield tmp_path
    os.close(handle)


@pytest.fixture
def served():
    with DeviceServer(SealedDevice()) as server:
        yield server


def call(*words: str, typed: str = "") -> Result:
    return CliRunner().invoke(build(words[:1]), list(words), input=typed)


def pair(server: DeviceServer, home: Path, *more: str, typed: str = format_code(CODE)) -> Result:
    return call("pair", server.url, "--keys", str(home / "keys"), "--name", "desk", *more, typed=typed + "\n")


def document(result: Result) -> dict:
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


def failed(result: Result) -> NeurostimError:
    assert isinstance(result.exception, NeurostimError), result.output
    return result.exception


def test_pairing_keeps_the_key_and_shows_who_is_paired(served, home):
    told = document(pair(served, home, "--json"))
    device = served.device
    assert told["paired"] == SERIAL
    assert told["keys"] == str(home / "keys")
    (host,) = told["hosts"]
    assert (host["name"], host["this_computer"]) == ("desk", True)
    assert device.names == {bytes.fromhex(host["host_id"]): "desk"}
    kept = (home / "data" / "neurostim" / "paired.json").read_text()
    assert json.loads(kept) == {SERIAL: str(home / "keys")}


def test_neither_the_code_nor_a_key_is_printed_or_kept_in_the_open(served, home):
    result = pair(served, home)
    (key,) = served.device.keys.values()
    shown = result.output + (home / "keys").read_text() + (home / "data/neurostim/paired.json").read_text()
    for secret in (format_code(CODE), format_code(CODE).replace("-", ""), key.hex(), CODE.hex()):
        assert secret not in shown


def test_every_later_command_finds_the_key_by_itself(served, home):
    pair(served, home)
    (found,) = document(call("devices", "--device", served.url, "--json"))["devices"]
    assert found["session"] == "authenticated"
    told = document(call("pair", served.url, "--list", "--json"))
    assert [host["name"] for host in told["hosts"]] == ["desk"]


def test_the_text_of_the_label_will_do_and_only_of_this_device(served, home):
    assert document(pair(served, home, "--json", typed=qr_text(SERIAL, CODE)))["paired"] == SERIAL
    assert failed(pair(served, home, typed=qr_text("OTHER-1", CODE))).code == "code-of-another"


def test_a_slip_is_told_and_not_tried(served, home):
    error = failed(pair(served, home, typed=format_code(CODE)[:-1] + "?"))
    assert isinstance(error, PairingCodeError)
    assert [type(one).__name__ for one in served.device.received] == ["Identify"]
    assert not (home / "data").exists()


def test_a_wrong_code_is_refused_by_the_device_and_nothing_is_remembered(served, home):
    error = failed(pair(served, home, typed=format_code(bytes(16))))
    assert isinstance(error, CommandRefused)
    assert error.refusal is ErrorCode.AUTHENTICATION_FAILED
    assert json.loads((home / "data/neurostim/paired.json").read_text()) == {}
    with opened(served.url) as stimulator:
        assert not stimulator.authenticated


def test_a_wrong_code_for_a_device_that_is_paired_leaves_what_was_remembered(served, home):
    pair(served, home)
    error = failed(
        call("pair", served.url, "--keys", str(home / "other"), typed=format_code(bytes(16)) + "\n")
    )
    assert isinstance(error, CommandRefused)
    kept = json.loads((home / "data/neurostim/paired.json").read_text())
    assert kept == {SERIAL: str(home / "keys")}


@pytest.mark.parametrize("before_the_device", [True, False])
def test_who_dies_while_pairing_has_never_an_unpaired_device(served, home, monkeypatch, before_the_device):
    """Whether it had given a key already or not: without the key it is not opened."""

    def dies(*_words: object) -> None:
        raise KeyboardInterrupt

    where, name = (NativeStimulator, "_ask_for_key") if before_the_device else (KeyFile, "put")
    with monkeypatch.context() as patched:
        patched.setattr(where, name, dies)
        pair(served, home)
    assert bool(served.device.keys) != before_the_device
    assert json.loads((home / "data/neurostim/paired.json").read_text()) == {SERIAL: str(home / "keys")}
    with pytest.raises(KeyStoreError) as caught:
        opened(served.url)
    assert caught.value.code == "key-missing"
    assert document(pair(served, home, "--json"))["paired"] == SERIAL


def test_a_computer_that_was_removed_forgets_its_key(served, home):
    pair(served, home)
    told = document(call("pair", served.url, "--remove", "desk", "--json"))
    assert told == {"serial_number": SERIAL, "removed": "desk", "hosts_left": 0}
    assert json.loads((home / "data/neurostim/paired.json").read_text()) == {}
    assert served.device.keys == {}


def test_removing_a_host_that_is_not_there_changes_nothing(served, home):
    pair(served, home)
    assert failed(call("pair", served.url, "--remove", "nobody")).code == "host"
    assert len(served.device.keys) == 1


def test_a_device_that_forgot_its_keys_is_not_opened_without_one(served, home):
    pair(served, home)
    served.ask(served.device.keys.clear)
    with pytest.raises(CommandRefused) as caught:
        opened(served.url)
    assert caught.value.refusal is ErrorCode.AUTHENTICATION_FAILED
    assert document(call("pair", "--forget", SERIAL, "--json")) == {
        "forgotten": SERIAL,
        "keys": str(home / "keys"),
    }
    with opened(served.url) as stimulator:
        assert not stimulator.authenticated


def test_a_key_file_that_is_gone_is_no_reason_to_go_on_without(served, home):
    pair(served, home)
    (home / "keys").unlink()
    with pytest.raises(KeyStoreError) as caught:
        opened(served.url)
    assert caught.value.code == "key-file"


@pytest.mark.parametrize(
    "words",
    [(), ("--list",), ("--forget", "A-1", "URL"), ("URL", "--list", "--remove", "x"), ("--remove", "x")],
    ids=" ".join,
)
def test_contradicting_words_are_refused(words):
    assert failed(call("pair", *words)).code == "pair-option"


def test_a_stimulator_stops_under_its_key_from_any_thread(served, home):
    pair(served, home)
    with opened(served.url) as stimulator:
        assert isinstance(stimulator, NativeStimulator)
        assert stimulator.authenticated
        assert stimulator.stop().result(5).state.name == "STOPPED"
        stimulator.reopen()
        assert stimulator.authenticated
