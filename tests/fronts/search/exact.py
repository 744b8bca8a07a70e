"""A surrogate that knows the truth: sigmoids or plain values of known quadratics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import expit

from paretomerge.types import Box, Domain, Objective, Scores, Simplex


@dataclass(eq=False)
class Exact:
    """`Fitted` with `values = σ(-q)` maximised (`linked`), or `q` minimised, `q = ½ cᵀAc + bᵀc + e`."""

    domain: Domain
    A: np.ndarray
    b: np.ndarray
    e: np.ndarray
    linked: bool = True
    measured: np.ndarray | None = None
    asked: list[int] = field(default_factory=list)

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.domain.names

    @property
    def objectives(self) -> tuple[Objective, ...]:
        direction, bounds = ("maximise", (0.0, 1.0)) if self.linked else ("minimise", (None, None))
        return tuple(Objective(f"y{m}", direction, bounds=bounds) for m in range(len(self.A)))

    @property
    def scores(self) -> Scores:
        points = np.zeros((0, len(self.tasks))) if self.measured is None else self.measured
        values = self.values(points)
        return Scores(self.tasks, points, values, 0 * values, self.objectives, ("merged",) * len(points))

    @property
    def fit_quality(self) -> np.ndarray:
        return np.ones(len(self.A))

    @property
    def warnings(self) -> tuple[str, ...]:
        return ()

    def quadratics(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.A, self.b, self.e

    def values(self, points: np.ndarray) -> np.ndarray:
        q = 0.5 * np.einsum("kd,mde,ke->km", points, self.A, points, optimize=True) + points @ self.b.T + self.e
        return expit(-q) if self.linked else q

    def predict(self, points: Any) -> tuple[np.ndarray, np.ndarray]:
        points = self.domain.checked(points) if len(points) else np.zeros((0, len(self.tasks)))
        self.asked.append(len(points))
        values = self.values(points)
        return values, np.full_like(values, 0.01)

    def sample(self, points: Any, draws: int, generator: np.random.Generator) -> np.ndarray:
        return np.repeat(self.values(points)[None], draws, axis=0)

    def response(self, points: Any) -> np.ndarray:
        return np.zeros((len(self.A), len(points), len(self.scores)))

    def extrapolates(self, points: Any) -> np.ndarray:
        return np.zeros(len(points), dtype=bool)


def exact(tasks: int, domain: str = "box", seed: int = 0, linked: bool = True, convex: bool = True) -> Exact:
    """Each objective is best near its own coordinate at one and the others at zero."""
    rng = np.random.default_rng(seed)
    names = tuple(f"t{t}" for t in range(tasks))
    roots = rng.normal(size=(tasks, tasks, tasks)) / np.sqrt(tasks)
    A = 2.0 * (roots @ roots.transpose(0, 2, 1)) + 1.0 * np.eye(tasks)
    for t in range(tasks):
        A[t, t, t] += 3.0
    if not convex:
        A = A - 4.0 * np.eye(tasks)
    best = np.eye(tasks) * 0.9 + rng.uniform(0, 0.1, (tasks, tasks))
    b = -np.einsum("mde,me->md", A, best)
    e = 0.5 * np.einsum("md,mde,me->m", best, A, best) - 2.0
    return Exact(Simplex(names) if domain == "simplex" else Box(names), A, b, e, linked)
