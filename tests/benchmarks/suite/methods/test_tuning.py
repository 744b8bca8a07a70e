from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from benchmarks.suite.methods.tuning import tune, tuning_weights
from tests.benchmarks.suite.tiny_setting import tiny_setting

from benchmarks.suite.methods import tuning
from paretomerge.errors import FailureError
from paretomerge.evaluation import SupervisedEvaluator

CANDIDATES = [{"shrink": 0.0}, {"shrink": 1.0}, {"shrink": 0.5}]


@pytest.fixture
def setting(tmp_path):
    return tiny_setting(tmp_path)


def shrunk(setting, asked=None):
    """Averages whose distance from the base is `shrink` of what it was; `asked` collects the candidates."""

    def models(each, rows):
        if asked is not None:
            asked.append(dict(each))
        for row in rows:
            mean = {
                name: sum(w * tune[name] for w, tune in zip(row, setting.finetunes.values(), strict=True))
                for name in setting.base
            }
            yield {n: setting.base[n] + each["shrink"] * (mean[n] - setting.base[n]).float() for n in mean}

    return models


def naive_losses(setting):
    evaluator = SupervisedEvaluator(setting.problem, "validation")
    rows = tuning_weights(3)
    return [
        np.mean(
            [
                sum(w * float(evaluator(model, t)["loss"].mean()) for w, t in zip(row, setting.tasks, strict=True))
                for row, model in zip(rows, shrunk(setting)(each, rows), strict=True)
            ]
        )
        for each in CANDIDATES
    ]


def test_weightings_are_equal_or_lean_to_one_task_and_are_few_however_many_tasks_there_are():
    assert np.allclose(tuning_weights(2), [[0.5, 0.5], [0.75, 0.25], [0.25, 0.75]])
    for count in (2, 3, 4, 5, 16):
        rows = tuning_weights(count)
        assert len(rows) == min(count, 4) + 1
        assert np.allclose(rows.sum(axis=1), 1)
        assert rows.min() > 0
        assert len({int(row.argmax()) for row in rows[1:]}) == len(rows) - 1


def test_the_candidate_of_least_weighted_validation_loss_is_chosen(setting):
    expected = naive_losses(setting)
    found = tune(setting, "a rule", CANDIDATES, shrunk(setting))
    assert found.settings == CANDIDATES[int(np.argmin(expected))]
    assert found.facts["validation_losses"] == pytest.approx(expected, rel=1e-6)
    assert found.evaluations == len(CANDIDATES) * 4
    assert found.core_seconds == 0.0


def test_a_choice_that_is_read_back_is_the_same_and_charged_as_if_it_had_been_made(setting):
    asked: list[dict] = []
    first = tune(setting, "a rule", CANDIDATES, shrunk(setting, asked))
    again = tune(setting, "a rule", CANDIDATES, shrunk(setting, asked))
    assert asked == CANDIDATES
    assert (again.settings, again.evaluations, again.facts) == (first.settings, first.evaluations, first.facts)
    spent = json.loads((setting.folder / "tuned" / "a-rule.json").read_text())["core_seconds"]
    assert again.core_seconds == spent > 0


def test_other_candidates_are_tried_anew(setting):
    asked: list[dict] = []
    tune(setting, "a rule", CANDIDATES, shrunk(setting, asked))
    tune(setting, "a rule", CANDIDATES[:2], shrunk(setting, asked))
    assert asked == CANDIDATES + CANDIDATES[:2]


def test_a_candidate_without_a_finite_loss_is_not_chosen_and_without_any_there_is_an_error(setting):
    candidates = [{"shrink": float("inf")}, {"shrink": 1.0}]
    assert tune(setting, "a rule", candidates, shrunk(setting)).settings == candidates[1]
    with pytest.raises(FailureError, match=r"tiny: broken has no finite validation loss with any of \[\{'shrink'"):
        tune(setting, "broken", candidates[:1], shrunk(setting))


def test_models_are_scored_as_they_will_be_recorded(tmp_path):
    """With batch statistics a merge is nothing before they are refreshed."""
    setting = tiny_setting(tmp_path, kind="statistics")
    seen = []

    def models(each, rows):
        for _ in rows:
            broken = dict(setting.base)
            broken["1.running_mean"] = torch.full_like(broken["1.running_mean"], 1e6)
            seen.append(broken)
            yield broken

    found = tune(setting, "a rule", CANDIDATES[:1], models)
    expected = tuning._mean_loss(setting, "base", lambda rows: [setting.base] * len(rows), tuning_weights(3))
    assert found.facts["validation_losses"] == pytest.approx([expected], rel=1e-5)
