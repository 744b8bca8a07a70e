"""Every merge rule gives fronts: the surrogate is fitted to its merged models, and a point can be exported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.tiny import TASKS, recipe_of, write_recipe

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import CheckpointError, InputError, RecipeError
from paretomerge.merging import merge
from paretomerge.recipes import load_mergekit, method
from paretomerge.stages import estimate_run_front, export_mergekit, export_point, fit_run, merge_mergekit, open_study
from paretomerge.stages.landscape import landscape_of

FRONT = {"evaluations": 6}
RULES: dict[str, dict[str, Any]] = {
    "averaging": {},
    "weighted_sum": {},
    "task_arithmetic": {"scale": 0.8},
    "ties": {"density": 0.5},
    "dare": {"density": 0.7, "elect_signs": True},
    "della": {"density": 0.6},
    "breadcrumbs": {"density": 0.8, "gamma": 0.05},
}


def study_of(
    own: Path, rule: str, settings: dict[str, Any], family: str = "isotropic", tasks: int = 3, run: str = "run"
) -> Any:
    content = recipe_of(posterior={"family": family}, rule={"name": rule, "settings": settings}, front=FRONT)
    content["tasks"] = dict(list(content["tasks"].items())[:tasks])
    return open_study(write_recipe(own, content, f"{run}.yaml"), own / run)


@pytest.mark.parametrize("rule", RULES)
def test_a_front_of_any_rule_is_that_of_its_own_merges(own: Path, rule: str) -> None:
    study = study_of(own, rule, RULES[rule])
    front = estimate_run_front(study).front
    folder = export_point(study, 0, own / "merged")
    point = front[0]
    finetunes = {task: dict(open_checkpoint(own / f"ft-{task}")) for task in TASKS}
    expected = merge(finetunes, point.weights, rule=method("rule", rule, RULES[rule]), base=study.base)
    exported = open_checkpoint(folder)
    assert all(torch.equal(exported[name], expected[name]) for name in expected)
    text = export_mergekit(study, 0, own / "mergekit.yml")
    recipe = load_mergekit(text)
    plan = recipe.plan(list(expected))
    assert list(plan.weighting.values()) == pytest.approx(list(point.weights.values()))
    again = open_checkpoint(Path(merge_mergekit(own / "again", text).paths[0]))
    if rule not in ("dare", "della"):  # whose draws depend on the names that tasks get from their folders
        assert all(torch.allclose(again[name], expected[name], atol=1e-6) for name in expected)


@pytest.mark.parametrize("rule", ["averaging", "ties"])
def test_what_posteriors_predict_is_not_taken_for_the_merges_of_another_rule(own: Path, rule: str) -> None:
    assert landscape_of(fit_run(study_of(own, rule, {}, family="diagonal"))).predicted_losses is None


def test_slerp_gives_a_front_of_two_tasks(own: Path) -> None:
    assert set(estimate_run_front(study_of(own, "slerp", {}, tasks=2)).front.origin) <= {"merged", "predicted"}


def test_fisher_weighted_fronts_need_diagonal_posteriors(own: Path) -> None:
    front = estimate_run_front(study_of(own, "fisher", {}, family="diagonal")).front
    assert len(front) > 0
    with pytest.raises(InputError, match="diagonal"):
        estimate_run_front(study_of(own, "fisher", {}, run="isotropic"))


def test_a_mergekit_file_is_not_overwritten_unless_asked_and_posterior_merges_have_none(own: Path) -> None:
    study = study_of(own, "averaging", {})
    estimate_run_front(study)
    target = own / "mine.yml"
    target.write_text("mine")
    with pytest.raises(CheckpointError, match="the file exists"):
        export_mergekit(study, 0, target)
    assert target.read_text() == "mine"
    export_mergekit(study, 0, target, overwrite=True)
    assert load_mergekit(target).method == "linear"


def test_posteriors_that_are_no_average_have_no_mergekit_configuration(own: Path) -> None:
    study = study_of(own, "posterior", {}, family="diagonal")
    estimate_run_front(study)
    with pytest.raises((InputError, RecipeError), match="export"):
        export_mergekit(study, 0, own / "none.yml")
    assert not (own / "none.yml").exists()
