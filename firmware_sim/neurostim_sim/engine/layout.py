"""Where each number stands in the engine's integer arrays, shared by the kernels and the code around them."""

from __future__ import annotations

from typing import Final

INF: Final = 1 << 62

# Fixed facts of an area, columns of `facts`.
F_WIDTH: Final = 0
F_GAP: Final = 1
F_KIND: Final = 2
F_RATIO: Final = 3
F_LENGTH: Final = 4
F_OCCUPANCY: Final = 5
F_LAST_OCCUPANCY: Final = 6
F_PULSES: Final = 7
F_UNIT_LENGTH: Final = 8
F_UNIT_OCCUPANCY: Final = 9
F_PERIOD: Final = 10
F_REST: Final = 11
F_DIVISOR: Final = 12
F_DELAY_NS: Final = 13
F_ON_NS: Final = 14
F_CYCLE_NS: Final = 15
F_MAX_SHIFT: Final = 16
F_ONE_OCCUPANCY: Final = 17
F_SHORT_WINDOW: Final = 18
F_CEILING: Final = 19
F_COUNT: Final = 20

# Kinds of recharge as the kernel distinguishes them.
K_NONE: Final = 0
K_PASSIVE: Final = 1
K_PASSIVE_AFTER_BURST: Final = 2
K_ACTIVE: Final = 3
K_TRIPHASIC: Final = 5

# Running state of an area, columns of `state`. "Place" is the cursor over nominal units, "now" the unit
# that plays, "short" the shorted stretch that is open.
S_PLACE_WINDOW: Final = 0
S_PLACE_START: Final = 1
S_PLACE_END: Final = 2
S_PLACE_CLASS: Final = 3
S_PLACE_K: Final = 4
S_PLACE_ONSET: Final = 5
S_PLACE_CARRY: Final = 6
S_PLACE_BASE: Final = 7
S_PLACE_NEXT: Final = 8
S_TRIAL: Final = 9
S_HEAD: Final = 10
S_PLAY: Final = 11
S_TAIL: Final = 12
S_NOW: Final = 13
S_NOW_ONSET: Final = 14
S_NOW_PULSE: Final = 15
S_NOW_UNIT: Final = 16
S_NOW_ZERO: Final = 17
S_SHORT: Final = 18
S_SHORT_FROM: Final = 19
S_SHORT_CAP: Final = 20
S_SHORT_UNIT: Final = 21
S_SHORT_PULSE: Final = 22
S_NO_START: Final = 23
S_FADED: Final = 24
S_ZEROED: Final = 25
S_OPEN_RUN: Final = 26
S_SHORT_RUN: Final = 27
S_CLIPPING: Final = 28
S_UNITS: Final = 29
S_PULSES: Final = 30
S_DROPPED: Final = 31
S_CLIPPED: Final = 32
S_STIM: Final = 33
S_COUNT: Final = 35

# Window classes, which choose a table of runs: floor of the on-time, one tick more, cut at the end, and the
# units of a soft stop.
C_FLOOR: Final = 0
C_CEILING: Final = 1
C_CUT: Final = 2
C_FADED: Final = 3
CLASSES: Final = 4

# A placed unit in an area's ring.
R_ONSET: Final = 0
R_K: Final = 1
R_CLASS: Final = 2
R_UNIT: Final = 3
R_COUNT: Final = 4

# Numbers of the whole output, in `common`.
X_TICK_NS: Final = 0
X_GUARD: Final = 1
X_DURATION_NS: Final = 2
X_SHORTING: Final = 3
X_RECORD: Final = 4
X_RECHARGE_NUM: Final = 5
X_RECHARGE_DEN: Final = 6
X_SOURCE_NUM: Final = 7
X_SOURCE_DEN: Final = 8
X_COUNT: Final = 9

# The circuit of a contact, columns of `contact` (floats: physics only).
E_SERIES: Final = 0
E_FARAD: Final = 1
E_LEAK: Final = 2
E_VOLT: Final = 3
E_SINCE: Final = 4
E_COUNT: Final = 5

# Physics of the output, in `output` (floats).
O_RAIL: Final = 0
O_DISCHARGE: Final = 1
O_OPEN: Final = 2
O_SHORT: Final = 3
O_SENSOR: Final = 4
O_COUNT: Final = 5

# Dose of a contact: pulses, then pairs of whole nC and remainder in aC. "Recovered" is signed, rounded down.
D_PULSES: Final = 0
D_CATHODIC: Final = 1
D_ANODIC: Final = 3
D_RECOVERED: Final = 5
D_COUNT: Final = 7

# A row of the trace.
T_START: Final = 0
T_LENGTH: Final = 1
T_CONTACT: Final = 2
T_KIND: Final = 3
T_AMPLITUDE: Final = 4
T_AREA: Final = 5
T_UNIT: Final = 6
T_PULSE: Final = 7
T_CHARGE: Final = 8
T_COUNT: Final = 9

KIND_STIM: Final = 0
KIND_RECHARGE: Final = 1
KIND_PASSIVE: Final = 2

# Something seen while pulses were made: when, what, area, contact, value, commanded current.
V_COUNT: Final = 6
V_OPEN: Final = 1
V_SHORT: Final = 2
V_CLIPPED: Final = 3
V_LIMIT: Final = 4

# Why a kernel came back.
DONE: Final = 0
EVENT: Final = 1
ROWS_FULL: Final = 2
RING_FULL: Final = 3
FINISHED: Final = 4
