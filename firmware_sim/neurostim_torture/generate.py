"""Draws schedules from seeds: uniform faults, faults keyed to what matters, and bursts that clog the line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Final

from neurostim.core.errors import ConfigError
from neurostim_sim.servers.line import Dice
from neurostim_torture.faults import (
    ANY,
    DEVICE_FAULTS,
    FRAME_FAULTS,
    HOST_FAULTS,
    LINE_FAULTS,
    STRANGER_FAULTS,
    WAYS,
    Fault,
)
from neurostim_torture.person import Plan
from neurostim_torture.schedule import Schedule

MS: Final = 1_000_000
KEYS: Final = ("ARM", "FIRE", "HEARTBEAT", "STOP", "SOFT_STOP", "EMERGENCY_STOP", "LOAD_COMMIT")
SPAN_MS: Final = 2_500
FRAMES: Final = 60
MOST: Final = {"HEARTBEAT": 20, "STATUS": 4, "COUNTERS": 4, "TELEMETRY": 12, "STATE_CHANGED": 4}
"""How many frames of a kind a schedule usually has; two of any other."""
WORLD_FAULTS: Final = tuple(
    name
    for name in (*LINE_FAULTS, *HOST_FAULTS, *DEVICE_FAULTS, *STRANGER_FAULTS)
    if name not in ("replay-kind", "no-recovery")
)
HANDS_FAULTS: Final = ("press-stop", "off-button", "battery-change", "press-start")
"""What a hand may do to a device that a host supervises."""

_PAUSES_MS: Final = (0, 1, 3, 20, 90, 150, 240, 290, 310, 360, 450, 520, 800, 1100, 2100, 5200)
_CONTACTS: Final = tuple(range(1, 9))


def value_of(what: str, dice: Dice) -> int:
    """How much, how long or which, for one kind of fault."""
    long_ns = _PAUSES_MS[dice.below(len(_PAUSES_MS))] * MS + dice.below(3 * MS)
    match what:
        case "flip" | "truncate" | "merge":
            return dice.below(640)
        case "flip-many":
            return dice.below(1 << 20)
        case "time-jump":
            return dice.below(4_000_000) - 2_000_000
        case "bytes":
            return dice.below(400_000)
        case "delay" | "duplicate" | "reorder" | "clog" | "deaf" | "freeze" | "stuck-thread" | "asleep":
            return long_ns
        case "replay-kind":
            return long_ns
        case "cut":
            return 0 if dice.below(4) == 0 else long_ns
        case "kill-write" | "disk":
            return 1 + dice.below(20)
        case "brown-out-write":
            return 1 + dice.below(12)
        case "skew":
            return dice.below(2001) - 1000
        case "open" | "short":
            return _CONTACTS[dice.below(len(_CONTACTS))]
        case "replay":
            return 1 + dice.below(30)
        case _:
            return dice.below(100)


def keys_of(plan: Plan) -> tuple[str, ...]:
    """Messages that a person with this plan is likely to bring on the line."""
    ends = {"soft": "SOFT_STOP", "emergency": "EMERGENCY_STOP"}
    found = ["ARM", "FIRE", "FIRE", "HEARTBEAT", "HEARTBEAT", "HELLO", "STATUS", "COUNTERS", "DOSE"]
    found += [
        "TELEMETRY",
        "STATE_CHANGED",
        "SLOT_INFO",
        ends.get(plan.end, "STOP"),
        ends.get(plan.end, "STOP"),
    ]
    if plan.steps:
        found += ["SET_AMPLITUDE", "SET_AMPLITUDE"]
    if plan.keyed:
        found.append("HANDSHAKE")
    if plan.fresh:
        found += ["LOAD_BEGIN", "LOAD_CHUNK", "LOAD_COMMIT", "IMPEDANCE_FIRE", "IMPEDANCE_READ"]
    if plan.clears and plan.doses > 1:
        found.append("CLEAR")
    return tuple(found)


def _timed(what: str, dice: Dice) -> Fault:
    return Fault(
        what,
        WAYS[dice.below(2)],
        at_ns=0 if what == "skew" else dice.below(SPAN_MS * 1000) * 1000,
        value=value_of(what, dice),
    )


def _frame(what: str, dice: Dice, key: str = ANY, most: int = FRAMES) -> Fault:
    return Fault(what, WAYS[dice.below(2)], key, 1 + dice.below(most), value=value_of(what, dice))


def uniform(dice: Dice, _plan: Plan) -> tuple[Fault, ...]:
    """Any faults at any times."""
    found = []
    frames = tuple(FRAME_FAULTS)
    for _ in range(1 + dice.below(4)):
        if dice.below(2):
            found.append(_frame(frames[dice.below(len(frames))], dice))
        else:
            everything = (*WORLD_FAULTS, *HANDS_FAULTS)
            found.append(_timed(everything[dice.below(len(everything))], dice))
    return tuple(found)


def keyed(dice: Dice, plan: Plan) -> tuple[Fault, ...]:
    """Faults before, at and after the frames on which everything turns."""
    found = []
    frames = tuple(FRAME_FAULTS)
    for _ in range(1 + dice.below(3)):
        keys = keys_of(plan)
        key = keys[dice.below(len(keys))]
        most = MOST.get(key, 2)
        if dice.below(2):
            found.append(_frame(frames[dice.below(len(frames))], dice, key, most))
            continue
        everything = (*WORLD_FAULTS, *HANDS_FAULTS, "replay-kind")
        what = everything[dice.below(len(everything))]
        if what == "skew":
            found.append(_timed(what, dice))
            continue
        # Before the frame arrives, just after the device has answered, or some time later.
        when = (0, 0, 350_000, 1 * MS, 90 * MS, dice.below(600) * MS)[dice.below(6)]
        way = WAYS[dice.below(2)] if dice.below(2) else "host"
        found.append(Fault(what, way, key, 1 + dice.below(most), at_ns=when, value=value_of(what, dice)))
    return tuple(found)


def bursts(dice: Dice, _plan: Plan) -> tuple[Fault, ...]:
    """Stretches in which a line loses, holds back or mixes up everything, around a key or at a time."""
    first = 1 + dice.below(FRAMES)
    way = WAYS[dice.below(2)]
    mixed = tuple(FRAME_FAULTS)
    found = [
        Fault(
            mixed[dice.below(len(mixed))],
            way if dice.below(4) else WAYS[dice.below(2)],
            ANY,
            first + place,
            value=value_of("delay", dice) // 4,
        )
        for place in range(3 + dice.below(10))
    ]
    for _ in range(1 + dice.below(2)):
        what = ("clog", "deaf", "clog", "freeze", "replay")[dice.below(5)]
        if dice.below(2):
            key = KEYS[dice.below(len(KEYS))]
            found.append(Fault(what, WAYS[dice.below(2)], key, 1 + dice.below(3), value=value_of(what, dice)))
        else:
            found.append(_timed(what, dice))
    return tuple(found)


GENERATORS: Final[dict[str, Callable[[Dice, Plan], tuple[Fault, ...]]]] = {
    "uniform": uniform,
    "keyed": keyed,
    "bursts": bursts,
}
MIXED: Final = "mixed"
HOME: Final = "home"
ALL: Final = (*GENERATORS, HOME)
_TURNS: Final = ("uniform", "keyed", "bursts", "keyed", "uniform", "keyed", "bursts", HOME)


def drawn(seed: int, generator: str = MIXED) -> Schedule:
    """The schedule of a seed.

    Parameters
    ----------
    seed : int
    generator : str
        One of `ALL`, or `MIXED`: each of them in turn, the keyed one oftener, one of eight at home.

    Raises
    ------
    ConfigError
        For an unknown generator.
    """
    if generator == MIXED:
        generator = _TURNS[seed % len(_TURNS)]
    if generator not in ALL:
        raise ConfigError(
            f"there is no generator {generator!r}",
            allowed=", ".join([*ALL, MIXED]),
            code="generator",
        )
    # Through a digest: the streams of neighbouring seeds must have nothing in common.
    start = hashlib.sha256(f"{generator}:{seed}".encode()).digest()
    dice = Dice(int.from_bytes(start[:8], "little"))
    if generator == HOME:
        from neurostim_torture.clinic import HomePlan
        from neurostim_torture.days import home

        return Schedule(seed, home(dice, HomePlan.drawn(seed)), home=True)
    return Schedule(seed, GENERATORS[generator](dice, Plan.drawn(seed)))
