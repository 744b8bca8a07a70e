from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

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
