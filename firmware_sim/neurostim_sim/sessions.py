"""Sessions of hosts: who is in control, what each sent, and what every command gave, for repeats."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from neurostim.wire.channel import Channel
from neurostim.wire.layout import Reply
from neurostim.wire.messages import (
    COMMAND_RECORD_COUNT,
    HEARTBEAT_INTERVAL_US,
    HEARTBEAT_TIMEOUT_US,
    ErrorCode,
    Hello,
    Role,
)

SESSIONS: Final = 4
CLOSED_KEPT: Final = 4
NOBODY: Final = bytes(16)
INTERVAL_NS: Final = HEARTBEAT_INTERVAL_US * 1000
TIMEOUT_NS: Final = HEARTBEAT_TIMEOUT_US * 1000


class Refusal(Exception):
    """A command is refused: the code of the wire, a number that explains it, and words."""

    def __init__(self, code: ErrorCode, detail: int = 0, message: str = "") -> None:
        super().__init__(message or code.name)
        self.code = code
        self.detail = detail
        self.message = message


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command gave: its type and payload, and the reply or error that was sent."""

    command_type: int
    payload: bytes
    reply: Reply


@dataclass
class Session:
    """One open session, or one closed in this boot whose outcomes are still held.

    ``channel`` seals it, where a handshake made it; ``subject`` is for whom it works; ``line`` is the one its
    host was last heard on; ``lease_us`` is the lease of its last command that had to have one.
    """

    number: int
    host: bytes
    nonce: int
    role: Role
    heard_ns: int
    channel: Channel | None = None
    subject: str = ""
    line: int = 0
    sequence: int = 0
    sent: int = 0
    forgotten: int = 0
    outcomes: OrderedDict[int, Outcome] = field(default_factory=OrderedDict)
    lease_us: int = 0
    living_ns: int | None = None
    tokens: tuple[int, int] | None = None
    moved_ns: list[int] = field(default_factory=lambda: [0, 0])

    def next_sequence(self) -> int:
        """Number of the next frame to this session."""
        self.sent += 1
        return self.sent

    def kept(self, command_id: int, command_type: int, payload: bytes) -> Reply | None:
        """The outcome of a repeated command; None for a new one.

        Raises
        ------
        Refusal
            Where the id was used for something else or is older than the record.
        """
        outcome = self.outcomes.get(command_id)
        if outcome is not None:
            if (outcome.command_type, outcome.payload) != (command_type, payload):
                raise Refusal(ErrorCode.COMMAND_ID_REUSED)
            return outcome.reply
        if command_id <= self.forgotten:
            raise Refusal(ErrorCode.COMMAND_ID_FORGOTTEN)
        return None

    def keep(self, command_id: int, outcome: Outcome) -> None:
        """Hold an outcome; the oldest leaves the record."""
        self.outcomes[command_id] = outcome
        while len(self.outcomes) > COMMAND_RECORD_COUNT:
            oldest, _ = self.outcomes.popitem(last=False)
            self.forgotten = max(self.forgotten, oldest)

    def beat(self, tokens: tuple[int, int], now_ns: int, lease_ns: int, max_age_ns: int) -> bool:
        """Take a heartbeat's supervisor tokens; whether both have moved lately and it feeds the dead-man.

        It counts from its arrival, or from one interval after its lease where that is earlier: neither late
        frames nor lost answers may add up to an output that nobody watches.
        """
        for i in (0, 1):
            if self.tokens is None or tokens[i] != self.tokens[i]:
                self.moved_ns[i] = now_ns
        self.tokens = tokens
        counted_ns = min(now_ns, lease_ns + INTERVAL_NS)
        moved = all(now_ns - moved <= max_age_ns for moved in self.moved_ns)
        living = moved and now_ns - counted_ns < TIMEOUT_NS
        if living:
            self.living_ns = max(counted_ns, self.living_ns or 0)
        return living


class SessionTable:
    """All sessions of this boot."""

    def __init__(self) -> None:
        self.open: dict[int, Session] = {}
        self.closed: OrderedDict[int, Session] = OrderedDict()

    def get(self, number: int) -> Session:
        """An open session."""
        if number not in self.open:
            raise Refusal(ErrorCode.NO_SESSION)
        return self.open[number]

    def any(self, number: int) -> Session | None:
        """A session of this boot, open or closed."""
        return self.open.get(number) or self.closed.get(number)

    @property
    def controller(self) -> Session | None:
        """The session in control."""
        for one in self.open.values():
            if one.role is Role.CONTROL:
                return one
        return None

    @property
    def controller_host(self) -> bytes:
        """The host in control, zeros for none."""
        controller = self.controller
        return controller.host if controller else NOBODY

    def same(self, hello: Hello) -> Session | None:
        """The open session without a channel that this hello names again."""
        named = (hello.host_id, hello.nonce)
        plain = (one for one in self.open.values() if one.channel is None)
        return next((one for one in plain if (one.host, one.nonce) == named), None)

    @property
    def longest_silent(self) -> Session | None:
        """The observer that was heard the longest time ago."""
        observers = [one for one in self.open.values() if one.role is Role.OBSERVE]
        return min(observers, key=lambda one: (one.heard_ns, one.number), default=None)

    def close(self, session: Session) -> None:
        """Close a session; its outcomes are held for a while."""
        self.open.pop(session.number, None)
        self.closed[session.number] = session
        while len(self.closed) > CLOSED_KEPT:
            self.closed.popitem(last=False)
