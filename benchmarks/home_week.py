"""Seven days of 16 hours at home at 40 Hz: seconds of computing, against real time and pulse by pulse."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from neurostim_sim.engine import PulseEngine
from neurostim_sim.home import Button
from neurostim_sim.warm import warm_up
from support.home_bench import DAY, HOUR, HomeBench, S, dose_of, home_tonic

SAMPLE_S = 1800


def main() -> None:
    """Measure and print."""
    warm_up()
    image = home_tonic(period_num=25_000_000)
    bench = HomeBench()
    bench.send_home([image], expires_s=8 * 86_400)
    core = bench.core
    begun = time.process_time()
    for day in range(7):
        core.advance(day * DAY + 7 * HOUR)
        core.press(Button.START)
        core.advance(day * DAY + 23 * HOUR)
        core.press(Button.STOP)
    core.advance(7 * DAY)
    week_s = time.process_time() - begun
    exact = dose_of(core.home.usage.records(1)) == core.memory.contacts

    single = PulseEngine(image, core.tissue, core.physics(), closed_form=False)
    begun = time.process_time()
    single.advance(SAMPLE_S * S // image.grid.tick_ns)
    pulses_s = (time.process_time() - begun) * 7 * 16 * 3600 / SAMPLE_S
    print(f"a week at home             {week_s:8.2f} s of computing, dose exact: {exact}")
    print(f"against real time          {7 * 86_400 / week_s:8.0f} x")
    print(f"its pulses one by one      {pulses_s:8.2f} s, without any device around them")
    print(f"ratio                      {pulses_s / week_s:8.2f}")


if __name__ == "__main__":
    main()
