"""A slow, literal expander of program files, with bugs that can be switched on one at a time.

It is written from the format document pulse by pulse, in plain integers and fractions, and shares no
code with the toolkit but the parsing of quantities. With no bug it is right; with one it is a compiler
that the judge must catch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from typing import Any

from neurostim.core.units import CURRENT, RATE, SHARE, TIME, parse_quantity, parse_whole

BUGS = (
    "drifting period",
    "burst off by one",
    "swapped phase",
    "amplitude rounded up",
    "last pulse dropped",
    "recharge one tick short",
    "recovery starved",
    "ramp of the wrong window",
    "guard violated",
    "leftovers to the wrong anode",
    "unit not dropped whole",
    "dead-man ramp too slow",
    "pulse after stop",
    "passive row missing",
    "sign of one contact",
    "ramp at the shifted onset",
    "window end not floored into",
    "partial last unit",
    "train not restarted",
    "burst on the train's clock",
    "width rounded down",
    "asymmetric step not kept",
    "amplitude one unit late",
    "passive past the next onset",
    "shift never given up",
    "wrong area yields",
    "triphasic middle too short",
    "soft stop not followed",
    "pulse numbering from one",
)


@dataclass(frozen=True)
class Bench:
    """The grid of a make-believe device."""

    tick_ns: int = 1000
    step_na: int = 50_000
    guard: int = 20
    recovery_min: int = 400


@dataclass
class _Area:
    index: int
    priority: int
    amplitude: int
    shares: list[tuple[str, int]]
    recharge: str
    ratio: int
    width: int
    gap: int
    period: Fraction
    burst: int
    burst_period: Fraction
    up: int
    down: int
    on: int | None
    off: int
    delay: int
    placed: list[dict[str, Any]] = field(default_factory=list)

    @property
    def length(self) -> int:
        if self.recharge == "triphasic":
            return 4 * self.width + 2 * self.gap
        if self.recharge.startswith("active"):
            return self.width + self.gap + self.width * self.ratio
        return self.width


def contact_key(label: str) -> tuple[int, ...]:
    if label == "return":
        return (10**6,)
    return tuple(int(part) for part in label.split("."))


def _round_half_even(value: Fraction) -> int:
    return round(value)


class Expander:
    """Expands one program on one grid up to a horizon [ticks], under a command log."""

    def __init__(
        self,
        program: Mapping[str, Any],
        bench: Bench,
        *,
        bug: str = "",
        commands: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        assert bug == "" or bug in BUGS, bug
        self.bug = bug
        self.bench = bench
        self.commands = list(commands)
        self.duration = parse_whole(program["duration"], TIME) if "duration" in program else None
        self.areas = [self._area(i, entry) for i, entry in enumerate(program["area"])]

    def _ticks(self, text: str) -> int:
        asked = parse_whole(text, TIME)
        if asked == 0:
            return 0
        if self.bug == "width rounded down":
            return max(1, asked // self.bench.tick_ns)
        return max(1, _round_half_even(Fraction(asked, self.bench.tick_ns)))

    def _area(self, index: int, entry: Mapping[str, Any]) -> _Area:
        tick = self.bench.tick_ns
        pulse, train = entry["pulse"], entry["train"]
        if "rate" in train:
            period = Fraction(10**9) / (parse_quantity(train["rate"], RATE) * tick)
        else:
            period = Fraction(parse_quantity(train["interval"], TIME), tick)
        if self.bug == "drifting period":
            period = Fraction(max(1, _round_half_even(period)) + (period.denominator == 1))
        burst = train.get("burst")
        burst_period = (
            Fraction(10**9) / (parse_quantity(burst["rate"], RATE) * tick) if burst else Fraction(0)
        )
        if self.bug == "burst on the train's clock" and burst:
            burst_period = Fraction(floor(burst_period) + 1)
        shares = [(str(k), int(parse_quantity(v, SHARE) * 10)) for k, v in entry["contacts"].items()]
        ramp = entry.get("ramp", {})
        cycle = entry.get("cycle")
        return _Area(
            index=index,
            priority=entry.get("priority", 1),
            amplitude=parse_whole(entry["amplitude"], CURRENT),
            shares=sorted(shares, key=lambda item: contact_key(item[0])),
            recharge=pulse["recharge"],
            ratio=pulse.get("ratio", 1),
            width=self._ticks(pulse["width"]),
            gap=self._ticks(pulse.get("interphase", "0 us")),
            period=period,
            burst=(burst["pulses"] if burst else 1) - (self.bug == "burst off by one" and bool(burst)),
            burst_period=burst_period,
            up=parse_whole(ramp.get("up", "2 s"), TIME),
            down=parse_whole(ramp.get("down", "1 s"), TIME),
            on=parse_whole(cycle["on"], TIME) if cycle else None,
            off=parse_whole(cycle["off"], TIME) if cycle else 0,
            delay=parse_whole(entry.get("delay", "0 s"), TIME),
        )

    # -- rules 1, 2 and 4: nominal units -----------------------------------------------------------

    def _windows(self, area: _Area, horizon: int) -> list[tuple[int, int | None]]:
        tick = self.bench.tick_ns
        windows: list[tuple[int, int | None]] = []
        n = 0
        while True:
            begin = area.delay + n * ((area.on or 0) + area.off)
            if begin // tick >= horizon or (self.duration is not None and begin >= self.duration):
                return windows
            end = None if area.on is None else begin + area.on
            if self.duration is not None:
                end = self.duration if end is None else min(end, self.duration)
            up = self.bug == "window end not floored into"
            windows.append((begin // tick, None if end is None else (end + (tick - 1) * up) // tick))
            if area.on is None:
                return windows
            n += 1

    def _nominal(self, area: _Area, horizon: int) -> list[dict[str, Any]]:
        units: list[dict[str, Any]] = []
        index = 0
        windows = self._windows(area, horizon)
        for w, (start, end) in enumerate(windows):
            k = 0
            base = floor(index * area.period) if self.bug == "train not restarted" else 0
            while True:
                onset = start + floor(k * area.period)
                if self.bug == "train not restarted":
                    onset = start + floor((index + k) * area.period) - base
                    onset += (base * 7919) % max(1, floor(area.period)) if w else 0
                if onset >= horizon or (end is not None and onset >= end):
                    break
                following = start + floor((k + 1) * area.period)
                if w + 1 < len(windows):
                    following = min(following, windows[w + 1][0])
                units.append(
                    {
                        "area": area,
                        "window": w,
                        "start": start,
                        "end": end,
                        "nominal": onset,
                        "following": following,
                        "unit": index + k,
                        "previous_start": windows[max(w - 1, 0)][0],
                    }
                )
                k += 1
            # Units are counted by the window, not by what the horizon shows of it.
            index += k
        return units

    def _offsets(self, area: _Area) -> list[int]:
        return [floor(j * area.burst_period) for j in range(area.burst)]

    def _spans(self, area: _Area) -> list[tuple[int, int]]:
        offsets = self._offsets(area)
        tail = area.gap + self.bench.recovery_min
        if self.bug == "recovery starved":
            tail = 0
        if area.recharge == "passive-after-burst":
            return [(0, offsets[-1] + area.length + tail)]
        extra = tail if area.recharge == "passive" else 0
        return [(b, b + area.length + extra) for b in offsets]

    # -- rule 8: placement -------------------------------------------------------------------------

    def _place(self, horizon: int) -> None:
        order = sorted(self.areas, key=lambda a: (a.priority, a.index))
        if self.bug == "wrong area yields":
            order.reverse()
        guard = self.bench.guard - (3 if self.bug == "guard violated" else 0)
        busy: list[tuple[int, int]] = []
        for level, area in enumerate(order):
            fresh: list[tuple[int, int]] = []
            spans = self._spans(area)
            offsets = self._offsets(area)
            near = 0
            for unit in self._nominal(area, horizon):
                while near < len(busy) and busy[near][1] + guard <= unit["nominal"]:
                    near += 1
                onset = unit["nominal"]
                if level:
                    onset = self._settle(onset, spans, busy, near=near, guard=guard, area=area)
                    late = onset - unit["nominal"] > floor(area.period) // 4
                    if self.bug == "shift never given up":
                        late = False
                    if late or onset + spans[-1][1] > unit["following"]:
                        if self.bug == "unit not dropped whole" and len(offsets) > 1:
                            area.placed.append({**unit, "onset": unit["nominal"], "only": 1})
                        continue
                drive_end = onset + offsets[-1] + area.length
                if self.bug == "partial last unit":
                    drive_end = onset + 1
                if unit["end"] is not None and drive_end > unit["end"]:
                    continue
                area.placed.append({**unit, "onset": onset})
                fresh += [(onset + a, onset + c) for a, c in spans]
            if self.bug == "last pulse dropped" and area.placed:
                self._drop_last(area)
            busy = sorted(busy + fresh)

    def _settle(
        self,
        onset: int,
        spans: list[tuple[int, int]],
        busy: list[tuple[int, int]],
        *,
        near: int,
        guard: int,
        area: _Area,
    ) -> int:
        limit = onset + 2 * floor(area.period)
        while onset <= limit:
            blocked = None
            for a, c in spans:
                for s, e in busy[near:]:
                    if s - guard >= onset + c:
                        break
                    if onset + a < e + guard and onset + c > s - guard:
                        blocked = e + guard - a
                        break
                if blocked is not None:
                    break
            if blocked is None:
                return onset
            onset = max(blocked, onset + 1)
        return onset

    def _drop_last(self, area: _Area) -> None:
        last: dict[int, int] = {}
        for i, unit in enumerate(area.placed):
            last[unit["window"]] = i
        area.placed = [unit for i, unit in enumerate(area.placed) if i not in last.values()]

    # -- rules 5, 6 and 10: currents ---------------------------------------------------------------

    def _factor(self, area: _Area, unit: dict[str, Any]) -> Fraction:
        tick = self.bench.tick_ns
        t = unit["onset"] if self.bug == "ramp at the shifted onset" else unit["nominal"]
        start = unit["previous_start"] if self.bug == "ramp of the wrong window" else unit["start"]
        factor = Fraction(1)
        if area.up:
            factor = min(factor, Fraction((t - start) * tick, area.up))
        if area.down and unit["end"] is not None:
            factor = min(factor, Fraction((unit["end"] - t) * tick, area.down))
        for command in self.commands:
            if command["name"] not in ("soft_stop", "ramp_down"):
                continue
            x, d = command["at_ticks"], min(area.down, 2 * 10**9)
            if command["name"] == "ramp_down" and self.bug != "dead-man ramp too slow":
                d = min(d, command["within_ns"])
            if self.bug == "soft stop not followed":
                continue
            if d and t > x:
                factor *= max(Fraction(0), Fraction(d - (t - x) * tick, d))
        return factor

    def _starts(self, area: _Area, unit: dict[str, Any]) -> bool:
        """Whether a fade of no length still lets the unit start."""
        fades = [c for c in self.commands if c["name"] in ("soft_stop", "ramp_down")]
        if self.bug == "soft stop not followed":
            return True
        return all(
            min(area.down, c.get("within_ns", area.down)) > 0 or unit["onset"] <= c["at_ticks"] for c in fades
        )

    def _amplitude(self, area: _Area, unit: dict[str, Any]) -> int:
        amplitude = area.amplitude
        for command in self.commands:
            if command["name"] == "set_amplitude" and command["area"] == area.index:
                at = command["at_ticks"] + (
                    floor(area.period) if self.bug == "amplitude one unit late" else 0
                )
                if at <= unit["onset"]:
                    amplitude = command["amplitude_na"]
        return amplitude

    def _currents(self, area: _Area, amplitude: int, factor: Fraction) -> dict[str, int]:
        q = self.bench.step_na * (area.ratio if area.recharge == "active-asymmetric" else 1)
        if self.bug == "asymmetric step not kept":
            q = self.bench.step_na
        out: dict[str, int] = {}
        for label, share in area.shares:
            if share < 0:
                exact = amplitude * factor * -share / 1000 / q
                level = floor(exact)
                if self.bug == "amplitude rounded up" and exact != level:
                    level += 1
                out[label] = -level * q
        total = -sum(out.values())
        anodes = [(label, share) for label, share in area.shares if share > 0]
        for label, share in anodes:
            out[label] = floor(Fraction(total * share, 1000) / q) * q
        if self.bug == "leftovers to the wrong anode":
            anodes.reverse()
        i = 0
        while sum(out.values()) != 0:
            out[anodes[i % len(anodes)][0]] += q
            i += 1
        if self.bug == "sign of one contact":
            worst = max(out, key=lambda label: (out[label], label))
            out[worst] = -out[worst]
        return out

    def _phases(self, area: _Area, currents: dict[str, int]) -> list[tuple[int, int, str, dict[str, int]]]:
        w, gap, ratio = area.width, area.gap, area.ratio
        back = {label: -value for label, value in currents.items()}
        first = (0, w, "stim", currents)
        if area.recharge == "triphasic":
            middle = 2 * w - (1 if self.bug == "triphasic middle too short" else 0)
            return [first, (w + gap, middle, "stim", back), (3 * w + 2 * gap, w, "stim", currents)]
        if area.recharge.startswith("active"):
            less = {label: value // ratio for label, value in back.items()}
            short = 1 if self.bug == "recharge one tick short" else 0
            if self.bug == "swapped phase":
                return [
                    (0, w, "stim", back),
                    (w + gap, w * ratio, "recharge", {k: -v for k, v in less.items()}),
                ]
            return [first, (w + gap, w * ratio - short, "recharge", less)]
        if self.bug == "swapped phase":
            return [(0, w, "stim", back)]
        return [first]

    # -- rows --------------------------------------------------------------------------------------

    def rows(self, horizon: int) -> list[tuple[Any, ...]]:
        """Rows of a trace (with area, unit, pulse, charge) that start before ``horizon`` ticks."""
        settle = 10**8 // self.bench.tick_ns
        self._place(horizon + 2 * settle)
        halts = [
            c["at_ticks"] for c in self.commands if c["name"] in ("stop", "emergency_stop", "power_lost")
        ]
        halt = min(halts, default=None)
        cuts = [c["at_ticks"] for c in self.commands if c["name"] in ("emergency_stop", "power_lost")]
        cut = min(cuts, default=None)
        every = [
            {"area": area, "onset": unit["onset"] + offset, "pulse": j, "unit": unit}
            for area in self.areas
            for unit in area.placed
            for j, offset in enumerate(self._offsets(area)[: unit.get("only", 10**6)])
        ]
        every = [pulse for pulse in every if self._starts(pulse["area"], pulse["unit"])]
        every.sort(key=lambda pulse: pulse["onset"])
        stop_at = None if halt is None else halt + (2 if self.bug == "pulse after stop" else 0)
        rows: list[tuple[int, int, str, str, int, int, int, int, int]] = []
        late_pulse_owed = self.bug == "pulse after stop"
        for pulse in every:
            area, unit = pulse["area"], pulse["unit"]
            pulse["delivered"] = stop_at is None or pulse["onset"] < stop_at
            if not pulse["delivered"] and late_pulse_owed:
                pulse["delivered"], late_pulse_owed = True, False
            currents = self._currents(area, self._amplitude(area, unit), self._factor(area, unit))
            pulse["alive"] = any(currents.values())
            if not pulse["alive"] or not pulse["delivered"]:
                continue
            number = pulse["pulse"] + (self.bug == "pulse numbering from one")
            for offset, length, kind, values in self._phases(area, currents):
                start = pulse["onset"] + offset
                end = start + length if cut is None else min(start + length, cut)
                rows += [
                    (start, end, label, kind, value, area.index, unit["unit"], number, 0)
                    for label, value in values.items()
                    if value and end > start
                ]
        delivered = [pulse for pulse in every if pulse["delivered"]]
        for area in self.areas:
            last = [pulse for pulse in delivered if pulse["area"] is area][-1:]
            for pulse in last:
                pulse["cut short"] = halt is not None
        rows += self._passive(delivered, settle, cut)
        if cut is not None and any(c["name"] == "emergency_stop" for c in self.commands):
            begin = cut + -(-20_000 // self.bench.tick_ns)
            labels = {label for area in self.areas for label, _ in area.shares}
            rows += [(begin, begin + settle, label, "passive", 0, 0, 0, 0, 0) for label in labels]
        tick = self.bench.tick_ns
        rows = [row for row in rows if row[0] < horizon]
        rows.sort(key=lambda row: (row[0], contact_key(row[2]), row[1]))
        return [(row[0] * tick, (row[1] - row[0]) * tick, *row[2:]) for row in rows]

    def _passive(
        self, pulses: list[dict[str, Any]], settle: int, cut: int | None
    ) -> list[tuple[int, int, str, str, int, int, int, int, int]]:
        guard = self.bench.guard
        rows: list[tuple[int, int, str, str, int, int, int, int, int]] = []
        owed = self.bug == "passive row missing"
        for area in self.areas:
            own = [pulse for pulse in pulses if pulse["area"] is area]
            others = [pulse for pulse in pulses if pulse["area"] is not area]
            near = 0
            for i, pulse in enumerate(own):
                recovers = area.recharge == "passive" or (
                    area.recharge == "passive-after-burst"
                    and (pulse["pulse"] == area.burst - 1 or pulse.get("cut short", False))
                )
                if not recovers or not pulse["alive"]:
                    continue
                begin = pulse["onset"] + area.length + area.gap
                end = begin + settle
                if i + 1 < len(own):
                    keep = 0 if self.bug == "passive past the next onset" else guard
                    end = min(end, own[i + 1]["onset"] - keep)
                while near < len(others) and others[near]["onset"] < begin - settle:
                    near += 1
                stretches = [(begin, end)]
                for other in others[near:]:
                    off, on = other["onset"] - guard, other["onset"] + other["area"].length + guard
                    if off >= end:
                        break
                    stretches = [
                        piece
                        for s, e in stretches
                        for piece in ((s, min(e, off)), (max(s, on), e))
                        if piece[1] > piece[0]
                    ]
                for s, e in stretches:
                    stop = e if cut is None else min(e, cut)
                    if stop <= s:
                        continue
                    for label, _ in area.shares:
                        if owed and i == len(own) // 2:
                            owed = False
                            continue
                        rows.append(
                            (
                                s,
                                stop,
                                label,
                                "passive",
                                0,
                                area.index,
                                pulse["unit"]["unit"],
                                pulse["pulse"],
                                17,
                            )
                        )
        return rows


def expand(
    program: Mapping[str, Any],
    horizon: int,
    bench: Bench | None = None,
    *,
    bug: str = "",
    commands: Sequence[Mapping[str, Any]] = (),
) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
    """Rows of a trace and its sidecar, as a device with this bug would have recorded them."""
    grid = bench or Bench()
    rows = Expander(program, grid, bug=bug, commands=commands).rows(horizon)
    sidecar = {
        "format": "neurostim-trace/1",
        "tick_ns": grid.tick_ns,
        "step_na": grid.step_na,
        "guard_ticks": grid.guard,
        "recovery_min_ticks": grid.recovery_min,
        "image_sha256": "0" * 64,
        "time_base": "device",
        "contacts": "program",
        "end_ticks": horizon,
        "rows": len(rows),
        "commands": [{"at_ticks": 0, "name": "start"}, *commands],
    }
    return rows, sidecar
