"""The panels of a figure: a scatter of two objectives, a ternary map of one, parallel coordinates of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from paretomerge.reports.digits import decimals_for, show
from paretomerge.reports.marks import CHOSEN_COLOUR, INTERVAL, MARKS, clean, objective_label
from paretomerge.reports.points import Points, lines_of, links_of, on_simplex, ternary_xy, triangles_of
from paretomerge.types import Objective, Origin
from paretomerge.types.scores import ORIGINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK = "#222222"
GREY = "#8a8a8a"
MANY = 60
"""From so many points of one origin on, its markers shrink and its error bars fade."""


_ASIDE: dict[Origin, float] = {"predicted": 0.0, "merged": -0.024, "trained": 0.024}
"""How far markers step aside on a ternary map where merged and trained points share a weighting."""


def literal(text: str) -> str:
    """`text` as matplotlib shall show it, without reading `$` as mathematics."""
    return text.replace("$", r"\$")


def draw_scatter(axes: Axes, points: Points, columns: Sequence[int], lined: bool = True) -> None:
    """Two objectives: points of each origin with 95 % intervals, the choice as a star.

    `lined` adds front lines; they are for fronts of exactly two objectives.
    """
    x, y = columns
    known = np.isfinite(points.values[:, [x, y]]).all(axis=1)
    _draw_links(axes, points, x, y, known)
    for line in lines_of(points, columns if lined else ()):
        colour = INK if line.origin is None else MARKS[line.origin].light
        rows = list(line.rows)
        axes.plot(points.values[rows, x], points.values[rows, y], color=colour, linewidth=1.4, zorder=2)
    for origin in ORIGINS:
        rows = [row for row in points.rows(origin) if known[row]]
        _draw_origin(axes, points, x, y, rows, origin)
    if points.chosen is not None and known[points.chosen]:
        _draw_star(axes, points.values[points.chosen, x], points.values[points.chosen, y])
    axes.set_xlabel(literal(_axis_label(points.objectives[x])))
    axes.set_ylabel(literal(_axis_label(points.objectives[y])))
    _tidy(axes)


def draw_ternary(axes: Axes, points: Points, values: np.ndarray, title: str, lower_is_better: bool) -> Any:
    """A map of `values [N]` over the weights of three tasks; returns what a colour bar needs."""
    shown = on_simplex(points.weights) & np.isfinite(values)
    xy = ternary_xy(points.weights)
    low, high = float(values[shown].min()), float(values[shown].max())
    scale: dict[str, Any] = {"vmin": low, "vmax": high if high > low else low + 1.0}
    colours = "viridis_r" if lower_is_better else "viridis"
    layers = {origin: triangles_of(points, origin) for origin in ORIGINS}
    ground = max(layers, key=lambda origin: len(layers[origin]))
    triangles = layers[ground]
    triangles = triangles[np.isfinite(values[triangles]).all(axis=1)] if len(triangles) else triangles
    if len(triangles):
        from matplotlib.tri import Triangulation

        ground_map = Triangulation(xy[:, 0], xy[:, 1], triangles)
        axes.tripcolor(ground_map, np.nan_to_num(values), shading="gouraud", cmap=colours, **scale)
    _draw_simplex(axes, points.tasks)
    last: Any = None
    for origin in ORIGINS:
        rows = [row for row in points.rows(origin) if shown[row]]
        if not rows:
            continue
        small = origin == ground and len(triangles) > 0
        aside = 0.0 if small else _ASIDE[origin] * _shares_weighting(points, rows)
        last = axes.scatter(
            xy[rows, 0] + aside, xy[rows, 1], c=values[rows], cmap=colours, marker=MARKS[origin].shape,
            s=9 if small else 52, edgecolors="white" if small else MARKS[origin].light,
            linewidths=0.4 if small else 1.6, zorder=4 if small else 5, **scale,
        )  # fmt: skip
    if points.chosen is not None and shown[points.chosen]:
        _draw_star(axes, xy[points.chosen, 0], xy[points.chosen, 1])
    axes.set_title(literal(title), fontsize=10, y=0.99)
    return last


def draw_parallel(axes: Axes, points: Points, columns: Sequence[int]) -> None:
    """One vertical axis per objective, each turned so that better is up."""
    values = points.values[:, list(columns)]
    known = np.isfinite(values).all(axis=1)
    signs = np.array([points.objectives[column].sign for column in columns])
    low = np.nanmin(values, axis=0)
    high = np.nanmax(values, axis=0)
    span = np.where(high > low, high - low, 1.0)
    height = np.where(signs > 0, (high - values) / span, (values - low) / span)
    places = np.arange(len(columns))
    for origin in ORIGINS:
        rows = [row for row in points.rows(origin) if known[row] and row != points.chosen]
        faint = len(rows) > MANY or origin == "predicted"
        for row in rows:
            axes.plot(
                places, height[row], color=MARKS[origin].light, marker=MARKS[origin].shape,
                alpha=max(0.03, min(0.35, 15 / len(rows))) if faint else 0.75,
                linewidth=0.8 if faint else 1.2, markersize=3 if faint else 5, zorder=2 + ORIGINS.index(origin),
            )  # fmt: skip
    if points.chosen is not None and known[points.chosen]:
        axes.plot(
            places, height[points.chosen], color=INK, linewidth=2.4, marker="*", markersize=14,
            markerfacecolor=CHOSEN_COLOUR, markeredgecolor=INK, zorder=8,
        )  # fmt: skip
    _draw_rulers(axes, [points.objectives[column] for column in columns], low, high, signs)


def _axis_label(objective: Objective) -> str:
    """On two lines when it would not fit on one."""
    label = objective_label(objective)
    return label if len(label) <= 44 else "\n".join(label.rsplit(", ", 1))


def _draw_rulers(
    axes: Axes, objectives: Sequence[Objective], low: np.ndarray, high: np.ndarray, signs: np.ndarray
) -> None:
    count = len(objectives)
    for place, objective in enumerate(objectives):
        axes.axvline(place, color=GREY, linewidth=0.8, zorder=1)
        top, bottom = (low, high) if signs[place] > 0 else (high, low)
        digits = decimals_for([top[place], bottom[place]])
        axes.text(place, 1.035, show(top[place], digits), ha="center", va="bottom", fontsize=9)
        axes.text(place, -0.035, show(bottom[place], digits), ha="center", va="top", fontsize=9)
        label = objective_label(objective, 20).replace(", ", "\n")
        turned = count > 6
        axes.text(
            place, -0.1, literal(label), ha="right" if turned else "center", va="top", fontsize=9,
            rotation=35 if turned else 0, rotation_mode="anchor" if turned else "default",
        )  # fmt: skip
    axes.set_xlim(-0.4, count - 0.6)
    axes.set_ylim(-0.06, 1.06)
    axes.annotate("better →", (0, 1.0), xytext=(-26, 0), textcoords="offset points", rotation=90, va="top", color=GREY)
    axes.axis("off")


def _draw_origin(axes: Axes, points: Points, x: int, y: int, rows: Sequence[int], origin: Origin) -> None:
    rows = list(rows)
    if not rows:
        return
    mark = MARKS[origin]
    many = len(rows) > MANY
    values, half = points.values[rows], INTERVAL * points.stderr[rows]
    if half[:, [x, y]].any():
        axes.errorbar(
            values[:, x], values[:, y], xerr=half[:, x], yerr=half[:, y], fmt="none", ecolor=mark.light,
            elinewidth=0.6 if many else 1.0, alpha=0.15 if many else 0.45, zorder=1.5 + 0.1 * ORIGINS.index(origin),
        )  # fmt: skip
    axes.scatter(
        values[:, x], values[:, y], marker=mark.shape, s=14 if many else 34, color=mark.light,
        edgecolors="white", linewidths=0.4 if many else 0.8, zorder=3 + ORIGINS.index(origin),
    )  # fmt: skip


def _draw_links(axes: Axes, points: Points, x: int, y: int, known: np.ndarray) -> None:
    links = [(a, b) for a, b in links_of(points) if known[a] and known[b]]
    if len(links) > MANY:
        return
    for a, b in links:
        ends = points.values[[a, b]]
        axes.plot(ends[:, x], ends[:, y], color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)


def _draw_star(axes: Axes, x: float, y: float) -> None:
    axes.scatter([x], [y], marker="*", s=210, color=CHOSEN_COLOUR, edgecolors=INK, linewidths=1.0, zorder=9)


def _shares_weighting(points: Points, rows: Sequence[int]) -> np.ndarray:
    partners = {row for pair in links_of(points) for row in pair if "predicted" not in {points.origin[r] for r in pair}}
    return np.array([row in partners for row in rows], dtype=np.float64)


def _draw_simplex(axes: Axes, tasks: Sequence[str]) -> None:
    top = float(np.sqrt(0.75))
    for level in (0.25, 0.5, 0.75):
        for corner in range(3):
            ends = np.zeros((2, 3))
            ends[:, corner] = level
            ends[0, (corner + 1) % 3] = ends[1, (corner + 2) % 3] = 1 - level
            axes.plot(*ternary_xy(ends).T, color="white", linewidth=0.6, alpha=0.6, zorder=2)
    axes.plot([0, 1, 0.5, 0], [0, 0, top, 0], color=INK, linewidth=1.0, zorder=3)
    names = [literal(clean(task, 22)) for task in tasks]
    axes.text(0, -0.06, f"all {names[0]}", ha="center", va="top", fontsize=9)
    axes.text(1, -0.06, f"all {names[1]}", ha="center", va="top", fontsize=9)
    axes.text(0.5, top + 0.04, f"all {names[2]}", ha="center", va="bottom", fontsize=9)
    axes.set_aspect("equal")
    axes.set_xlim(-0.12, 1.12)
    axes.set_ylim(-0.14, 1.0)
    axes.axis("off")


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e6e6e6", linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.margins(0.06)
