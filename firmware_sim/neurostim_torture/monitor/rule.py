"""What a rule of the monitor is: a name, its bound in words, where it comes from, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from neurostim_torture.monitor.history import History
from neurostim_torture.monitor.records import Violation

Judge = Callable[[History], Iterator[Violation]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    ``bound`` says in words what is allowed, ``source`` where that comes from.
    """

    name: str
    bound: str
    source: str
    judge: Judge

    def __call__(self, history: History) -> list[Violation]:
        """What breaks this rule in a history; at most one finding for each dose or moment."""
        return list(self.judge(history))


def rule(bound: str, source: str) -> Callable[[Judge], Rule]:
    """Make a rule of a function; the rule's name is the function's, with hyphens."""

    def made(judge: Judge) -> Rule:
        return Rule(judge.__name__.replace("_", "-"), bound, source, judge)

    return made
