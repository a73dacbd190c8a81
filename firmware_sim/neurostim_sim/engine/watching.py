"""What the monitor beside the output reads at one look, and what of it is out of bounds.

The monitor has a current sensor in each contact's line. It reads whole nanocoulombs, has an offset, and adds
up between looks; a sensor that sticks reads no change. What flowed comes from the kernel, as integers;
reading and judging are here.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, allow-untyped-decorators

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from neurostim_sim.engine.layout import (
    D_ANODIC,
    D_CATHODIC,
    D_RECOVERED,
    F_KIND,
    K_ACTIVE,
    K_PASSIVE,
    K_PASSIVE_AFTER_BURST,
    K_TRIPHASIC,
    S_UNITS,
)
from neurostim_sim.engine.machine import Machine

AC_PER_NC: Final = 1_000_000_000

NOTHING: Final = 0
IMBALANCE: Final = 1
SOURCE: Final = 2
STUCK: Final = 3
NO_RECOVERY: Final = 4

OFFSET_NA: Final = 3.0
"""What the sensor reads where nothing flows [nA]."""
SLACK_NA: Final = 90.0
"""Net current that is let through for ever [nA]: 100 nA less the offset and a margin."""
NET_NC: Final = 250.0
"""Charge beyond the slack at which the output is stopped [nC]."""
PULSE_NC: Final = 50
"""Least stimulation charge on which balance is judged as a part of it [nC]."""
PULSE_PART: Final = 0.05
"""Part of the stimulation charge that may be left over in a look [1]."""
SOURCE_NC: Final = 500
"""Stimulation charge over which a source is judged [nC]."""
SOURCE_PART: Final = 0.03
"""Part by which a source may differ [1]."""
STUCK_NC: Final = 20
"""Stimulation charge commanded without a reading at which the sensor is found stuck [nC]."""
RECOVERY_NC: Final = 2_000
"""Stimulation charge of passive areas over which recovery must be seen [nC]."""
RECOVERY_UNITS: Final = 8
RECOVERY_PART: Final = 0.02
"""Least part of it that must come back [1]; the tissue's own leak may take the rest."""


class Watch(NamedTuple):
    """The monitor's own memory: last readings, sums, and what belongs to each contact."""

    net: NDArray[np.int64]
    up: NDArray[np.float64]
    down: NDArray[np.float64]
    stim: NDArray[np.int64]
    excess: NDArray[np.int64]
    source: NDArray[np.float64]
    unread: NDArray[np.float64]
    passive: NDArray[np.int64]


def watch_of(machine: Machine) -> Watch:
    """A monitor that has seen nothing yet."""
    areas, width = machine.shares.shape
    return Watch(
        net=np.zeros((areas, width), np.int64),
        up=np.zeros((areas, width)),
        down=np.zeros((areas, width)),
        stim=np.zeros(width, np.int64),
        excess=np.zeros(width, np.int64),
        source=np.zeros((width, 2)),
        unread=np.zeros(width),
        passive=np.zeros((width, 3), np.int64),
    )


@njit(cache=True)
def look(m, w, elapsed_ns, works):
    """Read every contact and judge; returns what was found, contact (row) and a value [nA, nC or 0.1 %]."""
    seconds = elapsed_ns * 1e-9
    areas, width = m.shares.shape
    for c in range(width):
        dose = m.dose[c]
        stim = dose[D_CATHODIC] + dose[D_ANODIC]
        given = stim - w.stim[c]
        more = m.excess[c, 0] - w.excess[c]
        w.stim[c] = stim
        w.excess[c] = m.excess[c, 0]
        if not works:
            # The reading does not move, while the sources are told to drive.
            w.unread[c] += given - more
            if w.unread[c] >= STUCK_NC:
                return STUCK, c, int(w.unread[c])
            continue
        w.unread[c] = 0.0
        w.source[c, 0] += given - more
        w.source[c, 1] += more
        if w.source[c, 0] >= SOURCE_NC:
            part = w.source[c, 1] / w.source[c, 0]
            w.source[c, :] = 0.0
            if abs(part) > SOURCE_PART:
                return SOURCE, c, round(part * 1000)
        for area in range(areas):
            kind = m.facts[area, F_KIND]
            if m.shares[area, c] == 0 or (kind not in (K_ACTIVE, K_TRIPHASIC)):
                continue
            net = m.net[area, c, 0]
            moved = net - w.net[area, c]
            w.net[area, c] = net
            read = moved + OFFSET_NA * seconds
            slack = SLACK_NA * seconds
            w.up[area, c] = max(0.0, w.up[area, c] + read - slack)
            w.down[area, c] = max(0.0, w.down[area, c] - read - slack)
            left = given >= PULSE_NC and abs(moved) - 1 > PULSE_PART * given
            if left or max(w.up[area, c], w.down[area, c]) > NET_NC:
                return IMBALANCE, c, int(moved / seconds) if seconds > 0.0 else int(moved)
        if _recovery_lost(m, w, c):
            return NO_RECOVERY, c, 0
    return NOTHING, 0, 0


@njit(cache=True)
def _recovery_lost(m, w, c):
    """Whether a contact with passive recovery only gets nothing back over several units."""
    units = 0
    for area in range(m.shares.shape[0]):
        if m.shares[area, c] == 0:
            continue
        kind = m.facts[area, F_KIND]
        if kind not in (K_PASSIVE, K_PASSIVE_AFTER_BURST):
            return False
        units += m.state[area, S_UNITS]
    dose = m.dose[c]
    driven = abs(dose[D_ANODIC] - dose[D_CATHODIC])
    back = abs(dose[D_RECOVERED])
    given = driven - w.passive[c, 0]
    came = back - w.passive[c, 1]
    if given < RECOVERY_NC or units - w.passive[c, 2] < RECOVERY_UNITS:
        return False
    w.passive[c, 0] = driven
    w.passive[c, 1] = back
    w.passive[c, 2] = units
    return came < RECOVERY_PART * given
