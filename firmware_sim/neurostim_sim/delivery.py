"""One dose from its first tick to silence: the engine, its command log, its counters and its record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from neurostim.core.image import ProgramImage
from neurostim.wire.messages import DEAD_MAN_RAMP_US, AreaDose
from neurostim_sim.clock import Rates
from neurostim_sim.engine import EngineEvent, PulseEngine
from neurostim_sim.engine.foresight import first_event
from neurostim_sim.monitor import OutputMonitor
from neurostim_sim.records import AC_PER_NC, DoseRecord, Memory
from neurostim_sim.tissue import OutputPhysics, Tissue
from neurostim_sim.trace import TraceFiles

FIRST_REACH_NS: Final = 60_000_000_000
LONGEST_REACH_NS: Final = 3_600_000_000_000
"""How far ahead an unattended output is calculated for what it will see [ns]."""


class Delivery:
    """A program being delivered. All times are ticks of the device's clock.

    Parameters
    ----------
    image : ProgramImage
    record : DoseRecord
        Its entry in the device's memory, kept up to date by `settle`.
    tissue, physics
        Where the current goes.
    memory : Memory
        Holds the life-long counters.
    recording : bool
        Whether rows are kept for a trace.
    amplitudes_na : sequence of int, optional
        Amplitudes to begin with; those of the image otherwise.
    unattended : bool
        Whether no host watches: then long stretches are summed, where nothing can happen in them.
    """

    def __init__(
        self,
        image: ProgramImage,
        record: DoseRecord,
        tissue: Tissue,
        physics: OutputPhysics,
        memory: Memory,
        *,
        recording: bool,
        amplitudes_na: Sequence[int] | None = None,
        unattended: bool = False,
    ) -> None:
        self.image = image
        self.record = record
        self.start = record.start_tick
        # On a link pulse by pulse: what flowed must not depend, not even by a rounding, on how time was cut.
        # Unattended, the device looks at its output only at moments of its own.
        self.engine = PulseEngine(
            image,
            tissue,
            physics,
            record=recording,
            amplitudes_na=amplitudes_na,
            closed_form=unattended,
            ceilings_na=[one.max_na for one in memory.slots[record.slot].ranges],
        )
        self.monitor = OutputMonitor(self.engine)
        self._foreseen: tuple[int, int | None] | None = None
        self._look: int | None = None
        self._reach = FIRST_REACH_NS // image.grid.tick_ns
        self._raised_at: dict[int, int] = {}
        self.commands: list[dict[str, Any]] = [{"at_ticks": 0, "name": "start"}]
        self._memory = memory
        self._recording = recording
        self._before = {c: list(memory.contacts.get(c, [0, 0, 0, 0])) for c in self.engine.contacts}

    def at(self, ticks: int) -> int:
        """A time of the device's clock in the output's own ticks, never before its beginning."""
        return max(ticks - self.start, self.engine.now_ticks)

    def advance(self, ticks: int) -> list[EngineEvent]:
        """Let output run up to a time."""
        if ticks < self.start + self.engine.now_ticks:
            return []
        # Also where no time passes: what a change at this very moment brought to light has to be seen.
        return self.engine.advance(ticks - self.start)

    def may_rise(self, area: int) -> bool:
        """Whether a unit has begun since the area's last step upward: two must never meet in one unit."""
        return self.engine.units_begun(area) > self._raised_at.get(area, -1)

    def set_amplitude(self, area: int, amplitude_na: int, ticks: int) -> None:
        """Change an amplitude from the area's next unit on."""
        self._log("set_amplitude", ticks, area=area, amplitude_na=amplitude_na)
        if amplitude_na > self.engine.amplitudes_na[area]:
            self._raised_at[area] = self.engine.units_begun(area)
        self.engine.set_amplitude(area, amplitude_na, self.at(ticks))

    def soft_stop(self, ticks: int) -> None:
        """Fade out along the program's ramps."""
        self._log("soft_stop", ticks)
        self.engine.soft_stop(self.at(ticks))

    def ramp_down(self, ticks: int) -> None:
        """The dead-man: fade out within 200 ms."""
        within_ns = DEAD_MAN_RAMP_US * 1000
        self._log("ramp_down", ticks, within_ns=within_ns)
        self.engine.soft_stop(self.at(ticks), within_ns)

    def stop(self, ticks: int) -> None:
        """Complete the pulse under way, start none."""
        self._log("stop", ticks)
        self.engine.stop(self.at(ticks))

    def fault(self, name: str, ticks: int) -> None:
        """Stop because of a fault."""
        self._log("fault", ticks, fault=name)
        self.engine.stop(self.at(ticks))

    def emergency(self, ticks: int) -> None:
        """Sources off at once."""
        self._log("emergency_stop", ticks)
        self.engine.emergency(self.at(ticks))

    def power_lost(self, ticks: int) -> None:
        """The supply is gone."""
        self._log("power_lost", ticks)
        self.engine.power_lost(self.at(ticks))

    def first_event(self, ticks: int) -> int | None:
        """When the output stage first sees something before a time, if nothing is commanded until then."""
        now = self.start + self.engine.now_ticks
        held = self._foreseen
        if held is None or held[0] != ticks or (held[1] is not None and held[1] <= now):
            found = None
            if ticks > now:
                found = first_event(self.engine, ticks - self.start)
            held = self._foreseen = ticks, None if found is None else self.start + found
        return held[1]

    def next_look(self) -> int:
        """When the output has to be looked at, if nothing is commanded until then [ticks].

        That is its first event, or how far was looked ahead: longer each time, so that a quiet day costs
        little and a press does not make much void.
        """
        now = self.start + self.engine.now_ticks
        if self._look is None or self._look <= now:
            found = first_event(self.engine, self.engine.now_ticks + self._reach)
            if found is None:
                self._look = now + self._reach
                self._reach = min(2 * self._reach, LONGEST_REACH_NS // self.image.grid.tick_ns)
            else:
                self._look = self.start + found
        return self._look

    def disturbed(self) -> None:
        """Something has changed from outside: what was foreseen is void."""
        self._foreseen = self._look = None
        self._reach = FIRST_REACH_NS // self.image.grid.tick_ns

    def clipped(self) -> list[int]:
        """Pulses of each area in which the rail limited a current."""
        return self.engine.clipped

    @property
    def silent_tick(self) -> int | None:
        """When no pulse starts any more; None where that is not decided."""
        silent = self.engine.silent_at
        return None if silent is None else self.start + silent

    @property
    def quiet_tick(self) -> int | None:
        """When no contact is driven or shorted any more; None where that is not decided."""
        quiet = self.engine.quiet_at
        return None if quiet is None else self.start + quiet

    def area_doses(self) -> tuple[AreaDose, ...]:
        """What each area has delivered."""
        return tuple(
            AreaDose(
                index,
                self.engine.amplitudes_na[index],
                area.pulses,
                *divmod(area.stim_ac, AC_PER_NC),
            )
            for index, area in enumerate(self.engine.totals().areas)
        )

    def settle(self) -> None:
        """Carry what was delivered so far into the record and the life-long counters."""
        totals = self.engine.totals()
        for contact, one in totals.contacts.items():
            before = self._before[contact]
            flowed = (one.pulses, one.cathodic_ac, one.anodic_ac, one.recovered_ac)
            self._memory.contacts[contact] = [a + b for a, b in zip(before, flowed, strict=True)]
        self.record.areas = [
            [index, self.engine.amplitudes_na[index], area.pulses, *divmod(area.stim_ac, AC_PER_NC)]
            for index, area in enumerate(totals.areas)
        ]
        self.record.clipped = sum(area.clipped for area in totals.areas)
        if self.record.running:
            self.record.end_tick = self.start + self.engine.now_ticks

    def write(self, files: TraceFiles | None, ppm: int | Rates) -> None:
        """Write the record of this dose, where one is asked."""
        if files is None or not self._recording:
            return
        rows: NDArray[np.int64] = self.engine.take_rows()
        try:
            files.write(
                self.record.number,
                rows,
                self.image.grid,
                self.commands,
                image_sha256=self.record.image,
                end_ticks=self.engine.now_ticks,
                ppm=ppm,
            )
        except OSError as error:
            # The recorder stands beside the device: a full disk must not end what the device still serves.
            files.tell_lost(self.record.number, error)

    def _log(self, name: str, ticks: int, **more: int | str) -> None:
        self.disturbed()
        self.commands.append({"at_ticks": self.at(ticks), "name": name, **more})
