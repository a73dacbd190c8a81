"""Who must be alive for output to go on: the screen and the journal, each by tokens it renews itself.

A program that hangs renews nothing; the heartbeat then stops and the device ramps down on its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

MAX_AGE_NS: Final = 1_000_000_000
PARTIES: Final = ("ui", "journal")


@dataclass(frozen=True, slots=True)
class Tokens:
    """How often each party has shown itself; both count in a heartbeat."""

    ui: int
    journal: int


class Supervisor:
    """Collects the tokens; `tokens` gives them only while every party was seen within a second."""

    def __init__(self, parties: Iterable[str] = PARTIES) -> None:
        self._counts = dict.fromkeys(parties, 0)
        self._seen_ns: dict[str, int] = {}
        self._lock = threading.Lock()

    def beat(self, party: str, now_ns: int) -> None:
        """Say that ``party`` is alive; from any thread.

        Raises
        ------
        KeyError
            For a party that is not supervised.
        """
        with self._lock:
            self._counts[party] += 1
            self._seen_ns[party] = now_ns

    def missing(self, now_ns: int) -> Mapping[str, int | None]:
        """Parties not seen within a second, with the age of their last token [ns]; None: never seen."""
        with self._lock:
            ages = {
                party: now_ns - self._seen_ns[party] if party in self._seen_ns else None
                for party in self._counts
            }
        return {party: age for party, age in ages.items() if age is None or age > MAX_AGE_NS}

    def tokens(self, now_ns: int) -> Tokens | None:
        """The tokens for a heartbeat, or None while a party is missing."""
        if self.missing(now_ns):
            return None
        with self._lock:
            return Tokens(self._counts.get("ui", 0), self._counts.get("journal", 0))
