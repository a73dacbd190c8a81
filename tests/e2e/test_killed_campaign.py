"""Hosts killed by ``kill -9`` all over their sessions: journal and device agree, or it says uncertain."""

from __future__ import annotations

import random
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from neurostim.core.errors import NeurostimError
from support.kill_campaign import Campaign, Killed
from support.killed_host import PLACES

SEED = 3
SHORT = ("announced", "firing", "in mid-dose", "in an amplitude step", "half a reconciliation")
IN_DOSE = 1000
AROUND = 400
LINES = ("pty", "tcp", "pty", "tcp")
KNOWN = ("settled", "not delivered", "delivered", "uncertain")
SILENT_WITHIN_NS = 500_000_000
LATE_NS = 100_000_000
"""So long may a heartbeat lie in the line of a loaded computer, after which the device hears it."""


def campaign(folder: Path, line: str, seed: int, places: list[str]) -> tuple[list[Killed], list[str]]:
    """Kill a host at each place; also what contradicted, in words."""
    folder.mkdir()
    kills, wrong = [], []
    with Campaign(folder, line, seed) as hosts:
        for number, place in enumerate(places):
            try:
                kills.append(hosts.kill(place))
            except (AssertionError, NeurostimError) as error:
                told = "".join(traceback.format_exception(error, limit=-3))
                wrong.append(f"{line}, seed {seed}, kill {number} {place}: {told}")
                (folder / "wrong").write_text("\n".join(wrong), encoding="utf-8")
    slow = [one for one in kills if one.silent_ns - one.late_ns > SILENT_WITHIN_NS or one.late_ns > LATE_NS]
    return kills, wrong + [f"{line}, seed {seed}: {one}" for one in slow]


def chosen(chance: random.Random) -> list[str]:
    """Where the hosts of the long form are killed."""
    inside = [place.name for place in PLACES if place.in_dose]
    around = [place.name for place in PLACES if not place.in_dose]
    places = [inside[number % len(inside)] for number in range(IN_DOSE)]
    places += [around[number % len(around)] for number in range(AROUND)]
    chance.shuffle(places)
    return places


def figures(kills: list[Killed], seconds: float) -> str:
    """What was found, by place."""
    lines = [f"{len(kills)} kills in {seconds:.0f} s"]
    for place in PLACES:
        here = [one for one in kills if one.place == place.name]
        known = Counter(one.known for one in here)
        worst = max((one.silent_ns for one in here), default=0) / 1e6
        counts = ", ".join(f"{known[name]} {name}" for name in KNOWN if known[name])
        on = sum(one.on for one in here)
        lines.append(f"{place.name:24} {len(here):4}  output on {on:3}, silent in {worst:5.1f} ms  {counts}")
    known = Counter(one.known for one in kills)
    lines.append("in all: " + ", ".join(f"{known[name]} {name}" for name in KNOWN))
    late = max((one.late_ns for one in kills), default=0) / 1e6
    lines.append(f"the last heartbeat was heard at most {late:.1f} ms after the kill")
    return "\n".join(lines)


@pytest.mark.hazard("host-crash")
@pytest.mark.parametrize("line", ["pty", "tcp"])
def test_a_killed_host_leaves_a_journal_that_agrees_with_the_device(tmp_path: Path, line: str) -> None:
    kills, wrong = campaign(tmp_path / line, line, SEED, list(SHORT))
    assert wrong == []
    found = {one.place: one for one in kills}
    assert found["announced"].known == "not delivered"
    assert not found["announced"].on
    assert found["firing"].known in ("delivered", "not delivered")
    assert found["in mid-dose"].on
    for place in ("in mid-dose", "in an amplitude step", "half a reconciliation"):
        assert found[place].known == "delivered"


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_killed_hosts_leave_journals_that_agree_with_the_device(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = chosen(random.Random(SEED))
    begun = time.monotonic()
    with ThreadPoolExecutor(len(LINES)) as pool:
        running = [
            pool.submit(campaign, tmp_path / f"{line}-{number}", line, number, places[number :: len(LINES)])
            for number, line in enumerate(LINES)
        ]
        ended = [each.result() for each in running]
    kills = [one for found, _ in ended for one in found]
    with capsys.disabled():
        print("\n" + figures(kills, time.monotonic() - begun))
    assert [one for _, wrong in ended for one in wrong] == []
    assert len(kills) == IN_DOSE + AROUND
    assert {one.place for one in kills} == {place.name for place in PLACES}
    assert all(one.known in KNOWN for one in kills)
    assert sum(one.on for one in kills) > IN_DOSE // 2
