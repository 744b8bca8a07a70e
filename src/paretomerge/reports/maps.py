"""A ternary map: one objective over the weights of three tasks, as filled contours with the scored models on top.

The ground is the surrogate's prediction on a full grid where there is one; else the points of one origin, with linear
interpolation in between, if they cover the triangle. Where nothing covers it, there are only points in their colours:
to interpolate across the gaps of a front would invent a landscape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from paretomerge.reports.grid import PredictedGrid
from paretomerge.reports.marks import MARKS, clean, objective_label
from paretomerge.reports.panels import INK, draw_star, literal, unit
from paretomerge.reports.points import Points, links_of, on_simplex, ternary_xy, triangles_of
from paretomerge.types import Objective, Origin
from paretomerge.types.scores import ORIGINS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = 12
FEWEST = 10
"""Points that make a ground: a grid of three divisions."""
MIDDLE_COLOUR = "#21918c"
"""Half-way up the scale: what a legend shows for the ground."""
_ALL = 0.98
"""Of the triangle: from so much on it is covered."""
_ASIDE: dict[Origin, float] = {"predicted": 0.0, "merged": -0.028, "trained": 0.028}
"""How far markers step aside where merged and trained points share a weighting."""


@dataclass(frozen=True, eq=False)
class Ground:
    """What a map is painted with.

    Args:
        xy: `[K, 2]`, places in the triangle.
        triangles: `[L, 3]`, rows of `xy`.
        values: `[K]`.
        origin: where the values come from.
    """

    xy: np.ndarray
    triangles: np.ndarray
    values: np.ndarray
    origin: Origin


def ground_of(points: Points, column: int, landscape: PredictedGrid | None = None) -> Ground | None:
    """The grid's prediction of an objective, or what the points say; `None` where neither covers the triangle."""
    name = points.objectives[column].name
    predicted = [] if landscape is None else [objective.name for objective in landscape.objectives]
    if landscape is not None and len(landscape.tasks) == 3 and name in predicted:
        from scipy.spatial import Delaunay

        xy = ternary_xy(landscape.weights)
        return Ground(xy, Delaunay(xy).simplices, landscape.values[:, predicted.index(name)], "predicted")
    xy, values = ternary_xy(points.weights), points.values[:, column]
    layers = {origin: triangles_of(points, origin) for origin in ORIGINS}
    layers = {origin: found[np.isfinite(values[found]).all(axis=1)] for origin, found in layers.items()}
    many = [origin for origin in ORIGINS if len(np.unique(layers[origin])) >= FEWEST]
    covering = [origin for origin in many if _area(xy, layers[origin]) > _ALL * np.sqrt(0.1875)]
    if not covering:
        return None
    origin = max(covering, key=lambda word: len(layers[word]))
    return Ground(xy, layers[origin], np.nan_to_num(values), origin)


def _area(xy: np.ndarray, triangles: np.ndarray) -> float:
    """The whole area of triangles `[L, 3]` of rows of `xy`."""
    first, second = (xy[triangles[:, corner]] - xy[triangles[:, 0]] for corner in (1, 2))
    return float(np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]).sum() / 2)


def draw_map(axes: Axes, points: Points, column: int, landscape: PredictedGrid | None = None) -> Any:
    """One objective over the weights of three tasks, with its own scale below; brighter is better."""
    from matplotlib.colors import Normalize

    objective, values = points.objectives[column], points.values[:, column]
    shown = on_simplex(points.weights) & np.isfinite(values)
    ground = ground_of(points, column, landscape)
    painted = values[shown] if ground is None else np.append(values[shown], ground.values[np.unique(ground.triangles)])
    low, high = float(painted.min()), float(painted.max())
    scale = Normalize(low, high if high > low else low + 1e-9 + abs(low) * 1e-6)
    colours = "viridis_r" if objective.sign > 0 else "viridis"
    if ground is not None:
        _paint(axes, ground, scale, colours)
    _draw_simplex(axes, points.tasks)
    if ground is not None:
        _draw_front(axes, points, shown)
    for origin in ORIGINS:
        rows = [row for row in points.rows(origin) if shown[row]]
        if rows and not (ground is not None and origin == ground.origin == "predicted"):
            _draw_models(axes, points, rows, origin, {"c": values[rows], "norm": scale, "cmap": colours})
    if points.chosen is not None and shown[points.chosen]:
        draw_star(axes, *ternary_xy(points.weights[[points.chosen]])[0])
    _draw_scale(axes, objective, scale, colours)


def _paint(axes: Axes, ground: Ground, scale: Any, colours: str) -> None:
    from matplotlib.tri import Triangulation

    net = Triangulation(ground.xy[:, 0], ground.xy[:, 1], ground.triangles)
    levels = np.linspace(scale.vmin, scale.vmax, LEVELS + 1)
    values = np.clip(ground.values, scale.vmin, scale.vmax)
    filled = axes.tricontourf(net, values, levels=levels, norm=scale, cmap=colours, zorder=1)
    filled.set(edgecolor="face", linewidth=0.2)  # without it, printers show the seams
    if np.ptp(ground.values[np.unique(ground.triangles)]) > 0:
        axes.tricontour(net, values, levels=levels[1:-1], colors="white", linewidths=0.4 * unit(), alpha=0.7, zorder=2)


def _draw_front(axes: Axes, points: Points, shown: np.ndarray) -> None:
    """Small dots: which weightings are on the front."""
    rows = [row for row in points.front if shown[row]]
    if rows:
        x, y = ternary_xy(points.weights[rows]).T
        axes.scatter(x, y, s=3.5 * unit() ** 2, color=INK, linewidths=0, zorder=3)


def _draw_models(axes: Axes, points: Points, rows: Sequence[int], origin: Origin, painted: dict[str, Any]) -> None:
    xy, size = ternary_xy(points.weights[list(rows)]), unit()
    aside = _ASIDE[origin] * _shares_weighting(points, rows)
    small = origin == "predicted"
    axes.scatter(
        xy[:, 0] + aside, xy[:, 1], marker=MARKS[origin].shape, s=(16 if small else 42) * size**2,
        edgecolors=MARKS[origin].light, linewidths=(0.5 if small else 1.5) * size,
        zorder=5 + ORIGINS.index(origin), clip_on=False, **painted,
    )  # fmt: skip


def _shares_weighting(points: Points, rows: Sequence[int]) -> np.ndarray:
    partners = {row for pair in links_of(points) for row in pair if "predicted" not in {points.origin[r] for r in pair}}
    return np.array([row in partners for row in rows], dtype=np.float64)


def _draw_simplex(axes: Axes, tasks: Sequence[str]) -> None:
    top, size = float(np.sqrt(0.75)), unit()
    axes.plot([0, 1, 0.5, 0], [0, 0, top, 0], color=INK, linewidth=size, zorder=3, solid_joinstyle="round")
    names = [literal(clean(task, 14)) for task in tasks]
    for (x, y), name, above in zip(((0, 0), (1, 0), (0.5, top)), names, (-7, -7, 7), strict=True):
        axes.annotate(
            name, (x, y), xytext=(0, above * size), textcoords="offset points", ha="center",
            va="bottom" if above > 0 else "top",
        )  # fmt: skip
    axes.set_aspect("equal")
    axes.set_xlim(-0.1, 1.1)
    axes.set_ylim(-0.16, top + 0.16)
    axes.axis("off")


def _draw_scale(axes: Axes, objective: Objective, scale: Any, colours: str) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import MaxNLocator

    bar = axes.figure.colorbar(
        ScalarMappable(scale, colours), ax=axes, orientation="horizontal", shrink=0.8, aspect=22, pad=0.02,
        ticks=MaxNLocator(4),
    )  # fmt: skip
    bar.set_label(literal("\n".join(objective_label(objective, 24).rsplit(", ", 1))))
    bar.outline.set_visible(False)
