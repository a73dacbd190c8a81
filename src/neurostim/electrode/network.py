"""The circuit of contacts that meet in one tissue node, advanced by exact exponential steps.

Each contact is a series resistance R, then a double layer C with a Faradaic leak F across it. With
v the double-layer potential and I the current into the tissue: ``C dv/dt = I - v/F``. Inside, units are
coherent: nA, ohm, nV, ns, nF and aC (``nA ohm = nV``, ``ohm nF = ns``, ``nA ns = nF nV = aC``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from neurostim.core.errors import ConfigError
from neurostim.electrode.lead import ContactCircuit
from neurostim.electrode.phases import Flags, Floats

NV_PER_UV: Final = 1000.0
_SERIES_BELOW: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Step:
    """What a stretch does: potentials at its end [uV] and the charge through each contact [aC]."""

    potential_uv: Floats
    charge_ac: Floats


@dataclass(frozen=True, slots=True)
class Shorted:
    """One set of shorted contacts, diagonalised.

    Potentials evolve as ``left diag(exp(-rate t)) right`` [rate 1/ns]; contacts that float decay
    on their own. ``conductance`` maps potentials [nV] to the recharge currents [nA].
    """

    rate: Floats
    left: Floats
    right: Floats
    conductance: Floats

    def decay(self, time_ns: Floats) -> Floats:
        """Matrices that advance potentials by each time [ns]: shape (times, contacts, contacts)."""
        factors = np.exp(-np.outer(time_ns, self.rate))
        matrices: Floats = (self.left * factors[:, np.newaxis, :]) @ self.right
        return matrices

    def integral(self, time_ns: float) -> Floats:
        """The matrix that gives the time integral of the potentials over a stretch [ns]."""
        x = time_ns * self.rate
        # a leak too small to tell from rounding leaves a rate of about zero, of either sign
        far = np.maximum(x, _SERIES_BELOW)
        area = time_ns * np.where(x < _SERIES_BELOW, 1 - x * (0.5 - x / 6), -np.expm1(-far) / far)
        matrix: Floats = (self.left * area) @ self.right
        return matrix


class Circuit:
    """Contacts that meet in one tissue node, and the discharge resistor of the stimulator.

    Parameters
    ----------
    contacts : sequence of ContactCircuit
        One for each contact that is driven, shorted or of interest.
    discharge_ohm : int or float
        Resistor between a shorted contact and the common node [ohm]; 0 is a plain short.

    Raises
    ------
    ConfigError
        Without contacts, or where a value is not positive and finite.
    """

    def __init__(self, contacts: Sequence[ContactCircuit], discharge_ohm: float) -> None:
        self.contacts = tuple(contacts)
        self.discharge_ohm = float(discharge_ohm)
        self.series_ohm = _positive("series_ohm", [one.series_ohm for one in contacts])
        self.capacitance_nf = _positive("double_layer_nf", [one.double_layer_nf for one in contacts])
        self.faradaic_ohm = _positive("faradaic_ohm", [one.faradaic_ohm for one in contacts])
        if not (math.isfinite(self.discharge_ohm) and self.discharge_ohm >= 0):
            raise ConfigError(
                f"the discharge resistor is {discharge_ohm!r} ohm", allowed="0 or more", code="circuit"
            )
        self.tau_ns: Floats = self.faradaic_ohm * self.capacitance_nf
        self._shorted: dict[bytes, Shorted] = {}

    @property
    def size(self) -> int:
        """Number of contacts."""
        return len(self.contacts)

    def leak(self, duration_ns: Any) -> tuple[Floats, Floats, Floats, Floats]:
        """What driving or floating does to each contact on its own.

        Parameters
        ----------
        duration_ns : float, or array of shape (phases,)
            Lengths [ns].

        Returns
        -------
        tuple of array, each of shape (contacts,) or (phases, contacts)
            ``keep``, ``gain``, ``held``, ``built``: a potential v becomes ``keep v + gain I``, and its time
            integral over the stretch is ``held v + built I``.
        """
        duration = np.asarray(duration_ns, dtype=np.float64)[..., np.newaxis]
        x = duration / self.tau_ns
        keep = np.exp(-x)
        lost = -np.expm1(-x)
        held = self.tau_ns * lost
        # duration - held cancels for short stretches; its series does not
        near = np.minimum(x, _SERIES_BELOW)
        short = duration * near * (0.5 - near * (1 / 6 - near * (1 / 24 - near / 120)))
        built = self.faradaic_ohm * np.where(x < _SERIES_BELOW, short, duration - held)
        return keep, self.faradaic_ohm * lost, held, built

    def shorted(self, members: Flags) -> Shorted:
        """The diagonalised circuit with these contacts shorted, kept for the next call."""
        key = members.tobytes()
        found = self._shorted.get(key)
        if found is None:
            found = self._shorted[key] = self._diagonalise(members)
        return found

    def _diagonalise(self, members: Flags) -> Shorted:
        path = np.where(members, 1 / (self.series_ohm + self.discharge_ohm), 0.0)
        conductance = np.diag(path) - np.outer(path, path) / path.sum()
        root = np.sqrt(self.capacitance_nf)
        # C^-1/2 (conductance + 1/F) C^-1/2 is symmetric, so its eigenvectors are orthogonal
        symmetric = (conductance + np.diag(1 / self.faradaic_ohm)) / np.outer(root, root)
        rate, vectors = np.linalg.eigh(symmetric)
        return Shorted(
            rate=rate,
            left=vectors / root[:, np.newaxis],
            right=vectors.T * root,
            conductance=-conductance,
        )

    def advance(
        self,
        potential_uv: Any,
        duration_ns: float,
        current_na: Any = None,
        shorted: Any = None,
    ) -> Step:
        """Advance the double layers over one stretch of constant condition, exactly.

        Parameters
        ----------
        potential_uv : array, shape (contacts,)
            Double-layer potentials at its start [uV].
        duration_ns : float
            Its length [ns].
        current_na : array, shape (contacts,), optional
            Driven currents [nA]; must sum to zero, none while contacts are shorted.
        shorted : array of bool, shape (contacts,), optional
            Contacts tied to the common node through the discharge resistor.

        Returns
        -------
        Step
        """
        start = np.asarray(potential_uv, dtype=np.float64) * NV_PER_UV
        if shorted is not None and np.any(shorted):
            if current_na is not None and np.any(current_na):
                raise ConfigError("a source drives while a contact is shorted", code="phases")
            network = self.shorted(np.asarray(shorted, dtype=np.bool_))
            end = network.decay(np.array([duration_ns], dtype=np.float64))[0] @ start
            integral = network.integral(duration_ns) @ start
        else:
            current = np.zeros(self.size) if current_na is None else np.asarray(current_na, dtype=np.float64)
            if abs(current.sum()) > 1e-9 * np.abs(current).sum():
                raise ConfigError("the currents do not sum to zero", code="phases")
            keep, gain, held, built = self.leak(duration_ns)
            end = keep * start + gain * current
            integral = held * start + built * current
        charge = self.capacitance_nf * (end - start) + integral / self.faradaic_ohm
        return Step(end / NV_PER_UV, charge)


def _positive(name: str, values: Sequence[float]) -> Floats:
    array = np.array(values, dtype=np.float64)
    if array.size == 0 or not bool(np.all(np.isfinite(array) & (array > 0))):
        raise ConfigError(
            f"{name} of the contacts is {list(values)!r}",
            allowed="one contact or more, each value positive and finite",
            code="circuit",
        )
    return array
