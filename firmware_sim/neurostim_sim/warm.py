"""Kernels ready before anyone waits: loading or compiling them takes longer than a dead-man allows."""

from __future__ import annotations

from neurostim.core.image import Grid, ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim_sim.engine import PulseEngine
from neurostim_sim.monitor import OutputMonitor
from neurostim_sim.profiles import profile
from neurostim_sim.settings import default_leads
from neurostim_sim.tissue import OutputPhysics, tissue_of


def warm_up() -> None:
    """Compile or load the engine's kernels before a host can wait for them."""
    kind = profile("scs")
    area = ImageArea(
        *(1_000_000, ((1, -1000), (2, 1000)), 100, 0, Recharge.PASSIVE, 1, 10_000_000, 1, 1, 0, 1),
        *(0, 0, 0, 0, 0, 1),
    )
    image = ProgramImage(Grid.of(1000, 10_000), (area, area), 0, True, True)
    tissue = tissue_of(kind.capabilities.ports, default_leads("scs"))
    engine = PulseEngine(image, tissue, OutputPhysics(18.0, 500.0, 4000.0, 100.0), record=True)
    engine.advance(20_000)
    OutputMonitor(engine).look(20_000_000, works=True)
    engine.emergency(20_100)
