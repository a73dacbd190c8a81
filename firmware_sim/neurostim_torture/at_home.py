"""A released device in the hands of a scripted patient, and a host that should leave it alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from neurostim.core.errors import NeurostimError
from neurostim.wire.messages import RangeOfArea
from neurostim_sim.home.controls import Button
from neurostim_sim.home.release import Release, ReleasedProgram
from neurostim_torture import programs
from neurostim_torture.monitor import Monitor
from neurostim_torture.monitor import records as r
from neurostim_torture.ready import ready
from neurostim_torture.schedule import Outcome, Schedule, books_of, setting_of
from neurostim_torture.world import World

MS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000
SLOT: Final = 0
PATIENT_STEPS: Final = 4

What = Literal["start", "up", "down", "stop", "off", "reset", "battery", "host"]
_BUTTONS: Final = {"start": Button.START, "up": Button.UP, "down": Button.DOWN, "stop": Button.STOP}
_INTENTS: Final[dict[str, r.IntentWhat]] = {
    "start": "patient_start",
    "up": "patient_up",
    "down": "patient_down",
    "stop": "patient_stop",
}


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens at home, at a true time [ns]."""

    at_ns: int
    what: What


class HomeWorld(World):
    """A world in which the device is released: what flows, the patient has begun."""

    def see(self, record: r.Record) -> None:
        """Tell the monitor."""
        if isinstance(record, r.Flow) and self.device.home.autonomous:
            record = replace(record, by="patient")
        super().see(record)


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
    world = HomeWorld(seed, (), programs.device_profile(), memory=made.memory)
    approved = made.approved
    ranges = tuple(
        RangeOfArea(one.area, one.min_na, one.min_na + PATIENT_STEPS * one.step_na, one.step_na)
        for one in approved.ranges
    )
    own = ReleasedProgram(SLOT, "home", approved.image_sha256, approved.approval_sha256, ranges)
    release = Release(1, "", expires_s, False, 0, [own])
    world.approve(approved)
    key = approved.image_sha256.hex(), approved.approval_sha256.hex()
    program = world.programs[key]
    world.programs[key] = replace(
        program,
        areas=tuple(
            replace(area, patient=r.Range(one.min_na, one.max_na, one.step_na))
            for area, one in zip(program.areas, ranges, strict=True)
        ),
    )
    home = world.device.home
    home.release_now(release, release.digest())
    # The contacts were read at the release.
    home.state.kept["measured_us"] = home.state.powered_us
    until = world.now_ns + expires_s * SECOND_NS
    world.see(r.Intent(world.now_ns, "release", slots=(program.digest,), until_ns=until))
    for act in acts:
        world.at(act.at_ns, lambda act=act: _happen(world, act))  # type: ignore[misc]
    world.run_device()
    world.pass_ns(lasts_ns)
    world.close()
    world.see(books_of(world))
    monitor = Monitor(setting_of(world))
    for record in world.records:
        monitor.see(record)
    return Outcome(
        Schedule(seed),
        virtual_ns=world.now_ns,
        doses=world.device.memory.dose_count - world.doses_at_start,
        violations=tuple(monitor.finish()),
        crashes=tuple(world.crashes),
    )


def _happen(world: World, act: Act) -> None:
    device = world.device
    if act.what in _BUTTONS:
        world.see(r.Intent(world.now_ns, _INTENTS[act.what], device.memory.dose_count))
        device.advance(world.now_ns)
        device.press(_BUTTONS[act.what])
    elif act.what == "off":
        world.see(r.Power(world.now_ns, "off_button"))
        device.advance(world.now_ns)
        device.off_button()
    elif act.what == "reset":
        world.see(r.Power(world.now_ns, "reset"))
        device.inject("reset", world.now_ns)
    elif act.what == "battery":
        world.see(r.Power(world.now_ns, "battery"))
        device.advance(world.now_ns)
        device.change_battery()
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
