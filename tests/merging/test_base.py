from __future__ import annotations

import numpy as np
import pytest
import torch

from paretomerge.errors import WeightsError
from paretomerge.merging import PosteriorMerge, TaskArithmetic
from paretomerge.merging.base import collect_inputs
from paretomerge.merging.merge import merge_blocks
from paretomerge.merging.values import as_values, is_single
from paretomerge.types import Coefficients, Weights

TASKS = {"a": {"w": torch.ones(2), "v": torch.ones(3)}, "b": {"w": torch.zeros(2), "v": torch.zeros(3)}}


def test_blocks_come_one_by_one_and_are_read_when_they_are_merged():
    class Lazy(dict):
        read: list[str] = []

        def spec(self, name):
            from paretomerge.types import TensorSpec

            return TensorSpec(tuple(self.get(name).shape), self.get(name).dtype)

        def __getitem__(self, name):
            self.read.append(name)
            return super().__getitem__(name)

    inputs = collect_inputs({task: Lazy(params) for task, params in TASKS.items()})
    assert not Lazy.read
    blocks = merge_blocks(inputs, [0.5, 0.5], PosteriorMerge())
    name, tensor = next(blocks)
    assert name == "w"
    assert tensor.tolist() == [[0.5, 0.5]]
    assert set(Lazy.read) == {"w"}
    assert [name for name, _ in blocks] == ["v"]


def test_values_are_in_task_order_and_checked_against_the_rules_domain():
    inputs = collect_inputs(TASKS)
    assert as_values({"b": 0.75, "a": 0.25}, inputs, PosteriorMerge()).tolist() == [[0.25, 0.75]]
    assert as_values([1.5, -1.0], inputs, TaskArithmetic()).tolist() == [[1.5, -1.0]]
    groups = Coefficients(("a", "b"), np.zeros((2, 2)), ("x", "y"))
    with pytest.raises(WeightsError, match="TaskArithmetic takes one coefficient per task, got 2 groups"):
        as_values(groups, inputs, TaskArithmetic())


@pytest.mark.parametrize(
    ("weights", "single"),
    [
        ({"a": 1.0}, True),
        ([1.0], True),
        ([[1.0]], False),
        (torch.ones(1, 1), False),
        (Weights(("a",), [1.0]), True),
        (Weights(("a",), [[1.0]]), False),
        (Coefficients(("a",), [[1.0]]), True),
        (Coefficients(("a",), [[[1.0]]]), False),
    ],
)
def test_one_weighting_is_told_from_a_batch(weights, single):
    assert is_single(weights) == single
