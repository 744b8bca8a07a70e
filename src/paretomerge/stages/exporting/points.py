"""Which model an export is of: a point of the front, or any weighting of one's own."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from paretomerge.errors import InputError
from paretomerge.stages.choose import FrontKind, point_of, stored_front
from paretomerge.stages.fitting.fit import fit_run
from paretomerge.stages.landscape import landscape_of
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.stages.study import Study
from paretomerge.types import Box, Domain, FrontPoint, Simplex

OFF_FRONT = -1
"""The number of a point that is not on the front."""
_ROUNDED = 1e-3
"""Task weights that miss one by no more were rounded, and are scaled."""


def exported_point(
    study: Study,
    point: str | int | Mapping[str, float],
    progress: Progress = silent,
    *,
    of: FrontKind | None = None,
) -> FrontPoint:
    """The point that is meant; without values where it is not on the front, because nothing was measured there.

    Args:
        study: the run.
        point: its number on the front, `"chosen"`, or its coordinates by name: task weights, or coefficients where the
            front is one over coefficients.
        progress: called with short messages.
        of: which front a number is of, see `point_of`.

    Raises:
        InputError: no such point, or coordinates of the joint front, which are those of its weights.
        WeightsError: coordinates of other names, or outside of the domain.
    """
    if not isinstance(point, Mapping):
        return point_of(study, point, progress, of=of)
    if of == "joint":
        raise InputError("weights are of merged models: leave out --joint, or name a point of the joint front")
    domain = _domain(study, progress)
    row = domain.checked(_on_simplex(point) if isinstance(domain, Simplex) else dict(point))[0]
    front = stored_front(study, "merged")
    if front is not None and front.weights.shape[1] == len(row):
        distance = np.abs(front.weights - row).max(axis=1)
        if distance.min() <= 1e-9:
            return front[int(distance.argmin())]
    return FrontPoint(OFF_FRONT, dict(zip(domain.names, row.tolist(), strict=True)), {}, {}, "merged")


def _domain(study: Study, progress: Progress) -> Domain:
    section = study.recipe.front
    if section.domain == "weights":
        return Simplex(study.tasks)
    if section.domain == "coefficients":
        return Box(study.tasks, *section.bounds)
    return landscape_of(fit_run(study, progress)).domain


def _on_simplex(weights: Mapping[str, float]) -> dict[str, float]:
    """Rounded weights (0.333 three times) sum to one again."""
    total = math.fsum(weights.values())
    near = 0 < abs(total - 1) <= _ROUNDED
    return {task: weight / total for task, weight in weights.items()} if near else dict(weights)
