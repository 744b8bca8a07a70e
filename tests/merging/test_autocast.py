"""Merging inside the caller's mixed precision gives what it gives outside, to the last bit."""

from __future__ import annotations

import pytest
import torch
from tests.cases import CASES, Case, Setting

SHAPES = {"blocks.0.weight": (6, 5), "blocks.1.weight": (4, 3)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("batch", [False, True], ids=["one weighting", "three"])
def test_autocast_does_not_reach_the_arithmetic_of_merges(case: Case, batch: bool) -> None:
    setting = case.fitting(Setting.random(SHAPES, torch.float32, 3, seed=3))
    weights = case.weightings(setting) if batch else case.weightings(setting)[0]
    expected = case.merger(setting)(weights)

    with torch.autocast("cpu", torch.bfloat16):
        merged = case.merger(setting)(weights)

    for one, other in zip(merged, expected, strict=True) if batch else [(merged, expected)]:
        for name, tensor in other.items():
            assert torch.equal(one[name], tensor), f"{name} differs by {float((one[name] - tensor).abs().max()):.1e}"
