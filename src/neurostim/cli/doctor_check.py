"""What one check of ``neurostim doctor`` finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: its state (``ok``, ``warn``, ``fail``), what was seen, what to do."""

    name: str
    state: str
    seen: str
    remedy: str = ""
