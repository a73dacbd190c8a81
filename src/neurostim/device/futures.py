"""The result of a command that is on its way. It runs no foreign code on the thread that owns the link."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from neurostim.core.errors import CommandTimeout

T = TypeVar("T")

Wait = Callable[[Callable[[], bool], "float | None"], None]


class CommandFuture(Generic[T]):
    """A value that comes later, or the error that came instead.

    Unlike `concurrent.futures.Future` it takes no callbacks and cannot be cancelled: a callback
    would hold up the thread that sends heartbeats and stops, and a frame that left is not undone
    by forgetting it.

    Parameters
    ----------
    name : str
        What was asked, for messages.
    wait : callable, optional
        How to wait where no thread works in the background: called with a condition and a
        timeout [s]; it lets virtual time pass until the condition holds.
    """

    def __init__(self, name: str, wait: Wait | None = None) -> None:
        self.name = name
        self._wait = wait
        # A bare lock, held until there is an outcome: an Event costs several times as much.
        self._pending = threading.Lock()
        self._pending.acquire()
        self._settled = False
        self._value: T | None = None
        self._error: BaseException | None = None

    def __repr__(self) -> str:
        state = "waiting" if not self.done() else "failed" if self._error else "done"
        return f"<{self.name}: {state}>"

    def done(self) -> bool:
        """Whether there is a result or an error."""
        return self._settled

    def result(self, timeout: float | None = None) -> T:
        """Wait for the result.

        Parameters
        ----------
        timeout : float, optional
            How long to wait [s]; by default as long as the command's own deadlines take.

        Raises
        ------
        CommandTimeout
            Code ``wait-timeout``: the command is still under way.
        NeurostimError
            The error the command ended with.
        """
        self._await(timeout)
        if self._error is not None:
            raise self._error
        return cast(T, self._value)

    def error(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the end; return the error, or None where there is a result."""
        self._await(timeout)
        return self._error

    def resolve(self, value: T) -> None:
        """Give the result; for the owner of the link. Later answers change nothing."""
        if not self._settled:
            self._value = value
            self._settle()

    def fail(self, error: BaseException) -> None:
        """Give the error; for the owner of the link."""
        if not self._settled:
            self._error = error
            self._settle()

    def _settle(self) -> None:
        self._settled = True
        self._pending.release()

    def _await(self, timeout: float | None) -> None:
        if self._wait is None:
            if self._pending.acquire(timeout=-1 if timeout is None else max(timeout, 0)):
                self._pending.release()
        elif not self.done():
            self._wait(self.done, timeout)
        if not self.done():
            raise CommandTimeout(
                f"{self.name} has no outcome after {timeout} s of waiting",
                remedy="It is still under way; wait longer, or stop the output.",
                code="wait-timeout",
            )
