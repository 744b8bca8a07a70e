"""A small picture of a front for notebooks: inline SVG, made without any package.

Two objectives: a scatter with front lines and 95 % intervals. More: parallel coordinates, better is up.
Lines and text take the colour of the surrounding text, so that the picture fits a light and a dark notebook.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from paretomerge.reports.digits import decimals_for, show
from paretomerge.reports.marks import INTERVAL, MARKS, clean, objective_label, objective_name
from paretomerge.reports.points import Points, lines_of
from paretomerge.types import Objective, Origin
from paretomerge.types.scores import ORIGINS

WIDTH, HEIGHT = 440, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 46
MOST_POINTS = 400
"""Points that are drawn; of more, every k-th."""
_FAINT = 80
MOST_LEVEL = 6
"""Names of more axes than that are turned."""


def thumbnail_svg(points: Points, columns: Sequence[int]) -> str:
    """The picture of the objectives in `columns`; nothing for fewer than two, or when no point has them all."""
    known = np.isfinite(points.values[:, list(columns)]).all(axis=1)
    if len(columns) < 2 or not known.any():
        return ""
    content = _scatter(points, columns, known) if len(columns) == 2 else _parallel(points, columns, known)
    names = " and ".join(objective_name(points.objectives[column], 30) for column in columns[:3])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'role="img" style="max-width:100%;height:auto;color:inherit;font:11px sans-serif" '
        f'aria-label="{escape(f"{int(known.sum())} points: {names}")}">{content}</svg>'
    )


def _scatter(points: Points, columns: Sequence[int], known: np.ndarray) -> str:
    x, y = columns
    values, half = points.values[:, [x, y]], INTERVAL * points.stderr[:, [x, y]]
    low, high = (values - half)[known].min(axis=0), (values + half)[known].max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    low, span = low - 0.04 * span, 1.08 * span
    place = _Place(low, span)
    parts = [_frame(points.objectives[x], points.objectives[y], low, low + span)]
    for line in lines_of(points, columns):
        colour = "currentColor" if line.origin is None else MARKS[line.origin].light
        path = " ".join(place.text(points.values[row, [x, y]]) for row in line.rows)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.2" opacity="0.7"/>')
    for origin in ORIGINS:
        for row in _drawn([row for row in points.rows(origin) if known[row]]):
            parts.append(_bars(place, values[row], half[row], MARKS[origin].light))
            parts.append(_mark(*place.of(values[row]), origin, row == points.chosen))
    return "".join(parts)


def _parallel(points: Points, columns: Sequence[int], known: np.ndarray) -> str:
    values = points.values[:, list(columns)]
    objectives = [points.objectives[column] for column in columns]
    signs = np.array([objective.sign for objective in objectives])
    turned = -signs * values
    low, high = turned[known].min(axis=0), turned[known].max(axis=0)
    heights = (turned - low) / np.where(high > low, high - low, 1.0)
    across = np.linspace(LEFT, WIDTH - RIGHT - 30, len(columns))
    bottom = HEIGHT - BOTTOM - (26 if len(columns) > MOST_LEVEL else 0)
    rise = bottom - TOP - 14
    parts = []
    for origin in ORIGINS:
        rows = _drawn([row for row in points.rows(origin) if known[row] and row != points.chosen])
        opacity = 0.6 if len(rows) <= _FAINT else 0.2
        for row in rows:
            parts.append(_polyline(across, bottom - rise * heights[row], MARKS[origin].light, 1.0, opacity))
    if points.chosen is not None and known[points.chosen]:
        parts.append(_polyline(across, bottom - rise * heights[points.chosen], "currentColor", 2.4, 1.0))
    many = len(columns) > MOST_LEVEL
    for m, (place, objective) in enumerate(zip(across, objectives, strict=True)):
        parts.append(_line(place, bottom - rise, place, bottom))
        digits = decimals_for([low[m], high[m]])
        parts.append(_text(place, bottom - rise - 5, show(-signs[m] * high[m], digits), "middle"))
        parts.append(_text(place, bottom + 14, show(-signs[m] * low[m], digits), "middle"))
        name = objective_name(objective, 16 if many else max(12, 66 // len(columns)))
        turn = f' transform="rotate(-28 {place:.0f} {bottom + 26:.0f})"' if many else ""
        parts.append(_text(place, bottom + (26 if many else 31), name, "end" if many else "middle", turn))
    middle = bottom - rise / 2
    parts.append(_text(14, middle, "better →", "middle", f' transform="rotate(-90 14 {middle:.0f})"'))
    return "".join(parts)


class _Place:
    """Values → pixels."""

    def __init__(self, low: np.ndarray, span: np.ndarray) -> None:
        self.low, self.span = low, span

    def of(self, value: np.ndarray) -> tuple[float, float]:
        across, up = ((value - self.low) / self.span).tolist()
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    def text(self, value: np.ndarray) -> str:
        across, down = self.of(value)
        return f"{across:.1f},{down:.1f}"


def _frame(x: Objective, y: Objective, low: np.ndarray, high: np.ndarray) -> str:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [_line(LEFT, bottom, right, bottom), _line(LEFT, TOP, LEFT, bottom)]
    for share in (0.0, 0.5, 1.0):
        at = low + share * (high - low)
        across, up = LEFT + share * (right - LEFT), bottom - share * (bottom - TOP)
        anchor = "start" if share == 0 else "middle" if share < 1 else "end"
        digits = [decimals_for([low[m], high[m]]) for m in (0, 1)]
        parts.append(_text(across, bottom + 15, show(at[0], digits[0]), anchor))
        parts.append(_text(LEFT - 5, min(up + 4, bottom), show(at[1], digits[1]), "end"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 8, objective_label(x, 30), "middle"))
    turn = f' transform="rotate(-90 12 {(TOP + bottom) / 2:.0f})"'
    parts.append(_text(12, (TOP + bottom) / 2, objective_label(y, 20), "middle", turn))
    return "".join(parts)


def _mark(x: float, y: float, origin: Origin, chosen: bool) -> str:
    mark = MARKS[origin]
    size = 6.0 if chosen else 3.6
    edge = 'stroke="currentColor" stroke-width="2"' if chosen else 'stroke="white" stroke-width="0.6"'
    look = f'fill="{mark.light}" {edge}'
    if mark.shape == "o":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" {look}/>'
    turn = f' transform="rotate(45 {x:.1f} {y:.1f})"' if mark.shape == "D" else ""
    side = 1.8 * size
    return f'<rect x="{x - side / 2:.1f}" y="{y - side / 2:.1f}" width="{side:.1f}" height="{side:.1f}" {look}{turn}/>'


def _bars(place: _Place, value: np.ndarray, half: np.ndarray, colour: str) -> str:
    bars = []
    for m in (0, 1):
        if half[m] > 0:
            step = np.zeros(2)
            step[m] = half[m]
            ends = (*place.of(value - step), *place.of(value + step))
            bars.append(_line(*ends, colour, 0.35))
    return "".join(bars)


def _drawn(rows: list[int]) -> list[int]:
    return rows[:: -(-len(rows) // MOST_POINTS)] if rows else rows


def _polyline(across: np.ndarray, down: np.ndarray, colour: str, width: float, opacity: float) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, down, strict=True))
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}" opacity="{opacity:g}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = "currentColor", opacity: float = 0.5) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" opacity="{opacity:g}"/>'


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    shown = escape(clean(text))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor"{more}>{shown}</text>'
