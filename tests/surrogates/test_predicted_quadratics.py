from __future__ import annotations

import numpy as np

from paretomerge.surrogates import PosteriorInformed, Quadratics, fit_surrogate
from paretomerge.types import Box, Objective, Scores

NAMES = ("a", "b")
LOSSES = Quadratics(
    np.stack([np.eye(2), np.diag([2.0, 4.0])]), np.array([[-1.0, 0.0], [0.0, -4.0]]), np.array([0.5, 2])
)


def scores(count: int, metric: str = "loss") -> Scores:
    objectives = tuple(Objective(f"loss[{name}]", task=name, metric=metric) for name in reversed(NAMES))
    points = Box(NAMES).spread(count)
    return Scores(NAMES, points, LOSSES(points)[:, ::-1], np.zeros((count, 2)), objectives, ("merged",) * count)


def test_values_are_those_of_the_formula() -> None:
    np.testing.assert_allclose(LOSSES(np.array([[1.0, 0.0], [0.5, 1.0]])), [[0.0, 3.0], [0.625, 0.25]])


def test_before_any_score_the_surrogate_is_the_posteriors_quadratic_in_the_order_of_the_objectives() -> None:
    fitted = fit_surrogate(scores(0), PosteriorInformed(LOSSES, NAMES), Box(NAMES))
    A, b, e = fitted.quadratics()
    points = Box(NAMES).spread(5)
    values = 0.5 * np.einsum("kd,mde,ke->km", points, A, points) + points @ b.T + e
    np.testing.assert_allclose(fitted.predict(points)[0], values)


def test_with_scores_or_other_metrics_it_is_none() -> None:
    for found in (scores(3), scores(0, "score")):
        assert fit_surrogate(found, PosteriorInformed(LOSSES, NAMES), Box(NAMES)).quadratics() is None
    plain = PosteriorInformed(LOSSES.__call__, NAMES)
    assert fit_surrogate(scores(0), plain, Box(NAMES)).quadratics() is None
