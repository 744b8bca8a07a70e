from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import TASKS, TRAINING, logged_recipe, plain, read_params, recipe_of, write_recipe

from paretomerge.checkpoints import write_params
from paretomerge.choices import ByWeights, Knee
from paretomerge.errors import AlignmentError, CheckpointError, InputError, RecipeError, WeightsError
from paretomerge.runs import Journal
from paretomerge.stages import choose_point, estimate_run_front, front_of, open_study, verify_run
from paretomerge.stages.choose import point_of, uncertainty_of
from paretomerge.training import TrainingRecipe, finetune
from paretomerge.types import Scores


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


def _trained(own: Path) -> set[Path]:
    return set((own / "recipe-run" / "trained").glob("*"))


def _charged(own: Path) -> tuple[int, int]:
    with Journal(own / "recipe-run" / "journal.sqlite") as journal:
        cost = journal.ledger()["verify"]
        return cost.trainings, cost.evaluations


def _fact(own: Path, name: str) -> Any:
    with Journal(own / "recipe-run" / "journal.sqlite") as journal:
        return journal.fact(name)


def _joint(own: Path, alpha: tuple[float, ...], name: str = "mine") -> Path:
    """The user's own joint finetuning."""
    study = open_study(own / "recipe.yaml")
    assert study.problem is not None
    weights = dict(zip(TASKS, alpha, strict=True))
    result = finetune(study.problem, read_params(own / "base"), weights, TrainingRecipe(**TRAINING), 7)
    return write_params(own / name, result.params)


def test_more_points_add_to_what_is_known_and_nothing_is_done_twice(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    first = verify_run(study, 1)
    before = _trained(own)
    more = verify_run(open_study(own / "recipe-run"), 2)
    assert len(_trained(own)) == 2
    assert before < _trained(own)
    assert more.truths.weights[0].tolist() == first.truths.weights[0].tolist()
    np.testing.assert_array_equal(more.truths.values[0], first.truths.values[0])
    cost = _charged(own)
    again = verify_run(open_study(own / "recipe-run"), 2)
    assert _charged(own) == cost == (2, 2 * (3 + 2))
    np.testing.assert_array_equal(again.truths.values, more.truths.values)
    fewer = verify_run(open_study(own / "recipe-run"), 0)
    assert len(fewer.truths) == 2, "what is known is never forgotten"


def test_the_stored_verification_is_what_was_returned(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    found = verify_run(study, 2)
    stored = _fact(own, "verification")
    assert {name: value for name, value in stored.items() if name != "recipe"} == plain(found.as_dict())
    keys = {"recipe", "previews", "truths", "trained", "quality", "coverage", "recalibration", "survivors", "sentences"}
    assert set(stored) == keys
    scores = Scores.from_dict(stored["previews"])
    assert scores.origin == ("merged",) * 2
    assert stored["quality"]["loss"]["preview_error"] == pytest.approx(
        np.abs(found.previews.select("loss").values - found.truths.select("loss").values).mean()
    )


def test_the_joint_front_can_be_chosen_from_and_has_an_uncertainty(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    with pytest.raises(InputError, match="no joint front yet"):
        choose_point(study, Knee(), of="joint")
    found = verify_run(study, 2)
    joint = front_of(study, of="joint")
    np.testing.assert_array_equal(joint.values, found.recalibrated.front.values)
    assert joint.weights.tolist() == front_of(study).weights[found.recalibrated.survivors].tolist()
    uncertainty = uncertainty_of(study, joint, of="joint")
    assert uncertainty is not None
    assert uncertainty.samples is not None
    choice = choose_point(study, Knee(), of="joint")
    assert choice.probability_nondominated is not None
    assert point_of(study, "chosen").weights == choice.point.weights


def test_the_recalibrated_front_is_nearer_to_a_truth_that_nobody_trained(own: Path) -> None:
    """Averaging errs most, and is corrected most."""
    content = recipe_of(posterior={"family": "isotropic"}, rule={"name": "averaging"})
    study = open_study(write_recipe(own, content))
    front = front_of(study)
    found = verify_run(study, 2)
    trained = {tuple(row) for row in found.truths.weights.tolist()}
    complete = np.flatnonzero((front.weights > 0.05).all(axis=1))
    rows = [row for row in complete if tuple(front.weights[row].tolist()) not in trained][:2]
    assert rows
    errors = []
    for row in rows:
        folder = _joint(own, tuple(front.weights[row].tolist()), f"held-{row}")
        losses = [float(study.evaluator("test")(read_params(folder), task)["loss"].double().mean()) for task in TASKS]
        before = found.previews.select("loss")
        assert before.values.shape == (2, 3)
        errors.append(
            [
                np.abs(front.values[row] - losses).mean(),
                np.abs(front.values[row] + found.recalibrated.moved[row] - losses).mean(),
            ]
        )
    assert np.mean(errors, axis=0)[1] < np.mean(errors, axis=0)[0]


def test_checkpoints_of_the_users_own_are_scored_and_nothing_is_trained(own: Path) -> None:
    alpha = (0.5, 0.25, 0.25)
    folder = _joint(own, alpha)
    study = open_study(own / "recipe.yaml")
    found = verify_run(study, 0, trained={alpha: folder})
    assert not _trained(own)
    assert _charged(own)[0] == 0
    assert found.truths.weights.tolist() == [list(alpha)]
    assert found.trained[0].path == str(folder.resolve())
    losses = [float(study.evaluator("test")(read_params(folder), task)["loss"].double().mean()) for task in TASKS]
    np.testing.assert_allclose(found.truths.select("loss").values[0], losses, rtol=1e-6)
    folder.rename(own / "elsewhere")
    both = verify_run(study, 1)
    assert len(both.truths) == 2, "it is known without the checkpoint from now on"
    assert len(_trained(own)) == 1
    again = verify_run(study, 0, trained={alpha: own / "elsewhere"})
    assert len(again.truths) == 2


def test_own_checkpoints_need_no_problem(own: Path) -> None:
    folder = _joint(own, (0.5, 0.25, 0.25))
    content = {**logged_recipe(), "problem": None, "posterior": {"family": "isotropic"}}
    study = open_study(write_recipe(own, content))
    found = verify_run(study, 0, trained={(0.5, 0.25, 0.25): folder})
    assert len(found.truths) == 1
    assert found.quality.keys() == {"score"}


def test_own_checkpoints_that_do_not_fit_are_refused(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    folder = _joint(own, (0.5, 0.25, 0.25))
    other = write_params(own / "other", {"2.weight": torch.zeros(7, 6)})
    for trained, error, message in (
        ({(0.5, 0.25, 0.25): other}, AlignmentError, "other is no finetune of this run's base"),
        ({(0.5, 0.25, 0.25): own / "nowhere"}, CheckpointError, "nowhere"),
        ({(0.5, 0.2, 0.2): folder}, WeightsError, "sum"),
        ({(0.5, 0.5): folder}, WeightsError, "tasks|weights"),
        ({(0.5, 0.25, 0.25): folder, (0.5, 0.25 + 1e-8, 0.25 - 1e-8): folder}, InputError, "two trained checkpoints"),
    ):
        with pytest.raises(error, match=message):
            verify_run(study, 0, trained=trained)
    assert not (own / "recipe-run" / "journal.sqlite").exists() or _fact(own, "verification") is None


def test_nothing_to_verify_is_said(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    with pytest.raises(InputError, match="nothing was trained yet: give --points 3"):
        verify_run(study, 0)
    with pytest.raises(InputError, match="cannot train at -1 weightings"):
        verify_run(study, -1)


def test_a_front_over_coefficients_cannot_be_verified(own: Path) -> None:
    content = recipe_of(rule={"name": "task_arithmetic"}, front={"evaluations": 12, "domain": "coefficients"})
    with pytest.raises(RecipeError, match="verify a front over weights"):
        verify_run(open_study(write_recipe(own, content)), 1)


def test_intervals_are_the_fronts_at_its_points_and_the_scores_own_elsewhere(own: Path) -> None:
    folder = _joint(own, (0.5, 0.25, 0.25))
    study = open_study(own / "recipe.yaml")
    found = verify_run(study, 1, trained={(0.5, 0.25, 0.25): folder})
    front = front_of(study)
    uncertainty = uncertainty_of(study, front)
    assert uncertainty is not None
    names = [objective.name for objective in found.truths.objectives]
    losses = [names.index(objective.name) for objective in front.objectives]
    [mine], [own_row] = (
        [row for row, truth in enumerate(found.trained) if bool(truth.path) is given] for given in (True, False)
    )
    on_front = int(np.abs(front.weights - found.truths.weights[own_row]).max(axis=1).argmin())
    np.testing.assert_array_equal(found.lower[own_row, losses], uncertainty.lower[on_front])
    np.testing.assert_array_equal(found.upper[own_row, losses], uncertainty.upper[on_front])
    half = 1.6448536 * found.previews.stderr
    np.testing.assert_allclose((found.previews.values - half)[mine], found.lower[mine])
    rest = [column for column in range(len(names)) if column not in losses]
    np.testing.assert_allclose((found.previews.values + half)[own_row, rest], found.upper[own_row, rest])
    coverage = found.coverage()
    assert coverage["level"] == 0.9
    assert coverage["before"]["share"] == pytest.approx(np.mean(coverage["before"]["inside"]))
    far = np.hypot((found.upper - found.lower) / 2, 1.6448536 * found.truths.stderr)
    expected = np.abs(found.truths.values - (found.upper + found.lower) / 2) <= far
    np.testing.assert_array_equal(found.inside, expected)
    after = found.left_out
    np.testing.assert_array_equal(
        coverage["after"]["inside"], (after.lower <= found.truths.values) & (found.truths.values <= after.upper)
    )
