"""The figures of the demonstration, all from the recorded traces: whole dose, one unit, the pulled cable."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from neurostim.cli.demo_evidence import PASSIVE, Evidence
from neurostim.cli.demo_scenes import DEAD_MAN_NS
from neurostim.cli.demo_svg import Axis, Chart
from neurostim.cli.plot_data import unit_span

CARD: Final = (420, 150)
WIDE: Final = (1120, 250)
MOST_STEMS: Final = 1500
COLUMNS: Final = 360
BEFORE_NS: Final = 400_000_000
AFTER_NS: Final = 700_000_000
_MA: Final = 1e6
_S: Final = 1e9
_MS: Final = 1e6

Points = list[tuple[float, float]]


def dose_chart(evidence: Evidence) -> str:
    """Magnitude of every stimulation phase over the whole dose, with what was commanded."""
    starts, amplitudes = evidence.pulses
    end = evidence.silent_ns / _S
    peak = float(amplitudes.max(initial=1)) / _MA
    name = f"Stimulation current over the dose of {evidence.scene.program.name}"
    chart = Chart(*CARD, Axis(0, end * 1.02, "time (s)"), Axis(0, peak * 1.2, "current (mA)"), name)
    if len(starts) <= MOST_STEMS:
        chart.stems(_points(evidence), "stem delivered")
    else:
        chart.filled(_columns(evidence, end), "fill delivered")
    chart.line(_commanded(evidence, end), "commanded")
    return chart.svg()


def unit_chart(evidence: Evidence) -> str:
    """Current at each contact for one unit at full amplitude, as it was recorded."""
    span = unit_span(evidence.scene.schedule)
    table = evidence.table
    last = span.start_ns + span.length_ns
    inside = (table.start_ns < last) & (table.start_ns + table.duration_ns > span.start_ns)
    size, unit = (1e6, "ms") if span.length_ns >= 2_000_000 else (1e3, "us")
    peak = float(np.abs(table.amplitude_na).max(initial=1)) / _MA
    x = Axis(0, span.length_ns / size, f"time ({unit}), from {span.start_ns / _S:.4f} s")
    chart = Chart(*CARD, x, Axis(-peak * 1.2, peak * 1.2, "current (mA)"), "One unit as it was delivered")
    for start, duration in zip(
        *(column[inside & (table.kind == PASSIVE)] for column in (table.start_ns, table.duration_ns)),
        strict=True,
    ):
        begin = (max(int(start), span.start_ns) - span.start_ns) / size
        chart.band(begin, (min(int(start + duration), last) - span.start_ns) / size, "shorted")
    driven = inside & (table.kind != PASSIVE)
    for contact in sorted(set(table.contact[driven].tolist()), key=lambda one: one == evidence.cathode):
        mine = driven & (table.contact == contact)
        points: Points = [(0.0, 0.0)]
        rows = zip(table.start_ns[mine], table.duration_ns[mine], table.amplitude_na[mine], strict=True)
        for start, duration, amplitude in rows:
            begin = (max(int(start), span.start_ns) - span.start_ns) / size
            end = (min(int(start + duration), last) - span.start_ns) / size
            points += [(begin, int(amplitude) / _MA), (end, 0.0)]
        points.append((x.high, 0.0))
        chart.steps(points, "line cathode" if contact == evidence.cathode else "line anode")
    return chart.svg()


def cable_chart(evidence: Evidence) -> str:
    """Delivered against commanded around the pulled cable."""
    pulled = evidence.pulled_ns
    peak = float(evidence.pulses[1].max(initial=1)) / _MA
    x = Axis(-BEFORE_NS / _MS, AFTER_NS / _MS, "time since the cable was pulled (ms)")
    name = "Current delivered and commanded around the pulled cable"
    chart = Chart(*WIDE, x, Axis(0, peak * 1.5, "current (mA)"), name)
    chart.band(0, DEAD_MAN_NS / _MS, "grace")
    wanted = _program_pulses(evidence, pulled - BEFORE_NS, pulled + AFTER_NS)
    chart.stems([((t - pulled) / _MS, a / _MA) for t, a in wanted], "stem wanted")
    chart.stems(_around(evidence, pulled), "stem delivered")
    chart.mark(0, "cable pulled", "alarm", anchor="end")
    ramp = evidence.command_ns("ramp_down")
    if ramp is not None:
        late = (ramp - pulled) / _MS
        chart.mark(late, f"ramp-down begins by itself, {late:.0f} ms", "note", anchor="end", row=1)
    after = evidence.silent_after_ns / _MS
    chart.mark(after, f"silent, {after:.0f} ms", "good", anchor="end", row=2)
    chart.mark(DEAD_MAN_NS / _MS, "500 ms limit", "alarm")
    return chart.svg()


def cable_picture(evidence: Evidence, out: Path) -> None:
    """The same as a PNG picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pulled = evidence.pulled_ns
    figure = Figure(figsize=(11, 4.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    wanted = _program_pulses(evidence, pulled - BEFORE_NS, pulled + AFTER_NS)
    times, tops = [(t - pulled) / _MS for t, _ in wanted], [a / _MA for _, a in wanted]
    axes.vlines(times, 0, tops, color="#C9CED4", linewidth=5, label="commanded by the program")
    shown = _around(evidence, pulled)
    tops = [a for _, a in shown]
    axes.vlines([t for t, _ in shown], 0, tops, color="#0072B2", linewidth=1.8, label="delivered")
    axes.axvspan(0, DEAD_MAN_NS / _MS, color="#D55E00", alpha=0.08, linewidth=0, label="500 ms allowed")
    axes.axvline(0, color="#D55E00", linewidth=1.4, label="cable pulled")
    ramp = evidence.command_ns("ramp_down")
    if ramp is not None:
        label = "ramp-down begins by itself"
        axes.axvline((ramp - pulled) / _MS, color="#7A7A7A", linestyle="--", linewidth=1.2, label=label)
    axes.axvline(evidence.silent_after_ns / _MS, color="#009E73", linewidth=1.4, label="silent")
    axes.set_xlim(-BEFORE_NS / _MS, AFTER_NS / _MS)
    axes.set_ylim(0, None)
    axes.set_xlabel("Time since the cable was pulled (ms)")
    axes.set_ylabel("Stimulation current (mA)")
    after = evidence.silent_after_ns / _MS
    axes.set_title(
        f"Cable pulled: silent after {after:.0f} ms, allowed 500 ms", loc="left", fontweight="bold"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=6, frameon=False, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(out, dpi=150)


def _points(evidence: Evidence) -> Points:
    starts, amplitudes = evidence.pulses
    return [(int(t) / _S, int(a) / _MA) for t, a in zip(starts, amplitudes, strict=True)]


def _columns(evidence: Evidence, end_s: float) -> Points:
    """The largest magnitude in each of some hundred columns."""
    starts, amplitudes = evidence.pulses
    place = np.minimum((starts / (end_s * _S) * COLUMNS).astype(np.int64), COLUMNS - 1)
    highest = np.zeros(COLUMNS, dtype=np.int64)
    np.maximum.at(highest, place, amplitudes)
    middles = (np.arange(COLUMNS) + 0.5) * end_s / COLUMNS
    return [(float(t), int(a) / _MA) for t, a in zip(middles, highest, strict=True)]


def _commanded(evidence: Evidence, end_s: float) -> Points:
    """Amplitude with ramp and soft stop, as commanded."""
    area = evidence.scene.schedule.image.areas[0]
    top = float(evidence.pulses[1].max(initial=0)) / _MA
    points = [(0.0, 0.0), (min(area.ramp_up_ns / _S, end_s), top)]
    stop = evidence.command_ns("soft_stop")
    if stop is None:
        return [*points, (end_s, top)]
    return [*points, (stop / _S, top), (min((stop + area.ramp_down_ns) / _S, end_s), 0.0)]


def _around(evidence: Evidence, pulled: int) -> Points:
    """Delivered pulses near the pulled cable: ms since then, mA."""
    starts, amplitudes = evidence.pulses
    since = starts - pulled
    near = (since >= -BEFORE_NS) & (since <= AFTER_NS)
    return [(int(t) / _MS, int(a) / _MA) for t, a in zip(since[near], amplitudes[near], strict=True)]


def _program_pulses(evidence: Evidence, low_ns: int, high_ns: int) -> list[tuple[int, int]]:
    """Onset [ns] and magnitude [nA] that the program alone has for the cathode."""
    schedule = evidence.scene.schedule
    contact = min(schedule.unit_currents(0).items(), key=lambda one: one[1])[0]
    first = max(low_ns, 0)
    found: list[tuple[int, int]] = []
    for block in schedule.events(first, high_ns - first):
        mine = (np.asarray(block.contact) == contact) & (np.asarray(block.kind) == 0)
        times, amplitudes = np.asarray(block.start_ns)[mine], np.asarray(block.amplitude_na)[mine]
        found += [(int(t), -int(a)) for t, a in zip(times, amplitudes, strict=True)]
    return found
