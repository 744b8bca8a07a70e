from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tiny import TASKS, calls_in, logged_recipe, write_recipe

from paretomerge.distributed import Executor, ProcessPool, Serial
from paretomerge.errors import RecipeError
from paretomerge.runs import evaluation_key
from paretomerge.stages import Study, open_study
from paretomerge.stages.fitting.fit import fit_run
from paretomerge.stages.landscape import Landscape, landscape_of
from paretomerge.stages.measuring.workers import RunScorer, score_with, workers_of
from paretomerge.stages.scoring.evaluations import Evaluations, Job
from paretomerge.stages.scoring.models import Measured, measure_points
from paretomerge.types import simplex_grid

POINTS = simplex_grid(3, 2)


def _open(own: Path) -> tuple[Study, Landscape]:
    study = open_study(write_recipe(own, logged_recipe(front={"evaluations": 6})))
    return study, landscape_of(fit_run(study))


def _measure(study: Study, landscape: Landscape, executor: Executor, name: str) -> Measured:
    with (
        study.folder.open_journal() as journal,
        Evaluations(journal, "front", workers_of(study, landscape, "validation", executor)) as evaluations,
    ):
        keys = [evaluation_key(name=name, point=point) for point in POINTS]
        return measure_points(evaluations, keys, POINTS, study.objectives, study.tasks)


def test_worker_processes_measure_what_this_process_does(own: Path) -> None:
    study, landscape = _open(own)
    one, two = (_measure(study, landscape, each, str(each)) for each in (Serial(), ProcessPool(2)))
    assert two.rows == one.rows == tuple(range(len(POINTS)))
    np.testing.assert_allclose(two.scores.values, one.scores.values, rtol=1e-6)
    assert calls_in(own) == 2 * len(POINTS) * len(TASKS)


def test_a_worker_refuses_a_run_that_was_edited_meanwhile(own: Path) -> None:
    study, landscape = _open(own)
    scorer = RunScorer(study.folder.path, "validation", landscape.digest)
    assert set(scorer()(Job(0, POINTS[1], TASKS, {}))) == set(TASKS)
    with pytest.raises(RecipeError, match=r"recipe\.yaml or a checkpoint has changed since the run was started"):
        replace(scorer, digest="another")()


def test_a_job_is_one_model_on_its_tasks_and_examples() -> None:
    seen: list[Any] = []

    def models(points: np.ndarray) -> Iterator[str]:
        seen.append(points.tolist())
        yield "model"
        raise AssertionError("one model was asked for")

    def evaluator(model: str, task: str, examples: Any = None) -> np.ndarray:
        seen.append((model, task))
        return np.arange(4.0) if examples is None else 10.0 * examples

    work = score_with(models, evaluator)
    found = work(Job(0, np.array([0.25, 0.75]), ("b", "a"), {"a": np.array([3, 1])}))
    assert found["b"][""].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert found["a"][""].tolist() == [30.0, 10.0]
    assert seen == [[[0.25, 0.75]], ("model", "b"), ("model", "a")]
