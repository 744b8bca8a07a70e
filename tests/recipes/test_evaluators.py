"""The recipe's `evaluator`: a function, the problem's metrics, lm-eval tasks, a command, or several of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from paretomerge.errors import RecipeError
from paretomerge.recipes import (
    CommandSection,
    FunctionSection,
    HarnessSection,
    MetricsSection,
    Recipe,
    digest_recipe,
    dump_recipe,
    load_recipe,
    parse_recipe,
)

MINIMAL = {"base": "b", "tasks": {"a": {"checkpoint": "c"}, "b": {"checkpoint": "d"}}, "problem": "p.py:f"}
OBJECTIVES = [{"name": "acc[a]", "task": "a", "metric": "acc"}]
EVERY: list[dict[str, Any]] = [
    {"function": "e.py:score"},
    {"metrics": ["loss", "exact_match"], "generation": {"max_new_tokens": 4, "stop": "\n"}},
    {"lm_eval": {"a": "one", "b": {"task": "two", "few_shot": 3, "metric": "acc"}}, "include": "tasks", "limit": 9},
    {"command": "python 'my evaluate.py' {model_dir}", "timeout": 10, "retries": 0},
]


def _recipe(evaluator: Any, **changes: Any) -> Recipe:
    return parse_recipe({**MINIMAL, "evaluator": evaluator, "objectives": OBJECTIVES, **changes})


def test_every_kind_is_told_by_its_key() -> None:
    kinds = [type(section) for section in _recipe(EVERY).evaluators]
    assert kinds == [FunctionSection, MetricsSection, HarnessSection, CommandSection]


def test_one_section_is_a_list_of_one_and_a_text_is_a_function() -> None:
    assert _recipe(EVERY[1]).evaluator == _recipe([EVERY[1]]).evaluator
    assert _recipe("e.py:score").evaluators == (FunctionSection(function="e.py:score"),)
    assert _recipe("e.py:score").evaluator == "e.py:score"
    assert _recipe(None).evaluators == _recipe([]).evaluators == ()


def test_short_forms_stand_for_long_ones() -> None:
    _, metrics, harness, command = _recipe(EVERY).evaluators
    assert isinstance(metrics, MetricsSection)
    assert metrics.generation.stop == ("\n",)
    assert isinstance(harness, HarnessSection)
    assert (harness.lm_eval["a"].task, harness.lm_eval["b"].few_shot, harness.include) == ("one", 3, ("tasks",))
    assert isinstance(command, CommandSection)
    assert command.words == ("python", "my evaluate.py", "{model_dir}")


def test_a_command_may_be_words_or_a_line_for_a_shell() -> None:
    (words,) = _recipe({"command": ["run", "a b"]}).evaluators
    (line,) = _recipe({"command": "run $X | tail", "shell": True}).evaluators
    assert isinstance(words, CommandSection)
    assert isinstance(line, CommandSection)
    assert words.words == ("run", "a b")
    assert line.words == ("sh", "-c", "run $X | tail")


def test_sections_survive_the_round_trip_through_yaml() -> None:
    recipe = _recipe(EVERY)
    again = parse_recipe(yaml.safe_load(dump_recipe(recipe)))
    assert again == recipe
    assert digest_recipe(again) == digest_recipe(recipe)


def test_the_digest_of_recipes_with_a_function_is_what_it_was() -> None:
    """Runs made before there were sections go on."""
    assert digest_recipe(_recipe("e.py:score")) == "f3148b86faa31e5d71b01ba0f8bf7456c9bc3ac554cf0fb09881dda8944ff687"
    assert digest_recipe(parse_recipe(MINIMAL)) == "8e4c991a9ce904f9c46bc0c5194751c939d36e9c1cad9b021f0520323b81d6b9"


def test_settings_at_their_defaults_change_no_digest() -> None:
    written = {"lm_eval": {"a": {"task": "one", "few_shot": None}}, "network": False}
    assert digest_recipe(_recipe(written)) == digest_recipe(_recipe({"lm_eval": {"a": "one"}}))


def test_paths_are_seen_from_the_recipes_folder(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({**MINIMAL, "evaluator": EVERY, "objectives": OBJECTIVES}), encoding="utf-8")
    function, _, harness, command = load_recipe(path).evaluators
    assert function == FunctionSection(function=f"{tmp_path}/e.py:score")
    assert isinstance(harness, HarnessSection)
    assert harness.include == (str(tmp_path / "tasks"),)
    assert isinstance(command, CommandSection)
    assert command.folder == str(tmp_path)
    assert command.command == EVERY[3]["command"]


@pytest.mark.parametrize(
    ("evaluator", "message"),
    [
        (
            {"metric": ["f1"]},
            r"evaluator: give one of function, metrics, lm_eval, command \(.*'metrics'\?\)",
        ),
        ([EVERY[0], {"timeout": 3}], "evaluator.1: give one of"),
        ({"metrics": ["f1"], "command": "x"}, "evaluator: metrics and command are different evaluators: write a list"),
        ([3], "evaluator: expected a mapping with one of .*, got int"),
        (
            {"command": "x", "timout": 3},
            r"'evaluator.0.timout' \(did you mean 'timeout'\?\); the keys here are com",
        ),
        ({"lm_eval": {"a": {"tsk": "x"}}}, r"'evaluator.0.lm_eval.a.tsk' \(did you mean 'task'\?\); .* task, test"),
        ({"lm_eval": {"a": {"metric": "x"}}}, "evaluator.0.lm_eval.a.task: Field required"),
        ({"lm_eval": {"a": ["x", "y"]}}, "evaluator.0.lm_eval.a: one lm-eval task for each task of the recipe"),
        ({"lm_eval": {"A": "x"}}, r"lm_eval names the task 'A'.*; the recipe's tasks are a, b: write"),
        ({"lm_eval": {}}, "evaluator.0.lm_eval: .*at least 1 item"),
        ({"metrics": []}, "evaluator.0.metrics: .*at least 1 item"),
        ({"metrics": ["f1"], "generation": {"max_tokens": 3}}, "did you mean 'max_new_tokens'"),
        ({"command": ""}, "evaluator.0: command: no program to run"),
        ({"command": "python 'x"}, "command: No closing quotation in"),
        ({"command": ["a"], "shell": True}, "with shell: true it is one text"),
        ({"command": "x", "timeout": 0}, "evaluator.0.timeout: .*greater than 0"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(evaluator: Any, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        _recipe(evaluator)


def test_what_evaluators_need_elsewhere_is_said() -> None:
    with pytest.raises(RecipeError, match="objectives: an evaluator needs a list of objectives"):
        _recipe(EVERY[3], objectives=[])
    with pytest.raises(RecipeError, match="problem: an evaluator's `metrics` are those of a problem"):
        _recipe(EVERY[1], problem=None)
    assert _recipe(EVERY[2], objectives=[], problem=None).objectives == ()
    assert _recipe(EVERY[1], objectives=[]).objectives == ()


def test_a_task_may_be_called_like_a_kind_of_evaluator() -> None:
    tasks = {"<command>": {"checkpoint": "c", "chekpoint": "d"}}
    with pytest.raises(RecipeError, match=r"'tasks\.<command>\.chekpoint'"):
        parse_recipe({**MINIMAL, "tasks": tasks})
