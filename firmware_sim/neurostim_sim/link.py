"""The device's side of the line: bytes to frames, and replies and events to bytes."""

from __future__ import annotations

from typing import Final

from neurostim.wire import messages as m
from neurostim.wire.codec import pack
from neurostim.wire.frame import Frame, FrameDecoder, FrameError
from neurostim.wire.layout import Event, Lane, Reply
from neurostim_sim.clock import DeviceClock
from neurostim_sim.sessions import Session, SessionTable

TELEMETRY_BYTES: Final = 4096


class Link:
    """The line of one boot: its decoder, its sessions and what waits to be sent."""

    def __init__(self, clock: DeviceClock) -> None:
        self.sessions = SessionTable()
        self.telemetry_dropped = 0
        self._clock = clock
        self._decoder = FrameDecoder()
        self._waiting = bytearray()

    @property
    def frames_refused(self) -> int:
        """Damaged or foreign frames of this boot."""
        return self._decoder.counts.dropped_frames

    def decode(self, data: bytes) -> list[Frame | FrameError]:
        """The frames that these bytes complete."""
        return self._decoder.feed(data)

    def take(self) -> bytes:
        """What waits to be sent; it waits no longer."""
        data = bytes(self._waiting)
        self._waiting.clear()
        return data

    def reply(self, session: Session | None, command_id: int, reply: Reply) -> None:
        """Answer a command; without a session number and sequence are 0."""
        number = session.number if session else 0
        sequence = session.next_sequence() if session else 0
        if isinstance(reply, m.HelloReply):
            number, sequence = 0, 0
        self._waiting += pack(
            reply, session=number, sequence=sequence, command_id=command_id, lease_us=self._clock.now_us
        )

    def tell(self, event: Event) -> None:
        """Send an event to every open session; telemetry only where the line keeps up."""
        if event.LANE is Lane.TELEMETRY and len(self._waiting) > TELEMETRY_BYTES:
            self.telemetry_dropped += 1
            return
        for session in self.sessions.open.values():
            self._waiting += pack(
                event,
                session=session.number,
                sequence=session.next_sequence(),
                command_id=0,
                lease_us=self._clock.now_us,
            )
