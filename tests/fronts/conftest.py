from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from paretomerge.types import Objective, Origin, Scores


@pytest.fixture(scope="session")
def scores_of() -> Callable[..., Scores]:
    """Scores from a table of values, one task per weight, directions as `-` (minimise) and `+` (maximise)."""

    def make(
        values: Sequence[Sequence[float]] | np.ndarray,
        directions: str = "",
        weights: np.ndarray | None = None,
        stderr: np.ndarray | None = None,
        origin: Origin = "merged",
        names: Sequence[str] = ("a", "b", "c", "d"),
    ) -> Scores:
        table = np.asarray(values, dtype=np.float64)
        count, width = table.shape
        directions = directions or "-" * width
        objectives = tuple(
            Objective(names[m], "minimise" if directions[m] == "-" else "maximise", metric="loss") for m in range(width)
        )
        if weights is None:
            first = np.linspace(0.0, 1.0, count)
            weights = np.stack([first, 1.0 - first], axis=1)
        tasks = tuple("xyz"[: weights.shape[1]])
        stderr = np.zeros_like(table) if stderr is None else stderr
        return Scores(tasks, weights, table, stderr, objectives, (origin,) * count)

    return make
