"""Voltages and currents of a tree of phases at given times, by random access: a late time costs no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from neurostim.core.errors import ConfigError
from neurostim.electrode.affine import Maps
from neurostim.electrode.network import NV_PER_UV
from neurostim.electrode.phases import Floats, Integers, Node, Phases, Repeat, length_ns


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples in time; arrays have the shape (times, contacts).

    A time at which one phase ends and the next begins belongs to the next.

    Attributes
    ----------
    at_ns : array of int, shape (times,)
        Times from the start [ns].
    potential_uv : array
        Double-layer potentials [uV].
    voltage_uv : array
        Contact voltages against the tissue node, with the series drop [uV].
    current_na : array
        Currents into the tissue, driven or recovered [nA].
    """

    at_ns: Integers
    potential_uv: Floats
    voltage_uv: Floats
    current_na: Floats


def sample(maps: Maps, node: Node, start_nv: Floats, at_ns: Any) -> Samples:
    """Sample a tree from a state [nV] at times that do not fall.

    Raises
    ------
    ConfigError
        Where times are not whole nanoseconds, fall, or lie outside the tree.
    """
    times = np.asarray(at_ns)
    whole = times.ndim == 1 and (times.size == 0 or np.issubdtype(times.dtype, np.integer))
    end = length_ns(node)
    inside = whole and bool(np.all(times >= 0) and np.all(times <= end) and np.all(np.diff(times) >= 0))
    if not inside:
        raise ConfigError(
            "the sampling times do not fit",
            allowed=f"whole nanoseconds from 0 to {end}, not falling",
            code="phases",
        )
    times = times.astype(np.int64)
    potential = np.zeros((times.size, maps.circuit.size))
    current = np.zeros_like(potential)
    _Sampling(maps, potential, current).visit(node, start_nv, times, 0)
    return Samples(
        at_ns=times,
        potential_uv=potential / NV_PER_UV,
        voltage_uv=(potential + current * maps.circuit.series_ohm) / NV_PER_UV,
        current_na=current,
    )


class _Sampling:
    """Fills rows; ``times`` are always those of one part, counted from its start, at rows from ``row``."""

    def __init__(self, maps: Maps, potential: Floats, current: Floats) -> None:
        self._maps = maps
        self._potential = potential
        self._current = current

    def visit(self, node: Node, state: Floats, times: Integers, row: int) -> None:
        if times.size == 0:
            return
        if isinstance(node, Phases):
            self._phases(node, state, times, row)
        elif isinstance(node, Repeat):
            self._repeat(node, state, times, row)
        else:
            start = 0
            for number, item in enumerate(node.items, 1):
                length = length_ns(item)
                last = number == len(node.items)
                upto = times.size if last else int(np.searchsorted(times, start + length))
                done = int(np.searchsorted(times, start))
                self.visit(item, state, times[done:upto] - start, row + done)
                state = self._maps.of(item).end(state[np.newaxis])[0]
                start += length

    def _repeat(self, node: Repeat, state: Floats, times: Integers, row: int) -> None:
        body = self._maps.of(node.body)
        length = length_ns(node.body)
        numbers = np.minimum(times // length, node.count - 1)
        powers = [body]
        for _ in range(int(numbers[-1]).bit_length()):
            powers.append(powers[-1].then(powers[-1]))
        now = 0
        for number in np.unique(numbers).tolist():
            for bit, power in enumerate(powers):
                if (number - now) >> bit & 1:
                    state = power.end(state[np.newaxis])[0]
            now = number
            first, last = np.searchsorted(numbers, [number, number + 1]).tolist()
            self.visit(node.body, state, times[first:last] - number * length, row + first)

    def _phases(self, phases: Phases, state: Floats, times: Integers, row: int) -> None:
        circuit = self._maps.circuit
        ends = np.cumsum(phases.duration_ns)
        numbers = np.minimum(np.searchsorted(ends, times, side="right"), ends.size - 1)
        keep, gain, _, _ = circuit.leak(phases.duration_ns)
        for number, duration in enumerate(phases.duration_ns.tolist()):
            first, last = np.searchsorted(numbers, [number, number + 1]).tolist()
            into = (times[first:last] - (ends[number] - duration)).astype(np.float64)
            rows = slice(row + first, row + last)
            if phases.shorted[number].any():
                network = circuit.shorted(phases.shorted[number])
                self._potential[rows] = network.decay(into) @ state
                self._current[rows] = self._potential[rows] @ network.conductance.T
                state = network.decay(np.array([duration], dtype=np.float64))[0] @ state
            else:
                current = phases.current_na[0, number]
                fraction = np.exp(-into[:, np.newaxis] / circuit.tau_ns)
                gained = -np.expm1(-into[:, np.newaxis] / circuit.tau_ns) * circuit.faradaic_ohm
                self._potential[rows] = fraction * state + gained * current
                self._current[rows] = current
                state = keep[number] * state + gain[number] * current
            if last == times.size:
                return
