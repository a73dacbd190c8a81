"""Program mappings for tests of the judge: a small builder and a strategy over what the format can say."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from support.wrong_compilers import Bench

BIPOLE = {"3": "-100 %", "5": "+100 %"}
SHARES = (
    BIPOLE,
    {"1": "-33.3 %", "2": "-66.7 %", "4": "+50 %", "8": "+50 %"},
    {"3": "-100 %", "1": "+33.4 %", "2": "+33.3 %", "10": "+33.3 %"},
    {"2": "-50.1 %", "6": "-49.9 %", "return": "100 %"},
    {"1": "-70 %", "3": "-30 %", "5": "12.5 %", "6": "12.5 %", "7": "25 %", "return": "50 %"},
)


def area(**changes: Any) -> dict[str, Any]:
    """A tonic area, with anything changed."""
    base: dict[str, Any] = {
        "amplitude": "2 mA",
        "contacts": dict(BIPOLE),
        "pulse": {"width": "300 us", "interphase": "50 us", "recharge": "passive"},
        "train": {"rate": "50 Hz"},
        "ramp": {"up": "100 ms", "down": "60 ms"},
    }
    return base | changes


def program(*areas: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A bench program of these areas."""
    base: dict[str, Any] = {
        "format": "neurostim-program/1",
        "name": "test",
        "therapy": "bench",
        "lead": "octrode",
        "interleave": "drop",
        "area": list(areas),
    }
    return base | changes


def micro(value: int) -> str:
    return f"{value} us"


@st.composite
def areas(draw: st.DrawFn, index: int) -> dict[str, Any]:
    """One area that fits its own train on a grid of up to 2 us."""
    recharge = draw(
        st.sampled_from(
            ["passive", "passive-after-burst", "active-symmetric", "active-asymmetric", "triphasic", "none"]
        )
    )
    width = draw(st.integers(30, 400))
    gap = draw(st.sampled_from([0, 1, 20, 75]))
    ratio = draw(st.integers(2, 6))
    length = {
        "active-symmetric": 2 * width + gap,
        "active-asymmetric": width * (1 + ratio) + gap,
        "triphasic": 4 * width + 2 * gap,
    }.get(recharge, width)
    occupied = length + (gap + 420 if recharge.startswith("passive") else 0) + 12
    pulse: dict[str, Any] = {"width": micro(width), "interphase": micro(gap), "recharge": recharge}
    if recharge == "active-asymmetric":
        pulse["ratio"] = ratio
    train: dict[str, Any] = {}
    if recharge == "passive-after-burst" or draw(st.booleans()):
        count = draw(st.integers(2, 6))
        inner = draw(st.integers(1, 6)) * 100 + (
            length + 12 if recharge == "passive-after-burst" else occupied
        )
        # A burst rate whose period is no whole number of ticks.
        train["burst"] = {"pulses": count, "rate": f"{1_000_000_000 // inner / 1000:.3f} Hz"}
        occupied += (count - 1) * (inner + 1)
    interval = max(50, occupied + draw(st.integers(0, 40_000)))
    if draw(st.booleans()):
        train["interval"] = micro(interval)
    else:
        train["rate"] = f"{max(1, 1_000_000_000 // interval) / 1000:.3f} Hz"
    result: dict[str, Any] = {
        "amplitude": f"{draw(st.integers(0, 6_000_000))} nA",
        "contacts": dict(draw(st.sampled_from(SHARES))),
        "pulse": pulse,
        "train": train,
        "ramp": {
            "up": f"{draw(st.sampled_from([0, 13, 50, 200]))} ms",
            "down": f"{draw(st.sampled_from([0, 7, 50, 150]))} ms",
        },
        "priority": draw(st.integers(1, 3)),
    }
    if draw(st.booleans()):
        result["cycle"] = {
            "on": f"{draw(st.integers(100_000, 160_000))} us",
            "off": f"{draw(st.integers(0, 60_000))} us",
        }
    if index or draw(st.booleans()):
        result["delay"] = micro(draw(st.integers(0, 30_000)))
    return result


@st.composite
def programs(draw: st.DrawFn) -> dict[str, Any]:
    """A program of one to three areas, with or without an end."""
    count = draw(st.integers(1, 3))
    changes: dict[str, Any] = {}
    if draw(st.booleans()):
        changes["duration"] = f"{draw(st.integers(150, 450))} ms"
    return program(*(draw(areas(index)) for index in range(count)), **changes)


benches = st.builds(
    Bench,
    tick_ns=st.sampled_from([1000, 500, 2000, 700, 1024]),
    step_na=st.sampled_from([1, 10_000, 50_000, 33_333]),
    guard=st.sampled_from([0, 10, 20, 41]),
    recovery_min=st.sampled_from([200, 400]),
)


def to_toml(mapping: dict[str, Any]) -> str:
    """A program mapping as the text of a program file."""

    def value(item: Any) -> str:
        if isinstance(item, dict):
            inner = ", ".join(f'"{key}" = {value(entry)}' for key, entry in item.items())
            return "{ " + inner + " }"
        return str(item) if isinstance(item, int) else f'"{item}"'

    lines = [f"{key} = {value(entry)}" for key, entry in mapping.items() if key != "area"]
    for entry in mapping["area"]:
        lines += ["", "[[area]]", *(f"{key} = {value(item)}" for key, item in entry.items())]
    return "\n".join(lines) + "\n"
