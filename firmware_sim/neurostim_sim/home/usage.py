"""The usage log: what a device did at home, as records that are only ever added, in a region of the memory.

A record is durable when its index is told. Each carries the first half of a chained SHA-256, so that a record
that was changed, or that does not follow the one before it, is found when the device starts.
"""

from __future__ import annotations

import hashlib
from typing import Final

from neurostim.core.errors import ProtocolError
from neurostim.wire.messages import ATTOCOULOMB_PER_NC, NO_SLOT, UsageKind, UsageRecord
from neurostim_sim.region import Region
from neurostim_sim.store import Store

RECORD_BYTES: Final = 51
LINK_BYTES: Final = 16
RECORDS: Final = 196_608
"""90 days on 16 contacts: each hour its dose, 2160 x 50; 180 readings, 180 x 100; the rest for presses."""
REGION_OFFSET: Final = 0
RESERVE: Final = 256
"""Records kept free for what must still be written when the log has no room for another hour."""


class UsageLog:
    """The log of one device.

    Parameters
    ----------
    store : Store
    floor : int
        Records below this index were erased for good.
    """

    def __init__(self, store: Store, floor: int = 1) -> None:
        self._region: Region = store.region(REGION_OFFSET, RECORD_BYTES + LINK_BYTES, RECORDS, floor)
        self._digest = hashlib.sha256()
        self._link = bytes(LINK_BYTES)
        self._wall: tuple[int, int] | None = None
        self.broken = self._region.unreadable > 0
        self._read()

    @property
    def oldest_index(self) -> int:
        """Oldest index held; `next_index` where none is."""
        return self._region.oldest_index

    @property
    def next_index(self) -> int:
        """Index of the next record."""
        return self._region.next_index

    @property
    def room(self) -> int:
        """Records that can be added before one that is held would be lost."""
        return RECORDS - (self.next_index - self.oldest_index)

    @property
    def sha256(self) -> bytes:
        """Digest over the records held, as USAGE carries them."""
        return self._digest.digest()

    def tell_wall(self, wall_s: int, clock_us: int) -> None:
        """A host told the time of day at this moment of the device's clock; 0 tells nothing."""
        self._wall = (wall_s, clock_us) if wall_s else None

    def add(
        self,
        boot: int,
        clock_us: int,
        kind: UsageKind,
        *,
        slot: int = NO_SLOT,
        place: int = 0,
        count: int = 0,
        value: int = 0,
        rest_ac: int = 0,
    ) -> int:
        """Add a record, durable when this returns; returns its index."""
        index = self.next_index
        wall_s = 0
        if self._wall is not None:
            told_s, at_us = self._wall
            wall_s = told_s + (clock_us - at_us) // 1_000_000
        record = UsageRecord(index, boot, clock_us, wall_s, kind, slot, place, count, value, rest_ac)
        data = record.encode()
        link = _link(self._link, data)
        full = self.room == 0
        self._region.append(data + link)
        self._link = link
        self._digest.update(data)
        if full:
            self._read()
        return index

    def records(self, first: int, count: int | None = None) -> list[UsageRecord]:
        """What is held from an index on, at most ``count``, ascending."""
        return [
            UsageRecord.decode(payload[:RECORD_BYTES]) for _, payload in self._region.records(first, count)
        ]

    def forget(self, floor: int) -> None:
        """Erase records below ``floor``, which is durable already."""
        self._region.forget(floor)
        self._read()

    def _read(self) -> None:
        """Go through what is held: the digest of it, and whether each record follows the one before."""
        link: bytes | None = None
        self._digest = hashlib.sha256()
        for index, payload in self._region.records():
            data, stated = payload[:RECORD_BYTES], payload[RECORD_BYTES:]
            self._digest.update(data)
            follows = link is None or _link(link, data) == stated
            if not follows or not _is_record(data, index):
                self.broken = True
            link = stated
        self._link = link if link is not None else bytes(LINK_BYTES)


def charge_parts(charge_ac: int) -> tuple[int, int]:
    """Whole nanocoulombs, rounded toward minus infinity, and the remainder [aC]."""
    return divmod(charge_ac, ATTOCOULOMB_PER_NC)


def charge_of(record: UsageRecord) -> int:
    """Charge that a record tells [aC]."""
    return record.value * ATTOCOULOMB_PER_NC + record.rest_ac


def _link(before: bytes, data: bytes) -> bytes:
    return hashlib.sha256(before + data).digest()[:LINK_BYTES]


def _is_record(data: bytes, index: int) -> bool:
    try:
        return UsageRecord.decode(data).index == index
    except ProtocolError:
        return False
