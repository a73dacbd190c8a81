"""What a host has not taken yet, in whole frames: telemetry gives way first, nothing grows without bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from neurostim.wire.frame import FLAG_AUTHENTICATED, FLAG_EVENT, VERSION
from neurostim.wire.layout import Event, Lane
from neurostim.wire.messages import MESSAGES
from neurostim_sim.servers.line import DELIMITER

MOST_WITH_TELEMETRY: Final = 1 << 14
"""From this backlog on telemetry is dropped [bytes]."""
MOST: Final = 1 << 18
"""From this backlog on the oldest frames are dropped, whatever they say [bytes]."""
PIECE: Final = 1 << 12

_FLAGS: Final = (FLAG_EVENT, FLAG_EVENT | FLAG_AUTHENTICATED)
_TELEMETRY: Final = frozenset(
    number
    for (number, _), kind in MESSAGES.items()
    if issubclass(kind, Event) and kind.LANE is Lane.TELEMETRY
)


class Unsent:
    """The frames that wait for one host.

    Attributes
    ----------
    dropped : int
        Frames that were given up.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._frames: deque[bytes] = deque()
        self._size = 0
        self._leaving = b""
        self._begun = b""

    def __bool__(self) -> bool:
        return bool(self._leaving or self._frames)

    def put(self, data: bytes) -> None:
        """Let frames wait; one that is begun waits for its end."""
        *ended, self._begun = (self._begun + data).split(DELIMITER)
        for stuffed in ended:
            if stuffed:
                self._wait(stuffed)

    def send(self, write: Callable[[bytes], int]) -> None:
        """Write what ``write`` takes, which returns the number of bytes or raises `BlockingIOError`."""
        while self:
            if not self._leaving:
                self._leave()
            try:
                self._leaving = self._leaving[write(self._leaving) :]
            except BlockingIOError:
                return

    def _wait(self, stuffed: bytes) -> None:
        if self._size > MOST_WITH_TELEMETRY and is_telemetry(stuffed):
            self.dropped += 1
            return
        frame = DELIMITER + stuffed + DELIMITER
        self._frames.append(frame)
        self._size += len(frame)
        while self._size > MOST:
            self._size -= len(self._frames.popleft())
            self.dropped += 1

    def _leave(self) -> None:
        # What has begun to leave is not dropped any more: half a frame would cost the host the next one.
        pieces = [self._frames.popleft()]
        size = len(pieces[0])
        while self._frames and size + len(self._frames[0]) <= PIECE:
            pieces.append(self._frames.popleft())
            size += len(pieces[-1])
        self._size -= size
        self._leaving = b"".join(pieces)


def is_telemetry(stuffed: bytes) -> bool:
    """Whether the stuffed bytes of a frame carry telemetry, sealed or not: its header is not encrypted.

    Version, type and flags of an event are not zero, and the byte behind them is: so they stand as they
    are behind the first code of the stuffing.
    """
    return len(stuffed) > 3 and stuffed[1] == VERSION and stuffed[2] in _TELEMETRY and stuffed[3] in _FLAGS
