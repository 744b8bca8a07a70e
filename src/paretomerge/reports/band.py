"""The band in which an uncertain front of two objectives lies, as a polygon to be filled.

It lies between two attainment surfaces (see `fronts.uncertainty.attainment`): what a small share of the draws attain,
and what nearly all do. Both are staircases that go on, straight, to the reference point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretomerge.fronts import FrontUncertainty
from paretomerge.types import Objective, from_minimised, to_minimised


@dataclass(frozen=True, eq=False)
class Band:
    """Where the middle `share` % of the fronts run.

    Args:
        share: per cent of the draws between the two edges.
        outline: `[K, 2]`, corners of the polygon, in the objectives' own directions.
    """

    share: float
    outline: np.ndarray


def band_of(spread: FrontUncertainty, reference: np.ndarray, objectives: Sequence[Objective]) -> Band | None:
    """The band over two `objectives`; `None` where the uncertainty is that of others, or has no two surfaces.

    Args:
        spread: of a front of two objectives.
        reference: `[2]`, of that front, in its order of objectives.
        objectives: those of the axes, in their order.
    """
    names = [objective.name for objective in spread.objectives]
    wanted = [objective.name for objective in objectives]
    if len(wanted) != 2 or sorted(names) != sorted(wanted) or len(spread.attainment) < 2:
        return None
    order = [names.index(name) for name in wanted]
    corner = to_minimised(np.asarray(reference)[order], objectives)
    surfaces = sorted(spread.attainment, key=lambda surface: surface.percentage)
    best, worst = (staircase(to_minimised(surfaces[i].points[:, order], objectives), corner) for i in (0, -1))
    outline = from_minimised(np.concatenate([best, worst[::-1]]), objectives)
    return Band(surfaces[-1].percentage - surfaces[0].percentage, outline)


def staircase(points: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """The boundary of what non-dominated `points [K, 2]` dominate, up to `corner [2]`; all are minimised.

    >>> staircase(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([2.0, 2.0])).tolist()
    [[0.0, 2.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [2.0, 0.0]]
    """
    if not len(points):
        return corner[None]
    ordered = points[np.argsort(points[:, 0], kind="stable")]
    steps = np.repeat(ordered, 2, axis=0)
    path = np.column_stack([steps[:, 0], np.concatenate([[corner[1]], steps[:-1, 1]])])
    return np.vstack([path, [corner[0], ordered[-1, 1]]])
