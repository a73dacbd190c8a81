"""Faults drawn for the scenes: each in which one or a few barriers are needed."""

from __future__ import annotations

from typing import Final

from neurostim_sim.servers.line import Dice
from neurostim_torture.barriers.scenes.scene import Faults
from neurostim_torture.faults import Fault

MS: Final = 1_000_000


def _frame(what: str, way: str, key: str, nth: int = 1, value: int = 0) -> Fault:
    return Fault(what, way, key, nth, value=value)


def _at_frame(what: str, key: str, nth: int, after_ns: int, value: int = 0, way: str = "host") -> Fault:
    return Fault(what, way, key, nth, at_ns=after_ns, value=value)


def killed(dice: Dice) -> tuple[Fault, ...]:
    """The host's program is killed while output is on."""
    return (_at_frame("kill", "HEARTBEAT", 8 + dice.below(8), dice.below(100) * MS),)


def killed_and_replayed(dice: Dice) -> tuple[Fault, ...]:
    """The program is killed, and its heartbeats are put on the line again a little later."""
    nth = 8 + dice.below(6)
    later = tuple(
        _at_frame("replay-kind", "HEARTBEAT", nth - back, 0, (250 + 60 * back + dice.below(60)) * MS)
        for back in range(3)
    )
    return (_at_frame("kill", "HEARTBEAT", nth, MS), *later)


def replayed_for_long(dice: Dice) -> tuple[Fault, ...]:
    """The program is killed, and its last heartbeat is put on the line again and again."""
    nth = 8 + dice.below(6)
    again = tuple(
        _at_frame("replay-kind", "HEARTBEAT", nth, 0, (270 + 250 * time + dice.below(20)) * MS)
        for time in range(5)
    )
    return (_at_frame("kill", "HEARTBEAT", nth, MS), *again)


def stuck(dice: Dice) -> tuple[Fault, ...]:
    """The thread that serves the person stands still, that of the link goes on."""
    return (_at_frame("stuck-thread", "HEARTBEAT", 8 + dice.below(6), 0, (2500 + dice.below(1000)) * MS),)


def answers_lost(dice: Dice) -> tuple[Fault, ...]:
    """An answer to a command that changes something is lost, so that the command is sent again."""
    key = ("FIRE", "ARM", "SET_AMPLITUDE", "CLEAR")[dice.below(3)]
    return (_frame("drop", "device", key), _frame("duplicate", "host", key, 1, dice.below(40) * MS))


def injected(what: str) -> Faults:
    """A fault of the device while output is on."""

    def faults(dice: Dice) -> tuple[Fault, ...]:
        return (_at_frame(what, "HEARTBEAT", 8 + dice.below(6), dice.below(100) * MS, 1 + dice.below(8)),)

    return faults


def source_fails(dice: Dice) -> tuple[Fault, ...]:
    """The recharge source falls by 1 % early in a dose of 10 kHz."""
    return (_at_frame("mismatch", "HEARTBEAT", 3 + dice.below(5), dice.below(100) * MS),)


def switch_fails(dice: Dice) -> tuple[Fault, ...]:
    """The switch of the passive recovery does not close any more."""
    return (_at_frame("no-recovery", "HEARTBEAT", 6 + dice.below(5), dice.below(100) * MS),)


def stop_lost(dice: Dice) -> tuple[Fault, ...]:
    """The line loses the first stop, and the first emergency stop after it."""
    return (_frame("drop", "host", "STOP"), _frame("drop", "host", "EMERGENCY_STOP"))


def two_stops_lost(dice: Dice) -> tuple[Fault, ...]:
    """The line loses every stop that is not an emergency stop."""
    return tuple(_frame("drop", "host", "STOP", nth) for nth in range(1, 30))


def deaf_at_stop(dice: Dice) -> tuple[Fault, ...]:
    """The answers of the device are lost while the person stops."""
    return (Fault("deaf", "device", "HEARTBEAT", 21 + dice.below(3), value=(900 + dice.below(100)) * MS),)


def reset_and_killed(dice: Dice) -> tuple[Fault, ...]:
    """The device restarts while its output is on, and the host's program is gone, too."""
    nth, when = 8 + dice.below(6), dice.below(100) * MS
    return (
        _at_frame("reset", "HEARTBEAT", nth, when),
        _at_frame("kill", "HEARTBEAT", nth, when + 100_000),
    )


def reset_after_stop(dice: Dice) -> tuple[Fault, ...]:
    """The device restarts after a stop, and the host's program is gone, too."""
    when = (20 + dice.below(60)) * MS
    return (_at_frame("reset", "STOP", 1, when), _at_frame("kill", "STOP", 1, when + 100_000))


def slot_turns(dice: Dice) -> tuple[Fault, ...]:
    """A bit of the loaded program turns over before it is armed."""
    return (_at_frame("flip-slot", "LOAD_COMMIT", 1, 250_000 + dice.below(200_000)),)


def fire_again(dice: Dice) -> tuple[Fault, ...]:
    """FIRE is put on the line again when its dose is over."""
    return tuple(_at_frame("replay-kind", "FIRE", 1, 0, after * MS) for after in (1000, 1200, 1400, 1600))


def steps_replayed(dice: Dice) -> tuple[Fault, ...]:
    """An earlier change of amplitude is put on the line again."""
    return tuple(
        _at_frame("replay-kind", "SET_AMPLITUDE", 1, 0, after * MS) for after in (140, 180, 260, 320, 400)
    )


def lead_out_and_in(dice: Dice) -> tuple[Fault, ...]:
    """A lead comes off and is plugged in again."""
    return (
        _at_frame("lead-out", "HEARTBEAT", 9, 0),
        _at_frame("lead-in", "HEARTBEAT", 9, (5 + dice.below(30)) * MS),
    )


def contact_opens_and_heals(dice: Dice) -> tuple[Fault, ...]:
    """A contact opens, and conducts again a little later."""
    return (
        _at_frame("open", "HEARTBEAT", 9, 0, 3),
        _at_frame("heal", "HEARTBEAT", 9, (200 + dice.below(200)) * MS),
    )
