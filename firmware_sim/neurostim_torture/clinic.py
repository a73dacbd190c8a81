"""A schedule at home: the clinic sends the device home, a patient lives with it, and it is taken back.

Most schedules begin with a device that was released without trouble. In every fourth the release itself is
under torture. Hosts come and go meanwhile, and none may change anything; at the end the clinic reads the
usage log and takes the device back, as often as it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from neurostim.core.errors import NeurostimError
from neurostim.device.usage import UsageLog, summarise
from neurostim.session.home import HomeSession
from neurostim.wire.messages import CORRIDOR_S
from neurostim_sim.servers.line import Dice
from neurostim_torture import visits
from neurostim_torture.disk import HostKilled
from neurostim_torture.host import VirtualHost
from neurostim_torture.keys import paired
from neurostim_torture.monitor import records as r
from neurostim_torture.person import Person, Plan
from neurostim_torture.programs import HOME_NAMES, device_profile
from neurostim_torture.ready import SUBJECT, HomeReady, home_ready, home_session
from neurostim_torture.schedule import AFTERWARDS_NS, Outcome, Schedule, judged
from neurostim_torture.world import World

SECOND_NS: Final = 1_000_000_000
MINUTE_NS: Final = 60 * SECOND_NS
LEAVES_NS: Final = 30 * SECOND_NS
"""The patient leaves the clinic: what is drawn for home happens from here on."""
TIMES_BACK: Final = 5
WEEK_S: Final = 7 * 86_400
_EXPIRES_S: Final = (WEEK_S, WEEK_S, WEEK_S, 7_200, CORRIDOR_S)


@dataclass(frozen=True, slots=True)
class HomePlan:
    """What is decided before anything happens.

    ``first`` is the program chosen at the beginning; ``releases`` whether the release itself is part of the
    schedule; ``lasts_ns`` when the device comes back to the clinic.
    """

    first: int
    expires_s: int
    releases: bool
    lasts_ns: int

    @classmethod
    def drawn(cls, seed: int) -> HomePlan:
        """A plan from a seed."""
        dice = Dice(seed ^ 0x3C3C3C3C)
        expires_s = _EXPIRES_S[dice.below(len(_EXPIRES_S))]
        hours = 1 + dice.below(8)
        return cls(
            first=dice.below(2),
            expires_s=expires_s,
            releases=dice.below(4) == 0,
            lasts_ns=hours * 60 * MINUTE_NS + dice.below(60) * MINUTE_NS,
        )

    @property
    def corridor(self) -> bool:
        """Whether it is for the corridor only."""
        return self.expires_s == CORRIDOR_S

    def ready(self) -> HomeReady:
        """The device of this plan."""
        return home_ready(self.first, self.expires_s, corridor=self.corridor, released=not self.releases)


class Clinician(Person):
    """Sends the device home and takes it back, and does it again where that did not succeed."""

    def __init__(self, world: World, plan: HomePlan) -> None:
        super().__init__(world, Plan(HOME_NAMES[plan.first], 0, 0, (), "stop", 0, returns=True, clears=True))
        self.home = plan
        self.log: UsageLog | None = None
        self.log_ns = 0

    def release(self) -> bool:
        """Send the device home; True where there is nothing more to do."""
        world = self.world
        if not self.home.releases or world.device.autonomous:
            return True
        host = self._host()
        if not self._connect(host):
            return False
        with self._session_of() as session:
            if host.home.release_state().result().autonomous:
                return True
            world.intent("wants_release")
            session.release(self.home.ready().release)
            self.outcomes.append("released")
        self._leave(host)
        return True

    def take_back(self) -> bool:
        """Read the usage log and take the device back; True where it is no longer at home."""
        world = self.world
        host = self._host()
        if not self._connect(host):
            return False
        with self._session_of() as session:
            if not host.home.release_state().result().autonomous:
                return True
            session.end_output()
            self._idle(host, 2_500)
            path = world.disk.folder("/usage") / f"{self.sessions:08x}.usage.jsonl"
            self.log, self.log_ns = session.read_usage(path), world.now_ns  # type: ignore[arg-type]
            world.intent("wants_take_back")
            session.take_back(SUBJECT, self.log)
            self.outcomes.append("taken-back")
        self._leave(host)
        return True

    def attempt(self, what: Callable[[], bool], times: int) -> bool:
        """Do something of these as often as it takes; a killed program is started again."""
        for _ in range(times):
            try:
                if what():
                    return True
            except HostKilled:
                self.outcomes.append("killed")
            except NeurostimError as error:
                self.outcomes.append(f"{what.__name__}:{type(error).__name__}:{error.code}")
            for host in [one for one in self.world.hosts if one.origin == "host"]:
                self.world.kill(host)
            self.world.pass_ns(3 * SECOND_NS)
        return False

    def _session_of(self) -> HomeSession:
        self.sessions += 1
        return home_session(self.world, f"{self.sessions:08x}", SUBJECT)

    def _host(self) -> VirtualHost:
        self.world.plugged = True
        self.world.disk.fails_in = None
        return self.world.host or self.world.start_host()

    def _leave(self, host: VirtualHost) -> None:
        host.close()
        self.world.kill(host)


def run_at_home(schedule: Schedule, *, keep: list[r.Record] | None = None) -> Outcome:
    """Run a schedule at home and judge it.

    Parameters
    ----------
    schedule : Schedule
    keep : list, optional
        Receives what the monitor was told.
    """
    plan = HomePlan.drawn(schedule.seed)
    profile = device_profile()
    made = plan.ready()
    world = World(schedule.seed, schedule.faults, profile, paired(profile), made.memory)
    world.release(*made.approved)
    world.release_lasts_s = plan.expires_s
    world.at_home = True
    if world.released:
        world.tell_release()
    person = Clinician(world, plan)
    try:
        person.attempt(person.release, 2)
        _live(world, plan.lasts_ns)
        if not person.attempt(person.take_back, TIMES_BACK):
            person.outcomes.append("not-taken-back")
    except Exception as error:  # noqa: BLE001
        world.crash("host", error)
    for host in tuple(world.hosts):
        world.kill(host)
    world.pass_ns(AFTERWARDS_NS)
    if person.log is not None and not world.released:
        world.see(_usage_of(person.log, person.log_ns))
    return judged(world, schedule, keep, tuple(person.outcomes))


def _live(world: World, until_ns: int) -> None:
    """Let the days pass; who comes on the line meanwhile comes one after the other."""
    while world.now_ns < until_ns:
        world.step(until_ns)
        while world.visits:
            visits.visit(world, world.visits.pop(0))


def _usage_of(log: UsageLog, at_ns: int) -> r.UsageRead:
    contacts = summarise(log.records).contacts
    return r.UsageRead(
        at_ns,
        {
            number: r.Counter(one.pulses, one.cathodic_ac, one.anodic_ac, one.recovered_ac)
            for number, one in contacts.items()
        },
        {number: one.bound_ac for number, one in contacts.items()},
    )
