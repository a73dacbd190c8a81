"""One schedule: a seed and a list of faults, run from switching on to the books, and judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from neurostim.core.errors import ConfigError
from neurostim.session import JournalError, Record, read_journal, unsettled
from neurostim_torture.disk import HostKilled
from neurostim_torture.faults import Fault, read_faults
from neurostim_torture.keys import paired
from neurostim_torture.monitor import Monitor
from neurostim_torture.monitor import records as r
from neurostim_torture.person import Person, Plan
from neurostim_torture.programs import device_profile
from neurostim_torture.ready import ready
from neurostim_torture.world import World

AFTERWARDS_NS: Final = 1_500_000_000
JOURNAL: Final = ".journal.jsonl"


@dataclass(frozen=True, slots=True)
class Schedule:
    """What decides everything that happens: the seed, the faults, and whether the device is at home."""

    seed: int
    faults: tuple[Fault, ...] = ()
    home: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values; ``home`` only where it is so."""
        where = {"home": True} if self.home else {}
        return {"seed": self.seed, **where, "faults": [fault.as_dict() for fault in self.faults]}

    @classmethod
    def read(cls, document: Any) -> Schedule:
        """From plain values."""
        home = document.get("home", False)
        if type(home) is not bool:
            raise ConfigError(f"found home {home!r}", allowed="true or false", code="schedule")
        return cls(int(document["seed"]), read_faults(document["faults"]), home)


@dataclass
class Outcome:
    """What came of one schedule.

    ``struck`` counts the faults that met something to happen to, and ``moments`` says when [true ns];
    ``violations`` are what the monitor found; ``crashes`` what failed in a way nobody planned;
    ``disagreements`` what a session found different between its books and the device's, told but judged by
    the monitor alone.
    """

    schedule: Schedule
    virtual_ns: int = 0
    doses: int = 0
    pulses: int = 0
    frames: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    moments: tuple[tuple[int, str], ...] = ()
    outcomes: tuple[str, ...] = ()
    violations: tuple[r.Violation, ...] = ()
    crashes: tuple[str, ...] = ()
    disagreements: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether this schedule shows a defect."""
        return bool(self.violations or self.crashes)

    def signature(self) -> tuple[str, ...]:
        """The kinds of what went wrong: what shrinking has to keep."""
        names = {one.rule for one in self.violations} | {crash.partition(" at ")[0] for crash in self.crashes}
        return tuple(sorted(names))


def run(
    schedule: Schedule,
    *,
    keep: list[r.Record] | None = None,
    who: Callable[[World, Plan], Person] = Person,
    plan: Plan | None = None,
) -> Outcome:
    """Run a schedule and judge it.

    Parameters
    ----------
    schedule : Schedule
    keep : list, optional
        Receives what the monitor was told.
    who : callable
        Makes the person of a world and a plan.
    plan : Plan, optional
        What that person is going to do; drawn from the seed otherwise.
    """
    if schedule.home:
        from neurostim_torture.clinic import run_at_home

        return run_at_home(schedule, keep=keep)
    plan = plan or Plan.drawn(schedule.seed)
    profile = device_profile()
    keys = paired(profile) if plan.keyed else None
    memory = b"" if plan.fresh else ready(plan.program, plan.slot, keyed=plan.keyed).memory
    world = World(schedule.seed, schedule.faults, profile, keys, memory)
    person = who(world, plan)
    for live in (person.live, person.come_back):
        try:
            live()
        except HostKilled:
            for host in [one for one in world.hosts if one.origin == "host"]:
                world.kill(host)
            world.pass_ns(AFTERWARDS_NS)
            continue
        except Exception as error:  # noqa: BLE001
            world.crash("host", error)
        break
    for host in tuple(world.hosts):
        world.kill(host)
    world.pass_ns(AFTERWARDS_NS)
    return judged(world, schedule, keep, tuple(person.outcomes), tuple(person.disagreements))


def judged(
    world: World,
    schedule: Schedule,
    keep: list[r.Record] | None = None,
    outcomes: tuple[str, ...] = (),
    disagreements: tuple[str, ...] = (),
) -> Outcome:
    """Switch everything off, and let the monitor judge what it was told."""
    world.close()
    world.see(books_of(world))
    flows = [one for one in world.records if isinstance(one, r.Flow)]
    monitor = Monitor(setting_of(world))
    for record in world.records:
        monitor.see(record)
    if keep is not None:
        keep += world.records
    return Outcome(
        schedule,
        virtual_ns=world.now_ns,
        doses=world.device.memory.dose_count - world.doses_at_start,
        pulses=sum(int((flow.rows[:, r.KIND] == r.STIM).sum()) for flow in flows),
        frames=sum(way.frames for way in world.ways.values()),
        struck=world.struck,
        moments=tuple(world.moments),
        outcomes=outcomes,
        violations=tuple(monitor.finish()),
        crashes=tuple(world.crashes),
        disagreements=disagreements,
    )


def setting_of(world: World) -> r.Setting:
    """What the monitor may take for granted in a world."""
    able = device_profile().capabilities
    return r.Setting(
        tick_ns=able.grid.tick_ns,
        step_na=able.grid.step_na,
        guard_ns=able.guard_ns,
        recovery_min_ns=able.recovery_min_ns,
        programs=tuple(world.programs.values()),
        hard=r.HardLimits(
            able.max_contact_na,
            able.max_total_na,
            device_profile().max_phase_ac,
            able.min_width_ns,
            able.max_width_ns,
        ),
        ppm=world.ppm,
        keyed=world.keys is not None,
    )


def books_of(world: World) -> r.Books:
    """What counters and journals say when everything is over."""
    memory = world.device.memory
    announced = begun = decided = 0
    uncertain = False
    journals = sorted(name for name in world.disk.files if name.endswith(JOURNAL))
    for name in journals:
        try:
            reading = read_journal(world.disk.folder(name))  # type: ignore[arg-type]
        except JournalError as error:
            world.crash("journal", error)
            continue
        records = reading.records
        announced += sum(one.kind == "start_intended" for one in records)
        begun += _begun(records)
        decided += sum(one.kind == "resolved" and one.data["delivered"] is None for one in records)
        uncertain = uncertain or unsettled(reading) is not None
    return r.Books(
        at_ns=world.now_ns,
        dose_count=memory.dose_count,
        dose_count_at_start=world.doses_at_start,
        counters={number: r.Counter(*kept) for number, kept in memory.contacts.items()},
        at_start=world.counters_at_start,
        journal_announced=announced,
        journal_started=begun,
        uncertain=bool(decided or uncertain),
        has_journal=bool(journals),
    )


def _begun(records: tuple[Record, ...]) -> int:
    """How many announced starts a journal holds as having begun."""
    count = 0
    open_start = False
    for one in records:
        if one.kind == "start_intended":
            open_start = True
        elif open_start and (
            one.kind in ("started", "measured") or (one.kind == "resolved" and one.data["delivered"])
        ):
            count += 1
            open_start = False
    return count


def of(seed: int, faults: Sequence[Fault] = ()) -> Outcome:
    """Run a seed with faults."""
    return run(Schedule(seed, tuple(faults)))
