from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.tiny import TASKS, logged_recipe, recipe_of, write_recipe

from paretomerge.choices import Knee
from paretomerge.errors import InputError, RecipeError
from paretomerge.stages import choose_point, estimate_run_front, export_point, front_of, open_study
from paretomerge.stages.decide import chosen_id
from paretomerge.surrogates import PosteriorInformed, Quadratic


def _edit(run: Path, **sections: Any) -> None:
    path = run / "recipe.yaml"
    content = yaml.safe_load(path.read_text())
    for name, value in sections.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(content))


def test_no_evaluations_give_the_posteriors_own_front(own: Path) -> None:
    study = open_study(write_recipe(own, recipe_of(front={"evaluations": 0, "divisions": 4})))
    estimated = estimate_run_front(study)
    assert len(estimated.scores) == 0
    assert set(estimated.front.origin) == {"predicted"}
    assert estimated.front.tasks == TASKS


@pytest.mark.parametrize(("surrogate", "kind"), [("informed", PosteriorInformed), ("quadratic", Quadratic)])
def test_the_recipe_names_the_surrogate(own: Path, surrogate: str, kind: type) -> None:
    study = open_study(write_recipe(own, recipe_of(front={"evaluations": 6, "divisions": 3, "surrogate": surrogate})))
    assert isinstance(estimate_run_front(study).surrogate.surrogate, kind)


def test_isotropic_posteriors_predict_nothing_so_the_surrogate_is_quadratic(own: Path) -> None:
    study = open_study(write_recipe(own, recipe_of(posterior={"family": "isotropic"})))
    assert isinstance(estimate_run_front(study).surrogate.surrogate, Quadratic)


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 1)])
def test_objectives_in_any_order_are_predicted_by_their_own_task(own: Path, order: tuple[int, ...]) -> None:
    """Predicted losses belong to tasks: the second objective must not be read off the second task."""
    usual = estimate_run_front(open_study(write_recipe(own, logged_recipe()), own / "usual")).surrogate
    content = logged_recipe()
    content["objectives"] = [content["objectives"][number] for number in order]
    estimated = estimate_run_front(open_study(write_recipe(own, content), own / "reordered"))
    weights = [[0.2, 0.3, 0.5]]
    assert estimated.surrogate.predict(weights)[0] == pytest.approx(usual.predict(weights)[0][:, list(order)])
    assert isinstance(estimated.surrogate.surrogate, PosteriorInformed)
    assert [objective.task for objective in estimated.front.objectives] == [TASKS[number] for number in order]


def test_a_front_may_trade_off_another_metric(own: Path) -> None:
    front = {"evaluations": 6, "divisions": 3, "metric": "accuracy"}
    estimated = estimate_run_front(open_study(write_recipe(own, recipe_of(front=front))))
    assert {objective.direction for objective in estimated.front.objectives} == {"maximise"}


def test_an_unknown_metric_is_refused(own: Path) -> None:
    content = logged_recipe(front={"metric": "f1"})
    with pytest.raises(RecipeError, match="no objective has the metric 'f1'"):
        estimate_run_front(open_study(write_recipe(own, content)))


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_single_task_has_a_front_of_one_point(own: Path) -> None:
    tasks = {"sums": {"checkpoint": "ft-sums"}}
    estimated = estimate_run_front(open_study(write_recipe(own, recipe_of(tasks=tasks))))
    assert len(estimated.front) == 1
    assert estimated.front.weights.tolist() == [[1.0]]


def test_the_stored_front_is_read_until_the_recipe_changes(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    first = estimate_run_front(study).front
    stored = front_of(study)
    np.testing.assert_array_equal(stored.values, first.values)
    np.testing.assert_array_equal(stored.stdev, first.stdev)
    _edit(study.folder.path, front={"divisions": 2})
    assert len(front_of(open_study(study.folder.path))) < len(first)


def test_a_choice_belongs_to_the_front_it_was_made_on(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    choice = choose_point(study, Knee())
    assert chosen_id(study) == choice.point.id
    _edit(study.folder.path, front={"divisions": 7})
    edited = open_study(study.folder.path)
    estimate_run_front(edited)
    assert chosen_id(edited) is None
    with pytest.raises(InputError, match="no point of this front was chosen yet"):
        export_point(edited, "chosen", own / "out")


def test_progress_counts_what_is_missing(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    messages: list[str] = []
    estimate_run_front(study, messages.append)
    assert [message for message in messages if message.startswith("evaluation")] == [
        f"evaluation {number} of 6" for number in range(1, 7)
    ]
    messages.clear()
    estimate_run_front(study, messages.append)
    assert messages == []
