"""The drawing of a program: the whole of it, one unit, the contacts to scale, current and voltage.

Made with matplotlib's figure alone, without a window system. Colours are those of Okabe and Ito, which
people with any colour vision tell apart: cold for cathodes, warm for anodes, the same in every panel.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from neurostim.cli.plot_data import Span, Traces, overview_span, stretch, traces, unit_span
from neurostim.cli.plot_leads import draw_leads
from neurostim.cli.program_text import summary
from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.program import Program
from neurostim.core.schedule import Schedule
from neurostim.core.units import format_current, format_time
from neurostim.electrode.lead import Lead
from neurostim.electrode.library import check_contacts, contact_map, lead
from neurostim.safety.profiles import profile as nominal

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLD: Final = ("#0072B2", "#56B4E9", "#009E73", "#000000")
WARM: Final = ("#D55E00", "#E69F00", "#CC79A7", "#8C6D1F")
INK: Final = "#222222"
FAINT: Final = "#8A8A8A"
GRID: Final = "#E6E6E6"
SHORT: Final = "#F2F4F6"
COLUMNS: Final = 1500
_SIZE_INCHES: Final = (12.0, 8.4)
_DPI: Final = 150
_S: Final = 10**9
# From this length on [ns], times are written in that many ns, under that name.
_UNITS: Final = (
    (3 * 86_400 * _S, 86_400 * _S, "days"),
    (5 * 3600 * _S, 3600 * _S, "h"),
    (600 * _S, 60 * _S, "min"),
    (2 * _S, _S, "s"),
    (_S // 500, _S // 1000, "ms"),
    (0, _S // 1_000_000, "us"),
)


def draw(program: Program, out: Path, *, profile: str | None = None, span_ns: int | None = None) -> None:
    """Draw a program on the nominal device of a profile.

    Parameters
    ----------
    program : Program
    out : Path
        A ``.png`` file; it is written over.
    profile : str, optional
        Device profile; the program's therapy by default.
    span_ns : int, optional
        Length of the overview [ns]; the whole program by default.

    Raises
    ------
    ConfigError
        Where the program cannot be compiled, or the name does not end with ``.png``.
    OSError
        Where the picture cannot be written.
    """
    if out.suffix.lower() != ".png":
        raise ConfigError(f"found {out.name}", allowed="a picture whose name ends with .png", code="suffix")
    capabilities = nominal(profile or program.therapy)
    leads = [lead(one) for one in program.leads]
    check_contacts(program, leads)
    schedule = compile_program(program, capabilities.grid, contact_map(leads))
    figure = figure_of(program, schedule, leads, capabilities.discharge_ohm, span_ns)
    figure.savefig(out, dpi=_DPI)


def figure_of(
    program: Program,
    schedule: Schedule,
    leads: Sequence[Lead],
    discharge_ohm: int,
    span_ns: int | None = None,
) -> Figure:
    """The figure of a compiled program."""
    engine = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.09)
    figure = Figure(figsize=_SIZE_INCHES, layout=engine, facecolor="white")
    FigureCanvasAgg(figure)
    name = textwrap.fill(program.name, 90)
    figure.suptitle(name, fontsize=15, fontweight="bold", color=INK, x=0.012, ha="left")
    figure.supxlabel(_footnote(program, schedule), fontsize=8, color=FAINT, x=0.012, ha="left")
    colours = contact_colours(schedule)
    grid = figure.add_gridspec(3, 2, width_ratios=(1, 3.1), height_ratios=(1, 1.25, 1.25))
    overview = figure.add_subplot(grid[0, :])
    contacts = figure.add_subplot(grid[1:, 0])
    current = figure.add_subplot(grid[1, 1])
    voltage = figure.add_subplot(grid[2, 1], sharex=current)
    whole = overview_span(schedule) if span_ns is None else Span(0, span_ns)
    _overview(overview, program, schedule, whole, colours)
    draw_leads(contacts, schedule, leads, colours)
    span = unit_span(schedule)
    _unit((current, voltage), schedule, traces(schedule, leads, span, discharge_ohm), span, colours)
    return figure


def _footnote(program: Program, schedule: Schedule) -> str:
    grid = schedule.image.grid
    parts = [f"Drawn for steps of {format_time(grid.tick_ns)} and {format_current(grid.step_na)}"]
    if program.source:
        parts.append(f"Source: {program.source}")
    if program.evidence:
        parts.append(f"Grade {program.evidence}")
    return textwrap.fill(".  ".join(parts), 190)


def contact_colours(schedule: Schedule) -> dict[int, str]:
    """One colour a contact: cold for those that are first a cathode, warm for anodes."""
    colours: dict[int, str] = {}
    counts = {True: 0, False: 0}
    for area in schedule.image.areas:
        for contact, share in area.shares:
            if contact not in colours:
                palette = COLD if share < 0 else WARM
                colours[contact] = palette[counts[share < 0] % len(palette)]
                counts[share < 0] += 1
    return colours


def _style(axes: Axes, title: str, ylabel: str) -> None:
    axes.set_title(title, loc="left", fontsize=10.5, color=INK, fontweight="bold")
    axes.set_ylabel(ylabel, fontsize=9.5, color=INK)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=8.5, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)


def _time_unit(length_ns: int) -> tuple[int, str]:
    return next((size, name) for least, size, name in _UNITS if length_ns >= least)


def _current_unit(peak_na: float) -> tuple[float, str]:
    return (1e6, "mA") if peak_na >= 1e5 or peak_na == 0 else (1e3, "uA")


def _overview(axes: Axes, program: Program, schedule: Schedule, span: Span, colours: dict[int, str]) -> None:
    """The envelope of each contact's current in a lane of its own."""
    size, unit = _time_unit(span.length_ns)
    envelope = np.asarray(schedule.envelope(span.start_ns, span.length_ns, COLUMNS), dtype=np.float64)
    peak = float(np.abs(envelope).max(initial=0))
    lane = 2.3 * (peak or 1.0)
    times = (np.arange(COLUMNS + 1) * span.length_ns / COLUMNS) / size
    middles = []
    for number, contact in enumerate(schedule.contacts):
        middle = -lane * number
        middles.append(middle)
        low, high = middle + np.append(envelope[number], envelope[number, -1:], axis=0).T
        axes.axhline(middle, color=GRID, linewidth=0.8, zorder=0)
        axes.fill_between(times, low, high, step="post", color=colours[contact], linewidth=0.5)
    title = f"{summary(program)}; {_extent(schedule, span)}"
    _style(axes, textwrap.fill(title, 130), "Contact")
    axes.grid(visible=False, axis="y")
    axes.set_yticks(middles, [schedule.labels[contact] for contact in schedule.contacts])
    for label, contact in zip(axes.get_yticklabels(), schedule.contacts, strict=True):
        label.set_color(colours[contact])
        label.set_fontweight("bold")
    axes.set_ylim(middles[-1] - lane / 2, lane / 2)
    axes.set_xlabel(f"Time ({unit})", fontsize=9.5, color=INK)
    axes.set_xlim(0, span.length_ns / size)
    note = f"lanes reach \u00b1{format_current(round(peak))}" if peak else "no current"
    axes.text(1.0, 1.02, note, transform=axes.transAxes, ha="right", va="bottom", fontsize=8, color=FAINT)


def _extent(schedule: Schedule, span: Span) -> str:
    if schedule.duration_ns is None:
        return "runs until stopped"
    whole = span.length_ns >= schedule.duration_ns
    return "the whole program" if whole else "the beginning of the program"


def _unit(
    panels: tuple[Axes, Axes], schedule: Schedule, found: Traces, span: Span, colours: dict[int, str]
) -> None:
    current, voltage = panels
    size, unit = _time_unit(span.length_ns)
    steps = stretch(schedule, span)
    times = (found.at_ns - span.start_ns) / size
    amps_peak = float(np.abs(found.current_na).max(initial=0))
    amps, amp_unit = _current_unit(amps_peak)
    for axes in (current, voltage):
        for first, last in _shorted_spans(np.asarray(steps.shorted.any(axis=1))):
            edges = (steps.edge_ns[[first, last]] - span.start_ns) / size
            axes.axvspan(edges[0], edges[1], color=SHORT, linewidth=0, zorder=0)
    for number, contact in enumerate(schedule.contacts):
        # Contacts with equal shares coincide: the earlier are drawn wider, so that all are seen.
        mine = found.current_na[:, number : number + 1]
        apart = np.abs(found.current_na[:, number + 1 :] - mine).max(axis=0)
        hidden = int((apart <= amps_peak / 200).sum())
        width = 1.5 + 1.3 * min(hidden, 3)
        look: dict[str, Any] = {"color": colours[contact], "linewidth": width, "solid_joinstyle": "miter"}
        current.plot(times, found.current_na[:, number] / amps, **look)
        voltage.plot(times, found.voltage_uv[:, number] / 1e6, **look)
    if amps_peak == 0:
        for axes in (current, voltage):
            axes.set_ylim(-1, 1)
    kind = "One unit" if span.units == 1 else "Some units"
    if len(schedule.image.areas) > 1:
        kind = "How the areas interleave"
    began = f"{span.onset_ns / _S:.3f}".rstrip("0").rstrip(".")
    _style(current, f"{kind}, {began} s after the start: current into the tissue", f"Current ({amp_unit})")
    _style(voltage, "Voltage at the contact against the tissue (nominal circuit)", "Voltage (V)")
    current.tick_params(labelbottom=False)
    voltage.set_xlabel(f"Time ({unit})", fontsize=9.5, color=INK)
    voltage.set_xlim(0, span.length_ns / size)
    if steps.shorted.any():
        current.text(
            0.995, 0.03, "shaded: contacts shorted, charge flows back", transform=current.transAxes,
            ha="right", va="bottom", fontsize=8, color=FAINT,
        )  # fmt: skip


def _shorted_spans(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    padded = np.concatenate([[False], flags, [False]])
    changes = np.flatnonzero(np.diff(padded.astype(np.int8)))
    return [(int(first), int(last)) for first, last in changes.reshape(-1, 2)]
