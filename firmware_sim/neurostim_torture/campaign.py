"""Many schedules in chunks of seeds, on one or more processes; what is finished survives being cut."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from neurostim.core.errors import ConfigError
from neurostim_torture.adapters import seconds
from neurostim_torture.garbage import collected_seldom
from neurostim_torture.generate import MIXED, drawn
from neurostim_torture.schedule import Outcome, run

CHUNK: Final = 250
KEPT_FAILURES: Final = 200


@dataclass
class Part:
    """How much of a campaign was under supervision, or at home; ``seconds`` of one core [s]."""

    schedules: int = 0
    virtual_ns: int = 0
    seconds: float = 0.0
    doses: int = 0
    pulses: int = 0

    def add(self, other: Part) -> None:
        """Count what another part has counted."""
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def per_second(self) -> float:
        """Schedules a second of one core."""
        return self.schedules / self.seconds if self.seconds else 0.0

    @property
    def times_real(self) -> float:
        """Virtual time over real time of one core."""
        return self.virtual_ns / 1e9 / self.seconds if self.seconds else 0.0


@dataclass
class Tally:
    """What came of some schedules.

    Attributes
    ----------
    schedules : int
    idle : int
        Schedules in which no fault met anything: they show nothing, and count as nothing.
    without_pulse : int
        Schedules in which faults struck and no program delivered a pulse.
    seconds : float
        Time of one core [s].
    supervised, home : Part
        The same apart: with a host on the line, and at home, where quiet hours cost little.
    """

    schedules: int = 0
    idle: int = 0
    without_pulse: int = 0
    virtual_ns: int = 0
    seconds: float = 0.0
    doses: int = 0
    pulses: int = 0
    frames: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    disagreements: Counter[str] = field(default_factory=Counter)
    violations: Counter[str] = field(default_factory=Counter)
    failures: list[dict[str, Any]] = field(default_factory=list)
    supervised: Part = field(default_factory=Part)
    home: Part = field(default_factory=Part)

    def take(self, outcome: Outcome, taken_s: float = 0.0) -> None:
        """Count one schedule, and what it took of one core [s]."""
        part = self.home if outcome.schedule.home else self.supervised
        part.add(Part(1, outcome.virtual_ns, taken_s, outcome.doses, outcome.pulses))
        self.schedules += 1
        struck = sum(outcome.struck.values())
        self.idle += not struck
        self.without_pulse += bool(struck) and not outcome.pulses
        self.virtual_ns += outcome.virtual_ns
        self.doses += outcome.doses
        self.pulses += outcome.pulses
        self.frames += outcome.frames
        self.struck.update(outcome.struck)
        self.outcomes.update(outcome.outcomes)
        self.disagreements.update(outcome.disagreements)
        if outcome.failed:
            self.violations.update(set(outcome.signature()))
            if len(self.failures) < KEPT_FAILURES:
                self.failures.append(failure_of(outcome))

    def add(self, other: Tally) -> None:
        """Count what another tally has counted."""
        for name in (
            "schedules",
            "idle",
            "without_pulse",
            "virtual_ns",
            "seconds",
            "doses",
            "pulses",
            "frames",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("struck", "outcomes", "disagreements", "violations"):
            getattr(self, name).update(getattr(other, name))
        self.supervised.add(other.supervised)
        self.home.add(other.home)
        self.failures = (self.failures + other.failures)[:KEPT_FAILURES]

    @property
    def telling(self) -> int:
        """Schedules in which a fault struck and a program delivered."""
        return self.schedules - self.idle - self.without_pulse

    @property
    def per_second(self) -> float:
        """Schedules a second of one core."""
        return self.schedules / self.seconds if self.seconds else 0.0

    @property
    def times_real(self) -> float:
        """Virtual time over real time of one core."""
        return self.virtual_ns / 1e9 / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.__dict__, "supervised": asdict(self.supervised), "home": asdict(self.home)}

    @classmethod
    def read(cls, document: dict[str, Any]) -> Tally:
        """From plain values."""
        counters = {
            name: Counter(document[name]) for name in ("struck", "outcomes", "disagreements", "violations")
        }
        parts = {name: Part(**document[name]) for name in ("supervised", "home")}
        return cls(**{**document, **counters, **parts})


def failure_of(outcome: Outcome) -> dict[str, Any]:
    """A failing schedule as plain values: what reproduces it, and what it showed."""
    return {
        **outcome.schedule.as_dict(),
        "violations": [
            {"rule": one.rule, "at_ns": one.at_ns, "dose": one.dose, "text": one.text}
            for one in outcome.violations[:10]
        ],
        "crashes": list(outcome.crashes[:10]),
    }


def run_chunk(first: int, count: int, generator: str = MIXED) -> Tally:
    """Run the schedules of the seeds from ``first`` on."""
    tally = Tally()
    begun = seconds()
    with collected_seldom() as turns:
        for seed, _ in zip(range(first, first + count), turns, strict=False):
            since = seconds()
            outcome = run(drawn(seed, generator))
            tally.take(outcome, seconds() - since)
    tally.seconds = seconds() - begun
    return tally


def chunks(first: int, count: int) -> Iterator[tuple[int, int]]:
    """Seed ranges of at most `CHUNK`."""
    for start in range(first, first + count, CHUNK):
        yield start, min(CHUNK, first + count - start)


class Progress:
    """What of a campaign is finished, kept in a file of JSON lines so that it can be gone on with.

    Parameters
    ----------
    path : Path or None
        None keeps nothing.
    """

    def __init__(self, path: Path | None, generator: str) -> None:
        self._path = path
        self._generator = generator
        self.done: dict[tuple[int, int], Tally] = {}
        if path is not None and path.exists():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
                self._read(line, number)

    def _read(self, line: str, number: int) -> None:
        try:
            found = json.loads(line)
        except ValueError:
            return  # the line that was being written when the campaign was cut
        if found["generator"] != self._generator:
            raise ConfigError(
                f"line {number} of {self._path} is of the generator {found['generator']}",
                allowed=self._generator,
                code="campaign",
            )
        self.done[found["first"], found["count"]] = Tally.read(found["tally"])

    def keep(self, first: int, count: int, tally: Tally) -> None:
        """A chunk is finished."""
        self.done[first, count] = tally
        if self._path is None:
            return
        line = {"first": first, "count": count, "generator": self._generator, "tally": tally.as_dict()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(line, separators=(",", ":")))


def campaign(
    first: int,
    count: int,
    *,
    generator: str = MIXED,
    jobs: int = 1,
    keep: Path | None = None,
    tell: Callable[[Tally], None] = lambda _tally: None,
) -> Tally:
    """Run ``count`` schedules; what ``keep`` holds already is not run again.

    Parameters
    ----------
    first, count : int
        Seeds.
    generator : str
    jobs : int
        Processes.
    keep : Path, optional
        File in which finished chunks are kept.
    tell : callable
        Told of the whole so far after each chunk.
    """
    progress = Progress(keep, generator)
    whole = Tally()
    wanted = list(chunks(first, count))
    for chunk in wanted:
        if chunk in progress.done:
            whole.add(progress.done[chunk])
    missing = [chunk for chunk in wanted if chunk not in progress.done]
    if whole.schedules:
        tell(whole)
    if jobs <= 1:
        for start, size in missing:
            tally = run_chunk(start, size, generator)
            progress.keep(start, size, tally)
            whole.add(tally)
            tell(whole)
        return whole
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        under_way = {pool.submit(run_chunk, start, size, generator): (start, size) for start, size in missing}
        for future in as_completed(under_way):
            tally = future.result()
            progress.keep(*under_way[future], tally)
            whole.add(tally)
            tell(whole)
    return whole
