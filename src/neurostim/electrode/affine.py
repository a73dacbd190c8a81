"""How a tree of phases maps the state at its start to the state at its end: one affine map, composed once.

A map is shared by all cases in its matrices and differs between them in its offsets; repeats are powers by
squaring, so a day of pulses costs as much as thirty.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from neurostim.core.errors import ConfigError
from neurostim.electrode.network import Circuit
from neurostim.electrode.phases import Floats, Node, Phases, Repeat


@dataclass(frozen=True, slots=True)
class Affine:
    """``end = matrix start + offset``, and the time integral ``held start + built`` [nV ns].

    Matrices have the shape (contacts, contacts), offsets (cases, contacts).
    """

    matrix: Floats
    offset: Floats
    held: Floats
    built: Floats

    @classmethod
    def identity(cls, contacts: int, cases: int) -> Affine:
        """The map of no time at all."""
        return cls(
            np.eye(contacts),
            np.zeros((cases, contacts)),
            np.zeros((contacts, contacts)),
            np.zeros((cases, contacts)),
        )

    def then(self, later: Affine) -> Affine:
        """The map of both, this one first."""
        return Affine(
            later.matrix @ self.matrix,
            self.offset @ later.matrix.T + later.offset,
            self.held + later.held @ self.matrix,
            self.built + self.offset @ later.held.T + later.built,
        )

    def squares(self, count: int) -> Iterator[Affine]:
        """The powers 1, 2, 4, ... of this map whose product is its power ``count``."""
        square, left = self, count
        while left:
            if left & 1:
                yield square
            left >>= 1
            if left:
                square = square.then(square)

    def power(self, count: int) -> Affine:
        """The map of ``count`` repeats, by squaring."""
        result = Affine.identity(self.matrix.shape[0], self.offset.shape[0])
        for square in self.squares(count):
            result = result.then(square)
        return result

    def end(self, start: Floats) -> Floats:
        """States at the end, from states of shape (cases, ..., contacts)."""
        offset = self.offset.reshape((self.offset.shape[0],) + (1,) * (start.ndim - 2) + (-1,))
        states: Floats = start @ self.matrix.T + offset
        return states

    def fixed_point(self) -> Floats:
        """The state that comes back after one period, shape (cases, contacts) [nV]."""
        distance = np.eye(self.matrix.shape[0]) - self.matrix
        return np.asarray(np.linalg.solve(distance, self.offset.T).T, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Prefix:
    """Potentials at each boundary of phases, as functions of the state at their start.

    ``matrix`` has the shape (phases + 1, contacts, contacts), ``offset`` (cases, phases + 1, contacts).
    """

    matrix: Floats
    offset: Floats


class Maps:
    """The maps of one circuit; each distinct part of a tree is composed once."""

    def __init__(self, circuit: Circuit, node: Node) -> None:
        self.circuit = circuit
        self.cases = _cases(circuit, node)
        self._known: dict[int, tuple[Node, Affine]] = {}
        self._prefixes: dict[int, tuple[Phases, Prefix]] = {}

    def of(self, node: Node) -> Affine:
        """The map of a part of the tree."""
        known = self._known.get(id(node))
        if known is None:
            # the node is kept beside its map, or its id could be given to another
            known = self._known[id(node)] = (node, self._compose(node))
        return known[1]

    def _compose(self, node: Node) -> Affine:
        if isinstance(node, Phases):
            return self._of_phases(node)
        if isinstance(node, Repeat):
            return self.of(node.body).power(node.count)
        result = self.of(node.items[0])
        for item in node.items[1:]:
            result = result.then(self.of(item))
        return result

    def prefix(self, phases: Phases) -> Prefix:
        """The maps from the start of a `Phases` to every boundary of its phases."""
        known = self._prefixes.get(id(phases))
        if known is None:
            known = self._prefixes[id(phases)] = (phases, _prefix(self.circuit, phases, self.cases))
        return known[1]

    def _of_phases(self, phases: Phases) -> Affine:
        circuit, prefix = self.circuit, self.prefix(phases)
        single = np.flatnonzero(~np.any(phases.shorted, axis=1))
        _, _, hold, build = circuit.leak(phases.duration_ns[single])
        held = np.einsum("pn,pnm->nm", hold, prefix.matrix[single])
        built = (hold * prefix.offset[:, single] + build * phases.current_na[:, single]).sum(axis=1)
        for number in np.flatnonzero(np.any(phases.shorted, axis=1)).tolist():
            area = circuit.shorted(phases.shorted[number]).integral(float(phases.duration_ns[number]))
            held = held + area @ prefix.matrix[number]
            built = built + prefix.offset[:, number] @ area.T
        return Affine(prefix.matrix[-1], prefix.offset[:, -1], held, built)


def _prefix(circuit: Circuit, phases: Phases, cases: int) -> Prefix:
    count = phases.duration_ns.size
    matrix = np.empty((count + 1, circuit.size, circuit.size))
    offset = np.zeros((cases, count + 1, circuit.size))
    matrix[0] = np.eye(circuit.size)
    keep, gain, _, _ = circuit.leak(phases.duration_ns)
    shorts = np.any(phases.shorted, axis=1)
    elapsed = np.cumsum(phases.duration_ns / circuit.tau_ns.min())
    stops = np.append(np.flatnonzero(shorts), count)
    at = 0
    while at < count:
        if shorts[at]:
            network = circuit.shorted(phases.shorted[at])
            decay = network.decay(phases.duration_ns[at : at + 1].astype(np.float64))[0]
            matrix[at + 1] = decay @ matrix[at]
            offset[:, at + 1] = offset[:, at] @ decay.T
            at += 1
            continue
        # phases within one time constant go at once: dividing by what is kept then loses no digits
        before = elapsed[at - 1] if at else 0.0
        upto = min(int(np.searchsorted(elapsed, before + 1.0)), int(stops[np.searchsorted(stops, at)]))
        upto = max(upto, at + 1)
        added = gain[at:upto] * phases.current_na[:, at:upto]
        if upto == at + 1:
            matrix[upto] = keep[at, :, np.newaxis] * matrix[at]
            offset[:, upto] = keep[at] * offset[:, at] + added[:, 0]
        else:
            kept = np.cumprod(keep[at:upto], axis=0)
            matrix[at + 1 : upto + 1] = kept[:, :, np.newaxis] * matrix[at]
            offset[:, at + 1 : upto + 1] = kept * (
                offset[:, at, np.newaxis] + np.cumsum(added / kept, axis=1)
            )
        at = upto
    return Prefix(matrix, offset)


def _cases(circuit: Circuit, node: Node) -> int:
    cases = 1
    stack: list[Node] = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, Phases):
            if part.contacts != circuit.size:
                raise ConfigError(
                    f"the phases have {part.contacts} contacts, the circuit {circuit.size}",
                    allowed="the same number of contacts",
                    code="phases",
                )
            if part.cases != 1 and cases not in (1, part.cases):
                raise ConfigError(
                    f"one part has {part.cases} cases, another {cases}",
                    allowed="one number of cases in all parts, or 1",
                    code="phases",
                )
            cases = max(cases, part.cases)
        elif isinstance(part, Repeat):
            stack.append(part.body)
        else:
            stack.extend(part.items)
    return cases
