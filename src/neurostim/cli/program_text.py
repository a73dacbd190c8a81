"""A program in words and as plain data, for people and for ``--json``."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from neurostim.core.program import Area, Program, RelativeAmplitude
from neurostim.core.units import NS_PER_S, format_current, format_rate, format_time

if TYPE_CHECKING:
    from rich.console import Console

    from neurostim.core.schedule import Schedule

PLAIN_WIDTH: Final = 170


def widen(screen: Console) -> None:
    """Give tables room where they go to a file or pipe, which has no width of its own."""
    if not screen.is_terminal:
        screen.width = PLAIN_WIDTH


def summary(program: Program) -> str:
    """The waveform in one line, such as ``40 Hz bursts of 5 at 500 Hz, 1 ms``."""
    return " + ".join(_waveform(area) for area in program.areas)


def describe(program: Program) -> Iterator[tuple[str, str]]:
    """Label and text, line by line, of all that a program says."""
    yield "Program", program.name
    yield "For", program.therapy
    yield "Lead", ", ".join(program.leads)
    yield "Duration", _long_time(program.duration_ns) if program.duration_ns else "until stopped"
    if program.source:
        yield "Source", program.source
    if program.evidence:
        words = {"A": "read", "B": "textbook", "C": "illustrative"}
        yield "Grade", f"{program.evidence} ({words[program.evidence]})"
    if program.interleave_drop:
        yield "Interleave", "units that meet another area may be dropped"
    for number, area in enumerate(program.areas, start=1):
        yield f"Area {number}", area.name
        yield "  amplitude", amplitude_text(area.amplitude)
        yield "  contacts", ", ".join(f"{one.contact} {share_text(one.permille)}" for one in area.shares)
        yield "  train", _train(area)
        yield "  pulse", _pulse(area)
        yield "  ramp", f"{_long_time(area.ramp.up_ns)} up, {_long_time(area.ramp.down_ns)} down"
        if area.cycle is not None:
            yield "  cycle", f"{_long_time(area.cycle.on_ns)} on, {_long_time(area.cycle.off_ns)} off"
        if area.delay_ns:
            yield "  delay", format_time(area.delay_ns)
        if len(program.areas) > 1:
            yield "  priority", str(area.priority)


def program_document(program: Program) -> dict[str, Any]:
    """A program as plain data: integers in base units, exact rates as text."""
    return {
        "name": program.name,
        "therapy": program.therapy,
        "leads": list(program.leads),
        "source": program.source,
        "evidence": program.evidence,
        "duration_ns": program.duration_ns,
        "interleave_drop": program.interleave_drop,
        "waveform": summary(program),
        "areas": [_area_document(area) for area in program.areas],
    }


def amplitude_text(amplitude: int | RelativeAmplitude) -> str:
    """An amplitude for people."""
    if isinstance(amplitude, RelativeAmplitude):
        percent = share_text(amplitude.permille).removeprefix("+")
        return f"{percent} of the {amplitude.of} mark {amplitude.mark}"
    return format_current(amplitude) if amplitude else "0 mA"


def share_text(permille: int) -> str:
    """A share [0.1 %] for people, such as ``-33.3 %``."""
    whole, tenth = divmod(abs(permille), 10)
    return f"{'-' if permille < 0 else '+'}{whole}{f'.{tenth}' if tenth else ''} %"


def adjustments(schedule: Schedule) -> list[dict[str, str]]:
    """What the grid changed: place, asked, given, as text for people."""
    shown = {"ns": format_time, "nA": format_current}
    return [
        {"place": one.place, "asked": shown[one.unit](one.asked), "given": shown[one.unit](one.given)}
        for one in schedule.adjustments
    ]


def _area_document(area: Area) -> dict[str, Any]:
    amplitude: Any = area.amplitude
    if isinstance(amplitude, RelativeAmplitude):
        amplitude = {"of": amplitude.of, "permille": amplitude.permille, "mark": amplitude.mark}
    burst = area.train.burst
    return {
        "name": area.name,
        "amplitude_na": amplitude,
        "shares_permille": {one.contact: one.permille for one in area.shares},
        "width_ns": area.pulse.width_ns,
        "interphase_ns": area.pulse.interphase_ns,
        "recharge": area.pulse.recharge.word,
        "ratio": area.pulse.ratio,
        "rate_hz": str(area.train.rate_hz),
        "burst": None if burst is None else {"pulses": burst.pulses, "rate_hz": str(burst.rate_hz)},
        "ramp_up_ns": area.ramp.up_ns,
        "ramp_down_ns": area.ramp.down_ns,
        "cycle": None if area.cycle is None else {"on_ns": area.cycle.on_ns, "off_ns": area.cycle.off_ns},
        "delay_ns": area.delay_ns,
        "priority": area.priority,
    }


def _rate_text(rate_hz: Fraction) -> str:
    """A rate, or its interval where the rate has no short decimal form."""
    if rate_hz % Fraction(1, 1000):
        return f"every {_long_time(int(NS_PER_S / rate_hz))}"
    return format_rate(rate_hz)


def _train(area: Area) -> str:
    train = area.train
    rate = _rate_text(train.rate_hz)
    if train.from_interval:
        rate = f"every {_long_time(int(NS_PER_S / train.rate_hz))}"
    if train.burst is None:
        return rate
    return f"{rate} bursts of {train.burst.pulses} at {_rate_text(train.burst.rate_hz)}"


def _pulse(area: Area) -> str:
    pulse = area.pulse
    text = format_time(pulse.width_ns)
    if pulse.interphase_ns:
        text += f", interphase {format_time(pulse.interphase_ns)}"
    text += f", recharge {pulse.recharge.word}"
    return f"{text} 1:{pulse.ratio}" if pulse.ratio > 1 else text


def _waveform(area: Area) -> str:
    text = f"{_train(area)}, {format_time(area.pulse.width_ns)}, {amplitude_text(area.amplitude)}"
    if area.cycle is not None:
        text += f", {_long_time(area.cycle.on_ns)} on / {_long_time(area.cycle.off_ns)} off"
    return text


def _long_time(time_ns: int) -> str:
    """A time for people, with minutes, hours and days where it is that many exactly."""
    for unit, size in (("days", 86_400), ("h", 3600), ("min", 60)):
        count, rest = divmod(time_ns, size * NS_PER_S)
        if count > 1 and not rest:
            return f"{count} {unit}"
    return format_time(time_ns) if time_ns else "0 s"
