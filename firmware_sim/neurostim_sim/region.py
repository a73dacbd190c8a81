"""A ring of records of one size on a medium, for long logs: one small write each, no other is touched.

Every place is written in turn, so all wear alike. A record that was being written when the supply failed is
not there, and the one whose place it took is forgotten; no other is lost. Content is the caller's own.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from neurostim_sim.medium import Medium

PAGE_BYTES: Final = 4096
_HEAD: Final = struct.Struct("<QI")


class Region:
    """Records of ``record_bytes``, of which the last ``count`` are held; indices from 1, never used twice.

    Parameters
    ----------
    medium : Medium
    offset : int
        First byte of the region.
    record_bytes : int
        Size of each record.
    count : int
        Records held.
    floor : int
        Records below this index are forgotten; the next one has at least this index. Whoever forgets
        keeps it with the rest of the memory, so that nothing comes back.
    """

    def __init__(self, medium: Medium, offset: int, record_bytes: int, count: int, floor: int = 1) -> None:
        self._medium = medium
        self._offset = offset
        self._size = record_bytes
        self._slot = _HEAD.size + record_bytes
        self._count = count
        self._floor = max(floor, 1)
        self._held: dict[int, bytes] = {}
        self._next = self._oldest = 1
        self._stale: list[int] = []
        self._scan()

    @staticmethod
    def bytes_needed(record_bytes: int, count: int) -> int:
        """Size of a region on its medium [bytes]."""
        size: int = (_HEAD.size + record_bytes) * count
        return size

    @property
    def next_index(self) -> int:
        """Index the next record will have."""
        return self._next

    @property
    def oldest_index(self) -> int:
        """Oldest index still held; `next_index` where none is."""
        return self._oldest

    @property
    def unreadable(self) -> int:
        """Records between the oldest and the newest that cannot be read."""
        return self._next - self._oldest - len(self._held)

    def append(self, payload: bytes) -> int:
        """Write a record, durable when this returns; returns its index.

        Raises
        ------
        ValueError
            For a payload of another size.
        PowerCut
            Where the supply fails in it.
        """
        if len(payload) != self._size:
            raise ValueError(f"a record of {len(payload)} bytes in a region of {self._size}")
        self._wipe()
        index = self._next
        # What stood in this place is gone from the first byte on.
        self._held.pop(index - self._count, None)
        self._oldest = max(self._oldest, index - self._count + 1)
        self._medium.write(self._place(index), _HEAD.pack(index, _checksum(index, payload)) + payload)
        self._held[index] = payload
        self._next = index + 1
        return index

    def read(self, index: int) -> bytes | None:
        """A record; None for one that is not held or cannot be read."""
        return self._held.get(index)

    def records(self, first: int = 1, count: int | None = None) -> list[tuple[int, bytes]]:
        """Index and payload of what is held from ``first`` on, at most ``count``, ascending."""
        found: list[tuple[int, bytes]] = []
        for index in range(max(first, self._oldest), self._next):
            if count is not None and len(found) >= count:
                break
            payload = self._held.get(index)
            if payload is not None:
                found.append((index, payload))
        return found

    def forget(self, floor: int) -> None:
        """Forget records below ``floor`` and overwrite them; ``floor`` must be durable before."""
        self._floor = max(self._floor, floor)
        self._stale += [(one - 1) % self._count for one in self._held if one < floor]
        self._held = {index: payload for index, payload in self._held.items() if index >= floor}
        self._wipe()
        self._next = max(self._next, self._floor)
        self._oldest = max(self._oldest, min(self._floor, self._next))

    def verify(self) -> bool:
        """Whether the medium still holds what was read or written: the self-test of the region."""
        return all(
            self._medium.read(self._place(index), self._slot)
            == _HEAD.pack(index, _checksum(index, payload)) + payload
            for index, payload in self._held.items()
        )

    def _wipe(self) -> None:
        """Overwrite what is forgotten, also what a power loss kept from being overwritten before."""
        # Neighbours together: a write lasts as long for a page as for a record, and a host is waiting.
        most = max(1, PAGE_BYTES // self._slot)
        self._stale.sort(reverse=True)
        while self._stale:
            first = self._stale[-1]
            count = 1
            while count < min(most, len(self._stale)) and self._stale[-1 - count] == first + count:
                count += 1
            self._medium.write(self._offset + first * self._slot, bytes(count * self._slot))
            del self._stale[-count:]

    def _place(self, index: int) -> int:
        return self._offset + (index - 1) % self._count * self._slot

    def _scan(self) -> None:
        raw = self._medium.read(self._offset, self._slot * self._count)
        found: dict[int, bytes] = {}
        newest = 0
        for place in range(len(raw) // self._slot):
            start = place * self._slot
            index, checksum = _HEAD.unpack_from(raw, start)
            if index == 0 or (index - 1) % self._count != place:
                continue
            payload = raw[start + _HEAD.size : start + self._slot]
            if _checksum(index, payload) != checksum:
                continue
            found[index] = payload
            newest = max(newest, index)
        lowest = max(self._floor, newest - self._count + 1)
        self._held = {index: found[index] for index in sorted(found) if index >= lowest}
        self._next = max(newest + 1, self._floor)
        self._oldest = min(self._held, default=self._next)

        newest = self._next - 1
        self._stale = [
            place
            for place in range(-(-len(raw) // self._slot))
            if newest - (newest - 1 - place) % self._count < self._floor
            and raw[place * self._slot : (place + 1) * self._slot].strip(b"\0")
        ]


def _checksum(index: int, payload: bytes) -> int:
    return zlib.crc32(index.to_bytes(8, "little") + payload)
