"""Devices as an earlier session left them, made once in a process: paired or not, with a program in a slot.

Most schedules begin with such a device, and with what was measured and approved for it, so that they cost
no compile and no measurement; every fourth goes the whole way from an empty one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from neurostim.safety.gate import ApprovedProgram
from neurostim_torture.keys import paired
from neurostim_torture.programs import REASON, PreparedSession, device_profile, prepared
from neurostim_torture.world import World


@dataclass(frozen=True, slots=True)
class Ready:
    """A device's lasting memory, and the approval of the program in its slot."""

    memory: bytes
    approved: ApprovedProgram


@cache
def ready(program: str, slot: int, *, keyed: bool) -> Ready:
    """Connect, measure, check, approve and load, with nothing going wrong."""
    profile = device_profile()
    world = World(0, (), profile, paired(profile) if keyed else None)
    host = world.start_host()
    host.open()
    disk = world.disk
    session = PreparedSession(
        prepared(program),
        host,
        disk.folder(),
        slot=slot,
        clock=host,
        session_id="0" * 8,
        opener=disk.opened,
        locker=disk.lock,
    )
    session.open()
    session.measure()
    verdict = session.check()
    approved = session.approve(dict.fromkeys(verdict.to_acknowledge, REASON))
    session.load()
    session.close()
    world.close()
    return Ready(bytes(world.medium.data), approved)
