"""Scenes at the clinic's bench: drawn faults, a plan that is partly fixed, and who carries it out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from neurostim_sim.servers.line import Dice
from neurostim_torture.barriers.removal import Cut, removed
from neurostim_torture.faults import Fault
from neurostim_torture.monitor import records as r
from neurostim_torture.person import Person, Plan
from neurostim_torture.programs import device_profile
from neurostim_torture.schedule import Outcome, Schedule, run

HALF_A_SECOND: Final = 500_000_000
FOUND: Final = "lost-recovery-is-found"

Faults = Callable[[Dice], tuple[Fault, ...]]

OUTPUT_ON: Final[Mapping[str, Any]] = {
    "program": "tonic",
    "dwell_ms": 2500,
    "steps": (),
    "end": "stop",
    "doses": 1,
    "keyed": False,
    "fresh": False,
}
FRESH: Final[Mapping[str, Any]] = {**OUTPUT_ON, "fresh": True}
KEYED: Final[Mapping[str, Any]] = {**OUTPUT_ON, "keyed": True}
GREED: Final[Mapping[str, Any]] = {**OUTPUT_ON, "steps": (1,) * 6, "dwell_ms": 3000}
SHORT: Final[Mapping[str, Any]] = {**OUTPUT_ON, "dwell_ms": 400, "end": "soft"}


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a barrier is needed: faults that are drawn, what of the plan is fixed, and who carries it out.

    ``sabotage`` is done whether or not a barrier is removed.
    """

    faults: Faults = lambda _dice: ()
    plan: Mapping[str, Any] = field(default_factory=dict)
    who: type[Person] = Person
    sabotage: tuple[Cut, ...] = ()

    def schedule(self, seed: int) -> Schedule:
        """The schedule of a seed."""
        return Schedule(seed, self.faults(Dice(seed * 0x9E3779B97F4A7C15 + 0xBA88)))

    def run(self, seed: int) -> Outcome:
        """Run the schedule of a seed."""
        plan = replace(Plan.drawn(seed), **self.plan)
        with removed(self.sabotage):
            return run(self.schedule(seed), who=self.who, plan=plan)


@dataclass(frozen=True, slots=True)
class Unrecovered(Scene):
    """A scene in which passive recovery fails; what is recovered stands in no trace, so that it looks itself.

    The device's monitor has to find it, and end the output within half a second.
    """

    def run(self, seed: int) -> Outcome:
        """Run the schedule of a seed."""
        plan, kept = replace(Plan.drawn(seed), **self.plan), list[r.Record]()
        outcome = run(self.schedule(seed), keep=kept, who=self.who, plan=plan)
        tick_ns = device_profile().capabilities.grid.tick_ns
        ends = [
            one.began_ns + int(one.rows[one.rows[:, r.KIND] == r.STIM, r.START].max()) * tick_ns
            for one in kept
            if isinstance(one, r.Flow)
        ]
        failed = [at_ns for at_ns, what in outcome.moments if what == "no-recovery"]
        for end_ns in ends:
            if failed and end_ns > failed[0] + HALF_A_SECOND:
                text = f"output went on for {end_ns - failed[0]} ns without recovery"
                outcome.violations += (r.Violation(FOUND, end_ns, text),)
        return outcome
