from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tiny import recipe_of, write_recipe

from paretomerge.errors import EvaluationError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.stages import Study, fit_run, open_study
from paretomerge.stages.landscape import Landscape, landscape_of
from paretomerge.stages.measuring.merged import MergedScorer, score_merged

POINTS = np.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.0, 0.5, 0.5], [0.4, 0.4, 0.2]])


@pytest.fixture
def opened(own: Path) -> tuple[Study, Landscape]:
    study = open_study(write_recipe(own, recipe_of()))
    return study, landscape_of(fit_run(study))


def test_scores_are_those_of_the_merged_models(opened: tuple[Study, Landscape]) -> None:
    study, landscape = opened
    scores = score_merged(study, landscape, POINTS, "validation", "front").select("loss")
    evaluator = SupervisedEvaluator(study.problem, "validation")
    for model, row in zip(landscape.models(POINTS), scores.values, strict=True):
        assert [float(evaluator(model, task)["loss"].double().mean()) for task in study.tasks] == pytest.approx(row)


def test_some_objectives_are_measured_on_their_tasks_alone(opened: tuple[Study, Landscape]) -> None:
    study, landscape = opened
    some = [objective for objective in study.objectives if objective.task == "signs"]
    with MergedScorer(study, landscape, "validation", "front") as scorer:
        assert scorer(POINTS, some).objectives == tuple(some)
    with study.folder.open_journal() as journal:
        assert journal.ledger()["front"].evaluations == 1  # four models on a third of the tasks
    whole = score_merged(study, landscape, POINTS, "validation", "front")
    assert whole.objectives == study.objectives


def test_batches_share_errors_once_they_are_completed(opened: tuple[Study, Landscape]) -> None:
    study, landscape = opened
    with MergedScorer(study, landscape, "validation", "front") as scorer:
        parts = [scorer(POINTS[:2], study.objectives), scorer(POINTS[2:], study.objectives)]
        joined = type(parts[0]).concatenate(parts)
        complete = scorer.complete(joined)
    at_once = score_merged(study, landscape, POINTS, "validation", "front")
    assert (joined.shared[:, :2, 2:] == 0).all()
    np.testing.assert_allclose(complete.shared, at_once.shared, atol=1e-12)


def test_the_bootstrap_deviates_as_the_shared_errors_do(opened: tuple[Study, Landscape]) -> None:
    study, landscape = opened
    with MergedScorer(study, landscape, "validation", "front") as scorer:
        scores = scorer(POINTS, study.objectives)
        deviations = scorer.deviations(scores, 4000, 0)
    assert deviations.shape == (4000, len(POINTS), len(study.objectives))
    found = np.einsum("bnm,bkm->mnk", deviations, deviations) / len(deviations)
    scale = np.abs(scores.shared).max(axis=(1, 2))
    assert (np.abs(found - scores.shared).max(axis=(1, 2)) < 0.1 * scale).all()


def test_a_race_measures_less_and_what_it_finishes_is_exact(opened: tuple[Study, Landscape]) -> None:
    study, landscape = opened
    points = landscape.domain.spread(12)
    with MergedScorer(study, landscape, "validation", "race", fractions=(0.5, 1.0)) as scorer:
        raced = scorer(points, study.objectives)
        again = scorer(points[:1], study.objectives)
    whole = score_merged(study, landscape, points, "validation", "front")
    same = np.isclose(raced.stderr, whole.stderr, rtol=1e-9).all(axis=1)
    np.testing.assert_allclose(raced.values[same], whole.values[same], rtol=1e-9)
    assert same.any()
    assert len(again) == 1


def test_a_failure_is_raised_where_the_score_itself_is_wanted_and_may_be_tried_again(
    opened: tuple[Study, Landscape], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, landscape = opened
    whole = SupervisedEvaluator.__call__

    def broken(self, params, task, examples=None):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(SupervisedEvaluator, "__call__", broken)
    for _ in range(2):
        with pytest.raises(EvaluationError, match="out of memory"):
            score_merged(study, landscape, POINTS[:1], "validation", "front")
    monkeypatch.setattr(SupervisedEvaluator, "__call__", whole)
    assert len(score_merged(study, landscape, POINTS[:1], "validation", "front")) == 1
