from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from paretomerge.errors import EvaluationError
from paretomerge.runs import Journal
from paretomerge.stages.scoring import score_models
from paretomerge.types import Objective, Scores

WEIGHTS = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
OBJECTIVES = (Objective("loss", task="a"), Objective("error", task="b"))


class _Bench:
    """Models are the numbers of their weightings; evaluating model 2 may break."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.built: list[int] = []
        self.scored: list[tuple[int, str]] = []
        self.broken = False

    def build(self, rows: list[int]) -> Iterator[int]:
        for row in rows:
            self.built.append(row)
            yield row

    def evaluator(self, model: int, task: str) -> list[float]:
        if self.broken and model == 2:
            raise OSError("gone")
        self.scored.append((model, task))
        return [model + len(task), model - 1.0]

    def score(self) -> Scores:
        with Journal(self.path / "journal.sqlite") as journal:
            return score_models(
                journal,
                "stage",
                ["x", "y", "z"],
                WEIGHTS,
                self.build,
                self.evaluator,
                OBJECTIVES,
                ("a", "b"),
                "merged",  # type: ignore[arg-type]
            )


@pytest.fixture
def bench(tmp_path: Path) -> _Bench:
    return _Bench(tmp_path)


def test_what_is_stored_is_neither_built_nor_scored(bench: _Bench) -> None:
    bench.broken = True
    with pytest.raises(EvaluationError, match="task 'a': OSError: gone"):
        bench.score()
    assert bench.built == [0, 1, 2]
    bench.broken, bench.built, bench.scored = False, [], []
    resumed = bench.score()
    assert bench.built == [2]
    assert bench.scored == [(2, "a"), (2, "b")]
    whole = bench.score()
    assert bench.built == [2]
    np.testing.assert_array_equal(whole.values, resumed.values)
    np.testing.assert_array_equal(whole.values, [[0.0] * 2, [1.0] * 2, [2.0] * 2])
    np.testing.assert_array_equal(whole.stderr, np.ones((3, 2)))
    np.testing.assert_array_equal(whole.weights, WEIGHTS)
    with Journal(bench.path / "journal.sqlite") as journal:
        assert journal.ledger()["stage"].evaluations == 3
