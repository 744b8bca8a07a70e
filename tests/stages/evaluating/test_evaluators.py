"""What a recipe's `evaluator` does in a run: who scores, what is traded, and what is measured again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.tiny import (
    TASKS,
    calls_in,
    copy_folder,
    import_problem,
    invoke,
    logged_recipe,
    read_params,
    recipe_of,
    write_recipe,
)

from paretomerge.errors import EvaluationError, InputError
from paretomerge.evaluation import SupervisedEvaluator, count_examples, evaluate_one, takes_examples
from paretomerge.stages import Study, estimate_run_front, export_point, open_study
from paretomerge.stages.evaluating.evaluators import check_evaluators, default_objectives, tells_splits_apart
from paretomerge.stages.front import traded_objectives

# Another language, as it were: without torch, and quick to start.
PROGRAM = """
import json, sys
import numpy as np
from safetensors.numpy import load_file
folder, task, split = sys.argv[1:4]
model = load_file(f"{folder}/model.safetensors")
inputs, labels = json.load(open("examples.json"))[task][split]
hidden = np.tanh(np.array(inputs) @ model["0.weight"].T + model["0.bias"])
hits = (hidden @ model["2.weight"].T + model["2.bias"]).argmax(1) == labels
print(json.dumps({"hits": hits.astype(float).tolist(), "size": 51}))
"""
COMMAND = {"command": [sys.executable, "score.py", "{model_dir}", "{task}", "{split}"], "timeout": 60}
HITS = [
    {"name": f"hits of {task}", "task": task, "metric": "hits", "direction": "maximise", "bounds": [0.0, 1.0]}
    for task in TASKS
]
QUICK = {"posterior": {"family": "isotropic"}, "front": {"evaluations": 3, "points": 5}}


@pytest.fixture
def own(tiny: Path, tmp_path: Path) -> Path:
    folder = copy_folder(tiny, tmp_path / "study")
    (folder / "score.py").write_text(PROGRAM, encoding="utf-8")
    data = import_problem(folder).data
    examples = {
        task: {
            split: [torch.cat(parts).tolist() for parts in zip(*data(task, split), strict=True)]
            for split in ("validation", "test")
        }
        for task in TASKS
    }
    (folder / "examples.json").write_text(json.dumps(examples), encoding="utf-8")
    return folder


def _study(folder: Path, content: dict[str, Any], name: str = "recipe.yaml") -> Study:
    return open_study(write_recipe(folder, content, name), folder / (name + "-run"))


def test_a_list_of_one_function_is_the_function(own: Path) -> None:
    plain = _study(own, logged_recipe(), "plain.yaml")
    listed = _study(own, logged_recipe() | {"evaluator": [{"function": "evaluator.py:score"}]}, "listed.yaml")
    assert listed.evaluator("test").__name__ == plain.evaluator("test").__name__ == "score"
    assert listed.evaluator_digest("test") == plain.evaluator_digest("test")
    assert listed.objectives == plain.objectives == default_objectives(listed)


def test_the_default_metrics_by_name_are_the_default(own: Path) -> None:
    plain = _study(own, recipe_of(), "plain.yaml")
    named = _study(own, recipe_of(evaluator={"metrics": ["accuracy", "loss"]}), "named.yaml")
    assert set(named.objectives) == set(plain.objectives)
    assert named.evaluator_digest("test") == plain.evaluator_digest("test")
    params = read_params(own / "base")
    for metric, scores in plain.evaluator("test")(params, "sums").items():
        torch.testing.assert_close(named.evaluator("test")(params, "sums")[metric], scores)


def test_other_metrics_bring_their_objectives_and_are_measured_apart(own: Path) -> None:
    study = _study(own, recipe_of(evaluator={"metrics": "f1"}))
    assert [objective.name for objective in study.objectives] == [f"f1[{task}]" for task in TASKS]
    assert study.evaluator_digest("test") != study.problem_digest("test")
    assert list(study.evaluator("test")(read_params(own / "base"), "sums")) == ["f1"]
    assert [o.metric for o in traded_objectives(study)] == ["f1"] * 3


def test_an_objective_of_the_recipe_stands_in_place_of_the_evaluators_own(own: Path) -> None:
    given = {"name": "how often right", "task": "signs", "metric": "accuracy", "direction": "maximise"}
    study = _study(own, recipe_of(evaluator={"metrics": ["accuracy"]}, objectives=[given]))
    assert [objective.name for objective in study.objectives] == [
        "accuracy[sums]",
        "how often right",
        "accuracy[swaps]",
    ]


def test_several_evaluators_join_their_metrics_and_objectives(own: Path) -> None:
    study = _study(own, recipe_of(evaluator=[{"metrics": ["loss"]}, COMMAND], objectives=HITS))
    assert len(study.objectives) == 6
    evaluator = study.evaluator("validation")
    params = read_params(own / "ft-sums")
    assert set(evaluator(params, "sums")) == {"loss", "hits", "size"}
    found = evaluate_one(params, evaluator, study.objectives)
    expected = SupervisedEvaluator(study.require_problem("test"), "validation")(params, "sums")["accuracy"]
    np.testing.assert_array_equal(found.examples["hits of sums"], expected)
    assert not takes_examples(evaluator)
    assert count_examples(evaluator, "sums") == 32
    assert [objective.metric for objective in traded_objectives(study)] == ["loss"] * 3


def test_metrics_of_one_name_are_an_error(own: Path) -> None:
    study = _study(own, recipe_of(evaluator=[{"metrics": ["loss"]}, {"metrics": ["loss", "f1"]}]))
    with pytest.raises(EvaluationError, match="two evaluators of task 'sums' return the metric 'loss'"):
        study.evaluator("test")(read_params(own / "base"), "sums")


def test_a_command_measures_a_front_and_its_scores_are_those_of_the_program(own: Path) -> None:
    study = _study(own, recipe_of(evaluator=COMMAND, objectives=HITS, **QUICK))
    found = estimate_run_front(study)
    assert len(found.scores) == 3
    weights = dict(zip(TASKS, found.scores.weights[0].tolist(), strict=True))
    params = read_params(export_point(study, weights, own / "out"))
    for column, task in enumerate(TASKS):
        hits = SupervisedEvaluator(study.require_problem("test"), "validation")(params, task)["accuracy"]
        assert found.scores.values[0, column] == pytest.approx(float(hits.double().mean()))
        assert found.scores.stderr[0, column] > 0


def test_a_command_is_told_by_its_words_and_the_files_they_name(own: Path) -> None:
    content = recipe_of(evaluator=COMMAND, objectives=HITS)
    study = _study(own, content)
    first = study.evaluator_digest("test")
    assert first != study.evaluator_digest("validation")
    patient = _study(own, recipe_of(evaluator={**COMMAND, "timeout": 5}, objectives=HITS), "patient.yaml")
    assert first == patient.evaluator_digest("test")
    other = {**COMMAND, "command": [*COMMAND["command"], "--fast"]}
    assert first != _study(own, recipe_of(evaluator=other, objectives=HITS), "o.yaml").evaluator_digest("test")
    (own / "score.py").write_text(PROGRAM + "\n# changed\n", encoding="utf-8")
    assert study.evaluator_digest("test") != first


@pytest.mark.slow
def test_a_command_works_in_worker_processes(own: Path) -> None:
    front = {"evaluations": 3, "points": 5, "workers": 2}
    study = _study(own, recipe_of(evaluator=COMMAND, objectives=HITS, posterior={"family": "isotropic"}, front=front))
    assert len(estimate_run_front(study).scores) == 3


def test_what_knows_splits_says_so(own: Path) -> None:
    def tells(evaluator: Any) -> bool:
        return tells_splits_apart(_study(own, recipe_of(evaluator=evaluator, objectives=HITS), "s.yaml").recipe)

    assert tells(None)
    assert tells({"metrics": ["loss"]})
    assert tells(COMMAND)
    assert not tells("evaluator.py:score")
    assert not tells({"command": "echo {task}"})
    assert tells([{"function": "evaluator.py:score"}, COMMAND])


def test_check_says_of_each_evaluator_whether_it_can_be_used(own: Path) -> None:
    sections = [
        {"metrics": ["acuracy"]},
        {"function": "evaluator.py:scored"},
        {"command": "no-such-program x"},
        COMMAND,
    ]
    study = _study(own, recipe_of(evaluator=sections, objectives=HITS))
    metrics, function, program, good = check_evaluators(study)
    assert "no 'acuracy' (did you mean 'accuracy'?)" in metrics.error
    assert "has no function 'scored' (did you mean 'score'?)" in function.error
    assert "'no-such-program', which is no program" in program.error
    assert (good.what, good.error) == (f"command {sys.executable}", "")
    assert calls_in(own) == 0


def test_a_missing_program_stops_the_front_at_once(own: Path) -> None:
    content = recipe_of(evaluator={"command": "no-such-program {task}"}, objectives=HITS, **QUICK)
    with pytest.raises(InputError, match="no program on this machine"):
        estimate_run_front(_study(own, content))


def test_a_failing_command_is_said_with_its_last_words_on_the_command_line(own: Path) -> None:
    code = "import sys; sys.exit('CUDA went home')"
    content = recipe_of(evaluator={"command": [sys.executable, "-c", code, "{task}"]}, objectives=HITS, **QUICK)
    answer = invoke("front", write_recipe(own, content))
    assert answer.code == 1
    assert "CUDA went home" in answer.err
    assert "Traceback" not in answer.err
