from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from paretomerge.fronts import FrontUncertainty
from paretomerge.fronts.uncertainty import Interval
from paretomerge.types import Front, Objective


@pytest.fixture(scope="session")
def front_of() -> Callable[..., Front]:
    """A front from a table of values; directions as `-` (minimise) and `+` (maximise), objectives a, b, c, …"""

    def make(values: object, directions: str = "", weights: object = None, tasks: str = "xy") -> Front:
        table = np.asarray(values, dtype=np.float64)
        count, width = table.shape
        directions = directions or "-" * width
        objectives = tuple(
            Objective("abcdef"[m], "minimise" if directions[m] == "-" else "maximise") for m in range(width)
        )
        if weights is None:
            first = np.linspace(0.0, 1.0, count)
            weights = np.stack([first, 1.0 - first], axis=1)
        return Front(
            tuple(tasks),
            np.asarray(weights, dtype=np.float64),
            table,
            np.full_like(table, 0.01),
            objectives,
            table.max(axis=0),
            ("merged",) * count,
        )

    return make


@pytest.fixture(scope="session")
def circle(front_of: Callable[..., Front]) -> Callable[..., Front]:
    """`2n + 1` points of a quarter circle around (1, 1): convex, or, seen from the other side, concave."""

    def make(half: int = 10, concave: bool = False) -> Front:
        angle = np.linspace(0.0, np.pi / 2, 2 * half + 1)
        arc = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return front_of(arc if concave else 1.0 - arc)

    return make


@pytest.fixture(scope="session")
def uncertainty_of() -> Callable[..., FrontUncertainty]:
    """The uncertainty of a front from joint draws `[S, K, M]`; what rules do not read is left empty."""

    def make(front: Front, samples: object, level: float = 0.9) -> FrontUncertainty:
        draws = np.asarray(samples, dtype=np.float64)
        return FrontUncertainty(
            objectives=front.objectives,
            level=level,
            parts={},
            combined=draws.std(axis=0),
            lower=draws.min(axis=0),
            upper=draws.max(axis=0),
            nondominated=np.full(len(front), 0.25),
            feasible=np.ones(len(front)),
            hypervolume=Interval(0.0, 0.0, 0.0),
            attainment=(),
            draws=len(draws),
            samples=draws.astype(np.float32),
        )

    return make
