from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paretomerge.errors import DataError, EvaluationError
from paretomerge.evaluation import CombinedEvaluator, count_examples, evaluate_one, takes_examples
from paretomerge.types import Objective


def whole(params: Any, task: str) -> dict[str, list[float]]:
    return {"size": [params * len(task), 0.0]}


class Parts:
    not_means = ("f1",)

    def count_examples(self, task: str) -> int:
        return 7

    def __call__(self, params: Any, task: str, examples: Any = None) -> np.ndarray:
        return np.arange(7.0) if examples is None else np.asarray(examples, float)


def test_the_metrics_of_all_parts_stand_side_by_side() -> None:
    both = CombinedEvaluator([whole, Parts()])
    assert both(2, "abc")["size"] == [6, 0.0]
    assert both(2, "abc")[""].tolist() == list(range(7))
    objectives = (Objective("size", task="abc", metric="size"), Objective("rest", task="abc", metric=""))
    assert evaluate_one(2, both, objectives).values.tolist() == [3.0, 3.0]


def test_some_examples_are_scored_only_if_every_part_can() -> None:
    both, alone = CombinedEvaluator([whole, Parts()]), CombinedEvaluator([Parts()])
    assert (takes_examples(both), takes_examples(alone)) == (False, True)
    assert alone(1, "a", np.array([4, 2]))[""].tolist() == [4.0, 2.0]
    with pytest.raises(DataError, match="score all examples or none"):
        both(1, "a", np.array([4, 2]))


def test_the_first_part_that_counts_says_how_many_examples_there_are() -> None:
    assert count_examples(CombinedEvaluator([whole, Parts()]), "a") == 7
    assert count_examples(CombinedEvaluator([whole]), "a") is None


def test_what_is_no_mean_in_a_part_is_none_in_all() -> None:
    assert CombinedEvaluator([whole, Parts()]).not_means == ("f1",)


def test_a_name_that_two_parts_give_is_refused() -> None:
    with pytest.raises(EvaluationError, match="two evaluators of task 'a' return the metric 'size'"):
        CombinedEvaluator([whole, whole])(1, "a")


def test_no_parts_are_refused() -> None:
    with pytest.raises(DataError, match="at least one"):
        CombinedEvaluator([])
