"""The largest values a circuit reaches in a tree of phases: potentials, recharge current, compliance.

Potentials within driven and floating phases are monotone, so their ends bound them exactly. Within a
shorted phase, and along a repeat, values are sums of decaying exponentials; they are sampled from the start
in steps that grow with time, which is how such sums turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from neurostim.electrode.affine import Affine, Maps
from neurostim.electrode.network import NV_PER_UV, Circuit
from neurostim.electrode.phases import Flags, Floats, Integers, Node, Phases, Repeat, leaves

SHORT_SAMPLES: Final = 24
SETTLED: Final = 1e-10
MAX_REPEATS: Final = 1 << 60
CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Extremes:
    """The largest values reached, for one case or with a leading axis of cases.

    Attributes
    ----------
    potential_low_uv, potential_high_uv : array, shape (contacts,)
        Lowest and highest double-layer potential of each contact [uV].
    recharge_peak_na : array, shape (contacts,)
        Largest magnitude of current through each contact while shorted [nA].
    compliance_uv : tuple of array, each of shape (phases,)
        For each `Phases` of the tree, in order: the largest voltage between two driven contacts in each of
        its phases [uV], series drop and built-up polarisation together; 0 where no source drives.
    """

    potential_low_uv: Floats
    potential_high_uv: Floats
    recharge_peak_na: Floats
    compliance_uv: tuple[Floats, ...]

    @property
    def compliance_peak_uv(self) -> Floats:
        """The largest compliance voltage over all phases [uV], shape () or (cases,)."""
        peaks = np.stack([voltages.max(axis=-1) for voltages in self.compliance_uv])
        return np.asarray(peaks.max(axis=0), dtype=np.float64)


class Search:
    """Collects extremes over a tree; each distinct `Phases` is laid out once."""

    def __init__(self, maps: Maps, node: Node) -> None:
        self._maps = maps
        self._node = node
        self._order = list({id(leaf): leaf for leaf in leaves(node)}.values())
        self._looks = {id(leaf): _Look(maps, leaf) for leaf in self._order}

    def over(self, start_nv: Floats, *, repeats: bool = False, single: bool = False) -> Extremes:
        """Extremes over the tree from a state of shape (cases, contacts) [nV].

        Parameters
        ----------
        repeats : bool
            Over the tree repeated without end instead of once.
        single : bool
            Leave the axis of cases out of the result.
        """
        found = {key: _Found(look, self._maps.cases) for key, look in self._looks.items()}
        states = start_nv[:, np.newaxis, :]
        if repeats:
            states = endless(self._maps.of(self._node), states)
        self._visit(self._node, states, found)
        low = np.minimum.reduce([one.low for one in found.values()])
        high = np.maximum.reduce([one.high for one in found.values()])
        peak = np.maximum.reduce([one.peak for one in found.values()])
        compliance = [found[id(leaf)].compliance for leaf in leaves(self._node)]
        pick = 0 if single else slice(None)
        return Extremes(
            potential_low_uv=low[pick] / NV_PER_UV,
            potential_high_uv=high[pick] / NV_PER_UV,
            recharge_peak_na=peak[pick],
            compliance_uv=tuple(voltages[pick] / NV_PER_UV for voltages in compliance),
        )

    def _visit(self, node: Node, states: Floats, found: dict[int, _Found]) -> None:
        if isinstance(node, Phases):
            found[id(node)].take(states)
        elif isinstance(node, Repeat):
            self._visit(node.body, sampled(self._maps.of(node.body), states, node.count), found)
        else:
            for item in node.items:
                self._visit(item, states, found)
                states = self._maps.of(item).end(states)


def sampled(body: Affine, states: Floats, count: int) -> Floats:
    """States at the starts of repeats 0 .. count-1: every one up to 8, then at most a quarter apart.

    ``states`` has the shape (cases, n, contacts), the result (cases, n x samples, contacts).
    """
    numbers, matrices, offsets = _powers(body, count - 1)
    rows = [states, _ends(matrices, offsets, states)]
    if numbers[-1:] != [count - 1] and count > 1:
        last = states
        for power in body.squares(count - 1):
            last = power.end(last)
        rows.append(last)
    return np.concatenate(rows, axis=1)


def endless(body: Affine, states: Floats) -> Floats:
    """States at the starts of repeats without end: sampled as in `sampled`, and the one they tend to."""
    _, matrices, offsets = _powers(body, MAX_REPEATS)
    limit = np.broadcast_to(body.fixed_point()[:, np.newaxis, :], states.shape)
    return np.concatenate([states, _ends(matrices, offsets, states), limit], axis=1)


def _powers(body: Affine, highest: int) -> tuple[list[int], Floats, Floats]:
    """Powers 1, 2, 3, 4 of a map, then 5, 6, 7, 8 times 1, 2, 4, ..., up to ``highest`` or to rest.

    Returns
    -------
    numbers : list of int
    matrices : array, shape (powers, contacts, contacts)
    offsets : array, shape (powers, cases, contacts)
    """
    second = body.then(body)
    four = [body, second, second.then(body), second.then(second)]
    matrix = np.stack([one.matrix for one in four])
    offset = np.stack([one.offset for one in four])
    numbers = [1, 2, 3, 4]
    matrices, offsets = [matrix], [offset]
    fourth = four[-1]
    # a block of four powers is advanced to 5..8 once, and from there on doubled all at once
    matrix, offset, block = fourth.matrix @ matrix, offset @ fourth.matrix.T + fourth.offset, [5, 6, 7, 8]
    while block[0] <= highest:
        numbers += block
        matrices.append(matrix)
        offsets.append(offset)
        if np.abs(matrix[-1]).max() < SETTLED:
            break
        offset = offset @ matrix.transpose(0, 2, 1) + offset
        matrix = matrix @ matrix
        block = [2 * number for number in block]
    numbers = [number for number in numbers if number <= highest]
    used = len(numbers)
    return numbers, np.concatenate(matrices)[:used], np.concatenate(offsets)[:used]


def _ends(matrices: Floats, offsets: Floats, states: Floats) -> Floats:
    """All states after all powers: (cases, n x powers, contacts)."""
    cases, count, contacts = states.shape
    used = matrices.shape[0]
    flat = states @ matrices.transpose(2, 0, 1).reshape(contacts, used * contacts)
    ends = flat.reshape(cases, count, used, contacts) + offsets.transpose(1, 0, 2)[:, np.newaxis]
    return ends.reshape(cases, count * used, contacts)


class _Look:
    """Where in a `Phases` to look, as affine functions of the state at its start.

    ``matrix`` (points, contacts, contacts) and ``offset`` (cases, points, contacts) give the potentials at
    each point: first the boundaries of all phases, so that phase p goes from point p to p + 1, then points
    inside shorted phases, which ``shorted`` lists by phase.
    """

    def __init__(self, maps: Maps, phases: Phases) -> None:
        self.phases = phases
        self.circuit: Circuit = maps.circuit
        prefix = maps.prefix(phases)
        matrices, offsets = [prefix.matrix], [prefix.offset]
        count = prefix.matrix.shape[0]
        self.shorted: list[tuple[int, Integers]] = []
        for number in np.flatnonzero(np.any(phases.shorted, axis=1)).tolist():
            network = self.circuit.shorted(phases.shorted[number])
            decay = network.decay(_times(int(phases.duration_ns[number]), float(network.rate[-1])))
            matrices.append(decay @ prefix.matrix[number])
            offsets.append((prefix.offset[:, number] @ decay.transpose(0, 2, 1)).transpose(1, 0, 2))
            inside = np.arange(count, count + len(decay))
            self.shorted.append((number, np.append(number, inside)))
            count += len(decay)
        self.driven: Integers = np.flatnonzero(np.any(phases.current_na != 0, axis=(0, 2)))
        self.drop: Floats = phases.current_na[:, self.driven] * self.circuit.series_ohm
        self.idle: Flags = phases.current_na[:, self.driven] == 0
        self.matrix: Floats = np.concatenate(matrices)
        self.offset: Floats = np.concatenate(offsets, axis=1)

    def chunks(self, states: Floats) -> Iterator[Floats]:
        """Potentials at all points for all states, in pieces: (cases, some states, points, contacts)."""
        cases, count, contacts = states.shape
        points = self.matrix.shape[0]
        flat = self.matrix.reshape(points * contacts, contacts).T
        at_once = max(1, CHUNK // (cases * points * contacts))
        for first in range(0, count, at_once):
            some = states[:, first : first + at_once] @ flat
            yield some.reshape(cases, -1, points, contacts) + self.offset[:, np.newaxis]


class _Found:
    """The extremes of one `Phases` so far."""

    def __init__(self, look: _Look, cases: int) -> None:
        contacts = look.circuit.size
        self._look = look
        self.low = np.full((cases, contacts), np.inf)
        self.high = np.full((cases, contacts), -np.inf)
        self.peak = np.zeros((cases, contacts))
        self.compliance = np.zeros((cases, look.phases.duration_ns.size))

    def take(self, states: Floats) -> None:
        look = self._look
        for potentials in look.chunks(states):
            self.low = np.minimum(self.low, potentials.min(axis=(1, 2)))
            self.high = np.maximum(self.high, potentials.max(axis=(1, 2)))
            for number, points in look.shorted:
                conductance = look.circuit.shorted(look.phases.shorted[number]).conductance
                current = np.abs(potentials[:, :, points] @ conductance.T)
                self.peak = np.maximum(self.peak, current.max(axis=(1, 2)))
            if look.driven.size:
                voltage = self._compliance(potentials[:, :, look.driven], potentials[:, :, look.driven + 1])
                self.compliance[:, look.driven] = np.maximum(self.compliance[:, look.driven], voltage)

    def _compliance(self, begin: Floats, end: Floats) -> Floats:
        """Voltage between the driven contacts that differ most: (cases, driven phases) [nV]."""
        drop, idle = self._look.drop[:, np.newaxis], self._look.idle[:, np.newaxis]
        top = np.where(idle, -np.inf, np.maximum(begin, end) + drop).max(axis=3)
        bottom = np.where(idle, np.inf, np.minimum(begin, end) + drop).min(axis=3)
        # a case without current in a phase has no driven contact: -inf, which is never the larger
        voltage: Floats = (top - bottom).max(axis=1)
        return voltage


def _times(duration_ns: int, fastest_rate: float) -> Floats:
    """Times [ns] after the start of a shorted phase, close together at first, the last at its end."""
    duration = float(duration_ns)
    first = min(duration, 0.05 / fastest_rate)
    return np.geomspace(first, duration, SHORT_SAMPLES) if first < duration else np.array([duration])
