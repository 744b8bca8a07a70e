from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretomerge.distributed import Serial
from paretomerge.errors import DataError
from paretomerge.evaluation import Evaluation, Metrics, measure_tasks
from paretomerge.runs import Journal, evaluation_key
from paretomerge.stages.scoring.evaluations import Evaluations, Job
from paretomerge.stages.scoring.models import measure_points
from paretomerge.stages.scoring.racing import Raced, examples_of, nested_covariance, race
from paretomerge.types import Objective

COUNTS = {"a": 200, "b": 300}
OBJECTIVES = (Objective("a"), Objective("b", "maximise", bounds=(None, None)))
POINTS = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.9, 0.9], [0.95, 0.7]])
"""Losses of a; scores of b are minus the second number. The last two are dominated."""


class _Bench:
    def __init__(self, path: Path) -> None:
        rng = np.random.default_rng(0)
        self.path = path
        self.noise = {task: rng.normal(size=count) for task, count in COUNTS.items()}
        self.scored: list[int] = []
        self.broken: list[float] = []

    def __call__(self, point: np.ndarray, task: str, examples: Any = None) -> np.ndarray:
        column = "ab".index(task)
        own = np.random.default_rng([column, *(1000 * point).astype(int)]).normal(size=COUNTS[task])
        scores = (-1) ** column * (point[column] + self.noise[task] + 0.3 * own)
        scores = scores if examples is None else scores[examples]
        self.scored.append(len(scores))
        if point[0] in self.broken:
            raise OSError("gone")
        return scores

    def count_examples(self, task: str) -> int:
        return COUNTS[task]

    @contextmanager
    def open(self) -> Iterator[Evaluations]:
        def work(job: Job) -> Mapping[str, Metrics]:
            return measure_tasks(job.point, self, job.tasks, job.examples)

        with Journal(self.path) as journal:
            workers = Serial().open(lambda: work)
            with Evaluations(journal, "front", workers) as evaluations:
                yield evaluations

    def race(self, points: np.ndarray = POINTS, **settings: Any) -> Raced:
        with self.open() as evaluations:
            keys = [evaluation_key(point=point) for point in points]
            return race(evaluations, keys, points, OBJECTIVES, ("x", "y"), COUNTS, **settings)


@pytest.fixture
def bench(tmp_path: Path) -> _Bench:
    return _Bench(tmp_path / "journal.sqlite")


def test_dominated_points_are_dropped_early_and_the_rest_is_finished(bench: _Bench) -> None:
    raced = bench.race()
    assert raced.rows == (0, 1, 2, 3, 4)
    assert raced.fractions.tolist()[:3] == [1.0, 1.0, 1.0]
    assert (raced.fractions[3:] < 1).all()
    assert raced.cost == pytest.approx(raced.fractions.sum())
    assert sum(bench.scored) == pytest.approx(raced.cost * sum(COUNTS.values()))
    assert len(raced.finished) == 3
    assert raced.scores.weights.tolist() == POINTS.tolist()


def test_finished_points_have_the_scores_of_an_evaluation_on_all_examples(bench: _Bench) -> None:
    finished = bench.race().finished
    calls = len(bench.scored)
    with bench.open() as evaluations:
        keys = [evaluation_key(point=point) for point in POINTS[:3]]
        whole = measure_points(evaluations, keys, POINTS[:3], OBJECTIVES, ("x", "y"))
    assert len(bench.scored) == calls
    np.testing.assert_allclose(finished.values, whole.scores.values, rtol=1e-12)
    np.testing.assert_allclose(finished.stderr, whole.scores.stderr, rtol=1e-12)
    assert finished.shared is not None
    assert whole.scores.shared is not None
    np.testing.assert_allclose(finished.shared, whole.scores.shared, rtol=1e-9)


def test_dropped_points_keep_what_they_have_with_a_larger_error(bench: _Bench) -> None:
    raced = bench.race()
    for row in (3, 4):
        for column, (task, count) in enumerate(COUNTS.items()):
            kept = raced.evaluations[row].examples[task]
            assert len(kept) == round(raced.fractions[row] * count)
            assert raced.scores.values[row, column] == kept.mean()
            assert raced.scores.stderr[row, column] == pytest.approx(kept.std(ddof=1) / np.sqrt(len(kept)))
    assert (raced.scores.stderr[3:] > raced.scores.stderr[:3].max(axis=0)).all()


def test_a_race_that_is_run_again_measures_nothing(bench: _Bench) -> None:
    first = bench.race()
    calls = len(bench.scored)
    again = bench.race()
    assert len(bench.scored) == calls
    assert again.scores.values.tolist() == first.scores.values.tolist()
    assert again.fractions.tolist() == first.fractions.tolist()


def test_other_fractions_build_on_what_is_stored(bench: _Bench) -> None:
    bench.race(POINTS[:2], fractions=(0.1, 1.0))
    before = sum(bench.scored)
    bench.race(fractions=(0.05, 0.4, 1.0))
    dropped = sum(bench.scored) - before
    assert dropped <= 3 * sum(COUNTS.values())


def test_what_is_stored_in_full_races_for_nothing(bench: _Bench) -> None:
    with bench.open() as evaluations:
        keys = [evaluation_key(point=point) for point in POINTS]
        whole = measure_points(evaluations, keys, POINTS, OBJECTIVES, ("x", "y"))
    calls = len(bench.scored)
    raced = bench.race()
    assert len(bench.scored) == calls
    np.testing.assert_allclose(raced.finished.values, whole.scores.values[:3], rtol=1e-12)


def test_a_point_that_fails_leaves_the_race(bench: _Bench) -> None:
    bench.broken = [POINTS[2, 0]]
    raced = bench.race(POINTS[:3])
    assert raced.rows == (0, 1)
    assert raced.fractions.tolist() == [1.0, 1.0]
    [failure] = raced.failures
    assert failure.row == 2
    assert "OSError: gone" in str(failure.error)


def test_one_point_or_one_round_is_a_plain_evaluation(bench: _Bench) -> None:
    assert bench.race(POINTS[:1]).fractions.tolist() == [1.0]
    assert bench.race(fractions=(1.0,)).fractions.tolist() == [1.0] * 5


def test_no_point_is_dropped_from_less_than_a_handful_of_examples(bench: _Bench) -> None:
    assert bench.race(fractions=(0.01, 1.0)).fractions.tolist() == [1.0] * 5


@pytest.mark.parametrize("fractions", [(), (0.5,), (0.5, 0.5, 1.0), (0.0, 1.0), (1.0, 0.5), (0.5, 2.0)])
def test_fractions_must_increase_to_one(bench: _Bench, fractions: tuple[float, ...]) -> None:
    with pytest.raises(DataError, match="must increase from above 0 to 1"):
        bench.race(fractions=fractions)


def test_an_evaluator_that_cannot_score_parts_is_refused_with_advice(bench: _Bench) -> None:
    assert examples_of(bench, ["a", "b"]) == COUNTS

    def silent_about_its_size(model: Any, task: str, examples: Any = None) -> None: ...

    for evaluator in (lambda model, task: 0.0, silent_about_its_size):
        with pytest.raises(DataError, match=r"of 'a', which this evaluator cannot.*`examples`.*count_examples"):
            examples_of(evaluator, ["a"])


def test_metrics_that_are_no_means_are_not_raced(bench: _Bench) -> None:
    bench.not_means = ("f1",)  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"'f1' is no mean over examples.*set front\.racing to false"):
        examples_of(bench, ["a"])


def test_covariances_of_nested_parts_are_those_of_the_means() -> None:
    """Against a simulation: three models on 40, 40 and 10 of the same examples."""
    rng = np.random.default_rng(1)
    counts, objective = (40, 40, 10), (Objective("l"),)
    draws, found = [], []
    for _ in range(3000):
        easy = rng.normal(size=40)
        columns = [
            scale * easy[:count] + rng.normal(size=count) for scale, count in zip((1, 2, 1.5), counts, strict=True)
        ]
        draws.append([column.mean() for column in columns])
        found.append(nested_covariance([Evaluation(np.zeros(1), np.zeros(1), {"l": c}) for c in columns], objective)[0])
    np.testing.assert_allclose(np.mean(found, axis=0), np.cov(np.array(draws).T), rtol=0.12, atol=0.003)
    assert np.linalg.eigvalsh(found[0]).min() > -1e-12
