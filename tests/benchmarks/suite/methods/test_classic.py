from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from benchmarks.suite.methods.classic import (
    AVERAGING,
    DARE,
    FISHER,
    TASK_ARITHMETIC,
    TIES,
    classic,
    find_best_finetune,
    find_fisher,
    fisher_fit,
    merged,
    tuned_damping,
    tuned_rule,
)
from tests.benchmarks.suite.tiny_setting import tiny_setting

from paretomerge import Dare, FisherWeighted, TaskArithmetic, Ties, merge
from paretomerge.evaluation import SupervisedEvaluator

NAMES = ["base", "best finetune", "averaging", "task arithmetic", "TIES", "DARE", FISHER]


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return tiny_setting(tmp_path_factory.mktemp("setting"))


def found_by(setting, name, smoke=False):
    return {method.name: method for method in classic(smoke)}[name].find(setting)


def assert_same(models, expected):
    for one, other in zip(models, expected, strict=True):
        assert set(one) == set(other)
        for name, tensor in other.items():
            assert torch.equal(one[name], tensor), name


@pytest.mark.parametrize("kind", ["plain", "heads", "statistics", "lora", "bfloat16"])
def test_every_method_gives_one_finite_model_per_weighting(tmp_path, kind):
    setting = tiny_setting(tmp_path, count=2, kind=kind)
    methods = classic(True)
    assert [method.name for method in methods] == NAMES
    for method in methods:
        with setting.precision():
            found = method.find(setting)
            models = list(found.models)
        assert len(models) == len(setting.weights) == len(found.weights)
        for model in models:
            assert set(model) == set(setting.base)
            assert all(bool(tensor.isfinite().all()) for tensor in model.values())


def test_autocast_does_not_round_what_is_merged(tmp_path):
    setting = tiny_setting(tmp_path, kind="bfloat16")
    with setting.precision():
        inside = list(merged(setting, TaskArithmetic(1.3), setting.weights))
    assert_same(inside, merged(setting, TaskArithmetic(1.3), setting.weights))


def test_every_rule_that_has_a_choice_has_as_many_candidates_at_the_same_weightings(setting):
    evaluations = {
        name: found_by(setting, name).cost.evaluations for name in ("task arithmetic", "TIES", "DARE", FISHER)
    }
    assert set(evaluations.values()) == {6 * 4}
    assert found_by(setting, "averaging").cost.evaluations == 0
    for rule in (TASK_ARITHMETIC, TIES, DARE):
        for count in (2, 3, 16):
            candidates = rule.candidates(count)
            assert len({tuple(each.items()) for each in candidates}) == 6
            assert {1.0} < {each["scale"] for each in candidates}, "the average, and others"


@pytest.mark.parametrize(
    ("rule", "make"),
    [
        (TASK_ARITHMETIC, lambda chosen: TaskArithmetic(chosen["scale"])),
        (TIES, lambda chosen: Ties(chosen["density"], chosen["scale"])),
        (DARE, lambda chosen: Dare(chosen["density"], chosen["scale"], seed=0)),
    ],
)
def test_models_are_the_rule_s_merges_with_the_settings_it_says(setting, rule, make):
    found = found_by(setting, rule.name)
    settings = found.facts["settings"]
    assert settings in found.facts["candidates"]
    assert settings == found.facts["candidates"][int(np.argmin(found.facts["validation_losses"]))]
    expected = [merge(setting.finetunes, row, rule=make(settings), base=setting.base) for row in setting.weights]
    assert_same(list(found.models), expected)


def test_fisher_weighted_averages_use_the_chosen_damping_and_pay_for_their_fit(setting):
    found = find_fisher(setting)
    curvatures = fisher_fit(setting).curvatures
    posteriors = curvatures.posteriors(found.facts["settings"]["damping"])
    expected = [merge(posteriors, row, rule=FisherWeighted(), base=setting.base) for row in setting.weights]
    assert_same(list(found.models), expected)
    assert found.cost.gradient_passes == curvatures.ledger.gradient_passes == 16 * 3


def test_a_damping_that_is_known_needs_no_fit(setting, monkeypatch):
    chosen = tuned_damping(setting)
    monkeypatch.setitem(tuned_damping.__globals__, "fit_once", None)
    assert tuned_damping(setting).settings == chosen.settings


def test_a_choice_that_another_method_made_is_charged_again(tmp_path):
    setting = tiny_setting(tmp_path)
    first, again = found_by(setting, "TIES"), found_by(setting, "TIES")
    assert first.core_seconds == 0 < again.core_seconds
    assert first.cost.evaluations == again.cost.evaluations == 24


def test_the_best_finetune_has_the_least_weighted_validation_loss(setting):
    rows = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0], [0.2, 0.3, 0.5]])
    found = find_best_finetune(replace(setting, weights=rows))
    evaluator = SupervisedEvaluator(setting.problem, "validation")
    for row, name, model in zip(rows, found.facts["finetunes"], found.models, strict=True):
        losses = {
            task: sum(w * float(evaluator(tune, t)["loss"].mean()) for w, t in zip(row, setting.tasks, strict=True))
            for task, tune in setting.finetunes.items()
        }
        assert name == min(losses, key=losses.__getitem__)
        assert_same([model], [setting.finetunes[name]])
    assert found.cost.evaluations == 3


def test_averaging_has_nothing_to_choose(setting):
    assert tuned_rule(setting, AVERAGING).evaluations == 0
    row = setting.weights[1]
    model = list(found_by(setting, "averaging").models)[1]
    for name in model:
        mean = sum(w * tune[name].double() for w, tune in zip(row, setting.finetunes.values(), strict=True))
        torch.testing.assert_close(model[name].double(), mean, rtol=0, atol=1e-6)


def test_smoke_versions_choose_among_two(setting):
    assert len(classic(True)) == len(classic(False))
    assert found_by(tiny_setting(setting.folder / "smoke"), "TIES", smoke=True).cost.evaluations == 2 * 4
