"""A scene at home for the table of barriers: a released device, a scripted patient, and a host that meddles.

What happens is the same as in every schedule (see `neurostim_torture.hands`); only that the device was put
into its state without a clinic, so that a barrier's loss shows by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from neurostim.core.errors import NeurostimError
from neurostim_sim.home.release import Release, ReleasedProgram
from neurostim_sim.servers.line import Dice
from neurostim_torture import programs
from neurostim_torture.faults import Fault
from neurostim_torture.ready import ready
from neurostim_torture.schedule import Outcome, Schedule, judged
from neurostim_torture.world import World

MS: Final = 1_000_000
SLOT: Final = 0

What = Literal["start", "up", "down", "stop", "off", "reset", "battery", "host"]
_FAULTS: Final = {
    "start": "press-start",
    "up": "press-up",
    "down": "press-down",
    "stop": "press-stop",
    "off": "off-button",
    "reset": "reset",
    "battery": "battery-change",
}


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens at home, at a true time [ns]."""

    at_ns: int
    what: What


def live(seed: int, acts: Sequence[Act], *, expires_s: int, lasts_ns: int) -> Outcome:
    """Release a device, let things happen, and judge.

    Parameters
    ----------
    seed : int
    acts : sequence of Act
    expires_s : int
        When the release ends [s].
    lasts_ns : int
        How long it is watched [ns].
    """
    made = ready("home", SLOT, keyed=False)
    world = World(seed, (), programs.device_profile(), memory=made.memory)
    approved = made.approved
    own = ReleasedProgram(
        SLOT, "home", approved.image_sha256, approved.approval_sha256, programs.patient_ranges(approved)
    )
    release = Release(1, "", expires_s, False, 0, [own])
    world.release(approved)
    home = world.device.home
    home.release_now(release, release.digest())
    # The contacts were read at the release.
    home.state.kept["measured_us"] = home.state.powered_us
    world.released, world.release_lasts_s = True, expires_s
    world.tell_release()
    for act in acts:
        world.at(act.at_ns, lambda act=act: _happen(world, act))  # type: ignore[misc]
    world.run_device()
    world.pass_ns(lasts_ns)
    return judged(world, Schedule(seed))


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


def greedy_patient(dice: Dice) -> tuple[Act, ...]:
    """A start, and more steps up than there are."""
    steps = (Act((3500 + 450 * step + dice.below(30)) * MS, "up") for step in range(8))
    return (Act((300 + dice.below(500)) * MS, "start"), *steps)


def cycling_patient(dice: Dice) -> tuple[Act, ...]:
    """On and off, and on again."""
    return tuple(
        Act((500 + 3000 * time + (0 if what == "start" else 1200) + dice.below(50)) * MS, what)
        for time in range(7)
        for what in ("start", "stop")
    )


def one_start(dice: Dice) -> tuple[Act, ...]:
    """One start."""
    return (Act((300 + dice.below(900)) * MS, "start"),)


def lost_at_home(dice: Dice) -> tuple[Act, ...]:
    """A start, and the device restarts or gets another battery."""
    what: What = "reset" if dice.below(2) else "battery"
    return (*one_start(dice), Act((3000 + dice.below(2000)) * MS, what))


def host_at_home(dice: Dice) -> tuple[Act, ...]:
    """A start, and a host that loads another program."""
    return (*one_start(dice), Act((3000 + dice.below(2000)) * MS, "host"))


def _happen(world: World, act: Act) -> None:
    if act.what in _FAULTS:
        world.strike(Fault(_FAULTS[act.what]), "", b"")
    else:
        _meddle(world)
        world.run_device()


def _meddle(world: World) -> None:
    """A host connects and loads another program."""
    host = world.start_host()
    try:
        host.open()
        host.load(ready("home", SLOT, keyed=False).approved, 1).result(2.0)
    except NeurostimError:
        return
