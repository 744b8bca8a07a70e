from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from paretomerge.fronts.methods import FrontProblem
from paretomerge.fronts.search import dense_points, front_of_predictions
from paretomerge.testing.landscapes import SigmoidQuadratic
from paretomerge.types import Constraint, Front, Objective, Scores, Simplex


@dataclass
class Evaluator:
    """Exact scores of a landscape, and a record of what was asked; points near `broken` ones fail."""

    landscape: SigmoidQuadratic
    calls: list[np.ndarray] = field(default_factory=list)
    broken: tuple[int, ...] = ()

    def __call__(self, points: np.ndarray, objectives: Sequence[Objective]) -> Scores:
        before = sum(map(len, self.calls))
        self.calls.append(points)
        keep = [row for row in range(len(points)) if before + row not in self.broken]
        names = [objective.name for objective in self.landscape.objectives]
        columns = [names.index(objective.name) for objective in objectives]
        values = self.landscape.scores(points[keep]).reshape(-1, len(names))[:, columns]
        return Scores(
            self.landscape.domain.names, points[keep], values, np.zeros_like(values), tuple(objectives), "merged"
        )

    @property
    def asked(self) -> np.ndarray:
        return np.concatenate(self.calls)


@pytest.fixture(scope="session")
def task() -> Callable[..., tuple[FrontProblem, Evaluator]]:
    """A problem with wrong posteriors on the simplex (a grid is searched there, which is fast), and its evaluator."""

    def make(
        tasks: int = 2,
        *,
        seed: int = 0,
        posteriors: bool = True,
        box: bool = False,
        constraints: tuple[Constraint, ...] = (),
        broken: tuple[int, ...] = (),
    ) -> tuple[FrontProblem, Evaluator]:
        rng = np.random.default_rng(seed)
        landscape = SigmoidQuadratic.random(tasks, "strong", rng)
        predicted = landscape.wrong_posterior(rng)
        domain = landscape.domain if box else Simplex(landscape.tasks)
        problem = FrontProblem(
            domain,
            landscape.tasks,
            landscape.objectives,
            constraints=constraints,
            predicted_losses=predicted if posteriors else None,
        )
        return problem, Evaluator(landscape, broken=broken)

    return make


@pytest.fixture(scope="session")
def best_front() -> Callable[[FrontProblem, Evaluator], Front]:
    """The true front, found as methods find theirs: the same grid, as many points."""

    def make(problem: FrontProblem, evaluate: Evaluator) -> Front:
        names, landscape = problem.domain.names, evaluate.landscape
        points = dense_points(problem.domain)
        values = landscape.scores(points)
        scores = Scores(names, points, values, np.zeros_like(values), problem.objectives, "predicted")
        return front_of_predictions(scores, scores, problem.traded_columns)

    return make
