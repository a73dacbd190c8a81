"""The circuit between contacts and tissue: what a program leaves on the contacts, exactly.

`steady_state` judges a period that repeats without end, `run` a stretch of finite length from a given state.
Plain arrays in, plain values out. Equations, values and what is not modelled: ``docs/electrode-circuit.md``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from neurostim.core.errors import ConfigError
from neurostim.electrode.affine import Maps
from neurostim.electrode.extremes import Extremes, Search
from neurostim.electrode.lead import ContactCircuit
from neurostim.electrode.network import NV_PER_UV, Circuit, Step
from neurostim.electrode.phases import (
    Chain,
    Floats,
    Node,
    Phase,
    Phases,
    Repeat,
    leaves,
    length_ns,
    source_charge_ac,
)
from neurostim.electrode.samples import Samples, sample

__all__ = [
    "Chain",
    "Circuit",
    "ContactCircuit",
    "Extremes",
    "Phase",
    "Phases",
    "Repeat",
    "Run",
    "Samples",
    "SteadyState",
    "Step",
    "run",
    "steady_state",
]

LEAST_DECAY: Final = 1e-10


@dataclass(frozen=True, slots=True)
class SteadyState:
    """What a period leaves on the contacts when it repeats without end.

    Arrays have the shape (contacts,), or (cases, contacts) where the phases were given for several cases.

    Attributes
    ----------
    period_ns : int
        The period [ns].
    start_uv : array
        Double-layer potential at the period's start, which is also that at its end [uV].
    residue_ac : array
        Charge left on each double layer at the period's end [aC], ``C v``; positive after net anodic current.
    net_dc_na : array
        Mean current across each contact over a period [nA]. In the steady state no charge is stored from one
        period to the next, so it is the source's imbalance plus what recovery carried, and it all passes the
        Faradaic branch: mean potential / Faradaic resistance.
    source_dc_na : array
        The source's charge of a period over its length [nA], before any passive recovery.
    forced_dc_na : array
        The part of ``net_dc_na`` that no recovery can take back, however small the leak [nA]: the source's
        imbalance of each group of contacts that are ever shorted together, shared as their leaks share it,
        and that of each contact that never is. It does not depend on the double layers, and is 0 where every
        charge is recovered from the contacts that got it. The rest of ``net_dc_na`` is leak during the
        excursions, known no better than the Faradaic resistance.
    mean_uv : array
        Mean double-layer potential [uV].
    settling_ns : float
        Time in which the slowest departure from the steady state falls to 1 % [ns].
    steady : Extremes
        Over one period of the steady state.
    start_up : Extremes
        From rest (no charge) through all periods until the steady state, which it includes. Currents are
        those given, from the first period on: a ramp is not credited.
    """

    period_ns: int
    start_uv: Floats
    residue_ac: Floats
    net_dc_na: Floats
    source_dc_na: Floats
    forced_dc_na: Floats
    mean_uv: Floats
    settling_ns: float
    steady: Extremes
    start_up: Extremes


@dataclass(frozen=True, slots=True)
class Run:
    """What a finite stretch does to the contacts.

    Attributes
    ----------
    duration_ns : int
        Its length [ns].
    end_uv : array
        Double-layer potentials at its end [uV].
    residue_ac : array
        Charge on each double layer at its end [aC].
    charge_ac : array
        Net charge through each contact, driven and recovered [aC].
    mean_dc_na : array
        That charge over the length [nA].
    faradaic_ac : array
        Net charge that passed the Faradaic branch [aC]; the change of the residue makes up ``charge_ac``.
    extremes : Extremes
        Over the stretch.
    samples : Samples or None
        Voltages and currents at the times asked for.
    """

    duration_ns: int
    end_uv: Floats
    residue_ac: Floats
    charge_ac: Floats
    mean_dc_na: Floats
    faradaic_ac: Floats
    extremes: Extremes
    samples: Samples | None


def steady_state(circuit: Circuit, period: Node) -> SteadyState:
    """The periodic steady state of a tree of phases, and the way there from rest.

    Parameters
    ----------
    circuit : Circuit
    period : Phases, Repeat or Chain
        What repeats without end; for a cycled program the on-window (a `Repeat`) and the off time.

    Returns
    -------
    SteadyState

    Raises
    ------
    ConfigError
        Where the number of contacts differs between circuit and phases, or a period is too short
        against the Faradaic decay for a steady state to be told from drift.
    """
    maps = Maps(circuit, period)
    single = _single(period)
    total = maps.of(period)
    length = length_ns(period)
    slowest = float(np.abs(np.linalg.eigvals(total.matrix)).max())
    if slowest > 1 - LEAST_DECAY:
        raise ConfigError(
            f"a charge decays by less than {LEAST_DECAY} in a period of {length} ns",
            allowed="a longer period or a smaller Faradaic resistance",
            code="no-steady-state",
        )
    state = total.fixed_point()
    mean = (state @ total.held.T + total.built) / length
    search = Search(maps, period)
    pick = 0 if single else slice(None)
    source = np.broadcast_to(source_charge_ac(period), state.shape) / length
    return SteadyState(
        period_ns=length,
        start_uv=state[pick] / NV_PER_UV,
        residue_ac=state[pick] * circuit.capacitance_nf,
        net_dc_na=mean[pick] / circuit.faradaic_ohm,
        source_dc_na=source[pick],
        forced_dc_na=_forced(circuit, period, source)[pick],
        mean_uv=mean[pick] / NV_PER_UV,
        settling_ns=length * math.log(100) / -math.log(slowest) if slowest > 0 else 0.0,
        steady=search.over(state, single=single),
        start_up=search.over(np.zeros_like(state), repeats=True, single=single),
    )


def run(circuit: Circuit, node: Node, start_uv: Any = None, at_ns: Any = None) -> Run:
    """Run a tree of phases once from a given state.

    Parameters
    ----------
    circuit : Circuit
    node : Phases, Repeat or Chain
    start_uv : array, shape (contacts,) or (cases, contacts), optional
        Double-layer potentials at the start [uV]; at rest where left out.
    at_ns : array, shape (times,), optional
        Times from the start at which to sample [ns], not falling, 0 to the length; for one case only.

    Returns
    -------
    Run

    Raises
    ------
    ConfigError
        Where shapes do not fit or a time lies outside.
    """
    maps = Maps(circuit, node)
    single = _single(node)
    state = _start(start_uv, maps.cases, circuit.size)
    total = maps.of(node)
    length = length_ns(node)
    end = state @ total.matrix.T + total.offset
    faradaic = (state @ total.held.T + total.built) / circuit.faradaic_ohm
    charge = circuit.capacitance_nf * (end - state) + faradaic
    pick = 0 if single else slice(None)
    samples = None
    if at_ns is not None:
        if not single:
            raise ConfigError("samples are for one case", allowed="phases of one case", code="phases")
        samples = sample(maps, node, state[0], at_ns)
    return Run(
        duration_ns=length,
        end_uv=end[pick] / NV_PER_UV,
        residue_ac=end[pick] * circuit.capacitance_nf,
        charge_ac=charge[pick],
        mean_dc_na=charge[pick] / length,
        faradaic_ac=faradaic[pick],
        extremes=Search(maps, node).over(state, single=single),
        samples=samples,
    )


def _single(node: Node) -> bool:
    return all(leaf.single for leaf in leaves(node))


def _start(start_uv: Any, cases: int, contacts: int) -> Floats:
    if start_uv is None:
        return np.zeros((cases, contacts))
    given = np.asarray(start_uv, dtype=np.float64)
    if given.shape not in ((contacts,), (cases, contacts)) or not bool(np.isfinite(given).all()):
        raise ConfigError(
            f"the start has the shape {given.shape} or a value that is not finite",
            allowed=f"({contacts},) or ({cases}, {contacts}), finite",
            code="phases",
        )
    state: Floats = np.broadcast_to(given, (cases, contacts)) * NV_PER_UV
    return state


def _forced(circuit: Circuit, period: Node, source_na: Floats) -> Floats:
    """The DC that stays when all recovery there is has been had; see `SteadyState.forced_dc_na`."""
    group = np.arange(circuit.size)
    tied = {row.tobytes(): row for leaf in leaves(period) for row in leaf.shorted}
    for members in tied.values():
        if members.any():
            joined = set(group[members].tolist())
            group = np.array([min(joined) if number in joined else number for number in group.tolist()])
    forced = np.zeros_like(source_na)
    leak = 1 / circuit.faradaic_ohm
    for number in set(group.tolist()):
        members = group == number
        share = leak[members] / leak[members].sum()
        forced[:, members] = source_na[:, members].sum(axis=1, keepdims=True) * share
    return forced
