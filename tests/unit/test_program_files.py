"""Files that are no program at all, or not quite one: each is refused quickly, by name and place."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from neurostim.core.errors import ConfigError
from neurostim.core.program_bounds import MAX_FILE_BYTES
from neurostim.core.program_file import load_program, parse_program
from support.programs import AREA, VALID, problems, swap, the_problem


def refused(path: Path) -> str:
    """The only problem of a file, and that its name is in the message."""
    with pytest.raises(ConfigError) as caught:
        load_program(path)
    assert str(path) in caught.value.message
    (problem,) = caught.value.problems
    return str(problem)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "program.toml"


def test_a_file_reads_like_its_text(file):
    file.write_text(VALID, encoding="utf-8")
    assert load_program(file) == load_program(str(file)) == parse_program(VALID)


def test_a_byte_order_mark_and_windows_line_ends_are_read(file):
    file.write_bytes(b"\xef\xbb\xbf" + VALID.replace("\n", "\r\n").encode())
    assert load_program(file) == parse_program(VALID)


def test_lines_are_counted_alike_with_windows_line_ends():
    wrong = swap('"40 Hz"', "40")
    assert problems(wrong) == problems(wrong.replace("\n", "\r\n"))
    assert "(line 10)" in the_problem(wrong.replace("\n", "\r\n"))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    assert "nothing at this path" in refused(tmp_path / "none.toml")
    assert "a folder" in refused(tmp_path)


def test_a_path_that_no_file_can_have_is_refused(tmp_path):
    assert refused(tmp_path / "a\0b.toml")
    assert refused(tmp_path / ("x" * 300))


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    assert "pipe" in refused(tmp_path / "pipe.toml")


def test_a_device_without_end_is_refused():
    assert "a device" in refused(Path("/dev/zero"))


def test_a_file_of_100_mb_is_refused_by_its_size_before_it_is_read(file, monkeypatch):
    with file.open("wb") as handle:
        handle.truncate(100 * 2**20)

    def opened(*_: object, **__: object) -> None:
        raise AssertionError("the file was opened")

    monkeypatch.setattr(Path, "open", opened)
    assert f"{100 * 2**20} bytes" in refused(file)


def test_the_largest_file_is_read_and_one_byte_more_is_not(file):
    padding = "#" * 63 + "\n"
    text = VALID + padding * ((MAX_FILE_BYTES - len(VALID)) // 64)
    text += "#" * (MAX_FILE_BYTES - len(text))
    file.write_text(text, encoding="ascii")
    assert load_program(file) == parse_program(VALID)
    file.write_text(f"{text}#", encoding="ascii")
    assert f"{MAX_FILE_BYTES + 1} bytes" in refused(file)
    with pytest.raises(ConfigError, match="characters"):
        parse_program(f"{text}#")


def test_binary_content_is_named(file):
    file.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(100))
    assert "binary file" in refused(file)
    file.write_bytes(bytes(1000))
    assert "zero byte at 0" in refused(file)


def test_other_encodings_are_named_with_the_place(file):
    file.write_bytes(swap("Test program", "M\u00fcller").encode("latin-1"))
    assert refused(file).startswith("line 2: found the byte 0xfc")
    file.write_bytes(VALID.encode("utf-16"))
    assert "UTF-16" in refused(file)


def test_an_empty_file_lacks_everything(file):
    file.write_bytes(b"")
    with pytest.raises(ConfigError) as caught:
        load_program(file)
    assert [problem.place for problem in caught.value.problems] == [
        "format",
        "name",
        "therapy",
        "lead",
        "area",
    ]


def test_a_file_cut_off_anywhere_is_refused_or_means_the_same():
    whole = parse_program(VALID)
    complete = VALID.rindex("}") + 1
    for end in range(len(VALID)):
        if end >= complete:
            assert parse_program(VALID[:end]) == whole
        else:
            assert problems(VALID[:end]), end


def test_quantities_without_quotes_are_explained_and_the_rest_is_still_judged():
    text = swap('"1.5 mA"', "1.5 mA", swap('"40 Hz"', "40", swap('"scs"', '"sc"')))
    found = problems(text)
    assert found[0].startswith("line 7: found 1.5 mA without quotes")
    assert [one.split(" ")[0] for one in found[1:]] == ["therapy", "area[1].train.rate"]
    assert 'such as "1.5 mA"' in the_problem(swap('"1.5 mA"', "1,5 mA"))


def test_several_faulty_lines_are_all_reported():
    text = swap("[[area]]", "colour == red\n[[area]]", swap('"scs"', '"scs'))
    text = swap('"1.5 mA"', "1.5 mA", text)
    assert [one.split(":")[0] for one in problems(text)] == ["line 3", "line 6", "line 8"]


def test_a_key_missing_in_one_area_is_reported_though_it_was_lost_in_another():
    text = swap('"1.5 mA"', "1.5 mA") + AREA.replace('amplitude = "1.5 mA"\n', "")
    found = problems(text)
    assert [one.split(" (")[0].split(":")[0] for one in found] == ["line 7", "area[2].amplitude"]


def test_a_table_in_braces_over_several_lines_is_explained():
    assert any("on one line" in one for one in problems(swap("pulse = { width", "pulse = {\n width")))


@pytest.mark.parametrize("opener", ["[", "{ a = "])
def test_deep_nesting_is_refused(opener):
    one_line = f"{VALID}deep = {opener * 600}\n"
    many_lines = f"{VALID}deep = [\n" + "[\n" * 20_000
    for text in (one_line, many_lines):
        assert problems(text)


def test_a_closed_deep_nesting_is_an_unknown_key_or_too_deep():
    assert problems(f"{VALID}deep = {'[' * 90}{']' * 90}\n")
    assert problems(f"{VALID}deep = {'[' * 1500}{']' * 1500}\n")


def test_a_key_of_a_thousand_parts_is_refused_in_no_time():
    began = time.perf_counter()
    assert problems(f"{VALID}{'a.' * 20_000}b = 1\n")
    assert problems(VALID + "".join(f"{'a.' * 1000}b{n} = 1\n" for n in range(25)))
    assert time.perf_counter() - began < 20


def test_a_number_too_long_for_python_is_refused():
    long = "\n".join(f"x{n} = 1" for n in range(3))
    assert problems(f"{VALID}{long}\nhuge = {'1' * 4090}\n")
    assert problems(f"huge = {'1' * 4300}\n")


def test_characters_that_could_steer_a_terminal_never_reach_a_message():
    text = swap('"scs"', '"\\u001b[2J"', swap("duration", '"\\u001b[31mduration"'))
    for one in problems(text):
        assert one.isprintable(), one


def test_a_long_value_is_cut_short_in_the_message():
    assert len(the_problem(swap('"1.5 mA"', f'"{"9" * 3000} mA"'))) < 400
