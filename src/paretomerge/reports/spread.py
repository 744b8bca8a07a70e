"""How sure the front is, for the page's charts: intervals of its points, and bands of fronts of two objectives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from paretomerge.fronts import FrontUncertainty
from paretomerge.reports.band import band_of
from paretomerge.reports.data import ReportData
from paretomerge.types import Front, Objective, Origin


def spread_of(data: ReportData, rows: Sequence[int | None]) -> dict[str, Any] | None:
    """Interval ends of the front's points; `None` where nothing is known but their standard deviations.

    Args:
        data: the report.
        rows: where the front's points stand among the page's points; `None` for one that was left out there.
    """
    spread = data.uncertainty
    if spread is None:
        return None
    names = [objective.name for objective in data.scores.objectives]
    shown = [(row, i) for i, row in enumerate(rows) if row is not None]
    return {
        "level": spread.level,
        "columns": [names.index(objective.name) for objective in spread.objectives],
        "rows": [row for row, _ in shown],
        "lower": [short_numbers(spread.lower[i]) for _, i in shown],
        "upper": [short_numbers(spread.upper[i]) for _, i in shown],
    }


def bands_of(data: ReportData) -> list[dict[str, Any]]:
    """Attainment bands of the report's front and of the joint one, where these are of two objectives."""
    found = [
        _band(data, data.front, data.uncertainty, "predicted"),
        _band(data, data.joint_front, data.joint_uncertainty, "trained"),
    ]
    return [band for band in found if band is not None]


def short_number(value: float) -> float | None:
    """Six digits are plenty for a prediction or an interval; `None` for what is not finite."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def short_numbers(values: Iterable[float]) -> list[float | None]:
    """`short_number` of each."""
    return [short_number(value) for value in values]


def _band(
    data: ReportData, front: Front | None, spread: FrontUncertainty | None, origin: Origin
) -> dict[str, Any] | None:
    if front is None or spread is None or len(front.objectives) != 2:
        return None
    objectives: Sequence[Objective] = front.objectives
    band = band_of(spread, front.reference, objectives)
    if band is None:
        return None
    names = [objective.name for objective in data.scores.objectives]
    order = np.argsort(front.values[:, 0], kind="stable")
    # What points and intervals cover: beyond its last points a band says nothing.
    both = np.stack([front.values, spread.lower, spread.upper])
    reach = np.stack([np.nanmin(both, axis=(0, 1)), np.nanmax(both, axis=(0, 1))], axis=1)
    return {
        "columns": [names.index(objective.name) for objective in objectives],
        "origin": origin,
        "share": band.share,
        "outline": [short_numbers(corner) for corner in band.outline],
        "reach": [short_numbers(ends) for ends in reach],
        "line": [short_numbers(front.values[i]) for i in order],
    }
