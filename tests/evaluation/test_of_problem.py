from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.evaluation.test_multiple_choice import quizzes
from tests.problems.tiny_models import llama

from paretomerge.checkpoints import open_checkpoint
from paretomerge.errors import DataError
from paretomerge.evaluation import (
    METRICS,
    CombinedEvaluator,
    ExactMatchEvaluator,
    MultipleChoiceEvaluator,
    SupervisedEvaluator,
    evaluate_one,
    metrics_of,
    problem_evaluator,
    problem_objectives,
    require_means,
    takes_examples,
)
from paretomerge.problems import causal_lm_problem, causal_lm_questions
from paretomerge.types import Params, Problem, Questions

DATA = {"a": {"test": quizzes(23)}}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Problem, Questions, Params]:
    folder = llama(tmp_path_factory.mktemp("models") / "base", initializer_range=1.0)
    checkpoint = open_checkpoint(folder)
    settings: dict[str, Any] = {"choices": "choices", "batch_size": 5}
    params = {name: checkpoint[name] for name in checkpoint}
    return causal_lm_problem(folder, DATA, **settings), causal_lm_questions(folder, DATA, **settings), params


def test_only_what_is_wanted_is_computed(made: Any) -> None:
    problem, questions, _ = made
    assert isinstance(problem_evaluator(problem), SupervisedEvaluator)
    assert problem_evaluator(problem).metrics == ("loss", "accuracy")  # type: ignore[union-attr]
    assert isinstance(problem_evaluator(problem, "test", ["exact_match"], questions), ExactMatchEvaluator)
    assert isinstance(problem_evaluator(problem, "test", ["choice_accuracy"], questions), MultipleChoiceEvaluator)


def test_every_metric_of_a_language_model_at_once_is_that_of_each_alone(made: Any) -> None:
    problem, questions, params = made
    names = metrics_of(problem)
    both = problem_evaluator(problem, "test", names, questions, {"max_new_tokens": 4})
    assert isinstance(both, CombinedEvaluator)
    result = evaluate_one(params, both, problem_objectives(problem, names))
    assert list(result.examples) == [f"{name}[a]" for name in names]
    assert {len(scores) for scores in result.examples.values()} == {23}
    for name in names:
        alone = evaluate_one(
            params,
            problem_evaluator(problem, "test", [name], questions, {"max_new_tokens": 4}),
            problem_objectives(problem, [name]),
        )
        np.testing.assert_array_equal(alone.examples[f"{name}[a]"], result.examples[f"{name}[a]"])


def test_one_module_serves_all_parts(made: Any) -> None:
    problem, questions, _ = made
    built: list[Any] = []
    counted = replace(problem, build=lambda: built.append(problem.build()) or built[-1])
    problem_evaluator(counted, "test", ["loss", "exact_match", "choice_accuracy"], questions)
    assert len(built) == 1


def test_scores_of_different_parts_are_of_the_same_examples(made: Any) -> None:
    """A model that knows the right choice of some examples has a low loss just there."""
    problem, questions, _ = made
    tokens = [
        row[mask.bool()].tolist()
        for inputs, _ in problem.batches("a", "test")
        for row, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    ]
    asked = questions.of("a", "test")
    right = [(*question.prompt, *question.choices[question.right].tokens, 2) for question in asked]
    assert tokens == [list(row) for row in right]


def test_parts_can_be_raced_unless_a_metric_is_no_mean(made: Any) -> None:
    problem, questions, params = made
    raced = problem_evaluator(problem, "test", ["loss", "exact_match", "choice_accuracy"], questions)
    require_means(raced)
    assert takes_examples(raced)
    whole, some = raced(params, "a"), raced(params, "a", np.array([4, 1]))
    torch.testing.assert_close(some["loss"], whole["loss"][[4, 1]], rtol=1e-4, atol=1e-5)
    assert some["choice_accuracy"].tolist() == whole["choice_accuracy"][[4, 1]].tolist()
    with pytest.raises(DataError, match="'perplexity' is no mean over examples"):
        require_means(problem_evaluator(problem, "test", ["perplexity", "exact_match"], questions))


def test_what_is_missing_is_named(made: Any) -> None:
    problem, questions, _ = made
    with pytest.raises(DataError, match="'exact_match' needs prompts and answers as text"):
        problem_evaluator(problem, "test", ["loss", "exact_match"])
    with pytest.raises(DataError, match="the questions have no task 'a'"):
        problem_evaluator(problem, "test", ["exact_match"], replace(questions, tasks=("b",)))
    with pytest.raises(DataError, match=r"generation: unknown setting 'max_tokens' \(did you mean 'max_new_tokens'\?"):
        problem_evaluator(problem, "test", ["exact_match"], questions, {"max_tokens": 3})
    with pytest.raises(DataError, match="has no 'f1': it has loss, accuracy"):
        problem_evaluator(problem, "test", ["f1"])


def test_every_metric_has_an_evaluator() -> None:
    assert {metric.source for metric in METRICS.values()} == {"batches", "answers", "choices"}
