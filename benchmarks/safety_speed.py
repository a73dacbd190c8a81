"""How long the gate takes over 24 h of HF10 with every rule, against counting the same pulses one by one.

The comparison is a numpy count of the charge of one second of the same train, scaled to a day: what a judge
would pay that walks the pulses instead of reading the program.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from neurostim.core.program_file import load_preset, presets
from neurostim.core.schedule import Schedule
from neurostim.electrode.library import lead
from neurostim.safety.gate import AmplitudeRange, approve, check, check_program
from neurostim.safety.profiles import profile

REPEATS = 50
LIMIT_MS = 10.0


def best_ms(task: Callable[[], object]) -> float:
    """Least processor time of a task [ms], after one run to warm it: what it costs, whoever else is busy."""
    task()
    times = []
    for _ in range(REPEATS):
        before = time.process_time()
        task()
        times.append(time.process_time() - before)
    return 1000 * min(times)


def walk_one_second(amplitude_na: int, width_ns: int) -> int:
    """Charge of 10 000 pulses, both phases looked at [aC]."""
    onsets = np.arange(10_000, dtype=np.int64) * 100_000
    factor = np.minimum(onsets, 2 * 10**9)
    currents = amplitude_na * factor // (2 * 10**9) // 10_000 * 10_000
    net = currents * width_ns - currents * width_ns
    return int((currents * width_ns).sum()) + int(np.abs(net).max())


def preset_ms(name: str) -> float:
    """Time to judge one compiled preset [ms]."""
    program = load_preset(name)
    case = check_program(program, [lead(one) for one in program.leads], profile(program.therapy)).case
    return best_ms(lambda: check(case.schedule, case.leads, case.capabilities))


def main() -> None:
    program = load_preset("hf10")
    leads = [lead(name) for name in program.leads]
    device = profile(program.therapy)
    image = check_program(program, leads, device).image
    amplitude = image.areas[0].amplitude_na

    def whole() -> object:
        return check(Schedule.from_image(image), leads, device)

    def ranged() -> object:
        end = AmplitudeRange(0, 0, 2 * amplitude, 100_000)
        return check(Schedule.from_image(image), leads, device, ranges=[end])

    verdict = check(Schedule.from_image(image), leads, device)
    given = dict.fromkeys(verdict.to_acknowledge, "accepted for this benchmark")
    check_ms = best_ms(whole)
    range_ms = best_ms(ranged)
    approve_ms = best_ms(lambda: approve(verdict, given))
    walk_ms = best_ms(lambda: walk_one_second(amplitude, 30_000)) * 86_400
    print(f"HF10, every rule and the dose of 24 h:     {check_ms:9.2f} ms (limit {LIMIT_MS:g} ms)")
    print(f"  with a range to twice the setting:       {range_ms:9.2f} ms")
    print(f"  approval, judged again:                  {approve_ms:9.2f} ms")
    print(f"walking the pulses of 24 h with numpy:     {walk_ms:9.0f} ms")
    print(f"ratio, walking to judging:                 {walk_ms / check_ms:9.0f} x")
    print(f"ratio, judging to its limit:               {check_ms / LIMIT_MS:9.2f}")
    slowest_ms, slowest = max((preset_ms(name), name) for name in presets())
    print(f"slowest preset, compiled before:           {slowest_ms:9.2f} ms ({slowest})")


if __name__ == "__main__":
    main()
