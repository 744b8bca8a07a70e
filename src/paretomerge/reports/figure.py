"""The front as a picture, PNG or SVG.

Two objectives: one scatter with front lines. Three: the three pairs and a ternary map over the weights.
More: parallel coordinates.
"""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paretomerge.checkpoints.atomic import write_bytes
from paretomerge.errors import DataError, MissingExtraError
from paretomerge.reports.data import ReportData
from paretomerge.reports.marks import CHOSEN_COLOUR, MARKS, better, clean, objective_name
from paretomerge.reports.panels import (
    GREY,
    INK,
    MANY,
    draw_parallel,
    draw_scatter,
    draw_ternary,
    literal,
)
from paretomerge.reports.points import Points, lines_of, links_of, on_simplex, points_of
from paretomerge.types import Objective, Scores
from paretomerge.types.scores import ORIGINS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")

_SETTINGS: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.edgecolor": GREY,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.1,
    "svg.hashsalt": "paretomerge",  # the same data give the same bytes
}


def draw_front(scores_or_data: Scores | ReportData, path: str | os.PathLike[str], *, metric: str | None = None) -> Path:
    """Draw scores, or a report's scores with its front and choice, and write the picture in one step.

    Predicted, merged and jointly finetuned points differ in marker and colour; bars are the value ± 1.96
    standard errors. Points at the same weighting are linked by a dotted line.

    Args:
        scores_or_data: what to draw.
        path: where to; the ending `.png` or `.svg` says the format.
        metric: draw the objectives with this metric; by default the report's objectives.

    Raises:
        DataError: nothing to draw, another ending, or no objective with that metric.
        MissingExtraError: matplotlib is not installed.
        StorageError: the disk refused; what was at `path` before is untouched.
    """
    data = scores_or_data if isinstance(scores_or_data, ReportData) else ReportData.of_scores(scores_or_data)
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"cannot draw {path.name!r}: the name must end in {' or '.join(FORMATS)}")
    objectives = shown_objectives(data, metric)
    points = points_of(data)
    columns = points.columns(objectives)
    if len(columns) == 1:
        name = objective_name(objectives[0])
        raise DataError(f"one objective ({name}) has no trade-off to draw: give at least two objectives")
    if not np.isfinite(points.values[:, columns]).all(axis=1).any():
        raise DataError("nothing to draw: no model has a score on every objective. Evaluate some weightings first")
    return write_bytes(path, _render(data.title, points, columns, path.suffix.lower()[1:]))


def shown_objectives(data: ReportData, metric: str | None = None) -> tuple[Objective, ...]:
    """The objectives on the axes: the report's, or those with `metric`."""
    if metric is None:
        return tuple(data.objectives)
    return data.scores.select(metric).objectives


def _render(title: str, points: Points, columns: list[int], kind: str) -> bytes:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError.of("matplotlib", "report") from error
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcParams.update(mpl.rcParamsDefault)
        mpl.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # names in scripts the font lacks
        figure = _compose(Figure, points, columns)
        if title:
            figure.suptitle(literal(clean(title, 70)), fontsize=12, fontweight="bold")
        content = io.BytesIO()
        metadata = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(content, format=kind, dpi=160, metadata=metadata, facecolor="white")
    return content.getvalue()


def _compose(make: type[Figure], points: Points, columns: list[int]) -> Figure:
    if len(columns) == 2:
        figure = make(figsize=(7.6, 5.6), layout="constrained")
        draw_scatter(figure.subplots(), points, columns)
        _add_legend(figure, points, columns, lines=True)
    elif len(columns) == 3:
        figure = _compose_three(make, points, columns)
    else:
        width = max(8.0, min(1.7 * len(columns), 12.0 + 0.7 * len(columns)))
        figure = make(figsize=(width, 5.8), layout="constrained")
        draw_parallel(figure.subplots(), points, columns)
        _add_legend(figure, points, columns, lines=False)
    return figure


def _compose_three(make: type[Figure], points: Points, columns: list[int]) -> Figure:
    figure = make(figsize=(11.0, 9.4), layout="constrained")
    grid = figure.subplots(2, 2)
    for axes, pair in zip(grid.flat, [(0, 1), (0, 2), (1, 2)], strict=False):
        draw_scatter(axes, points, [columns[pair[0]], columns[pair[1]]], lined=False)
    corner = grid[1, 1]
    inside = on_simplex(points.weights) if len(points.tasks) == 3 else np.zeros(len(points), dtype=bool)
    values, name, objective = mapped_objective(points, columns)
    if (inside & np.isfinite(values)).any():
        title = f"{name} over the task weights"
        colours = draw_ternary(corner, points, values, title, objective.direction == "minimise")
        unit = f"[{clean(objective.unit, 12)}], " if objective.unit else ""
        bar = figure.colorbar(colours, ax=corner, shrink=0.7, pad=0.02)
        bar.set_label(literal(f"{unit}{better(objective)}"))
        bar.outline.set_visible(False)
    else:
        corner.axis("off")
    _add_legend(figure, points, columns, lines=False)
    return figure


def mapped_objective(points: Points, columns: list[int]) -> tuple[np.ndarray, str, Objective]:
    """What a single ternary map shows: the mean of the objectives when they are comparable, else the first."""
    objectives = [points.objectives[column] for column in columns]
    first = objectives[0]
    alike = len({(o.direction, o.unit, o.metric) for o in objectives}) == 1
    if alike:
        return points.values[:, columns].mean(axis=1), f"Mean {clean(first.metric, 20) or 'objective'}", first
    return points.values[:, columns[0]], objective_name(first, 30), first


def _add_legend(figure: Figure, points: Points, columns: list[int], lines: bool) -> None:
    from matplotlib.lines import Line2D

    handles: list[Any] = []
    for origin in ORIGINS:
        if points.rows(origin):
            mark = MARKS[origin]
            handles.append(Line2D([], [], marker=mark.shape, color=mark.light, linestyle="", label=mark.label))
    if lines and any(line.origin is None for line in lines_of(points, columns)):
        handles.append(Line2D([], [], color=INK, linewidth=1.4, label="front"))
    if len(columns) < 4 and 0 < len(links_of(points)) <= MANY:
        handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (2, 2)), label="same weighting"))
    if points.chosen is not None:
        star = Line2D(
            [], [], marker="*", markersize=13, markerfacecolor=CHOSEN_COLOUR, markeredgecolor=INK, linestyle="",
            label="chosen",
        )  # fmt: skip
        handles.append(star)
    if len(columns) < 4 and points.stderr.any():
        handles.append(Line2D([], [], color=GREY, marker="|", linewidth=1, label="± 1.96 standard errors"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4 if len(columns) == 2 else 7, frameon=False)
