"""How fast torture runs: schedules a second, and times real time, of one core, with sealed sessions.

The floors are 100 schedules/s and 2,000 x real time. Three things are measured in one process: a mixed
campaign as `neurostim-sim torture` runs it; a minute of quiet delivery, full stack, without faults; and
the same campaign without the monitor's judgement. Processor time of this process, so that other programs
do not count.
"""

from __future__ import annotations

import sys
import time

from neurostim_sim.warm import warm_up
from neurostim_torture import schedule
from neurostim_torture.campaign import run_chunk
from neurostim_torture.generate import drawn
from neurostim_torture.person import Plan
from neurostim_torture.schedule import Schedule, run

WARM = 20
SCHEDULES = 200
FLOOR_PER_S = 100
FLOOR_TIMES = 2_000
LONG = Plan(
    program="tonic",
    slot=0,
    dwell_ms=60_000,
    steps=(),
    end="stop",
    doses=1,
    returns=False,
    clears=False,
    fresh=False,
)


def campaign() -> tuple[float, float]:
    """Schedules a second, and times real time."""
    begun = time.process_time()
    virtual_ns = run_chunk(0, SCHEDULES).virtual_ns
    took = time.process_time() - begun
    return SCHEDULES / took, virtual_ns / 1e9 / took


def long_delivery() -> float:
    """Times real time of a minute of delivery."""
    run(Schedule(1), plan=LONG)
    begun = time.process_time()
    outcome = run(Schedule(1), plan=LONG)
    assert not outcome.failed, outcome
    assert "agrees" in outcome.outcomes, outcome
    return outcome.virtual_ns / 1e9 / (time.process_time() - begun)


def main() -> int:
    warm_up()
    for seed in range(10_000, 10_000 + WARM):
        run(drawn(seed))
    per_s, times = campaign()
    print(f"mixed campaign: {per_s:.1f} schedules/s, floor {FLOOR_PER_S}, ratio {per_s / FLOOR_PER_S:.2f}")
    print(f"mixed campaign: {times:.0f} x real time, floor {FLOOR_TIMES}, ratio {times / FLOOR_TIMES:.2f}")
    steady = long_delivery()
    print(
        f"a minute of delivery: {steady:.0f} x real time, floor {FLOOR_TIMES}, "
        f"ratio {steady / FLOOR_TIMES:.2f}"
    )
    judged = schedule.Monitor.finish
    schedule.Monitor.finish = lambda _self: []  # type: ignore[method-assign]
    try:
        bare, _ = campaign()
    finally:
        schedule.Monitor.finish = judged  # type: ignore[method-assign]
    print(f"without judgement: {bare:.1f} schedules/s, with it {per_s:.1f}, ratio {per_s / bare:.2f}")
    return int(per_s < FLOOR_PER_S or steady < FLOOR_TIMES)


if __name__ == "__main__":
    sys.exit(main())
