"""Drawings of programs: what they show is what is delivered, and all of it can be read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from typer.testing import CliRunner

from neurostim.cli import exits
from neurostim.cli.plot import COLD, WARM, contact_colours, draw, figure_of
from neurostim.cli.plot_data import overview_span, stretch, traces, unit_span
from neurostim.cli.program import app
from neurostim.core.compile import compile_program
from neurostim.core.errors import ConfigError
from neurostim.core.program import Program
from neurostim.core.program_file import load_preset, parse_program
from neurostim.electrode.library import contact_map, lead
from neurostim.safety.profiles import profile
from support.programs import AREA, HEAD, swap

S = 10**9
PADDLE = swap('"octrode"', '"coveredge-32"')
TWO_LEADS = (
    swap('"octrode"', '["octrode", "evoke-12c"]', HEAD).replace("Test program", "A long name " * 9)
    + AREA.replace("3 =", '"1.3" =').replace("5 =", '"2.5" =')
    + AREA.replace("3 =", '"1.4" =').replace("5 =", '"2.6" =')
    + 'delay = "5 ms"\npriority = 2\n'
)
PICTURES = {
    **{name: load_preset(name) for name in ("tonic", "burstdr-30-90", "hf10", "multiplexed", "ecap-base")},
    **{name: load_preset(name) for name in ("pns-12hz", "tens-burst", "drg-trial-sham", "kilohertz-block")},
    "paddle": parse_program(PADDLE),
    "two leads": parse_program(TWO_LEADS),
}


def compiled(program: Program):
    leads = [lead(one) for one in program.leads]
    capabilities = profile(program.therapy)
    return compile_program(program, capabilities.grid, contact_map(leads)), leads, capabilities.discharge_ohm


def figure(program: Program) -> Figure:
    made = figure_of(program, *compiled(program))
    FigureCanvasAgg(made).draw()
    return made


@pytest.fixture(scope="module", params=PICTURES)
def picture(request: pytest.FixtureRequest) -> Figure:
    return figure(PICTURES[request.param])


def texts(made: Figure) -> list[Text]:
    """All text that is drawn; labels of ticks outside the limits are made by matplotlib but not drawn."""
    outside = set()
    for axes in made.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not (axes.axison and low <= tick.get_loc() <= high):
                    outside |= {tick.label1, tick.label2}
        if not axes.axison:
            outside |= {axes.xaxis.label, axes.yaxis.label}
    found = made.findobj(Text)
    return [one for one in found if one.get_visible() and one.get_text().strip() and one not in outside]


def test_no_text_is_cut_off(picture):
    edge = picture.bbox
    assert len(texts(picture)) > 20
    for text in texts(picture):
        box = text.get_window_extent()
        inside = edge.x0 <= box.x0 and box.x1 <= edge.x1 and edge.y0 <= box.y0 and box.y1 <= edge.y1
        assert inside, text.get_text()


def test_headings_do_not_run_into_each_other(picture):
    bold = [text for text in texts(picture) if text.get_fontweight() == "bold"]
    headings = [text for text in bold if text.get_fontsize() > 10]
    assert len(headings) == 5
    for one, other in itertools.combinations(headings, 2):
        meet = one.get_window_extent().overlaps(other.get_window_extent())
        assert not meet, (one.get_text(), other.get_text())


def test_what_a_contact_carries_is_not_written_over_anything(picture):
    (panel,) = [axes for axes in picture.axes if not axes.axison]
    labels = [text for text in texts(picture) if text.axes is panel]
    for one, other in itertools.combinations(labels, 2):
        meet = one.get_window_extent().overlaps(other.get_window_extent())
        assert not meet, (one.get_text(), other.get_text())


def test_every_time_current_and_voltage_axis_has_its_unit(picture):
    labels = {axes.get_ylabel() for axes in picture.axes} | {axes.get_xlabel() for axes in picture.axes}
    for word in ("Contact", "Current (", "Voltage (V)", "Time ("):
        assert any(label.startswith(word) for label in labels), labels


def test_the_contacts_of_the_program_are_named(picture):
    shown = {text.get_text() for text in texts(picture)}
    assert any("%" in text for text in shown)


def test_cathodes_are_cold_and_anodes_warm_and_no_two_neighbours_alike():
    schedule, _, _ = compiled(load_preset("multiplexed"))
    colours = contact_colours(schedule)
    shares = {contact: share for area in schedule.image.areas for contact, share in area.shares}
    for contact, share in shares.items():
        assert colours[contact] in (COLD if share < 0 else WARM)
    assert len(set(colours.values())) == len(colours)


def test_the_unit_shown_is_at_full_amplitude():
    for name in ("tonic", "burstdr", "hf10", "ecap-base", "multiplexed"):
        schedule, _, _ = compiled(load_preset(name))
        shown = stretch(schedule, unit_span(schedule))
        full = {}
        for area in range(len(schedule.image.areas)):
            for contact, current in schedule.unit_currents(area).items():
                full[contact] = max(full.get(contact, 0), abs(current))
        for column, contact in enumerate(shown.contacts):
            assert np.abs(shown.current_na[:, column]).max() == full[contact], (name, contact)


def test_the_unit_shown_is_a_whole_one():
    for name in ("tonic", "burstdr", "ecap-base", "tens-burst", "drg-4hz"):
        schedule, _, _ = compiled(load_preset(name))
        timing = schedule.area_timing(0)
        span = unit_span(schedule)
        assert span.start_ns < span.onset_ns
        assert span.onset_ns + timing.unit_length * timing.tick_ns <= span.start_ns + span.length_ns


def test_steps_of_a_stretch_are_the_events_of_it():
    schedule, _, _ = compiled(load_preset("fast"))
    span = unit_span(schedule)
    shown = stretch(schedule, span)
    lengths = np.diff(shown.edge_ns)
    assert (lengths > 0).all()
    assert lengths.sum() == span.length_ns
    assert (shown.current_na.sum(axis=1) == 0).all()
    phase = 3_000_000 * 250_000
    charge = np.where(shown.current_na < 0, shown.current_na, 0).T @ lengths
    assert charge.tolist() == [-phase, -phase], "stimulation on one contact, recharge on the other"


def test_passive_recovery_is_shown_as_shorted_and_never_while_driving():
    schedule, _, _ = compiled(load_preset("multiplexed"))
    shown = stretch(schedule, unit_span(schedule))
    assert shown.shorted.any()
    driven = (shown.current_na != 0).any(axis=1)
    assert not (driven & shown.shorted.any(axis=1)).any()


def test_burstdr_shows_voltage_that_builds_up_and_a_recharge_peak_above_the_stimulus():
    schedule, leads, discharge = compiled(load_preset("burstdr"))
    span = unit_span(schedule)
    found = traces(schedule, leads, span, discharge)
    after = found.at_ns > span.onset_ns + 9_000_000
    peak_ma = np.abs(found.current_na[after]).max() / 1e6
    assert 2.4 <= peak_ma <= 6, "7.5 uC on 1 to 3 uF through 1 kOhm"
    pulses = [found.at_ns == span.onset_ns + int(pulse * 2e6) + 999_999 for pulse in range(5)]
    heights = [float(np.abs(found.voltage_uv[pulse]).max()) for pulse in pulses]
    assert heights == sorted(heights)
    assert heights[4] > 2 * heights[0]


@pytest.mark.parametrize("name", ["tonic", "hf10", "multiplexed", "ecap-base", "pns-12hz"])
def test_currents_into_the_tissue_sum_to_zero_at_every_instant(name):
    schedule, leads, discharge = compiled(load_preset(name))
    found = traces(schedule, leads, unit_span(schedule), discharge)
    assert np.abs(found.current_na.sum(axis=1)).max() < 1e-3
    assert (np.diff(found.at_ns) > 0).all()


def test_an_actively_recharged_pulse_returns_to_where_it_began():
    schedule, leads, discharge = compiled(load_preset("hf10"))
    found = traces(schedule, leads, unit_span(schedule), discharge)
    assert np.abs(found.voltage_uv[0]).max() < 5_000, "within 5 mV after a second of pulses"


def test_the_overview_covers_the_whole_program_or_two_cycles():
    schedule, _, _ = compiled(parse_program(HEAD + AREA))
    assert overview_span(schedule).length_ns == 20 * 60 * S
    schedule, _, _ = compiled(load_preset("burstdr-30-360"))
    assert overview_span(schedule).length_ns == 2 * 390 * S
    schedule, _, _ = compiled(load_preset("tonic"))
    assert overview_span(schedule).length_ns == 6 * S


def test_plot_writes_a_picture(tmp_path):
    out = tmp_path / "tonic.png"
    result = CliRunner().invoke(app, ["plot", "tonic", "--out", str(out), "--for", "10 s"])
    assert result.exit_code == exits.OK, result.exception
    assert out.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_plot_refuses_what_it_cannot_write(tmp_path):
    with pytest.raises(ConfigError, match=r"\.png"):
        draw(load_preset("tonic"), tmp_path / "tonic.pdf")
    nowhere = str(tmp_path / "no" / "tonic.png")
    result = CliRunner().invoke(app, ["plot", "tonic", "--out", nowhere])
    assert isinstance(result.exception, ConfigError)
    assert "cannot be written" in str(result.exception)
