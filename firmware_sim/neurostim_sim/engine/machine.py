"""The engine's memory: one bundle of arrays that the kernels read and write, built from an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neurostim.core.image import ProgramImage
from neurostim.core.program import Recharge
from neurostim_sim.engine import layout as at
from neurostim_sim.engine.placing import enter_window
from neurostim_sim.engine.plan import SHORTING_NS, AreaPlan
from neurostim_sim.tissue import OutputPhysics, Tissue

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

ROWS: Final = 16_384
NOTES: Final = 64
RING: Final = 64

_KINDS: Final = {
    Recharge.NONE: at.K_NONE,
    Recharge.PASSIVE: at.K_PASSIVE,
    Recharge.PASSIVE_AFTER_BURST: at.K_PASSIVE_AFTER_BURST,
    Recharge.ACTIVE_SYMMETRIC: at.K_ACTIVE,
    Recharge.ACTIVE_ASYMMETRIC: at.K_ACTIVE,
    Recharge.TRIPHASIC: at.K_TRIPHASIC,
}


class Machine(NamedTuple):
    """Everything a kernel touches; rows, columns and meanings stand in `layout`."""

    facts: Ints
    state: Ints
    offsets: Ints
    shares: Ints
    ring: Ints
    tables: Ints
    run_starts: Ints
    run_levels: Ints
    levels: Ints
    now: Ints
    out: Ints
    contact: Floats
    output: Floats
    dose: Ints
    rows: Ints
    filled: Ints
    seen: Ints
    noticed: Ints
    common: Ints
    stack: Ints
    net: Ints
    excess: Ints


def contacts_of(image: ProgramImage) -> tuple[int, ...]:
    """Device contacts an image uses, ascending; the return pad is last by its number."""
    return tuple(sorted({contact for area in image.areas for contact, _ in area.shares}))


def room_for_rows(contacts: int) -> int:
    """Rows that a kernel needs room for where nobody keeps them."""
    return 256 + 64 * contacts


def build(
    image: ProgramImage,
    plans: Sequence[AreaPlan],
    contacts: Sequence[int],
    tissue: Tissue,
    physics: OutputPhysics,
    *,
    record: bool,
) -> Machine:
    """Memory of an engine at time 0; the run tables are still empty."""
    count, width = len(plans), len(contacts)
    facts = np.zeros((count, at.F_COUNT), np.int64)
    state = np.zeros((count, at.S_COUNT), np.int64)
    offsets = np.zeros((count, max(plan.pulses for plan in plans)), np.int64)
    shares = np.zeros((count, width), np.int64)
    for row, plan in enumerate(plans):
        facts[row] = _facts(plan)
        offsets[row, : plan.pulses] = plan.burst_offsets
        for contact, permille in plan.image.shares:
            shares[row, contacts.index(contact)] = permille
        state[row, at.S_TRIAL] = -1
        state[row, at.S_NO_START] = at.INF
        enter_window(facts[row], state[row], 0, image.grid.tick_ns, image.duration_ns)
    common = np.zeros(at.X_COUNT, np.int64)
    common[at.X_TICK_NS] = image.grid.tick_ns
    common[at.X_GUARD] = image.grid.guard_ticks
    common[at.X_DURATION_NS] = image.duration_ns
    common[at.X_SHORTING] = SHORTING_NS // image.grid.tick_ns
    common[at.X_RECORD] = int(record)
    common[at.X_RECHARGE_NUM] = common[at.X_RECHARGE_DEN] = 1
    common[at.X_SOURCE_NUM] = common[at.X_SOURCE_DEN] = 1
    contact_rows = np.zeros((width, at.E_COUNT), np.float64)
    for row, contact in enumerate(contacts):
        contact_rows[row] = tissue.row(contact)
    return Machine(
        facts=facts,
        state=state,
        offsets=offsets,
        shares=shares,
        ring=np.zeros((count, RING, at.R_COUNT), np.int64),
        tables=np.zeros((count, at.CLASSES, 2), np.int64),
        run_starts=np.zeros(1, np.int64),
        run_levels=np.zeros(1, np.int64),
        levels=np.zeros((1, width), np.int64),
        now=np.zeros((count, width), np.int64),
        out=np.zeros(width, np.int64),
        contact=contact_rows,
        output=np.array(physics.numbers(), np.float64),
        dose=np.zeros((width, at.D_COUNT), np.int64),
        rows=np.zeros((ROWS if record else room_for_rows(width), at.T_COUNT), np.int64),
        filled=np.zeros(1, np.int64),
        seen=np.zeros((NOTES, at.V_COUNT), np.int64),
        noticed=np.zeros(1, np.int64),
        common=common,
        stack=np.zeros((count + 1, 2), np.int64),
        net=np.zeros((count, width, 2), np.int64),
        excess=np.zeros((width, 2), np.int64),
    )


def with_larger_ring(machine: Machine) -> Machine:
    """The same memory with twice the room for placed units."""
    old = machine.ring
    count, capacity, columns = old.shape
    ring = np.zeros((count, 2 * capacity, columns), np.int64)
    for area in range(count):
        for place in range(int(machine.state[area, at.S_HEAD]), int(machine.state[area, at.S_TAIL])):
            ring[area, place % (2 * capacity)] = old[area, place % capacity]
    return machine._replace(ring=ring)


def _facts(plan: AreaPlan) -> list[int]:
    area, grid = plan.image, plan.grid
    facts = [0] * at.F_COUNT
    facts[at.F_WIDTH] = area.width_ticks
    facts[at.F_GAP] = area.interphase_ticks
    facts[at.F_KIND] = _KINDS[area.recharge]
    facts[at.F_RATIO] = area.ratio
    facts[at.F_LENGTH] = plan.pulse_length
    facts[at.F_OCCUPANCY] = plan.occupancy
    facts[at.F_LAST_OCCUPANCY] = plan.last_occupancy
    facts[at.F_PULSES] = plan.pulses
    facts[at.F_UNIT_LENGTH] = plan.unit_length
    facts[at.F_UNIT_OCCUPANCY] = plan.unit_occupancy
    facts[at.F_PERIOD], facts[at.F_REST] = divmod(area.period_num, plan.divisor)
    facts[at.F_DIVISOR] = plan.divisor
    facts[at.F_DELAY_NS] = area.delay_ns
    facts[at.F_ON_NS] = area.on_ns
    facts[at.F_CYCLE_NS] = plan.cycle_ns
    facts[at.F_MAX_SHIFT] = plan.interval // 4
    facts[at.F_ONE_OCCUPANCY] = int(plan.one_occupancy)
    facts[at.F_SHORT_WINDOW] = area.on_ns // grid.tick_ns
    facts[at.F_CEILING] = at.INF
    return facts
