"""Which points to evaluate next: in turn the one that teaches most about the predicted front, and the one that is
expected to improve it most.

Improvement is noisy expected hypervolume improvement up to four traded objectives, above that the improvement of
random augmented Chebyshev scalarisations. All criteria look at the same joint draws of the surrogate: a point that is
chosen, or pending elsewhere, counts from then on with its draws, so that a batch does not ask the same thing twice.
Draws in which a point violates a constraint improve nothing.

Shapes: `S` draws, `N` points so far, `K` candidates, `D` coordinates, `M` objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from paretomerge.errors import DataError
from paretomerge.fronts.hypervolume import require_reference
from paretomerge.fronts.problem import FrontProblem
from paretomerge.fronts.proposals.candidates import Outlook, look_around
from paretomerge.fronts.proposals.information import InformationCriterion
from paretomerge.fronts.proposals.noisy import HypervolumeCriterion
from paretomerge.fronts.proposals.scalarised import ScalarisedCriterion
from paretomerge.fronts.proposals.value import expected_gain
from paretomerge.surrogates import Fitted
from paretomerge.types import to_minimised

MOST_OBJECTIVES = 4
DRAWS = 256
# Of them, as many as the improvement is averaged over.
_IMPROVING = 64
# Of the scaled front's range, as in `reference_point`.
_MARGIN = 0.1
# Keeps exact scores from dividing by zero.
_LEAST_NOISE = 1e-8

Criterion = HypervolumeCriterion | ScalarisedCriterion


@dataclass(frozen=True, eq=False)
class Proposal:
    """Points to evaluate, best first.

    Attributes:
        points: `[count, D]`; fewer where the domain has no more new points.
        gain: by which share evaluating them is expected to raise the hypervolume of the front that is predicted
            afterwards (see `expected_gain`).
    """

    points: np.ndarray
    gain: float


def propose(
    surrogate: Fitted,
    problem: FrontProblem,
    count: int,
    seed: int,
    pending: np.ndarray | None = None,
    reference: ArrayLike | None = None,
    *,
    avoid: np.ndarray | None = None,
) -> Proposal:
    """The next points to evaluate; the first of them do not depend on `count`.

    Args:
        surrogate: fitted to the scores so far, of all objectives of the problem.
        problem: what is traded off, and where.
        count: how many points.
        seed: of everything random.
        pending: `[P, D]`, points that are being evaluated.
        reference: `[M]` of the traded objectives, in their own directions; the worst of the predicted front plus 10 %
            of its range when not given.
        avoid: `[A, D]`, points not to be proposed again (those that failed).

    Raises:
        DataError: a count below one, a surrogate of other objectives, or a reference point of another shape.
    """
    if count < 1:
        raise DataError(f"a proposal needs a number of points >= 1, got {count}")
    if [o.name for o in surrogate.objectives] != [o.name for o in problem.objectives]:
        raise DataError(
            f"the surrogate predicts {', '.join(o.name for o in surrogate.objectives)}, but the problem has "
            f"{', '.join(o.name for o in problem.objectives)}: fit it to scores of all objectives, in this order"
        )
    taken = [part for part in (pending, avoid) if part is not None and len(part)]
    outlook = look_around(
        surrogate,
        problem.traded_columns,
        problem.constraints,
        avoid=np.concatenate(taken) if taken else None,
        seed=seed,
    )
    return propose_from(outlook, surrogate, problem, count, seed, pending, reference)


def propose_from(
    outlook: Outlook,
    surrogate: Fitted,
    problem: FrontProblem,
    count: int,
    seed: int,
    pending: np.ndarray | None = None,
    reference: ArrayLike | None = None,
) -> Proposal:
    """`propose`, from what `look_around` found with the same seed."""
    generator = np.random.default_rng([seed, 2])
    known = surrogate.scores.weights
    waiting = np.zeros((0, known.shape[1])) if pending is None else np.asarray(pending, dtype=np.float64)
    parts = [known, waiting, outlook.front, outlook.candidates]
    if not len(outlook.candidates):
        return Proposal(np.zeros((0, known.shape[1])), 0.0)
    draws = surrogate.sample(surrogate.domain.nearest(np.concatenate(parts)), DRAWS, generator)
    columns, noise = _columns(draws, outlook, surrogate, problem)
    edges = np.cumsum([len(part) for part in parts])[:-1]
    corner = _corner(outlook, problem, reference)
    chosen = _chosen(np.split(columns, edges, axis=1), noise, corner, count, seed)
    # What is pending is evaluated in any case: the gain is that of what is chosen.
    gain = expected_gain(
        columns[:, edges[1] :], [len(outlook.front) + number for number in chosen], noise, corner, seed
    )
    return Proposal(outlook.candidates[chosen], gain)


def _columns(
    draws: np.ndarray, outlook: Outlook, surrogate: Fitted, problem: FrontProblem
) -> tuple[np.ndarray, np.ndarray]:
    """Draws `[S, N, M + C]` of scaled traded objectives and of violations, and the noise `[M + C]` of evaluations.

    A violation is how far a point is beyond a limit, in units of what the objective varies by; negative inside.
    """
    traded, objectives = problem.traded_columns, surrogate.objectives
    own = surrogate.scores.own_variance
    noise = own.mean(axis=0) if len(own) else np.zeros(len(objectives))
    width = np.where(outlook.scaling.worst > outlook.scaling.best, outlook.scaling.worst - outlook.scaling.best, 1.0)
    values = [outlook.scaling.scaled(to_minimised(draws, objectives)[..., traded])]
    scaled = [noise[traded] / width**2]
    for constraint in problem.constraints:
        column = constraint.column(objectives)
        unit = float(np.std(outlook.predicted.values[:, column])) or 1.0
        values.append(-constraint.slack(draws, objectives)[..., None] / unit)
        scaled.append(noise[[column]] / unit**2)
    return np.concatenate(values, axis=-1), np.concatenate(scaled) + _LEAST_NOISE


def _chosen(parts: Sequence[np.ndarray], noise: np.ndarray, corner: np.ndarray, count: int, seed: int) -> list[int]:
    """Numbers of candidates: the 1st, 3rd, … for what it teaches, the others for what they improve.

    Args:
        parts: draws `[S, N, M + C]` at known, pending, front and candidate points.
        noise: `[M + C]`.
        corner: the scaled reference point `[M]`.
        count: how many.
        seed: of the scalarisations.
    """
    known, waiting, front, candidates = parts
    pending = waiting.shape[1]
    information = InformationCriterion.of(front, np.concatenate([waiting, candidates], axis=1), noise)
    for number in range(pending):
        information = information.after(information.candidates[:, number])
    ahead = _feasible_values(candidates, len(corner))
    improvement = _criterion(_feasible_values(np.concatenate([known, waiting], axis=1), len(corner)), corner, seed)
    chosen: list[int] = []
    for number in range(min(count, candidates.shape[1])):
        gains = information.gains()[pending:] if number % 2 == 0 else improvement.gains(ahead)
        gains[chosen] = 0.0
        if gains.max() <= 0.0:
            # Nothing teaches or improves: whatever is most often feasible.
            gains = np.isfinite(ahead).all(axis=2).mean(axis=0)
            gains[chosen] = -1.0
        chosen.append(int(gains.argmax()))
        information = information.after(information.candidates[:, pending + chosen[-1]])
        improvement = improvement.with_points(ahead[:, chosen[-1:]])
    return chosen


def _feasible_values(draws: np.ndarray, traded: int) -> np.ndarray:
    """The traded objectives of the draws that improvement is averaged over, infinite where a limit is broken."""
    draws = draws[:_IMPROVING]
    broken = (draws[..., traded:] > 0).any(axis=-1, keepdims=True)
    return np.where(broken, np.inf, draws[..., :traded])


def _corner(outlook: Outlook, problem: FrontProblem, reference: ArrayLike | None) -> np.ndarray:
    """The scaled reference point `[M]`."""
    traded = problem.traded_columns
    if reference is None:
        return np.full(len(traded), 1.0 + _MARGIN)
    return outlook.scaling.scaled(
        to_minimised(require_reference(reference, len(traded)), [problem.objectives[m] for m in traded])
    )


def _criterion(points: np.ndarray, corner: np.ndarray, seed: int) -> Criterion:
    if len(corner) > MOST_OBJECTIVES:
        return ScalarisedCriterion.of(points, seed)
    return HypervolumeCriterion.of(points, corner)
