"""Somebody without a key at the line of a paired device: loads a program of their own, or takes it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from neurostim.core.errors import NeurostimError
from neurostim.device.tasks import Script
from neurostim.safety.gate import ApprovedProgram
from neurostim.wire import messages as m
from neurostim_torture.host import VirtualHost
from neurostim_torture.keys import paired
from neurostim_torture.programs import NAMES, device_profile
from neurostim_torture.ready import SUBJECT, home_ready, ready
from neurostim_torture.schedule import Outcome, Schedule, judged
from neurostim_torture.world import World

MS: Final = 1_000_000
NUMBER: Final = 9


@dataclass(frozen=True, slots=True)
class Intruding:
    """A scene: the intruder alone with a paired device; ``at_home``: with one that is released."""

    at_home: bool = False

    def run(self, seed: int) -> Outcome:
        """Let the intruder try, and judge."""
        profile = device_profile()
        approved, memory = self._made(seed)
        world = World(seed, (), profile, paired(profile), memory)
        world.run_device()
        world.pass_ns(50 * MS)
        intruder = VirtualHost(world, NUMBER, "forged")
        world.hosts.append(intruder)
        try:
            intruder.open()
            if self.at_home:
                intruder._run("TAKE_BACK", _take_back(), changes=True).result(2.0)
            else:
                intruder.load(approved, 1).result(2.0)
        except NeurostimError:
            pass
        world.kill(intruder)
        world.pass_ns(1_000 * MS)
        return judged(world, Schedule(seed))

    def _made(self, seed: int) -> tuple[ApprovedProgram, bytes]:
        """What is approved, and what the device holds."""
        if self.at_home:
            home = home_ready(seed % 2, 600, corridor=False, released=True)
            return home.approved[0], home.memory
        made = ready(NAMES[seed % len(NAMES)], 0, keyed=True)
        return made.approved, made.memory


def _take_back() -> Script[None]:
    """As the clinic does it; only that nobody has proven to be the clinic."""
    yield m.Subject(SUBJECT)
    read: Any = yield m.UsageDigest()
    yield m.TakeBack(SUBJECT, read.usage_sha256)
