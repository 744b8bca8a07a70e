from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from paretomerge.fronts.problem import FrontProblem
from paretomerge.surrogates import Fitted, PosteriorInformed, fit_surrogate
from paretomerge.testing.landscapes import SigmoidQuadratic
from paretomerge.types import Constraint

Situation = tuple[FrontProblem, Fitted, SigmoidQuadratic]


@pytest.fixture(scope="session")
def situation() -> Callable[..., Situation]:
    """A landscape with wrong posteriors, measured at a few points, and the surrogate fitted to them."""

    def make(tasks: int = 3, count: int = 6, seed: int = 0, constraints: tuple[Constraint, ...] = ()) -> Situation:
        rng = np.random.default_rng(seed)
        landscape = SigmoidQuadratic.random(tasks, "mild", rng)
        predicted = landscape.wrong_posterior(rng)
        scores = landscape.measure(landscape.domain.spread(count, seed), rng)
        problem = FrontProblem(
            landscape.domain,
            landscape.tasks,
            landscape.objectives,
            constraints=constraints,
            predicted_losses=predicted,
        )
        surrogate = fit_surrogate(scores, PosteriorInformed(predicted, landscape.tasks), landscape.domain)
        return problem, surrogate, landscape

    return make
