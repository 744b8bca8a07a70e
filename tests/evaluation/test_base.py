from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from paretomerge.errors import DataError, EvaluationError, WeightsError
from paretomerge.evaluation import as_evaluation, evaluate, evaluate_one, measure_tasks, standard_error
from paretomerge.types import Objective, Weights

A = Objective("loss[a]", task="a", metric="loss")
B = Objective("accuracy[b]", "maximise", task="b", metric="accuracy")
PLAIN = Objective("a")


def _scores(model: float, task: str) -> dict[str, Any]:
    return {"loss": [model, model + 1, model + 2], "accuracy": torch.tensor([1.0, 0.0, 1.0, model])}


def test_values_are_means_and_errors_are_standard_errors_of_the_mean() -> None:
    result = evaluate_one(2.0, _scores, [A, B])
    np.testing.assert_allclose(result.values, [3.0, (1 + 0 + 1 + 2) / 4], rtol=1e-15)
    deviation = math.sqrt(((1 - 1) ** 2 + (0 - 1) ** 2 + (1 - 1) ** 2 + (2 - 1) ** 2) / 3)
    np.testing.assert_allclose(result.stderr, [1 / math.sqrt(3), deviation / 2], rtol=1e-15)


def test_per_example_scores_are_kept_whatever_their_number() -> None:
    examples = evaluate_one(2.0, _scores, [A, B]).examples
    assert {name: column.shape for name, column in examples.items()} == {"loss[a]": (3,), "accuracy[b]": (4,)}
    assert examples["loss[a]"].dtype == np.float64


@pytest.mark.parametrize("returned", [0.25, torch.tensor(0.25), np.float32(0.25), [0.25], {"anything": 0.25}])
def test_one_aggregate_score_has_no_standard_error(returned: Any) -> None:
    result = evaluate_one(None, lambda model, task: returned, [PLAIN])
    assert result.values.tolist() == [0.25]
    assert result.stderr.tolist() == [0.0]


@pytest.mark.parametrize("metric", ["", "acc"])
def test_a_lone_number_may_come_with_its_standard_error(metric: str) -> None:
    objective = Objective("acc[a]", "maximise", task="a", metric=metric)
    result = evaluate_one(None, lambda model, task: {"acc": 0.25, "acc_stderr": [0.02]}, [objective])
    assert (result.values.tolist(), result.stderr.tolist()) == ([0.25], [0.02])


def test_per_example_scores_tell_their_error_themselves() -> None:
    objective = Objective("acc[a]", "maximise", task="a", metric="acc")
    result = evaluate_one(None, lambda model, task: {"acc": [0.0, 1.0], "acc_stderr": 7.0}, [objective])
    assert result.stderr.tolist() == [0.5]


@pytest.mark.parametrize("error", [-0.1, [0.1, 0.2]])
def test_a_standard_error_that_is_none_is_refused(error: Any) -> None:
    objective = Objective("acc[a]", "maximise", task="a", metric="acc")
    with pytest.raises(EvaluationError, match=r"acc_stderr of task 'a' is .*one number of at least 0 beside"):
        evaluate_one(None, lambda model, task: {"acc": 0.25, "acc_stderr": error}, [objective])


def test_what_ends_like_an_error_but_is_of_nothing_is_a_metric_of_its_own() -> None:
    result = evaluate_one(None, lambda model, task: {"acc_stderr": 0.5}, [PLAIN])
    assert result.values.tolist() == [0.5]


def test_the_standard_error_of_equal_scores_is_zero() -> None:
    assert standard_error(np.full(7, 3.0)) == 0.0


def test_the_evaluator_is_called_once_per_task_even_with_several_metrics() -> None:
    calls = []

    def count(model: float, task: str) -> dict[str, Any]:
        calls.append(task)
        return _scores(model, task)

    both = [A, Objective("accuracy[a]", "maximise", task="a", metric="accuracy"), B]
    assert evaluate_one(1.0, count, both).values.shape == (3,)
    assert calls == ["a", "b"]


def test_models_are_taken_one_at_a_time_and_reported_as_they_come() -> None:
    events: list[str] = []

    def models() -> Any:
        for value in (0.0, 5.0):
            events.append(f"made {value:g}")
            yield value

    scores = evaluate(
        models(),
        [[0.4, 0.6], [1.0, 0.0]],
        _scores,
        [A, B],
        origin="trained",
        on_result=lambda index, result: events.append(f"scored {index}: {result.values[0]:g}"),
    )
    assert events == ["made 0", "scored 0: 1", "made 5", "scored 1: 6"]
    assert scores.tasks == ("a", "b")
    assert scores.origin == ("trained", "trained")
    np.testing.assert_array_equal(scores.weights, [[0.4, 0.6], [1.0, 0.0]])
    np.testing.assert_allclose(scores.values[:, 0], [1.0, 6.0])


def test_weights_carry_their_task_names_into_the_columns() -> None:
    weights = Weights(("b", "a"), [[0.9, 0.1]])
    assert evaluate([0.0], weights, _scores, [A, B]).tasks == ("b", "a")
    reordered = evaluate([0.0], weights, _scores, [A, B], tasks=("a", "b"))
    np.testing.assert_array_equal(reordered.weights, [[0.1, 0.9]])
    with pytest.raises(WeightsError, match="'b'"):
        evaluate([0.0], weights, _scores, [A, B], tasks=("a", "c"))


def test_no_models_are_no_scores() -> None:
    scores = evaluate([], np.zeros((0, 2)), _scores, [A, B])
    assert scores.values.shape == (0, 2)


def test_weightings_and_models_must_be_as_many() -> None:
    with pytest.raises(DataError, match="2 models but 1 weightings"):
        evaluate([0.0, 1.0], [[0.5, 0.5]], _scores, [A, B])
    with pytest.raises(DataError, match=r"array \[models, 2 tasks\]"):
        evaluate([0.0], [[0.5, 0.2, 0.3]], _scores, [A, B])
    with pytest.raises(DataError, match="no objectives"):
        evaluate([0.0], [[1.0]], _scores, [])


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (None, EvaluationError, "returned nothing"),
        ("high", EvaluationError, "not a number or an array of numbers: 'high'"),
        ([[1.0, 2.0]], EvaluationError, r"has shape \[1, 2\]: return one score per example"),
        ([], DataError, "evaluation set of task 'a' is empty"),
        ([1.0, math.nan, math.inf], EvaluationError, "NaN or infinite on 2 of 3 examples"),
        ({}, EvaluationError, "returned no metric for task 'a'"),
        ({"f1": 1.0}, EvaluationError, r"'loss\[a\]' needs the metric 'loss', but the evaluator returned 'f1'"),
    ],
)
def test_what_is_no_score_is_refused(returned: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate_one(None, lambda model, task: returned, [A])


def test_an_unnamed_metric_is_ambiguous_among_several() -> None:
    with pytest.raises(EvaluationError, match="needs the metric ''"):
        evaluate_one(1.0, _scores, [PLAIN])


def test_an_exception_of_the_evaluator_names_the_task_and_keeps_its_cause() -> None:
    def breaks(model: Any, task: str) -> Any:
        raise ValueError("token 7 is unknown")

    with pytest.raises(EvaluationError, match="failed on task 'a': ValueError: token 7") as caught:
        evaluate_one(None, breaks, [A])
    assert isinstance(caught.value.__cause__, ValueError)


def test_errors_raised_on_purpose_and_interrupts_pass_through() -> None:
    for error in (DataError("mine"), KeyboardInterrupt()):

        def breaks(model: Any, task: str, error: BaseException = error) -> Any:
            raise error

        with pytest.raises(type(error)) as caught:
            evaluate_one(None, breaks, [A])
        assert caught.value is error


def test_what_was_measured_once_gives_any_objectives() -> None:
    calls: list[str] = []

    def evaluator(model: float, task: str) -> dict[str, Any]:
        calls.append(task)
        return _scores(model, task)

    measured = measure_tasks(2.0, evaluator, ["b", "a"])
    assert calls == ["b", "a"]
    for objectives in ([A], [B, A], [A, B]):
        found, whole = as_evaluation(measured, objectives), evaluate_one(2.0, _scores, objectives)
        assert found.values.tolist() == whole.values.tolist()
        assert list(found.examples) == [objective.name for objective in objectives]


def test_only_the_wanted_examples_are_asked_for() -> None:
    def evaluator(model: float, task: str, examples: Any = None) -> Any:
        return model + (np.arange(5.0) if examples is None else np.arange(5.0)[examples])

    found = measure_tasks(1.0, evaluator, ["a", "b"], {"a": np.array([4, 0])})
    assert found["a"][""].tolist() == [5.0, 1.0]
    assert len(found["b"][""]) == 5
    with pytest.raises(EvaluationError, match="asked for 2 examples of task 'a' and returned 5 as the score"):
        measure_tasks(1.0, lambda model, task, examples: np.zeros(5), ["a"], {"a": np.array([4, 0])})
    with pytest.raises(EvaluationError, match=r"task 'a': TypeError: .*unexpected keyword argument 'examples'"):
        measure_tasks(1.0, lambda model, task: np.zeros(5), ["a"], {"a": np.array([4, 0])})
