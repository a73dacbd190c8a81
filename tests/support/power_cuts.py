"""A memory whose writes are remembered, and what it can hold where the supply failed in one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from neurostim_sim.core import DeviceCore
from neurostim_sim.profiles import profile
from neurostim_sim.store import MemoryMedium

TORN_BITS = (0, 0xA5)
CHECKPOINT = 600
"""A longer write is the body of a checkpoint, of which any part is as torn as any other."""
OVERWRITTEN = 20_000
"""A longer write is one of zeros over what is erased."""


class Recorder(MemoryMedium):
    """A medium that remembers its writes."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple[int, bytes]] = []

    def write(self, offset: int, data: bytes) -> None:
        """Write and remember."""
        super().write(offset, data)
        self.log.append((offset, bytes(data)))


def holding(data: bytes) -> MemoryMedium:
    """A medium that holds this."""
    medium = MemoryMedium()
    medium.data = bytearray(data)
    return medium


def torn_media(
    before: bytes, writes: Sequence[tuple[int, bytes]], every: int = 1
) -> Iterator[tuple[str, MemoryMedium]]:
    """Every memory that a failing supply can leave in the course of these writes, with its name.

    Parameters
    ----------
    before : bytes
        What was held before the first write.
    writes : sequence of (int, bytes)
    every : int
        Cut only at every so many bytes of an entry, and at all of its first and last 64.
    """
    for number, (offset, data) in enumerate(writes):
        for cut in range(len(data) + 1):
            step = 40_009 if len(data) > OVERWRITTEN else 307 if len(data) > CHECKPOINT else every
            near = 8 if len(data) > CHECKPOINT else 64
            if near < cut < len(data) - near and cut % step:
                continue
            for bits in TORN_BITS if cut < len(data) else (0,):
                medium = holding(before)
                for place, whole in writes[:number]:
                    medium.write(place, whole)
                medium.write(offset, data[:cut])
                if bits:
                    at = offset + cut
                    old = medium.data[at] if at < len(medium.data) else 0
                    medium.write(at, bytes([old ^ bits]))
                yield f"write {number}, byte {cut} of {len(data)}, torn {bits:#x}", medium


def remembered(medium: MemoryMedium, name: str = "scs") -> dict[str, Any]:
    """What a device knows after it boots with this memory."""
    core = DeviceCore(profile(name), medium=medium)
    memory = core.memory
    return {
        "state": core.state,
        "damaged": memory.damaged,
        "lost": memory.lost,
        "counts": (memory.boot_count, memory.session_count, memory.dose_count, memory.log_next),
        "latch": (memory.latched, memory.cause, memory.fault),
        "slots": [slot.document() for slot in memory.slots],
        "contacts": {contact: list(values) for contact, values in sorted(memory.contacts.items())},
        "doses": [dict(one.__dict__) for one in memory.doses],
        "log": [list(values) for values in memory.log],
        "extra": {name: str(document) for name, document in sorted(memory.extra.items())},
    }


def states_between(before: bytes, writes: Sequence[tuple[int, bytes]]) -> list[dict[str, Any]]:
    """What a device knows before these writes and after each of them."""
    medium = holding(before)
    found = [remembered(holding(before))]
    for offset, data in writes:
        medium.write(offset, data)
        found.append(remembered(holding(bytes(medium.data))))
    return found
