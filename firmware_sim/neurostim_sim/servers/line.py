"""One direction of a serial line that can be late, lose, double or corrupt frames, repeatably by seed."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Final

DELIMITER: Final = b"\0"
HOLD_BYTES: Final = 2048
FAULT_NS: Final = 1_000_000_000
LATE_NS: Final = 400_000_000

LINE_FAULTS: Final = {
    "late": "for one second, half of the frames arrive 400 ms late",
    "lost": "for one second, half of the frames are lost",
    "doubled": "for one second, half of the frames arrive twice",
    "corrupt": "for one second, half of the frames arrive with one bit turned",
}

_MASK: Final = (1 << 64) - 1


class Dice:
    """Repeatable numbers from a seed (splitmix64)."""

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound - 1``."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((mixed ^ (mixed >> 31)) * bound) >> 64


@dataclass(frozen=True, slots=True)
class LineFault:
    """A fault of the line and the time in which it acts [ns]."""

    name: str
    from_ns: int
    to_ns: int


class Line:
    """Carries bytes in order; while a fault acts, what happens to each frame is drawn from the seed."""

    def __init__(self, seed: int) -> None:
        self._dice = Dice(seed)
        self._faults: list[LineFault] = []
        self._held = b""
        self._under_way: list[tuple[int, int, bytes]] = []
        self._order = 0

    def inject(self, name: str, at_ns: int) -> None:
        """Let the fault ``name`` of `LINE_FAULTS` act from ``at_ns``."""
        self._faults.append(LineFault(name, at_ns, at_ns + FAULT_NS))

    def send(self, data: bytes, now_ns: int) -> None:
        """Put bytes on the line."""
        self._faults = [fault for fault in self._faults if fault.to_ns > now_ns]
        acting = [fault.name for fault in self._faults if fault.from_ns <= now_ns]
        data = self._held + data
        self._held = b""
        if not acting:
            self._arrive(data, now_ns)
            return
        whole, separator, self._held = data.rpartition(DELIMITER)
        if len(self._held) > HOLD_BYTES:
            self._arrive(self._held, now_ns)
            self._held = b""
        if separator:
            for frame in whole.split(DELIMITER):
                self._suffer(frame + DELIMITER, acting, now_ns)

    def due(self, now_ns: int) -> bytes:
        """Take what has arrived by now."""
        arrived = []
        while self._under_way and self._under_way[0][0] <= now_ns:
            arrived.append(heapq.heappop(self._under_way)[2])
        return b"".join(arrived)

    def next_ns(self) -> int | None:
        """When the next bytes arrive, or None."""
        return self._under_way[0][0] if self._under_way else None

    def cut(self) -> None:
        """Lose everything under way: the cable is out."""
        self._held = b""
        self._under_way.clear()

    def _arrive(self, data: bytes, at_ns: int) -> None:
        if data:
            self._order += 1
            heapq.heappush(self._under_way, (at_ns, self._order, data))

    def _suffer(self, frame: bytes, acting: list[str], now_ns: int) -> None:
        copies, at_ns = 1, now_ns
        for name in acting:
            if self._dice.below(2):
                continue
            if name == "lost":
                copies = 0
            elif name == "doubled":
                copies *= 2
            elif name == "late":
                at_ns += LATE_NS
            elif len(frame) > 1:
                place, bit = self._dice.below(len(frame) - 1), self._dice.below(8)
                turned = frame[place] ^ (1 << bit)
                frame = frame[:place] + bytes([turned]) + frame[place + 1 :]
        for _ in range(copies):
            self._arrive(frame, at_ns)
