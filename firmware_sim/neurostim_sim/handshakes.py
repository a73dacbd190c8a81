"""Channels that a handshake has made: they are nothing until their first sealed frame.

A replayed first message makes one, too, and its sender can do nothing with it: only who made the
message can make a frame for the channel. So nothing that is open is touched before that frame, and each
line has room of its own: what is repeated on one takes no channel of a host on another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from neurostim.wire import messages as m
from neurostim.wire.messages import HandshakePurpose
from neurostim_sim.clock import US
from neurostim_sim.sessions import Session

HELD: Final = 2
VALID_NS: Final = m.HANDSHAKE_VALID_US * US


@dataclass
class Pending:
    """One such channel.

    Attributes
    ----------
    session : Session
        What it becomes: number, host and channel.
    purpose : HandshakePurpose
    request : Handshake
        The message that made it, and ``reply``, what was answered: the same message is answered alike.
    until_ns : int
        When it is forgotten, by the device's clock [ns].
    line : int
        Where it was made.
    paired : tuple of Pair and PairReply, optional
        What PAIR asked on it and gave.
    """

    session: Session
    purpose: HandshakePurpose
    request: m.Handshake
    reply: m.HandshakeReply
    until_ns: int
    line: int
    paired: tuple[m.Pair, m.PairReply] | None = None


class Handshakes:
    """The pending channels of one boot, the oldest first."""

    def __init__(self) -> None:
        self._held: list[Pending] = []

    def get(self, number: int, now_ns: int) -> Pending | None:
        """A channel by the number of its session."""
        self._expire(now_ns)
        return next((one for one in self._held if one.session.number == number), None)

    def same(self, request: m.Handshake, line: int, now_ns: int) -> Pending | None:
        """The channel that this very message has made on this line."""
        self._expire(now_ns)
        return next((one for one in self._held if (one.line, one.request) == (line, request)), None)

    def hold(self, pending: Pending) -> None:
        """Hold one more; the oldest of its line goes."""
        of_line = [one for one in self._held if one.line == pending.line]
        gone = of_line[: len(of_line) - HELD + 1]
        self._held = [*(one for one in self._held if one not in gone), pending]

    def drop_line(self, line: int) -> None:
        """Forget the channels of a line that is gone."""
        self._held = [one for one in self._held if one.line != line]

    def drop(self, number: int) -> None:
        """A channel is pending no longer."""
        self._held = [one for one in self._held if one.session.number != number]

    def drop_host(self, host_id: bytes) -> None:
        """Forget the channels of a host whose key is erased."""
        self._held = [one for one in self._held if one.session.host != host_id]

    def drop_sessions_of(self, host_id: bytes) -> None:
        """Forget the channels for sessions that a host's replaced key has made."""
        self._held = [
            one
            for one in self._held
            if one.purpose is not HandshakePurpose.SESSION or one.session.host != host_id
        ]

    def _expire(self, now_ns: int) -> None:
        if any(one.until_ns < now_ns for one in self._held):
            self._held = [one for one in self._held if one.until_ns >= now_ns]
