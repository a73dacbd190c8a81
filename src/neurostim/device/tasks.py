"""Work of several commands, one after another: a generator that asks and is given the answers.

A script yields a request and receives its reply, or yields a `Pause` and receives None. A refusal or
a timeout is raised inside the script, at the request it belongs to.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from neurostim.core.errors import NeurostimError
from neurostim.device.futures import CommandFuture
from neurostim.wire.layout import Need, Reply, Request
from neurostim.wire.messages import (
    LoadBegin,
    LoadChunk,
    LoadCommit,
    ReleaseBegin,
    ReleaseRanges,
    ReleaseSlot,
    SoftStop,
)

R = TypeVar("R")

_REPEATABLE: Final = (LoadBegin, LoadChunk, LoadCommit, ReleaseBegin, ReleaseRanges, ReleaseSlot, SoftStop)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait this long before going on [ns]."""

    duration_ns: int


Script = Generator[Request | Pause, Reply | None, R]


@dataclass(slots=True)
class Lane:
    """Tasks that wait for each other: one is under way, the others queue."""

    name: str
    current: Task | None = None
    queue: deque[Task] = field(default_factory=deque)


@dataclass(slots=True)
class Task:
    """A script under way; the fields from ``request`` on belong to its present request.

    ``begun`` tells whether any of its requests was ever sent. ``place`` is the place in the stream of
    sent bytes behind the first attempt; ``first_ns`` when the script asked for it, ``asked_ns`` when it
    was last to be sent, ``deadline_ns`` when it has waited too long [ns].
    """

    name: str
    script: Script[Any]
    future: CommandFuture[Any]
    lane: Lane | None = None
    resume_ns: int | None = None
    begun: bool = False
    request: Request | None = None
    command_id: int = 0
    session: int = 0
    boot_count: int = 0
    attempts: int = 0
    sent: bool = False
    place: int = 0
    asked_ns: int = 0
    first_ns: int = 0
    deadline_ns: int | None = None

    def begin_step(self, now_ns: int) -> None:
        """Forget the request that was answered; the script will ask for the next."""
        self.request = None
        self.command_id = 0
        self.attempts = 0
        self.sent = False
        self.place = 0
        self.asked_ns = self.first_ns = now_ns
        self.deadline_ns = None

    def leave(self) -> None:
        """Free the lane."""
        if self.lane is not None and self.lane.current is self:
            self.lane.current = None


def is_blind_repeatable(request: Request) -> bool:
    """Whether an unanswered request may simply be sent again, under the same command id.

    Reads may; so may loading, describing a release and the soft stop, which raise nothing and which the
    device executes at most once under one id.
    """
    reads = not request.ONCE and not request.RAISES_OUTPUT
    return reads or isinstance(request, _REPEATABLE)


def attempts_allowed(request: Request) -> int:
    """How often a request is sent before its silence counts; a soft stop must not wait long."""
    return 2 if isinstance(request, SoftStop) else 4


def starts_or_raises(request: Request) -> bool:
    """Whether a request prepares, starts or raises output: what an uncertain outcome blocks."""
    return request.RAISES_OUTPUT or (request.LEASE and request.ONCE)


def needs_control(request: Request) -> bool:
    """Whether only the controlling session may send it."""
    return request.NEEDS is Need.CONTROL


def single(request: Request) -> Script[Reply]:
    """Script of one command."""
    reply = yield request
    assert reply is not None
    return reply


class Superseded(NeurostimError):
    """The command was taken back before it was sent; nothing was executed."""

    default_code = "superseded"
