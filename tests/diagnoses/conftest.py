from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from paretomerge.types import Objective, Scores


@pytest.fixture
def scores_of() -> Callable[..., Scores]:
    """Losses from per-example tables `[N, n]`, one for each task; weights are all alike where they do not matter."""

    def make(*tables: np.ndarray, direction: str = "minimise", weights: np.ndarray | None = None) -> Scores:
        tasks = tuple("abcdef"[: len(tables)])
        objectives = tuple(Objective(f"loss[{task}]", direction, "nats", task=task, metric="loss") for task in tasks)  # type: ignore[arg-type]
        count, examples = tables[0].shape
        shared = np.stack([np.cov(table).reshape(count, count) / examples for table in tables])
        return Scores(
            tasks,
            np.full((count, len(tasks)), 1 / len(tasks)) if weights is None else weights,
            np.stack([table.mean(axis=1) for table in tables], axis=1),
            np.sqrt(np.einsum("mnn->nm", shared)),
            objectives,
            ("merged",) * count,
            shared,
        )

    return make
