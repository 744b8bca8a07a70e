"""Degenerate numbers, end to end: what is defined, what is refused, and what the documentation says of both."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import invoke, logged_recipe, make_folder, read_params, recipe_of, write_recipe

from paretomerge.checkpoints import write_params
from paretomerge.choices import Knee, choose
from paretomerge.errors import DataError, EvaluationError, ParetomergeError
from paretomerge.evaluation import evaluate_one
from paretomerge.fronts import estimate_front, hypervolume
from paretomerge.types import Objective, Scores

A, B = Objective("a", task="a", metric="loss"), Objective("b", task="b", metric="loss")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("numbers") / "study")


def _front(folder: Path, content: dict[str, Any], name: str, *options: str) -> Any:
    recipe = write_recipe(folder, content, f"{name}.yaml")
    return invoke("front", recipe, "--json", *options)


def _numbers(content: Any) -> list[float]:
    """Every number in a JSON value."""
    if isinstance(content, dict):
        return [number for value in content.values() for number in _numbers(value)]
    if isinstance(content, list):
        return [number for value in content for number in _numbers(value)]
    return [content] if isinstance(content, int | float) and not isinstance(content, bool) else []


def _scores(values: list[list[float]], stderr: float = 0.0) -> Scores:
    array = np.array(values)
    grid = np.linspace(0, 1, len(array))
    weights = np.stack([grid, 1 - grid], axis=1)
    return Scores(("a", "b"), weights, array, np.full(array.shape, stderr), (A, B), ("merged",) * len(array))


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_no_score(score: float) -> None:
    with pytest.raises(EvaluationError, match="NaN or infinite on 1 of 3 examples"):
        evaluate_one(None, lambda model, task: [0.5, score, 0.1], [A])
    with pytest.raises(DataError, match="diverged model"):
        _scores([[score, 1.0]])


@pytest.mark.slow
def test_a_model_with_scores_that_are_not_finite_is_skipped_and_the_others_make_the_front(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (study / "evaluator.py").read_text(encoding="utf-8")
    # Only models of the middle of the simplex fail: the corners are finetunes.
    odd = text.replace(
        "    losses = torch.cat(losses).detach()\n",
        "    losses = torch.cat(losses).detach()\n    if calls == 7:\n        losses[0] = float('inf')\n",
    )
    assert odd != text
    (study / "odd.py").write_text(odd, encoding="utf-8")
    content = logged_recipe()
    content["evaluator"] = "odd.py:score"
    content["front"] = {"evaluations": 6, "points": 10}
    answer = _front(study, content, "odd")
    assert answer.code == 0, answer.err
    assert all(map(math.isfinite, _numbers(answer.json)))


def test_every_score_infinite_ends_the_run_with_a_reason(study: Path) -> None:
    (study / "never.py").write_text("def score(params, task):\n    return [float('inf')] * 3\n", encoding="utf-8")
    content = logged_recipe()
    content["evaluator"] = "never.py:score"
    answer = _front(study, content, "never")
    assert answer.code == 1
    assert "NaN or infinite on 3 of 3 examples" in answer.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "returned", ["[0.5, 0.5, 0.5, 0.5]", "[0.25]", "0.25"], ids=["zero variance", "one example", "aggregate"]
)
def test_a_metric_that_never_changes_gives_a_front_of_finite_numbers(study: Path, returned: str) -> None:
    """All models are equally good: the front is one point in value, whatever its weights."""
    name = f"flat{len(returned)}"
    (study / f"{name}.py").write_text(f"def score(params, task):\n    return {returned}\n", encoding="utf-8")
    content = logged_recipe()
    content["evaluator"] = f"{name}.py:score"
    answer = _front(study, content, name)
    assert answer.code == 0, answer.err
    values = np.array(answer.json["scores"]["values"])
    assert np.allclose(values, values[0])
    assert np.allclose(answer.json["front"]["values"], values[0], atol=1e-6)
    assert all(map(math.isfinite, _numbers(answer.json)))
    report = invoke("report", study / f"{name}-run")
    assert report.code == 0, report.err


@pytest.mark.slow
def test_identical_finetunes_give_one_model_whatever_the_weights(study: Path) -> None:
    params = read_params(study / "ft-sums")
    for task in ("signs", "swaps"):
        write_params(study / f"same-{task}", params)
    tasks = {"sums": {"checkpoint": "ft-sums"}} | {task: {"checkpoint": f"same-{task}"} for task in ("signs", "swaps")}
    answer = _front(study, recipe_of(tasks=tasks), "same")
    assert answer.code == 0, answer.err
    assert all(map(math.isfinite, _numbers(answer.json)))
    merged = study / "same-merged"
    words = [word for task, section in tasks.items() for word in ("--task", f"{task}={study / section['checkpoint']}")]
    weights = "sums=0.2,signs=0.3,swaps=0.5"
    done = invoke("merge", merged, "--base", study / "base", *words, "--weights", weights, "--rule", "averaging")
    assert done.code == 0, done.err
    for name, tensor in read_params(merged).items():
        assert torch.allclose(tensor, params[name], atol=1e-6)


def test_finetunes_that_are_the_base_are_merged_into_the_base(study: Path) -> None:
    words = [word for task in ("a", "b") for word in ("--task", f"{task}={study / 'base'}")]
    done = invoke(
        "merge", study / "still", "--base", study / "base", *words, "--weights", "a=0.5,b=0.5", "--rule", "ties"
    )
    assert done.code == 0, done.err
    base = read_params(study / "base")
    for name, tensor in read_params(study / "still").items():
        assert torch.equal(tensor, base[name])


def test_one_task_has_a_front_of_one_weighting(study: Path) -> None:
    answer = _front(study, recipe_of(tasks={"sums": {"checkpoint": "ft-sums"}}), "single")
    if answer.code:
        assert answer.code == 2
        assert "task" in answer.err
        assert "Traceback" not in answer.err
        return
    assert all(map(math.isfinite, _numbers(answer.json)))
    assert answer.json["front"]["weights"] == [[1.0]]


def test_of_two_tasks_one_dominated_everywhere_leaves_one_point() -> None:
    """Both losses fall with the first weight: its corner is the whole front."""
    scores = _scores([[3.0, 3.0], [2.0, 2.0], [1.0, 1.0]])
    front = estimate_front(scores)
    assert len(front.values) == 1
    assert front.weights.tolist() == [[1.0, 0.0]]
    assert hypervolume(front.values, np.array([4.0, 4.0])) == pytest.approx(9.0)
    assert choose(front, Knee()).point.weights == {"a": 1.0, "b": 0.0}


def test_a_single_measured_model_is_a_front() -> None:
    front = estimate_front(_scores([[1.0, 2.0]]))
    assert len(front.values) == 1


@pytest.mark.parametrize("task", ["sums", "signs", "swaps"])
@pytest.mark.parametrize("rule", ["averaging", "posterior", "weighted_sum"])
def test_a_corner_of_the_simplex_is_the_finetune_itself(study: Path, tmp_path: Path, task: str, rule: str) -> None:
    words = [word for other in ("sums", "signs", "swaps") for word in ("--task", f"{other}={study / f'ft-{other}'}")]
    weights = ",".join(f"{other}={float(other == task)}" for other in ("sums", "signs", "swaps"))
    done = invoke("merge", tmp_path / "m", "--base", study / "base", *words, "--weights", weights, "--rule", rule)
    assert done.code == 0, done.err
    finetune = read_params(study / f"ft-{task}")
    for name, tensor in read_params(tmp_path / "m").items():
        assert torch.allclose(tensor, finetune[name], atol=1e-6)


@pytest.mark.parametrize(
    "weights",
    [
        "sums=nan,signs=0.5,swaps=0.5",
        "sums=inf,signs=0,swaps=0",
        "sums=-1,signs=1,swaps=1",
        "sums=1e308,signs=1e308,swaps=0",
    ],
)
def test_weights_that_are_no_weights_are_refused(study: Path, tmp_path: Path, weights: str) -> None:
    words = [word for other in ("sums", "signs", "swaps") for word in ("--task", f"{other}={study / f'ft-{other}'}")]
    done = invoke(
        "merge", tmp_path / "m", "--base", study / "base", *words, "--weights", weights, "--rule", "averaging"
    )
    assert done.code == 2
    assert not (tmp_path / "m").exists()


def test_zero_variance_and_zero_error_do_not_break_a_surrogate() -> None:
    flat = _scores([[1.0, 2.0]] * 6)
    front = estimate_front(flat)
    assert np.isfinite(front.values).all()


@pytest.mark.slow
def test_json_of_every_result_is_json(study: Path) -> None:
    """No NaN and no Infinity: other readers of JSON know neither."""
    answer = _front(study, recipe_of(), "plain")
    assert answer.code == 0, answer.err
    json.loads(answer.out, parse_constant=pytest.fail)


def test_errors_are_ours() -> None:
    with pytest.raises(ParetomergeError):
        _scores([])
