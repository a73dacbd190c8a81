"""Barriers: each is taken away, alone or with its named partners, and the monitor must see it.

A monitor that finds nothing proves nothing until it is known what it would find. For every barrier there is
a scene (faults, and a person, in which the barrier is needed) and the number of schedules within which
removing it has to show; the very schedule that shows it must be good with the barrier in place.
"""

from neurostim_torture.barriers.barrier import Barrier
from neurostim_torture.barriers.removal import Cut, removed
from neurostim_torture.barriers.scenes.scene import Scene
from neurostim_torture.barriers.table import BARRIERS, cuts_of, find
from neurostim_torture.barriers.trial import Catch, remove

__all__ = ["BARRIERS", "Barrier", "Catch", "Cut", "Scene", "cuts_of", "find", "remove", "removed"]
