"""The panels of a figure: a scatter of two objectives, a map of one over three tasks, parallel coordinates of many.

Markers and lines are sized by the figure's type: what is readable at 10 points is drawn smaller at 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from paretomerge.reports.band import Band
from paretomerge.reports.digits import decimals_for, show
from paretomerge.reports.marks import CHOSEN_COLOUR, INTERVAL, MARKS, clean, objective_label, objective_name
from paretomerge.reports.points import Points, lines_of, links_of
from paretomerge.types import Objective, Origin
from paretomerge.types.scores import ORIGINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#222222"
GREY = "#8a8a8a"
BAND_COLOUR, BAND_ALPHA = MARKS["predicted"].light, 0.16
MANY = 60
"""From so many points of one origin on, its markers shrink and its error bars fade."""


def literal(text: str) -> str:
    """`text` as matplotlib shall show it, without reading `$` as mathematics."""
    return text.replace("$", r"\$")


def unit() -> float:
    """How large things are drawn, relative to type of 10 points."""
    from matplotlib import rcParams

    return float(rcParams["font.size"]) / 10


def draw_scatter(
    axes: Axes, points: Points, columns: Sequence[int], lined: bool = True, band: Band | None = None
) -> None:
    """Two objectives: points of each origin with 95 % intervals, the choice as a star.

    `lined` adds front lines; they are for fronts of exactly two objectives. With a `band`, which says how sure the
    front is, predicted points have no intervals of their own.
    """
    x, y = columns
    known = np.isfinite(points.values[:, [x, y]]).all(axis=1)
    if band is not None:
        axes.fill(*band.outline.T, color=BAND_COLOUR, alpha=BAND_ALPHA, linewidth=0, zorder=0.5)
    _draw_links(axes, points, x, y, known)
    for line in lines_of(points, columns if lined else ()):
        colour = INK if line.origin is None else MARKS[line.origin].light
        rows = list(line.rows)
        axes.plot(points.values[rows, x], points.values[rows, y], color=colour, linewidth=1.3 * unit(), zorder=2)
    for origin in ORIGINS:
        rows = [row for row in points.rows(origin) if known[row]]
        _draw_origin(axes, points, x, y, rows, origin, barred=band is None or origin != "predicted")
    if points.chosen is not None and known[points.chosen]:
        draw_star(axes, points.values[points.chosen, x], points.values[points.chosen, y])
    axes.set_xlabel(literal(_axis_label(axes, points.objectives[x], 0)))
    axes.set_ylabel(literal(_axis_label(axes, points.objectives[y], 1)))
    _tidy(axes)
    if band is not None:
        _frame_points(axes, points.values[known][:, [x, y]], INTERVAL * points.stderr[known][:, [x, y]])


def draw_parallel(axes: Axes, points: Points, columns: Sequence[int]) -> None:
    """One vertical axis per objective, each turned so that better is up."""
    values = points.values[:, list(columns)]
    known = np.isfinite(values).all(axis=1)
    signs = np.array([points.objectives[column].sign for column in columns])
    low = values[known].min(axis=0)
    high = values[known].max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    height = np.where(signs > 0, (high - values) / span, (values - low) / span)
    places = np.arange(len(columns))
    size = unit()
    for origin in ORIGINS:
        rows = [row for row in points.rows(origin) if known[row] and row != points.chosen]
        faint = len(rows) > MANY or origin == "predicted"
        for row in rows:
            axes.plot(
                places, height[row], color=MARKS[origin].light, marker=MARKS[origin].shape,
                alpha=max(0.05, min(0.4, 15 / len(rows))) if faint else 0.8,
                linewidth=(0.8 if faint else 1.2) * size, markersize=(2.5 if faint else 4.5) * size,
                zorder=2 + ORIGINS.index(origin),
            )  # fmt: skip
    if points.chosen is not None and known[points.chosen]:
        axes.plot(
            places, height[points.chosen], color=INK, linewidth=2.2 * size, marker="*", markersize=13 * size,
            markerfacecolor=CHOSEN_COLOUR, markeredgecolor=INK, markeredgewidth=size, zorder=8,
        )  # fmt: skip
    _draw_rulers(axes, [points.objectives[column] for column in columns], low, high, signs)


def draw_star(axes: Axes, x: float, y: float) -> None:
    """The chosen point."""
    size = unit()
    axes.scatter([x], [y], marker="*", s=190 * size**2, color=CHOSEN_COLOUR, edgecolors=INK, linewidths=size, zorder=9)


def _axis_label(axes: Axes, objective: Objective, along: int) -> str:
    """On two lines when it would not fit on one."""
    label = objective_label(objective, 28)
    length = axes.get_position().size[along] * _inches(axes)[along]
    letters = length * 72 / (0.6 * 10 * unit())
    return label if len(label) <= letters else "\n".join(label.rsplit(", ", 1))


def _inches(axes: Axes) -> tuple[float, float]:
    """Width and height of the whole figure."""
    box = axes.figure.bbox
    return box.width / axes.figure.dpi, box.height / axes.figure.dpi


def _draw_rulers(
    axes: Axes, objectives: Sequence[Objective], low: np.ndarray, high: np.ndarray, signs: np.ndarray
) -> None:
    count = len(objectives)
    space = _inches(axes)[0] * 72 / (count + 0.4) / (0.55 * 10 * unit())  # letters between two axes
    names = [objective_name(objective) for objective in objectives]
    turned = max(len(name) for name in names) > space and count > 4
    for place, objective in enumerate(objectives):
        axes.plot([place, place], [0, 1], color=GREY, linewidth=0.8 * unit(), zorder=1)
        top, bottom = (low, high) if signs[place] > 0 else (high, low)
        digits = decimals_for([top[place], bottom[place]])
        _write(axes, place, 1.0, 5, show(top[place], digits), ha="center", va="bottom")
        _write(axes, place, 0.0, -5, show(bottom[place], digits), ha="center", va="top")
        name = objective_name(objective, 24 if turned else max(10, int(space)))
        label = f"{name}\n[{clean(objective.unit, 12)}]" if objective.unit and not turned else name
        if turned:
            _write(axes, place, 0.0, -20, literal(label), ha="right", va="top", rotation=30)
        else:
            _write(axes, place, 0.0, -19, literal(label), ha="center", va="top")
    axes.set_xlim(-0.4, count - 0.6)
    axes.set_ylim(-0.03, 1.03)
    axes.annotate(
        "better →", (0, 1.0), xytext=(-20 * unit(), 0), textcoords="offset points", rotation=90, va="top", color=GREY
    )
    axes.axis("off")


def _write(axes: Axes, x: float, y: float, above: float, text: str, ha: str, va: str, rotation: float = 0.0) -> None:
    """`text` at a place, `above` it by so many points (at type of 10 points)."""
    axes.annotate(
        text, (x, y), xytext=(0, above * unit()), textcoords="offset points", ha=ha, va=va, rotation=rotation,
        rotation_mode="anchor" if rotation else "default", annotation_clip=False,
    )  # fmt: skip


def _draw_origin(axes: Axes, points: Points, x: int, y: int, rows: Sequence[int], origin: Origin, barred: bool) -> None:
    rows = list(rows)
    if not rows:
        return
    mark, size = MARKS[origin], unit()
    many = len(rows) > MANY
    values, half = points.values[rows], INTERVAL * points.stderr[rows]
    if barred and half[:, [x, y]].any():
        axes.errorbar(
            values[:, x], values[:, y], xerr=half[:, x], yerr=half[:, y], fmt="none", ecolor=mark.light,
            elinewidth=(0.6 if many else 1.0) * size, alpha=0.15 if many else 0.45,
            zorder=1.5 + 0.1 * ORIGINS.index(origin),
        )  # fmt: skip
    axes.scatter(
        values[:, x], values[:, y], marker=mark.shape, s=(14 if many else 32) * size**2, color=mark.light,
        edgecolors="white", linewidths=(0.4 if many else 0.7) * size, zorder=3 + ORIGINS.index(origin),
    )  # fmt: skip


def _draw_links(axes: Axes, points: Points, x: int, y: int, known: np.ndarray) -> None:
    links = [(a, b) for a, b in links_of(points) if known[a] and known[b]]
    if len(links) > MANY:
        return
    for a, b in links:
        ends = points.values[[a, b]]
        axes.plot(ends[:, x], ends[:, y], color=GREY, linewidth=0.8 * unit(), linestyle=(0, (2, 2)), zorder=1)


def _frame_points(axes: Axes, values: np.ndarray, half: np.ndarray) -> None:
    """Limits around the points: a band goes on to the reference point, far outside."""
    low, high = (values - half).min(axis=0), (values + half).max(axis=0)
    margin = 0.06 * np.where(high > low, high - low, 1.0)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    axes.set_ylim(low[1] - margin[1], high[1] + margin[1])


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e6e6e6", linewidth=0.7 * unit(), zorder=0)
    axes.set_axisbelow(True)
    axes.margins(0.06)
