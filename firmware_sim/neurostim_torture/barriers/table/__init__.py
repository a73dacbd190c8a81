"""The table of barriers, a module a topic."""

from __future__ import annotations

from typing import Final

from neurostim.core.errors import ConfigError
from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut
from neurostim_torture.barriers.table import (
    amplitude,
    electrode,
    home,
    keys,
    limits,
    memory,
    silence,
    starts,
    stops,
)

BARRIERS: Final[tuple[Barrier, ...]] = (
    *silence.BARRIERS,
    *starts.BARRIERS,
    *amplitude.BARRIERS,
    *electrode.BARRIERS,
    *stops.BARRIERS,
    *memory.BARRIERS,
    *home.BARRIERS,
    *keys.BARRIERS,
    *limits.BARRIERS,
)


def cuts_of(barrier: Barrier) -> tuple[Cut, ...]:
    """Everything that has to be removed for one barrier's loss to show."""
    return (*barrier.cuts, *(cut for name in barrier.partners for cut in find(name).cuts))


def find(name: str) -> Barrier:
    """A barrier of the table.

    Raises
    ------
    ConfigError
        Where there is none of this name.
    """
    found = next((one for one in BARRIERS if one.name == name), None)
    if found is None:
        raise ConfigError(
            f"there is no barrier {name!r}", allowed=", ".join(one.name for one in BARRIERS), code="barrier"
        )
    return found
