from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.errors import DataError, WeightsError
from paretomerge.types import Problem


def make(data):
    return Problem(("sentiment", "topics"), lambda: nn.Linear(1, 1), data)


def test_batches_of_a_task_and_split_are_the_datas_own():
    batches = [(torch.zeros(2, 1), torch.zeros(2))]
    assert make(lambda task, split: batches).batches("topics", "test") is batches


def test_unknown_tasks_and_splits_are_refused():
    problem = make(lambda task, split: [])
    with pytest.raises(WeightsError, match=r"unknown task 'topic' \(did you mean 'topics'\?\)"):
        problem.batches("topic", "test")
    with pytest.raises(DataError, match="unknown split 'train': one of training, validation, test"):
        problem.batches("topics", "train")


@pytest.mark.parametrize("batches", [[], [(torch.zeros(0, 1), torch.zeros(0))]])
def test_a_split_without_examples_is_refused(batches):
    with pytest.raises(DataError, match="the training split of task 'topics' has no examples: check the data path"):
        make(lambda task, split: batches).batches("topics", "training")


def test_examples_of_a_split_are_counted_over_its_batches():
    batches = [(torch.zeros(3, 1), torch.zeros(3)), (torch.zeros(2, 1), torch.zeros(2))]
    assert make(lambda task, split: batches).count_examples("topics", "test") == 5
