"""lm-eval tasks of a recipe, on a tiny language model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.problems.tiny_models import answers, bert, finetuned, inside, write_jsonl
from tests.tiny import read_params, write_recipe

from paretomerge.errors import DataError
from paretomerge.evaluation import count_examples, takes_examples
from paretomerge.stages import Study, estimate_run_front, export_point, open_study
from paretomerge.stages.evaluating.evaluators import check_evaluators, tells_splits_apart
from paretomerge.stages.front import traded_objectives

pytest.importorskip("lm_eval", reason="the optional extra lm-eval is not installed")

from tests.evaluation.harness.local_tasks import own_run, tiny_model, write_tasks


def _study(folder: Path, content: dict[str, Any], name: str = "recipe.yaml") -> Study:
    return open_study(write_recipe(folder, content, name), folder / (name + "-run"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language")
    tiny_model(folder / "base")
    for number, task in enumerate(("film", "other")):
        finetuned(folder / "base", folder / f"ft-{task}", seed=number, size=0.2)
        for split, count in (("training", 12), ("validation", 8), ("test", 8)):
            write_jsonl(folder / "data" / task / f"{split}.jsonl", answers(count, seed=number))
    write_tasks(folder / "tasks")
    return folder


def _recipe(evaluator: Any, **changes: Any) -> dict[str, Any]:
    return {
        "base": "base",
        "tasks": {task: {"checkpoint": f"ft-{task}"} for task in ("film", "other")},
        "evaluator": evaluator,
        "posterior": {"family": "isotropic"},
        "rule": {"name": "averaging"},
        "front": {"method": "spaced", "evaluations": 3, "points": 5},
        **changes,
    }


def test_lm_eval_alone_measures_a_front_as_lm_eval_measures_the_export(folder: Path, tmp_path: Path) -> None:
    evaluator = {
        "lm_eval": {"film": "tiny_choices", "other": {"task": "tiny_answers", "filter": "first word"}},
        "include": "tasks",
        "batch_size": 1,
    }
    study = _study(folder, _recipe(evaluator), "alone.yaml")
    assert [o.name for o in traded_objectives(study)] == ["acc[film]", "exact_match/first word[other]"]
    assert [o.name for o in study.objectives] == [
        "acc[film]",
        "acc_norm[film]",
        "exact_match/first word[other]",
    ]
    found = estimate_run_front(study)
    weights = dict(zip(study.tasks, found.scores.weights[0].tolist(), strict=True))
    exported = export_point(study, weights, tmp_path / "out")
    with inside(folder / "tasks"):
        theirs = own_run(exported, folder / "tasks", ["tiny_choices", "tiny_answers"])["results"]
    assert found.scores.values[0].tolist() == [
        theirs["tiny_choices"]["acc,none"],
        theirs["tiny_answers"]["exact_match,first word"],
    ]


def test_objectives_of_lm_eval_are_remembered_in_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = _study(folder, _recipe({"lm_eval": {"film": "tiny_choices"}, "include": "tasks"}), "known.yaml")
    first = study.objectives

    def asked(*arguments: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("paretomerge.stages.evaluating.harness.harness_objectives", asked)
    assert open_study(study.folder.path).objectives == first
    with (folder / "tasks" / "choices.yaml").open("a", encoding="utf-8") as file:
        file.write("# other metrics, perhaps\n")
    with pytest.raises(AssertionError):
        open_study(study.folder.path).objectives  # noqa: B018


def test_a_task_of_its_own_stands_for_the_test_split(folder: Path) -> None:
    evaluator = {"lm_eval": {"film": {"task": "tiny_choices", "test": "tiny_answers"}}, "include": "tasks"}
    study = _study(folder, _recipe(evaluator), "splits.yaml")
    assert tells_splits_apart(study.recipe)
    params = read_params(folder / "base")
    assert "acc" in study.evaluator("validation")(params, "film")
    assert "exact_match/whole" in study.evaluator("test")(params, "film")
    assert study.evaluator_digest("validation") != study.evaluator_digest("test")


def test_tasks_without_an_lm_eval_task_have_the_problems_metrics(folder: Path) -> None:
    evaluator = [{"lm_eval": {"film": "tiny_choices"}, "include": "tasks"}, {"metrics": ["loss", "exact_match"]}]
    tasks = {task: {"checkpoint": f"ft-{task}", "data": f"data/{task}"} for task in ("film", "other")}
    study = _study(folder, _recipe(evaluator, problem="causal_lm", tasks=tasks), "both.yaml")
    params = read_params(folder / "ft-film")
    found = study.evaluator("test")
    assert set(found(params, "film")) == {"acc", "acc_norm", "loss", "exact_match"}
    assert set(found(params, "other")) == {"loss", "exact_match"}
    shorter = [evaluator[0], {**evaluator[1], "generation": {"max_new_tokens": 1}}]
    other = _study(folder, _recipe(shorter, problem="causal_lm", tasks=tasks), "shorter.yaml")
    assert other.evaluator_digest("test") != study.evaluator_digest("test")


def test_evaluators_of_different_examples_cannot_be_raced_together(folder: Path) -> None:
    tasks = {task: {"checkpoint": f"ft-{task}", "data": f"data/{task}"} for task in ("film", "other")}
    for limit, together in ((8, True), (5, False)):
        harness = {"lm_eval": {"film": "tiny_choices"}, "include": "tasks", "limit": limit}
        content = _recipe([harness, {"metrics": ["loss"]}], problem="causal_lm", tasks=tasks)
        found = _study(folder, content, f"race-{limit}.yaml").evaluator("validation")
        assert takes_examples(found) == together
        assert count_examples(found, "other") == 8


def test_a_task_without_any_evaluator_is_said(folder: Path) -> None:
    evaluator = {"lm_eval": {"film": "tiny_choices"}, "include": "tasks"}
    study = _study(folder, _recipe(evaluator), "one.yaml")
    with pytest.raises(DataError, match="no evaluator scores the task 'other'"):
        study.evaluator("test")(read_params(folder / "base"), "other")


def test_a_classifier_has_no_lm_eval_tasks(folder: Path, tmp_path: Path) -> None:
    bert(tmp_path / "base")
    for task in ("film", "other"):
        finetuned(tmp_path / "base", tmp_path / f"ft-{task}", seed=1)
    evaluator = {"lm_eval": {"film": "tiny_choices"}, "include": str(folder / "tasks")}
    (checked,) = check_evaluators(_study(tmp_path, _recipe(evaluator)))
    assert "is a BertForSequenceClassification" in checked.error
