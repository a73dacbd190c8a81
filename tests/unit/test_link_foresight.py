"""Looks that would show nothing are not played; what changes between them is seen all the same, in time."""

from __future__ import annotations

import pytest

from neurostim.wire.messages import DeviceState, EventCode, FaultCode
from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile
from support.sim_bench import MS, SimHost, tonic


@pytest.mark.parametrize("late_ms", [5, 33, 61])
def test_a_contact_that_opens_between_two_looks_ends_output_at_its_third_pulse(late_ms: int) -> None:
    host = SimHost(DeviceCore(profile("scs"), seed=3))
    begun = host.start(tonic())
    host.live_until(begun + 1_000 * MS)
    opened = begun + (1_000 + late_ms) * MS
    host.core.inject("open:3", opened)
    host.silent_until(opened + 80 * MS)
    assert host.core.state is DeviceState.FAULT
    (at_us,) = [values[2] for values in host.core.memory.log if values[3] == EventCode.FAULT]
    assert host.core.memory.fault == FaultCode.OPEN_CIRCUIT
    # Three pulses of 50 Hz, and the next of its moments, one each 10 ms.
    assert at_us * 1_000 <= opened + 75 * MS


def test_a_quiet_second_needs_few_moments() -> None:
    host = SimHost(DeviceCore(profile("scs"), seed=3))
    begun = host.start(tonic())
    host.live_until(begun + 1_000 * MS)
    moments = set()
    for _ in range(100):
        due = host.core.next_event_ns()
        assert due is not None
        if due > begun + 1_290 * MS:
            break
        moments.add(due)
        host.core.advance(due)
    assert len(moments) <= 5
