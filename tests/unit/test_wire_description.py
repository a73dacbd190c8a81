"""The description of the messages, and what is generated from it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import neurostim.wire
from neurostim.core.errors import ConfigError
from neurostim.core.resources import protocols
from neurostim.wire import generate
from neurostim.wire.description import class_name, load_description

SOURCE = (protocols("wire") / "messages.toml").read_text(encoding="utf-8")
SPECIFICATION = (protocols("wire") / "specification.md").read_text(encoding="utf-8")


def described(tmp_path: Path, old: str, new: str):
    assert old in SOURCE
    path = tmp_path / "messages.toml"
    path.write_text(SOURCE.replace(old, new, 1), encoding="utf-8")
    return load_description(path)


def test_generated_files_are_up_to_date():
    for path, content in generate.outputs().items():
        assert path.read_text(encoding="utf-8") == content, (
            f"run python -m neurostim.wire.generate: {path.name}"
        )


def test_the_check_of_the_generator_notices_a_stale_file(tmp_path, monkeypatch, capsys):
    path = tmp_path / "messages.py"
    monkeypatch.setattr(generate, "outputs", lambda: {path: "new\n"})
    assert generate.main(["--check"]) == 1
    assert "messages.py" in capsys.readouterr().out
    assert not path.exists()
    assert generate.main([]) == 0
    assert path.read_text(encoding="utf-8") == "new\n"
    assert generate.main(["--check"]) == 0
    path.write_text("old\n", encoding="utf-8")
    assert generate.main(["--check"]) == 1


def test_a_change_of_the_description_changes_the_codec(tmp_path):
    changed = described(tmp_path, 'name = "ui_token", type = "u32"', 'name = "ui_token", type = "u64"')
    assert 'Whole("ui_token", "Q"' in generate.render_codec(changed)


AREA = 'type = "u8", max = 7, meaning = "area index"'
SLOT = 'name = "slot", type = "u8", max = 15, meaning = "slot" },\n  { name = "offset"'
STARTS = "lease = true\nonce = true\nraises_output = true"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('type = "u64", min = 1, meaning = "chosen at', 'type = "u128", meaning = "chosen at'),
        ("type = 0x02", "type = 0x01"),
        ("type = 0x02", "type = 0x80"),
        ("type = 0x02", "type = 0x00"),
        (AREA, AREA.replace("7", "256")),
        (AREA, f"maximum = 7, {AREA}"),
        ('needs = "none"', 'needs = "nobody"'),
        ('name = "MEASURING", value = 2', 'name = "MEASURING", value = 1'),
        ('name = "LEAD_CHANGED", value = 17', 'name = "LEAD_CHANGED", value = 256'),
        ("list[PortInfo,16]", "list[Port,16]"),
        (SLOT, SLOT.replace('type = "u8", max = 15', 'type = "data[3]"')),
        ('name = "kind", type = "PortKind"', 'name = "kind", type = "data[4]"'),
        ('name = "has_return", type = "bool"', 'name = "has_return", type = "data[4]"'),
        ("list[EventRecord,24]", "list[EventRecord,28]"),
        (STARTS, STARTS.replace("lease = true\n", "")),
        (STARTS, STARTS.replace("once = true\n", "")),
    ],
)
def test_a_description_that_cannot_be_built_is_refused(tmp_path, old, new):
    with pytest.raises(ConfigError):
        described(tmp_path, old, new)


def test_the_specification_speaks_of_every_command_event_and_error():
    held = generate.description()
    names = {message.name for message in held.messages} | {"ERROR"}
    names |= {"STATE_CHANGED", "IMPEDANCE_RESULT"}
    names |= {
        name
        for enum in held.enums
        if enum.name in ("DeviceState", "CommandOutcome")
        for name, _, _ in enum.values
    }
    errors = {name for enum in held.enums if enum.name == "ErrorCode" for name, _, _ in enum.values}
    words = set(re.findall(r"[A-Z][A-Z_]+", SPECIFICATION))
    told_in_tables = {"CAPABILITIES", "PORTS", "SLOT_INFO", "COUNTERS"}
    assert names - told_in_tables - words == set()
    assert errors - {"NONE"} - words == set()


def test_the_specification_names_no_error_that_does_not_exist():
    held = generate.description()
    known = {value for enum in held.enums for value, _, _ in enum.values}
    known |= {message.name for message in held.messages} | {event.name for event in held.events}
    known |= {"ERROR", "NOT", "CONFIRMED", "NSPI", "COBS", "CRC", "SHA", "XOR", "TCP", "USB", "UI", "ASCII"}
    known |= {"DH", "HKDF", "HMAC", "MAC", "MIX", "NEUROSTIM", "QR", "RFC", "SEAL", "UP", "DOWN"}
    words = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)*\b", SPECIFICATION))
    assert words - known == set()


def test_names_become_classes():
    assert class_name("LOAD_BEGIN") == "LoadBegin"
    assert class_name("HELLO") == "Hello"


def test_the_wire_is_without_io_time_and_chance():
    forbidden = {"time", "random", "os", "socket", "serial", "threading", "asyncio", "datetime", "secrets"}
    for path in Path(neurostim.wire.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.partition(".")[0] not in forbidden, f"{path.name} imports {name}"
