from __future__ import annotations

import numpy as np
import pytest

from paretomerge.errors import DataError
from paretomerge.evaluation import ByTask, CombinedEvaluator, evaluate_one, takes_examples
from paretomerge.types import Objective


class Counted:
    """Scores `count` examples by `offset` plus their numbers."""

    def __init__(self, metric, count, offset=0.0, not_means=()):
        self.metric, self.count, self.offset, self.not_means = metric, count, offset, not_means

    def count_examples(self, task):
        return self.count

    def __call__(self, params, task, examples=None):
        chosen = np.arange(self.count) if examples is None else examples
        return {self.metric: self.offset + chosen.astype(float)}


def test_each_task_is_scored_by_its_own():
    both = ByTask({"a": Counted("hits", 3), "b": Counted("loss", 2, offset=10.0, not_means=("loss",))})
    objectives = [Objective("hits[a]", task="a", metric="hits"), Objective("loss[b]", task="b", metric="loss")]
    assert evaluate_one({}, both, objectives).values.tolist() == [1.0, 10.5]
    assert [both.count_examples(task) for task in "ab"] == [3, 2]
    assert both.not_means == ("loss",)
    assert both({}, "a", examples=np.array([2, 0]))["hits"].tolist() == [2.0, 0.0]


def test_parts_are_scored_only_where_the_evaluators_of_a_task_have_the_same_examples():
    assert takes_examples(ByTask({"a": Counted("hits", 3)}))
    joined = CombinedEvaluator([Counted("hits", 3), Counted("loss", 4)])
    assert not takes_examples(ByTask({"a": joined}))
    assert not takes_examples(ByTask({"a": Counted("hits", 3), "b": lambda params, task: 1.0}))


def test_a_task_that_none_scores_is_refused():
    with pytest.raises(DataError, match="no evaluator scores the task 'b': name it below lm_eval"):
        ByTask({"a": Counted("hits", 3)})({}, "b")
