"""The judge's own reading of a program file: what each area must do, on a device's grid, in integers.

It reads only the parsed TOML mapping and the format document; it shares no code with the compiler.
It is no validator for users: it refuses what it cannot read, with the place, and judges the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from neurostim.core.errors import ConfigError, Problem
from neurostim.core.units import (
    CURRENT,
    NS_PER_S,
    RATE,
    SHARE,
    TIME,
    Dimension,
    format_time,
    parse_quantity,
    parse_whole,
)

RETURN: Final = "return"
MAX_PASSIVE_NS: Final = 100_000_000
SOFT_STOP_NS: Final = 2_000_000_000
RECHARGES: Final = (
    "passive",
    "passive-after-burst",
    "active-symmetric",
    "active-asymmetric",
    "triphasic",
    "none",
)

_AREA_KEYS: Final = frozenset(
    {"name", "amplitude", "contacts", "pulse", "train", "ramp", "cycle", "delay", "priority"}
)


@dataclass(frozen=True, slots=True)
class GridReading:
    """The device's grid as plain numbers: tick [ns], amplitude step [nA], guard and recovery [ticks]."""

    tick_ns: int
    step_na: int
    guard: int
    recovery_min: int


@dataclass(frozen=True, slots=True)
class Phase:
    """One driven phase of a pulse: offset and length [ticks], sign and divisor of the contact current."""

    offset: int
    length: int
    sign: int
    divisor: int
    recharge: bool


@dataclass(frozen=True, slots=True)
class AreaReading:
    """One area on the grid. Times [ticks] unless named ``_ns``; ``period`` is the unit interval [ticks]."""

    index: int
    name: str
    priority: int
    amplitude_na: int
    shares: tuple[tuple[str, int], ...]
    quantum_na: int
    phases: tuple[Phase, ...]
    interphase: int
    length: int
    passive: str
    period: Fraction
    burst_period: Fraction | None
    offsets: tuple[int, ...]
    occupancy: int
    last_occupancy: int
    delay_ns: int
    on_ns: int | None
    off_ns: int
    up_ns: int
    down_ns: int

    @property
    def drive_end(self) -> int:
        """End of the unit's last phase or active recharge, from its onset [ticks]."""
        return self.offsets[-1] + self.length

    @property
    def unit_occupancy(self) -> int:
        """End of the unit's occupancy, from its onset [ticks]."""
        return self.offsets[-1] + self.last_occupancy

    @property
    def interval(self) -> int:
        """Shortest distance between two units of one window [ticks]."""
        return math.floor(self.period)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Occupancies of one unit from its onset, as rule 8 counts them [ticks]."""
        if self.passive == "last":
            return ((0, self.unit_occupancy),)
        last = len(self.offsets) - 1
        return tuple(
            (offset, offset + (self.last_occupancy if j == last else self.occupancy))
            for j, offset in enumerate(self.offsets)
        )


@dataclass(frozen=True, slots=True)
class ProgramReading:
    """A program on a grid: its areas, its length [ns, ticks; None without end] and what it is refused for."""

    name: str
    bench: bool
    drop_allowed: bool
    duration_ns: int | None
    grid: GridReading
    areas: tuple[AreaReading, ...]
    refusals: tuple[str, ...]

    @property
    def duration(self) -> int | None:
        """Length of the program [ticks], floored."""
        return None if self.duration_ns is None else self.duration_ns // self.grid.tick_ns

    @property
    def contacts(self) -> tuple[str, ...]:
        """Labels of every contact the program names, in contact order."""
        labels = {label for area in self.areas for label, _ in area.shares}
        return tuple(sorted(labels, key=contact_order))


def contact_order(label: str) -> tuple[int, int]:
    """Place of a contact label in contact order: numeric, lead before contact, ``return`` last.

    Raises
    ------
    ConfigError
        Where the label is neither ``return``, nor ``"3"``, nor ``"1.3"``.
    """
    if label == RETURN:
        return (1 << 30, 0)
    parts = label.split(".")
    well_formed = len(parts) in (1, 2) and all(
        part.isascii() and part.isdigit() and len(part) <= 4 and not part.startswith("0") for part in parts
    )
    if not well_formed:
        raise ConfigError(
            f"found the contact {label!r}", allowed='"3", "1.3" or "return"', code="conformance-contact"
        )
    return (0, int(parts[0])) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def read_program(program: Mapping[str, Any], grid: GridReading) -> ProgramReading:
    """Read a parsed program file onto a grid.

    Parameters
    ----------
    program : Mapping
        The parsed TOML of a ``neurostim-program/1`` file.
    grid : GridReading
        Tick [ns], step [nA], guard and recovery minimum [ticks].

    Returns
    -------
    ProgramReading
        Areas in file order; ``refusals`` names what the format refuses though it can be read.

    Raises
    ------
    ConfigError
        With one problem for each place that cannot be read.
    """
    reader = _Reader()
    if program.get("format") != "neurostim-program/1":
        reader.problem("format", program.get("format"), '"neurostim-program/1"')
    duration_ns = reader.whole(program, "duration", TIME, "duration", None) if "duration" in program else None
    entries = program.get("area")
    if not isinstance(entries, list) or not 1 <= len(entries) <= 8:
        reader.problem(
            "area", entries if entries is None else type(entries).__name__, "1 to 8 [[area]] tables"
        )
        entries = []
    bench = program.get("therapy") == "bench"
    refusals: list[str] = []
    areas = [
        area
        for index, entry in enumerate(entries)
        if (area := _read_area(reader, entry, index, grid, bench=bench, refusals=refusals)) is not None
    ]
    if program.get("interleave", "drop") != "drop":
        reader.problem("interleave", program.get("interleave"), '"drop", or no such key')
    reader.finish()
    if duration_ns is not None:
        refusals += [
            f"area {area.index + 1}: delay {format_time(area.delay_ns)} is not before the end of the program"
            for area in areas
            if area.delay_ns >= duration_ns
        ]
    return ProgramReading(
        name=str(program.get("name", "")),
        bench=bench,
        drop_allowed=program.get("interleave") == "drop",
        duration_ns=duration_ns,
        grid=grid,
        areas=tuple(areas),
        refusals=tuple(refusals),
    )


class _Reader:
    """Collects every place that cannot be read before giving up."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def problem(self, place: str, found: object, allowed: str) -> None:
        self.problems.append(Problem(place, repr(found)[:80], allowed))

    def whole(
        self, table: Mapping[str, Any], key: str, dimension: Dimension, place: str, default: int | None
    ) -> int:
        if key not in table and default is not None:
            return default
        try:
            return parse_whole(table.get(key), dimension)
        except ConfigError as error:
            self.problem(place, table.get(key), error.allowed or error.message)
            return 0

    def exact(self, table: Mapping[str, Any], key: str, dimension: Dimension, place: str) -> Fraction:
        try:
            value = parse_quantity(table.get(key), dimension)
        except ConfigError as error:
            self.problem(place, table.get(key), error.allowed or error.message)
            return Fraction(1)
        if value <= 0:
            self.problem(place, table.get(key), "more than zero")
            return Fraction(1)
        return value

    def table(
        self, parent: Mapping[str, Any], key: str, place: str, known: frozenset[str]
    ) -> Mapping[str, Any]:
        value = parent.get(key, {})
        if not isinstance(value, Mapping):
            self.problem(place, value, "a table")
            return {}
        for name in value:
            if name not in known:
                self.problem(f"{place}.{name}", value[name], "one of " + ", ".join(sorted(known)))
        return value

    def finish(self) -> None:
        if self.problems:
            raise ConfigError(
                "the judge cannot read the program", problems=self.problems, code="conformance-program"
            )


def nearest_ticks(time_ns: int, tick_ns: int) -> int:
    """A duration [ns] in ticks: nearest, ties to even, at least 1 where it was not zero."""
    if time_ns == 0:
        return 0
    whole, rest = divmod(time_ns, tick_ns)
    up = 2 * rest > tick_ns or (2 * rest == tick_ns and whole % 2 == 1)
    return max(1, whole + up)


def _read_area(
    reader: _Reader, entry: object, index: int, grid: GridReading, *, bench: bool, refusals: list[str]
) -> AreaReading | None:
    place = f"area[{index + 1}]"
    before = len(reader.problems)
    if not isinstance(entry, Mapping):
        reader.problem(place, entry, "a table")
        return None
    for key in entry:
        if key not in _AREA_KEYS:
            reader.problem(f"{place}.{key}", entry[key], "one of " + ", ".join(sorted(_AREA_KEYS)))
    if isinstance(entry.get("amplitude"), Mapping):
        reader.problem(
            f"{place}.amplitude",
            "a relative amplitude",
            "a resolved current such as '1.5 mA'; resolve the mark first",
        )
        amplitude_na = 0
    else:
        amplitude_na = reader.whole(entry, "amplitude", CURRENT, f"{place}.amplitude", None)
    shares = _read_shares(reader, entry.get("contacts"), f"{place}.contacts")
    pulse = reader.table(
        entry, "pulse", f"{place}.pulse", frozenset({"width", "interphase", "recharge", "ratio"})
    )
    recharge = pulse.get("recharge")
    if recharge not in RECHARGES:
        reader.problem(f"{place}.pulse.recharge", recharge, "one of " + ", ".join(RECHARGES))
        recharge = "none"
    ratio = 1
    if recharge == "active-asymmetric":
        ratio = pulse.get("ratio", 0)
        if isinstance(ratio, bool) or not isinstance(ratio, int) or not 2 <= ratio <= 20:
            reader.problem(f"{place}.pulse.ratio", ratio, "a whole number 2..20")
            ratio = 2
    elif "ratio" in pulse:
        reader.problem(f"{place}.pulse.ratio", pulse["ratio"], "only with active-asymmetric")
    width_ns = reader.whole(pulse, "width", TIME, f"{place}.pulse.width", None)
    gap_ns = reader.whole(pulse, "interphase", TIME, f"{place}.pulse.interphase", 0)
    train = reader.table(entry, "train", f"{place}.train", frozenset({"rate", "interval", "burst"}))
    period = _read_period(reader, train, f"{place}.train", grid.tick_ns)
    count, burst_period = _read_burst(reader, train, f"{place}.train.burst", grid.tick_ns)
    if recharge == "passive-after-burst" and burst_period is None:
        reader.problem(f"{place}.pulse.recharge", recharge, "only with a burst")
    ramp = reader.table(entry, "ramp", f"{place}.ramp", frozenset({"up", "down"}))
    up_ns = reader.whole(ramp, "up", TIME, f"{place}.ramp.up", 2 * NS_PER_S)
    down_ns = reader.whole(ramp, "down", TIME, f"{place}.ramp.down", NS_PER_S)
    on_ns: int | None = None
    off_ns = 0
    if "cycle" in entry:
        cycle = reader.table(entry, "cycle", f"{place}.cycle", frozenset({"on", "off"}))
        on_ns = reader.whole(cycle, "on", TIME, f"{place}.cycle.on", None)
        off_ns = reader.whole(cycle, "off", TIME, f"{place}.cycle.off", None)
        if on_ns <= 0:
            reader.problem(f"{place}.cycle.on", cycle.get("on"), "more than zero")
    delay_ns = reader.whole(entry, "delay", TIME, f"{place}.delay", 0)
    priority = entry.get("priority", 1)
    if isinstance(priority, bool) or not isinstance(priority, int):
        reader.problem(f"{place}.priority", priority, "a whole number")
        priority = 1
    width = nearest_ticks(width_ns, grid.tick_ns)
    if width == 0:
        reader.problem(f"{place}.pulse.width", pulse.get("width"), "more than zero")
    if len(reader.problems) > before:
        return None
    gap = nearest_ticks(gap_ns, grid.tick_ns)
    phases = _phases(str(recharge), width, gap, ratio)
    length = phases[-1].offset + phases[-1].length
    passive = {"passive": "each", "passive-after-burst": "last"}.get(str(recharge), "")
    recovering = length + gap + grid.recovery_min if passive else length
    offsets = tuple(math.floor(j * burst_period) if burst_period is not None else 0 for j in range(count))
    area = AreaReading(
        index=index,
        name=str(entry.get("name", f"area {index + 1}")),
        priority=priority,
        amplitude_na=amplitude_na,
        shares=shares,
        quantum_na=grid.step_na * ratio,
        phases=phases,
        interphase=gap,
        length=length,
        passive=passive,
        period=period,
        burst_period=burst_period,
        offsets=offsets,
        occupancy=length if passive == "last" else recovering,
        last_occupancy=recovering,
        delay_ns=delay_ns,
        on_ns=on_ns,
        off_ns=off_ns,
        up_ns=up_ns,
        down_ns=down_ns,
    )
    refusals += _misfits(area, place)
    if not bench:
        refusals += [
            f"{place}.pulse.{what}: {ticks} ticks differ more than 20 % from the {format_time(asked)} asked"
            for what, asked, ticks in (("width", width_ns, width), ("interphase", gap_ns, gap))
            if 5 * abs(ticks * grid.tick_ns - asked) > asked
        ]
    return area


def _read_shares(reader: _Reader, table: object, place: str) -> tuple[tuple[str, int], ...]:
    if not isinstance(table, Mapping) or not table:
        reader.problem(place, table, "a table of contact = share")
        return ()
    shares: list[tuple[str, int]] = []
    for key, text in table.items():
        label = str(key)
        try:
            contact_order(label)
            tenths = parse_quantity(text, SHARE) * 10
        except ConfigError as error:
            reader.problem(f"{place}.{label}", text, error.allowed)
            continue
        if tenths.denominator != 1 or tenths == 0:
            reader.problem(f"{place}.{label}", text, "a share in steps of 0.1 %, not zero")
            continue
        shares.append((label, int(tenths)))
    cathodes = sum(share for _, share in shares if share < 0)
    anodes = sum(share for _, share in shares if share > 0)
    if len(shares) == len(table) and (cathodes, anodes) != (-1000, 1000):
        reader.problem(
            place,
            f"cathodes {cathodes / 10} %, anodes {anodes / 10} %",
            "cathodes of -100 % and anodes of +100 % in all",
        )
    return tuple(sorted(shares, key=lambda share: contact_order(share[0])))


def _read_period(reader: _Reader, train: Mapping[str, Any], place: str, tick_ns: int) -> Fraction:
    if ("rate" in train) == ("interval" in train):
        reader.problem(place, sorted(train), "exactly one of rate and interval")
        return Fraction(1)
    if "rate" in train:
        return Fraction(NS_PER_S, tick_ns) / reader.exact(train, "rate", RATE, f"{place}.rate")
    return reader.exact(train, "interval", TIME, f"{place}.interval") / tick_ns


def _read_burst(
    reader: _Reader, train: Mapping[str, Any], place: str, tick_ns: int
) -> tuple[int, Fraction | None]:
    if "burst" not in train:
        return 1, None
    burst = reader.table(train, "burst", place, frozenset({"pulses", "rate", "interval"}))
    count = burst.get("pulses")
    if isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= 1000:
        reader.problem(f"{place}.pulses", count, "a whole number 2..1000")
        count = 2
    return count, _read_period(reader, burst, place, tick_ns)


def _phases(recharge: str, width: int, gap: int, ratio: int) -> tuple[Phase, ...]:
    if recharge == "triphasic":
        return (
            Phase(0, width, 1, 1, False),
            Phase(width + gap, 2 * width, -1, 1, False),
            Phase(3 * width + 2 * gap, width, 1, 1, False),
        )
    first = Phase(0, width, 1, 1, False)
    if recharge in ("active-symmetric", "active-asymmetric"):
        return (first, Phase(width + gap, width * ratio, -1, ratio, True))
    return (first,)


def _misfits(area: AreaReading, place: str) -> list[str]:
    """Rule 3: what does not end before the area's next onset."""
    found = []
    if area.burst_period is not None and area.occupancy > math.floor(area.burst_period):
        found.append(
            f"{place}: a pulse occupies {area.occupancy} ticks, "
            f"the burst leaves {math.floor(area.burst_period)}"
        )
    if area.unit_occupancy > area.interval:
        found.append(
            f"{place}: a unit occupies {area.unit_occupancy} ticks, the train leaves {area.interval}"
        )
    return found
