"""Runs the simulator's pulse engine on a program and hands its rows to the judge as a trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurostim.conformance import Report, TraceTable, judge
from neurostim.core.image import RETURN_INDEX, ProgramImage
from neurostim.electrode.library import lead
from neurostim_sim.engine import PulseEngine
from neurostim_sim.tissue import Contact, OutputPhysics, Tissue
from support.wrong_compilers import Bench

# A rail no program reaches: the judge is asked about timing and charge, not about compliance.
PHYSICS = OutputPhysics(rail_v=10_000.0, discharge_ohm=100.0, open_ohm=1e9, short_ohm=0.0)


def bench_tissue() -> Tissue:
    circuit = lead("octrode").circuit
    return Tissue({number: Contact(circuit, 500.0) for number in (*range(1, 33), RETURN_INDEX)})


def delivered(image: ProgramImage, end: int, commands: Sequence[dict[str, Any]] = ()) -> np.ndarray:
    """Rows of the engine up to tick ``end`` under a command log, sorted as a trace is."""
    engine = PulseEngine(image, bench_tissue(), PHYSICS, record=True)
    pieces = []
    for command in commands:
        at = command["at_ticks"]
        engine.advance(at)
        match command["name"]:
            case "set_amplitude":
                engine.set_amplitude(command["area"], command["amplitude_na"], at)
            case "soft_stop":
                engine.soft_stop(at)
            case "ramp_down":
                engine.soft_stop(at, command["within_ns"])
            case "stop":
                engine.stop(at)
            case "emergency_stop":
                engine.emergency(at)
            case "power_lost":
                engine.power_lost(at)
        pieces.append(engine.take_rows())
    # A shorted stretch becomes a row when it ends, at most 100 ms after it began.
    engine.advance(end + 100_000_000 // image.grid.tick_ns + 1)
    pieces.append(engine.take_rows())
    rows = np.concatenate(pieces)
    rows = rows[rows[:, 0] < end]
    return rows[np.lexsort((rows[:, 1], rows[:, 2], rows[:, 0]))]


def judged(
    source: dict[str, Any],
    image: ProgramImage,
    bench: Bench,
    end: int,
    commands: Sequence[dict[str, Any]] = (),
) -> Report:
    """The judge's report on what the engine delivered."""
    rows = delivered(image, end, commands)
    used = np.unique(rows[:, 2])
    table = TraceTable(
        start_ns=rows[:, 0] * bench.tick_ns,
        duration_ns=rows[:, 1] * bench.tick_ns,
        contact=np.searchsorted(used, rows[:, 2]).astype(np.int16),
        labels=tuple("return" if index == RETURN_INDEX else str(index) for index in used),
        kind=rows[:, 3].astype(np.int8),
        amplitude_na=rows[:, 4],
        area=rows[:, 5],
        unit=rows[:, 6],
        pulse=rows[:, 7],
        charge_ac=rows[:, 8],
    )
    sidecar = {
        "format": "neurostim-trace/1",
        "tick_ns": bench.tick_ns,
        "step_na": bench.step_na,
        "guard_ticks": bench.guard,
        "recovery_min_ticks": bench.recovery_min,
        "time_base": "device",
        "contacts": "device",
        "end_ticks": end,
        "rows": len(table),
        "commands": list(commands),
    }
    return judge(source, table, sidecar)
