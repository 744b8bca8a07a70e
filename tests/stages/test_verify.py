from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.tiny import TASKS, TRAINING, logged_recipe, read_params, write_recipe

from paretomerge.choices import ByWeights
from paretomerge.errors import RecipeError
from paretomerge.runs import Journal
from paretomerge.stages import choose_point, estimate_run_front, open_study, verify_run
from paretomerge.stages.verify import spread_points
from paretomerge.training import TrainingRecipe, finetune
from paretomerge.types import Front, Objective, simplex_grid


def _front(weights: np.ndarray) -> Front:
    """Mutually non-dominated: each objective falls with its own weight."""
    tasks = TASKS[: weights.shape[1]]
    objectives = tuple(Objective(task) for task in tasks)
    values = 1 - weights
    return Front(
        tasks,
        weights,
        values,
        np.zeros_like(values),
        objectives,
        np.full(len(tasks), 2.0),
        ("predicted",) * len(weights),
    )


def test_weightings_that_leave_a_task_out_come_last() -> None:
    """Three weightings of the grid of quarters give every task some weight; they are verified first."""
    found = spread_points(_front(simplex_grid(3, 4)), 5)
    assert (found[:3] > 0).all()
    assert sorted(map(tuple, found[:3].tolist())) == [(0.25, 0.25, 0.5), (0.25, 0.5, 0.25), (0.5, 0.25, 0.25)]
    assert (found[3:] == 0).any(axis=1).all()


def test_points_are_far_from_each_other_and_from_the_corners() -> None:
    grid = simplex_grid(2, 8)
    assert spread_points(_front(grid), 1).tolist() == [[0.5, 0.5]]
    assert sorted(spread_points(_front(grid), 3)[:, 0].tolist()) == [0.25, 0.5, 0.75]


def test_the_chosen_point_comes_first_and_keeps_others_away() -> None:
    grid = simplex_grid(2, 8)
    chosen = 3
    found = spread_points(_front(grid), 2, chosen)
    assert found[0].tolist() == grid[chosen].tolist()
    assert np.abs(found[1] - found[0]).max() >= 0.25


def test_no_more_points_than_the_front_has() -> None:
    assert len(spread_points(_front(simplex_grid(3, 1)), 9)) == 3
    assert spread_points(_front(np.ones((1, 1))), 2).tolist() == [[1.0]]


def test_truths_are_joint_finetunings_from_the_base_with_the_recipes_seed(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    alpha = choose_point(study, ByWeights(dict(zip(TASKS, (0.5, 0.25, 0.25), strict=True)))).point.weights
    verification = verify_run(study, 1)
    assert study.problem is not None
    expected = finetune(study.problem, read_params(own / "base"), alpha, TrainingRecipe(**TRAINING), 0)
    [folder] = (own / "recipe-run" / "trained").iterdir()
    trained = read_params(folder)
    assert all(torch.equal(trained[name], expected.params[name]) for name in trained)
    assert verification.truths.origin == ("trained",)
    assert verification.truths.weights.tolist() == [list(alpha.values())]
    losses = [float(study.evaluator("test")(trained, task)["loss"].double().mean()) for task in TASKS]
    np.testing.assert_allclose(verification.truths.select("loss").values[0], losses, rtol=1e-6)


def test_another_seed_or_other_data_train_again(own: Path) -> None:
    path = own / "recipe-run" / "recipe.yaml"
    verify_run(open_study(own / "recipe.yaml"), 1)
    verify_run(open_study(own / "recipe-run"), 1)
    assert len(list((own / "recipe-run" / "trained").iterdir())) == 1
    path.write_text(path.read_text().replace("seed: 0", "seed: 1"))
    verify_run(open_study(own / "recipe-run"), 1)
    assert len(list((own / "recipe-run" / "trained").iterdir())) == 2
    source = (own / "problem.py").read_text()
    (own / "problem.py").write_text(source.replace('"training": 48', '"training": 30'))
    verify_run(open_study(own / "recipe-run"), 1)
    assert len(list((own / "recipe-run" / "trained").iterdir())) == 3


def test_an_interrupted_verification_keeps_what_was_trained(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    estimate_run_front(study)

    def stop(message: str) -> None:
        if message.startswith("evaluation 2") or ("joint" in message and list((own / "recipe-run").glob("trained/*"))):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify_run(study, 3, stop)
    kept = {path: path.stat().st_mtime_ns for path in (own / "recipe-run" / "trained").glob("*")}
    verify_run(study, 3)
    now = {path: path.stat().st_mtime_ns for path in (own / "recipe-run" / "trained").glob("*")}
    assert len(now) == 3
    assert {path: now[path] for path in kept} == kept
    with Journal(own / "recipe-run" / "journal.sqlite") as journal:
        assert journal.ledger()["verify"].trainings == 3


def test_verification_needs_a_problem(own: Path) -> None:
    content = {**logged_recipe(), "problem": None, "posterior": {"family": "isotropic"}}
    with pytest.raises(RecipeError, match="joint finetuning needs model and data"):
        verify_run(open_study(write_recipe(own, content)), 1)
