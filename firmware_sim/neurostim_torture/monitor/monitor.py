"""The monitor: sees records, and in the end says which rules were broken."""

from __future__ import annotations

from typing import Final

from neurostim_torture.monitor import books, home, in_time, phases, pulses, starts, states, train
from neurostim_torture.monitor.history import History
from neurostim_torture.monitor.records import Record, Setting, Violation
from neurostim_torture.monitor.rule import Rule

RULES: Final[tuple[Rule, ...]] = (
    *phases.RULES,
    *pulses.RULES,
    *train.RULES,
    *in_time.RULES,
    *starts.RULES,
    *states.RULES,
    *home.RULES,
    *books.RULES,
)


class Monitor:
    """Judges one schedule.

    Parameters
    ----------
    setting : Setting
        What was approved, and the bounds.
    rules : tuple of Rule, optional
        All of `RULES` otherwise.

    Examples
    --------
    >>> monitor = Monitor(setting)  # doctest: +SKIP
    >>> monitor.see(HostFrame(0, "HEARTBEAT", living=True))  # doctest: +SKIP
    >>> monitor.finish()  # doctest: +SKIP
    []
    """

    def __init__(self, setting: Setting, rules: tuple[Rule, ...] = RULES) -> None:
        self._setting = setting
        self._rules = rules
        self._records: list[Record] = []

    def see(self, record: Record) -> None:
        """Take one record; records come in order of time."""
        self._records.append(record)

    def finish(self) -> list[Violation]:
        """What broke a rule, in order of time; empty where nothing did."""
        history = History(self._setting, self._records)
        found = [violation for one in self._rules for violation in one(history)]
        return sorted(found, key=lambda one: one.at_ns)
