"""When output must be silent: after the host, a stop, the supply, the processor or the lead is gone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neurostim_torture.monitor.history import History, last_before
from neurostim_torture.monitor.records import Violation
from neurostim_torture.monitor.rule import rule


@rule(
    "no supervised pulse ends later than 500 ms after the last heartbeat that a living host sent",
    "issue 3, section 1; safety facts, link design",
)
def silent_without_host(history: History) -> Iterator[Violation]:
    """Judge each dose that a host began."""
    bound = history.setting.bounds.silence_ns
    living = history.living_ns()
    for dose in history.doses:
        if dose.flow.by == "patient" or not len(dose.driven):
            continue
        ends = dose.driven.end_ns
        last, known = last_before(living, ends)
        late = ~known | (ends - last > bound)
        if late.any():
            first = int(np.flatnonzero(late)[0])
            age = f"{int(ends[first] - last[first])} ns after" if known[first] else "without any"
            yield Violation(
                "silent-without-host",
                int(ends[first]),
                f"a phase ends {age} the last living heartbeat, allowed {bound} ns",
                dose.number,
            )
