"""How fast the simulated device makes pulses: a day of tonic with dose, and HF10 with a trace."""

from __future__ import annotations

import time

from neurostim.core.hardware import Port, PortKind
from neurostim.core.image import Grid, ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim.electrode.library import lead
from neurostim_sim.engine import PulseEngine
from neurostim_sim.tissue import OutputPhysics, tissue_of

DAY_S = 86_400
TRACE_S = 20
GRID = Grid.of(1000, 10_000)
RAMPS = (2_000_000_000, 1_000_000_000, 0, 0, 0, 1)
SHARES = ((3, -1000), (5, 1000))
TONIC = ImageArea(3_000_000, SHARES, 300, 100, Recharge.PASSIVE, 1, 20_000_000, 1, 1, 0, 1, *RAMPS)
HF10 = ImageArea(3_000_000, SHARES, 30, 20, Recharge.ACTIVE_SYMMETRIC, 1, 100_000, 1, 1, 0, 1, *RAMPS)


SECOND = ImageArea(
    *(3_000_000, ((4, -1000), (7, 1000)), 200, 0, Recharge.PASSIVE, 1, 10_000_000, 3, 1, 0, 1),
    *RAMPS[:2],
    *(1_600_000, 0, 0, 2),
)


def run(area: ImageArea, seconds: int, *more: ImageArea, **options: bool) -> float:
    """Wall-clock seconds of one run, the best of three."""
    best = float("inf")
    for _ in range(3):
        tissue = tissue_of((Port(PortKind.SCS, 1, 8),), [lead("octrode")])
        physics = OutputPhysics(18.0, 500.0, 4000.0, 100.0)
        engine = PulseEngine(ProgramImage(GRID, (area, *more), 0, True, False), tissue, physics, **options)
        begin = time.perf_counter()
        engine.advance(seconds * 1_000_000)
        engine.totals()
        if options.get("record"):
            engine.take_rows()
        best = min(best, time.perf_counter() - begin)
    return best


def main() -> None:
    """Print each figure with what it is compared to."""
    run(TONIC, 1, record=True)
    day, slow = run(TONIC, DAY_S), run(TONIC, DAY_S // 24, closed_form=False) * 24
    print(f"24 h of tonic with dose  {day:9.4f} s   goal < 2 s; alone {slow:.2f} s, {slow / day:.0f} x")
    both, each = run(TONIC, DAY_S, SECOND), run(TONIC, DAY_S // 24, SECOND, closed_form=False) * 24
    print(f"24 h of two areas        {both:9.4f} s   pulse by pulse {each:.2f} s, {each / both:.0f} x")
    trace = run(HF10, TRACE_S, record=True)
    print(
        f"{TRACE_S} s of HF10 with trace   {trace:9.4f} s   goal >= 20 x real time; {TRACE_S / trace:.0f} x"
    )


if __name__ == "__main__":
    main()
