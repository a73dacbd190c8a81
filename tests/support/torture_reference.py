"""The reference session of the torture tests: a fault-free dose, and faults put at each of its events."""

from __future__ import annotations

from functools import cache

import numpy as np

from neurostim_torture.faults import ANY, KINDS, Fault
from neurostim_torture.monitor import records as r
from neurostim_torture.person import Plan
from neurostim_torture.schedule import Outcome, Schedule, run

MS = 1_000_000
SEED = 4711
PLAN = Plan(
    program="tonic", slot=0, dwell_ms=900, steps=(1,), end="stop", doses=1, returns=False, clears=False
)
# A first value for each kind: what makes it as bad as a single fault of that kind gets.
VALUES = {
    "flip": 77,
    "truncate": 20,
    "merge": 9,
    "duplicate": 40 * MS,
    "reorder": 30 * MS,
    "delay": 400 * MS,
    "bytes": 200_000,
    "clog": 700 * MS,
    "deaf": 5_000 * MS,
    "cut": 0,
    "kill": 0,
    "kill-write": 1,
    "freeze": 5_000 * MS,
    "stuck-thread": 5_000 * MS,
    "asleep": 5_000 * MS,
    "disk": 1,
    "brown-out-write": 1,
    "open": 3,
    "short": 5,
    "replay": 20,
    "replay-kind": 150 * MS,
    "second-host": 3,
    "forge": 1,
}
# After these nothing may flow any more: how long at most, from the moment they strike [ns].
SILENCING = {
    "cut": 500 * MS,
    "kill": 500 * MS,
    "freeze": 500 * MS,
    "asleep": 500 * MS,
    "deaf-host": 500 * MS,
    "reset": 0,
    "brown-out": 0,
    "off-button": 0,
    "battery-change": 0,
    "press-stop": 0,
    "hang": 500 * MS,
    "dead-battery": 500 * MS,
    "lead-out": 500 * MS,
}
SUPERVISOR_NS = 1_600 * MS


def kinds() -> list[str]:
    """Every kind of fault that can strike at an event of a session; visits are for devices at home."""
    return [kind for kind in KINDS if kind not in ("skew", "visit")]


@cache
def events() -> tuple[tuple[str, int], ...]:
    """Every frame of the reference session: its direction and number."""
    keep: list[r.Record] = []
    outcome = session((), keep)
    assert not outcome.failed, outcome.violations
    assert "agrees" in outcome.outcomes
    sent = sum(isinstance(one, r.HostFrame) for one in keep)
    return (
        *(("host", number) for number in range(1, sent + 1)),
        *(("device", number) for number in range(1, outcome.frames - sent + 1)),
    )


def session(faults: tuple[Fault, ...], keep: list[r.Record] | None = None) -> Outcome:
    """The reference session with faults."""
    return run(Schedule(SEED, faults), keep=keep, plan=PLAN)


def fault_at(kind: str, way: str, number: int) -> Fault:
    """One fault of a kind at one event."""
    return Fault(kind, way, ANY, number, value=VALUES.get(kind, 0))


def driven_ends_ns(keep: list[r.Record]) -> np.ndarray:
    """True times at which a source ended to drive, in any order [ns]."""
    ends = [np.zeros(0, np.int64)]
    for flow in keep:
        if isinstance(flow, r.Flow):
            rows = flow.rows[np.isin(flow.rows[:, r.KIND], (r.STIM, r.RECHARGE))]
            ends.append(flow.began_ns + (rows[:, r.START] + rows[:, r.LENGTH]) * 1000)
    return np.concatenate(ends)


def last_driven_ns(keep: list[r.Record]) -> int:
    """True time at which a source last drove [ns]; 0 where none did."""
    return int(driven_ends_ns(keep).max(initial=0))
