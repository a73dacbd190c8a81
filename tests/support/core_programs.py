"""Programs for tests of the core: plain makers, and hypothesis strategies over what format 1 can say."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from neurostim.core.image import Grid
from neurostim.core.program import Area, Burst, Cycle, Program, Pulse, Ramp, Recharge, Share, Train

US, MS, S = 1_000, 1_000_000, 1_000_000_000
HOUR, DAY = 3600 * S, 86_400 * S
BIPOLE = (Share("3", -1000), Share("5", 1000))
GUARDED = (Share("1", 333), Share("2", -1000), Share("3", 333), Share("return", 334))
SPLIT = (Share("1", -335), Share("2", -665), Share("4", 617), Share("7", 383))


def area(**changes: Any) -> Area:
    """Tonic stimulation of a bipole, with whatever is to differ."""
    given: dict[str, Any] = {
        "name": "area 1",
        "amplitude": 6_000_000,
        "shares": BIPOLE,
        "pulse": Pulse(300 * US, Recharge.PASSIVE),
        "train": Train(Fraction(50)),
        "ramp": Ramp(0, 0),
    }
    return Area(**(given | changes))


def program(*areas: Area, **changes: Any) -> Program:
    """A bench program of these areas (tonic if none), until stopped."""
    named = tuple(
        one if len({a.name for a in areas}) == len(areas) else _named(one, number)
        for number, one in enumerate(areas, 1)
    )
    given: dict[str, Any] = {
        "name": "test",
        "therapy": "bench",
        "leads": ("octrode",),
        "areas": named or (area(),),
    }
    return Program(**(given | changes))


def _named(one: Area, number: int) -> Area:
    return Area(
        f"area {number}",
        one.amplitude,
        one.shares,
        one.pulse,
        one.train,
        one.ramp,
        one.cycle,
        one.delay_ns,
        one.priority,
    )


def microseconds(step_na: int = 10_000) -> Grid:
    """A grid of 1 us and 10 uA with the default guard and recovery."""
    return Grid.of(1000, step_na)


@st.composite
def grids(draw: st.DrawFn, ticks: tuple[int, ...] = (1000, 20_000, 50_000, 30_517)) -> Grid:
    tick = draw(st.sampled_from(ticks))
    step = draw(st.sampled_from((1_000, 10_000, 12_345, 50_000, 7)))
    guard = draw(st.sampled_from((20 * US, 0, 150 * US)))
    return Grid.of(tick, step, guard, draw(st.sampled_from((400 * US, 100 * US, 0))))


@st.composite
def shares(draw: st.DrawFn, contacts: int = 6) -> tuple[Share, ...]:
    labels = draw(
        st.lists(
            st.sampled_from([*map(str, range(1, contacts + 1)), "return"]),
            min_size=2,
            max_size=5,
            unique=True,
        )
    )
    split = draw(st.integers(1, len(labels) - 1))
    found = []
    for sign, group in ((-1, labels[:split]), (1, labels[split:])):
        cuts = draw(
            st.lists(st.integers(1, 999), min_size=len(group) - 1, max_size=len(group) - 1, unique=True)
        )
        edges = [0, *sorted(cuts), 1000]
        found.extend(
            Share(label, sign * (high - low))
            for label, low, high in zip(group, edges[:-1], edges[1:], strict=True)
        )
    return tuple(found)


@st.composite
def areas(draw: st.DrawFn, slowest_hz: int = 5, fastest_hz: int = 2000, cycled: bool = True) -> Area:
    kind = draw(st.sampled_from(list(Recharge)))
    if draw(st.booleans()):
        rate = Fraction(draw(st.integers(slowest_hz * 1000, fastest_hz * 1000)), 1000)
        train = Train(rate)
    else:
        interval = draw(st.integers(S // fastest_hz, S // slowest_hz))
        train = Train(Fraction(S, interval), from_interval=True)
    period = S / train.rate_hz
    pulses = 1
    room = period
    if kind is Recharge.PASSIVE_AFTER_BURST or draw(st.booleans()):
        pulses = draw(st.integers(2, 5))
        room = Fraction(min(period / (pulses + 1), 10**7))
        burst_rate = Fraction(max(1, int(1000 * S / room)), 1000) + Fraction(draw(st.integers(0, 700)), 1000)
        train = Train(train.rate_hz, Burst(pulses, burst_rate), train.from_interval)
    ratio = draw(st.integers(2, 4)) if kind is Recharge.ACTIVE_ASYMMETRIC else 1
    width = draw(st.integers(US, max(US, int(room) // (3 * (ratio + 1)))))
    gap = draw(st.sampled_from((0, 0, min(20 * US, width), width)))
    cycle = None
    if cycled and draw(st.booleans()):
        cycle = Cycle(
            draw(st.integers(100 * MS, 160 * MS)), draw(st.sampled_from((0, 1, 70 * MS, 33_333_333)))
        )
    return area(
        amplitude=draw(st.integers(0, 20_000_000)),
        shares=draw(shares()),
        pulse=Pulse(min(width, 10 * MS), kind, gap, ratio),
        train=train,
        ramp=Ramp(
            draw(st.sampled_from((0, 30 * MS, 300 * MS, 77_777_777))),
            draw(st.sampled_from((0, 40 * MS, 500 * MS))),
        ),
        cycle=cycle,
        delay_ns=draw(st.sampled_from((0, 0, 3 * MS, 12_345_678))),
        priority=draw(st.integers(1, 2)),
    )


@st.composite
def programs(draw: st.DrawFn, many: bool = False) -> Program:
    count = draw(st.integers(2, 3)) if many else 1
    fastest = 150 if many else 2000
    found = [draw(areas(slowest_hz=10 if many else 5, fastest_hz=fastest)) for _ in range(count)]
    duration = draw(st.sampled_from((None, 400 * MS, 351_234_567)))
    return program(*found, duration_ns=duration, interleave_drop=many)
