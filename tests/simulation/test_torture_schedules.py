"""Many schedules of faults, the same every time, and what was once found stays repaired."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurostim.core.errors import ConfigError
from neurostim_torture.campaign import Tally, campaign, run_chunk
from neurostim_torture.faults import ANY, FRAME_FAULTS, KINDS, WAYS, Fault, read_faults, write_faults
from neurostim_torture.generate import GENERATORS, KEYS, drawn
from neurostim_torture.main import main
from neurostim_torture.monitor import records as r
from neurostim_torture.schedule import Outcome, Schedule, run
from neurostim_torture.shrink import shrink

REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*.json"))
SHORT = 300
PART, PARTS = 250, 20
MS = 1_000_000


def judged(tally: Tally, wanted: int) -> None:
    assert tally.schedules == wanted
    assert not tally.violations, tally.failures[:3]
    # A campaign in which nothing happens proves nothing.
    assert tally.telling > wanted // 2
    assert tally.struck.total() > wanted
    assert tally.outcomes["started"] > wanted // 2


def test_many_schedules_break_no_rule() -> None:
    tally = campaign(100_000, SHORT, jobs=2)
    judged(tally, SHORT)
    assert len([kind for kind in KINDS if tally.struck[kind]]) > len(KINDS) * 3 // 4


@pytest.mark.parametrize("part", range(PARTS))
def test_five_thousand_schedules_break_no_rule(part: int) -> None:
    # In parts, so that they spread over the processes of a test run.
    judged(run_chunk(200_000 + part * PART, PART), PART)


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: path.stem)
def test_what_once_failed_stays_repaired(path) -> None:
    outcome = run(Schedule.read(json.loads(path.read_text(encoding="utf-8"))))
    assert not outcome.failed, (outcome.violations, outcome.crashes)
    assert outcome.doses


# The same seed gives the same bytes.

TRACE = """
import hashlib, sys
from neurostim_torture.generate import drawn
from neurostim_torture.schedule import run
keep = []
for seed in map(int, sys.argv[1:]):
    run(drawn(seed), keep=keep)
text = [(repr(one), one.rows.tobytes()) if hasattr(one, "rows") else repr(one) for one in keep]
print(hashlib.sha256(repr(text).encode()).hexdigest())
"""


def digest(hash_seed: str, *seeds: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", TRACE, *map(str, seeds)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
    )
    return done.stdout.strip()


def test_the_same_seeds_give_the_same_record_in_every_process() -> None:
    seeds = (31, 32, 33, 34)
    one, other = digest("1", *seeds), digest("2", *seeds)
    assert len(one) == 64
    assert one == other
    assert digest("1", 31, 32, 33, 35) != one


def test_a_schedule_gives_the_same_again_after_others_ran() -> None:
    def record(seed: int) -> str:
        keep: list[r.Record] = []
        run(drawn(seed), keep=keep)
        return hashlib.sha256(repr(keep).encode()).hexdigest()

    first = record(77)
    record(78)
    assert record(77) == first


# Lists of faults that are made up by Hypothesis, which shrinks them by itself.

_KEYS = st.sampled_from((ANY, *KEYS))
_TIMES = st.integers(0, 2_000).map(lambda ms: ms * MS)


@st.composite
def faults(draw: st.DrawFn) -> Fault:
    what = draw(st.sampled_from(sorted(KINDS)))
    keyed = what in FRAME_FAULTS or (what != "skew" and draw(st.booleans()))
    return Fault(
        what,
        draw(st.sampled_from(WAYS)),
        draw(_KEYS) if keyed else "",
        draw(st.integers(1, 60)) if keyed else 0,
        0 if what in FRAME_FAULTS or what == "skew" else draw(_TIMES),
        draw(st.integers(0, 100)) if what in ("skew", "open", "short", "forge") else draw(_TIMES),
    )


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 500), st.lists(faults(), max_size=5))
def test_no_list_of_faults_makes_it_unsafe(seed, found) -> None:
    outcome = run(Schedule(seed, tuple(found)))
    assert not outcome.failed, (outcome.violations, outcome.crashes)


# Lists of faults, shrinking and the command line.


def test_faults_survive_being_written_and_read() -> None:
    for seed in range(200):
        given_faults = drawn(seed).faults
        assert read_faults(json.loads(write_faults(given_faults))) == given_faults


@pytest.mark.parametrize(
    "wrong",
    [
        {"what": "nothing"},
        {"what": "drop"},
        {"what": "drop", "key": "FIRE"},
        {"what": "kill", "nth": 2},
        {"what": "kill", "at_ns": -1},
        {"what": "kill", "at_ns": 0.5},
        {"what": "kill", "way": "sideways"},
        {"what": "kill", "more": 1},
        [],
    ],
)
def test_what_is_no_fault_is_refused(wrong) -> None:
    with pytest.raises(ConfigError):
        read_faults([wrong])


@pytest.mark.parametrize("generator", GENERATORS)
def test_generators_draw_faults_from_the_seed_alone(generator) -> None:
    drawn_faults = [drawn(seed, generator) for seed in range(300)]
    assert drawn_faults == [drawn(seed, generator) for seed in range(300)]
    assert len({one.faults for one in drawn_faults}) > 290
    if generator == "keyed":
        keys = {fault.key for one in drawn_faults for fault in one.faults}
        assert keys >= {"ARM", "FIRE", "HEARTBEAT", "STOP", "LOAD_BEGIN"}


def test_shrinking_leaves_the_faults_that_matter() -> None:
    matters = {Fault("kill", "host", "FIRE", 1), Fault("drop", "device", "STOP", 2)}
    noise = [Fault("delay", "host", ANY, number, value=5 * MS) for number in range(1, 12)]
    everything = (
        *noise[:4],
        Fault("kill", "host", "FIRE", 1),
        *noise[4:],
        Fault("drop", "device", "STOP", 2),
    )

    def again(schedule: Schedule) -> Outcome:
        bad = matters <= set(schedule.faults)
        return Outcome(schedule, violations=(r.Violation("rule", 0, "text"),) if bad else ())

    smallest = shrink(again(Schedule(1, everything)), again)
    assert set(smallest.schedule.faults) == matters


def test_a_campaign_goes_on_where_it_was_cut(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("neurostim_torture.campaign.CHUNK", 4)
    keep = tmp_path / "kept.jsonl"
    whole = campaign(50, 12)
    part = campaign(50, 8, keep=keep)
    with keep.open("a") as file:
        file.write('\n{"first": 58, "count"')  # cut in the middle of a line
    ran: list[int] = []
    rest = campaign(50, 12, keep=keep, tell=lambda tally: ran.append(tally.schedules))
    assert ran == [8, 12]
    assert (part.schedules, rest.schedules) == (8, 12)
    for name in ("virtual_ns", "doses", "pulses", "frames", "struck", "outcomes", "idle", "without_pulse"):
        assert getattr(rest, name) == getattr(whole, name)


def test_the_command_line_tells_figures_and_writes_a_report(tmp_path, capsys) -> None:
    report = tmp_path / "report.md"
    assert main(["--seed", "7", "--schedules", "6", "--report", str(report)]) == 0
    told = capsys.readouterr().out
    assert "6/6 schedules" in told
    text = report.read_text(encoding="utf-8")
    assert "neurostim-sim torture --seed 7 --schedules 6" in text
    assert all(f"| {kind} |" in text for kind in KINDS)


def test_the_command_line_replays_one_schedule(tmp_path, capsys) -> None:
    path = tmp_path / "one.json"
    schedule = Schedule(5, (Fault("kill", "host", "FIRE", 1, at_ns=2 * MS),))
    path.write_text(json.dumps(schedule.as_dict()))
    assert main(["--replay", str(path)]) == 0
    assert "'kill': 1" in capsys.readouterr().out
    path.write_text("{}")
    assert main(["--replay", str(path)]) == 2
