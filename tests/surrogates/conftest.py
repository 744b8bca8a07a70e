from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from paretomerge.surrogates.links import identity_link
from paretomerge.surrogates.regression import Regression
from paretomerge.surrogates.residual import distances
from paretomerge.types import Objective, Scores

Truth = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="session")
def random_quadratic() -> Callable[[int, int], Truth]:
    """`(tasks, seed) → η(α) [K, T]`, a random Scheffé quadratic per objective, each best near its own corner."""

    def make(tasks: int, seed: int) -> Truth:
        rng = np.random.default_rng(seed)
        linear = rng.normal(size=(tasks, tasks)) + 1.5 * np.eye(tasks)
        cross = np.triu(2 * rng.normal(size=(tasks, tasks, tasks)), 1)
        return lambda weights: weights @ linear.T + np.einsum("ki,kj,nij->kn", weights, weights, cross)

    return make


@pytest.fixture(scope="session")
def scores_at() -> Callable[..., Scores]:
    """Scores of one objective per task at weightings; `metric` and `bounds` are those of every objective."""

    def make(weights, values, stderr=0.0, metric="", bounds=(None, None), direction="minimise") -> Scores:
        tasks = tuple("abcdef"[: weights.shape[1]])
        values = np.asarray(values, dtype=np.float64).reshape(len(weights), len(tasks))
        objectives = tuple(Objective(task, direction, bounds=bounds, metric=metric) for task in tasks)
        return Scores(tasks, weights, values, np.full_like(values, stderr), objectives, "merged")

    return make


@pytest.fixture(scope="session")
def naive():
    """`(regression, chosen, features, distances) → mean [K], covariance [K, K], log evidence`: dense, identity link."""

    def solve(regression, chosen, features, to_scores, between):
        def correlation(distance):
            scaled = np.sqrt(5) * distance / chosen.length
            return chosen.amplitude**2 * (1 + scaled + scaled**2 / 3) * np.exp(-scaled)

        prior = np.diag(np.where(regression.correcting, chosen.correction, 1.0) * regression.prior_stdev) ** 2
        scored = regression.features
        covariance = scored @ prior @ scored.T + correlation(regression.distance)
        covariance += np.diag(regression.noise + chosen.misfit**2)
        cross = features @ prior @ scored.T + correlation(to_scores)
        away = regression.values - scored @ regression.prior_mean
        mean = features @ regression.prior_mean + cross @ np.linalg.solve(covariance, away)
        posterior = features @ prior @ features.T + correlation(between) - cross @ np.linalg.solve(covariance, cross.T)
        evidence = -0.5 * away @ np.linalg.solve(covariance, away) - 0.5 * np.linalg.slogdet(covariance)[1]
        return mean, posterior, evidence

    return solve


@pytest.fixture
def make_regression():
    """A regression with an intercept, a slope and a correcting feature, at random points of a unit square."""

    def make(count=12, link=None, noise=0.01, seed=0, values=None):
        rng = np.random.default_rng(seed)
        points = rng.random((count, 2))
        features = np.stack([np.ones(count), points[:, 0], points[:, 1] ** 2], 1)
        link = link or identity_link()
        drawn = link.value(features @ [0.3, 1.0, -0.5] + 0.2 * np.sin(5 * points[:, 0]))
        values = drawn + noise**0.5 * rng.standard_normal(count) if values is None else values
        return (
            Regression(
                link,
                values,
                np.full(count, noise),
                features,
                distances(points, points),
                np.array([0.1, 0.5, 0.0]),
                np.array([1.0, 2.0, 0.7]),
                np.array([False, False, True]),
            ),
            points,
        )

    return make
