"""What the circuit is driven with: phases of current, of shorting and of rest, repeated and chained.

Plain arrays without a schedule, so that anything that can say its phases can be judged. Contacts are
positions 0 .. n-1 in the `Circuit` that is driven, not device numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neurostim.core.errors import ConfigError

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

KCL_RELATIVE: Final = 1e-9
MAX_DURATION_NS: Final = 366 * 24 * 3600 * 10**9
MAX_COUNT: Final = 10**12


@dataclass(frozen=True, slots=True)
class Phase:
    """One stretch of constant condition.

    ``currents`` [nA] by contact position drive it (cathodic negative, sum zero); ``shorted`` contacts are
    tied to the common node through the discharge resistor; with neither, all contacts float.
    """

    duration_ns: int
    currents: Mapping[int, float] = field(default_factory=dict)
    shorted: Collection[int] = ()


class Phases:
    """A run of phases as arrays, for one case or for many that share their timing.

    Parameters
    ----------
    duration_ns : array of int, shape (phases,)
        Durations [ns], each at least 1.
    current_na : array, shape (phases, contacts) or (cases, phases, contacts)
        Currents into the tissue [nA], cathodic negative; each phase sums to zero.
    shorted : array of bool, shape (phases, contacts), optional
        Contacts tied to the common node through the discharge resistor; no source may drive meanwhile.

    Raises
    ------
    ConfigError
        Where shapes do not fit, a duration is not positive, a value is not finite, the currents of a phase
        do not sum to zero, or a source drives while contacts are shorted.
    """

    __slots__ = ("current_na", "duration_ns", "shorted", "single")

    duration_ns: Integers
    current_na: Floats
    shorted: Flags
    single: bool

    def __init__(self, duration_ns: Any, current_na: Any, shorted: Any = None) -> None:
        durations = np.asarray(duration_ns)
        currents = np.asarray(current_na, dtype=np.float64)
        _require(durations.ndim == 1 and durations.size > 0, "durations are one row, one a phase")
        _require(np.issubdtype(durations.dtype, np.integer), "durations are whole nanoseconds")
        _require(
            bool(np.all(durations >= 1)) and sum(map(int, durations)) <= MAX_DURATION_NS,
            f"each duration is at least 1 ns and all together at most {MAX_DURATION_NS} ns",
        )
        self.single = currents.ndim == 2
        cases = currents[np.newaxis] if self.single else currents
        _require(
            cases.ndim == 3 and cases.shape[0] > 0 and cases.shape[1] == durations.size,
            "currents have the shape (phases, contacts) or (cases, phases, contacts)",
        )
        shorts = np.zeros(cases.shape[1:], dtype=np.bool_) if shorted is None else np.asarray(shorted)
        _require(
            shorts.dtype == np.bool_ and shorts.shape == cases.shape[1:],
            "shorted is a boolean array of the shape (phases, contacts)",
        )
        _require(bool(np.isfinite(cases).all()), "currents are finite")
        left = np.abs(cases.sum(axis=2))
        _require(
            bool(np.all(left <= KCL_RELATIVE * np.abs(cases).sum(axis=2))),
            "the currents of each phase sum to zero",
        )
        driven = (cases != 0).any(axis=(0, 2))
        _require(not bool((driven & shorts.any(axis=1)).any()), "no source drives while a contact is shorted")
        self.duration_ns = durations.astype(np.int64)
        self.current_na = np.ascontiguousarray(cases)
        self.shorted = np.ascontiguousarray(shorts)
        for array in (self.duration_ns, self.current_na, self.shorted):
            array.flags.writeable = False

    @classmethod
    def of(cls, contacts: int, phases: Sequence[Phase]) -> Phases:
        """Make the arrays from `Phase` values, for ``contacts`` contacts."""
        currents = np.zeros((len(phases), contacts))
        shorted = np.zeros((len(phases), contacts), dtype=np.bool_)
        for row, phase in enumerate(phases):
            for contact in (*phase.currents, *phase.shorted):
                _require(0 <= contact < contacts, f"contact positions are 0 to {contacts - 1}")
            for contact, current in phase.currents.items():
                currents[row, contact] = current
            shorted[row, list(phase.shorted)] = True
        return cls(np.array([phase.duration_ns for phase in phases]), currents, shorted)

    @property
    def contacts(self) -> int:
        """Number of contacts."""
        return int(self.shorted.shape[1])

    @property
    def cases(self) -> int:
        """Number of cases with this timing."""
        return int(self.current_na.shape[0])


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same body ``count`` times over."""

    body: Node
    count: int

    def __post_init__(self) -> None:
        whole = isinstance(self.count, int) and not isinstance(self.count, bool)
        _require(whole and 1 <= self.count <= MAX_COUNT, f"a repeat count is 1 to {MAX_COUNT}")


@dataclass(frozen=True, slots=True)
class Chain:
    """Several parts, one after the other."""

    items: tuple[Node, ...]

    def __post_init__(self) -> None:
        _require(len(self.items) > 0, "a chain has at least one part")


Node: TypeAlias = Phases | Repeat | Chain


def leaves(node: Node) -> Iterator[Phases]:
    """Every `Phases` of a tree, in the order in which they are written."""
    if isinstance(node, Phases):
        yield node
    elif isinstance(node, Repeat):
        yield from leaves(node.body)
    else:
        for item in node.items:
            yield from leaves(item)


def length_ns(node: Node) -> int:
    """Time from the start of a tree to its end [ns], exact."""
    if isinstance(node, Phases):
        return int(node.duration_ns.sum())
    if isinstance(node, Repeat):
        return node.count * length_ns(node.body)
    return sum(length_ns(item) for item in node.items)


def source_charge_ac(node: Node) -> Floats:
    """Charge the sources push through each contact over a tree [aC], shape (cases, contacts)."""
    if isinstance(node, Phases):
        charge: Floats = np.einsum("cpn,p->cn", node.current_na, node.duration_ns.astype(np.float64))
        return charge
    if isinstance(node, Repeat):
        return node.count * source_charge_ac(node.body)
    total = source_charge_ac(node.items[0])
    for item in node.items[1:]:
        total = total + source_charge_ac(item)
    return total


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise ConfigError("the phases cannot be driven into the circuit", allowed=rule, code="phases")
