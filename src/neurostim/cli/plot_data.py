"""What a drawing of a program shows: which stretch of time, the currents in it, the contact voltages.

Numbers only; `neurostim.cli.plot` puts them on paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neurostim.core.schedule import Schedule
from neurostim.electrode.circuit import Circuit, Phases, run
from neurostim.electrode.lead import Lead
from neurostim.electrode.library import sites

_MS: Final = 10**6
_S: Final = 10**9
PASSIVE: Final = 2
PASSIVE_SHOWN_NS: Final = 8 * _MS
LONGEST_UNIT_NS: Final = 60 * _MS
PLATEAU_NS: Final = 4 * _S
WARM_UP_NS: Final = _S
MOST_WARM_UP_ROWS: Final = 4000
SAMPLES: Final = 1600


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time [ns] from the start of output.

    ``onset_ns`` is the first nominal onset of interest in it, ``units`` how many are shown.
    """

    start_ns: int
    length_ns: int
    onset_ns: int = 0
    units: int = 0


@dataclass(frozen=True, slots=True)
class Stretch:
    """Currents and voltages of a span.

    Attributes
    ----------
    span : Span
    contacts : tuple of int
        Device contacts, ascending.
    edge_ns : array of int, shape (edges,)
        Where the currents change, from the span's start to its end [ns].
    current_na : array, shape (edges - 1, contacts)
        Driven current between edges [nA].
    shorted : array of bool, shape (edges - 1, contacts)
        Whether a contact is shorted for passive recovery.
    """

    span: Span
    contacts: tuple[int, ...]
    edge_ns: NDArray[np.int64]
    current_na: NDArray[np.float64]
    shorted: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Traces:
    """Voltage against the tissue and current of each contact at the same times, (times, contacts)."""

    at_ns: NDArray[np.int64]
    voltage_uv: NDArray[np.float64]
    current_na: NDArray[np.float64]


def overview_span(schedule: Schedule) -> Span:
    """The whole program; of one that runs until stopped, two cycles, or the ramp and some seconds."""
    if schedule.duration_ns is not None:
        return Span(0, schedule.duration_ns)
    lengths = []
    for area in schedule.image.areas:
        cycle = area.on_ns + area.off_ns
        lengths.append(area.delay_ns + (2 * cycle or area.ramp_up_ns + PLATEAU_NS))
    return Span(0, max(lengths))


def unit_span(schedule: Schedule) -> Span:
    """A stretch at full amplitude that shows one unit well, or of several areas how they interleave."""
    tick = schedule.image.grid.tick_ns
    timings = [schedule.area_timing(index) for index in range(len(schedule.image.areas))]
    slowest = max(timings, key=lambda timing: timing.interval)
    full_ns = max(area.delay_ns + area.ramp_up_ns for area in schedule.image.areas)
    window = slowest.window(0)
    ramped = -(-full_ns // tick) - window.start
    if window.length is not None:
        ramped = min(ramped, window.length // 2)
    onset = window.start + slowest.onset(slowest.units_before(max(ramped, 0)))
    interval_ns = slowest.interval * tick
    unit_ns = slowest.unit_length * tick
    if len(timings) > 1:
        length = min(interval_ns, LONGEST_UNIT_NS)
    elif slowest.area.recharge.is_passive:
        length = min(interval_ns, unit_ns + PASSIVE_SHOWN_NS)
    elif interval_ns < 2 * unit_ns:
        length = 3 * interval_ns
    else:
        length = unit_ns * 3 // 2
    lead_in = min(max(length // 20, tick), onset * tick)
    return Span(onset * tick - lead_in, length + lead_in, onset * tick, -(-length // interval_ns))


def stretch(schedule: Schedule, span: Span) -> Stretch:
    """The currents of a span, as steps."""
    end_ns = span.start_ns + span.length_ns
    # A row that began before the span may reach into it: passive recovery is at most 100 ms.
    reach_ns = 110 * _MS
    first_ns = max(0, span.start_ns - reach_ns)
    starts, ends, contacts, kinds, amplitudes = [], [], [], [], []
    for block in schedule.events(first_ns, end_ns - first_ns):
        starts.append(np.asarray(block.start_ns, dtype=np.int64))
        ends.append(starts[-1] + np.asarray(block.duration_ns, dtype=np.int64))
        contacts.append(np.asarray(block.contact, dtype=np.int64))
        kinds.append(np.asarray(block.kind, dtype=np.int64))
        amplitudes.append(np.asarray(block.amplitude_na, dtype=np.int64))
    start, end = _joined(starts).clip(span.start_ns, end_ns), _joined(ends).clip(span.start_ns, end_ns)
    edges = np.unique(np.concatenate([start, end, np.array([span.start_ns, end_ns], dtype=np.int64)]))
    current = np.zeros((edges.size - 1, len(schedule.contacts)))
    shorted = np.zeros(current.shape, dtype=np.bool_)
    column = {contact: number for number, contact in enumerate(schedule.contacts)}
    firsts, lasts = np.searchsorted(edges, start), np.searchsorted(edges, end)
    rows = zip(firsts, lasts, _joined(contacts), _joined(kinds), _joined(amplitudes), strict=True)
    for first, last, contact, kind, amplitude in rows:
        if kind == PASSIVE:
            shorted[first:last, column[int(contact)]] = True
        else:
            current[first:last, column[int(contact)]] = amplitude
    return Stretch(span, schedule.contacts, edges, current, shorted)


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def traces(schedule: Schedule, leads: Sequence[Lead], span: Span, discharge_ohm: int) -> Traces:
    """Contact voltages over a span, from the circuit of each contact.

    The circuit starts at rest up to a second earlier, so that what builds up from unit to unit is in the
    picture.
    """
    place = sites(leads)
    circuit = Circuit([place[contact].circuit for contact in schedule.contacts], discharge_ohm)
    begin = _quiet_start(schedule, span)
    whole = stretch(schedule, Span(begin, span.start_ns + span.length_ns - begin))
    phases = Phases(np.diff(whole.edge_ns), whole.current_na, whole.shorted)
    inside = whole.edge_ns[whole.edge_ns >= span.start_ns]
    regular = np.linspace(span.start_ns, span.start_ns + span.length_ns, SAMPLES).astype(np.int64)
    at = np.unique(np.concatenate([regular, inside, np.maximum(inside - 1, span.start_ns)]))
    samples = run(circuit, phases, at_ns=at - whole.edge_ns[0]).samples
    if samples is None:
        raise AssertionError("samples were asked for")
    return Traces(at, samples.voltage_uv, samples.current_na)


def _quiet_start(schedule: Schedule, span: Span) -> int:
    """A time before the span, at most a second and some thousand rows, at which no pulse is under way.

    The area that yields to none keeps its onsets, and at such an onset no other area drives.
    """
    timings = [schedule.area_timing(index) for index in range(len(schedule.image.areas))]
    rows_each_s = sum(
        len(one.area.shares) * one.pulses * 3 * _S / (one.interval * one.tick_ns) for one in timings
    )
    earliest = span.start_ns - min(WARM_UP_NS, int(MOST_WARM_UP_ROWS * _S / rows_each_s))
    first = min(timings, key=lambda one: one.area.priority)
    window = first.window(0)
    ticks = earliest // first.tick_ns - window.start
    if ticks <= 0:
        return 0
    return (window.start + first.onset(first.units_before(ticks))) * first.tick_ns
