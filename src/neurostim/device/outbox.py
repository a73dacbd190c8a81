"""What the host sends: numbering, sealing, and the bound on bytes that may wait unanswered on the line.

An answer to a frame proves that the device has read everything sent before it; what was sent after
the last such proof may still lie in a buffer, and is never more than 256 bytes, stop frames aside.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from neurostim.device.notices import LinkCounters
from neurostim.wire.channel import Channel
from neurostim.wire.codec import Recorder, stop_frame
from neurostim.wire.frame import encode_line, line_length_bound
from neurostim.wire.layout import Request
from neurostim.wire.messages import HEARTBEAT_TIMEOUT_US, MAX_UNACKNOWLEDGED_BYTES

# Half the dead-man's patience: two frames that a line loses must not keep the next heartbeat waiting
# for so long that a healthy link falls silent.
LOST_AFTER_NS: Final = HEARTBEAT_TIMEOUT_US * 1000 // 2


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Bytes to write; ``flush`` says that whatever has not left yet is to be discarded first.

    ``urgent`` is a stop frame in ``data`` that a link with a second way to the device sends there as well.
    """

    flush: bool
    data: bytes
    urgent: bytes = b""


class Outbox:
    """Numbers, seals and holds frames until the owner of the link takes them.

    ``now_ns`` is kept up to date by the host core; a ``recorder`` is told of every frame but stops, which are
    never sealed.
    """

    def __init__(self, counters: LinkCounters) -> None:
        self.lease_us = 0
        self.now_ns = 0
        self.channel: Channel | None = None
        self.recorder: Recorder | None = None
        self._counters = counters
        self._session = 0
        self._sequence = 0
        self._command_id = 0
        self._sent = 0
        self._proven = 0
        self._waiting = bytearray()
        self._flush = False
        self._urgent = b""
        self._unanswered: deque[tuple[int, int]] = deque()

    @property
    def session(self) -> int:
        """Session the device gave; 0 for none."""
        return self._session

    def begin_session(self, session: int, channel: Channel | None = None) -> None:
        """Number the frames of a new session from 1, and seal them where there is a channel; 0 for none."""
        self._session = session
        self._sequence = 0
        self.channel = channel

    def next_id(self) -> int:
        """Next command id; ids ascend, and are taken at the moment of sending."""
        self._command_id += 1
        return self._command_id

    def stop_frame(self, command_id: int, *, emergency: bool) -> bytes:
        """Bytes of a stop of this session, which may be made long before they are needed.

        It is never sealed: a stop must need nothing that can be missing, stale or used up.
        """
        return stop_frame(emergency=emergency, session=self._session, command_id=command_id)

    def offer(self, request: Request, command_id: int, *, vital: bool = False) -> int | None:
        """Send where the bound leaves room; return the place behind the frame, or None.

        A ``vital`` frame counts as lost what was not answered for 150 ms, and takes its room.
        """
        payload = request.encode()
        length = line_length_bound(len(payload), authenticated=self.channel is not None)
        if not self._has_room(length):
            if not (vital and self._unanswered_ns() >= LOST_AFTER_NS):
                return None
            self.renew()
            if not self._has_room(length):
                return None
        if self._session:
            self._sequence += 1
        frame = encode_line(
            request.TYPE,
            request.KIND,
            payload,
            session=self._session,
            sequence=self._sequence,
            command_id=command_id,
            lease_us=self.lease_us,
            channel=self.channel,
        )
        if self.recorder is not None:
            self.recorder(frame, request, self._session, self._sequence, command_id, self.lease_us)
        self._waiting += frame
        self._count(frame)
        return self._sent

    def overtake(self, frame: bytes) -> int:
        """Send a stop frame now: what has not left is discarded, so that it waits behind nothing."""
        self._flush = True
        self._waiting[:] = frame
        self._urgent = frame
        self._count(frame)
        return self._sent

    def proven(self, place: int) -> None:
        """Note that the device has read everything before ``place``."""
        self._proven = max(self._proven, place)
        while self._unanswered and self._unanswered[0][0] <= self._proven:
            self._unanswered.popleft()

    def discard(self) -> None:
        """Discard what has not left, as on a link that is silent or new."""
        self._flush = True
        self._waiting.clear()
        self._urgent = b""
        self.proven(self._sent)

    def renew(self) -> None:
        """Discard what has left this program but not the system, to probe a link that is silent."""
        self._flush = True
        self.proven(self._sent - len(self._waiting))

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

    def _has_room(self, length: int) -> bool:
        return self._sent + length - self._proven <= MAX_UNACKNOWLEDGED_BYTES

    def _unanswered_ns(self) -> int:
        """How long the oldest frame without an answer has been waiting for one [ns]."""
        return self.now_ns - self._unanswered[0][1] if self._unanswered else 0

    def _count(self, frame: bytes) -> None:
        self._sent += len(frame)
        self._unanswered.append((self._sent, self.now_ns))
        self._counters.frames_sent += 1
