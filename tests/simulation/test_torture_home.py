"""Schedules at home: a patient, hosts that must not meddle, and a clinic that takes the device back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from neurostim.wire.messages import ErrorCode
from neurostim_torture import report
from neurostim_torture.barriers.removal import Cut, removed
from neurostim_torture.campaign import Tally, campaign
from neurostim_torture.clinic import HomePlan
from neurostim_torture.faults import Fault
from neurostim_torture.generate import HOME, MIXED, drawn
from neurostim_torture.line import Way
from neurostim_torture.monitor import records as r
from neurostim_torture.schedule import Outcome, Schedule, run
from neurostim_torture.shrink import shrink

MS = 1_000_000
SECOND = 1000 * MS
SHORT = 20
LONG = 600
LEFT_NS = 60 * SECOND


def seed_with(**wanted: object) -> int:
    """The first seed whose plan is like this."""
    plans = ((seed, HomePlan.drawn(seed)) for seed in range(1, 500))
    return next(seed for seed, plan in plans if all(getattr(plan, k) == v for k, v in wanted.items()))


RELEASED = seed_with(releases=False, corridor=False)
RELEASING = seed_with(releases=True)


def live(*faults: Fault, seed: int = RELEASED, keep: list[r.Record] | None = None) -> Outcome:
    """A day at home in which only this happens."""
    # Whatever else happens, the patient switches off in the end: hours of output show nothing more.
    ends = tuple(Fault("press-stop", at_ns=2 * LEFT_NS + wait * SECOND) for wait in (0, 4))
    return run(Schedule(seed, (*faults, *ends), home=True), keep=keep)


def start(at_ns: int = LEFT_NS) -> Fault:
    return Fault("press-start", at_ns=at_ns)


def clean(outcome: Outcome) -> bool:
    assert not outcome.failed, (outcome.violations, outcome.crashes)
    return True


def judged(tally: Tally, wanted: int) -> None:
    assert not tally.violations, tally.failures[:3]
    assert tally.home.schedules == wanted
    assert tally.supervised.schedules == 0
    assert tally.telling > wanted // 2
    assert tally.outcomes["taken-back"] > wanted * 3 // 4
    assert tally.home.virtual_ns > wanted * 3600 * SECOND


def test_schedules_at_home_break_no_rule() -> None:
    judged(campaign(300_000, SHORT, generator=HOME), SHORT)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_many_schedules_at_home_break_no_rule() -> None:
    judged(campaign(400_000, LONG, generator=HOME, jobs=2), LONG)


def test_one_of_eight_mixed_schedules_is_at_home() -> None:
    assert sum(drawn(seed, MIXED).home for seed in range(800)) == 100


def test_a_quiet_day_ends_with_the_device_taken_back_and_its_log_read() -> None:
    keep: list[r.Record] = []
    outcome = live(start(), Fault("press-up", at_ns=LEFT_NS + 5 * SECOND), keep=keep)
    assert clean(outcome)
    assert outcome.doses == 2  # the contacts are read first
    assert outcome.pulses
    assert "taken-back" in outcome.outcomes
    (log,) = [one for one in keep if isinstance(one, r.UsageRead)]
    assert sum(one.cathodic_ac for one in log.contacts.values()) > 0
    assert [one.released for one in keep if isinstance(one, r.Mode)] == [False]


def test_the_release_is_done_by_a_host_and_again_after_it_was_killed() -> None:
    keep: list[r.Record] = []
    kill = Fault("kill", "host", "RELEASE_RANGES", 1)
    outcome = live(kill, start(), seed=RELEASING, keep=keep)
    assert clean(outcome)
    assert [one for one in outcome.outcomes if one in ("killed", "released", "taken-back")] == [
        "killed",
        "released",
        "taken-back",
    ]
    assert [one.released for one in keep if isinstance(one, r.Mode)] == [True, False]


@pytest.mark.parametrize("key", ["USAGE", "USAGE_DIGEST", "TAKE_BACK"])
@pytest.mark.parametrize("way", ["host", "device"])
def test_a_host_killed_while_it_takes_back_leaves_a_device_that_can_be_taken_back(key, way) -> None:
    outcome = live(start(), Fault("press-stop", at_ns=LEFT_NS + 20 * SECOND), Fault("kill", way, key, 1))
    assert clean(outcome)
    assert "killed" in outcome.outcomes
    assert "not-taken-back" not in outcome.outcomes


@pytest.mark.parametrize("kind", range(6))
def test_no_visit_changes_anything_or_starts(kind) -> None:
    keep: list[r.Record] = []
    visit = Fault("visit", at_ns=LEFT_NS + 10 * SECOND, value=kind)
    outcome = live(start(), visit, keep=keep)
    assert clean(outcome)
    assert outcome.doses == 2
    tried = {one.kind for one in keep if isinstance(one, r.HostFrame) and one.at_ns < 2 * LEFT_NS}
    if kind in (1, 3):
        refused = {
            one.fields["code"]
            for one in keep
            if isinstance(one, r.DeviceFrame) and one.kind == "ERROR" and one.at_ns < 2 * LEFT_NS
        }
        assert ErrorCode.AUTONOMOUS in refused
        assert tried >= {"FIRE", "LOAD_COMMIT", "RELEASE_COMMIT", "TAKE_BACK", "RETIRE", "UNPAIR"}


@pytest.mark.parametrize(
    "what", ["reset", "brown-out", "battery-change", "off-button", "hang", "brown-out-write", "lead-out"]
)
def test_output_at_home_stays_off_after_a_loss_until_a_new_press(what) -> None:
    keep: list[r.Record] = []
    loss = Fault(what, at_ns=LEFT_NS + 10 * SECOND, value=1)
    outcome = live(start(), loss, keep=keep)
    assert clean(outcome)
    assert outcome.struck[what] == 1
    assert outcome.doses == 2
    if what in ("hang", "brown-out-write"):
        # A watchdog's fault is the clinic's to clear; and the next write comes after the second press.
        return
    back = live(start(), loss, Fault("lead-in", at_ns=LEFT_NS + 15 * SECOND), start(LEFT_NS + 30 * SECOND))
    assert clean(back)
    assert back.doses > 2


def test_output_fades_when_the_release_ends() -> None:
    seed = seed_with(releases=False, expires_s=1200)
    assert clean(live(start(), seed=seed))


# What the rules at home see when a barrier is gone, in whole schedules.


@pytest.mark.parametrize(
    ("cut", "faults", "rule"),
    [
        (
            Cut("neurostim_sim.home.mode:Home.refuse", "if self.autonomous and not", "if False and not"),
            (Fault("visit", at_ns=LEFT_NS, value=1),),
            "hosts-change-nothing-at-home",
        ),
        (
            Cut("neurostim_sim.home.mode:Home._stop", "self._fade(StopCause.PATIENT_STOP)", "pass"),
            (
                start(),
                Fault("press-stop", at_ns=LEFT_NS + 9 * SECOND),
                Fault("off-button", at_ns=LEFT_NS + 20 * SECOND),
            ),
            "silent-after-the-patient",
        ),
        (
            Cut("neurostim_sim.home.account:Account._tell_charges", "charge = values", "charge = 1 + values"),
            (start(), Fault("press-stop", at_ns=LEFT_NS + 9 * SECOND)),
            "usage-is-the-charge",
        ),
    ],
)
def test_without_a_barrier_its_rule_is_broken(cut, faults, rule) -> None:
    assert clean(live(*faults))
    with removed([cut]):
        found = {one.rule for one in live(*faults).violations}
    assert rule in found


def test_a_mode_that_nobody_asked_for_is_found() -> None:
    cut = Cut(
        "neurostim_sim.home.commands:_take_back",
        "if request.usage_sha256 != home.usage.sha256:",
        "if False:",
    )
    visit = Fault("visit", at_ns=LEFT_NS, value=1)
    with removed([cut]):
        found = {one.rule for one in live(visit).violations}
    assert "mode-is-asked" in found


# Lists of faults at home are written, replayed and shrunk like others.


def test_a_schedule_at_home_survives_being_written_and_read() -> None:
    schedule = drawn(7, HOME)
    assert schedule.home
    assert Schedule.read(json.loads(json.dumps(schedule.as_dict()))) == schedule
    assert run(schedule).moments == run(schedule).moments


def test_shrinking_keeps_a_schedule_at_home() -> None:
    matters = Fault("press-start", at_ns=LEFT_NS)
    noise = [Fault("press-up", at_ns=LEFT_NS + number * SECOND) for number in range(6)]
    seen: set[bool] = set()

    def again(schedule: Schedule) -> Outcome:
        seen.add(schedule.home)
        bad = matters in schedule.faults
        return Outcome(schedule, violations=(r.Violation("rule", 0, "text"),) if bad else ())

    smallest = shrink(again(Schedule(3, (*noise, matters), home=True)), again)
    assert smallest.schedule == Schedule(3, (matters,), home=True)
    assert seen == {True}


def test_campaigns_tell_supervised_and_home_apart() -> None:
    tally = campaign(6, 2, generator=MIXED)
    assert (tally.supervised.schedules, tally.home.schedules) == (1, 1)
    assert tally.supervised.virtual_ns + tally.home.virtual_ns == tally.virtual_ns
    told = report.line(tally, 2)
    assert "supervised 1," in told
    assert "at home 1," in told
    text = report.page(tally, command="x", generator=MIXED, first=6)
    assert "| schedules | 1 | 1 |" in text
    assert Tally.read(json.loads(json.dumps(tally.as_dict()))) == tally


# Faults that are new with these schedules.


def test_many_bits_are_turned_and_none_twice() -> None:
    frame = bytes(range(60))
    counts = set()
    for value in range(200):
        got: list[bytes] = []
        fault = Fault("flip-many", "host", "FIRE", 1, value=value)
        way = Way([fault], lambda _at, data, got=got: got.append(data), lambda *_: None, lambda _: None)
        way.put(frame, "FIRE", 0)
        (changed,) = got
        counts.add(sum((a ^ b).bit_count() for a, b in zip(frame, changed, strict=True)))
    assert counts == set(range(2, 9))


def test_the_time_of_day_jumps_in_the_journal_and_nothing_else_changes() -> None:
    jump = Fault("time-jump", "host", "FIRE", 1, value=-3_000_000)
    plain: list[r.Record] = []
    jumped: list[r.Record] = []
    assert clean(run(Schedule(5), keep=plain))
    outcome = run(Schedule(5, (jump,)), keep=jumped)
    assert clean(outcome)
    assert outcome.struck["time-jump"] == 1
    assert [repr(one) for one in plain if not isinstance(one, r.Flow)] == [
        repr(one) for one in jumped if not isinstance(one, r.Flow)
    ]
    at_home = replace(jump, key="RELEASE_BEGIN")
    assert clean(live(at_home, start(), seed=RELEASING))
