"""What a barrier is: a check in the host or the device, what it holds off, and where its loss has to show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from neurostim_torture.barriers.removal import Cut
from neurostim_torture.schedule import Outcome


class Showing(Protocol):
    """A scene in which a barrier is needed: the monitor judges it, or itself what that is not told of."""

    def run(self, seed: int) -> Outcome:
        """Run the schedule of a seed, and judge."""


@dataclass(frozen=True, slots=True)
class Barrier:
    """One barrier.

    Attributes
    ----------
    name : str
    where : str
        ``host``, ``device`` or ``both``.
    against : str
        What it holds off, in words.
    cuts : tuple of Cut
        What removes it.
    partners : tuple of str
        Barriers that hide its loss and are removed with it; empty where its loss shows alone.
    scene : Showing
        Where it is needed.
    within : int
        Schedules within which the monitor has to see its loss.
    shows : tuple of str
        Rules of which one has to be broken; any where it is empty.
    """

    name: str
    where: str
    against: str
    cuts: tuple[Cut, ...]
    scene: Showing
    within: int
    partners: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
