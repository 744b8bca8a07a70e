from __future__ import annotations

import pytest
import torch

from paretomerge.errors import WeightsError
from paretomerge.merging.base import collect_inputs
from paretomerge.merging.linear import combine_block, floating_blocks, read_tensors

INPUTS = collect_inputs(
    {
        "a": {"n": torch.tensor([1]), "w": torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16)},
        "b": {"n": torch.tensor([2]), "w": torch.tensor([[3.0, 5.0]], dtype=torch.bfloat16)},
    }
)


def test_only_floating_point_tensors_are_combined():
    assert list(floating_blocks(INPUTS)) == ["w"]


def test_all_weightings_are_summed_at_once_and_rounded_once():
    values = torch.tensor([[0.5, 0.5], [2.0, -1.0]], dtype=torch.float64)
    out = torch.empty(2, 1, 2)
    combine_block(INPUTS, values, read_tensors(INPUTS, "w"), out)
    assert out.tolist() == [[[2.0, 3.5]], [[-1.0, -1.0]]]


@pytest.mark.parametrize(("accumulate", "expected"), [(None, 0.0), (torch.float64, 2.0**-30)])
def test_sums_run_in_float32_at_least_and_in_float64_on_request(accumulate, expected):
    tasks = {"a": {"w": torch.tensor([1.0])}, "b": {"w": torch.tensor([2.0**-30])}, "c": {"w": torch.tensor([-1.0])}}
    inputs = collect_inputs(tasks, accumulate=accumulate)
    out = torch.empty(1, 1, dtype=torch.float64 if accumulate else torch.float32)
    combine_block(inputs, torch.ones(1, 3, dtype=torch.float64), read_tensors(inputs, "w"), out)
    assert out.item() == expected


def test_only_float32_and_float64_accumulate():
    with pytest.raises(WeightsError, match=r"float32 or float64, not in torch\.float16"):
        collect_inputs({"a": {"w": torch.zeros(1)}}, accumulate=torch.float16)
