"""What a figure shows: the points, the objectives, the kind of picture that suits them, and the band of the front."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from paretomerge.errors import DataError, nearest
from paretomerge.reports.band import Band, band_of
from paretomerge.reports.data import ReportData
from paretomerge.reports.grid import PredictedGrid
from paretomerge.reports.marks import objective_name
from paretomerge.reports.points import Points, on_simplex, points_of
from paretomerge.types import Objective

FigureKind = Literal["scatter", "maps", "parallel"]
KINDS: tuple[FigureKind, ...] = get_args(FigureKind)
MOST_PANELS = 6
"""Objectives that are shown as maps or as a matrix of scatters."""


@dataclass(frozen=True, eq=False)
class FigurePlan:
    """What is drawn, and how wide.

    Args:
        points: of any origin.
        columns: the objectives on the axes, as columns of the points' values.
        kind: of picture.
        width: inches.
        band: in which the front of two objectives lies, where that is known.
        landscape: predictions all over the simplex, where there are any.
    """

    points: Points
    columns: list[int]
    kind: FigureKind
    width: float
    band: Band | None = None
    landscape: PredictedGrid | None = None


def plan_figure(data: ReportData, metric: str | None, kind: FigureKind | None, width: float) -> FigurePlan:
    """The plan of a figure of the report's objectives, or of those with `metric`.

    Raises:
        DataError: nothing to draw, no objective with that metric, or a kind that does not suit the data.
    """
    objectives = shown_objectives(data, metric)
    points = points_of(data)
    columns = points.columns(objectives)
    if len(columns) == 1:
        name = objective_name(objectives[0])
        raise DataError(f"one objective ({name}) has no trade-off to draw: give at least two objectives")
    if not np.isfinite(points.values[:, columns]).all(axis=1).any():
        raise DataError("nothing to draw: no model has a score on every objective. Evaluate some weightings first")
    band = None
    if data.front is not None and data.uncertainty is not None:
        band = band_of(data.uncertainty, data.front.reference, objectives)
    return FigurePlan(points, columns, suitable_kind(kind, points, len(columns)), width, band, data.landscape)


def shown_objectives(data: ReportData, metric: str | None = None) -> tuple[Objective, ...]:
    """The objectives on the axes: the report's, or those with `metric`."""
    if metric is None:
        return tuple(data.objectives)
    return data.scores.select(metric).objectives


def suitable_kind(kind: FigureKind | None, points: Points, objectives: int) -> FigureKind:
    """The kind that was asked for, if it can show this; else the one that shows it best.

    Raises:
        DataError: an unknown kind, maps over other weights than three on the simplex, or too many panels.
    """
    mappable = len(points.tasks) == 3 and bool(on_simplex(points.weights).any())
    if kind is None:
        if objectives == 2:
            return "scatter"
        if mappable and objectives <= MOST_PANELS:
            return "maps"
        return "scatter" if objectives == 3 else "parallel"
    if kind not in KINDS:
        raise DataError(f"unknown kind of figure {kind!r}{nearest(kind, KINDS)}: the kinds are {', '.join(KINDS)}")
    if kind == "maps" and not mappable:
        raise DataError(
            "maps are drawn over three task weights that sum to one, and these scores have other coordinates: draw "
            "'scatter' or 'parallel'"
        )
    if kind != "parallel" and objectives > MOST_PANELS:
        raise DataError(
            f"{objectives} objectives are too many for {kind!r}, which has room for {MOST_PANELS}: draw 'parallel', or "
            "the objectives of one metric"
        )
    return kind
