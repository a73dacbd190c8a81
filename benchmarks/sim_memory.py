"""What a save of each second costs the simulated device, against writing its whole memory; and a boot."""

from __future__ import annotations

import time
from collections.abc import Callable

from neurostim.wire.messages import EventCode
from neurostim_sim.records import LOG_RECORDS, DoseRecord, Memory
from neurostim_sim.store import MemoryMedium, Store

SAVES = 2_000


def filled() -> tuple[Memory, MemoryMedium, DoseRecord]:
    """A memory as after some months: a full log, 32 doses, 16 contacts in use."""
    medium = MemoryMedium()
    memory = Memory.load(Store(medium), 2)
    for number in range(1, 33):
        dose = DoseRecord(number, 1, 0, "ab" * 32, 1, 100, areas=[[0, 2_000_000, 5, 6, 7]])
        dose.running, dose.settled = number == 32, number < 32
        memory.keep_dose(dose)
    for contact in range(1, 17):
        memory.contacts[contact] = [10**9, 10**18, 10**18, -(10**6)]
    for number in range(LOG_RECORDS):
        memory.note(number, EventCode.BOOT, value=number)
    memory.save()
    return memory, medium, memory.doses[-1]


def each(act: Callable[[int], object], times: int) -> float:
    """Seconds for one of many."""
    begin = time.perf_counter()
    for number in range(times):
        act(number)
    return (time.perf_counter() - begin) / times


def main() -> None:
    memory, medium, dose = filled()

    def second(number: int) -> None:
        for contact in (3, 5):
            memory.contacts[contact] = [number, number * 10**12, number * 10**12, 7]
        dose.end_tick = number
        memory.save()

    written = medium.written
    entry = each(second, SAVES)
    per_entry = (medium.written - written) / SAVES
    written = medium.written
    whole = each(lambda _: memory.store.rewrite(), SAVES // 10)
    per_whole = (medium.written - written) / (SAVES // 10)
    boot = each(lambda _: Memory.load(Store(medium), 2), 50)
    print(f"a save of each second, with its checkpoints: {entry * 1e6:.0f} us, {per_entry:.0f} bytes")
    print(f"the whole memory written:                    {whole * 1e6:.0f} us, {per_whole:.0f} bytes")
    print(f"ratio: {whole / entry:.1f} in time, {per_whole / per_entry:.0f} in bytes")
    print(f"a boot reads it in {boot * 1e6:.0f} us")


if __name__ == "__main__":
    main()
