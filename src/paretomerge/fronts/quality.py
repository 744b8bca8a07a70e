"""How good an estimated front is, held against a reference front (the truth).

All distances are in the objectives' own units, so objectives with large numbers dominate them; `normalise=True`
divides every objective by its range over the truth first. Everything is minimised inside.

Shapes: `N` points `a` of the approximation, `R` points `r` of the truth, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError
from paretomerge.fronts.hypervolume import beyond_worst, hypervolume, require_reference
from paretomerge.fronts.points import (
    Points,
    directions_of,
    minimised_values,
    normalised_values,
    require_points,
)
from paretomerge.types import Objective, to_minimised


def igd_plus(
    approximation: Points,
    truth: Points,
    objectives: Sequence[Objective] | None = None,
    *,
    normalise: bool = False,
) -> float:
    """IGD+: `mean_r min_a ‖max(a - r, 0)‖`, how far the points of the truth are from being reached.

    Zero when every one of them is reached or beaten (Ishibuchi, Masuda, Tanigaki & Nojima, 2015, Modified
    distance calculation in generational distance and inverted generational distance).

    Raises:
        DataError: empty sets, different numbers of objectives, or values that are not finite.

    >>> round(igd_plus([[4, 2], [3, 3], [2, 4]], [[10, 0], [6, 1], [2, 2], [1, 6], [0, 10]]), 6)
    1.482843
    """
    ours, theirs = _pair(approximation, truth, objectives, normalise)
    return float(moocore.igd_plus(ours, ref=theirs))


def generational_distance(
    approximation: Points,
    truth: Points,
    objectives: Sequence[Objective] | None = None,
    *,
    normalise: bool = False,
) -> float:
    """GD: `mean_a min_r ‖a - r‖`, how far the approximation's points are from the truth.

    Two-sided: a point that is too good is as far off as one that is too bad. Says nothing about the parts of the
    truth that the approximation misses (Van Veldhuizen & Lamont, 1998, Evolutionary computation and
    convergence to a Pareto front; the mean with p = 1).

    Raises:
        DataError: as in `igd_plus`.
    """
    ours, theirs = _pair(approximation, truth, objectives, normalise)
    # The inverted generational distance with the two roles swapped.
    return float(moocore.igd(theirs, ref=ours))


def additive_epsilon(
    approximation: Points,
    truth: Points,
    objectives: Sequence[Objective] | None = None,
    *,
    normalise: bool = False,
) -> float:
    """`max_r min_a max_m (a_m - r_m)`: how much must be granted in every objective to reach the truth.

    Negative when the approximation is better everywhere (Zitzler et al., 2003, Performance assessment of
    multiobjective optimizers).

    Raises:
        DataError: as in `igd_plus`.
    """
    ours, theirs = _pair(approximation, truth, objectives, normalise)
    return float(moocore.epsilon_additive(ours, ref=theirs))


def hypervolume_ratio(
    approximation: Points,
    truth: Points,
    objectives: Sequence[Objective] | None = None,
    *,
    reference: ArrayLike | None = None,
) -> float:
    """`hypervolume(approximation) / hypervolume(truth)` up to one common reference point.

    A preview with a ratio of 1.02 is as wrong as one with 0.98. Use the same weightings for both sets.

    Args:
        approximation: the estimated front.
        truth: the front it is compared with.
        objectives: the directions of arrays; everything is minimised when not given.
        reference: the reference point `[M]` of both hypervolumes, in the objectives' own directions; the worst
            of both sets plus 10 % of the range when not given (see `reference_point`).

    Raises:
        DataError: as in `igd_plus`, or a truth with no volume up to the reference point.
    """
    ours, theirs = _pair(approximation, truth, objectives, False)
    if reference is None:
        corner = beyond_worst(np.concatenate([ours, theirs]))
    else:
        directions = _shared_objectives(approximation, truth, objectives)
        corner = require_reference(reference, ours.shape[1])
        corner = corner if directions is None else to_minimised(corner, directions)
    whole = hypervolume(theirs, corner)
    if whole <= 0:
        raise DataError(
            "the true front has no hypervolume: none of its points is better than the reference point in every "
            "objective; use a worse reference point"
        )
    return hypervolume(ours, corner) / whole


def _pair(
    approximation: Points, truth: Points, objectives: Sequence[Objective] | None, normalise: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Both sets minimised, and divided by the truth's ranges if wished."""
    shared = _shared_objectives(approximation, truth, objectives)
    ours = require_points(minimised_values(approximation, shared, "the approximation"), "the approximation")
    theirs = require_points(minimised_values(truth, shared, "the truth"), "the truth")
    if ours.shape[1] != theirs.shape[1]:
        raise DataError(
            f"the approximation has {ours.shape[1]} objectives and the truth {theirs.shape[1]}: compare the same ones"
        )
    if not normalise:
        return ours, theirs
    return normalised_values(ours, theirs), normalised_values(theirs, theirs)


def _shared_objectives(
    approximation: Points, truth: Points, objectives: Sequence[Objective] | None
) -> Sequence[Objective] | None:
    """The objectives that either set carries, so that an array compared with scores gets their directions."""
    return directions_of(approximation, directions_of(truth, objectives))
