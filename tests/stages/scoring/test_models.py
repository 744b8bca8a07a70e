from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from paretomerge.distributed import Serial
from paretomerge.errors import EvaluationError
from paretomerge.evaluation import Metrics, measure_tasks
from paretomerge.runs import Journal
from paretomerge.stages.scoring.evaluations import Evaluations, Job
from paretomerge.stages.scoring.models import Measured, measure_points, score_models
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


def test_the_other_models_of_a_call_that_failed_are_tried_again_by_the_next(bench: _Bench) -> None:
    for _ in range(3):
        bench.broken = True
        with pytest.raises(EvaluationError, match="OSError: gone"):
            bench.score()
    assert bench.built == [0, 1, 2, 2, 2]
    with Journal(bench.path / "journal.sqlite") as journal:
        assert [failure.counts for failure in journal.failures("z")] == [0, 0, 0]


def test_a_builder_that_fails_is_asked_anew_and_skips_what_is_stored(bench: _Bench) -> None:
    bench.score()
    asked: list[list[int]] = []

    def build(rows: list[int]) -> Iterator[int]:
        asked.append(rows)
        yield from rows

    with Journal(bench.path / "journal.sqlite") as journal:
        keys = ["new", "y", "newer", "z", "newest"]
        weights = np.full((5, 2), 0.5)
        arguments = (journal, "stage", keys, weights, build, bench.evaluator, OBJECTIVES, ("a", "b"), "merged")
        score_models(*arguments)  # type: ignore[arg-type]
    assert asked == [[0, 2, 4]]


def test_other_objectives_of_measured_tasks_cost_nothing(bench: _Bench) -> None:
    def evaluator(model: int, task: str) -> dict[str, list[float]]:
        bench.scored.append((model, task))
        return {"loss": [1.0 * model, 2.0], "hits": [0.0, 1.0]}

    both = (Objective("hits of a", "maximise", task="a", metric="hits"), Objective("l", task="a", metric="loss"))
    for objectives in (both[:1], both, both[::-1]):
        with Journal(bench.path / "journal.sqlite") as journal:
            arguments = (
                journal,
                "s",
                ["x", "y", "z"],
                WEIGHTS,
                bench.build,
                evaluator,
                objectives,
                ("a", "b"),
                "merged",
            )
            scores = score_models(*arguments)  # type: ignore[arg-type]
        assert scores.objectives == objectives
        loss = [1.0, 1.5, 2.0]
        for objective, column in zip(objectives, scores.values.T, strict=True):
            assert column.tolist() == (loss if objective.metric == "loss" else [0.5] * 3)
    assert bench.scored == [(0, "a"), (1, "a"), (2, "a")]


def test_scores_share_the_errors_of_their_examples(bench: _Bench) -> None:
    """Models whose scores differ by a constant have perfectly correlated errors."""
    scores = bench.score()
    assert scores.shared is not None
    np.testing.assert_allclose(scores.shared, np.ones((2, 3, 3)), rtol=1e-12)
    np.testing.assert_allclose(scores.own_variance, 0.0, atol=1e-12)


def _measure(bench: _Bench) -> Measured:
    def work(job: Job) -> Mapping[str, Metrics]:
        return measure_tasks(int(2 * job.point[0]), bench.evaluator, job.tasks)

    with Journal(bench.path / "journal.sqlite") as journal:
        workers = Serial().open(lambda: work)
        with Evaluations(journal, "stage", workers) as evaluations:
            return measure_points(evaluations, ["x", "y", "z"], WEIGHTS, OBJECTIVES, ("a", "b"))


def test_points_that_fail_are_left_out_with_the_reason(bench: _Bench) -> None:
    bench.broken = True
    measured = _measure(bench)
    assert measured.rows == (0, 1)
    assert measured.scores.weights.tolist() == WEIGHTS[:2].tolist()
    assert measured.scores.values.tolist() == [[0.0, 0.0], [1.0, 1.0]]
    assert measured.scores.shared is not None
    assert measured.scores.shared.shape == (2, 2, 2)
    assert [evaluation.examples["error"].tolist() for evaluation in measured.evaluations] == [[1.0, -1.0], [2.0, 0.0]]
    [failure] = measured.failures
    assert (failure.row, failure.point.tolist()) == (2, WEIGHTS[2].tolist())
    assert "OSError: gone" in str(failure.error)
    bench.broken = False
    assert _measure(bench).rows == (0, 1)


def test_no_points_have_no_scores(bench: _Bench) -> None:
    with Journal(bench.path / "journal.sqlite") as journal:
        arguments = (journal, "stage", [], WEIGHTS[:0], bench.build, bench.evaluator, OBJECTIVES, ("a", "b"), "merged")
        scores = score_models(*arguments)  # type: ignore[arg-type]
    assert (len(scores), scores.shared) == (0, None)
