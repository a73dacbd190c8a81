"""Devices as an earlier session left them, made once in a process: paired or not, with a program in a slot.

Most schedules begin with such a device, and with what was measured and approved for it, so that they cost
no compile and no measurement; every fourth goes the whole way from an empty one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from neurostim.safety.gate import ApprovedProgram
from neurostim.session.home import HomeSession
from neurostim.wire.release import Release, ReleaseSlot
from neurostim_torture.keys import paired
from neurostim_torture.programs import (
    HOME_NAMES,
    REASON,
    PreparedSession,
    device_profile,
    patient_ranges,
    prepared,
)
from neurostim_torture.world import World

SUBJECT: Final = "P-017"


@dataclass(frozen=True, slots=True)
class Ready:
    """A device's lasting memory, and the approval of the program in its slot."""

    memory: bytes
    approved: ApprovedProgram


@cache
def ready(program: str, slot: int, *, keyed: bool) -> Ready:
    """Connect, measure, check, approve and load, with nothing going wrong."""
    world = _connected(keyed=keyed)
    approved = _loaded(world, program, slot)
    world.close()
    return Ready(bytes(world.medium.data), approved)


@dataclass(frozen=True, slots=True)
class HomeReady:
    """A device that is assigned, with both programs for home loaded, released or not; and that release."""

    memory: bytes
    approved: tuple[ApprovedProgram, ...]
    release: Release


@cache
def home_ready(first: int, expires_s: int, *, corridor: bool, released: bool) -> HomeReady:
    """Load the programs for home, assign the device and, where wanted, release it, with nothing going wrong.

    Parameters
    ----------
    first : int
        Which program is chosen at the beginning: 0 or 1.
    expires_s : int
        How long the release is for [s].
    corridor, released : bool
    """
    world = _connected(keyed=True)
    names = HOME_NAMES[first:] + HOME_NAMES[:first]
    approved = tuple(_loaded(world, name, slot) for slot, name in enumerate(names))
    slots = [
        ReleaseSlot(slot, names[slot], one.image_sha256, one.approval_sha256, patient_ranges(one))
        for slot, one in enumerate(approved)
    ]
    release = Release(SUBJECT, expires_s, corridor, tuple(slots))
    session = home_session(world, "f" * 8, None)
    session.open()
    session.assign(SUBJECT)
    session.close()
    if released:
        session = home_session(world, "e" * 8, SUBJECT)
        session.open()
        session.release(release)
        session.close()
    world.close()
    return HomeReady(bytes(world.medium.data), approved, release)


def home_session(world: World, name: str, subject: str | None) -> HomeSession:
    """A session of the clinic, at the person's own host."""
    host, disk = world.host, world.disk
    assert host is not None
    return HomeSession(
        host,
        None,
        (),
        disk.folder(),  # type: ignore[arg-type]
        subject=subject,
        clock=host,
        session_id=name,
        opener=disk.opened,
        locker=disk.lock,
    )


def _connected(*, keyed: bool) -> World:
    profile = device_profile()
    world = World(0, (), profile, paired(profile) if keyed else None)
    world.start_host().open()
    return world


def _loaded(world: World, program: str, slot: int) -> ApprovedProgram:
    host, disk = world.host, world.disk
    session = PreparedSession(
        prepared(program),
        host,
        disk.folder(),
        slot=slot,
        clock=host,
        session_id=f"{slot:08x}",
        opener=disk.opened,
        locker=disk.lock,
    )
    session.open()
    session.measure()
    verdict = session.check()
    approved = session.approve(dict.fromkeys(verdict.to_acknowledge, REASON))
    session.load()
    session.close()
    return approved
