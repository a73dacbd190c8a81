"""The C headers compile without a warning, and agree with every vector and with the Python codec."""

from __future__ import annotations

import enum
import hashlib
import hmac
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from neurostim.core.errors import ProtocolError
from neurostim.core.resources import protocols
from neurostim.wire import c_header, cobs
from neurostim.wire import messages as m
from neurostim.wire.codec import frame_error_code, pack, stop_frame
from neurostim.wire.frame import MAX_FRAME_BYTES, Frame, FrameDecoder, FrameError, FrameFault
from neurostim.wire.layout import Need
from neurostim.wire.messages import MESSAGES, REPLY_TO, ErrorCode
from support.wire_data import crc32_by_definition, golden, message_class, octets

SOURCE = Path(__file__).parents[1] / "support" / "c" / "wire_vectors.c"
WARNINGS = [
    "-std=c99",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-pedantic",
    "-Wconversion",
    "-Wshadow",
    "-Wtype-limits",
]
# A firmware with these checks traps where memory or arithmetic goes wrong; here the test fails.
CAREFUL = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


class Result(enum.IntEnum):
    """``ns_result`` of the header."""

    OK = 0
    TOO_LONG = 1
    BAD_STUFFING = 2
    TOO_SHORT = 3
    BAD_CHECKSUM = 4
    UNSUPPORTED_VERSION = 5
    UNKNOWN_TYPE = 6
    MALFORMED = 7


FAULTS = {
    FrameFault.TOO_LONG: Result.TOO_LONG,
    FrameFault.STUFFING: Result.BAD_STUFFING,
    FrameFault.TOO_SHORT: Result.TOO_SHORT,
    FrameFault.CHECKSUM: Result.BAD_CHECKSUM,
    FrameFault.VERSION: Result.UNSUPPORTED_VERSION,
    FrameFault.HEADER: Result.MALFORMED,
}
ERRORS = {
    Result.UNSUPPORTED_VERSION: ErrorCode.UNSUPPORTED_VERSION,
    Result.UNKNOWN_TYPE: ErrorCode.UNKNOWN_TYPE,
    Result.MALFORMED: ErrorCode.MALFORMED,
}


def compiler() -> str:
    found = shutil.which("gcc")
    assert found, "this test compiles C: install gcc and the C library's headers (Debian: gcc libc6-dev)"
    return found


def built(folder: Path, *flags: str) -> Path:
    program = folder / "wire_vectors"
    include = ["-I", str(protocols("wire"))]
    command = [compiler(), *WARNINGS, *flags, *include, "-o", str(program), str(SOURCE)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert made.returncode == 0, made.stderr
    assert made.stderr == ""
    return program


@pytest.fixture(scope="module")
def ask(tmp_path_factory):
    """Questions for the C program, all at once; its answers in the same order."""
    program = built(tmp_path_factory.mktemp("c"), *CAREFUL)

    def asking(questions: list[str]) -> list[str]:
        text = "".join(f"{question}\n" for question in questions)
        done = subprocess.run(
            [str(program)], input=text, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        answers = done.stdout.splitlines()
        assert len(answers) == len(questions)
        return answers

    return asking


def hexed(data: bytes) -> str:
    return data.hex() or "-"


def python_verdict(message_type: int, kind: int, payload: bytes) -> str:
    found = MESSAGES.get((message_type, m.Kind(kind)))
    if found is None:
        return f"result {int(Result.UNKNOWN_TYPE)}"
    try:
        return f"ok {hexed(found.decode(payload).encode())}"
    except ProtocolError:
        return f"result {int(Result.MALFORMED)}"


def vectors() -> list[tuple[int, int, bytes]]:
    found = []
    for vector in golden("messages")["vector"]:
        cls = message_class(vector["message"], vector["kind"])
        found.append((cls.TYPE, int(cls.KIND), octets(vector["bytes"])))
    return found


def test_the_header_is_up_to_date():
    path, content = c_header.output()
    assert path.read_text(encoding="utf-8") == content, "run python -m neurostim.wire.c_header"


def test_the_check_of_the_generator_notices_a_stale_header(tmp_path, monkeypatch, capsys):
    path = tmp_path / "neurostim_wire.h"
    monkeypatch.setattr(c_header, "output", lambda: (path, "new\n"))
    assert c_header.main(["--check"]) == 1
    assert "neurostim_wire.h" in capsys.readouterr().out
    assert not path.exists()
    assert c_header.main([]) == 0
    assert c_header.main(["--check"]) == 0


@pytest.mark.parametrize("name", ["neurostim_frame.h", "neurostim_wire.h"])
def test_each_header_compiles_alone_and_twice_in_one_program(tmp_path, name):
    units = []
    for unit in ("one", "other"):
        path = tmp_path / f"{unit}.c"
        path.write_text(
            f'#include "{name}"\n#include "{name}"\nint {unit}(void);\nint {unit}(void) {{ return 0; }}\n'
        )
        units.append(str(path))
    (tmp_path / "main.c").write_text(
        "int one(void);\nint other(void);\nint main(void) { return one() + other(); }\n"
    )
    command = [compiler(), *WARNINGS, "-I", str(protocols("wire")), "-o", str(tmp_path / "both"), *units]
    made = subprocess.run(
        [*command, str(tmp_path / "main.c")], capture_output=True, text=True, timeout=120, check=False
    )
    assert (made.returncode, made.stderr) == (0, "")


def test_stuffing_agrees_with_every_vector(ask):
    table = golden("cobs")
    plain = [octets(one["plain"]) for one in table["vector"]]
    stuffed = [octets(one["stuffed"]) for one in table["vector"]]
    refused = [octets(one["stuffed"]) for one in table["refused"]]
    assert ask([f"stuff {hexed(one)}" for one in plain]) == [f"ok {hexed(one)}" for one in stuffed]
    assert ask([f"unstuff {hexed(one)}" for one in stuffed]) == [f"ok {hexed(one)}" for one in plain]
    assert set(ask([f"unstuff {hexed(one)}" for one in refused])) == {f"result {int(Result.BAD_STUFFING)}"}


def test_stuffing_agrees_with_the_python_codec_on_any_bytes(ask):
    rng = random.Random(1)
    lengths = [rng.randrange(700) for _ in range(400)]
    cases = [bytes(rng.choice((0, 0, 1, 255, rng.randrange(256))) for _ in range(n)) for n in lengths]
    cases += [bytes([1]) * length for length in range(250, 262)]
    cases += [bytes([1]) * length + b"\0" for length in (253, 254, 508)]
    assert ask([f"stuff {hexed(one)}" for one in cases]) == [f"ok {hexed(cobs.encode(one))}" for one in cases]

    def verdict(data: bytes) -> str:
        try:
            return f"ok {hexed(cobs.decode(data))}"
        except ProtocolError:
            return f"result {int(Result.BAD_STUFFING)}"

    assert ask([f"unstuff {hexed(one)}" for one in cases]) == [verdict(one) for one in cases]


def test_every_message_of_the_vectors_is_read_and_written_alike(ask):
    rows = vectors()
    assert {(message_type, kind) for message_type, kind, _ in rows} == {(t, int(k)) for t, k in MESSAGES}
    answers = ask([f"message {t} {k} {hexed(payload)}" for t, k, payload in rows])
    assert answers == [f"ok {hexed(payload)}" for _, _, payload in rows]


def test_altered_payloads_are_refused_or_read_exactly_as_the_python_codec_does(ask):
    """Every byte of every vector at its bounds, every length, and chance."""
    rng = random.Random(2)
    cases = []
    for message_type, kind, payload in vectors():
        values = (0, 1, 0x7F, 0x80, 0xFF, 1 << rng.randrange(8))
        for at in range(len(payload)):
            before, after = payload[:at], payload[at + 1 :]
            cases += [(message_type, kind, before + bytes([value]) + after) for value in values]
        cases += [(message_type, kind, payload[:end]) for end in range(len(payload))]
        cases += [(message_type, kind, payload + bytes(more)) for more in (1, 2, 13, 40)]
    verdicts = [python_verdict(*case) for case in cases]
    assert ask([f"message {t} {k} {hexed(payload)}" for t, k, payload in cases]) == verdicts
    assert sum(verdict.startswith("ok") for verdict in verdicts) > 1000
    assert sum(verdict.startswith("result") for verdict in verdicts) > 1000


def test_types_that_no_message_has_are_unknown(ask):
    pairs = [(t, k) for t in range(256) for k in range(3) if (t, m.Kind(k)) not in MESSAGES]
    assert set(ask([f"message {t} {k} -" for t, k in pairs])) == {f"result {int(Result.UNKNOWN_TYPE)}"}


def test_what_a_device_asks_of_each_command_is_that_of_the_codec(ask):
    facts = ("LEASE", 4), ("ONCE", 8), ("KEYED", 16), ("RAISES_OUTPUT", 32)
    needs = {Need.NONE: 0, Need.SESSION: 1, Need.CONTROL: 2}
    told = ask([f"asks {cls.TYPE}" for cls in REPLY_TO])
    for cls, answer in zip(REPLY_TO, told, strict=True):
        expected = needs[cls.NEEDS] + sum(bit for name, bit in facts if getattr(cls, name))
        assert answer == str(expected), cls.NAME
    assert ask(["asks 127", "asks 0", "asks 255"]) == ["0", "0", "0"]


def frame_verdict(line: bytes) -> str:
    (found,) = FrameDecoder().feed(line)
    if isinstance(found, FrameError):
        return f"result {int(FAULTS[found.fault])}"
    flags = found.kind | (4 if found.authenticated else 0)
    numbers = (found.type, int(flags), found.session, found.sequence, found.command_id, found.lease_us)
    words = " ".join(map(str, numbers))
    return f"ok {words} {hexed(found.payload)} {hexed(found.tag)} {line.hex()}"


def test_every_frame_of_the_vectors_is_read_and_written_alike(ask):
    lines = [octets(vector["line"]) for vector in golden("frames")["vector"]]
    assert stop_frame() in lines
    lines += [octets(vector["line"]) for vector in golden("keys")["sealed"]]
    verdicts = [frame_verdict(line) for line in lines]
    assert all(
        one.startswith("ok") and one.endswith(line.hex()) for one, line in zip(verdicts, lines, strict=True)
    )
    assert ask([f"frame {line.hex()}" for line in lines]) == verdicts


def test_what_keys_and_handshakes_are_made_of_is_that_of_the_vectors(ask):
    """The header carries no cryptography: a program that has it finds here what to put in, and how much."""
    table = golden("keys")
    (told,) = ask(["keys"])
    name, beginning, info, sizes = told.split(" | ")
    key, message, host_id, serial, prologue, code, nonce, tag = map(int, sizes.split())
    for vector in table["handshake"]:
        steps = vector["steps"]
        assert len(octets(vector["psk"])) == len(octets(steps["e_initiator"])) == key
        assert len(octets(steps["message_1"])) == len(octets(steps["message_2"])) == message == key + tag
        assert len(octets(vector["host_id"])) == host_id
        bound = octets(vector["prologue"])
        assert len(bound) == prologue == len(beginning) + 1 + host_id + serial
        assert bound.startswith(beginning.encode())
        # The transcript begins with the name, hashed since it is longer than 32 bytes, and the prologue.
        first = hashlib.sha256(name.encode()).digest()
        assert first == octets(steps["h0"])
        assert hashlib.sha256(first + bound).digest() == octets(steps["h1"])
    for vector in table["code"]:
        secret = octets(vector["secret"])
        assert len(secret) == code
        extracted = hmac.digest(bytes(32), secret, "sha256")
        assert hmac.digest(extracted, info.encode() + b"\x01", "sha256") == octets(vector["psk"])
    for vector in table["sealed"]:
        assert len(octets(vector["nonce"])) == nonce
        assert len(octets(vector["sealed"])) == len(octets(vector["payload"])) + tag


def test_a_prologue_is_written_as_the_vectors_have_it(ask):
    rows = golden("keys")["handshake"]
    questions = [
        f"prologue {one['purpose']} {octets(one['host_id']).hex()} {one['serial_number'].encode().hex()}"
        for one in rows
    ]
    assert ask(questions) == [f"ok {octets(one['prologue']).hex()}" for one in rows]
    host = "00" * 16
    assert ask([f"prologue 1 {host} {'41' * 32}"])[0].endswith("41" * 32)
    assert ask([f"prologue 1 {host} {'41' * 33}", f"prologue 1 {host} 41e4"]) == ["refused"] * 2


def test_what_a_seal_covers_and_its_nonce_are_those_of_the_vectors(ask):
    rows = golden("keys")["sealed"]
    assert ask([f"covered {octets(one['line']).hex()}" for one in rows]) == [
        f"ok {octets(one['header']).hex()} {octets(one['nonce']).hex()}" for one in rows
    ]
    assert ask([f"covered {stop_frame().hex()}"]) == ["not sealed"]


def closed(body: bytes) -> bytes:
    return b"\0" + cobs.encode(body + crc32_by_definition(body).to_bytes(4, "little")) + b"\0"


def test_every_refused_frame_is_refused_by_its_code(ask):
    vectors = golden("refused")["frame"]
    answers = ask([f"frame {closed(octets(vector['body'])).hex()}" for vector in vectors])
    for vector, answer in zip(vectors, answers, strict=True):
        if answer.startswith("ok"):
            words = answer.split()
            kind = int(words[2]) & 3
            # A device takes commands only: replies and events are of no type that it knows.
            told = Result.UNKNOWN_TYPE if kind else result_of(ask([f"message {words[1]} 0 {words[7]}"])[0])
        else:
            told = result_of(answer)
        assert ERRORS[told].name == vector["answer"], vector["name"]


def result_of(answer: str) -> Result:
    return Result(int(answer.removeprefix("result ")))


def test_damaged_frames_are_refused_exactly_as_the_python_codec_does(ask):
    rng = random.Random(3)
    whole = pack(m.Heartbeat(1, 2), session=3, sequence=4, command_id=5, lease_us=6)
    long = pack(m.LoadChunk(0, 0, bytes(range(1, 129))), session=3, sequence=4, command_id=5, lease_us=6)
    lines = []
    for line in (whole, long, octets(golden("keys")["sealed"][0]["line"])):
        for at in range(1, len(line) - 1):
            for _ in range(3):
                value = rng.randrange(1, 256)
                lines.append(line[:at] + bytes([value]) + line[at + 1 :])
        lines += [line[:end] + b"\0" for end in range(2, len(line) - 1)]
        body = cobs.decode(line[1:-1])[:-4]
        for at in range(30):
            for value in (0, 1, 2, 3, 4, 5, 7, 8, 0x80, 0xFF):
                lines.append(closed(body[:at] + bytes([value]) + body[at + 1 :]))
    lines += [
        b"\0" + b"\x01" * length + b"\0" for length in (1, 33, 34, MAX_FRAME_BYTES - 2, MAX_FRAME_BYTES - 1)
    ]
    verdicts = [frame_verdict(line) for line in lines]
    assert ask([f"frame {line.hex()}" for line in lines]) == verdicts
    assert {verdict.split()[1] for verdict in verdicts if verdict.startswith("result")} == {
        str(int(one)) for one in FAULTS.values()
    }


def test_what_is_damage_and_what_is_answered_is_where_the_header_says():
    for fault, result in FAULTS.items():
        answered = frame_error_code(FrameError(fault, 1, "")) is not None
        assert answered == (result >= Result.UNSUPPORTED_VERSION)
    assert isinstance(FrameDecoder().feed(stop_frame())[0], Frame)
