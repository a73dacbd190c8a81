"""What the host sends: numbering, and the bound on bytes that may wait unanswered anywhere on the line.

An answer to a frame proves that the device has read everything sent before it; what was sent after
the last such proof may still lie in a buffer, and is never more than 256 bytes, stop frames aside.
"""

from __future__ import annotations

from dataclasses import dataclass

from neurostim.device.notices import LinkCounters
from neurostim.wire.codec import pack
from neurostim.wire.layout import Request
from neurostim.wire.messages import MAX_UNACKNOWLEDGED_BYTES


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Bytes to write; ``flush`` says that whatever has not left yet is to be discarded first.

    ``urgent`` is a stop frame in ``data`` that a link with a second way to the device sends there as well.
    """

    flush: bool
    data: bytes
    urgent: bytes = b""


class Outbox:
    """Numbers, encodes and holds frames until the owner of the link takes them."""

    def __init__(self, counters: LinkCounters) -> None:
        self.lease_us = 0
        self._counters = counters
        self._session = 0
        self._sequence = 0
        self._command_id = 0
        self._sent = 0
        self._proven = 0
        self._waiting = bytearray()
        self._flush = False
        self._urgent = b""

    @property
    def session(self) -> int:
        """Session the device gave; 0 for none."""
        return self._session

    def begin_session(self, session: int) -> None:
        """Number the frames of a new session from 1; 0 for none."""
        self._session = session
        self._sequence = 0

    def next_id(self) -> int:
        """Next command id; ids ascend, and are taken at the moment of sending."""
        self._command_id += 1
        return self._command_id

    def encode(self, request: Request, command_id: int) -> bytes:
        """Bytes of a frame, with the next sequence and the present lease."""
        if self._session:
            self._sequence += 1
        return pack(
            request,
            session=self._session,
            sequence=self._sequence,
            command_id=command_id,
            lease_us=self.lease_us,
        )

    def offer(self, request: Request, command_id: int) -> int | None:
        """Send where the bound leaves room; return the place behind the frame, or None."""
        frame = self.encode(request, command_id)
        if self._sent + len(frame) - self._proven > MAX_UNACKNOWLEDGED_BYTES:
            if self._session:
                self._sequence -= 1
            return None
        self._waiting += frame
        self._sent += len(frame)
        self._counters.frames_sent += 1
        return self._sent

    def overtake(self, frame: bytes) -> int:
        """Send a stop frame now: what has not left is discarded, so that it waits behind nothing."""
        self._flush = True
        self._waiting[:] = frame
        self._urgent = frame
        self._sent += len(frame)
        self._counters.frames_sent += 1
        return self._sent

    def proven(self, place: int) -> None:
        """Note that the device has read everything before ``place``."""
        self._proven = max(self._proven, place)

    def discard(self) -> None:
        """Discard what has not left, as on a link that is silent or new."""
        self._flush = True
        self._waiting.clear()
        self._urgent = b""
        self._proven = self._sent

    def renew(self) -> None:
        """Discard what has left this program but not the system, to probe a link that is silent."""
        self._flush = True
        self._proven = self._sent - len(self._waiting)

    @property
    def unproven(self) -> int:
        """Bytes sent since the last proof that the device reads."""
        return self._sent - self._proven

    def take(self) -> Outgoing | None:
        """Bytes to write now, or None."""
        if not self._waiting and not self._flush:
            return None
        outgoing = Outgoing(self._flush, bytes(self._waiting), self._urgent)
        self._waiting.clear()
        self._flush = False
        self._urgent = b""
        return outgoing
