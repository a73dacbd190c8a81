"""Takes a barrier away, runs its scene, and judges whether that was seen, and only that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import removed
from neurostim_torture.barriers.table import cuts_of, find

FIRST_SEED: Final = 1


@dataclass(frozen=True, slots=True)
class Catch:
    """What came of removing a barrier: the schedule and seed that showed it, and the rules it broke.

    ``schedules`` and ``seed`` are 0 where nothing showed; ``sound`` says that the same schedule is good with
    the barrier in place.
    """

    barrier: Barrier
    schedules: int
    seed: int
    rules: tuple[str, ...]
    sound: bool

    @property
    def caught(self) -> bool:
        """Whether the monitor saw it in time, and sees nothing otherwise."""
        return bool(self.schedules) and self.sound


def remove(barrier: Barrier, first_seed: int = FIRST_SEED) -> Catch:
    """Take a barrier away and run its scene until the monitor sees it, or its number of schedules is over."""
    for count in range(barrier.within):
        seed = first_seed + count
        with removed(cuts_of(barrier)):
            outcome = barrier.scene.run(seed)
        rules = tuple(sorted({one.rule for one in outcome.violations}))
        if set(rules) & set(barrier.shows) or (rules and not barrier.shows):
            return Catch(barrier, count + 1, seed, rules, _holds(barrier, seed, rules))
    return Catch(barrier, 0, 0, (), True)


def _holds(barrier: Barrier, seed: int, rules: tuple[str, ...]) -> bool:
    """Whether a schedule is good with everything in place, and shows nothing of it with the partners gone."""
    if barrier.scene.run(seed).failed:
        return False
    if not barrier.partners:
        return True
    with removed([cut for name in barrier.partners for cut in find(name).cuts]):
        alone = {one.rule for one in barrier.scene.run(seed).violations}
    return not alone & set(barrier.shows or rules)
