"""One fault of every kind at every event of a reference session: nothing unsafe, and silence in time."""

from __future__ import annotations

import pytest

from neurostim_torture.monitor import records as r
from neurostim_torture.person import Plan
from neurostim_torture.schedule import Schedule, run
from support import torture_reference as ref

MS = 1_000_000
STRIDE = 23


def judge(kind: str, way: str, number: int) -> bool:
    """Run the session with one fault; whether it struck."""
    keep: list[r.Record] = []
    outcome = ref.session((ref.fault_at(kind, way, number),), keep)
    assert not outcome.failed, (kind, way, number, outcome.violations, outcome.crashes)
    if not outcome.struck:
        return False
    bound = ref.SILENCING.get(f"{kind}-{way}", ref.SILENCING.get(kind))
    if bound is not None:
        struck_ns = max(at_ns for at_ns, _ in outcome.moments)
        back_ns = struck_ns + ref.VALUES[kind] if kind in ("freeze", "asleep") else 1 << 62
        # What a person starts deliberately after the fault is another dose.
        again = [
            one.at_ns
            for one in keep
            if isinstance(one, r.Intent) and one.what in ("start", "measure") and one.at_ns > struck_ns
        ]
        back_ns = min([back_ns, *again])
        ends = ref.driven_ends_ns(keep)
        # A source that drives when the supply goes is off with it; a phase that began is at most this long.
        late = ends[(ends > struck_ns + bound + MS) & (ends < back_ns)]
        assert not late.size, (kind, way, number, struck_ns, late[:3])
    return True


def test_the_reference_session_is_whole_and_clean_without_faults() -> None:
    frames = ref.events()
    assert len(frames) > 60
    keep: list[r.Record] = []
    outcome = ref.session((), keep)
    assert outcome.doses == 2  # the measurement and the program
    assert outcome.pulses > 20
    assert ref.last_driven_ns(keep) > 0


@pytest.mark.parametrize("kind", ref.kinds())
def test_a_single_fault_at_events_across_the_session_is_safe(kind) -> None:
    frames = ref.events()
    begin = ref.kinds().index(kind) % STRIDE
    struck = [judge(kind, way, number) for way, number in frames[begin::STRIDE]]
    assert any(struck) or kind in ("lead-in", "replay-kind", "kill-write", "disk", "brown-out-write", "heal")


@pytest.mark.long
@pytest.mark.parametrize("kind", ref.kinds())
def test_a_single_fault_at_every_event_is_safe(kind) -> None:
    for way, number in ref.events():
        judge(kind, way, number)


@pytest.mark.parametrize("seed", range(3))
def test_an_emergency_stop_silences_within_10_ms(seed) -> None:
    plan = Plan("burst", 0, 800 + 37 * seed, (), "emergency", 1, returns=False, clears=False)
    keep: list[r.Record] = []
    outcome = run(Schedule(seed), keep=keep, plan=plan)
    assert not outcome.failed, outcome.violations
    asked = next(one.at_ns for one in keep if isinstance(one, r.Intent) and one.what == "emergency")
    assert asked - 100 * MS < ref.last_driven_ns(keep) <= asked + 10 * MS
