"""Attainment surfaces: where an uncertain front lies, as a region and not point by point.

A set of points attains `z` when one of them is at least as good as `z` in every objective. The surface at 95 % is the
boundary of what at least 95 % of the draws attain: the front that can be relied on. The one at 50 % is the median
front, the one at 5 % what only luck would give (Grunert da Fonseca, Fonseca & Hall, 2001, Inferential performance
assessment of stochastic optimisers and the attainment function).

With two objectives a surface is a staircase, computed exactly. With more it has too many corners to be kept (200 draws
of 100 points in three objectives: 670 000), so it is probed along fixed rays that enter from the reference point; each
probe is exact.

Shapes: `S` draws, `K` points, `M` objectives, `R` rays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import moocore
import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError
from paretomerge.fronts.hypervolume import require_reference
from paretomerge.fronts.uncertainty.nondominated import checked_draws
from paretomerge.types import Objective, from_minimised, simplex_grid, to_minimised

PERCENTAGES = (5.0, 50.0, 95.0)
LARGEST_SURFACE = 250
"""Points of a surface at most; a thinned staircase keeps its ends."""


@dataclass(frozen=True, eq=False)
class AttainmentSurface:
    """What at least `percentage` % of the draws attain.

    Attributes:
        percentage: in (0, 100].
        points: `[R, M]`, in the objectives' own directions: corners of the staircase (two objectives), or points of
            the surface on rays. Empty where so many draws attain nothing better than the reference point.
    """

    percentage: float
    points: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` reads them back."""
        return {"percentage": self.percentage, "objectives": self.points.shape[1], "points": self.points.tolist()}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> AttainmentSurface:
        """The inverse of `as_dict`."""
        return cls(stored["percentage"], np.array(stored["points"], dtype=float).reshape(-1, stored["objectives"]))


def attainment_surfaces(
    draws: np.ndarray,
    objectives: Sequence[Objective],
    reference: ArrayLike,
    percentages: Sequence[float] = PERCENTAGES,
    feasible: np.ndarray | None = None,
) -> tuple[AttainmentSurface, ...]:
    """One surface per percentage, up to the reference point.

    Args:
        draws: `[S, K, M]`, joint over points, in the objectives' own directions.
        objectives: the `M` objectives.
        reference: `[M]`, in the objectives' own directions; what is worse does not count.
        percentages: shares of draws, in (0, 100].
        feasible: `[S, K]`; points that are not feasible in a draw do not count in it.

    Raises:
        DataError: draws or a reference point of another shape, or percentages outside (0, 100].
    """
    values = to_minimised(checked_draws(draws, len(objectives)), objectives)
    corner = to_minimised(require_reference(reference, len(objectives)), objectives)
    if not all(0 < percentage <= 100 for percentage in percentages):
        raise DataError(f"percentages {list(percentages)}: each lies above 0 and is at most 100")
    counted = np.asarray((values <= corner).all(axis=2))
    if feasible is not None:
        counted = counted & np.asarray(feasible, dtype=bool)
    find = _staircases if len(objectives) == 2 else _on_rays
    surfaces = find(values, counted, corner, percentages)
    return tuple(
        AttainmentSurface(float(percentage), from_minimised(points, objectives))
        for percentage, points in zip(percentages, surfaces, strict=True)
    )


def rays_into(objectives: int) -> np.ndarray:
    """Directions `[R, M]`, non-negative and of length one, spread over the simplex (Das & Dennis, 1998)."""
    divisions = max(d for d in range(1, LARGEST_SURFACE) if d == 1 or comb(d + objectives - 1, d) <= LARGEST_SURFACE)
    grid = simplex_grid(objectives, divisions)
    return grid / np.linalg.norm(grid, axis=1, keepdims=True)


def _staircases(
    values: np.ndarray, counted: np.ndarray, corner: np.ndarray, percentages: Sequence[float]
) -> list[np.ndarray]:
    """Corners of the exact surfaces (Fonseca et al., 2011, On the computation of the empirical attainment function)."""
    # A draw that attains nothing else attains the corner: every draw must be counted among the sets.
    table = np.concatenate([np.where(counted[..., None], values, corner), np.full((len(values), 1, 2), corner)], axis=1)
    sets = np.repeat(np.arange(len(table)), table.shape[1])
    found = moocore.eaf(table.reshape(-1, 2), sets, percentiles=list(percentages))
    surfaces = []
    for percentage in percentages:
        points = found[found[:, -1] == percentage][:, :2]
        points = points[(points < corner).all(axis=1)]
        points = points[np.argsort(points[:, 0])]
        kept = np.unique(np.linspace(0, len(points) - 1, min(len(points), LARGEST_SURFACE)).round().astype(int))
        surfaces.append(points[kept])
    return surfaces


def _on_rays(
    values: np.ndarray, counted: np.ndarray, corner: np.ndarray, percentages: Sequence[float]
) -> list[np.ndarray]:
    """Where each ray leaves what enough draws attain.

    A draw attains `corner - t w` exactly when `t <= max_k min_m (corner - v_k)_m / w_m`, so the share of draws that
    do is a step function of `t`, and the surface an order statistic of those reaches.
    """
    best = np.where(counted[..., None], values, np.inf).min(axis=(0, 1))
    scale = np.where(np.isfinite(best) & (best < corner), corner - best, 1.0)
    rays = rays_into(values.shape[2])
    with np.errstate(divide="ignore"):
        inverse = np.where(rays > 0, 1.0 / rays, np.inf)
    reach = np.zeros((len(values), len(rays)))
    for row, (table, inside) in enumerate(zip(values, counted, strict=True)):
        if inside.any():
            gaps = (corner - table[inside]) / scale
            along = np.full((len(gaps), len(rays)), np.inf)
            for m in range(values.shape[2]):
                moves = np.isfinite(inverse[:, m])
                along[:, moves] = np.minimum(along[:, moves], gaps[:, [m]] * inverse[moves, m])
            reach[row] = along.max(axis=0)
    ordered = -np.sort(-reach, axis=0)
    surfaces = []
    for percentage in percentages:
        enough = ordered[_draws_needed(percentage, len(values)) - 1]
        surfaces.append((corner - enough[:, None] * rays * scale)[enough > 0])
    return surfaces


def _draws_needed(percentage: float, draws: int) -> int:
    # A little less than exact, so that 5 % of 200 draws are 10 and not, by rounding, 11.
    return max(1, int(np.ceil(percentage * draws / 100 - 1e-9)))
