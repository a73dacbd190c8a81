"""Charts as inline SVG: axes with units, steps, stems and marks, coloured by the classes of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

MARGIN_LEFT: Final = 44.0
MARGIN_RIGHT: Final = 10.0
MARGIN_TOP: Final = 12.0
MARGIN_BOTTOM: Final = 32.0
_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis: its ends and its name with the unit."""

    low: float
    high: float
    name: str

    def ticks(self, most: int) -> list[float]:
        """Round values inside, at most about ``most``."""
        span = self.high - self.low
        raw = span / max(most, 1)
        power = 10.0 ** _floor_log10(raw)
        step = next(nice * power for nice in _NICE if nice * power >= raw * 0.999)
        first = int(-(-self.low // step))
        last = int(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


class Chart:
    """A chart that grows by what is drawn into it; later things lie on top."""

    def __init__(self, width: int, height: int, x: Axis, y: Axis, title: str) -> None:
        self._width = width
        self._height = height
        self._x_axis = x
        self._y_axis = y
        self._title = title
        self._parts: list[str] = []
        self._axes()

    def x(self, value: float) -> float:
        """Place of a value along the width."""
        axis = self._x_axis
        room = self._width - MARGIN_LEFT - MARGIN_RIGHT
        return MARGIN_LEFT + room * (value - axis.low) / (axis.high - axis.low)

    def y(self, value: float) -> float:
        """Place of a value along the height."""
        axis = self._y_axis
        room = self._height - MARGIN_TOP - MARGIN_BOTTOM
        return self._height - MARGIN_BOTTOM - room * (value - axis.low) / (axis.high - axis.low)

    def stems(self, points: Iterable[tuple[float, float]], look: str) -> None:
        """A line from zero for each point."""
        foot = self.y(0)
        path = "".join(f"M{self.x(x):.1f} {foot:.1f}V{self.y(y):.1f}" for x, y in points)
        self._parts.append(f'<path class="{look}" d="{path}"/>')

    def steps(self, points: Sequence[tuple[float, float]], look: str) -> None:
        """A line that keeps each value until the next."""
        if not points:
            return
        path = f"M{self.x(points[0][0]):.2f} {self.y(points[0][1]):.2f}"
        path += "".join(f"H{self.x(x):.2f}V{self.y(y):.2f}" for x, y in points[1:])
        self._parts.append(f'<path class="{look}" d="{path}"/>')

    def line(self, points: Sequence[tuple[float, float]], look: str) -> None:
        """Straight from point to point."""
        path = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
        self._parts.append(f'<path class="{look}" d="M{path}"/>')

    def filled(self, points: Sequence[tuple[float, float]], look: str) -> None:
        """The area between the points and zero."""
        if points:
            ends = [(points[0][0], 0.0), *points, (points[-1][0], 0.0)]
            self.line(ends, look)

    def band(self, start: float, end: float, look: str) -> None:
        """A stretch of the width, over the whole height."""
        left, right = self.x(start), self.x(end)
        height = self._height - MARGIN_TOP - MARGIN_BOTTOM
        self._parts.append(
            f'<rect class="{look}" x="{left:.1f}" y="{MARGIN_TOP}" width="{max(right - left, 0):.1f}" '
            f'height="{height:.1f}"/>'
        )

    def mark(self, at: float, text: str, look: str, *, row: int = 0, anchor: str = "start") -> None:
        """A line over the height with words at its top."""
        x, shift = self.x(at), 4 if anchor == "start" else -4
        y = MARGIN_TOP + 10 + 14 * row
        self._parts.append(
            f'<path class="{look}" d="M{x:.1f} {MARGIN_TOP}V{self._height - MARGIN_BOTTOM}"/>'
            f'<text class="{look}" x="{x + shift:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
        )

    def words(self, x: float, y: float, text: str, look: str, anchor: str = "start") -> None:
        """Text at a place of the data."""
        self._parts.append(
            f'<text class="{look}" x="{self.x(x):.1f}" y="{self.y(y):.1f}" '
            f'text-anchor="{anchor}">{escape(text)}</text>'
        )

    def svg(self) -> str:
        """The whole chart."""
        title = escape(self._title, quote=True)
        return (
            f'<svg viewBox="0 0 {self._width} {self._height}" role="img" aria-label="{title}">'
            f"<title>{title}</title>{''.join(self._parts)}</svg>"
        )

    def _axes(self) -> None:
        left, right = MARGIN_LEFT, self._width - MARGIN_RIGHT
        foot = self._height - MARGIN_BOTTOM
        for value in self._y_axis.ticks(4):
            y = self.y(value)
            look = "zero" if value == 0 else "grid"
            self._parts.append(
                f'<path class="{look}" d="M{left} {y:.1f}H{right}"/>'
                f'<text class="tick" x="{left - 5}" y="{y + 3.5:.1f}" text-anchor="end">'
                f"{_plain(value)}</text>"
            )
        for value in self._x_axis.ticks(8 if self._width > 600 else 5):
            x = self.x(value)
            self._parts.append(
                f'<path class="notch" d="M{x:.1f} {foot}v4"/>'
                f'<text class="tick" x="{x:.1f}" y="{foot + 15}" text-anchor="middle">{_plain(value)}</text>'
            )
        self._parts.append(
            f'<text class="name" x="{right}" y="{self._height - 4}" text-anchor="end">'
            f"{escape(self._x_axis.name)}</text>"
            f'<text class="name" x="{-MARGIN_TOP:.0f}" y="11" text-anchor="end" '
            f'transform="rotate(-90)">{escape(self._y_axis.name)}</text>'
        )


def _plain(value: float) -> str:
    text = f"{value:.6g}"
    return text.replace("-", "\u2212")


def _floor_log10(value: float) -> int:
    power = 0
    while value >= 10.0:
        value, power = value / 10.0, power + 1
    while 0 < value < 1.0:
        value, power = value * 10.0, power - 1
    return power
