"""Rule 10: what the command log of a dose allows from when on, read from the sidecar.

Times are device ticks from the start of output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

from neurostim.conformance.onsets import NEVER
from neurostim.conformance.reading import SOFT_STOP_NS, ProgramReading
from neurostim.core.errors import ConfigError, Problem

HARD_STOPS: Final = ("stop", "emergency_stop", "fault", "power_lost")
NAMES: Final = ("start", "set_amplitude", "soft_stop", "ramp_down", *HARD_STOPS)
EMERGENCY_WAIT_NS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Fade:
    """A soft stop or ramp-down as one area sees it: it begins at ``at`` [ticks] and takes ``within_ns``."""

    at: int
    within_ns: int


@dataclass(frozen=True, slots=True)
class CommandLog:
    """The log of one dose, sorted by what the judge asks of it.

    Attributes
    ----------
    amplitudes : tuple of (int, int) pairs, one tuple an area
        (from tick, amplitude [nA]) in order of time.
    fades : tuple of Fade, one tuple an area
        Soft stops and ramp-downs.
    halt : int
        Tick of the first hard stop, `NEVER` without one.
    halt_name : str
        Its name.
    cut : int
        Tick at which the sources go off at once (emergency, power lost), `NEVER` without.
    cut_name : str
        Its name.
    faded : int
        Tick at which the last area has faded out, `NEVER` without a fade.
    """

    amplitudes: tuple[tuple[tuple[int, int], ...], ...]
    fades: tuple[tuple[Fade, ...], ...]
    halt: int
    halt_name: str
    cut: int
    cut_name: str
    faded: int


def read_commands(entries: object, program: ProgramReading) -> CommandLog:
    """Read the ``commands`` of a sidecar against a program.

    Raises
    ------
    ConfigError
        With every entry that cannot be read.
    """
    problems: list[Problem] = []
    amplitudes: list[list[tuple[int, int]]] = [[(0, area.amplitude_na)] for area in program.areas]
    fades: list[list[Fade]] = [[] for _ in program.areas]
    halts: list[tuple[int, str]] = []
    last = 0
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise ConfigError(
            "the sidecar's commands are no list", allowed="a list of commands", code="conformance-sidecar"
        )
    for place, entry in ((f"commands[{i}]", entry) for i, entry in enumerate(entries)):
        if not isinstance(entry, Mapping) or entry.get("name") not in NAMES:
            problems.append(Problem(place, repr(entry)[:80], "a command named " + ", ".join(NAMES)))
            continue
        name = str(entry["name"])
        at = entry.get("at_ticks")
        if not is_count(at) or at < last:
            problems.append(
                Problem(f"{place}.at_ticks", repr(at), f"a whole number of ticks, at least {last}")
            )
            continue
        last = at
        if name == "set_amplitude":
            area, value = entry.get("area"), entry.get("amplitude_na")
            if not is_count(area) or area >= len(program.areas) or not is_count(value):
                problems.append(
                    Problem(place, repr(dict(entry))[:80], "area index and amplitude_na of the program")
                )
                continue
            amplitudes[area].append((last, int(value)))
        elif name in ("soft_stop", "ramp_down"):
            within = _fade_limit(entry, name, place, problems)
            for area_fades, reading in zip(fades, program.areas, strict=True):
                area_fades.append(Fade(last, min(reading.down_ns, SOFT_STOP_NS, within)))
        elif name in HARD_STOPS:
            halts.append((last, name))
    if problems:
        raise ConfigError(
            "the judge cannot read the command log", problems=problems, code="conformance-sidecar"
        )
    tick = program.grid.tick_ns
    halt, halt_name = min(halts, default=(NEVER, ""), key=lambda item: item[0])
    cut, cut_name = min(
        (item for item in halts if item[1] in ("emergency_stop", "power_lost")),
        default=(NEVER, ""),
        key=lambda item: item[0],
    )
    # Two fades multiply, so an area is silent when the first to end has ended.
    ends = [min(f.at - (-f.within_ns // tick) for f in area_fades) for area_fades in fades if area_fades]
    return CommandLog(
        amplitudes=tuple(tuple(epochs) for epochs in amplitudes),
        fades=tuple(tuple(area_fades) for area_fades in fades),
        halt=halt,
        halt_name=halt_name,
        cut=cut,
        cut_name=cut_name,
        faded=max(ends, default=NEVER),
    )


def is_count(value: object) -> TypeGuard[int]:
    """Whether ``value`` is a whole number of zero or more, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < NEVER


def _fade_limit(entry: Mapping[str, Any], name: str, place: str, problems: list[Problem]) -> int:
    if name == "soft_stop":
        return SOFT_STOP_NS
    within = entry.get("within_ns")
    if not is_count(within):
        problems.append(Problem(f"{place}.within_ns", repr(within), "a whole number of nanoseconds"))
        return SOFT_STOP_NS
    return within
