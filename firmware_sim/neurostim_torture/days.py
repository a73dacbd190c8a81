"""Draws a patient's day at home: what their hands do, what happens to lead and device, and who comes by."""

from __future__ import annotations

from typing import Final

from neurostim_sim.servers.line import Dice
from neurostim_torture.clinic import LEAVES_NS, HomePlan
from neurostim_torture.faults import ANY, FRAME_FAULTS, WAYS, Fault
from neurostim_torture.generate import value_of

MS: Final = 1_000_000
SECOND_NS: Final = 1_000_000_000

_KEYS: Final = (
    "USAGE", "USAGE", "USAGE_DIGEST", "TAKE_BACK", "TAKE_BACK", "TAKE_BACK", "HELLO", "HANDSHAKE", "SUBJECT",
    "STATUS", "RELEASE_INFO", "HEARTBEAT", "SOFT_STOP", "STOP",
)  # fmt: skip
_RELEASING: Final = (
    "RELEASE_BEGIN", "RELEASE_SLOT", "RELEASE_RANGES", "RELEASE_COMMIT", "RELEASE_COMMIT", "RELEASE_INFO",
)  # fmt: skip
_AT_FRAMES: Final = (
    "kill", "kill", "kill-write", "disk", "reset", "brown-out-write", "brown-out-write", "hang", "cut",
    "battery-change", "press-start", "freeze", "asleep", "deaf", "clog", "replay", "replay-kind", "forge",
    "second-host", "time-jump", "off-button",
)  # fmt: skip
_AT_TIMES: Final = (
    "reset", "brown-out", "brown-out-write", "brown-out-write", "hang", "off-button", "battery-change",
    "lead-out", "lead-in", "stuck-sensor", "open", "short", "heal", "flip-slot", "mismatch", "dead-battery",
    "forge", "replay", "second-host", "visit", "visit", "visit", "time-jump", "cut",
)  # fmt: skip
_HANDS: Final = ("press-up", "press-up", "press-up", "press-down", "press-switch", "press-start", "hold")
_ENDS: Final = ("press-stop", "press-stop", "press-switch", "off-button", "battery-change", "reset", "visit")


def home(dice: Dice, plan: HomePlan) -> tuple[Fault, ...]:
    """Some stretches of use with hours between, and faults at the frames of the clinic."""
    found: list[Fault] = []
    if dice.below(3) == 0:
        found.append(Fault("skew", value=value_of("skew", dice)))
    times = 1 + dice.below(3)
    span = (plan.lasts_ns - LEAVES_NS) // times
    for turn in range(times):
        begin = LEAVES_NS + turn * span + dice.below(span // 2 // MS) * MS
        found += _use(dice, begin, span // 3)
    if plan.expires_s * SECOND_NS < plan.lasts_ns and dice.below(2):
        # A start that is under way when the release ends.
        found.append(Fault("press-start", at_ns=plan.expires_s * SECOND_NS - dice.below(90_000) * MS))
    for _ in range(dice.below(3)):
        found.append(_timed(dice, LEAVES_NS + dice.below((plan.lasts_ns - LEAVES_NS) // MS) * MS))
    for _ in range(dice.below(4)):
        keys = (*_KEYS, *_RELEASING, *_RELEASING) if plan.releases else _KEYS
        key, way = keys[dice.below(len(keys))], WAYS[dice.below(2)]
        nth = 1 + dice.below(3)
        if dice.below(3) == 0:
            frames = tuple(FRAME_FAULTS)
            what = frames[dice.below(len(frames))]
            found.append(Fault(what, way, key, nth, value=value_of(what, dice)))
        else:
            what = _AT_FRAMES[dice.below(len(_AT_FRAMES))]
            when = (0, 350_000, MS, dice.below(600) * MS)[dice.below(4)]
            found.append(Fault(what, way, key, nth, at_ns=when, value=value_of(what, dice)))
    if dice.below(4) == 0:
        what = ("kill", "cut", "drop", "flip-many")[dice.below(4)]
        found.append(Fault(what, "host", ANY, 1 + dice.below(60), value=value_of(what, dice)))
    return tuple(found)


def _use(dice: Dice, begin: int, longest: int) -> list[Fault]:
    """One stretch of use; what is to go wrong in it goes wrong while output is on."""
    if dice.below(6) == 0:
        return _played_with(dice, begin)
    found = [Fault("press-start", at_ns=begin)]
    now = begin + (300 + dice.below(7000)) * MS
    for _ in range(dice.below(7)):
        what = _HANDS[dice.below(len(_HANDS))]
        found.append(Fault(what, at_ns=now, value=value_of(what, dice)))
        if what == "hold":
            now += dice.below(3000) * MS
            found.append(Fault("let-go", at_ns=now))
        now += (30, 150, 340, 700, 2500)[dice.below(5)] * MS + dice.below(100) * MS
    found += [_timed(dice, now + dice.below(9000) * MS) for _ in range(dice.below(3))]
    # Now and then output stays on for long.
    now += min(longest, (5 + dice.below(15) if dice.below(8) else 60 + dice.below(240)) * SECOND_NS)
    end = _ENDS[dice.below(len(_ENDS))]
    found.append(Fault(end, at_ns=now, value=value_of(end, dice)))
    found += [Fault("press-stop", at_ns=now + wait * MS) for wait in (700, 4_000)]
    return found


def _played_with(dice: Dice, begin: int) -> list[Fault]:
    """Started and stopped again and again."""
    found, now = [], begin
    for _ in range(4 + dice.below(6)):
        found.append(Fault("press-start", at_ns=now))
        now += (2_500 + dice.below(3_000)) * MS
        end = ("press-stop", "press-stop", "off-button")[dice.below(3)]
        found.append(Fault(end, at_ns=now))
        now += (1_200 + dice.below(4_000)) * MS
    return found


def _timed(dice: Dice, at_ns: int) -> Fault:
    what = _AT_TIMES[dice.below(len(_AT_TIMES))]
    return Fault(what, WAYS[dice.below(2)], at_ns=at_ns, value=value_of(what, dice))
