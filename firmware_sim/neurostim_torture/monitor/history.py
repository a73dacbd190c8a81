"""Everything the monitor was told about one schedule, in order, by kind; rules read it and change nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from neurostim_torture.monitor.dose import Dose
from neurostim_torture.monitor.records import (
    Body,
    Books,
    DeviceFrame,
    Flow,
    HostFrame,
    Intent,
    Kept,
    Life,
    Mode,
    Power,
    Record,
    Setting,
    Taken,
    UsageRead,
)

Instants = NDArray[np.int64]

P = ParamSpec("P")
T = TypeVar("T")


def once(find: Callable[Concatenate[History, P], T]) -> Callable[Concatenate[History, P], T]:
    """Let a question about a history be answered once for all rules: a history does not change.

    The arguments have to be hashable, and nobody may change the answer.
    """

    @wraps(find)
    def found(history: History, /, *args: P.args, **named: P.kwargs) -> T:
        key = (find, *args, *named.items())
        if key not in history.answers:
            history.answers[key] = find(history, *args, **named)
        answer: T = history.answers[key]
        return answer

    return found


class History:
    """What happened in one schedule.

    Parameters
    ----------
    setting : Setting
    records : sequence of Record
        In order of time, but for `Flow` and `Books`, which tell of what is over.
    """

    def __init__(self, setting: Setting, records: Sequence[Record]) -> None:
        self.setting = setting
        self.answers: dict[tuple[Any, ...], Any] = {}
        kinds: defaultdict[type, list[Record]] = defaultdict(list)
        for record in records:
            kinds[type(record)].append(record)
        self.sent: list[HostFrame] = kinds.get(HostFrame, [])  # type: ignore[assignment]
        self.taken: list[Taken] = kinds.get(Taken, [])  # type: ignore[assignment]
        self.told: list[DeviceFrame] = kinds.get(DeviceFrame, [])  # type: ignore[assignment]
        self.powers: list[Power] = kinds.get(Power, [])  # type: ignore[assignment]
        self.bodies: list[Body] = kinds.get(Body, [])  # type: ignore[assignment]
        self.intents: list[Intent] = kinds.get(Intent, [])  # type: ignore[assignment]
        self.lives: list[Life] = kinds.get(Life, [])  # type: ignore[assignment]
        self.kept: list[Kept] = kinds.get(Kept, [])  # type: ignore[assignment]
        self.books: list[Books] = kinds.get(Books, [])  # type: ignore[assignment]
        self.modes: list[Mode] = kinds.get(Mode, [])  # type: ignore[assignment]
        self.usage: list[UsageRead] = kinds.get(UsageRead, [])  # type: ignore[assignment]
        flows: list[Flow] = kinds.get(Flow, [])  # type: ignore[assignment]
        self.doses = [Dose(setting, flow) for flow in sorted(flows, key=lambda one: one.began_ns)]

    # What several rules ask.

    @once
    def own(self, *kinds: str) -> list[HostFrame]:
        """Frames of these kinds that the person's own host sent."""
        return [one for one in self.sent if one.origin == "host" and one.kind in kinds]

    def strange(self, *kinds: str) -> list[HostFrame]:
        """Frames of these kinds that somebody else put on the line."""
        return [one for one in self.sent if one.origin != "host" and one.kind in kinds]

    @once
    def supervised(self) -> list[Dose]:
        """Doses that a host began, with current."""
        return [one for one in self.doses if one.flow.by != "patient" and len(one.driven)]

    def stands_still(self, at_ns: int) -> bool:
        """Whether the processor hangs or is without supply at a moment: until the next boot."""
        before = [one.what for one in self.powers if one.at_ns <= at_ns and one.what != "off_button"]
        return bool(before) and before[-1] in ("hang", "power_cut", "brown_out", "reset")

    @once
    def living_ns(self) -> Instants:
        """When the host sent a heartbeat as a living host."""
        return np.array(
            [one.at_ns for one in self.sent if one.living and one.origin == "host"], dtype=np.int64
        )

    @once
    def living_heard_ns(self) -> Instants:
        """The same, and when each reached the device: one may be held up, or passed on by a stranger."""
        living = {(one.session, one.sequence) for one in self.sent if one.living and one.origin == "host"}
        came = [
            one.at_ns
            for one in self.taken
            if one.kind == "HEARTBEAT" and one.origin == "host" and (one.session, one.sequence) in living
        ]
        return np.sort(np.concatenate([self.living_ns(), np.array(came, dtype=np.int64)]))

    @once
    def signs_ns(self, what: str) -> Instants:
        """When the program (``ui``) or its journal showed that it lives."""
        return np.array([one.at_ns for one in self.lives if one.what == what], dtype=np.int64)

    def intents_of(self, *what: str) -> list[Intent]:
        """Deliberate acts of these kinds."""
        return [one for one in self.intents if one.what in what]

    def powers_of(self, *what: str) -> list[Power]:
        """Power events of these kinds."""
        return [one for one in self.powers if one.what in what]

    def replies(self, kind: str) -> list[DeviceFrame]:
        """Replies of the device to commands of a kind; refusals are of kind ``ERROR``."""
        return [one for one in self.told if one.what == "reply" and one.kind == kind]

    def events(self, kind: str) -> list[DeviceFrame]:
        """Events of a kind; one for each session that heard it."""
        return [one for one in self.told if one.what == "event" and one.kind == kind]


def first_answers(history: History, kind: str) -> list[DeviceFrame]:
    """Replies to commands of a kind, the first to each command: a repeat gives the same again."""
    found: dict[tuple[int, int], DeviceFrame] = {}
    for reply in history.replies(kind):
        found.setdefault((reply.session, reply.command_id), reply)
    return list(found.values())


def last_before(times: Instants, moments: Instants) -> tuple[Instants, NDArray[np.bool_]]:
    """For each moment, the last of ``times`` at or before it, and whether there is one."""
    if times.size == 0:
        return np.zeros_like(moments), np.zeros(moments.shape, dtype=bool)
    place = np.searchsorted(times, moments, side="right") - 1
    return times[np.maximum(place, 0)], place >= 0
