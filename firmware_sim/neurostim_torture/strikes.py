"""What each fault that is none of a frame does to the world when it strikes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from neurostim.core.errors import NeurostimError
from neurostim.core.image import RETURN_INDEX
from neurostim.wire.codec import pack
from neurostim.wire.layout import Request
from neurostim.wire.messages import (
    Clear,
    FaultCode,
    Fire,
    Goodbye,
    Heartbeat,
    Role,
    SetAmplitude,
    SoftStop,
    StopCause,
)
from neurostim_torture import hands
from neurostim_torture.faults import HOST_FAULTS, LINE_FAULTS, PATIENT_FAULTS, STRANGER_FAULTS, Fault
from neurostim_torture.monitor import records as r

if TYPE_CHECKING:
    from neurostim_torture.world import World

MS: Final = 1_000_000
OFF_NS: Final = 30 * MS
SPACING_NS: Final = 2 * MS
STAYS_NS: Final = 20_000 * MS
LONGEST_JUMP_S: Final = 40 * 365 * 86_400
"""How far a time of day may be off: beyond it calendars have their own troubles [s]."""
_INJECTED: Final = {
    "stuck-sensor": "stuck-sensor",
    "mismatch": "mismatch",
    "no-recovery": "no-recovery",
    "dead-battery": "dead-battery",
    "flip-slot": "flip-slot",
    "heal": "heal",
}
_POWER: Final[dict[str, tuple[str, r.PowerWhat]]] = {
    "reset": ("reset", "reset"),
    "brown-out": ("brown-out", "brown_out"),
    "hang": ("hang", "hang"),
}


def strike(world: World, fault: Fault, name: str, frame: bytes) -> bool:
    """Let a fault happen now; return whether there was anything for it to happen to."""
    what, value = fault.what, fault.value
    if what in PATIENT_FAULTS:
        return hands.strike(world, fault)
    if what in HOST_FAULTS:
        return _strike_host(world, what, value)
    if what in LINE_FAULTS:
        return _strike_line(world, fault)
    if what in STRANGER_FAULTS:
        return _strike_stranger(world, what, value, name, frame)
    return _strike_device(world, what, value)


def supply_failed(world: World) -> None:
    """The supply has failed inside a write: it is there again a moment later."""
    medium = world.medium
    if medium.cut_after is None:
        return
    medium.cut_after = None
    world.note("brown-out-write")
    world.see(r.Power(world.now_ns, "power_cut"))

    def back() -> None:
        world.device.advance(world.now_ns)
        world.device.restart()
        world.run_device()

    world.at(world.now_ns + OFF_NS, back)


def _strike_host(world: World, what: str, value: int) -> bool:
    host = world.host
    if host is None:
        return False
    now = world.now_ns
    match what:
        case "kill":
            world.kill(host)
        case "kill-write":
            world.disk.kills_in = max(value, 1)
        case "disk":
            world.disk.fails_in = max(value, 1)
        case "time-jump":
            world.jumped_s = max(-LONGEST_JUMP_S, min(LONGEST_JUMP_S, world.jumped_s + value))
        case "stuck-thread":
            host.busy_ns = max(host.busy_ns, now + value)
        case _:
            host.freeze(now + value, value if what == "asleep" else 0)

            def thaw() -> None:
                if not host.dead and host.frozen_ns <= world.now_ns:
                    if what == "asleep":
                        host.lose_port("the port was gone after a sleep")
                    host.thaw()

            world.at(now + value, thaw)
    return True


def _strike_line(world: World, fault: Fault) -> bool:
    way, now = world.ways[fault.way], world.now_ns
    if fault.what == "clog":
        way.clogged_ns = max(way.clogged_ns, now + fault.value)
        return True
    if fault.what == "deaf":
        way.deaf_ns = max(way.deaf_ns, now + fault.value)
        return True
    if not world.plugged:
        return False
    world.plugged = False
    for one in world.ways.values():
        one.lose()
    for host in tuple(world.hosts):
        if host.frozen_ns > now:
            world.at(host.frozen_ns, lambda host=host: host.lose_port("the cable was pulled"))  # type: ignore[misc]
        else:
            host.lose_port("the cable was pulled")
    if fault.value:
        world.at(now + fault.value, lambda: _plug(world))
    return True


def _plug(world: World) -> None:
    world.plugged = True


def _strike_device(world: World, what: str, value: int) -> bool:
    device, now = world.device, world.now_ns
    if device.dead:
        return False
    if what == "brown-out-write":
        world.medium.cut_after = world.medium.writes + max(value, 1) - 1
        return False  # counted when the write comes
    if what in ("lead-out", "lead-in"):
        return _move_lead(world, out=what == "lead-out")
    if what in ("open", "short"):
        contact = value if value in device.tissue.contacts else 3
        world.see(r.Body(now, "open" if what == "open" else "short", (contact,)))
        device.inject(f"{what}:{contact}", now)
    elif what in _POWER:
        injected, told = _POWER[what]
        world.see(r.Power(now, told))
        device.inject(injected, now)
    else:
        if what == "heal":
            world.see(r.Body(now, "healed", tuple(device.tissue.contacts)))
        if what == "flip-slot":
            world.see(r.Body(now, "memory", ()))
        if what in ("mismatch", "no-recovery"):
            world.see(r.Body(now, "source", tuple(device.tissue.contacts)))
        device.inject(_INJECTED[what], now)
    world.run_device()
    return True


def _move_lead(world: World, *, out: bool) -> bool:
    device = world.device
    port = device.profile.capabilities.ports[0]
    held = tuple(
        number
        for number in device.tissue.behind(port)
        if number != RETURN_INDEX and device.tissue.contacts[number].plugged == out
    )
    if not held or (not out and not device.unplugged):
        return False
    world.see(r.Body(world.now_ns, "out" if out else "in", held))
    device.inject("unplug-lead" if out else "plug-lead", world.now_ns)
    world.run_device()
    return True


def _strike_stranger(world: World, what: str, value: int, name: str, frame: bytes) -> bool:
    if not world.plugged:
        return False
    now = world.now_ns
    if what == "replay-kind":
        if not frame:
            return False
        world.at(now + max(value, 1), lambda: world.inject(frame, "replayed"))
        return True
    if what == "replay":
        chosen = list(world.sent)[-max(value, 1) :]
        for place, old in enumerate(chosen):
            world.at(now + place * SPACING_NS, lambda old=old: world.inject(old, "replayed"))  # type: ignore[misc]
        return bool(chosen)
    if what == "forge":
        for place in range(4):
            request = _forged(value + place)
            made = pack(
                request,
                session=_session_of(world),
                sequence=(1 << 40) + place + world.dice.below(1 << 40),
                command_id=(1 << 30) + world.dice.below(1 << 30),
                lease_us=now // 1000,
                channel=_Guess() if value % 2 else None,
            )
            world.at(now + place * SPACING_NS, lambda made=made: world.inject(made, "forged"))  # type: ignore[misc]
        return True
    return _second_host(world, stops=bool(value % 2), knows=bool(value % 4 // 2))


class _Guess:
    """Seals frames as somebody does who has no key: with nonsense."""

    def seal(self, _sequence: int, _head: bytes, payload: bytes) -> bytes:
        """Payload and a tag that fits nothing."""
        return payload + bytes(16)


def _session_of(world: World) -> int:
    """Without keys a session's number is all that keeps others out; with them it may be known to anyone."""
    host = world.host
    if world.keys is not None and host is not None:
        return host.core.session
    return (1 << 31) + world.dice.below(1 << 31)


def _forged(number: int) -> Request:
    made: tuple[Request, ...] = (
        Fire(number + 1, number % 3),
        Heartbeat(number, number),
        SetAmplitude(2, 0, 2_000_000, 2_100_000),
        Clear(StopCause.STOP, FaultCode.NONE),
        SoftStop(),
        Goodbye(),
    )
    return made[number % len(made)]


def _second_host(world: World, *, stops: bool, knows: bool) -> bool:
    from neurostim_torture.host import VirtualHost

    key = world.keys.other if world.keys is not None and knows else None
    other = VirtualHost(world, 2, "observer", key)
    world.hosts.append(other)
    mine = world.host
    named = mine.core.host_id if mine is not None else bytes(16)
    other.greet(Role.CONTROL, named)

    def later() -> None:
        if not other.dead and stops:
            world.intent("stop")
            try:
                other.stop()
            except NeurostimError:
                return

    world.at(world.now_ns + 50 * MS, later)
    # Nobody stays for hours: at home that would be all that a schedule does.
    world.at(world.now_ns + STAYS_NS, lambda: world.kill(other))
    return True
