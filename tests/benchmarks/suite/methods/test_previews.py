from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from benchmarks.suite.methods.fits import fit_once
from benchmarks.suite.methods.previews import choose_strength, factors_of, previewed
from benchmarks.suite.methods.tuning import tuning_weights
from tests.benchmarks.suite.tiny_setting import tiny_setting

from paretomerge import FitDiagonal, FitIsotropic, FitKronecker, FitSubspace, TaskArithmetic
from paretomerge.errors import FailureError, PosteriorError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.stages import PreviewMethod
from paretomerge.stages.fitting.previews import merged_models, weighted_loss


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return tiny_setting(tmp_path_factory.mktemp("setting"))


def test_the_strength_has_the_lowest_weighted_validation_loss(setting) -> None:
    method = PreviewMethod("arithmetic", FitIsotropic(), TaskArithmetic(), (0.2, 1.0, 8.0))
    fitted = fit_once(setting, method.fit)

    chosen, evaluations = choose_strength(setting, method, fitted)

    rows, evaluator = tuning_weights(3), SupervisedEvaluator(setting.problem, "validation")
    losses = {
        strength: np.mean(
            [
                weighted_loss(evaluator, model, setting.finetunes, row)
                for model, row in zip(
                    merged_models(setting.base, method, fitted.curvatures, strength, rows), rows, strict=True
                )
            ]
        )
        for strength in method.strengths
    }
    assert chosen == min(losses, key=losses.__getitem__)
    assert evaluations == 3 * 4


def test_with_one_candidate_nothing_is_evaluated(setting) -> None:
    method = PreviewMethod("diagonal", FitDiagonal(), strengths=(0.3,))

    assert choose_strength(setting, method, fit_once(setting, method.fit)) == (0.3, 0)


def test_strengths_that_give_no_merge_are_passed_over(setting, monkeypatch) -> None:
    def merges(base, method, curvatures, strength, rows):
        if strength < 0.1:
            raise PosteriorError("the merged precision is singular")
        return merged_models(base, method, curvatures, strength, rows)

    monkeypatch.setattr("benchmarks.suite.methods.previews.merged_models", merges)
    method = PreviewMethod("diagonal", FitDiagonal(), strengths=(0.01, 0.1))

    strength, evaluations = choose_strength(setting, method, fit_once(setting, method.fit))

    assert strength == 0.1
    assert evaluations >= 4


def test_factors_are_plain_values_in_the_words_of_the_study() -> None:
    assert factors_of(FitDiagonal("empirical", location="average")) == {
        "family": "diagonal",
        "route": "empirical",
        "location": "average",
        "damping": 0.1,
    }
    assert factors_of(FitKronecker(False))["corrected"] is False
    known = factors_of(FitSubspace(examples=5))
    assert (known["route"], known["centres"], known["enrich"], known["examples"]) == ("ggn", 2, "scaled_gradient", 5)
    json.dumps(factors_of(FitSubspace(lambda name: name)))


def test_predictions_and_curvature_error_are_told_apart_from_what_the_method_does(setting) -> None:
    fit = FitSubspace(validated=False)
    found = previewed(PreviewMethod("default", fit, strengths=(0.1,))).find(setting)

    assert found.facts == {"strength": 0.1}
    checks = found.checks()
    assert np.shape(checks["predicted"]) == setting.weights.shape
    assert 0 < checks["curvature_error"] < 1


def test_recentring_takes_gradients_of_the_setting_s_examples_only(setting) -> None:
    fit = FitSubspace(enrich="none", centres=1)
    plain = previewed(PreviewMethod("plain", fit, strengths=(0.1,))).find(setting)
    again = previewed(PreviewMethod("again", fit, strengths=(0.1,), recentre_steps=1)).find(setting)

    # per weighting and task: three outputs of 16 examples, and their gradients
    assert again.cost.gradient_passes - plain.cost.gradient_passes == len(setting.weights) * 3 * (3 * 16 + 16)
    assert "predicted" not in again.checks()


def test_a_method_without_any_finite_merge_says_so(setting, monkeypatch) -> None:
    monkeypatch.setattr("benchmarks.suite.methods.tuning.weighted_loss", lambda *_: float("nan"))
    method = PreviewMethod("diagonal", FitDiagonal(), strengths=(0.1, 1.0))

    with pytest.raises(FailureError, match="diagonal has no finite validation loss with any of"):
        choose_strength(setting, method, fit_once(setting, method.fit))


def test_a_damping_that_the_fit_has_raised_is_the_strength(setting) -> None:
    fitted = fit_once(setting, FitSubspace(validated=False))
    curvatures = replace(fitted.curvatures, method=replace(fitted.curvatures.method, damping=10.0))
    method = PreviewMethod("default", FitSubspace(), strengths=(0.1,))

    assert choose_strength(setting, method, replace(fitted, curvatures=curvatures)) == (10.0, 0)
    assert choose_strength(setting, replace(method, strengths=(0.3,)), replace(fitted, curvatures=curvatures)) == (
        0.3,
        0,
    )
