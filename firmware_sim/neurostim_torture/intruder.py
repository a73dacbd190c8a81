"""Somebody without a key at the line of a paired device: connects, and loads a program of their own."""

from __future__ import annotations

from typing import Final

from neurostim.core.errors import NeurostimError
from neurostim_torture.host import VirtualHost
from neurostim_torture.keys import paired
from neurostim_torture.monitor import Monitor
from neurostim_torture.programs import NAMES, device_profile
from neurostim_torture.ready import ready
from neurostim_torture.schedule import Outcome, Schedule, books_of, setting_of
from neurostim_torture.world import World

MS: Final = 1_000_000
NUMBER: Final = 9


class Intruding:
    """A scene: the intruder alone with a paired device."""

    def run(self, seed: int) -> Outcome:
        """Let the intruder try, and judge."""
        profile = device_profile()
        made = ready(NAMES[seed % len(NAMES)], 0, keyed=True)
        world = World(seed, (), profile, paired(profile), made.memory)
        world.run_device()
        world.pass_ns(50 * MS)
        intruder = VirtualHost(world, NUMBER, "forged")
        world.hosts.append(intruder)
        try:
            intruder.open()
            intruder.load(made.approved, 1).result(2.0)
        except NeurostimError:
            pass
        world.kill(intruder)
        world.pass_ns(1_000 * MS)
        world.close()
        world.see(books_of(world))
        monitor = Monitor(setting_of(world))
        for record in world.records:
            monitor.see(record)
        return Outcome(
            Schedule(seed),
            virtual_ns=world.now_ns,
            violations=tuple(monitor.finish()),
            crashes=tuple(world.crashes),
        )
