"""Rule 10 around the kernels: amplitudes, soft stops, stops and emergencies, in ticks of the output's time.

The engine knows nothing of sessions, limits or wires. Whoever holds it gives every control event its time, in
ascending order; between two of them only `advance` is called, in steps of any size, with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from neurostim.core.image import ProgramImage
from neurostim.core.program import Recharge
from neurostim_sim.engine import closed, kernel, repeating
from neurostim_sim.engine import layout as at
from neurostim_sim.engine.levels import Fade, Runs, faded_runs, window_runs
from neurostim_sim.engine.machine import Machine, build, contacts_of, with_larger_ring
from neurostim_sim.engine.plan import AreaPlan, plans_of
from neurostim_sim.engine.run_tables import class_length, no_runs, tables_of, unfaded_tables
from neurostim_sim.engine.underway import UnderWay
from neurostim_sim.tissue import OutputPhysics, Tissue

EMERGENCY_PAUSE_NS: Final = 20_000
SOFT_STOP_NS: Final = 2_000_000_000
NAMES: Final = {at.V_OPEN: "open", at.V_SHORT: "short", at.V_CLIPPED: "clipped", at.V_LIMIT: "limit"}


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """Something the output stage saw: ``open``, ``short``, ``clipped`` or ``limit``.

    ``at_ticks`` is the end of the pulse; ``value`` the resistance [ohm] of an open or short, the delivered
    current [nA] of a clipped contact; ``commanded_na`` what it should have carried. A ``limit`` is refused
    before the pulse: ``value`` is the current asked for, ``commanded_na`` the area's ceiling [nA].
    """

    at_ticks: int
    name: str
    area: int
    contact: int
    value: int
    commanded_na: int


@dataclass(frozen=True, slots=True)
class ContactTotals:
    """Charge of one contact in this dose [aC], exact; ``recovered_ac`` is signed."""

    pulses: int
    cathodic_ac: int
    anodic_ac: int
    recovered_ac: int


@dataclass(frozen=True, slots=True)
class AreaTotals:
    """What one area delivered: pulses with current, cathodic stimulation charge [aC], pulses clipped."""

    pulses: int
    stim_ac: int
    clipped: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Dose of one output so far, by device contact and by area of the image."""

    contacts: dict[int, ContactTotals]
    areas: tuple[AreaTotals, ...]


class PulseEngine:
    """Delivers one program image into a tissue.

    Parameters
    ----------
    image : ProgramImage
        What to deliver.
    tissue : Tissue
        The contacts; their voltages are taken over and given back.
    physics : OutputPhysics
        Rail, discharge resistor and thresholds.
    record : bool
        Whether rows of a trace are kept; without it, long stretches are summed in closed form.
    amplitudes_na : sequence of int, optional
        Amplitudes to start with, by area; those of the image otherwise.
    closed_form : bool
        False forces pulse by pulse, for comparison.
    ceilings_na : sequence of int, optional
        Largest current of each area that the output lets through [nA], whatever the tables say.
    """

    def __init__(
        self,
        image: ProgramImage,
        tissue: Tissue,
        physics: OutputPhysics,
        *,
        record: bool = False,
        amplitudes_na: Sequence[int] | None = None,
        closed_form: bool = True,
        ceilings_na: Sequence[int] | None = None,
    ) -> None:
        self.image = image
        self.plans = plans_of(image)
        self.contacts = contacts_of(image)
        self.amplitudes_na = list(amplitudes_na or (area.amplitude_na for area in image.areas))
        self.now_ticks = 0
        self._tissue = tissue
        self._record = record
        self._closed_form = closed_form and not record
        self._machine: Machine = build(image, self.plans, self.contacts, tissue, physics, record=record)
        self._row_of = {plan.index: row for row, plan in enumerate(self.plans)}
        for area, ceiling in enumerate(ceilings_na or ()):
            self._machine.facts[self._row_of[area], at.F_CEILING] = ceiling
        self._fades: dict[int, list[Fade]] = {}
        self._kept: list[NDArray[np.int64]] = []
        self._under_way = UnderWay()
        self._unseen: list[EngineEvent] = []
        self._cut: int | None = None
        self._silent: int | None = None
        self._runs: dict[tuple[int, int], Runs] = {}
        self._short_from = self._short_until = 0
        self._shorting = False
        if image.duration_ns:
            self._silent = image.duration_ns // image.grid.tick_ns
        self._make_tables()

    @property
    def silent_at(self) -> int | None:
        """Time from which no pulse starts any more [ticks]; None where that is not decided."""
        return self._silent

    @property
    def quiet_at(self) -> int | None:
        """Time by which no contact is driven or shorted any more [ticks]; None where not decided."""
        if self._silent is None:
            return None
        state = self._machine.state
        open_now, caps = state[:, at.S_SHORT].tolist(), state[:, at.S_SHORT_CAP].tolist()
        last: int = max((cap for cap, is_open in zip(caps, open_now, strict=True) if is_open), default=0)
        if self._cut is None:
            # Pulses up to the silence may still open a stretch of their own.
            longest = max(plan.unit_occupancy + plan.image.interphase_ticks for plan in self.plans)
            last = max(last, self._silent + longest + int(self._machine.common[at.X_SHORTING]))
        return max(last, self._silent, self._short_until, self._under_way.end)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing flows any more."""
        quiet = self.quiet_at
        return quiet is not None and self.now_ticks >= quiet

    @property
    def driving(self) -> bool:
        """Whether pulses may still start."""
        return self._silent is None or self.now_ticks < self._silent

    @property
    def in_unit(self) -> bool:
        """Whether a unit (a burst, say) has begun and not ended."""
        return self._cut is None and bool(self._machine.state[:, at.S_NOW].any())

    def zeroed(self, area: int) -> bool:
        """Whether an area was latched at zero by an open or a short."""
        return bool(self._machine.state[self._row_of[area], at.S_ZEROED])

    def units_begun(self, area: int) -> int:
        """Units of an area that have begun so far."""
        return int(self._machine.state[self._row_of[area], at.S_PLAY])

    def advance(self, to_ticks: int) -> list[EngineEvent]:
        """Let time run to ``to_ticks``; returns what the output stage saw since the last call."""
        if to_ticks < self.now_ticks:
            raise ValueError(f"time cannot go back from {self.now_ticks} to {to_ticks} ticks")
        events, self._unseen = self._unseen, []
        if self._cut is None:
            if self._closed_form and not self._fades and self._nominal:
                events += self._sum_up(to_ticks)
            events += self._run(to_ticks, to_ticks)
        self._settle_after_end(to_ticks)
        ended = self._under_way.take_ended(to_ticks)
        if self._record and len(ended):
            self._kept.append(ended)
        self.now_ticks = to_ticks
        return events

    def set_amplitude(self, area: int, amplitude_na: int, at_ticks: int) -> None:
        """Rule 10: from the first unit that starts at or after ``at_ticks`` on."""
        self._commit(at_ticks)
        self.amplitudes_na[area] = amplitude_na
        self._make_tables()

    def soft_stop(self, at_ticks: int, within_ns: int | None = None) -> None:
        """Rule 10: every area falls to zero within its own ``down``, 2 s and ``within_ns``."""
        self._commit(at_ticks)
        state, tick = self._machine.state, self.image.grid.tick_ns
        ends = [at_ticks]
        for row, plan in enumerate(self.plans):
            bounds = [plan.image.ramp_down_ns, SOFT_STOP_NS, *([] if within_ns is None else [within_ns])]
            length_ns = min(bounds)
            if length_ns == 0:
                # Rule 10: no unit starts after x; one at x itself still does.
                state[row, at.S_NO_START] = min(int(state[row, at.S_NO_START]), at_ticks + 1)
                ends.append(at_ticks + 1)
                # The unit under way is completed.
                ends.append(int(state[row, at.S_NOW]) * int(state[row, at.S_NOW_ONSET] + plan.unit_length))
                continue
            fades = self._fades.setdefault(plan.index, [])
            fades.append(Fade(at_ticks, length_ns))
            state[row, at.S_FADED] = 1
            ends.append(min(fade.at + -(-fade.length_ns // tick) for fade in fades))
        end = max(ends)
        self._silent = end if self._silent is None else min(self._silent, end)
        self._make_tables()

    def stop(self, at_ticks: int) -> None:
        """Rule 10: the pulse under way is completed with its recharge, none follows, recovery runs."""
        self._commit(at_ticks)
        if self._cut is None:
            self._recover_broken_bursts(at_ticks)
        self._end(at_ticks)

    def emergency(self, at_ticks: int) -> None:
        """Rule 10: sources off at once; after 20 us every contact is shorted for 100 ms, then floats."""
        if self._short_until:
            return  # the emergency before goes on; it is not begun again
        self._break_off(at_ticks)
        tick = self.image.grid.tick_ns
        start = at_ticks + -(-EMERGENCY_PAUSE_NS // tick)
        self._shorting = True
        self._short_from = start
        self._short_until = start + int(self._machine.common[at.X_SHORTING])

    def power_lost(self, at_ticks: int) -> None:
        """The supply is gone: sources off at once and nothing is shorted."""
        self._break_off(at_ticks)
        self._end_emergency(at_ticks)
        self._short_until = min(self._short_until, at_ticks)

    def set_recharge(self, numerator: int, denominator: int, at_ticks: int) -> None:
        """A source mismatch: the reversed phase delivers this part of what is commanded."""
        self._commit(at_ticks)
        self._machine.common[at.X_RECHARGE_NUM] = numerator
        self._machine.common[at.X_RECHARGE_DEN] = denominator

    def set_source(self, numerator: int, denominator: int, at_ticks: int) -> None:
        """Every source delivers this part of what is commanded, in all phases alike."""
        self._commit(at_ticks)
        self._machine.common[at.X_SOURCE_NUM] = numerator
        self._machine.common[at.X_SOURCE_DEN] = denominator

    def flip_current(self, bit: int) -> None:
        """A bit of the largest current in the tables turns over, as in a memory that radiation hit."""
        levels = self._machine.levels
        row, column = divmod(int(np.argmax(np.abs(levels))), levels.shape[1])
        levels[row, column] ^= np.int64(1) << bit

    @property
    def clipping(self) -> bool:
        """Whether the rail limited the last pulse of an area."""
        return any(self._machine.state[:, at.S_CLIPPING].tolist())

    @property
    def machine(self) -> Machine:
        """The memory as it is now, for the output's own monitor to look at."""
        return self._machine

    @property
    def _nominal(self) -> bool:
        """Whether the sources deliver what they should; sums know no others."""
        common = self._machine.common
        return bool(
            common[at.X_SOURCE_NUM] == common[at.X_SOURCE_DEN]
            and common[at.X_RECHARGE_NUM] == common[at.X_RECHARGE_DEN]
        )

    def refresh(self, physics: OutputPhysics, at_ticks: int) -> None:
        """Take over resistances and physics that changed at ``at_ticks``."""
        self._commit(at_ticks)
        for c, contact in enumerate(self.contacts):
            self._machine.contact[c, at.E_SERIES] = self._tissue.row(contact)[0]
        self._machine.output[:] = physics.numbers()

    def voltages(self) -> dict[int, float]:
        """Voltage on each contact's double layer [V], as of its last change."""
        return {n: float(self._machine.contact[c, at.E_VOLT]) for c, n in enumerate(self.contacts)}

    def totals(self) -> Totals:
        """Dose so far, exact."""
        # As lists at once: taking single numbers out of an array costs more than all of them together.
        dose, state = self._machine.dose.tolist(), self._machine.state.tolist()
        contacts = {
            contact: ContactTotals(
                row[at.D_PULSES],
                _charge(row, at.D_CATHODIC),
                _charge(row, at.D_ANODIC),
                _charge(row, at.D_RECOVERED),
            )
            for contact, row in zip(self.contacts, dose, strict=True)
        }
        rows = [state[self._row_of[i]] for i in range(len(self.plans))]
        areas = tuple(
            AreaTotals(row[at.S_PULSES], _charge(row, at.S_STIM), row[at.S_CLIPPED], row[at.S_DROPPED])
            for row in rows
        )
        return Totals(contacts, areas)

    @property
    def clipped(self) -> list[int]:
        """Pulses of each area in which the rail limited a current."""
        by_row = self._machine.state[:, at.S_CLIPPED].tolist()
        return [by_row[self._row_of[index]] for index in range(len(self.plans))]

    def take_rows(self) -> NDArray[np.int64]:
        """Rows since the last call, columns of `layout`, contacts and areas of the image; not sorted."""
        self._keep_rows()
        rows = np.concatenate(self._kept) if self._kept else np.zeros((0, at.T_COUNT), np.int64)
        self._kept.clear()
        rows[:, at.T_CONTACT] = np.array(self.contacts, np.int64)[rows[:, at.T_CONTACT]]
        indices = np.array([plan.index for plan in self.plans], np.int64)
        rows[:, at.T_AREA] = indices[rows[:, at.T_AREA]]
        return rows

    def _sum_up(self, to_ticks: int) -> list[EngineEvent]:
        """Leave most of a long stretch to sums: of single units, or of whole periods of several areas."""
        events: list[EngineEvent] = []
        if len(self.plans) == 1:
            state = self._machine.state[0]
            if state[at.S_NOW] or state[at.S_TAIL] != state[at.S_PLAY]:
                # Sums begin between units: the one under way is played to its end.
                clear = min(to_ticks, self.now_ticks + self.plans[0].unit_length)
                events += self._run(clear, clear)
            closed.jump(self._machine, self.plans, self._runs_of, to_ticks)
            return events

        def deliver(until: int) -> bool:
            events.extend(self._run(until, until))
            return not events and self._cut is None

        repeating.skip(lambda: self._machine, self.plans, self._runs_of, deliver, self.now_ticks, to_ticks)
        return events

    def _commit(self, at_ticks: int) -> None:
        """Everything that began before a control event is settled before it, a pulse under way to its end."""
        self._unseen = self.advance(at_ticks)
        if self._cut is None:
            self._keep_rows()
            before = self._machine.contact.copy()
            self._machine.common[at.X_RECORD] = 1
            self._unseen += self._run(at_ticks, at.INF)
            self._machine.common[at.X_RECORD] = int(self._record)
            count = int(self._machine.filled[0])
            self._under_way.hold(self._machine.rows[:count].copy(), before)
            self._machine.filled[0] = 0

    def _run(self, before: int, ended_by: int) -> list[EngineEvent]:
        events: list[EngineEvent] = []
        while self._cut is None:
            reason = kernel.run(self._machine, before, ended_by)
            events += self._take_events()
            if reason == at.ROWS_FULL:
                self._keep_rows()
            elif reason == at.RING_FULL:
                self._machine = with_larger_ring(self._machine)
            elif reason == at.EVENT:
                if all(self._machine.state[:, at.S_ZEROED]):
                    self._end(events[-1].at_ticks)
            else:
                break
        return events

    def _end(self, at_ticks: int) -> None:
        """No pulse follows; open stretches run to their own end."""
        if self._cut is None:
            self._cut = at_ticks
            self._silent = at_ticks if self._silent is None else min(self._silent, at_ticks)

    def _settle_after_end(self, to_ticks: int) -> None:
        if self._cut is None:
            return
        self._keep_rows()
        state = self._machine.state
        for row in range(len(self.plans)):
            cap = int(state[row, at.S_SHORT_CAP])
            if state[row, at.S_SHORT] and cap <= to_ticks:
                kernel.end_stretch(self._machine, row, cap)
                state[row, at.S_SHORT] = 0
        if self._short_until <= to_ticks:
            self._end_emergency(to_ticks)

    def _end_emergency(self, at_ticks: int) -> None:
        """The shorting of an emergency ends with its time, or with the supply."""
        start, stop = self._short_from, min(self._short_until, at_ticks)
        if not self._shorting:
            return
        self._shorting = False
        machine, tick = self._machine, self.image.grid.tick_ns
        rows = []
        for c in range(len(self.contacts) if stop > start else 0):
            resistor = machine.output[at.O_DISCHARGE]
            charge = round(kernel.discharge(machine.contact, c, resistor, start, stop, tick))
            kernel.add_charge(machine.dose[c], at.D_RECOVERED, charge)
            owner = next(plan.index for plan in self.plans if self.contacts[c] in dict(plan.image.shares))
            rows.append([start, stop - start, c, at.KIND_PASSIVE, 0, self._row_of[owner], -1, -1, charge])
        if self._record and rows:
            self._kept.append(np.array(rows, np.int64))

    def _recover_broken_bursts(self, at_ticks: int) -> None:
        """A burst that a stop breaks off before its own recovery is recovered after its last pulse."""
        state = self._machine.state
        for row, plan in enumerate(self.plans):
            given = int(state[row, at.S_NOW_PULSE])
            if not state[row, at.S_NOW] or state[row, at.S_NOW_ZERO] or state[row, at.S_ZEROED] or not given:
                continue
            if plan.image.recharge is Recharge.PASSIVE_AFTER_BURST:
                last = int(state[row, at.S_NOW_ONSET]) + plan.burst_offsets[given - 1]
                begin = max(at_ticks, last + plan.pulse_length + plan.image.interphase_ticks)
                state[row, at.S_SHORT] = 1
                state[row, at.S_SHORT_FROM] = begin
                state[row, at.S_SHORT_CAP] = begin + int(self._machine.common[at.X_SHORTING])
                state[row, at.S_SHORT_UNIT] = state[row, at.S_NOW_UNIT]
                state[row, at.S_SHORT_PULSE] = given - 1

    def _break_off(self, at_ticks: int) -> None:
        """Sources off at ``at_ticks``: cut the pulse under way and every stretch."""
        self._commit(at_ticks)
        kept = self._under_way.cut(self._machine, at_ticks)
        if self._record:
            self._kept.append(kept)
        state = self._machine.state
        for row in range(len(self.plans)):
            if state[row, at.S_SHORT]:
                kernel.end_stretch(self._machine, row, min(at_ticks, int(state[row, at.S_SHORT_CAP])))
        self._cut = None
        self._end(at_ticks)
        self._silent = at_ticks
        state[:, at.S_SHORT] = 0

    def _keep_rows(self) -> None:
        count = int(self._machine.filled[0])
        if count and self._record:
            self._kept.append(self._machine.rows[:count].copy())
        self._machine.filled[0] = 0

    def _take_events(self) -> list[EngineEvent]:
        count = int(self._machine.noticed[0])
        if not count:
            return []
        found = [
            EngineEvent(
                int(row[0]),
                NAMES[int(row[1])],
                self.plans[int(row[2])].index,
                self.contacts[int(row[3])],
                int(row[4]),
                int(row[5]),
            )
            for row in self._machine.seen[:count]
        ]
        self._machine.noticed[0] = 0
        return found

    def _runs_of(self, row: int, kind: int) -> Runs:
        """Runs of one window class of an area, made when first needed."""
        key = (row, kind)
        if key not in self._runs:
            plan = self.plans[row]
            self._runs[key] = window_runs(plan, self.amplitudes_na[plan.index], class_length(plan, kind))
        return self._runs[key]

    def _make_tables(self) -> None:
        """Put every area's runs into the kernel's tables."""
        self._runs.clear()
        amplitudes = tuple(self.amplitudes_na)
        if self._fades:
            faded = tuple(self._faded_runs(row, plan) for row, plan in enumerate(self.plans))
            tables = tables_of(self.plans, self.contacts, amplitudes, faded)
        else:
            tables = unfaded_tables(self.plans, self.contacts, amplitudes)
        places, starts, codes, levels = tables
        self._machine.tables[:] = places
        # A bit of these may turn over in one engine: they are not shared.
        self._machine = self._machine._replace(
            run_starts=starts.copy(), run_levels=codes.copy(), levels=levels.copy()
        )

    def _faded_runs(self, row: int, plan: AreaPlan) -> Runs:
        fades = self._fades.get(plan.index, [])
        if not fades:
            return no_runs(plan)
        tick = plan.grid.tick_ns
        state = self._machine.state[row]
        # Units not begun yet start at or after the present; placing has moved them by at most this much.
        begin = min(self.now_ticks, *(fade.at for fade in fades)) - plan.interval // 4 - 1
        end = min(fade.at + -(-fade.length_ns // tick) for fade in fades)
        n, base = int(state[at.S_PLACE_WINDOW]), int(state[at.S_PLACE_BASE])
        while n > 0 and ((window := plan.window(n)) is None or window[0] > begin):
            n -= 1
            before = plan.window(n)
            base -= plan.nominal_units(before[1] - before[0]) if before else 0
        first_unit: int | None = None
        onsets: list[tuple[int, int, int]] = []
        while (window := plan.window(n)) is not None and window[0] < end:
            start, stop = window
            first = plan.first_at(begin - start)
            last = min(plan.nominal_units(stop - start), plan.first_at(end - start))
            if first < last:
                if first_unit is None:
                    first_unit = base + first
                onsets += [(start, stop, start + plan.onset(k)) for k in range(first, last)]
            base += plan.nominal_units(stop - start)
            n += 1
        return faded_runs(
            plan, self.amplitudes_na[plan.index], first_unit if first_unit is not None else 0, onsets, fades
        )


def _charge(counters: Sequence[int], place: int) -> int:
    """A charge [aC] from its pair of whole nC and remainder."""
    return counters[place] * kernel.AC_PER_NC + counters[place + 1]
