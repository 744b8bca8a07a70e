"""Recipes checked before a minute is spent."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.tiny import TASKS, files_below, invoke, read_params, recipe_of, write_recipe

from paretomerge.checkpoints import write_params
from paretomerge.errors import AlignmentError, InputError, RecipeError
from paretomerge.stages import RecipeCheck, check_recipe
from paretomerge.stages.checking import costs


def _statuses(found: RecipeCheck) -> dict[str, list[str]]:
    found_by: dict[str, list[str]] = {}
    for row in found.rows:
        found_by.setdefault(row.what, []).append(row.status)
    return found_by


def test_a_sound_recipe_is_in_order_from_its_methods_to_its_cost(own: Path) -> None:
    before = files_below(own)
    messages: list[str] = []
    found = check_recipe(own / "recipe.yaml", progress=messages.append)
    assert files_below(own) == before
    assert found.ok
    assert found.raise_if_bad() is found
    assert found.alignment is not None
    assert [row.task for row in found.alignment.tasks] == list(TASKS)
    assert _statuses(found) == {
        **{
            what: ["ok"] for what in ("recipe", "methods", "checkpoints", "front", "model", "finetunes", "cost", "disk")
        },
        "data": ["ok"] * 3,
    }
    said = {row.what: row.message for row in found.rows}
    assert said["methods"] == "posterior subspace, rule posterior, front informed"
    assert said["data"] == "swaps: 48 training, 32 validation"
    assert said["front"] == "trades off loss[sums], loss[signs], loss[swaps]"
    assert "front: at most 6 evaluations, about a second or two" in said["cost"]
    assert found.cost is not None
    assert (found.cost.evaluations, found.cost.gradient_passes is not None) == (6, True)
    assert messages[0] == "reading the checkpoints"


def test_quick_runs_no_model(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretomerge.stages.checking.recipe.try_models", lambda *given: pytest.fail("ran"))
    found = check_recipe(own / "recipe.yaml", quick=True)
    assert found.ok
    assert found.cost is None
    assert "model" not in _statuses(found)


def test_a_run_is_checked_like_its_recipe(own: Path) -> None:
    invoke("front", own / "recipe.yaml", "--evaluations", "0")
    assert check_recipe(own / "recipe-run", quick=True).ok
    with pytest.raises(InputError, match="is not a run folder"):
        check_recipe(own / "base")


def test_everything_that_is_wrong_is_found_at_once(own: Path) -> None:
    write_recipe(
        own,
        recipe_of(
            posterior={"family": "subspce"},
            front={"method": "informd", "evaluations": 3},
            problem="problem.py:is_empty",
            max_distance=1e-6,
        ),
    )
    found = check_recipe(own / "recipe.yaml")
    assert not found.ok
    assert [row.what for row in found.rows if row.status == "error"] == ["posterior", "front", "checkpoints", "data"]
    with pytest.raises(InputError, match="4 checks failed") as raised:
        found.raise_if_bad()
    for seen in ("did you mean 'subspace'?", "did you mean 'informed'?", "the limit is 1e-06", "Posteriors|validation"):
        assert any(part in str(raised.value) for part in seen.split("|"))
    assert "(the validation split is needed: merged models are measured on it)" in str(raised.value)


def test_data_are_checked_also_where_a_finetune_cannot_be_opened(own: Path) -> None:
    write_recipe(own, recipe_of(tasks={"sums": {"checkpoint": "nowhere"}}, problem="problem.py:problm"))
    found = check_recipe(own / "recipe.yaml")
    assert found.preflight is None
    assert found.alignment is None
    assert [row.what for row in found.rows if row.status == "error"] == ["checkpoints", "data"]
    assert json.loads(json.dumps(found.as_dict()))["ok"] is False


def test_one_error_keeps_its_class(own: Path) -> None:
    with pytest.raises(AlignmentError, match="the limit is 1e-06"):
        check_recipe(own / "recipe.yaml", max_distance=1e-6).raise_if_bad()
    with pytest.raises(RecipeError, match="there is no recipe"):
        check_recipe(own / "nothing.yaml")


@pytest.mark.parametrize(
    ("front", "seen"),
    [
        ({"metric": "acuracy"}, "no objective has the metric 'acuracy' (did you mean 'accuracy'?)"),
        ({"objectives": ["loss[sum]"]}, "unknown objective 'loss[sum]'"),
        ({"constraints": ["speed <= 3"]}, "speed"),
    ],
)
def test_what_the_front_trades_off_must_be_measured(own: Path, front: dict, seen: str) -> None:
    write_recipe(own, recipe_of(front=front))
    [row] = [row for row in check_recipe(own / "recipe.yaml", quick=True).rows if row.status == "error"]
    assert row.what == "front"
    assert seen in row.message


def test_a_finetune_in_the_wrong_place_is_warned_of(own: Path) -> None:
    tasks = {"sums": {"checkpoint": "ft-sums"}, "signs": {"checkpoint": "ft-swaps"}}
    write_recipe(own, recipe_of(tasks=tasks))
    found = check_recipe(own / "recipe.yaml")
    assert found.ok
    assert any("signs is no better than the base" in row.message for row in found.rows if row.status == "warning")
    answer = invoke("check", own / "recipe.yaml")
    assert "warning: finetunes: signs is no better than the base" in answer.err
    assert "everything fits, with " in answer.out


def test_an_evaluator_alone_needs_no_data_and_costs_what_nobody_knows(own: Path) -> None:
    objectives = [{"name": task, "task": task, "metric": ""} for task in TASKS]
    content = recipe_of(evaluator="evaluator.py:score", objectives=objectives, posterior={"family": "isotropic"})
    del content["problem"]
    write_recipe(own, content)
    found = check_recipe(own / "recipe.yaml")
    assert found.ok
    said = {row.what: row.message for row in found.rows}
    assert "data" not in said
    assert said["cost"] == "front: at most 6 evaluations, at the evaluator's own pace"
    assert found.cost is not None
    assert (found.cost.fit_seconds, found.cost.scoring_seconds) == (None, None)


def test_an_evaluator_that_is_not_there_is_an_error(own: Path) -> None:
    objectives = [{"name": task, "task": task, "metric": ""} for task in TASKS]
    write_recipe(own, recipe_of(evaluator="evaluator.py:scroe", objectives=objectives))
    [row] = [row for row in check_recipe(own / "recipe.yaml").rows if row.status == "error"]
    assert row.what == "evaluator"
    assert "did you mean 'score'?" in row.message


def test_a_full_disk_is_seen_before(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "free_bytes", lambda path: 100)
    found = check_recipe(own / "recipe.yaml")
    [row] = [row for row in found.rows if row.what == "disk"]
    assert row.status == "warning"
    assert "0.00 GB are free" in row.message


def test_warnings_of_the_checkpoints_are_rows(own: Path) -> None:
    half = {name: tensor.to(torch.bfloat16) for name, tensor in read_params(own / "ft-sums").items()}
    write_params(own / "ft-sums", half, overwrite=True)
    found = check_recipe(own / "recipe.yaml", quick=True)
    assert any("torch.bfloat16" in row.message for row in found.rows if row.status == "warning")


def test_the_command_line_says_the_same(own: Path) -> None:
    answer = invoke("check", own / "recipe.yaml")
    assert answer.code == 0
    assert "ok       finetunes: each is better than the base on its own task" in answer.out
    assert answer.out.endswith(f"everything fits\nnext: paretomerge front {own / 'recipe.yaml'}\n")
    quick = invoke("check", own / "recipe.yaml", "--quick", "--json")
    assert quick.json["cost"] is None
    assert quick.json["rows"][0] == {"what": "recipe", "status": "ok", "message": "3 tasks: sums, signs, swaps"}
    assert quick.json["tasks"][0]["task"] == "sums"
    refused = invoke("check", "--base", own / "base", "--task", f"a={own / 'ft-sums'}", "--quick")
    assert refused.code == 2
    assert "--quick goes with a recipe" in refused.err
