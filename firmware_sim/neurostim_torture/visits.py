"""Hosts that come on the line of a device at home: to read, to stop, or to try every command there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from neurostim.core.errors import NeurostimError
from neurostim.device.tasks import Script
from neurostim.wire import messages as m
from neurostim.wire.layout import Request
from neurostim_torture.disk import HostKilled
from neurostim_torture.host import VirtualHost
from neurostim_torture.ready import SUBJECT
from neurostim_torture.world import World

WAITS_S: Final = 2.0
DIGEST: Final = bytes(range(32))
OWN, OTHER, STRANGER = 1, 2, 7


def visit(world: World, value: int) -> None:
    """Let a host come, do what it came for, and leave; errors are what it meets."""
    kind = value % 6
    if kind == MISUSED_KIND and not world.released:
        # Whoever holds the key commands a device that is not released: there is nothing to be kept from.
        return
    host = _host(world, kind)
    try:
        host.open(m.Role.CONTROL)
        _ACTS[kind](world, host)
        host.close()
    except (NeurostimError, HostKilled):
        pass
    world.kill(host)


def _host(world: World, kind: int) -> VirtualHost:
    keys = world.keys
    if kind in OWN_KINDS:
        return world.host or world.start_host()
    if kind == STRANGER_KIND:
        made = VirtualHost(world, STRANGER, "forged")
    elif kind == MISUSED_KIND:
        # With the own host's key, and without its person: what it does nobody has asked for.
        made = VirtualHost(world, OWN, "observer", None if keys is None else keys.own)
    else:
        made = VirtualHost(world, OTHER, "observer", None if keys is None else keys.other)
    world.hosts.append(made)
    return made


def _read(_world: World, host: VirtualHost) -> None:
    host.status().result(WAITS_S)
    host.home.release_state().result(WAITS_S)
    host.home.usage().result(WAITS_S)


def _stop(world: World, host: VirtualHost) -> None:
    world.intent("stop")
    host.stop().result(WAITS_S)


def _emergency(world: World, host: VirtualHost) -> None:
    world.intent("emergency")
    host.stop(emergency=True).result(WAITS_S)


def _try_everything(world: World, host: VirtualHost) -> None:
    """Each command that changes anything, as a host sends it that knows what the device holds."""
    for request in _commands(world):
        try:
            host._run(request.NAME, _one(request), changes=True).result(WAITS_S)
        except NeurostimError:
            if host.core.uncertain is not None:
                host.settle_by_decision("a refusal was awaited")


def _one(request: Request) -> Script[None]:
    yield request


def _commands(world: World) -> tuple[Request, ...]:
    memory = world.device.memory
    slot = next((one for one in memory.slots if one.committed), memory.slots[0])
    count, image, approval = memory.dose_count, slot.digest, slot.approval
    ranges = (m.RangeOfArea(0, 0, 2_000_000, 100_000),)
    return (
        m.Subject(SUBJECT),
        m.LoadBegin(1, 200, DIGEST),
        m.LoadChunk(1, 0, DIGEST),
        m.LoadCommit(1, DIGEST, ranges),
        m.Arm(m.ArmKind.STIMULATION, 0, image, approval),
        m.Arm(m.ArmKind.IMPEDANCE, 0, bytes(32), bytes(32)),
        m.Fire(1 + world.dice.below(1 << 31), count),
        m.ImpedanceFire(1 + world.dice.below(1 << 31), count, 0xFF),
        m.SetAmplitude(count, 0, 1_600_000, 1_700_000),
        m.Clear(m.StopCause(memory.cause), m.FaultCode(memory.fault)),
        m.ReleaseBegin(SUBJECT, 7_776_000, False, 1),
        m.ReleaseSlot(0, "more", image, approval),
        m.ReleaseRanges(0, ranges),
        m.ReleaseCommit(DIGEST),
        m.Assign("P-018"),
        m.Retire(SUBJECT, DIGEST, "wiped"),
        m.Unpair(bytes(15) + b"\2"),
        m.TakeBack(SUBJECT, DIGEST),
        m.TakeBack("P-018", world.device.home.usage.sha256),
    )


OWN_KINDS: Final = (0, 2)
MISUSED_KIND: Final = 1
STRANGER_KIND: Final = 4
_ACTS: Final[tuple[Callable[[World, VirtualHost], Any], ...]] = (
    _read,
    _try_everything,
    _stop,
    _try_everything,
    _try_everything,
    _emergency,
)
