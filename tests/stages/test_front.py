from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from tests.tiny import TASKS, logged_recipe, recipe_of, write_recipe

from paretomerge.checkpoints import open_checkpoint
from paretomerge.choices import Knee
from paretomerge.errors import DataError, InputError, RecipeError
from paretomerge.fronts import is_nondominated
from paretomerge.stages import choose_point, estimate_run_front, export_point, front_of, open_study, verify_run
from paretomerge.stages.choose import chosen_id

ARITHMETIC = {"name": "task_arithmetic"}


def _edit(run: Path, **sections: Any) -> None:
    path = run / "recipe.yaml"
    content = yaml.safe_load(path.read_text())
    for name, value in sections.items():
        content[name] = {**content[name], **value} if isinstance(value, dict) else value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def _study(own: Path, front: dict[str, Any], **changes: Any) -> Any:
    return open_study(write_recipe(own, recipe_of(front={"evaluations": 6, "points": 12, **front}, **changes)))


def _calls(own: Path) -> int:
    log = own / "calls.log"
    return len(log.read_text().splitlines()) if log.exists() else 0


def test_no_evaluations_give_the_posteriors_own_front(own: Path) -> None:
    estimated = estimate_run_front(_study(own, {"evaluations": 0}))
    assert len(estimated.scores) == 0
    assert set(estimated.front.origin) == {"predicted"}
    assert estimated.front.tasks == TASKS


def test_no_evaluations_over_groups_need_no_search(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The quadratics' front is known in closed form: no evolutionary search is asked for."""
    monkeypatch.setattr("paretomerge.fronts.search.search.nsga3_scores", None)
    monkeypatch.setattr("paretomerge.fronts.search.search.find_spec", lambda name: None)
    posterior = {"family": "subspace", "settings": {"enrich": "none", "centres": 1}}
    estimated = estimate_run_front(_study(own, {"domain": "groups", "evaluations": 0}, posterior=posterior))
    assert len(estimated.front) == 12
    assert estimated.front.weights.shape[1] == 6


def test_no_evaluations_and_no_posteriors_are_refused(own: Path) -> None:
    with pytest.raises(DataError, match="a budget of 0 evaluations is too small"):
        estimate_run_front(_study(own, {"evaluations": 0}, posterior={"family": "isotropic"}))


@pytest.mark.parametrize("name", ["informed", "map", "bayesian-map", "nested-map", "spaced"])
def test_every_method_spends_its_budget_and_gives_a_front(own: Path, name: str) -> None:
    estimated = estimate_run_front(_study(own, {"method": name, "evaluations": 16}))
    assert 0 < len(estimated.scores) <= 16
    assert is_nondominated(estimated.front).all()
    assert len(estimated.front) <= (16 if name == "spaced" else 12)  # what is measured is all shown
    assert estimated.uncertainty.lower.shape == estimated.front.values.shape
    assert (estimated.uncertainty.lower <= estimated.uncertainty.upper).all()
    assert estimated.summary[0].startswith(f"{len(estimated.scores)} merged models evaluated (")


def test_an_unknown_method_is_refused_with_the_nearest_name(own: Path) -> None:
    with pytest.raises(RecipeError, match=r"unknown front method 'inform'.*informed"):
        estimate_run_front(_study(own, {"method": "inform"}))


def test_settings_of_a_method_are_checked(own: Path) -> None:
    with pytest.raises(RecipeError, match=r"front method 'informed': batch=0"):
        estimate_run_front(_study(own, {"settings": {"batch": 0}}))
    with pytest.raises(RecipeError, match=r"front method 'informed' has no setting 'bacth'.*batch"):
        estimate_run_front(_study(own, {"settings": {"bacth": 3}}))


def test_a_larger_budget_goes_on_from_what_is_known(own: Path) -> None:
    study = open_study(write_recipe(own, logged_recipe(front={"evaluations": 6, "points": 12})))
    first = estimate_run_front(study)
    before = _calls(own)
    assert before == 6 * len(TASKS)
    more = estimate_run_front(study, evaluations=9)
    assert _calls(own) - before == 3 * len(TASKS)
    np.testing.assert_array_equal(more.scores.weights[:6], first.scores.weights)
    np.testing.assert_array_equal(more.scores.values[:6], first.scores.values)
    np.testing.assert_array_equal(front_of(study).values, more.front.values)


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 1)])
def test_objectives_in_any_order_are_predicted_by_their_own_task(own: Path, order: tuple[int, ...]) -> None:
    """Predicted losses belong to tasks: the second objective must not be read off the second task."""
    nothing = {"front": {"evaluations": 0, "points": 12}}
    usual = estimate_run_front(open_study(write_recipe(own, logged_recipe(**nothing)), own / "usual")).surrogate
    content = logged_recipe(**nothing)
    content["objectives"] = [content["objectives"][number] for number in order]
    estimated = estimate_run_front(open_study(write_recipe(own, content), own / "reordered"))
    weights = [[0.2, 0.3, 0.5]]
    assert estimated.surrogate.predict(weights)[0] == pytest.approx(usual.predict(weights)[0][:, list(order)])
    assert [objective.task for objective in estimated.front.objectives] == [TASKS[number] for number in order]


def test_a_front_may_trade_off_another_metric(own: Path) -> None:
    estimated = estimate_run_front(_study(own, {"metric": "accuracy"}))
    assert {objective.direction for objective in estimated.front.objectives} == {"maximise"}


def test_a_front_may_trade_off_named_objectives_under_a_constraint(own: Path) -> None:
    free = estimate_run_front(_study(own, {"objectives": ["loss[sums]", "loss[signs]"]}))
    assert [objective.name for objective in free.front.objectives] == ["loss[sums]", "loss[signs]"]
    worst = float(free.surrogate.predict(free.front.weights)[0][:, :1].max())
    limit = (worst + float(free.front.values[:, 0].min())) / 2
    study = open_study(
        write_recipe(
            own,
            recipe_of(
                front={
                    "evaluations": 6,
                    "objectives": ["loss[sums]", "loss[signs]"],
                    "constraints": [f"loss[sums] <= {limit}"],
                }
            ),
            "limited.yaml",
        )
    )
    limited = estimate_run_front(study)
    assert (limited.front.values[:, 0] <= limit).all()
    assert (limited.uncertainty.feasible <= 1).all()


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ({"metric": "f1"}, "no objective has the metric 'f1'"),
        ({"objectives": ["loss[sum]"]}, r"unknown objective 'loss\[sum\]'.*did you mean 'loss\[sums\]'"),
        ({"constraints": ["tokens <= 300"]}, "unknown objective 'tokens'"),
        ({"constraints": ["loss[sums] < 300"]}, "write it as NAME <= NUMBER"),
    ],
)
def test_unknown_names_are_refused_before_anything_is_evaluated(own: Path, front: dict[str, Any], message: str) -> None:
    study = _study(own, front)
    with pytest.raises((RecipeError, DataError), match=message):
        estimate_run_front(study)
    with study.folder.open_journal() as journal:
        assert journal.count() == 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_single_task_has_a_front_of_one_point(own: Path) -> None:
    estimated = estimate_run_front(_study(own, {}, tasks={"sums": {"checkpoint": "ft-sums"}}))
    assert len(estimated.front) == 1
    assert estimated.front.weights.tolist() == [[1.0]]


def test_scaling_coefficients_are_searched_in_a_box(own: Path) -> None:
    study = _study(own, {"domain": "coefficients", "bounds": [0.0, 0.8]}, rule=ARITHMETIC)
    estimated = estimate_run_front(study)
    assert estimated.front.weights.max() <= 0.8
    point = estimated.front[0]
    exported = open_checkpoint(export_point(study, 0, own / "merged"))
    expected = {
        name: study.base[name]
        + sum(point.weights[task] * (study.finetunes[task][name] - study.base[name]) for task in TASKS)
        for name in study.base
    }
    for name, tensor in expected.items():
        np.testing.assert_allclose(exported[name].numpy(), tensor.numpy(), atol=1e-6)
    assert not (own / "merged-weights.yaml").exists()
    with pytest.raises(RecipeError, match="no task weights"):
        verify_run(study, 1)


def test_rules_that_read_no_posterior_keep_their_evaluations_when_the_posterior_changes(own: Path) -> None:
    study = _study(own, {"method": "map", "evaluations": 7}, rule=ARITHMETIC, posterior={"family": "isotropic"})
    estimate_run_front(study)
    _edit(study.folder.path, posterior={"family": "diagonal"})
    edited = open_study(study.folder.path)
    estimate_run_front(edited)
    with edited.folder.open_journal() as journal:
        assert journal.count() == 7


def test_parameters_are_a_part_of_what_is_not_known_if_models_are_drawn(own: Path) -> None:
    study = _study(own, {"drawn_models": 3})
    found = estimate_run_front(study).uncertainty
    assert set(found.parts) == {"examples", "surrogate", "parameters"}
    assert (found.parts["parameters"] > 0).all()
    assert (found.combined >= found.parts["parameters"] * 0.9).all()
    with study.folder.open_journal() as journal:
        assert journal.ledger()["parameters"].evaluations == 15


def test_racing_drops_what_is_dominated_and_keeps_what_it_measured(own: Path) -> None:
    plain = estimate_run_front(open_study(write_recipe(own, recipe_of(front={"evaluations": 10})), own / "plain"))
    raced = estimate_run_front(
        open_study(write_recipe(own, recipe_of(front={"evaluations": 10, "racing": True})), own / "raced")
    )
    assert len(raced.scores) == len(plain.scores)
    for row, weights in enumerate(raced.scores.weights):
        same = np.abs(plain.scores.weights - weights).max(axis=1) < 1e-9
        if same.any() and np.allclose(raced.scores.stderr[row], plain.scores.stderr[same][0]):
            np.testing.assert_allclose(raced.scores.values[row], plain.scores.values[same][0], atol=1e-6)


def test_worker_processes_give_the_same_front(own: Path) -> None:
    alone = estimate_run_front(_study(own, {})).front
    content = recipe_of(front={"evaluations": 6, "points": 12, "workers": 2})
    shared = estimate_run_front(open_study(write_recipe(own, content, "two.yaml"), own / "two")).front
    np.testing.assert_allclose(shared.values, alone.values, rtol=1e-5)


def test_a_model_that_cannot_be_scored_is_skipped_with_a_reason(own: Path) -> None:
    content = logged_recipe(front={"evaluations": 6, "points": 12})
    content["rule"] = {"name": "averaging"}
    broken = float(open_checkpoint(own / "ft-signs")["0.weight"][0, 0])
    evaluator = own / "evaluator.py"
    evaluator.write_text(
        evaluator.read_text().replace(
            "    model = problem.build()\n",
            f"    if abs(float(params['0.weight'][0, 0]) - {broken!r}) < 1e-7:\n"
            "        raise RuntimeError('out of memory')\n"
            "    model = problem.build()\n",
        )
    )
    estimated = estimate_run_front(open_study(write_recipe(own, content)))
    assert len(estimated.scores) == 5
    assert any("out of memory" in warning for warning in estimated.warnings)


def test_the_stored_front_is_read_until_the_recipe_changes(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    first = estimate_run_front(study).front
    stored = front_of(study)
    np.testing.assert_array_equal(stored.values, first.values)
    np.testing.assert_array_equal(stored.stdev, first.stdev)
    _edit(study.folder.path, front={"points": 5})
    assert len(front_of(open_study(study.folder.path))) < len(first)


def test_a_choice_belongs_to_the_front_it_was_made_on(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    choice = choose_point(study, Knee())
    assert chosen_id(study) == choice.point.id
    _edit(study.folder.path, front={"points": 8})
    edited = open_study(study.folder.path)
    estimate_run_front(edited)
    assert chosen_id(edited) is None
    with pytest.raises(InputError, match="no point of this front was chosen yet"):
        export_point(edited, "chosen", own / "out")


def test_progress_counts_what_is_missing(own: Path) -> None:
    study = open_study(own / "recipe.yaml")
    messages: list[str] = []
    estimate_run_front(study, messages.append)
    assert sum(message.startswith("evaluation ") for message in messages) == 6
    messages.clear()
    estimate_run_front(study, messages.append)
    assert not any(message.startswith("evaluation ") for message in messages)
