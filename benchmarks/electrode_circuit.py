"""The contact circuit in closed form against fine-step integration: error and speed, from one run.

Both find the periodic steady state of the same programs on the same contacts. The integration is the
classical Runge-Kutta method, compiled, from rest until nothing changes; its step is 1/50 of the shortest time
constant of each phase. The closed form also finds all extremes on the way, the integration only the state.
Two circuits: one with a leak large enough for integration to settle in reasonable time, for the comparison,
and the library's own, for the time the gate waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from numba import njit

from neurostim.electrode.circuit import (
    Chain,
    Circuit,
    ContactCircuit,
    Node,
    Phase,
    Phases,
    Repeat,
    steady_state,
)
from neurostim.electrode.library import lead

DISCHARGE_OHM = 400
STEPS_OF_FASTEST = 50


@njit
def _slope(volts, current, shorted, contacts, path):  # type: ignore[no-untyped-def]
    """Change of the double layers [nV/ns]; ``contacts`` holds capacitance and leak."""
    common, total = 0.0, 0.0
    for i in range(volts.size):
        if shorted[i]:
            common += path[i] * volts[i]
            total += path[i]
    if total > 0.0:
        common /= total
    change = np.empty_like(volts)
    for i in range(volts.size):
        flowing = path[i] * (common - volts[i]) if shorted[i] else current[i]
        change[i] = (flowing - volts[i] / contacts[1, i]) / contacts[0, i]
    return change


@njit
def _settle(phases, contacts, path, close):  # type: ignore[no-untyped-def]
    """Integrate whole periods from rest until a period changes no potential by more than ``close``."""
    durations, steps, currents, shorted = phases
    volts = np.zeros(path.size)
    periods = 0
    while True:
        before = volts.copy()
        for p in range(durations.size):
            h = durations[p] / steps[p]
            for _ in range(steps[p]):
                a = _slope(volts, currents[p], shorted[p], contacts, path)
                b = _slope(volts + h / 2 * a, currents[p], shorted[p], contacts, path)
                c = _slope(volts + h / 2 * b, currents[p], shorted[p], contacts, path)
                d = _slope(volts + h * c, currents[p], shorted[p], contacts, path)
                volts = volts + h / 6 * (a + 2 * b + 2 * c + d)
        periods += 1
        if np.abs(volts - before).max() <= close * np.abs(volts).max():
            return volts, periods


def programs() -> dict[str, list[Phase]]:
    """Phases of one period, contacts 0 .. 7, a guard of 20 us before the next onset."""

    def pulse(amplitude: float, width: int) -> Phase:
        return Phase(width, {2: -amplitude, 4: amplitude})

    burst: list[Phase] = []
    for number in range(5):
        burst += [pulse(1.5e6, 1_000_000), *([Phase(1_000_000)] if number < 4 else [])]
    shared = Phase(300_000, {1: -2e6, 2: -4e6, 3: 1e6, 4: 2e6, 5: 1.5e6, 6: 1.5e6})
    return {
        "tonic 50 Hz 300 us 6 mA": [pulse(6e6, 300_000), Phase(19_680_000, shorted=(2, 4)), Phase(20_000)],
        "BurstDR 1.5 mA": [*burst, Phase(15_980_000, shorted=(2, 4)), Phase(20_000)],
        "HF10 3 mA": [pulse(3e6, 30_000), Phase(20_000), pulse(-3e6, 30_000), Phase(20_000)],
        "six contacts, 40 Hz": [shared, Phase(24_680_000, shorted=(1, 2, 3, 4, 5, 6)), Phase(20_000)],
    }


def timed(work: Callable[[], object], at_least_s: float = 0.2) -> float:
    """Best time of one call [s] over repeats."""
    best, spent = np.inf, 0.0
    while spent < at_least_s:
        start = time.perf_counter()
        work()
        once = time.perf_counter() - start
        best, spent = min(best, once), spent + once
    return best


def compare() -> None:
    """Error and speed against integration, with a leak of 20 kohm (74 ms)."""
    nominal = lead("octrode").circuit
    contact = ContactCircuit(nominal.series_ohm, nominal.double_layer_nf, 20_000)
    circuit = Circuit([contact] * 8, DISCHARGE_OHM)
    loop_ns = (contact.series_ohm + DISCHARGE_OHM) * contact.double_layer_nf
    trees: dict[str, tuple[Phases, Node]] = {}
    for name, phases in programs().items():
        tree = Phases.of(8, phases)
        trees[name] = (tree, tree)
    burst = programs()["BurstDR 1.5 mA"]
    off = Phase(90 * 10**9)
    cycle = Chain((Repeat(Phases.of(8, burst), 1200), Phases.of(8, [off])))
    trees["BurstDR 30 s on, 90 s off"] = (Phases.of(8, [*(burst * 1200), off]), cycle)
    head = ("against integration", "closed, ms", "fine step, ms", "ratio", "error")
    print(f"{head[0]:26} {head[1]:>11} {head[2]:>14} {head[3]:>8} {head[4]:>9}")
    for name, (flat, tree) in trees.items():
        tau = np.where(flat.shorted.any(axis=1), loop_ns, circuit.tau_ns[0])
        steps = np.ceil(flat.duration_ns * STEPS_OF_FASTEST / tau).astype(np.int64)
        phases = (flat.duration_ns.astype(np.float64), steps, flat.current_na[0], flat.shorted)
        contacts = np.stack([circuit.capacitance_nf, circuit.faradaic_ohm])
        arguments = (phases, contacts, 1 / (circuit.series_ohm + DISCHARGE_OHM), 1e-12)
        settled, periods = _settle(*arguments)
        found = steady_state(circuit, tree)
        at = found.steady.potential_low_uv
        error = np.abs(settled / 1000 - found.start_uv).max() / np.abs(at).max()
        closed_s = timed(partial(steady_state, circuit, tree))
        fine_s = timed(partial(_settle, *arguments))
        ratio = fine_s / closed_s
        print(f"{name:26} {closed_s * 1e3:11.2f} {fine_s * 1e3:14.2f} {ratio:8.1f} {error:9.0e}", end="")
        print(f"   ({periods} periods integrated)")


def wait() -> None:
    """What the gate waits for and sees, on the library's own circuit."""
    circuit = Circuit([lead("octrode").circuit] * 8, DISCHARGE_OHM)
    print(
        f"\n{'octrode, 8 contacts':26} {'ms':>6} {'residue, nC':>12} {'net DC, nA':>11}"
        f" {'recharge, mA':>13} {'compliance, V':>14} {'excursion, V':>13}"
    )
    trees: dict[str, Node] = {name: Phases.of(8, phases) for name, phases in programs().items()}
    burst = trees["BurstDR 1.5 mA"]
    trees["BurstDR 30 s on, 90 s off"] = Chain((Repeat(burst, 1200), Phases.of(8, [Phase(90 * 10**9)])))
    for name, tree in trees.items():
        found = steady_state(circuit, tree)
        took_s = timed(partial(steady_state, circuit, tree))
        print(
            f"{name:26} {took_s * 1e3:6.2f} {np.abs(found.residue_ac).max() / 1e9:12.3f}"
            f" {np.abs(found.net_dc_na).max():11.1f} {found.start_up.recharge_peak_na.max() / 1e6:13.2f}"
            f" {float(found.start_up.compliance_peak_uv) / 1e6:14.2f}"
            f" {found.start_up.potential_low_uv.min() / 1e6:13.3f}"
        )


if __name__ == "__main__":
    compare()
    wait()
