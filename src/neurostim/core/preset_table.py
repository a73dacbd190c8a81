"""The reference page of the presets, written from the files themselves; a test keeps it in step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from neurostim.core.presets import load_preset, presets
from neurostim.core.program import Area, Program, RelativeAmplitude
from neurostim.core.units import format_current, format_rate, format_time

PAGE: Final = "docs/reference/presets.md"

_INTRODUCTION: Final = """\
# Presets

Programs that ship with neurostim, in `protocols/stimulation/`. Each is a plain program file with its source
and the grade of what is known: **A** read in a published copy for this project, **B** textbook knowledge not
read again, **C** illustrative. The amplitude is a starting point within the published range, never advice for
a person. Contacts, interphase, ramp and the ratio of asymmetric recharge are a plain choice where the source
names none. The column *for* names the device profile a preset needs; what a clinical port cannot carry is for
the bench.

Show one with `neurostim program show NAME`, judge it with `check`, draw it with `plot`, and take its waveform
to other contacts with `neurostim program new FILE --like NAME`.

This page is written by `python -m neurostim.core.preset_table` from the files.
"""


def page() -> str:
    """The page as Markdown."""
    return "\n".join([_INTRODUCTION, *_table(), "", "## Sources and notes", "", *_notes()]) + "\n"


def _table() -> Iterator[str]:
    yield "| Preset | For | Grade | Rate | Width | Amplitude | Recharge | Lead | Cycle |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name in presets():
        program = load_preset(name)
        for number, area in enumerate(program.areas):
            yield _row(name if number == 0 else "", program, area)


def _row(name: str, program: Program, area: Area) -> str:
    burst = area.train.burst
    rate = format_rate(area.train.rate_hz)
    if burst is not None:
        rate = f"{rate} bursts of {burst.pulses} at {format_rate(burst.rate_hz)}"
    width = format_time(area.pulse.width_ns)
    recharge = area.pulse.recharge.word
    if area.pulse.ratio > 1:
        recharge = f"{recharge} 1:{area.pulse.ratio}"
    cycle = (
        "" if area.cycle is None else f"{format_time(area.cycle.on_ns)} / {format_time(area.cycle.off_ns)}"
    )
    if isinstance(area.amplitude, RelativeAmplitude):
        raise AssertionError("a preset has no marks to refer to")
    amplitude = format_current(area.amplitude) if area.amplitude else "0 mA"
    cells = [
        f"`{name}`" if name else "",
        program.therapy if name else "",
        program.evidence if name else "",
        rate,
        width,
        amplitude,
        recharge,
        ", ".join(program.leads) if name else "",
        cycle,
    ]
    return f"| {' | '.join(cells)} |"


def _notes() -> Iterator[str]:
    for name, path in presets().items():
        program = load_preset(name)
        note = " ".join(_comment(path))
        yield f"- **`{name}`**: {program.name}. {note} *{program.source}.*"


def _comment(path: Path) -> Iterator[str]:
    """The comment at the head of a preset: what it is for, and what of it is known."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            return
        yield line.removeprefix("#").strip()


if __name__ == "__main__":
    Path(PAGE).write_text(page(), encoding="utf-8")
