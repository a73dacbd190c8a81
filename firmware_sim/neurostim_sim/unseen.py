"""The charge that may have flowed after the last save before the supply failed: a bound, never less than it.

The memory knows what had flowed up to a tick. After it, output ran at most until the next save was due, and
no faster than its program can: that much is added to the counters at the next boot, and logged as "at most".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from neurostim.core.image import ImageArea, ProgramImage
from neurostim.core.program import Recharge
from neurostim.wire.image import decode_image
from neurostim.wire.messages import EventCode, RangeOfArea
from neurostim_sim.impedance import CURRENT_NA, PULSES, WIDTH_NS
from neurostim_sim.profiles import Profile
from neurostim_sim.records import AC_PER_NC, DoseRecord, Memory
from neurostim_sim.selftest import is_whole

UNSERVED_NS: Final = 510_000_000
"""Longest time the output runs on when the processor hangs or is late, until its own watchdog acts [ns]."""
TOLERANCE_PERMILLE: Final = 50
"""What a source may give too much before the device stops it, see `monitor` [0.1 %]."""

Added = dict[int, tuple[int, int, int]]
"""Pulses, cathodic and anodic charge [aC] by contact."""


def account(memory: Memory, profile: Profile, contacts: Iterable[int]) -> dict[int, list[int]]:
    """Settle every dose that a power loss cut short: add and log the bound of what may have flowed unseen.

    Parameters
    ----------
    memory : Memory
        As loaded; changed, not saved.
    profile : Profile
    contacts : iterable of int
        All contacts of the device.

    Returns
    -------
    dict of int to list of int
        What was added to the counters, by contact: pulses, cathodic, anodic and recovered charge [aC].
    """
    everything = sorted(contacts)
    total: dict[int, list[int]] = {}
    for dose in memory.doses:
        if dose.settled:
            continue
        for contact, (pulses, cathodic, anodic) in sorted(bound(dose, memory, profile, everything).items()):
            values = memory.contacts.setdefault(contact, [0, 0, 0, 0])
            # Every pulse is recharged or recovered, so what is added is taken as balanced.
            added = (pulses, cathodic, anodic, cathodic - anodic)
            memory.contacts[contact] = [a + b for a, b in zip(values, added, strict=True)]
            total[contact] = [a + b for a, b in zip(total.get(contact, (0, 0, 0, 0)), added, strict=True)]
            most_nc = -(-max(cathodic, anodic) // AC_PER_NC)
            memory.note(0, EventCode.CHARGE_BOUND, dose.number, contact, most_nc)
        dose.settled = True
    return total


def bound(dose: DoseRecord, memory: Memory, profile: Profile, contacts: Sequence[int]) -> Added:
    """The most that can have flowed at each contact since the dose was last saved."""
    if not dose.is_stimulation:
        return _of_measurement(dose, contacts)
    time_ns = dose.save_ns + UNSERVED_NS
    slot = memory.slots[dose.slot] if dose.slot < len(memory.slots) else None
    known = slot is not None and slot.committed and slot.digest.hex() == dose.image and is_whole(slot)
    if slot is None or not known:
        # Which program ran is not known any more: no contact carried more than the device can drive.
        able = profile.capabilities
        charge = _with_tolerance(able.max_contact_na * time_ns)
        pulses = able.max_rate_mhz * time_ns // 10**12 + 1
        return dict.fromkeys(contacts, (pulses, charge, charge))
    return of_program(decode_image(slot.data), slot.ranges, time_ns if dose.running else 0)


def of_program(image: ProgramImage, ranges: Sequence[RangeOfArea], time_ns: int) -> Added:
    """The most a program delivers in a time, from any moment on, at the top of its ranges."""
    found: dict[int, list[int]] = {}
    for area, one in zip(image.areas, ranges, strict=True):
        # A unit under way at either end, and one that placing moved in by up to a quarter of an interval.
        pulses = (time_ns * area.period_den // area.period_num + 3) * area.burst_pulses
        for contact, permille in area.shares:
            values = found.setdefault(contact, [0, 0, 0])
            cathodic, anodic = _of_pulse(area, image, permille, one.max_na)
            values[0] += pulses
            values[1] += _with_tolerance(cathodic * pulses)
            values[2] += _with_tolerance(anodic * pulses)
    return {contact: (pulses, cathodic, anodic) for contact, (pulses, cathodic, anodic) in found.items()}


def _of_pulse(area: ImageArea, image: ProgramImage, permille: int, amplitude_na: int) -> tuple[int, int]:
    """Cathodic and anodic charge of the stimulation phases of one pulse at a contact, rounded up [aC]."""
    q_na = image.grid.step_na * area.ratio
    # Sharing rounds each cathode down and gives an anode at most one step more than its part.
    steps = amplitude_na * abs(permille) // (1000 * q_na) + 1
    charge = steps * q_na * area.width_ticks * image.grid.tick_ns
    first = 2 * charge if area.recharge is Recharge.TRIPHASIC else charge
    back = 2 * charge if area.recharge is Recharge.TRIPHASIC else 0
    return (first, back) if permille < 0 else (back, first)


def _of_measurement(dose: DoseRecord, contacts: Sequence[int]) -> Added:
    """What the contacts not yet counted may have been given, each against all others."""
    charge = _with_tolerance(CURRENT_NA * WIDTH_NS * PULSES)
    left = dose.contacts[dose.read :]
    found: dict[int, list[int]] = {}
    for measured in left:
        for contact in contacts:
            values = found.setdefault(contact, [0, 0, 0])
            values[0] += PULSES
            values[1 if contact == measured else 2] += charge
    return {contact: (pulses, cathodic, anodic) for contact, (pulses, cathodic, anodic) in found.items()}


def _with_tolerance(charge_ac: int) -> int:
    return charge_ac + -(-charge_ac * TOLERANCE_PERMILLE // 1000)
