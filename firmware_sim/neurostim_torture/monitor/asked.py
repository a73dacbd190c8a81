"""What amplitude was asked for at any moment: by the person's host, or at home within the patient's range."""

from __future__ import annotations

import numpy as np

from neurostim_torture.monitor.dose import Dose, Floats, Ints
from neurostim_torture.monitor.history import History
from neurostim_torture.monitor.records import Area


class Asked:
    """The highest amplitude of one area that somebody had asked for, as a staircase over time.

    A change counts from the moment it was sent, what it replaces until the device confirmed it.
    """

    def __init__(self, times: list[int], levels: list[int]) -> None:
        self._times = np.array(times, dtype=np.int64)
        self._levels = np.array(levels, dtype=np.float64)

    def at_most(self, *moments: Ints) -> Floats:
        """The larger of what was asked at some moments [nA]."""
        found = [
            self._levels[np.maximum(np.searchsorted(self._times, one, side="right") - 1, 0)]
            for one in moments
        ]
        most: Floats = np.maximum.reduce(found)
        return most


def asked_of(history: History, dose: Dose, index: int, area: Area) -> Asked:
    """The staircase of one area of a dose."""
    if dose.flow.by == "patient":
        top = area.patient or area.approved
        return Asked([0], [top.max_na])
    happened: list[tuple[int, int, int, int]] = []
    for sent in history.own("SET_AMPLITUDE"):
        fields = sent.fields
        if fields["dose_number"] == dose.number and fields["area"] == index:
            happened.append((sent.at_ns, sent.session, sent.command_id, int(fields["to_na"])))
    if not happened:
        return Asked([0], [area.amplitude_na])
    answered = {
        (one.session, one.command_id): (one.at_ns, one.kind == "SET_AMPLITUDE")
        for one in reversed(history.told)
        if one.what == "reply" and one.kind in ("SET_AMPLITUDE", "ERROR")
    }
    moments: list[tuple[int, int, tuple[int, int], int]] = []
    for at_ns, session, command_id, to_na in happened:
        moments.append((at_ns, 0, (session, command_id), to_na))
        if (session, command_id) in answered:
            heard_ns, done = answered[session, command_id]
            moments.append((heard_ns, 1 if done else 2, (session, command_id), to_na))
    present, waiting = area.amplitude_na, dict[tuple[int, int], int]()
    times, levels = [0], [present]
    for at_ns, what, command, to_na in sorted(moments):
        if what == 0:
            waiting[command] = to_na
        else:
            waiting.pop(command, None)
            present = to_na if what == 1 else present
        times.append(at_ns)
        levels.append(max(present, *waiting.values()) if waiting else present)
    return Asked(times, levels)
