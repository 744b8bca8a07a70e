from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.tiny import TASKS, import_problem, logged_recipe, read_params, recipe_of, write_recipe

from paretomerge.checkpoints import write_params
from paretomerge.errors import InputError
from paretomerge.stages import diagnose_run, estimate_run_front, open_study
from paretomerge.stages.diagnose import score_paths
from paretomerge.stages.free_diagnoses import stored_diagnoses
from paretomerge.training import TrainingRecipe, finetune


def _evaluations(study, stage: str) -> int:
    with study.folder.open_journal() as journal:
        return journal.ledger()[stage].evaluations


def test_base_finetunes_and_the_middles_of_pairs_are_scored_once(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    first = diagnose_run(study)
    assert _evaluations(study, "diagnose") == 1 + 3 + 3
    fronts = _evaluations(study, "front")
    again = diagnose_run(open_study(own / "recipe-run"))
    assert again == first == stored_diagnoses(study)
    assert _evaluations(study, "diagnose") == 7
    assert _evaluations(study, "front") == fronts


def test_paths_are_scored_as_they_are(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    scores = score_paths(study)
    half = [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    assert scores.weights.tolist() == [[0, 0, 0], *np.eye(3).tolist(), *half]
    base, one, other = (read_params(own / name) for name in ("base", "ft-sums", "ft-swaps"))
    middle = {name: (one[name] + other[name]) / 2 for name in one}
    evaluator = study.evaluator("validation")
    for row, params in ((0, base), (1, one), (3, other), (5, middle)):
        expected = [float(evaluator(params, task)["loss"].double().mean()) for task in TASKS]
        np.testing.assert_allclose(scores.select("loss").values[row], expected, rtol=1e-6)


def test_another_posterior_does_not_measure_checkpoints_again(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    score_paths(study)
    path = own / "recipe-run" / "recipe.yaml"
    path.write_text(path.read_text().replace("groups: layer", "groups: model"))
    score_paths(open_study(own / "recipe-run"))
    assert _evaluations(study, "diagnose") == 7
    path.write_text(path.read_text().replace("split: validation", "split: test"))
    score_paths(open_study(own / "recipe-run"))
    assert _evaluations(study, "diagnose") == 14


def test_nothing_is_measured_where_it_is_not_wanted(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    estimated = estimate_run_front(study)
    found = diagnose_run(study, barriers=False)
    assert found == estimated.diagnoses
    with study.folder.open_journal() as journal:
        assert "diagnose" not in journal.ledger()
    assert "barrier" not in {each.signature for each in found}


def test_conflicts_are_measured_where_they_may_be(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    conflicts = [each for each in diagnose_run(study) if each.signature == "conflict"]
    assert [each.tasks for each in conflicts] == [("sums", "signs"), ("sums", "swaps"), ("signs", "swaps")]
    assert all("costs" in each.message and "predicted" not in each.message for each in conflicts)
    scores = score_paths(study).select("loss").values
    transfer = (scores[0, 1] - scores[1, 1]) / (scores[0, 1] - scores[2, 1])
    assert conflicts[0].evidence["transfer to signs"] == pytest.approx(transfer)


def test_finetunes_in_different_valleys_have_a_barrier(own: Path) -> None:
    """Weights before and after `tanh` with the other sign: the same function, and at the midpoint a constant."""
    problem, alpha = import_problem(own).problem(), {task: float(task == "swaps") for task in TASKS}
    recipe = TrainingRecipe(steps=100, examples_per_task=48, learning_rate=0.03)
    params = finetune(problem, read_params(own / "ft-swaps"), alpha, recipe).params
    write_params(own / "straight", params)
    turned = {name: tensor if name == "2.bias" else -tensor for name, tensor in params.items()}
    write_params(own / "turned", turned)
    tasks = {"sums": {"checkpoint": "straight"}, "swaps": {"checkpoint": "turned"}}
    content = recipe_of(tasks=tasks, max_distance=10.0, posterior={"family": "isotropic"})
    [barrier] = [each for each in diagnose_run(open_study(write_recipe(own, content))) if each.signature == "barrier"]
    assert barrier.tasks == ("sums", "swaps")
    assert barrier.severity == "warning"


def test_a_custom_evaluator_is_asked_about_its_own_scores(own: Path) -> None:
    study = open_study(write_recipe(own, logged_recipe()))
    found = diagnose_run(study)
    conflicts = [each for each in found if each.signature == "conflict"]
    assert len(conflicts) == 3
    assert "transfer to signs" in conflicts[0].evidence


def test_raced_fronts_are_not_finished_for_a_diagnosis(own: Path) -> None:
    study = open_study(write_recipe(own, recipe_of(front={"evaluations": 5, "points": 10, "racing": True})))
    estimate_run_front(study)
    spent = _evaluations(study, "front")
    diagnose_run(study)
    assert _evaluations(study, "front") == spent


def test_a_front_without_evaluations_can_be_diagnosed(own: Path) -> None:
    study = open_study(write_recipe(own, recipe_of(front={"evaluations": 0, "points": 10})))
    estimate_run_front(study)
    assert "power" not in {each.signature for each in diagnose_run(study)}


def test_a_single_task_has_nothing_to_diagnose(own: Path) -> None:
    content = recipe_of(tasks={"sums": {"checkpoint": "ft-sums"}})
    with pytest.raises(InputError, match="give two tasks or more"):
        diagnose_run(open_study(write_recipe(own, content)))
