from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.tiny import TASKS, logged_recipe, recipe_of, write_recipe

from paretomerge.diagnoses import Diagnosis
from paretomerge.posteriors import PredictedLoss
from paretomerge.stages import estimate_run_front, fit_run, open_study
from paretomerge.stages.free_diagnoses import (
    example_counts,
    free_diagnoses,
    keep_diagnoses,
    predicted_transfers,
    stored_diagnoses,
)
from paretomerge.stages.landscape import landscape_of

SUBSPACE = {"family": "subspace", "settings": {"groups": "layer"}, "damping": 0.1}


@pytest.fixture
def run(own: Path):
    """Study, posteriors, landscape and estimated front of the tiny study."""
    study = open_study(write_recipe(own, recipe_of(posterior=SUBSPACE)))
    estimated = estimate_run_front(study)
    fitted = fit_run(study)
    return study, fitted, landscape_of(fitted), estimated


def _flatter(fitted, factor: float):
    """The same fit with posteriors that see `factor` times the loss differences."""
    losses = {
        task: PredictedLoss(
            type(loss.curvature)(
                loss.curvature.origin,
                loss.curvature.basis,
                factor * loss.curvature.precision,
                factor * loss.curvature.precision_mean,
            ),
            factor * loss.offset,
        )
        for task, loss in fitted.curvatures.losses.items()
    }
    return replace(fitted, curvatures=replace(fitted.curvatures, losses=losses))


def _signatures(found) -> list[str]:
    return [each.signature for each in found]


def test_a_front_comes_with_what_speaks_against_it_at_no_evaluation(run) -> None:
    study, fitted, landscape, estimated = run
    before = study.folder.open_journal().count()
    found = free_diagnoses(fitted, landscape, estimated.front, estimated.scores)
    assert found == estimated.diagnoses == stored_diagnoses(study)
    with study.folder.open_journal() as journal:
        assert journal.count() == before
        assert "diagnose" not in journal.ledger()


def test_posteriors_that_are_too_flat_are_told_so(run) -> None:
    _, fitted, landscape, estimated = run
    flat = free_diagnoses(_flatter(fitted, 0.01), landscape, estimated.front, estimated.scores)
    assert _signatures(flat).count("disagreement") == 3
    assert "distance" not in _signatures(flat)
    assert "disagreement" not in _signatures(estimated.diagnoses)


def test_models_beyond_what_losses_can_lose_are_far(run) -> None:
    _, fitted, landscape, estimated = run
    near = free_diagnoses(fitted, landscape, estimated.front, estimated.scores, stakes=[100.0] * 3)
    far = free_diagnoses(fitted, landscape, estimated.front, estimated.scores, stakes=[0.01] * 3)
    assert "distance" not in _signatures(near)
    assert far[0].signature == "distance"
    assert far[0].evidence["ratio"] > 1


def test_without_scores_the_front_itself_is_looked_at(own: Path) -> None:
    study = open_study(write_recipe(own, recipe_of(posterior=SUBSPACE, front={"evaluations": 0, "points": 10})))
    estimated = estimate_run_front(study)
    fitted = fit_run(study)
    found = free_diagnoses(fitted, landscape_of(fitted), estimated.front, estimated.scores, stakes=[0.01] * 3)
    assert "distance" in _signatures(found)
    assert not {"disagreement", "power"} & set(_signatures(found))


@pytest.mark.parametrize("family", ["diagonal", "kronecker"])
def test_every_family_that_measured_something_can_be_asked(own: Path, family: str) -> None:
    study = open_study(write_recipe(own, recipe_of(posterior={"family": family, "damping": 0.1})))
    fitted = fit_run(study)
    estimated = estimate_run_front(study)
    found = free_diagnoses(fitted, landscape_of(fitted), estimated.front, estimated.scores, stakes=[1e-9] * 3)
    assert "distance" in _signatures(found)


def test_isotropic_posteriors_have_nothing_to_say_but_scores_have(own: Path) -> None:
    front = {"evaluations": 6, "points": 10, "method": "spaced"}
    study = open_study(write_recipe(own, recipe_of(posterior={"family": "isotropic"}, front=front)))
    estimated = estimate_run_front(study)
    assert set(_signatures(estimated.diagnoses)) <= {"power"}


def test_rules_that_leave_the_subspace_are_not_held_against_it(own: Path) -> None:
    front = {"evaluations": 4, "points": 10, "domain": "coefficients"}
    content = recipe_of(posterior=SUBSPACE, front=front, rule={"name": "ties", "settings": {"density": 0.3}})
    estimated = estimate_run_front(open_study(write_recipe(own, content)))
    assert not {"distance", "disagreement"} & set(_signatures(estimated.diagnoses))


@pytest.mark.parametrize("domain", ["coefficients", "groups"])
def test_fronts_over_coefficients_are_looked_at_too(own: Path, domain: str) -> None:
    rule = {"rule": {"name": "task_arithmetic"}} if domain == "coefficients" else {}
    content = recipe_of(posterior=SUBSPACE, front={"evaluations": 5, "points": 10, "domain": domain}, **rule)
    study = open_study(write_recipe(own, content))
    estimated = estimate_run_front(study)
    fitted = fit_run(study)
    found = free_diagnoses(fitted, landscape_of(fitted), estimated.front, estimated.scores, stakes=[1e-9] * 3)
    assert "distance" in _signatures(found)


def test_without_measurement_stakes_go_up_to_a_constant_guess(run) -> None:
    """Three classes: a constant guess loses about log 3, and nothing here is as far as that from everywhere."""
    study, fitted, landscape, estimated = run
    guessed = free_diagnoses(fitted, landscape, estimated.front, estimated.scores)
    own = [loss.at(study.finetunes[task]) for task, loss in fitted.curvatures.losses.items()]
    explicit = free_diagnoses(
        fitted, landscape, estimated.front, estimated.scores, stakes=[np.log(3) - each for each in own]
    )
    assert _signatures(guessed) == _signatures(explicit)


def test_predicted_transfer_of_a_task_to_itself_is_one(run) -> None:
    study, fitted, _, _ = run
    found = predicted_transfers(study, [fitted.curvatures.losses[task] for task in TASKS])
    assert found is not None
    np.testing.assert_allclose(np.diagonal(found), 1.0)


def test_examples_are_counted_on_the_split_of_the_front(own: Path) -> None:
    study = open_study(write_recipe(own, recipe_of(front={"split": "test"})))
    assert example_counts(study) == dict.fromkeys(TASKS, 40)
    assert example_counts(open_study(write_recipe(own, logged_recipe(), "logged.yaml"))) == {}


def test_what_was_measured_outlives_a_new_front(own: Path) -> None:
    """A front that is estimated again replaces what rests on it, and keeps barriers and stakes."""
    study = open_study(own / "recipe.yaml")
    barrier = Diagnosis("barrier", "warning", "a wall", "walk", {"height": 1.0}, ("sums", "signs"))
    power, later = (Diagnosis("power", "note", text, "more") for text in ("old", "new"))
    predicted = Diagnosis("conflict", "note", "predicted", "verify")
    keep_diagnoses(study, [barrier, power], measured=True, stakes=[1.0, 2.0, 3.0])
    keep_diagnoses(study, [later, predicted])
    assert stored_diagnoses(study) == (barrier, later)
    with study.folder.open_journal() as journal:
        assert journal.fact("diagnoses")["stakes"] == [1.0, 2.0, 3.0]
    keep_diagnoses(study, [later], measured=True)
    assert stored_diagnoses(study) == (later,)


def test_diagnoses_of_another_recipe_are_not_shown(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    keep_diagnoses(study, [Diagnosis("power", "note", "old", "more")])
    path = own / "recipe-run" / "recipe.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 1"))
    assert stored_diagnoses(open_study(own / "recipe-run")) == ()
    assert len(stored_diagnoses(study)) == 1


def test_where_nobody_can_guess_there_is_no_stake(run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without examples, or with a loss of one's own, distances are left out; all else is said."""
    study, fitted, landscape, estimated = run
    problem = study.problem
    assert problem is not None
    monkeypatch.setattr("paretomerge.diagnoses.distance.FAR", 1e-9)

    def found(**changes: object):
        changed = replace(study, problem=replace(problem, **changes) if changes else None)  # type: ignore[arg-type]
        return free_diagnoses(replace(fitted, study=changed), landscape, estimated.front, estimated.scores.take([]))

    def empty(task: str, split: str):
        return problem.data(task, split) if split == "training" else []  # type: ignore[arg-type]

    whole = free_diagnoses(fitted, landscape, estimated.front, estimated.scores.take([]))
    assert "distance" in _signatures(whole)
    for less in (found(), found(loss_fn=lambda module, batch: module), found(data=empty)):
        assert "distance" not in _signatures(less)
        assert _signatures(less) == [each for each in _signatures(whole) if each != "distance"]
