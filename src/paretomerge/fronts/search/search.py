"""From a fitted surrogate to the front it predicts over its whole domain.

Shapes: `K` points, `D` coordinates, `M` objectives, `C` constraints.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError, MissingExtraError, nearest
from paretomerge.fronts.dominance import is_nondominated
from paretomerge.fronts.hypervolume import reference_point, require_reference
from paretomerge.fronts.predictions import predicted_scores
from paretomerge.fronts.search.dense import dense_points, is_dense
from paretomerge.fronts.search.landmarks import landmarks
from paretomerge.fronts.search.nsga3 import nsga3_scores
from paretomerge.fronts.search.quadratics import convex_quadratics, quadratic_points
from paretomerge.fronts.search.thinning import thinned
from paretomerge.surrogates import Fitted
from paretomerge.types import Constraint, Domain, Front, Scores, are_feasible, to_minimised

How = Literal["auto", "dense", "closed_form", "nsga3"]
HOWS: tuple[How, ...] = ("auto", "dense", "closed_form", "nsga3")
SIZE = 200
_SCATTER = 1024


def check_search_available(domain: Domain, how: How = "auto") -> None:
    """Raise `MissingExtraError` if a search of this domain may need pymoo and it is not installed.

    For before anything is evaluated. `"auto"` may need it wherever the domain is not searched densely: whether a
    closed form exists is known only when the surrogate is fitted.
    """
    _require_how(how)
    if (how == "nsga3" or (how == "auto" and not is_dense(domain))) and find_spec("pymoo") is None:
        raise MissingExtraError.of("pymoo", "search")


def search_front(
    surrogate: Fitted,
    traded: Sequence[int] | None = None,
    constraints: Sequence[Constraint] = (),
    *,
    how: How = "auto",
    size: int = SIZE,
    seed: int = 0,
    reference: ArrayLike | None = None,
) -> Front:
    """The front that a surrogate's means predict, at feasible points of its domain.

    `"dense"` predicts a grid (every point of a small domain, see `dense_points`), `"closed_form"` takes the minimisers
    of weighted sums of convex quadratics, `"nsga3"` searches any surrogate. `"auto"` is dense on a simplex of up to
    five tasks, the closed form where the surrogate has convex quadratics and there are no constraints, else NSGA-III.

    Args:
        surrogate: predicts every objective everywhere in `surrogate.domain`.
        traded: numbers of the objectives that span the front; all when not given.
        constraints: limits on predicted means, of any of the surrogate's objectives.
        how: the search.
        size: the most points of the front; more are thinned to some that stand for all (`thinned`), the best of each
            objective among them.
        seed: of everything random.
        reference: the front's reference point, one value per traded objective, in their own directions. When not
            given: the worst of the front and of the scores that the surrogate was fitted to, plus 10 % of the range.

    Raises:
        DataError: no feasible point (the message names the one that violates least), objectives or constraints that
            do not exist, or a closed form that does not.
        MissingExtraError: NSGA-III without pymoo.
    """
    columns = _require_columns(traded, len(surrogate.objectives))
    for constraint in constraints:
        constraint.column(surrogate.objectives)
    if size < 1:
        raise DataError(f"a front needs at least one point, got size={size}")
    found = _searched(surrogate, columns, tuple(constraints), how, size, seed)
    return front_of_predictions(found, surrogate.scores, columns, constraints, size=size, reference=reference)


def front_of_predictions(
    predicted: Scores,
    measured: Scores,
    traded: Sequence[int],
    constraints: Sequence[Constraint] = (),
    *,
    size: int = SIZE,
    reference: ArrayLike | None = None,
) -> Front:
    """The feasible, non-dominated part of `predicted` (all objectives), thinned to `size` points.

    Args:
        predicted: at every point that may be on the front.
        measured: counts for the reference point only.
        traded: numbers of the objectives that span the front.
        constraints: as in `search_front`.
        size: the most points.
        reference: as in `search_front`.

    Raises:
        DataError: no feasible point.
    """
    feasible = are_feasible(predicted.values, predicted.objectives, constraints)
    if not feasible.any():
        raise DataError(_least_violated(predicted, constraints))
    scores = predicted.take(feasible).columns(traded)
    scores = scores.take(is_nondominated(scores))
    scores = scores.take(thinned(to_minimised(scores.values, scores.objectives), size))
    if reference is None:
        sets = [scores, measured.columns(traded)] if len(measured) else [scores]
        reference = reference_point(*sets)
    corner = require_reference(reference, len(scores.objectives))
    return Front(scores.tasks, scores.weights, scores.values, scores.stderr, scores.objectives, corner, scores.origin)


def _searched(
    surrogate: Fitted, traded: list[int], constraints: tuple[Constraint, ...], how: How, size: int, seed: int
) -> Scores:
    """Predictions of all objectives wherever the search looked."""
    _require_how(how)
    domain = surrogate.domain
    if how == "dense" or (how == "auto" and is_dense(domain)):
        return predicted_scores(surrogate, dense_points(domain, seed))
    quadratics = None if constraints or how == "nsga3" else convex_quadratics(surrogate, traded)
    if quadratics is not None:
        return predicted_scores(surrogate, quadratic_points(quadratics, domain, 2 * size, seed))
    if how == "closed_form":
        raise DataError(
            f"no closed form: {'constraints need a search' if constraints else _no_quadratics(surrogate)}; use "
            "how='nsga3' or 'dense'"
        )
    return _nsga3(surrogate, traded, constraints, seed)


def _nsga3(surrogate: Fitted, traded: list[int], constraints: tuple[Constraint, ...], seed: int) -> Scores:
    domain, objectives = surrogate.domain, surrogate.objectives
    chosen = [objectives[column] for column in traded]
    start = np.concatenate([domain.nearest(surrogate.scores.weights), landmarks(domain), domain.spread(_SCATTER, seed)])
    first = predicted_scores(surrogate, start)
    width = np.ptp(first.values, axis=0)
    units = [width[constraint.column(objectives)] or 1.0 for constraint in constraints]

    def measure(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
        slack = [c.slack(scores.values, objectives) / unit for c, unit in zip(constraints, units, strict=True)]
        violations = -np.stack(slack, axis=1) if slack else np.zeros((len(scores), 0))
        return to_minimised(scores.values[:, traded], chosen), violations

    return nsga3_scores(lambda points: predicted_scores(surrogate, points), measure, domain, start, seed=seed)


def _require_how(how: str) -> None:
    if how not in HOWS:
        raise DataError(f"unknown search {how!r}{nearest(how, HOWS)}: use {', '.join(HOWS)}")


def _require_columns(traded: Sequence[int] | None, objectives: int) -> list[int]:
    columns = list(range(objectives)) if traded is None else [int(column) for column in traded]
    if not columns or len(set(columns)) != len(columns) or not all(0 <= column < objectives for column in columns):
        raise DataError(
            f"traded objectives {columns}: give different numbers from 0 to {objectives - 1}, and at least one"
        )
    return columns


def _no_quadratics(surrogate: Fitted) -> str:
    if getattr(surrogate, "quadratics", None) is None:
        return f"the surrogate {type(surrogate).__name__} is not quadratic"
    return "the fitted quadratics are not convex (fit with shape='convex')"


def _least_violated(predicted: Scores, constraints: Sequence[Constraint]) -> str:
    width = np.ptp(predicted.values, axis=0)
    units = [width[constraint.column(predicted.objectives)] or 1.0 for constraint in constraints]
    slack = np.stack([c.slack(predicted.values, predicted.objectives) for c in constraints], axis=1)
    row = int(np.maximum(-slack / units, 0.0).sum(axis=1).argmin())
    values = ", ".join(
        f"{c.objective}={predicted.values[row, c.column(predicted.objectives)]:.6g}" for c in constraints
    )
    place = ", ".join(f"{name}={x:.3g}" for name, x in zip(predicted.tasks, predicted.weights[row], strict=True))
    return (
        f"no point is predicted to respect {' and '.join(map(str, constraints))}: the least violated has {values} (at "
        f"{place}); loosen the limit, or evaluate more models near that point"
    )
