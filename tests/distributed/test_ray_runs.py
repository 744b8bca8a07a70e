"""Whole runs: serial, pool and Ray measure the same, and tell the same front."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.tiny import TASKS, copy_folder, invoke, read_params, recipe_of, write_recipe

from paretomerge.distributed import ProcessPool, Ray
from paretomerge.errors import RecipeError
from paretomerge.runs import Journal
from paretomerge.stages import Study, estimate_run_front, fit_run, open_study, verify_run
from paretomerge.stages.landscape import landscape_of
from paretomerge.stages.measuring.merged import MergedScorer
from paretomerge.stages.measuring.workers import RunSender
from paretomerge.stages.scoring.evaluations import Job
from paretomerge.stages.sent import RunByPath, SentRun, run_for
from paretomerge.types import Params, simplex_grid

POINTS = simplex_grid(3, 2)


@pytest.fixture
def own(tiny: Path, tmp_path: Path) -> Path:
    return copy_folder(tiny, tmp_path / "study")


def _losses(study: Study, points: np.ndarray) -> np.ndarray:
    """`[K, T]`, as this process measures them."""
    with MergedScorer(study, landscape_of(fit_run(study)), "validation", "front") as scorer:
        return scorer(points, study.objectives).select("loss").values


def _sent_losses(study: Study, points: np.ndarray) -> np.ndarray:
    """The same by what is sent to workers, opened here: one model after the other overwrites the one before."""
    work = RunSender(study, landscape_of(fit_run(study)), "validation").shared(_in_memory)()
    found = [work(Job(0, point, TASKS, {})) for point in (*points, *points)]
    losses = np.array([[each[task]["loss"].mean() for task in TASKS] for each in found])
    np.testing.assert_array_equal(losses[: len(points)], losses[len(points) :])
    return losses[: len(points)]


def _in_memory(params: Params) -> Params:
    return {name: params[name].clone() for name in params}


@pytest.mark.parametrize("family", ["isotropic", "diagonal", "kronecker", "low_rank", "dense", "subspace"])
def test_what_is_sent_scores_exactly_as_this_process_does(own: Path, family: str) -> None:
    study = open_study(write_recipe(own, recipe_of(posterior={"family": family})))
    np.testing.assert_array_equal(_sent_losses(study, POINTS), _losses(study, POINTS))


def test_groups_and_coefficients_are_sent_too(own: Path) -> None:
    for front in ({"domain": "groups"}, {"domain": "coefficients"}):
        rule = {"rule": {"name": "task_arithmetic"}} if front["domain"] == "coefficients" else {}
        recipe = recipe_of(front={**front, "evaluations": 4}, **rule)
        study = open_study(write_recipe(own, recipe, f"{front['domain']}.yaml"))
        points = landscape_of(fit_run(study)).domain.spread(5)
        np.testing.assert_array_equal(_sent_losses(study, points), _losses(study, points))


def test_a_run_is_sent_without_its_folder_and_says_what_a_node_lacks(own: Path) -> None:
    study = open_study(write_recipe(own, recipe_of()))
    landscape = landscape_of(fit_run(study))
    sent = RunSender(study, landscape, "validation").shared(_in_memory)
    expected = sent()(Job(0, POINTS[1], TASKS, {}))
    shutil.rmtree(study.folder.path)
    shutil.rmtree(own / "base")
    found = sent()(Job(0, POINTS[1], TASKS, {}))
    np.testing.assert_array_equal(found["sums"]["loss"], expected["sums"]["loss"])
    (own / "problem.py").unlink()
    with pytest.raises(RecipeError, match=r"a worker on .* there is no file .*problem\.py.*same path on every node"):
        sent()


def test_processes_of_this_machine_open_the_run_and_others_get_it(own: Path) -> None:
    study = open_study(write_recipe(own, recipe_of()))
    assert run_for(ProcessPool(2), study) == RunByPath(study.folder.path)
    sent = run_for(Ray(2), study, finetunes=True)
    assert isinstance(sent, SentRun)
    assert sorted(sent.finetunes) == sorted(TASKS)
    assert {name: len(opened) for name, opened in sent.opened().finetunes.items()} == dict.fromkeys(TASKS, 4)


def test_serial_pool_and_ray_give_the_same_front(own: Path, one_node: Any) -> None:
    """By the command line, in synchronous mode; and a second command measures nothing."""
    answers = []
    for name, options in (
        ("serial", []),
        ("pool", ["--workers", "2"]),
        ("ray", ["--executor", "ray", "--workers", "2"]),
    ):
        recipe = write_recipe(own, recipe_of(front={"evaluations": 8, "points": 12}), f"{name}.yaml")
        answers.append(invoke("front", recipe, "--json", *options).json)
        again = invoke("front", recipe, "--json", "--executor", "ray", "--ray-address", "nowhere.invalid:1").json
        assert again["front"] == answers[-1]["front"]
        with Journal(own / f"{name}-run" / "journal.sqlite") as journal:
            assert journal.ledger()["front"].evaluations == 8
    for other in answers[1:]:
        assert other["front"] == answers[0]["front"]
        assert other["scores"] == answers[0]["scores"]


def test_an_asynchronous_search_spends_its_budget_on_ray(own: Path, one_node: Any) -> None:
    front = {"evaluations": 8, "points": 12, "asynchronous": True}
    study = open_study(write_recipe(own, recipe_of(front=front)))
    estimated = estimate_run_front(study, executor=Ray())
    assert len(np.unique(estimated.scores.weights.round(6), axis=0)) == 8
    with study.folder.open_journal() as journal:
        assert journal.count() == 8


def test_tasks_are_fitted_and_weightings_trained_side_by_side_with_equal_results(own: Path, one_node: Any) -> None:
    found = {}
    for executor in (None, ProcessPool(2), Ray(2)):
        name = "none" if executor is None else type(executor).__name__
        recipe = recipe_of(posterior={"family": "diagonal", "damping": 0.1}, front={"evaluations": 4, "points": 8})
        study = open_study(write_recipe(own, recipe, f"{name}.yaml"))
        fitted = fit_run(study, executor=executor)
        verified = verify_run(study, 2, executor=executor)
        trained = sorted(path.name for path in study.folder.trained.iterdir())
        params = [read_params(study.folder.trained / each) for each in trained]
        with study.folder.open_journal() as journal:
            ledger = {stage: (cost.gradient_passes, cost.evaluations) for stage, cost in journal.ledger().items()}
        assert not study.folder.training.exists()
        assert not study.folder.unfinished.exists()
        found[name] = [fitted.digest, trained, verified.truths.values.tolist(), ledger]
        found[name] += [{key: tensor.tolist() for key, tensor in each.items()} for each in params]
        found[name] += [posterior.digest for posterior in fitted.curvatures.bare.values()]
    assert found["ProcessPool"] == found["none"]
    assert found["Ray"] == found["none"]
