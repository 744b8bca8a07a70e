"""Posteriors, routes, mixtures, steps and ablations on settings of every kind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.suite.methods.mixtures import soups
from benchmarks.suite.methods.steps import shortened
from benchmarks.suite.recording import recall
from benchmarks.suite.run import place_of, run_method
from benchmarks.suite.setting import Setting
from tests.benchmarks.suite.tiny_setting import tiny_setting

from benchmarks.suite.methods import GROUPS, methods_of
from paretomerge.training import TrainingRecipe

OURS = ("posteriors", "routes", "mixtures", "steps", "ablations")


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    return tiny_setting(tmp_path_factory.mktemp("setting"))


def method_named(name: str):
    return next(method for method in methods_of(OURS) if method.name == name)


def models_of(setting: Setting, name: str) -> list[dict[str, torch.Tensor]]:
    return list(method_named(name).find(setting).models)


def distance(one, other) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one if one[name].is_floating_point())


def test_names_are_unique_as_names_and_as_files() -> None:
    for smoke in (False, True):
        names = [method.name for method in methods_of([*OURS, "classic"], smoke)]
        assert len({place_of(Path(), name) for name in names}) == len(names)


@pytest.mark.parametrize("group", ["mixtures", "posteriors"])
def test_groups_of_few_methods_are_some_of_the_others(group: str) -> None:
    few, all_of_them = ({method.name for method in GROUPS[name](False)} for name in (f"{group}-few", group))

    assert few < all_of_them
    assert len(few) == (5 if group == "posteriors" else 6)


def test_mixtures_are_of_up_to_ten_runs() -> None:
    assert {method.runs for method in GROUPS["mixtures"](False)} == {1, 2, 3, 5, 10}


@pytest.mark.parametrize("smoke", [True, False])
def test_factors_are_plain_and_tell_methods_of_a_group_apart(smoke: bool) -> None:
    for group in OURS:
        factors = [json.dumps(dict(method.factors), sort_keys=True) for method in GROUPS[group](smoke)]
        assert len(set(factors)) == len(factors), group


def test_all_methods_of_the_smoke_version_are_recorded(tmp_path: Path) -> None:
    setting = tiny_setting(tmp_path)
    for method in methods_of(OURS, smoke=True):
        assert run_method(setting, tmp_path, method), method.name
        found = recall(setting, place_of(tmp_path, method.name))
        assert np.isfinite(found.scores().values).all()
        assert found.scores().values.shape == (2, 3)
        assert found.facts["cost"]["core_seconds"] > 0 or method.name.startswith("soup")


@pytest.mark.parametrize(
    ("kind", "count"), [("plain", 2), ("plain", 16), ("heads", 5), ("statistics", 3), ("lora", 2), ("bfloat16", 2)]
)
def test_posteriors_and_steps_work_on_settings_of_every_kind(tmp_path: Path, kind: str, count: int) -> None:
    if kind == "lora":
        pytest.importorskip("peft")
    setting = tiny_setting(tmp_path, count, kind)

    failed = [
        method.name for method in methods_of(("posteriors", "steps"), True) if not run_method(setting, tmp_path, method)
    ]

    assert not failed, json.loads(next(iter((tmp_path / "failures").iterdir())).read_text())


def test_a_mixture_of_one_run_is_the_posterior_and_its_soup_the_average(setting) -> None:
    mixture, diagonal = (models_of(setting, name) for name in ("mixture of 1 run, EM", "diagonal"))
    soup = models_of(setting, "soup of 1 run")
    tasks = setting.finetunes

    assert distance(mixture[1], diagonal[1]) < 1e-6
    mean = {name: sum(w * tasks[t][name] for w, t in zip(setting.weights[1], tasks, strict=True)) for name in soup[1]}
    assert distance(soup[1], mean) < 1e-6


def test_equal_responsibilities_merge_all_runs_alike(setting) -> None:
    em, equal = (models_of(setting, f"mixture of 2 runs, {words}") for words in ("EM", "equal responsibilities"))
    soup = models_of(setting, "soup of 2 runs")

    assert distance(equal[0], soup[0]) > 1e-4  # precisions count
    assert distance(em[0], soup[0]) > 1e-4


def test_a_soup_is_the_average_of_a_task_s_runs(setting) -> None:
    first, second = setting.runs(2)
    found = soups(setting, 2)["task 1"]

    assert distance(found, {name: (first["task 1"][name] + second["task 1"][name]) / 2 for name in found}) < 1e-6


def test_every_mixture_pays_for_the_fits_of_all_its_runs(tmp_path: Path) -> None:
    setting = tiny_setting(tmp_path)
    one, two = (method_named(f"mixture of {runs}, EM").find(setting) for runs in ("1 run", "2 runs"))
    again = method_named("mixture of 2 runs, EM").find(setting)

    assert one.cost.gradient_passes == 3 * 16
    assert two.cost.gradient_passes == 2 * one.cost.gradient_passes == again.cost.gradient_passes
    assert one.core_seconds == 0
    assert 0 < two.core_seconds < again.core_seconds


def test_joint_steps_cost_a_share_of_a_training_each(setting) -> None:
    found = method_named("10 % joint steps from the average").find(setting)

    assert found.facts["steps"] == 2  # of 20
    assert found.facts["trainings"] == pytest.approx(2 * 0.1)
    assert found.cost.trainings == 0
    assert found.cost.gradient_passes == 2 * 2 * 24  # weightings, steps, examples of a step


def test_joint_steps_from_the_merge_pay_for_the_fit_too_and_start_there(setting) -> None:
    from_merge = method_named("5 % joint steps from the merge").find(setting)
    default = method_named("default").find(setting)

    assert from_merge.cost.gradient_passes == default.cost.gradient_passes + 2 * 24
    assert from_merge.cost.evaluations == default.cost.evaluations
    moved = distance(next(iter(from_merge.models)), next(iter(default.models)))
    assert 0 < moved < 0.03  # one step of AdamW, at most the learning rate for each parameter


def test_joint_steps_follow_their_weights(setting) -> None:
    middle, other = models_of(setting, "10 % joint steps from the merge")

    assert distance(middle, other) > 1e-4


def test_a_newton_correction_lowers_the_weighted_training_loss_or_leaves_the_merge(setting) -> None:
    found = method_named("default, Newton-corrected").find(setting)
    before = models_of(setting, "default")

    assert len(found.facts["lengths"]) == 2
    for model, start, length in zip(found.models, before, found.facts["lengths"], strict=True):
        assert (distance(model, start) > 0) == (length > 0)


def test_a_shortened_training_takes_at_least_one_step_and_never_stops_early() -> None:
    recipe = TrainingRecipe(steps=20, check_every=5, patience=2)

    assert shortened(recipe, 2).steps == 1
    assert shortened(recipe, 10).steps == 2
    assert shortened(recipe, 10).patience is None


def test_what_a_method_failed_with_is_kept_until_it_goes_well(tmp_path: Path, monkeypatch) -> None:
    setting = tiny_setting(tmp_path)
    method = method_named("diagonal")

    def broken(*_, **__):
        raise ValueError("no such curvature")

    with monkeypatch.context() as patched:
        patched.setattr("benchmarks.suite.methods.fits.fit_curvatures", broken)
        assert not run_method(setting, tmp_path, method)
    note = tmp_path / "failures" / "diagonal.json"

    assert re.search("ValueError: no such curvature", note.read_text())
    assert run_method(setting, tmp_path, method)
    assert not note.exists()


def test_a_check_that_fails_does_not_cost_the_method_its_recording(tmp_path: Path, monkeypatch) -> None:
    setting = tiny_setting(tmp_path)

    def broken(*_):
        raise ValueError("no truth")

    monkeypatch.setattr("benchmarks.suite.methods.previews.error_of", broken)

    assert run_method(setting, tmp_path, method_named("diagonal"))
    assert recall(setting, place_of(tmp_path, "diagonal")).facts["found"] == {
        "strength": 0.1,
        "checks_failed": "ValueError: no truth",
    }
