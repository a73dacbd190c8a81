"""Each seeded bug of a compiler or device is found, by the verdict that names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from neurostim.conformance import Report, TraceTable, judge
from support.conformance_programs import area, program
from support.wrong_compilers import BUGS, Bench, expand

TONIC = program(area(), duration="600 ms")
ODD_RATE = program(
    area(train={"rate": "333.3 Hz"}, pulse={"width": "90 us", "recharge": "none"}), duration="500 ms"
)
ACTIVE = program(
    area(
        amplitude="1.37 mA",
        pulse={"width": "30 us", "interphase": "20 us", "recharge": "active-symmetric"},
        train={"rate": "1 kHz"},
    ),
    duration="400 ms",
)
BURST = program(
    area(
        pulse={"width": "1 ms", "recharge": "passive-after-burst"},
        train={"rate": "40 Hz", "burst": {"pulses": 5, "rate": "501.3 Hz"}},
    ),
    duration="500 ms",
)
CYCLED = program(area(train={"rate": "49.3 Hz"}, cycle={"on": "210 ms", "off": "40 ms"}), duration="760 ms")
SPLIT = program(
    area(
        amplitude="1.55 mA",
        contacts={"3": "-100 %", "1": "+33.4 %", "2": "+33.3 %", "10": "+33.3 %"},
        ramp={"up": "0 ms", "down": "0 ms"},
    ),
    duration="300 ms",
)
ASYMMETRIC = program(
    area(
        amplitude="2 mA",
        pulse={"width": "100 us", "interphase": "20 us", "recharge": "active-asymmetric", "ratio": 3},
        ramp={"up": "0 ms", "down": "0 ms"},
    ),
    duration="300 ms",
)
TRIPHASIC = program(
    area(pulse={"width": "80 us", "interphase": "30 us", "recharge": "triphasic"}), duration="300 ms"
)
TWO = program(
    area(train={"rate": "61 Hz"}, priority=1),
    area(
        contacts={"2": "-100 %", "4": "+100 %"},
        train={"rate": "47 Hz"},
        delay="3 ms",
        priority=2,
    ),
    duration="700 ms",
)
LONG_BURST = area(
    pulse={"width": "1 ms", "recharge": "passive-after-burst"},
    train={"rate": "40 Hz", "burst": {"pulses": 5, "rate": "500 Hz"}},
)
CROWDED = program(
    LONG_BURST,
    area(contacts={"2": "-100 %", "4": "+100 %"}, train={"rate": "50 Hz"}, priority=2),
    duration="400 ms",
)
CROWDED_BURSTS = program(
    LONG_BURST,
    area(
        contacts={"2": "-100 %", "4": "+100 %"},
        pulse={"width": "200 us", "recharge": "active-symmetric"},
        train={"rate": "50 Hz", "burst": {"pulses": 4, "rate": "400 Hz"}},
        ramp={"up": "0 ms", "down": "0 ms"},
        priority=2,
    ),
    duration="400 ms",
)
STEADY = area(
    pulse={"width": "1 ms", "recharge": "none"},
    train={"interval": "10 ms"},
    ramp={"up": "0 ms", "down": "0 ms"},
)
TORN_TICK = program(STEADY, duration="300999900 ns")
TORN_UNIT = program(STEADY, duration="300500 us")
UNEVEN = program(area(pulse={"width": "1900 ns", "recharge": "none"}), duration="300 ms")

# bug: (program, grid, command log, verdicts that must fail, verdicts that must not)
CASES: dict[str, tuple[Mapping[str, Any], Bench, list[dict[str, Any]], set[str], set[str]]] = {
    "drifting period": (ODD_RATE, Bench(), [], {"onsets", "intervals"}, {"missing", "amplitude", "charge"}),
    "burst off by one": (BURST, Bench(), [], {"missing"}, {"onsets", "extra", "amplitude"}),
    "swapped phase": (ACTIVE, Bench(), [], {"polarity"}, {"onsets", "amplitude", "widths", "balance"}),
    "amplitude rounded up": (ACTIVE, Bench(), [], {"amplitude"}, {"onsets", "widths", "missing"}),
    "last pulse dropped": (CYCLED, Bench(), [], {"missing"}, {"onsets", "extra", "widths", "amplitude"}),
    "recharge one tick short": (
        ACTIVE,
        Bench(),
        [],
        {"balance", "widths", "charge"},
        {"onsets", "amplitude"},
    ),
    "recovery starved": (TWO, Bench(), [], {"guard", "recovery", "recovery_time"}, {"overlap", "widths"}),
    "ramp of the wrong window": (CYCLED, Bench(), [], {"ramp"}, {"onsets", "amplitude", "widths"}),
    "guard violated": (TWO, Bench(), [], {"guard", "onsets"}, {"overlap", "widths", "amplitude"}),
    "leftovers to the wrong anode": (SPLIT, Bench(), [], {"amplitude"}, {"closure", "onsets"}),
    "unit not dropped whole": (CROWDED_BURSTS, Bench(), [], {"extra"}, {"program", "missing"}),
    "dead-man ramp too slow": (
        TONIC,
        Bench(),
        [{"at_ticks": 200_000, "name": "ramp_down", "within_ns": 30_000_000}],
        {"ramp", "stops"},
        {"onsets", "amplitude"},
    ),
    "pulse after stop": (
        TONIC,
        Bench(),
        [{"at_ticks": 200_000, "name": "stop"}],
        {"stops"},
        {"onsets", "missing", "widths"},
    ),
    "passive row missing": (TONIC, Bench(), [], {"recovery", "recovery_time"}, {"onsets", "missing"}),
    "sign of one contact": (SPLIT, Bench(), [], {"polarity", "closure"}, {"amplitude", "onsets"}),
    "ramp at the shifted onset": (CROWDED, Bench(step_na=1), [], {"ramp"}, {"onsets", "amplitude"}),
    "window end not floored into": (TORN_TICK, Bench(), [], {"extra"}, {"onsets"}),
    "partial last unit": (TORN_UNIT, Bench(), [], {"extra"}, {"onsets"}),
    "train not restarted": (CYCLED, Bench(), [], {"onsets"}, {"widths"}),
    "burst on the train's clock": (
        BURST,
        Bench(),
        [],
        {"onsets", "intervals"},
        {"widths", "amplitude", "extra"},
    ),
    "width rounded down": (UNEVEN, Bench(), [], {"widths", "charge"}, {"onsets", "amplitude"}),
    "asymmetric step not kept": (ASYMMETRIC, Bench(step_na=70_000), [], {"amplitude"}, {"onsets", "widths"}),
    "amplitude one unit late": (
        TONIC,
        Bench(),
        [{"at_ticks": 250_100, "name": "set_amplitude", "area": 0, "amplitude_na": 1_000_000}],
        {"amplitude"},
        {"onsets", "ramp"},
    ),
    "passive past the next onset": (TONIC, Bench(), [], {"recovery"}, {"onsets", "recovery_time", "shorted"}),
    "shift never given up": (CROWDED, Bench(), [], {"extra"}, {"widths"}),
    "wrong area yields": (TWO, Bench(), [], {"onsets"}, {"widths", "overlap"}),
    "triphasic middle too short": (TRIPHASIC, Bench(), [], {"widths", "balance"}, {"onsets"}),
    "soft stop not followed": (
        TONIC,
        Bench(),
        [{"at_ticks": 300_000, "name": "soft_stop"}],
        {"ramp", "stops"},
        {"onsets", "amplitude"},
    ),
    "pulse numbering from one": (BURST, Bench(), [], {"indices"}, {"onsets", "recovery"}),
}
HORIZON_NS = 800_000_000


def judged(program: Mapping[str, Any], bench: Bench, commands: list[dict[str, Any]], bug: str) -> Report:
    rows, sidecar = expand(program, HORIZON_NS // bench.tick_ns, bench, bug=bug, commands=commands)
    return judge(program, TraceTable.from_rows(rows, extra=True), sidecar)


def test_every_seeded_bug_has_a_case() -> None:
    assert set(CASES) == set(BUGS)


@pytest.mark.parametrize("bug", BUGS)
def test_the_judge_disagrees_with_a_wrong_compiler_by_the_right_verdict(bug: str) -> None:
    source, bench, commands, must_fail, must_pass = CASES[bug]
    right = judged(source, bench, commands, "")
    assert right.conforms, right.to_text()
    wrong = judged(source, bench, commands, bug)
    assert must_fail <= set(wrong.failures), wrong.to_text()
    assert not must_pass & set(wrong.failures), wrong.to_text()
    for name in must_fail:
        first = wrong.check(name).first
        assert first is not None
        assert first.at_ns is not None
