"""The table of barriers: each is taken away, alone or with its named partners, and the monitor must see it.

A monitor that finds nothing proves nothing until it is known what it would find. For every barrier there is
a scene (faults, and a person, in which the barrier is needed) and the number of schedules within which
removing it has to show; the very schedule that shows it must be good with the barrier in place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from neurostim.core.errors import ConfigError
from neurostim_sim.servers.line import Dice
from neurostim_torture.at_home import Act, What, live
from neurostim_torture.at_the_door import LOCKED, UNSEALED, UNTOUCHED, Guessing, Meddling
from neurostim_torture.faults import Fault
from neurostim_torture.intruder import Intruding
from neurostim_torture.monitor import records as r
from neurostim_torture.people import Careless, Greedy, Leaping, Lingering, Stubborn
from neurostim_torture.person import Person, Plan
from neurostim_torture.programs import device_profile
from neurostim_torture.removal import Cut, removed
from neurostim_torture.schedule import Outcome, Schedule, run
from neurostim_torture.unjudged import Unjudged

MS: Final = 1_000_000
FIRST_SEED: Final = 1
HALF_A_SECOND: Final = 500 * MS
FOUND: Final = "lost-recovery-is-found"

Faults = Callable[[Dice], tuple[Fault, ...]]


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


@dataclass(frozen=True, slots=True)
class AtHome:
    """A scene at home: what happens there is drawn; the release ends after ``expires_s``."""

    acts: Callable[[Dice], tuple[Act, ...]]
    expires_s: int = 600
    lasts_s: int = 12

    def run(self, seed: int) -> Outcome:
        """Run the acts of a seed."""
        acts = self.acts(Dice(seed * 0x9E3779B97F4A7C15 + 0x4083E))
        return live(seed, acts, expires_s=self.expires_s, lasts_ns=self.lasts_s * 1000 * MS)


@dataclass(frozen=True, slots=True)
class Barrier:
    """One barrier.

    Attributes
    ----------
    name : str
    where : str
        ``host``, ``device`` or ``both``.
    against : str
        What it holds off, in words.
    cuts : tuple of Cut
        What removes it.
    partners : tuple of str
        Barriers that hide its loss and are removed with it; empty where its loss shows alone.
    scene : Scene, AtHome, Intruding, Unjudged, Unrecovered, Guessing or Meddling
        The last three look for themselves, and state what they find.
    within : int
        Schedules within which the monitor has to see its loss.
    shows : tuple of str
        Rules of which one has to be broken; any where it is empty.
    """

    name: str
    where: str
    against: str
    cuts: tuple[Cut, ...]
    scene: Scene | AtHome | Intruding | Unjudged | Guessing | Meddling
    within: int
    partners: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Catch:
    """What came of removing a barrier: the schedule and seed that showed it, and the rules it broke.

    ``schedules`` and ``seed`` are 0 where nothing showed; ``sound`` says that the same schedule is good with
    the barrier in place.
    """

    barrier: Barrier
    schedules: int
    seed: int
    rules: tuple[str, ...]
    sound: bool

    @property
    def caught(self) -> bool:
        """Whether the monitor saw it in time, and sees nothing otherwise."""
        return bool(self.schedules) and self.sound


def cuts_of(barrier: Barrier) -> tuple[Cut, ...]:
    """Everything that has to be removed for one barrier's loss to show."""
    return (*barrier.cuts, *(cut for name in barrier.partners for cut in find(name).cuts))


def find(name: str) -> Barrier:
    """A barrier of the table.

    Raises
    ------
    ConfigError
        Where there is none of this name.
    """
    found = next((one for one in BARRIERS if one.name == name), None)
    if found is None:
        raise ConfigError(
            f"there is no barrier {name!r}", allowed=", ".join(one.name for one in BARRIERS), code="barrier"
        )
    return found


def remove(barrier: Barrier, first_seed: int = FIRST_SEED) -> Catch:
    """Take a barrier away and run its scene until the monitor sees it, or its number of schedules is over."""
    for count in range(barrier.within):
        seed = first_seed + count
        with removed(cuts_of(barrier)):
            outcome = barrier.scene.run(seed)
        rules = tuple(sorted({one.rule for one in outcome.violations}))
        if set(rules) & set(barrier.shows) or (rules and not barrier.shows):
            return Catch(barrier, count + 1, seed, rules, _holds(barrier, seed, rules))
    return Catch(barrier, 0, 0, (), True)


def _holds(barrier: Barrier, seed: int, rules: tuple[str, ...]) -> bool:
    """Whether a schedule is good with everything in place, and shows nothing of it with the partners gone."""
    if barrier.scene.run(seed).failed:
        return False
    if not barrier.partners:
        return True
    with removed([cut for name in barrier.partners for cut in find(name).cuts]):
        alone = {one.rule for one in barrier.scene.run(seed).violations}
    return not alone & set(barrier.shows or rules)


# ---------------------------------------------------------------------------------------------- scenes


def _frame(what: str, way: str, key: str, nth: int = 1, value: int = 0) -> Fault:
    return Fault(what, way, key, nth, value=value)


def _at_frame(what: str, key: str, nth: int, after_ns: int, value: int = 0, way: str = "host") -> Fault:
    return Fault(what, way, key, nth, at_ns=after_ns, value=value)


def _killed(dice: Dice) -> tuple[Fault, ...]:
    """The host's program is killed while output is on."""
    return (_at_frame("kill", "HEARTBEAT", 8 + dice.below(8), dice.below(100) * MS),)


def _killed_and_replayed(dice: Dice) -> tuple[Fault, ...]:
    """The program is killed, and its heartbeats are put on the line again a little later."""
    nth = 8 + dice.below(6)
    later = tuple(
        _at_frame("replay-kind", "HEARTBEAT", nth - back, 0, (250 + 60 * back + dice.below(60)) * MS)
        for back in range(3)
    )
    return (_at_frame("kill", "HEARTBEAT", nth, MS), *later)


def _replayed_for_long(dice: Dice) -> tuple[Fault, ...]:
    """The program is killed, and its last heartbeat is put on the line again and again."""
    nth = 8 + dice.below(6)
    again = tuple(
        _at_frame("replay-kind", "HEARTBEAT", nth, 0, (270 + 250 * time + dice.below(20)) * MS)
        for time in range(5)
    )
    return (_at_frame("kill", "HEARTBEAT", nth, MS), *again)


def _stuck(dice: Dice) -> tuple[Fault, ...]:
    """The thread that serves the person stands still, that of the link goes on."""
    return (_at_frame("stuck-thread", "HEARTBEAT", 8 + dice.below(6), 0, (2500 + dice.below(1000)) * MS),)


def _answers_lost(dice: Dice) -> tuple[Fault, ...]:
    """An answer to a command that changes something is lost, so that the command is sent again."""
    key = ("FIRE", "ARM", "SET_AMPLITUDE", "CLEAR")[dice.below(3)]
    return (_frame("drop", "device", key), _frame("duplicate", "host", key, 1, dice.below(40) * MS))


def _injected(what: str) -> Faults:
    def faults(dice: Dice) -> tuple[Fault, ...]:
        return (_at_frame(what, "HEARTBEAT", 8 + dice.below(6), dice.below(100) * MS, 1 + dice.below(8)),)

    return faults


def _source_fails(dice: Dice) -> tuple[Fault, ...]:
    """The recharge source falls by 1 % early in a dose of 10 kHz."""
    return (_at_frame("mismatch", "HEARTBEAT", 3 + dice.below(5), dice.below(100) * MS),)


def _switch_fails(dice: Dice) -> tuple[Fault, ...]:
    """The switch of the passive recovery does not close any more."""
    return (_at_frame("no-recovery", "HEARTBEAT", 6 + dice.below(5), dice.below(100) * MS),)


def _stop_lost(dice: Dice) -> tuple[Fault, ...]:
    """The line loses the first stop, and the first emergency stop after it."""
    return (_frame("drop", "host", "STOP"), _frame("drop", "host", "EMERGENCY_STOP"))


def _two_stops_lost(dice: Dice) -> tuple[Fault, ...]:
    """The line loses every stop that is not an emergency stop."""
    return tuple(_frame("drop", "host", "STOP", nth) for nth in range(1, 30))


def _deaf_at_stop(dice: Dice) -> tuple[Fault, ...]:
    """The answers of the device are lost while the person stops."""
    return (Fault("deaf", "device", "HEARTBEAT", 21 + dice.below(3), value=(900 + dice.below(100)) * MS),)


def _reset_and_killed(dice: Dice) -> tuple[Fault, ...]:
    """The device restarts while its output is on, and the host's program is gone, too."""
    nth, when = 8 + dice.below(6), dice.below(100) * MS
    return (
        _at_frame("reset", "HEARTBEAT", nth, when),
        _at_frame("kill", "HEARTBEAT", nth, when + 100_000),
    )


def _reset_after_stop(dice: Dice) -> tuple[Fault, ...]:
    """The device restarts after a stop, and the host's program is gone, too."""
    when = (20 + dice.below(60)) * MS
    return (_at_frame("reset", "STOP", 1, when), _at_frame("kill", "STOP", 1, when + 100_000))


def _slot_turns(dice: Dice) -> tuple[Fault, ...]:
    """A bit of the loaded program turns over before it is armed."""
    return (_at_frame("flip-slot", "LOAD_COMMIT", 1, 250_000 + dice.below(200_000)),)


def _fire_again(dice: Dice) -> tuple[Fault, ...]:
    """FIRE is put on the line again when its dose is over."""
    return tuple(_at_frame("replay-kind", "FIRE", 1, 0, after * MS) for after in (1000, 1200, 1400, 1600))


def _steps_replayed(dice: Dice) -> tuple[Fault, ...]:
    """An earlier change of amplitude is put on the line again."""
    return tuple(
        _at_frame("replay-kind", "SET_AMPLITUDE", 1, 0, after * MS) for after in (140, 180, 260, 320, 400)
    )


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


TURNED: Final = Cut("neurostim_sim.strikes:_flip_slot", "len(slot.data) // 2", "36")
"""The bit turns over in the amplitude of the first area: the image stays one that can be read."""


def _greedy_patient(dice: Dice) -> tuple[Act, ...]:
    """A start, and more steps up than there are."""
    steps = (Act((3500 + 450 * step + dice.below(30)) * MS, "up") for step in range(8))
    return (Act((300 + dice.below(500)) * MS, "start"), *steps)


def _cycling_patient(dice: Dice) -> tuple[Act, ...]:
    """On and off, and on again."""
    return tuple(
        Act((500 + 3000 * time + (0 if what == "start" else 1200) + dice.below(50)) * MS, what)
        for time in range(7)
        for what in ("start", "stop")
    )


def _one_start(dice: Dice) -> tuple[Act, ...]:
    """One start."""
    return (Act((300 + dice.below(900)) * MS, "start"),)


def _lost_at_home(dice: Dice) -> tuple[Act, ...]:
    """A start, and the device restarts or gets another battery."""
    what: What = "reset" if dice.below(2) else "battery"
    return (*_one_start(dice), Act((3000 + dice.below(2000)) * MS, what))


def _host_at_home(dice: Dice) -> tuple[Act, ...]:
    """A start, and a host that loads another program."""
    return (*_one_start(dice), Act((3000 + dice.below(2000)) * MS, "host"))


# ----------------------------------------------------------------------------------------- the table

STARTING: Final = "neurostim_sim.commands.starting"
JUDGING: Final = "neurostim_sim.judging"
LOADING: Final = "neurostim_sim.commands.loading"
OUTPUT: Final = "neurostim_sim.output"
PACE: Final = "neurostim.session.pace"
HOME: Final = "neurostim_sim.home"

BARRIERS: Final[tuple[Barrier, ...]] = (
    Barrier(
        "dead-man",
        "device",
        "host crash while stimulating; cable pulled",
        (
            Cut(
                "neurostim_sim.supervision:Supervision.dead_man_ns",
                "living_ns + HEARTBEAT_NS",
                "living_ns + 3_600_000_000_000",
            ),
        ),
        Scene(_killed, OUTPUT_ON),
        3,
    ),
    Barrier(
        "dead-man ramp bound",
        "device",
        "a ramp-down without a bound",
        (
            Cut("neurostim_sim.delivery:Delivery.ramp_down", "DEAD_MAN_RAMP_US * 1000", "2_000_000_000"),
            Cut(f"{OUTPUT}:Output.dead_man", "m.DEAD_MAN_RAMP_US * US", "2_000_000_000"),
        ),
        Scene(_killed, OUTPUT_ON),
        6,
    ),
    Barrier(
        "lease",
        "device",
        "a heartbeat, ARM or FIRE released late from a buffer",
        (Cut(f"{JUDGING}:_check_lease", "age_us > m.LEASE_MAX_AGE_US", "age_us > 60_000_000"),),
        Scene(_replayed_for_long, OUTPUT_ON),
        6,
        ("sequence", "age of a heartbeat"),
        ("silent-by-the-lease",),
    ),
    Barrier(
        "age of a heartbeat",
        "device",
        "late frames and lost answers that add up",
        (Cut("neurostim_sim.sessions:Session.beat", "min(now_ns, lease_ns + INTERVAL_NS)", "now_ns"),),
        Scene(_killed_and_replayed, OUTPUT_ON),
        6,
        ("sequence",),
        ("silent-however-late",),
    ),
    Barrier(
        "sequence",
        "device",
        "a replayed frame",
        (Cut(f"{JUDGING}:_judge", "frame.sequence <= session.sequence", "frame.sequence < 0"),),
        Scene(_killed_and_replayed, OUTPUT_ON),
        6,
        ("age of a heartbeat",),
    ),
    Barrier(
        "sequence of sealed frames",
        "device",
        "a replayed frame of a sealed session",
        (
            Cut(
                "neurostim.wire.channel:Channel.open",
                "if not self.received < sequence <= MAX_SEQUENCE:",
                "if False:",
            ),
        ),
        Scene(_killed_and_replayed, KEYED),
        8,
        ("sequence", "age of a heartbeat"),
    ),
    Barrier(
        "once record",
        "device",
        "double dose on a retry after a lost acknowledgement",
        (Cut(f"{JUDGING}:_judge", "if kept is not None:", "if False:"),),
        Scene(_answers_lost, {**OUTPUT_ON, "steps": (1, 1), "clears": True}),
        10,
    ),
    Barrier(
        "supervisor of the host",
        "host",
        "heartbeat from a stuck host",
        (
            Cut(
                "neurostim.device.supervisor:Supervisor.missing",
                "age is None or age > MAX_AGE_NS",
                "age is None",
            ),
        ),
        Scene(_stuck, OUTPUT_ON),
        4,
    ),
    Barrier(
        "supervisor tokens in the device",
        "device",
        "heartbeat from a stuck host",
        (
            Cut(
                "neurostim_sim.sessions:Session.beat",
                "all(now_ns - moved <= max_age_ns for moved in self.moved_ns)",
                "True",
            ),
        ),
        Scene(_stuck, OUTPUT_ON),
        4,
        ("supervisor of the host",),
        ("silent-whatever-the-host-says",),
    ),
    Barrier(
        "watchdog",
        "device",
        "a processor that stands still",
        (
            Cut(
                "neurostim_sim.core:DeviceCore._watchdog_ns",
                "hung_ns + WATCHDOG_NS",
                "hung_ns + 3 * WATCHDOG_NS",
            ),
        ),
        Scene(_injected("hang"), OUTPUT_ON),
        3,
        ("dead-man of the hardware",),
    ),
    Barrier(
        "dead-man of the hardware",
        "device",
        "a processor that stands still just after the last heartbeat",
        (
            Cut(
                "neurostim_sim.supervision:Supervision.unfed_ns",
                "if deadline is None or",
                "if True or",
            ),
        ),
        Scene(_injected("hang"), OUTPUT_ON),
        3,
        ("watchdog",),
    ),
    Barrier(
        "power-lost latch",
        "device",
        "resume after a reset or brown-out",
        (
            Cut(
                "neurostim_sim.boot:wake",
                "memory.latched, memory.cause = True, int(StopCause.POWER_LOST)",
                "memory.cause = int(StopCause.POWER_LOST)",
            ),
        ),
        Scene(_reset_and_killed, OUTPUT_ON, Stubborn),
        6,
    ),
    Barrier(
        "latch over a reset",
        "device",
        "resume after a reset of what a stop had latched",
        (
            Cut(
                "neurostim_sim.boot:wake",
                "if not memory.latched:\n        return",
                "if True:\n        return",
            ),
        ),
        Scene(_reset_after_stop, {**SHORT, "end": "stop"}, Stubborn),
        6,
    ),
    Barrier(
        "latch of a stop",
        "device",
        "output that goes on after a stop without being released",
        (
            Cut(f"{STARTING}:_arm", "if device.state in LATCHED:", "if False:"),
            Cut(
                f"{STARTING}:_arm",
                "if device.state not in (DeviceState.IDLE, DeviceState.ARMED):",
                "if device.state in ON:",
            ),
        ),
        Scene(plan={**SHORT, "end": "stop"}, who=Careless),
        3,
    ),
    Barrier(
        "arm token",
        "device",
        "a start that was not armed, or whose arming is over",
        (
            Cut(
                f"{STARTING}:_use_token",
                "if token is None or token.value != value:",
                "if token is None:\n"
                "        slots = device.memory.slots\n"
                "        slot = next(i for i, one in enumerate(slots) if one.committed)\n"
                "        token = Token(value, kind, slot, device.now_ns)\n"
                "    if False:",
            ),
        ),
        Scene(_fire_again, SHORT, Lingering),
        6,
        ("once record", "sequence", "lease", "expected dose count"),
        ("doses-at-most-intents",),
    ),
    Barrier(
        "token used once",
        "device",
        "a second dose for one start",
        (Cut(f"{STARTING}:_use_token", "device.output.token = None\n", "pass\n"),),
        Scene(_fire_again, SHORT, Lingering),
        6,
        ("once record", "sequence", "lease", "expected dose count"),
        ("doses-at-most-intents",),
    ),
    Barrier(
        "expected dose count",
        "device",
        "a start that another start has overtaken",
        (
            Cut(
                f"{STARTING}:_use_token",
                "if expected != device.memory.dose_count:",
                "if False:",
            ),
        ),
        Scene(_fire_again, SHORT, Lingering),
        6,
        ("once record", "sequence", "lease", "token used once"),
        ("doses-at-most-intents",),
    ),
    Barrier(
        "range in the host",
        "host",
        "an amplitude that nobody judged",
        (
            Cut(
                f"{PACE}:AmplitudeGuard.judge",
                "not (to_na == 0 or self._is_level(to_na, limits))",
                "False",
            ),
        ),
        Scene(plan=GREED, who=Greedy),
        3,
        ("step in the host", "range in the device"),
    ),
    Barrier(
        "range in the device",
        "device",
        "an amplitude that nobody judged",
        (Cut(f"{STARTING}:_set_amplitude", "not (inside and", "not (True or"),),
        Scene(plan=GREED, who=Greedy),
        3,
        ("range in the host", "step in the host"),
    ),
    Barrier(
        "step in the host",
        "host",
        "a current step where a ramp was meant",
        (Cut(f"{PACE}:AmplitudeGuard.judge", "if to_na != self._beyond(present, limits):", "if False:"),),
        Scene(plan=GREED, who=Leaping),
        3,
        ("step in the device",),
    ),
    Barrier(
        "step in the device",
        "device",
        "a current step where a ramp was meant",
        (Cut(f"{STARTING}:_set_amplitude", "if request.to_na - present > one.step_na:", "if False:"),),
        Scene(plan=GREED, who=Leaping),
        3,
        ("step in the host",),
    ),
    Barrier(
        "pace in the host",
        "host",
        "amplitude raised faster than a person can feel",
        (
            Cut(
                f"{PACE}:AmplitudeGuard.judge",
                "len(self._ups) == AMPLITUDE_STEPS_PER_S and now_ns - self._ups[0] < WINDOW_NS",
                "False",
            ),
        ),
        Scene(plan={**OUTPUT_ON, "steps": (1,) * 4, "dwell_ms": 1000}),
        3,
        ("pace in the device",),
    ),
    Barrier(
        "pace in the device",
        "device",
        "amplitude raised faster than a person can feel",
        (Cut(f"{STARTING}:_set_amplitude", "len(recent) >= m.AMPLITUDE_STEPS_PER_S or", ""),),
        Scene(plan={**OUTPUT_ON, "steps": (1,) * 4, "dwell_ms": 1000}),
        3,
        ("pace in the host",),
    ),
    Barrier(
        "one step a unit",
        "device",
        "a current step where a ramp was meant: at 1 Hz three steps a second are one",
        (Cut(f"{STARTING}:_set_amplitude", "or not delivery.may_rise(request.area)", ""),),
        Scene(plan={**OUTPUT_ON, "program": "slow", "steps": (1,) * 5, "dwell_ms": 2160}),
        3,
        (),
        ("one-step-a-unit",),
    ),
    Barrier(
        "expected amplitude",
        "device",
        "edit races: a change that another change has overtaken",
        (Cut(f"{STARTING}:_set_amplitude", "if request.from_na != present:", "if False:"),),
        Scene(_steps_replayed, {**OUTPUT_ON, "steps": (-1, -1, -1), "dwell_ms": 1200}),
        8,
        ("once record", "sequence"),
        ("amplitude-as-named",),
    ),
    Barrier(
        "charge balance",
        "device",
        "charge imbalance of a failing source",
        (
            Cut(
                "neurostim_sim.monitor:OutputMonitor.look",
                "if code == see.NOTHING:",
                "if code in (see.NOTHING, see.IMBALANCE):",
            ),
        ),
        Scene(_source_fails, {**OUTPUT_ON, "program": "kilohertz", "end": "complete"}),
        6,
    ),
    Barrier(
        "recovery",
        "device",
        "charge that no passive recovery takes off the contacts",
        (
            Cut(
                "neurostim_sim.monitor:OutputMonitor.look",
                "if code == see.NOTHING:",
                "if code in (see.NOTHING, see.NO_RECOVERY):",
            ),
        ),
        Unrecovered(_switch_fails, OUTPUT_ON),
        2,
        (),
        (FOUND,),
    ),
    Barrier(
        "lead-unplug latch",
        "device",
        "an unplugged lead plugged in again",
        (Cut("neurostim_sim.strikes:_plug", "if lost:", "if False:"),),
        Scene(
            lambda dice: (
                _at_frame("lead-out", "HEARTBEAT", 9, 0),
                _at_frame("lead-in", "HEARTBEAT", 9, (5 + dice.below(30)) * MS),
            ),
            OUTPUT_ON,
        ),
        6,
    ),
    Barrier(
        "open-circuit latch",
        "device",
        "open electrode; a contact that comes back at full current",
        (Cut("neurostim_sim.hardware:Hardware.physics", "self.profile.open_ohm", "10**15"),),
        Scene(
            lambda dice: (
                _at_frame("open", "HEARTBEAT", 9, 0, 3),
                _at_frame("heal", "HEARTBEAT", 9, (200 + dice.below(200)) * MS),
            ),
            OUTPUT_ON,
        ),
        6,
    ),
    Barrier(
        "journal before fire",
        "host",
        "disk full or log failure; a dose nobody knows of after a crash",
        (Cut("neurostim.session.journal:Journal.append", "if durable:", "if False:"),),
        Scene(plan={**SHORT, "fresh": True}),
        1,
    ),
    Barrier(
        "stop repeated",
        "host",
        "a stop that the line loses",
        (
            Cut("neurostim.device.stop_path:ActiveStop.must_send", ">= gap", ">= 3_600_000_000_000"),
            Cut(
                "neurostim.device.stop_path:ActiveStop.due_ns",
                "(SLOW_REPEAT_NS if self.told else REPEAT_NS)",
                "3_600_000_000_000",
            ),
        ),
        Scene(_stop_lost, OUTPUT_ON),
        3,
        ("no heartbeat while stopping",),
    ),
    Barrier(
        "no heartbeat while stopping",
        "host",
        "a line that loses stops and carries heartbeats",
        (
            Cut(
                "neurostim.device.heart:Heart.beat",
                "feeds = control and not silent and not stopping",
                "feeds = control and not silent",
            ),
        ),
        Scene(_stop_lost, OUTPUT_ON),
        3,
        ("stop repeated",),
    ),
    Barrier(
        "stop escalates",
        "host",
        "a stop that nobody confirms",
        (
            Cut(
                "neurostim.device.stop_path:ActiveStop.must_escalate",
                "return not (self.escalated or self.emergency) and",
                "return False and",
            ),
            Cut(
                "neurostim.device.stop_path:ActiveStop.due_ns",
                "due = min(due, self.started_ns + ESCALATE_NS)",
                "pass",
            ),
        ),
        Scene(_two_stops_lost, OUTPUT_ON),
        3,
        ("no heartbeat while stopping",),
    ),
    Barrier(
        "stop overtakes",
        "host",
        "slow stop: one that waits behind other commands",
        (
            Cut(
                "neurostim.device.stop_path:StopPath.drive",
                "if stop.must_send(now_ns):",
                "if stop.must_send(now_ns) and self._outbox._unanswered:\n"
                "        stop.sent_ns = now_ns\n"
                "    elif stop.must_send(now_ns):",
            ),
        ),
        Scene(_deaf_at_stop, OUTPUT_ON),
        6,
    ),
    Barrier(
        "digest at arming",
        "device",
        "a program that changed in memory",
        (Cut(f"{STARTING}:_arm", "if not digest == slot.digest == request.image_sha256:", "if False:"),),
        Scene(_slot_turns, FRESH, sabotage=(TURNED,)),
        4,
        ("self-test of the slots", "digest in the host"),
    ),
    Barrier(
        "self-test of the slots",
        "device",
        "a program that changed in memory",
        (Cut("neurostim_sim.selftest:is_whole", "return not slot.committed or", "return True or"),),
        Scene(_slot_turns, FRESH, sabotage=(TURNED,)),
        4,
        ("digest at arming", "digest in the host"),
    ),
    Barrier(
        "digest in the host",
        "host",
        "a program that is not the one approved",
        (
            Cut(
                "neurostim.session.preparation:Preparation._compare",
                "if digest == approved.image_sha256:",
                "if True:",
            ),
            Cut("neurostim.device.scripts:load", "if done.image_sha256 != held.image_sha256:", "if False:"),
        ),
        Scene(_slot_turns, FRESH, sabotage=(TURNED,)),
        4,
        ("digest at arming", "self-test of the slots"),
    ),
    Barrier(
        "patient's range",
        "device",
        "an amplitude that nobody released",
        (
            Cut(f"{HOME}.mode:Home._step", "if not 0 <= level <= running.program.top:", "if level < 0:"),
            Cut(
                f"{HOME}.release:ReleasedProgram.amplitudes",
                "min(one.max_na, one.min_na + level * one.step_na)",
                "one.min_na + level * one.step_na",
            ),
        ),
        AtHome(_greedy_patient),
        2,
        (),
        ("approved-range",),
    ),
    Barrier(
        "start lockout",
        "device",
        "extreme cycling by a stuck or played-with button",
        (Cut(f"{HOME}.mode:Home._start", "if seconds:", "if False:"),),
        AtHome(_cycling_patient, lasts_s=24),
        2,
        (),
        ("no-cycling",),
    ),
    Barrier(
        "off after a reset at home",
        "device",
        "output that resumes by itself after a reset or a change of battery",
        (
            Cut(
                f"{HOME}.mode:Home.begin",
                "self._tell(UsageKind.BOOT, count=self._memory.boot_count)",
                "self._tell(UsageKind.BOOT, count=self._memory.boot_count)\n    self._start()",
            ),
        ),
        AtHome(_lost_at_home),
        2,
        (),
        ("patient-starts",),
    ),
    Barrier(
        "end of a release",
        "device",
        "a release that never expires",
        (
            Cut(f"{HOME}.state:HomeState.left_us", "expires_s * 1_000_000", "expires_s * 1_000_000_000"),
            Cut(f"{HOME}.mode:Home.due", "expires_s * 1_000_000", "expires_s * 1_000_000_000"),
        ),
        AtHome(_one_start, expires_s=5),
        2,
        (),
        ("inside-the-release",),
    ),
    Barrier(
        "hosts at home",
        "device",
        "a host that changes a released device without taking it back",
        (Cut(f"{HOME}.mode:Home.refuse", "if self.autonomous and not", "if False and not"),),
        AtHome(_host_at_home),
        2,
        (),
        ("hosts-change-nothing-at-home",),
    ),
    Barrier(
        "key of a paired device",
        "device",
        "forged commands: a host without a key",
        (Cut(f"{JUDGING}:_check_key", "if request.KEYED or (", "if False and ("),),
        Intruding(),
        2,
        (),
        ("others-change-nothing",),
    ),
    Barrier(
        "tag of the seal",
        "device",
        "forged commands: a frame that only looks sealed",
        (
            Cut(
                "neurostim.wire.channel:Channel.open",
                "self._receive.decrypt(_nonce(sequence), frame.payload + frame.tag, frame_header(frame))",
                'self._receive.encrypt(_nonce(sequence), frame.payload, b"")[: len(frame.payload)]',
            ),
        ),
        Meddling(sealed=True),
        2,
        (),
        (UNSEALED,),
    ),
    Barrier(
        "challenge of a pending channel",
        "device",
        "a session that ends by a first message somebody repeats",
        (
            Cut(
                "neurostim_sim.commands.keys:_handshake",
                "    link.handshakes.hold(",
                "    for other in list(device.sessions.open.values()):\n"
                "        if other.host == request.host_id:\n"
                "            device.close_session(other)\n"
                "    link.handshakes.hold(",
            ),
        ),
        Meddling(),
        2,
        (),
        (UNTOUCHED,),
    ),
    Barrier(
        "pairing lockout",
        "device",
        "guessing the code of the label",
        (Cut("neurostim_sim.commands.keys:_handshake", "if device.keyring.locked_s:", "if False:"),),
        Guessing(),
        2,
        (),
        (LOCKED,),
    ),
    Barrier(
        "key to take a device back",
        "device",
        "somebody without a key who ends what the clinic has released",
        (Cut(f"{JUDGING}:_check_key", "if request.KEYED or (", "if False and ("),),
        Intruding(at_home=True),
        2,
        (),
        ("mode-is-asked",),
    ),
    Barrier(
        "device limits at loading",
        "device",
        "over-amplitude or charge from a slip of units, in a host without a gate",
        (Cut(f"{LOADING}:_load_commit", "within_limits(device, image, request.ranges)", "pass"),),
        Unjudged(),
        1,
        ("device limits at arming",),
        ("contact-current",),
    ),
    Barrier(
        "device limits at arming",
        "device",
        "over-amplitude or charge from a slip of units, in a host without a gate",
        (Cut(f"{STARTING}:_arm", "within_limits(device, image, slot.ranges)", "pass"),),
        Unjudged(),
        1,
        ("device limits at loading",),
        ("contact-current",),
    ),
)
