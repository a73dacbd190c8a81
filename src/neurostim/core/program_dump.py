"""Writing of programs as text of format 1, which reads back to an equal program."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Final

from neurostim.core.errors import ConfigError
from neurostim.core.program import FORMAT, Area, Program, Ramp, RelativeAmplitude, Train
from neurostim.core.program_read import parse_program
from neurostim.core.units import NS_PER_S, format_current, format_rate, format_time

_ESCAPES: Final = {'"': '\\"', "\\": "\\\\"}


def dump_program(program: Program) -> str:
    """Write a program as the text of a file.

    Parameters
    ----------
    program : Program
        Any program that format 1 can say.

    Returns
    -------
    str
        TOML that `parse_program` reads back to an equal program.

    Raises
    ------
    ConfigError
        Where the program says something that the format cannot.
    """
    text = "\n".join(_lines(program)) + "\n"
    if parse_program(text, program.name) != program:
        raise ConfigError(
            "the program holds values that format 1 cannot write",
            allowed="contacts in order, rates of at most 3 decimals or whole-ns intervals, shares in 0.1 %",
            code="program",
        )
    return text


def _lines(program: Program) -> Iterator[str]:
    yield f"format = {_text(FORMAT)}"
    yield f"name = {_text(program.name)}"
    yield f"therapy = {_text(program.therapy)}"
    if program.source:
        yield f"source = {_text(program.source)}"
    if program.evidence:
        yield f"evidence = {_text(program.evidence)}"
    leads = [_text(lead) for lead in program.leads]
    yield f"lead = {leads[0]}" if len(leads) == 1 else f"lead = [{', '.join(leads)}]"
    if program.duration_ns is not None:
        yield f"duration = {_text(format_time(program.duration_ns))}"
    if program.interleave_drop:
        yield 'interleave = "drop"'
    for number, area in enumerate(program.areas, start=1):
        yield ""
        yield "[[area]]"
        yield from _area_lines(area, number)


def _area_lines(area: Area, number: int) -> Iterator[str]:
    if area.name != f"area {number}":
        yield f"name = {_text(area.name)}"
    yield f"amplitude = {_amplitude(area.amplitude)}"
    shares = (f"{_key(share.contact)} = {_text(_share(share.permille))}" for share in area.shares)
    yield f"contacts = {{ {', '.join(shares)} }}"
    yield f"pulse = {_pulse(area)}"
    yield f"train = {_train(area.train)}"
    if area.ramp != Ramp():
        yield f"ramp = {{ up = {_time(area.ramp.up_ns)}, down = {_time(area.ramp.down_ns)} }}"
    if area.cycle is not None:
        yield f"cycle = {{ on = {_time(area.cycle.on_ns)}, off = {_time(area.cycle.off_ns)} }}"
    if area.delay_ns:
        yield f"delay = {_time(area.delay_ns)}"
    if area.priority != 1:
        yield f"priority = {area.priority}"


def _text(value: str) -> str:
    return '"' + "".join(_ESCAPES.get(character, character) for character in value) + '"'


def _time(value_ns: int) -> str:
    return _text(format_time(value_ns)) if value_ns else '"0 s"'


def _key(contact: str) -> str:
    return _text(contact) if "." in contact else contact


def _share(permille: int) -> str:
    sign = "-" if permille < 0 else "+"
    whole, tenth = divmod(abs(permille), 10)
    return f"{sign}{whole}.{tenth} %" if tenth else f"{sign}{whole} %"


def _amplitude(amplitude: int | RelativeAmplitude) -> str:
    if isinstance(amplitude, RelativeAmplitude):
        percent = _share(amplitude.permille).removeprefix("+")
        return f"{{ of = {_text(amplitude.of)}, percent = {_text(percent)}, mark = {_text(amplitude.mark)} }}"
    return _text(format_current(amplitude))


def _pulse(area: Area) -> str:
    pulse = area.pulse
    parts = [f"width = {_time(pulse.width_ns)}"]
    if pulse.interphase_ns:
        parts.append(f"interphase = {_time(pulse.interphase_ns)}")
    parts.append(f"recharge = {_text(pulse.recharge.word)}")
    if pulse.ratio != 1:
        parts.append(f"ratio = {pulse.ratio}")
    return f"{{ {', '.join(parts)} }}"


def _train(train: Train) -> str:
    parts = [_pace(train.rate_hz, as_interval=train.from_interval)]
    if train.burst is not None:
        pace = _pace(train.burst.rate_hz, as_interval=train.burst.from_interval)
        parts.append(f"burst = {{ pulses = {train.burst.pulses}, {pace} }}")
    return f"{{ {', '.join(parts)} }}"


def _pace(rate_hz: Fraction, *, as_interval: bool) -> str:
    if as_interval:
        return f"interval = {_time(int(NS_PER_S / rate_hz))}"
    return f"rate = {_text(format_rate(rate_hz))}"
