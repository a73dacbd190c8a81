"""The device's side of its lines: bytes to frames, and replies and events to bytes, sealed where keyed.

A device may have several lines (the functions of a USB device, the hosts on a TCP port). A reply goes to
the line that the command came from, an event to the line on which its session was last heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from neurostim.core.errors import ProtocolError
from neurostim.wire.channel import Channel
from neurostim.wire.codec import Recorder, pack
from neurostim.wire.frame import Frame, FrameDecoder, FrameError
from neurostim.wire.layout import Event, Lane, Message, Reply
from neurostim.wire.messages import HelloReply
from neurostim_sim.clock import DeviceClock
from neurostim_sim.handshakes import Handshakes
from neurostim_sim.session_numbers import SessionNumbers
from neurostim_sim.sessions import Session, SessionTable

TELEMETRY_BYTES: Final = 4096


class _Line:
    __slots__ = ("decoder", "waiting")

    def __init__(self) -> None:
        self.decoder = FrameDecoder()
        self.waiting = bytearray()


class Link:
    """The lines of one boot: their decoders, the sessions, and what waits to be sent.

    Parameters
    ----------
    clock : DeviceClock
    numbers : SessionNumbers
        Those of this boot's sessions.

    Attributes
    ----------
    numbers : SessionNumbers
    sessions : SessionTable
    handshakes : Handshakes
        Channels that are no sessions yet.
    recorder : callable or None
        Told of each frame that is sent, in plain.
    telemetry_dropped : int
        Telemetry frames that a slow line has cost.
    tags_refused : int
        Frames whose tag failed, or whose number was used: dropped without an answer.
    """

    def __init__(self, clock: DeviceClock, numbers: SessionNumbers) -> None:
        self.numbers = numbers
        self.sessions = SessionTable()
        self.handshakes = Handshakes()
        self.recorder: Recorder | None = None
        self.telemetry_dropped = 0
        self.tags_refused = 0
        self._clock = clock
        self._lines = {0: _Line()}
        self._heard = 0
        self._gone_refused = 0

    @property
    def frames_refused(self) -> int:
        """Damaged or foreign frames of this boot."""
        damaged = sum(line.decoder.counts.dropped_frames for line in self._lines.values())
        return damaged + self._gone_refused + self.tags_refused

    def decode(self, data: bytes, line: int) -> Iterator[Frame | FrameError]:
        """The frames that these bytes complete; while one is looked at, replies go to its line."""
        if line not in self._lines:
            self._lines[line] = _Line()
        for item in self._lines[line].decoder.feed(data):
            self._heard = line
            yield item

    def take(self, line: int) -> bytes:
        """What waits to be sent on a line; it waits no longer."""
        if line not in self._lines:
            return b""
        waiting = self._lines[line].waiting
        data = bytes(waiting)
        waiting.clear()
        return data

    def drop(self, line: int) -> None:
        """A line is gone, with what waited for it; its sessions live until they are silent too long."""
        gone = self._lines.pop(line, None)
        self.handshakes.drop_line(line)
        if gone is not None:
            self._gone_refused += gone.decoder.counts.dropped_frames
        self._lines.setdefault(0, _Line())

    def clear(self) -> None:
        """Nothing waits to be sent."""
        for line in self._lines.values():
            line.waiting.clear()

    # ----------------------------------------------------------------------------- who has spoken

    @property
    def heard_on(self) -> int:
        """The line that was heard last."""
        return self._heard

    def open(self, frame: Frame, channel: Channel) -> Frame | None:
        """A sealed frame opened; None, and counted, where its tag or its number does not fit."""
        try:
            return channel.open(frame)
        except ProtocolError:
            self.tags_refused += 1
            return None

    def heard(self, session: Session) -> None:
        """A session has said something valid."""
        session.heard_ns = self._clock.now_ns
        session.line = self._heard

    # ------------------------------------------------------------------------------------- sending

    def reply(self, session: Session | None, command_id: int, reply: Reply) -> None:
        """Answer a command on the line it came from; without a session number and sequence are 0."""
        if session is None or (session.channel is None and isinstance(reply, HelloReply)):
            number, sequence, channel = 0, 0, None
        else:
            number, sequence, channel = session.number, session.next_sequence(), session.channel
        if self._heard in self._lines:
            self._lines[self._heard].waiting += self._pack(reply, number, sequence, command_id, channel)

    def tell(self, event: Event) -> None:
        """Send an event to every open session; telemetry only where its line keeps up."""
        dropped = False
        for session in self.sessions.open.values():
            line = self._lines.get(session.line)
            if line is None:
                # Its number is used up: where the session lives on, the gap tells what was missed.
                session.next_sequence()
                continue
            if event.LANE is Lane.TELEMETRY and len(line.waiting) > TELEMETRY_BYTES:
                dropped = True
                continue
            line.waiting += self._pack(event, session.number, session.next_sequence(), 0, session.channel)
        self.telemetry_dropped += dropped

    def _pack(
        self, message: Message, session: int, sequence: int, command_id: int, channel: Channel | None
    ) -> bytes:
        now_us = self._clock.now_us
        frame = pack(
            message,
            session=session,
            sequence=sequence,
            command_id=command_id,
            lease_us=now_us,
            channel=channel,
        )
        if self.recorder is not None:
            self.recorder(frame, message, session, sequence, command_id, now_us)
        return frame
