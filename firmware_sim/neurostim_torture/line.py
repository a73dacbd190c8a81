"""One direction of the line: frames go on it one by one, and faults meet them there by number and by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from neurostim_torture.faults import ANY, FRAME_FAULTS, Fault

TRANSIT_NS: Final = 200_000
HOLD_NS: Final = 20_000_000

Deliver = Callable[[int, bytes], None]
Strike = Callable[[Fault, str, bytes], None]


class Way:
    """What one side sends to the other.

    Parameters
    ----------
    faults : sequence of Fault
        Those of this direction that name a frame.
    deliver : callable
        ``deliver(at_ns, data)`` brings bytes to the other end at a true time.
    strike : callable
        ``strike(fault, name, frame)`` lets a fault happen that is none of the frame itself.
    note : callable
        Told of each fault that has met its frame.
    """

    def __init__(
        self,
        faults: list[Fault],
        deliver: Deliver,
        strike: Strike,
        note: Callable[[Fault], None],
    ) -> None:
        self._waiting: dict[tuple[str, int], list[Fault]] = {}
        for fault in faults:
            self._waiting.setdefault((fault.key, fault.nth), []).append(fault)
        self._deliver = deliver
        self._strike = strike
        self._note = note
        self._counts: dict[str, int] = {ANY: 0}
        self._free_ns = 0
        self._held: list[tuple[bytes, int]] = []
        self.clogged_ns = 0
        self.deaf_ns = 0
        self._backlog: list[bytes] = []
        self._merging: tuple[bytes, int] | None = None
        self._merge_until_ns = 0

    @property
    def frames(self) -> int:
        """How many frames were put on this direction."""
        return self._counts[ANY]

    def flush(self) -> None:
        """Forget what has not left the sender's buffer."""
        self._backlog.clear()

    def lose(self) -> None:
        """Forget everything that waits: the cable is out."""
        self._backlog.clear()
        self._held.clear()
        self._merging = None

    def put(self, frame: bytes, name: str, now_ns: int) -> None:
        """Put one frame of the message ``name`` on the line."""
        counts = self._counts
        counts[ANY] = everything = counts[ANY] + 1
        counts[name] = number = counts.get(name, 0) + 1
        struck: tuple[Fault, ...] = ()
        if self._waiting:
            struck = (
                *self._waiting.pop((name, number), ()),
                *self._waiting.pop((ANY, everything), ()),
            )
        if not (struck or self._held or self._merging):
            self._send(frame, now_ns, 0)
            return
        pieces, late, held = [frame], 0, False
        for fault in struck:
            if fault.what not in FRAME_FAULTS:
                self._strike(fault, name, frame)
                continue
            self._note(fault)
            pieces, late, held = self._suffer(fault, pieces, late, held, now_ns)
        if held:
            return
        if self._merging:
            (first, cut), self._merging = self._merging, None
            joined = b"".join([first, *pieces])
            cut %= len(joined)
            pieces = [joined[:cut], joined[cut:]]
        released, self._held = self._held, []
        for piece in pieces:
            self._send(piece, now_ns, late)
        for piece, _ in released:
            self._send(piece, now_ns, late)

    def release(self, now_ns: int) -> None:
        """Let go what was held back longer than its time."""
        due = [piece for piece, until in self._held if until <= now_ns]
        self._held = [entry for entry in self._held if entry[1] > now_ns]
        for piece in due:
            self._send(piece, now_ns, 0)
        if self._merging and self._merge_until_ns <= now_ns:
            (first, _), self._merging = self._merging, None
            self._send(first, now_ns, 0)

    def next_ns(self) -> int | None:
        """When something that is held back is let go, or a clogged line opens."""
        if not (self._held or self._backlog or self._merging):
            return None
        times = [until for _, until in self._held]
        if self._backlog:
            times.append(self.clogged_ns)
        if self._merging:
            times.append(self._merge_until_ns)
        return min(times, default=None)

    def open(self, now_ns: int) -> None:
        """Let everything out that a clogged line has kept."""
        if self._backlog and now_ns >= self.clogged_ns:
            kept, self._backlog = self._backlog, []
            for data in kept:
                self._arrive(data, now_ns)

    def _suffer(
        self, fault: Fault, pieces: list[bytes], late: int, held: bool, now_ns: int
    ) -> tuple[list[bytes], int, bool]:
        value = fault.value
        match fault.what:
            case "drop":
                return [], late, held
            case "duplicate":
                for piece in pieces:
                    self._deliver(now_ns + late + TRANSIT_NS + max(value, 1), piece)
            case "flip":
                return [_flipped(piece, value) for piece in pieces], late, held
            case "flip-many":
                return [_flipped_many(piece, value) for piece in pieces], late, held
            case "truncate":
                return [piece[: value % max(len(piece), 1)] for piece in pieces], late, held
            case "delay":
                return pieces, late + value, held
            case "reorder":
                self._held += [(piece, now_ns + (value or HOLD_NS)) for piece in pieces]
                return [], late, True
            case "bytes":
                for piece in pieces:
                    for place in range(len(piece)):
                        self._send(piece[place : place + 1], now_ns, late + place * value)
                return [], late, held
            case _:
                before = self._merging[0] if self._merging else b""
                self._merging = b"".join([before, *pieces]), value
                self._merge_until_ns = now_ns + HOLD_NS
                return [], late, True
        return pieces, late, held

    def _send(self, data: bytes, now_ns: int, late: int) -> None:
        if not data or now_ns < self.deaf_ns:
            return
        if now_ns < self.clogged_ns:
            self._backlog.append(data)
            return
        self._arrive(data, now_ns + late)

    def _arrive(self, data: bytes, at_ns: int) -> None:
        self._free_ns = arrival = max(at_ns + TRANSIT_NS, self._free_ns)
        self._deliver(arrival, data)


def _flipped(frame: bytes, bit: int) -> bytes:
    if not frame:
        return frame
    place = bit // 8 % len(frame)
    return frame[:place] + bytes([frame[place] ^ (1 << bit % 8)]) + frame[place + 1 :]


def _flipped_many(frame: bytes, value: int) -> bytes:
    """Turn 2 to 8 bits, no two the same; a number has its own places."""
    if not frame:
        return frame
    bits: set[int] = set()
    place = value
    while len(bits) < 2 + value % 7:
        place = (place * 1_103_515_245 + 12_345) % (1 << 31)
        bits.add((place >> 8) % (8 * len(frame)))
    for bit in sorted(bits):
        frame = _flipped(frame, bit)
    return frame
