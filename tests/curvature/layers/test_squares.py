from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretomerge.curvature.layers import squares
from paretomerge.curvature.layers.squares import sum_of_squares, widened

sizes = st.integers(1, 5)


@pytest.mark.parametrize("single", [1, 10**9])
@pytest.mark.parametrize("scratch", [1, 30, 10**9])
@given(examples=sizes, positions=sizes, outputs=sizes, inputs=sizes)
def test_every_path_is_the_loop_over_examples(single, scratch, examples, positions, outputs, inputs):
    torch.manual_seed(0)
    g = torch.randn(examples, positions, outputs, dtype=torch.float64)
    a = torch.randn(examples, positions, inputs, dtype=torch.float64)
    expected = sum((g[b].T @ a[b]) ** 2 for b in range(examples))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(squares, "SINGLE_ELEMENTS", single)
        patch.setattr(squares, "SCRATCH_ELEMENTS", scratch)
        assert torch.allclose(sum_of_squares(g, a), expected, rtol=1e-12, atol=1e-14)


def test_only_half_precision_is_widened():
    for dtype, expected in [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ]:
        assert widened(torch.ones(1, dtype=dtype)).dtype == expected
