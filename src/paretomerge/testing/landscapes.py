"""Landscapes with known fronts: scores that are sigmoids of concave quadratics in the scaling coefficients.

    score_t(c) = σ(-q_t(c)),     q_t(c) = ½ cᵀA_t c + b_tᵀc + e_t,     A_t positive definite,

so that the Pareto set is known in closed form, and so is everything an estimate of it can get wrong.

Shapes: `K` points, `D` coefficients, `T` tasks (one objective each), `E` examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit, ndtr, ndtri

from paretomerge.errors import DataError
from paretomerge.fronts import closed_form_front
from paretomerge.surrogates import Quadratics
from paretomerge.types import Box, Objective, Origin, Scores, Simplex

_DROPS = {"mild": ((2.0, 5.0), (0.4, 2.0)), "strong": ((5.0, 12.0), (2.0, 8.0))}
"""Ranges of the curvature along a task's own coefficients, and along those of other tasks."""


@dataclass(frozen=True, eq=False)
class SigmoidQuadratic:
    """One score per task, in `(0, 1)` and maximised, on the box `[0, 1]^D` of scaling coefficients.

    Args:
        tasks: names of the `T` tasks.
        domain: the box.
        quadratics: `q`, minimised; the scores are `σ(-q)`.
    """

    tasks: tuple[str, ...]
    domain: Box
    quadratics: Quadratics

    @classmethod
    def random(
        cls, tasks: int, curvature: Literal["mild", "strong"], rng: np.random.Generator, dimension: int | None = None
    ) -> SigmoidQuadratic:
        """A landscape in which each score is best near its own task's coefficients at one and the others at zero.

        The base model (`c = 0`) and the other finetunes are worse, and coefficients interact: a task's best values
        of its own depend on those of the others. "mild" scores stay between about 0.2 and 0.95 along the front,
        "strong" ones saturate near zero away from their optimum.

        Args:
            tasks: `T`.
            curvature: how steeply scores fall away from their optimum.
            rng: of the random curvatures, optima and levels.
            dimension: `D >= T` coefficients, one per task and group, groups outermost; `T` when not given.

        Raises:
            DataError: no tasks, fewer coefficients than tasks, or an unknown curvature.
        """
        size = tasks if dimension is None else dimension
        if tasks < 1 or size < tasks or curvature not in _DROPS:
            raise DataError(
                f"a landscape of {tasks} tasks, {size} coefficients and {curvature!r} curvature: it needs a task, "
                f"a coefficient for each, and a curvature of {' or '.join(_DROPS)}"
            )
        names = tuple(f"task{t}" for t in range(tasks))
        owner = np.arange(size) % tasks
        coordinates = names if size == tasks else tuple(f"group{d // tasks}:task{owner[d]}" for d in range(size))
        own, other = _DROPS[curvature]
        matrices, gradients, constants = [], [], []
        for t in range(tasks):
            # More coefficients of a task share the same fall, so that landscapes of any dimension are alike.
            fall = np.where(owner == t, rng.uniform(*own, size), rng.uniform(*other, size)) * tasks / size
            matrix = np.sqrt(fall)[:, None] * _correlations(size, rng) * np.sqrt(fall)
            optimum = (owner == t) * rng.uniform(0.8, 1.0, size) + (owner != t) * rng.uniform(0.0, 0.15, size)
            matrices.append(matrix)
            gradients.append(-matrix @ optimum)
            constants.append(0.5 * optimum @ matrix @ optimum - rng.uniform(1.5, 3.0))
        return cls(names, Box(coordinates), Quadratics(np.stack(matrices), np.stack(gradients), np.array(constants)))

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """`score[task0]`, `score[task1]`, … in `(0, 1)`, maximised."""
        return tuple(
            Objective(f"score[{task}]", "maximise", bounds=(0.0, 1.0), task=task, metric="score") for task in self.tasks
        )

    def scores(self, points: np.ndarray) -> np.ndarray:
        """The exact scores `[K, T]` at points `[K, D]`."""
        return expit(-self.quadratics(points))

    def measure(self, points: np.ndarray, rng: np.random.Generator, examples: int = 1000) -> Scores:
        """Shares of examples answered right, on examples that are drawn anew for every point and task.

        Standard errors are those of the posterior mean under a flat prior (Laplace's rule of succession), so that
        they are not zero where every answer was right.
        """
        points = np.asarray(points, dtype=np.float64)
        right = rng.binomial(_checked_count(examples), self.scores(points))
        likely = (right + 1) / (examples + 2)
        stderr = np.sqrt(likely * (1 - likely) / examples)
        return self._as_scores(points, right / examples, stderr)

    def outcomes(
        self, points: np.ndarray, rng: np.random.Generator, examples: int = 1000, likeness: float = 0.8
    ) -> np.ndarray:
        """`[K, T, E]` of zeros and ones: whether each example of each task is answered right at each point.

        The examples are the same for all points (Gaussian copula): difficult ones are difficult everywhere, with
        correlation `likeness` of the latent variables between two points. Each mean is the exact score in expectation.
        """
        probability = self.scores(points)[:, :, None]
        shared = rng.standard_normal((len(self.tasks), _checked_count(examples)))
        own = rng.standard_normal((len(probability), *shared.shape))
        latent = np.sqrt(likeness) * shared + np.sqrt(1 - likeness) * own
        return (ndtr(latent) < probability).astype(np.float64)

    def measure_paired(
        self, points: np.ndarray, rng: np.random.Generator, examples: int = 1000, likeness: float = 0.8
    ) -> Scores:
        """Shares of the same examples answered right at every point, with the covariance that follows (`shared`).

        The shared part is that of the copula behind `outcomes`, at the exact scores; what is left of each squared
        standard error is the score's own noise.
        """
        points = np.asarray(points, dtype=np.float64)
        values = self.outcomes(points, rng, examples, likeness).mean(axis=2)
        exact = self.scores(points)
        nodes, share = np.polynomial.hermite_e.hermegauss(64)
        share = share / share.sum()
        # Given the shared latent variable, answers at different points are independent.
        threshold = (ndtri(exact)[..., None] - np.sqrt(likeness) * nodes) / np.sqrt(max(1 - likeness, 1e-12))
        given = ndtr(threshold) - exact[..., None]
        shared = np.einsum("ktq,ltq,q->tkl", given, given, share) / examples
        variance = np.maximum(exact * (1 - exact) / examples, np.einsum("tkk->kt", shared))
        return self._as_scores(points, values, np.sqrt(variance), shared)

    def wrong_posterior(
        self,
        rng: np.random.Generator,
        scale: tuple[float, float] = (2.0, 3.0),
        gradient_bias: float = 0.3,
        noise: float = 0.2,
    ) -> Quadratics:
        """Predicted losses `[K, D] → [K, T]` as wrong posteriors give them, convex quadratics all the same.

        Args:
            rng: of everything that is wrong.
            scale: by how much the prediction is too steep, or too flat (a coin decides, per task).
            gradient_bias: length of the random error of `b_t`, in units of its own length.
            noise: relative error of the curvatures.
        """
        matrices, gradients, constants = [], [], []
        truth = self.quadratics
        for matrix, gradient, constant in zip(truth.curvatures, truth.gradients, truth.constants, strict=True):
            size = len(gradient)
            steep = rng.uniform(*scale) ** rng.choice([-1.0, 1.0])
            root = np.linalg.cholesky(matrix) @ (np.eye(size) + noise * rng.standard_normal((size, size)) / size**0.5)
            direction = rng.standard_normal(size)
            direction *= gradient_bias * np.linalg.norm(gradient) / np.linalg.norm(direction)
            matrices.append(steep * root @ root.T)
            gradients.append(steep * (gradient + direction))
            # The least predicted loss is the log loss at the best score: positive, as losses are.
            best = constant - 0.5 * gradient @ np.linalg.solve(matrix, gradient)
            drop = 0.5 * gradients[-1] @ np.linalg.solve(matrices[-1], gradients[-1])
            constants.append(np.logaddexp(0.0, best) + drop)
        return Quadratics(np.stack(matrices), np.stack(gradients), np.array(constants))

    def front_points(self, count: int, seed: int = 0) -> np.ndarray:
        """`count` Pareto-optimal points `[count, D]`: each task's best, then those whose scores are farthest apart.

        They are chosen greedily among the minimisers of four times as many weighted sums.
        """
        corners = np.eye(len(self.tasks))
        spread = Simplex(self.tasks).spread(4 * count, seed)
        # Every other weighting is drawn towards the faces, where the fronts of fewer tasks lie.
        spread[1::2] **= 3
        weights = np.concatenate([corners, spread / spread.sum(axis=1, keepdims=True)])
        q = self.quadratics
        points, values = closed_form_front(
            q.curvatures, q.gradients, q.constants, weights, bounds=self.domain.corners, links=[expit] * len(corners)
        )
        chosen = list(range(len(corners)))
        distance = np.min([np.linalg.norm(values - values[i], axis=1) for i in chosen], axis=0)
        while len(chosen) < count:
            chosen.append(int(np.argmax(distance)))
            distance = np.minimum(distance, np.linalg.norm(values - values[chosen[-1]], axis=1))
        return points[chosen[:count]]

    def front(self, count: int, seed: int = 0) -> np.ndarray:
        """The exact scores `[count, T]` of `count` points of the true front."""
        return self.scores(self.front_points(count, seed))

    def _as_scores(
        self, points: np.ndarray, values: np.ndarray, stderr: np.ndarray, shared: np.ndarray | None = None
    ) -> Scores:
        origin: Origin = "merged"
        return Scores(self.domain.names, points, values, stderr, self.objectives, (origin,) * len(points), shared)


def _correlations(size: int, rng: np.random.Generator) -> np.ndarray:
    """A random positive definite matrix with a unit diagonal: half noise, half identity."""
    factor = rng.standard_normal((size, size))
    matrix = factor @ factor.T / size + 0.5 * np.eye(size)
    scale = 1 / np.sqrt(matrix.diagonal())
    return matrix * scale[:, None] * scale


def _checked_count(examples: int) -> int:
    if examples < 1:
        raise DataError(f"scores need at least one example, got {examples}")
    return examples
