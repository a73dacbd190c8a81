"""Leads and their contacts, drawn to scale, with the share and the current of each contact."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from matplotlib.patches import FancyBboxPatch, Rectangle

from neurostim.cli.program_text import share_text
from neurostim.core.image import RETURN_INDEX
from neurostim.core.schedule import Schedule
from neurostim.core.units import format_current
from neurostim.electrode.lead import Lead

if TYPE_CHECKING:
    from matplotlib.axes import Axes

IDLE: Final = "#D9DDE1"
BODY: Final = "#F4F5F7"
INK: Final = "#222222"
FAINT: Final = "#8A8A8A"
_GAP_MM: Final = 14.0
_PAD_UM: Final = 20_000
_BARS_MM: Final = (50, 20, 10, 5, 2, 1)


def draw_leads(axes: Axes, schedule: Schedule, leads: Sequence[Lead], colours: dict[int, str]) -> None:
    """Draw every lead from tip (top) to tail, side by side, and the return pad where there is one."""
    texts = _texts(schedule)
    has_room = len(leads) == 1 and (_is_slender(leads[0]) or _is_pad(leads[0]))
    x, index, extent = 0.0, 0, _Extent()
    for number, lead in enumerate(leads, start=1):
        left, right = _sides(lead)
        x -= left
        top = _body(axes, lead, x, extent)
        if len(leads) > 1:
            at = (x + (left + right) / 2, top - 1)
            axes.text(*at, f"lead {number}", ha="center", va="bottom", fontsize=8, color=FAINT)
            extent.include(extent.left, extent.right, top - 8, extent.bottom)
        for contact in lead.contacts:
            index += 1
            centre = (x + contact.x_um / 1000, contact.y_um / 1000)
            size = (contact.width_um / 1000, contact.length_um / 1000)
            _contact(axes, centre, size, colours.get(index, IDLE), extent)
            label = schedule.labels.get(index, str(contact.number))
            text = texts.get(index, "") if has_room else ""
            if _is_slender(lead):
                beside = (centre[0] + size[0] / 2 + 1.2, centre[1])
                _side_label(axes, beside, label, text, active=index in texts)
            else:
                _inner_label(axes, centre, f"{label}\n{text}".strip(), active=index in texts)
        x += right + _GAP_MM
    pad = next((lead.return_pad for lead in leads if lead.return_pad is not None), None)
    if pad is not None and RETURN_INDEX in schedule.contacts:
        size = (pad.width_um / 1000, pad.length_um / 1000)
        centre = ((extent.left + extent.right) / 2, extent.bottom + 6 + size[1] / 2)
        _contact(axes, centre, size, colours[RETURN_INDEX], extent)
        _inner_label(axes, centre, f"return\n{texts[RETURN_INDEX]}", active=True)
    _scale_bar(axes, extent)
    if not has_room:
        _list(axes, schedule, texts, colours, extent)
    _finish(axes, extent, ", ".join(dict.fromkeys(lead.title for lead in leads)))


class _Extent:
    """The rectangle that all that was drawn takes [mm]; y runs from tip to tail."""

    def __init__(self) -> None:
        self.left = self.right = self.top = self.bottom = 0.0

    def include(self, left: float, right: float, top: float, bottom: float) -> None:
        self.left, self.right = min(self.left, left), max(self.right, right)
        self.top, self.bottom = min(self.top, top), max(self.bottom, bottom)


def _texts(schedule: Schedule) -> dict[int, str]:
    """Share and current of each contact, area by area."""
    texts: dict[int, list[str]] = {}
    for number, area in enumerate(schedule.image.areas):
        currents = schedule.unit_currents(number)
        for contact, share in area.shares:
            current = currents.get(contact, 0)
            amount = format_current(current) if current else "0 mA"
            amount = amount if current < 0 or not current else f"+{amount}"
            texts.setdefault(contact, []).append(f"{share_text(share)}  {amount}")
    return {contact: "\n".join(lines).replace("-", "\u2212") for contact, lines in texts.items()}


def _sides(lead: Lead) -> tuple[float, float]:
    left = min(contact.x_um - contact.width_um / 2 for contact in lead.contacts) / 1000
    right = max(contact.x_um + contact.width_um / 2 for contact in lead.contacts) / 1000
    return left, right


def _is_slender(lead: Lead) -> bool:
    left, right = _sides(lead)
    return right - left < 5


def _is_pad(lead: Lead) -> bool:
    return all(contact.width_um >= _PAD_UM for contact in lead.contacts)


def _body(axes: Axes, lead: Lead, x: float, extent: _Extent) -> float:
    """Draw the body; where its top is."""
    left, right = _sides(lead)
    margin = 0.0 if _is_slender(lead) else 1.0
    top = min(contact.y_um - contact.length_um / 2 for contact in lead.contacts) / 1000 - 2
    bottom = max(contact.y_um + contact.length_um / 2 for contact in lead.contacts) / 1000 + 2
    box = FancyBboxPatch(
        (x + left - margin, top), right - left + 2 * margin, bottom - top,
        boxstyle=f"round,pad=0,rounding_size={min(right - left, 2) / 2:.3f}",
        facecolor=BODY, edgecolor=FAINT, linewidth=0.7,
    )  # fmt: skip
    axes.add_patch(box)
    extent.include(x + left - margin, x + right + margin, top, bottom)
    return top


def _contact(
    axes: Axes, centre: tuple[float, float], size: tuple[float, float], colour: str, extent: _Extent
) -> None:
    left, top = centre[0] - size[0] / 2, centre[1] - size[1] / 2
    axes.add_patch(Rectangle((left, top), *size, facecolor=colour, edgecolor="white", linewidth=0.6))
    extent.include(left, left + size[0], top, top + size[1])


def _side_label(axes: Axes, at: tuple[float, float], label: str, text: str, *, active: bool) -> None:
    """The label beside a contact of a slender lead, with what it carries where there is room."""
    shown = f"{label}   {text}".rstrip().replace("\n", f"\n{' ' * (len(label) + 3)}")
    weight, colour = ("bold", INK) if active else ("normal", FAINT)
    axes.text(*at, shown, ha="left", va="center", fontsize=8.5, weight=weight, color=colour)


def _inner_label(axes: Axes, at: tuple[float, float], text: str, *, active: bool) -> None:
    """The label on a contact of a paddle, or in a pad with what it carries."""
    size = 8.5 if "\n" in text else 6.5
    axes.text(*at, text, ha="center", va="center", fontsize=size, color="white" if active else INK)


def _list(
    axes: Axes, schedule: Schedule, texts: dict[int, str], colours: dict[int, str], extent: _Extent
) -> None:
    """Contacts and what they carry, right of paddles and of several leads, where labels have no room."""
    height = extent.bottom - extent.top
    # Labels stand beside the contacts of slender leads, and are longer with several leads.
    several = any("." in schedule.labels[contact] for contact in schedule.contacts)
    left = extent.right + height * (0.11 if several else 0.06)
    indent = height * (0.095 if several else 0.075)
    y = extent.top + height * 0.02
    for contact in schedule.contacts:
        label = schedule.labels[contact]
        axes.text(left, y, label, va="top", fontsize=8.5, weight="bold", color=colours[contact])
        for line in texts[contact].split("\n"):
            axes.text(left + indent, y, line, va="top", fontsize=8.5, color=INK)
            y += height * 0.042
    extent.include(extent.left, left + height * 0.3, extent.top, y)


def _scale_bar(axes: Axes, extent: _Extent) -> None:
    height, width = extent.bottom - extent.top, extent.right - extent.left
    bar = next(size for size in _BARS_MM if size <= max(height, width) / 4 or size == 1)
    below = extent.bottom + height * 0.05
    ends = [extent.left, extent.left + bar]
    axes.plot(ends, [below, below], color=INK, linewidth=1.6, solid_capstyle="butt")
    axes.text(extent.left, below + height * 0.015, f"{bar} mm", ha="left", va="top", fontsize=8, color=INK)
    extent.include(extent.left, extent.right, extent.top, below + height * 0.06)


def _finish(axes: Axes, extent: _Extent, title: str) -> None:
    axes.set_title(textwrap.fill(title, 34), loc="left", fontsize=10.5, color=INK, fontweight="bold")
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.03)
    axes.update_datalim([(extent.left, extent.top), (extent.right, extent.bottom)])
    axes.autoscale_view()
    axes.invert_yaxis()
    axes.axis("off")
