"""What a program file may say, field by field, and what is refused with which words."""

from __future__ import annotations

from fractions import Fraction

import pytest

from neurostim.core.program import (
    Burst,
    Cycle,
    Program,
    Pulse,
    Ramp,
    Recharge,
    RelativeAmplitude,
    Share,
    Train,
)
from neurostim.core.program_file import parse_program
from support.programs import AREA, HEAD, VALID, problems, swap, the_problem

DOCUMENTED = """\
format = "neurostim-program/1"
name = "BurstDR microdosing, bipole on 3 and 5"
therapy = "scs"                      # a comment
source = "De Ridder 2010 Neurosurgery 66:986"
evidence = "B"
lead = "octrode"
duration = "20 min"

[[area]]
name = "low back"
amplitude = "1.5 mA"
contacts = { 5 = "100 %", 3 = "-100 %" }
pulse = { width = "1 ms", interphase = "100 us", recharge = "passive-after-burst" }
train = { rate = "40 Hz", burst = { pulses = 5, rate = "500 Hz" } }
ramp  = { up = "2 s", down = "1 s" }
cycle = { on = "30 s", off = "90 s" }
delay = "0 ms"
priority = 1
"""


def test_the_documented_example_means_what_it_says():
    program = parse_program(DOCUMENTED)
    assert program == Program(
        name="BurstDR microdosing, bipole on 3 and 5",
        therapy="scs",
        leads=("octrode",),
        areas=(program.areas[0],),
        duration_ns=1_200_000_000_000,
        source="De Ridder 2010 Neurosurgery 66:986",
        evidence="B",
    )
    (area,) = program.areas
    assert area.name == "low back"
    assert area.amplitude == 1_500_000
    assert area.shares == (Share("3", -1000), Share("5", 1000)), "in contact order, unsigned is an anode"
    assert area.pulse == Pulse(1_000_000, Recharge.PASSIVE_AFTER_BURST, 100_000)
    assert area.train == Train(Fraction(40), Burst(5, Fraction(500)))
    assert area.cycle == Cycle(30_000_000_000, 90_000_000_000)


def test_what_is_left_out_has_the_documented_defaults():
    text = swap(', interphase = "100 us"', "", swap('duration = "20 min"\n', ""))
    program = parse_program(text)
    (area,) = program.areas
    assert program.duration_ns is None
    assert not program.interleave_drop
    assert (program.source, program.evidence) == ("", "")
    assert area.pulse.interphase_ns == 0
    assert area.ramp == Ramp(2_000_000_000, 1_000_000_000)
    assert (area.name, area.cycle, area.delay_ns, area.priority) == ("area 1", None, 0, 1)


@pytest.mark.parametrize(
    ("key", "old"),
    [
        ("format", 'format = "neurostim-program/1"\n'),
        ("name", 'name = "Test program"\n'),
        ("therapy", 'therapy = "scs"\n'),
        ("lead", 'lead = "octrode"\n'),
        ("area", AREA),
        ("area[1].amplitude", 'amplitude = "1.5 mA"\n'),
        ("area[1].contacts", 'contacts = { 3 = "-100 %", 5 = "+100 %" }\n'),
        ("area[1].pulse", 'pulse = { width = "300 us", interphase = "100 us", recharge = "passive" }\n'),
        ("area[1].pulse.width", 'width = "300 us", '),
        ("area[1].pulse.recharge", ', recharge = "passive"'),
        ("area[1].train", 'train = { rate = "40 Hz" }\n'),
    ],
)
def test_each_required_key_is_named_when_it_is_missing(key, old):
    assert f"{key} " in f"{the_problem(swap(old, '')).split(':')[0]} "
    assert "found nothing" in the_problem(swap(old, ""))


def test_a_missing_key_points_to_the_line_of_its_table():
    assert the_problem(swap('amplitude = "1.5 mA"\n', "")).startswith("area[1].amplitude (line 6):")


@pytest.mark.parametrize(
    ("old", "key"),
    [
        ('name = "Test program"', "name"),
        ('duration = "20 min"', "duration"),
        ('amplitude = "1.5 mA"', "amplitude"),
        ('train = { rate = "40 Hz" }', "train"),
        ('contacts = { 3 = "-100 %", 5 = "+100 %" }', "contacts"),
    ],
)
def test_a_key_given_twice_is_refused_at_its_line(old, key):
    text = swap(old, f"{old}\n{old}")
    line = text[: text.rindex(old)].count("\n") + 1
    assert the_problem(text).startswith(
        f"line {line}: found the key {key} or one of its parts more than once"
    )


def test_a_key_given_twice_in_braces_is_refused():
    assert "more than once" in the_problem(swap('width = "300 us"', 'width = "300 us", width = "1 ms"'))
    assert "more than once" in the_problem(swap('5 = "+100 %"', '5 = "+50 %", 5 = "+50 %"'))


QUANTITY_FIELDS = [
    ("duration", 'duration = "20 min"', "duration = {}"),
    ("area[1].amplitude", 'amplitude = "1.5 mA"', "amplitude = {}"),
    ("area[1].contacts.3", '3 = "-100 %"', "3 = {}"),
    ("area[1].pulse.width", 'width = "300 us"', "width = {}"),
    ("area[1].pulse.interphase", 'interphase = "100 us"', "interphase = {}"),
    ("area[1].train.rate", 'rate = "40 Hz"', "rate = {}"),
    ("area[1].train.interval", 'rate = "40 Hz"', "interval = {}"),
    ("area[1].train.burst.rate", 'rate = "40 Hz"', 'rate = "40 Hz", burst = {{ pulses = 5, rate = {} }}'),
    ("area[1].ramp.up", "train =", "ramp = {{ up = {} }}\ntrain ="),
    ("area[1].ramp.down", "train =", "ramp = {{ down = {} }}\ntrain ="),
    ("area[1].cycle.on", "train =", 'cycle = {{ on = {}, off = "1 s" }}\ntrain ='),
    ("area[1].cycle.off", "train =", 'cycle = {{ on = "1 s", off = {} }}\ntrain ='),
    ("area[1].delay", "train =", "delay = {}\ntrain ="),
    ("area[1].amplitude.percent", '"1.5 mA"', '{{ of = "perception", percent = {}, mark = "m1" }}'),
]
NO_QUANTITIES = {
    "bare integer": "5",
    "float": "2.5",
    "boolean": "true",
    "not a number": "nan",
    "minus not a number": "-nan",
    "infinity": "inf",
    "a power beyond any float": "1e400",
    "an integer of 401 digits": "1" + "0" * 400,
    "date": "2026-01-01",
    "list": '["1 s"]',
    "table": "{ a = 1 }",
    "empty": '""',
    "no unit": '"5"',
    "no number": '"mA"',
    "wrong unit": '"5 kg"',
    "decimal comma": '"1,5 mA"',
    "thousands comma": '"1,500 us"',
    "exponent": '"1e3 us"',
    "leading point": '".5 mA"',
    "trailing point": '"5. mA"',
    "two spaces": '"5  mA"',
    "outer space": '" 5 mA"',
    "line end": '"5 mA\\n"',
    "sign in the middle": '"5 -mA"',
    "double sign": '"--5 mA"',
    "sign after": '"5- mA"',
    "text nan": '"nan mA"',
    "digits of another script": '"٣ mA"',
    "digits without end": f'"{"9" * 400} mA"',
    "power in text": '"10^400 mA"',
}


@pytest.mark.parametrize("wrong", NO_QUANTITIES.values(), ids=NO_QUANTITIES)
@pytest.mark.parametrize(
    ("place", "old", "new"), QUANTITY_FIELDS, ids=[field[0] for field in QUANTITY_FIELDS]
)
def test_only_text_with_a_unit_is_a_quantity(place, old, new, wrong):
    if place.endswith(".amplitude") and wrong.startswith("{"):
        place = f"{place}."  # a table there is a relative amplitude, whose keys are judged
    found = problems(swap(old, new.format(wrong)))
    assert any(one.startswith(place) for one in found), found


@pytest.mark.parametrize(
    ("place", "old", "new"), QUANTITY_FIELDS, ids=[field[0] for field in QUANTITY_FIELDS]
)
def test_a_unit_of_another_kind_is_refused_with_the_accepted_ones(place, old, new):
    found = the_problem(swap(old, new.format('"5 mV"')))
    assert found.startswith(place)
    assert '"5 mV"' in found
    assert "unit (" in found or "share" in found


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('"1,5 mA"', "no comma"),
        ('"1e3 uA"', "without an exponent"),
        ('"5"', "the unit is missing"),
        ('"nan mA"', "a finite number"),
    ],
)
def test_frequent_mistakes_are_explained(text, hint):
    assert hint in the_problem(swap('"1.5 mA"', text))


def test_both_code_points_of_micro_are_units():
    for width in ("300 \u00b5s", "300 \u03bcs", "300us", "300000 ns", "0.3 ms", "0.0003 s"):
        program = parse_program(swap("300 us", width))
        assert program.areas[0].pulse.width_ns == 300_000


def test_finer_than_whole_nanoseconds_and_nanoamperes_is_refused():
    assert "in whole ns" in the_problem(swap('"300 us"', '"300.0001 us"'))
    assert "in whole nA" in the_problem(swap('"1.5 mA"', '"1.5000001 mA"'))


@pytest.mark.parametrize("word", ["2.0", "true", '"2"', "1", "21", "-3", "nan", "99999999999999999999"])
def test_ratio_is_a_whole_number_from_2_to_20(word):
    text = swap('"passive"', f'"active-asymmetric", ratio = {word}')
    assert the_problem(text).startswith("area[1].pulse.ratio (line 9):")


@pytest.mark.parametrize("word", ["1", "1001", "5.0", "true", '"5"', "[]"])
def test_pulses_of_a_burst_are_a_whole_number_from_2_to_1000(word):
    text = swap('"40 Hz"', f'"40 Hz", burst = {{ pulses = {word}, rate = "500 Hz" }}')
    assert the_problem(text).startswith("area[1].train.burst.pulses (line 10):")


@pytest.mark.parametrize("word", ["-1", "256", "1.0", "true", '"1"'])
def test_priority_is_a_whole_number(word):
    assert the_problem(f"{VALID}priority = {word}\n").startswith("area[1].priority (line 11):")


@pytest.mark.parametrize(
    ("old", "new", "place", "hint"),
    [
        ("duration =", "durration =", "durration (line 5)", '"duration"'),
        ("amplitude =", "amplitud =", "area[1].amplitud (line 7)", '"amplitude"'),
        ("width =", "Width =", "area[1].pulse.Width (line 9)", '"width"'),
        ("rate =", "rat =", "area[1].train.rat (line 10)", '"rate"'),
        ("therapy =", "colour = 1\ntherapy =", "colour (line 3)", "format, name, therapy"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known(old, new, place, hint):
    unknown = [one for one in problems(swap(old, new)) if "unknown key" in one]
    assert len(unknown) == 1
    assert unknown[0].startswith(f"{place}:")
    assert hint in unknown[0]


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ('recharge = "passive"', 'recharge = "passive", shape = "sine"', "shape"),
        ('recharge = "passive"', 'recharge = "sine"', "sine"),
        ('recharge = "passive"', 'recharge = "custom"', "custom"),
        ('recharge = "passive"', 'recharge = "passive", kind = "custom"', "custom"),
        ('duration = "20 min"', "simultaneous = true", "simultaneous"),
        ('duration = "20 min"', 'interleave = "simultaneous"', "simultaneous"),
        ('train = { rate = "40 Hz" }', 'train = { rate = "40 Hz", sine = true }', "sine"),
    ],
)
def test_reserved_words_are_refused_by_name(old, new, word):
    found = the_problem(swap(old, new))
    assert f"{word} is reserved" in found
    assert "refused in format 1" in found


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('"neurostim-program/1"', '"neurostim-program/2"', "format"),
        ('"neurostim-program/1"', "1", "format"),
        ('therapy = "scs"', 'therapy = "SCS"', "therapy"),
        ('therapy = "scs"', "therapy = true", "therapy"),
        ('recharge = "passive"', 'recharge = "pasive"', "area[1].pulse.recharge"),
        ('recharge = "passive"', "recharge = []", "area[1].pulse.recharge"),
        ('duration = "20 min"', 'evidence = "D"', "evidence"),
        ('duration = "20 min"', 'interleave = "keep"', "interleave"),
        ('duration = "20 min"', "interleave = true", "interleave"),
        ('"1.5 mA"', '{ of = "pain", percent = "60 %", mark = "m1" }', "area[1].amplitude.of"),
    ],
)
def test_words_outside_their_list_are_refused(old, new, place):
    assert the_problem(swap(old, new)).startswith(f"{place} (line")


@pytest.mark.parametrize(
    "bad", ["1", "true", '""', '"  "', '"a\\u001b[31mb"', '"a\\nb"', f'"{"x" * 121}"', "[]"]
)
def test_names_are_one_printable_line(bad):
    assert the_problem(swap('"Test program"', bad)).startswith("name (line 2):")
    assert the_problem(f"{VALID}name = {bad}\n").startswith("area[1].name (line 11):")


@pytest.mark.parametrize(
    "bad", ["1", '""', '"../octrode"', '"Octrode"', "[]", '["octrode", 3]', f'"{"x" * 65}"']
)
def test_leads_are_names_of_the_library(bad):
    assert problems(swap('"octrode"', bad))[0].startswith("lead")


@pytest.mark.parametrize(
    "bad", ["0", "33", "03", "a", "-1", "1-2", "returns", "Return", '"3 "', '"1.2.3"', '"1.0"']
)
def test_labels_are_contact_numbers_or_return(bad):
    found = problems(swap('3 = "-100 %"', f'{bad} = "-100 %"'))
    assert len(found) == 1
    assert found[0].startswith("area[1].contacts.")


def test_return_is_a_contact():
    program = parse_program(swap("5 =", "return ="))
    assert program.areas[0].shares == (Share("3", -1000), Share("return", 1000))


def test_an_unquoted_dotted_key_is_explained():
    text = swap('lead = "octrode"', 'lead = ["octrode", "octrode"]')
    text = swap("3 =", "1.3 =", swap("5 =", '"2.5" =', text))
    found = the_problem(text)
    assert found.startswith("area[1].contacts.1 (line 8):")
    assert "unquoted dotted key" in found
    assert '"1.3"' in found


def test_several_leads_name_their_contacts_in_two_parts():
    text = swap('lead = "octrode"', 'lead = ["octrode", "linear-8"]')
    program = parse_program(swap("3 =", '"2.3" =', swap("5 =", '"1.5" =', text)))
    assert program.leads == ("octrode", "linear-8")
    assert program.areas[0].shares == (Share("1.5", 1000), Share("2.3", -1000))
    assert all("2 leads" in one for one in problems(text))
    assert "leads 1 to 2" in the_problem(swap("3 =", '"3.3" =', swap("5 =", '"1.5" =', text)))


def test_one_lead_names_its_contacts_by_number():
    assert "one lead" in the_problem(swap("3 =", '"1.3" ='))
    program = parse_program(swap('"octrode"', '["octrode"]'))
    assert program == parse_program(VALID)


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ('3 = "-99.9 %", 5 = "+100 %"', "cathodes that sum to -99.9 %"),
        ('3 = "-100 %", 5 = "+99.9 %"', "anodes that sum to +99.9 %"),
        ('3 = "-100 %", 4 = "-0.1 %", 5 = "+100 %"', "cathodes that sum to -100.1 %"),
        ('3 = "100 %", 5 = "+100 %"', "no cathode"),
        ('3 = "-100 %"', "no anode"),
        ("", "no cathode"),
    ],
)
def test_shares_sum_exactly(shares, words):
    assert any(words in one for one in problems(swap('3 = "-100 %", 5 = "+100 %"', shares)))


def test_uneven_shares_that_sum_are_exact():
    text = swap('3 = "-100 %", 5 = "+100 %"', '1 = "-33.3 %", 2 = "-33.3 %", 3 = "-33.4 %", 5 = "100 %"')
    shares = parse_program(text).areas[0].shares
    assert [share.permille for share in shares] == [-333, -333, -334, 1000]


@pytest.mark.parametrize(
    "share", ['"33.33 %"', '"100.1 %"', '"-101 %"', '"0 %"', '"-0 %"', '"50"', "50", '"+-5 %"']
)
def test_a_share_is_a_tenth_of_a_percent_within_the_whole(share):
    found = problems(swap('"+100 %"', share))
    assert len(found) == 1, "the sum is not judged where a share cannot be read"
    assert found[0].startswith("area[1].contacts.5 (line 8):")


def test_rate_and_interval_exclude_each_other_and_one_is_needed():
    both = the_problem(swap('rate = "40 Hz"', 'rate = "40 Hz", interval = "25 ms"'))
    assert both.startswith("area[1].train (line 10): found rate and interval together")
    neither = the_problem(swap('{ rate = "40 Hz" }', "{}"))
    assert neither.startswith("area[1].train (line 10): found neither")
    burst = the_problem(swap('"40 Hz"', '"40 Hz", burst = { pulses = 5 }'))
    assert burst.startswith("area[1].train.burst (line 10): found neither")


def test_an_interval_is_the_exact_reciprocal_of_a_rate():
    train = parse_program(swap('rate = "40 Hz"', 'interval = "3 s"')).areas[0].train
    assert train == Train(Fraction(1, 3), from_interval=True)
    text = swap('rate = "40 Hz"', 'interval = "25 ms", burst = { pulses = 5, interval = "3 ms" }')
    burst = parse_program(text).areas[0].train.burst
    assert burst == Burst(5, Fraction(1000, 3), from_interval=True)


def test_ratio_belongs_to_asymmetric_recharge_alone():
    good = parse_program(swap('"passive"', '"active-asymmetric", ratio = 4'))
    assert good.areas[0].pulse.ratio == 4
    assert "ratio only with" in the_problem(swap('"passive"', '"passive", ratio = 4'))
    missing = the_problem(swap('"passive"', '"active-asymmetric"'))
    assert missing.startswith("area[1].pulse.ratio (line 9): found nothing")


def test_recovery_after_the_burst_needs_a_burst():
    found = the_problem(swap('"passive"', '"passive-after-burst"'))
    assert found.startswith("area[1].pulse.recharge (line 9):")
    assert "only with a burst" in found


def test_what_is_for_the_bench_alone_is_refused_elsewhere():
    bench = swap('"scs"', '"bench"')
    for old, new in (
        ('recharge = "passive"', 'recharge = "none"'),
        ("train =", 'ramp = { up = "0 s" }\ntrain ='),
        ("train =", 'ramp = { down = "0 s" }\ntrain ='),
    ):
        assert "bench" in the_problem(swap(old, new))
        parse_program(swap(old, new, bench))


def test_a_delay_ends_before_the_duration():
    text = swap('"20 min"', '"10 s"')
    assert the_problem(f'{text}delay = "10 s"\n').startswith("area[1].delay (line 11):")
    assert parse_program(f'{text}delay = "9.999999999 s"\n').areas[0].delay_ns == 9_999_999_999


def test_names_of_areas_differ_also_from_those_that_are_given():
    twice = f'{VALID}name = "a"\n{AREA}name = "a"\n'
    assert [one[:12] for one in problems(twice)] == ["area[1].name", "area[2].name"]
    given = f'{VALID}name = "area 2"\n{AREA}'
    assert len(problems(given)) == 2
    assert len(parse_program(VALID + AREA).areas) == 2


def test_one_to_eight_areas():
    assert len(parse_program(HEAD + AREA * 8).areas) == 8
    assert "9 of them" in the_problem(HEAD + AREA * 9)
    assert "0 of them" in the_problem(f"{HEAD}area = []\n")


def test_a_single_bracketed_area_is_explained():
    assert "two pairs of brackets" in the_problem(swap("[[area]]", "[area]"))


@pytest.mark.parametrize("key", ["pulse", "train", "contacts"])
@pytest.mark.parametrize("wrong", ["1", '"300 us"', "[]", "true"])
def test_a_table_is_a_table(key, wrong):
    lines = [f"{key} = {wrong}" if line.startswith(key) else line for line in VALID.splitlines()]
    found = the_problem("\n".join(lines))
    assert found.startswith(f"area[1].{key} (line")
    assert f"a table, such as {key} = {{" in found


def test_dropping_units_is_allowed_by_one_word_at_the_top():
    assert parse_program(swap('duration = "20 min"', 'interleave = "drop"')).interleave_drop
    assert "unknown key" in the_problem(f'{VALID}interleave = "drop"\n')


def test_a_relative_amplitude_keeps_its_mark():
    text = swap('"1.5 mA"', '{ of = "perception", percent = "60 %", mark = "m-17" }')
    assert parse_program(text).areas[0].amplitude == RelativeAmplitude("perception", 600, "m-17")
    assert len(problems(swap('"1.5 mA"', "{ }"))) == 3
    assert "unknown key" in the_problem(
        swap('"1.5 mA"', text.split("amplitude = ")[1].split("}")[0] + ", x = 1 }")
    )


def test_all_problems_of_a_file_come_in_one_error_in_the_order_of_its_lines():
    text = swap("[[area]]", '[[area]]\ndelay = "30 min"', swap('therapy = "scs"', 'therapy = "scss"'))
    text = swap('"1.5 mA"', '"151 mA"', text)
    text = swap('"+100 %"', '"+90 %"', text)
    text = swap('"300 us"', "300", text)
    text = swap('"passive"', '"passive-after-burst", ratio = 3', text)
    text = swap('"40 Hz"', '"20.1 kHz", burst = { pulses = 1, rate = "500 Hz", gap = 1 }', text)
    assert [one.split(":")[0] for one in problems(text)] == [
        "therapy (line 3)",
        "area[1].delay (line 7)",
        "area[1].amplitude (line 8)",
        "area[1].contacts (line 9)",
        "area[1].pulse.width (line 10)",
        "area[1].pulse.ratio (line 10)",
        "area[1].train.rate (line 11)",
        "area[1].train.burst.pulses (line 11)",
        "area[1].train.burst.gap (line 11)",
    ]


def test_places_count_areas_from_one():
    second = swap(
        '"40 Hz"', '"40 Hz", burst = { pulses = 5, rate = "1 mHz" }', AREA.replace("40 Hz", "40 Hz")
    )
    second = swap('"1 mHz"', '"0.9 mHz"', second)
    assert the_problem(VALID + second).startswith("area[2].train.burst.rate (line 15):")
