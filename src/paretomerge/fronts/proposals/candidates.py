"""Points worth a look: near the predicted front, where the front might be, and a few from everywhere.

The predicted front is followed by a small evolutionary search with one winner per preference (augmented Chebyshev),
once for the predicted scores and once for optimistic ones (mean and 1.5 standard deviations): where the optimistic
winners are, an evaluation may change the front. Decomposing a front into preferences that learn from each other is
the idea of MOEA/D (Zhang & Li, 2007).

Shapes: `K` points, `D` coordinates, `M` objectives, `L` preferences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import moocore
import numpy as np

from paretomerge.fronts.predictions import predicted_scores
from paretomerge.fronts.proposals.scalarised import chebyshev, preferences
from paretomerge.surrogates import Fitted
from paretomerge.types import Constraint, Scores, to_minimised

OPTIMISM = 1.5
_PREFERENCES = 64
_SPREAD = 512
_ROUNDS = 6
_EVERYWHERE = 128
_CORNERS = 64
# Candidates nearer to an asked point than this, in units of the domain's width, would say nothing new.
_NEAR = 1e-3


@dataclass(frozen=True, eq=False)
class Scaling:
    """Minimised values to scaled ones: zero is the best value of the predicted front, one the worst."""

    best: np.ndarray
    worst: np.ndarray

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """`[..., M]`."""
        width = self.worst - self.best
        return (values - self.best) / np.where(width > 0, width, 1.0)


@dataclass(frozen=True, eq=False)
class Outlook:
    """What the surrogate sees before points are proposed.

    Attributes:
        front: `[F, D]`, the best predicted point of each preference.
        candidates: `[K, D]`, points that may be proposed.
        scaling: of the traded objectives, from the predicted front.
        predicted: every prediction that was made on the way, all objectives.
    """

    front: np.ndarray
    candidates: np.ndarray
    scaling: Scaling
    predicted: Scores


@dataclass(frozen=True, eq=False)
class _View:
    """Predictions as the search compares them: minimised traded means and stdevs `[K, M]`, violations `[K]`."""

    mean: np.ndarray
    stdev: np.ndarray
    violation: np.ndarray

    @classmethod
    def of(cls, predicted: Scores, traded: Sequence[int], constraints: Sequence[Constraint]) -> _View:
        violation = np.zeros(len(predicted))
        for constraint in constraints:
            unit = float(np.std(predicted.values[:, constraint.column(predicted.objectives)])) or 1.0
            violation += np.maximum(-constraint.slack(predicted.values, predicted.objectives), 0.0) / unit
        minimised = to_minimised(predicted.values, predicted.objectives)
        return cls(minimised[:, traded], predicted.stderr[:, traded], violation)

    def scaling(self) -> Scaling:
        """From the front of the least violated points."""
        values = self.mean[self.violation <= self.violation.min()]
        front = values[moocore.is_nondominated(values)]
        return Scaling(front.min(axis=0), front.max(axis=0))

    def winners(self, weights: np.ndarray, scaling: Scaling, optimism: float) -> np.ndarray:
        """`[L]`: the best row of each preference."""
        values = scaling.scaled(self.mean - optimism * self.stdev)
        # Any violation outweighs what is traded; the least violated wins where nothing is feasible.
        return np.asarray((chebyshev(values, weights) + 1e3 * self.violation[:, None]).argmin(axis=0))


def look_around(
    surrogate: Fitted,
    traded: Sequence[int],
    constraints: Sequence[Constraint] = (),
    *,
    avoid: np.ndarray | None = None,
    seed: int = 0,
) -> Outlook:
    """Search the surrogate for its front, and for what might improve it.

    Args:
        surrogate: predicts all objectives.
        traded: columns of the objectives that span the front.
        constraints: limits on any of the objectives.
        avoid: `[A, D]`, points that need not be asked again besides those the surrogate was fitted to.
        seed: of everything random.
    """
    rng = np.random.default_rng([seed, 1])
    domain, known = surrogate.domain, surrogate.scores.weights
    asked = known if avoid is None else np.concatenate([known, avoid])
    weights = preferences(len(traded), _PREFERENCES, seed)
    predicted = predicted_scores(surrogate, np.concatenate([domain.nearest(known), domain.spread(_SPREAD, seed)]))
    width = np.ptp(predicted.weights, axis=0)
    for step in range(_ROUNDS):
        view = _View.of(predicted, traded, constraints)
        scaling = view.scaling()
        parents = np.concatenate([view.winners(weights, scaling, optimism) for optimism in (0.0, OPTIMISM)])
        children = domain.nearest(_children(predicted.weights[parents], 0.2 * 0.5**step * width, rng))
        predicted = Scores.concatenate([predicted, predicted_scores(surrogate, children)])
    view = _View.of(predicted, traded, constraints)
    scaling = view.scaling()
    front = predicted.weights[np.unique(view.winners(weights, scaling, 0.0))]
    hopeful = predicted.weights[np.unique(view.winners(weights, scaling, OPTIMISM))]
    around = domain.nearest(_children(front, 0.1 * width, rng))
    # Far from the front an observation may still tell much about it: corners most of all.
    corners = domain.from_cube(rng.integers(0, 2, (_CORNERS, domain.cube_dimension)))
    pool = np.concatenate([hopeful, front, around, domain.spread(_EVERYWHERE, seed + 1), corners])
    return Outlook(front, _new(pool, asked, width), scaling, predicted)


def _children(parents: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Between two parents, and around one of them: as many of each as there are parents."""
    partners = parents[rng.permutation(len(parents))]
    between = parents + rng.uniform(-0.2, 1.2, (len(parents), 1)) * (partners - parents)
    moved = rng.random(parents.shape) < max(0.3, 1.5 / parents.shape[1])
    around = parents + moved * rng.standard_normal(parents.shape) * size
    return np.concatenate([between, around])


def _new(pool: np.ndarray, asked: np.ndarray, width: np.ndarray) -> np.ndarray:
    """The points of the pool that are not near an asked one, nor near an earlier one of the pool."""
    unit = np.where(width > 0, width, 1.0)
    kept: list[int] = []
    taken = asked / unit
    for row, point in enumerate(pool / unit):
        if not len(taken) or np.abs(taken - point).max(axis=1).min() > _NEAR:
            kept.append(row)
            taken = np.concatenate([taken, point[None]])
    return pool[kept]
