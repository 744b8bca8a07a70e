from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.tiny import copy_folder

from paretomerge.choices import ByWeights, Classification, Knee, MinimumRegret, choose
from paretomerge.errors import InputError
from paretomerge.recipes import digest_recipe
from paretomerge.stages import choose_point, estimate_run_front, front_of, open_study
from paretomerge.stages.choose import chosen_id, point_of, resolve_each, resolve_names, uncertainty_of
from paretomerge.stages.study import Study
from paretomerge.types import Front

POSTERIOR = {"family": "isotropic", "damping": 0.1}


@pytest.fixture(scope="module")
def estimated(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = copy_folder(tiny, tmp_path_factory.mktemp("choose") / "study", posterior=POSTERIOR)
    study = open_study(folder / "recipe.yaml")
    estimate_run_front(study)
    return study


@pytest.fixture
def study(estimated: Study) -> Iterator[Study]:
    """A run with a front, and nothing chosen."""
    yield estimated
    with estimated.folder.open_journal() as journal:
        for name in ("choice", "joint_front"):
            journal.note(name, None)


def fact(study: Study, name: str) -> dict[str, object]:
    with study.folder.open_journal() as journal:
        return dict(journal.fact(name))


def store_joint(study: Study, rows: list[int], shift: float = 0.25) -> Front:
    """Some points of the front, in another order and with other values."""
    front = front_of(study)
    joint = Front(
        front.tasks,
        front.weights[rows],
        front.values[rows] + shift,
        front.stdev[rows],
        front.objectives,
        front.reference + shift,
        ("predicted",) * len(rows),
    )
    with study.folder.open_journal() as journal:
        journal.note("joint_front", {"recipe": digest_recipe(study.recipe), **joint.as_dict()})
    return joint


def test_the_joint_draws_of_the_front_are_kept_compactly_and_reach_the_rules(study: Study) -> None:
    front = front_of(study)
    uncertainty = uncertainty_of(study, front)
    assert uncertainty is not None
    assert uncertainty.samples is not None
    assert uncertainty.samples.shape == (200, *front.values.shape)
    assert len(base64.b64decode(fact(study, "uncertainty")["samples"]["float32"])) == 4 * uncertainty.samples.size  # type: ignore[index]
    choice = choose_point(study, MinimumRegret(Knee()))
    assert choice == choose(front, MinimumRegret(Knee()), uncertainty)
    assert "over 200 joint draws" in choice.rule
    point = choice.point.id
    assert choice.interval["loss[sums]"] == (uncertainty.lower[point, 0], uncertainty.upper[point, 0])
    assert choice.probability_nondominated == uncertainty.nondominated[point]


def test_runs_of_older_versions_have_no_draws_and_the_answer_says_so(study: Study) -> None:
    stored = fact(study, "uncertainty")
    with study.folder.open_journal() as journal:
        journal.note("uncertainty", {key: value for key, value in stored.items() if key != "samples"})
    choice = choose_point(study, MinimumRegret(Knee()))
    assert "200 independent normal draws (joint ones are not known)" in choice.rule
    with study.folder.open_journal() as journal:
        journal.note("uncertainty", stored)


def test_the_uncertainty_of_a_front_of_other_points_is_none(study: Study) -> None:
    front = front_of(study)
    assert uncertainty_of(study, front.__class__.from_dict(front.as_dict())) is not None
    fewer = Front(
        front.tasks,
        front.weights[:3],
        front.values[:3],
        front.stdev[:3],
        front.objectives,
        front.reference,
        front.origin[:3],
    )
    assert uncertainty_of(study, fewer) is None


def test_a_choice_on_the_joint_front_stands_for_its_weights_on_both_fronts(study: Study) -> None:
    joint = store_joint(study, [6, 2, 5])
    choice = choose_point(study, ByWeights(dict(zip(joint.tasks, joint.weights[2].tolist(), strict=True))), of="joint")
    assert choice.point == joint[2]
    assert choice.probability_nondominated is None
    assert (chosen_id(study, of="joint"), chosen_id(study)) == (2, 5)
    assert point_of(study, "chosen") == joint[2]
    assert point_of(study, "chosen", of="merged") == front_of(study)[5]
    assert point_of(study, 1, of="joint") == joint[1]
    assert point_of(study, 1) == front_of(study)[1]
    assert fact(study, "choice")["weights"] == joint.weights[2].tolist()


def test_a_choice_that_is_no_longer_on_the_joint_front_is_none(study: Study) -> None:
    store_joint(study, [6, 2, 5])
    choose_point(study, Knee(), of="joint")
    chosen = fact(study, "choice")["point"]
    left = [row for number, row in enumerate([6, 2, 5]) if number != chosen]
    store_joint(study, left)
    assert chosen_id(study, of="joint") is None
    assert chosen_id(study) == [6, 2, 5][int(str(chosen))]
    with pytest.raises(InputError, match="no point of this front was chosen yet"):
        point_of(study, "chosen")


def test_without_a_verification_there_is_no_joint_front(study: Study) -> None:
    for call in (lambda: choose_point(study, Knee(), of="joint"), lambda: point_of(study, 0, of="joint")):
        with pytest.raises(InputError, match=r"there is no joint front yet: paretomerge verify RUN --points 3"):
            call()
    front = front_of(study)
    with study.folder.open_journal() as journal:
        journal.note("joint_front", {"recipe": "another", **front.as_dict()})
    with pytest.raises(InputError, match="there is no joint front yet"):
        front_of(study, of="joint")


def test_choices_of_older_versions_are_numbers_on_the_merged_front(study: Study) -> None:
    with study.folder.open_journal() as journal:
        journal.note("choice", {"recipe": digest_recipe(study.recipe), "point": 4, "rule": "knee"})
    assert chosen_id(study) == 4
    assert chosen_id(study, of="joint") is None
    assert point_of(study, "chosen") == front_of(study)[4]


def test_a_front_from_more_evaluations_may_not_have_the_chosen_weights_any_more(tiny: Path, tmp_path: Path) -> None:
    """Point 3 of the new front is another model than point 3 of the old one: nothing is chosen rather than that."""
    study = open_study(copy_folder(tiny, tmp_path / "study", posterior=POSTERIOR) / "recipe.yaml")
    estimate_run_front(study, evaluations=3)
    choice = choose_point(study, Knee())
    assert chosen_id(study) == choice.point.id
    after = estimate_run_front(study).front
    same = np.abs(after.weights - list(choice.point.weights.values())).max(axis=1) <= 1e-9
    assert chosen_id(study) == (int(same.argmax()) if same.any() else None)
    with study.folder.open_journal() as journal:
        journal.note("choice", {**journal.fact("choice"), "weights": [0.123, 0.456, 0.421], "point": 3})
    assert chosen_id(study) is None


def test_a_classification_goes_on_from_a_point(study: Study) -> None:
    first = choose_point(study, Knee()).point
    second = choose_point(study, Classification(first.id, improve=["loss[sums]"])).point
    assert second.values["loss[sums]"] < first.values["loss[sums]"]
    assert chosen_id(study) == second.id


def test_names_may_be_tasks_or_objectives_but_not_both_of_the_same(study: Study) -> None:
    front = front_of(study)
    assert resolve_each(front, ["signs", "loss[sums]"]) == ["loss[signs]", "loss[sums]"]
    with pytest.raises(InputError, match=r"'loss\[sums\]' and another name both stand for 'loss\[sums\]'"):
        resolve_names(front, {"sums": 1.0, "loss[sums]": 2.0})
    two = replace(front, objectives=tuple(replace(objective, task="sums") for objective in front.objectives))
    assert resolve_each(two, ["sums"]) == ["sums"]
