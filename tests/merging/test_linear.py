from __future__ import annotations

import torch

from paretomerge.merging.base import collect_inputs
from paretomerge.merging.linear import combine_block, floating_blocks

INPUTS = collect_inputs(
    {
        "a": {"n": torch.tensor([1]), "w": torch.tensor([[1.0, 2.0]], dtype=torch.bfloat16)},
        "b": {"n": torch.tensor([2]), "w": torch.tensor([[3.0, 5.0]], dtype=torch.bfloat16)},
    }
)


def test_only_floating_point_tensors_are_combined():
    assert list(floating_blocks(INPUTS)) == ["w"]


def test_sums_run_in_float32_at_least_and_over_all_weightings_at_once():
    values = torch.tensor([[0.5, 0.5], [2.0, -1.0]], dtype=torch.float64)
    plain = combine_block(INPUTS, values, "w")
    assert plain.dtype == torch.float32
    assert plain.tolist() == [[[2.0, 3.5]], [[-1.0, -1.0]]]
    origin = {"w": torch.ones(1, 2)}
    assert combine_block(INPUTS, values, "w", origin).tolist() == [[[2.0, 3.5]], [[-1.0, -1.0]]]
    assert combine_block(INPUTS, values[:, :] * 0, "w", origin).tolist() == [[[1.0, 1.0]]] * 2
