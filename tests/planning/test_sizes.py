from __future__ import annotations

import pytest
import torch

from paretomerge.planning import ModelSize, transformer_size
from paretomerge.planning.sizes import passes_of_size


def test_sizes_are_those_of_the_tensors() -> None:
    """Counters are stored and not merged."""
    params = {
        "embed.weight": torch.zeros(10, 4),
        "w.weight": torch.zeros(3, 4, dtype=torch.bfloat16),
        "steps": torch.zeros(2, dtype=torch.int64),
    }
    size = ModelSize.of(params)
    assert (size.parameters, size.nbytes, size.largest) == (52, 160 + 24 + 16, 40)
    assert size.by_dtype == {"float32": 40, "bfloat16": 12, "int64": 2}
    assert size.matrices == [(3, 4)]


@pytest.mark.parametrize(
    ("shape", "narrow", "billions"),
    [
        ((80, 8192, 28672, 128256), 1024, 70.554),
        ((32, 4096, 14336, 128256), 1024, 8.030),
        ((32, 4096, 11008, 32000), None, 6.738),
    ],
)
def test_transformers_have_the_parameters_of_their_namesakes(
    shape: tuple[int, int, int, int], narrow: int | None, billions: float
) -> None:
    """Llama 3 70B and 8B, Llama 2 7B, as their model cards count them."""
    size = transformer_size(*shape, key_value_width=narrow)
    assert size.parameters / 1e9 == pytest.approx(billions, abs=0.001)
    assert size.nbytes == 2 * size.parameters


def test_passes_are_two_operations_per_weight_and_position() -> None:
    """All matrices but the embedding; a gradient is three passes."""
    size = transformer_size(2, 8, 16, 32)
    weights = size.parameters - 32 * 8 - 5 * 8
    passes = passes_of_size(size, 10)
    assert passes.forward.flops == 2 * 10 * weights
    assert passes.gradient.flops == 6 * 10 * weights
    assert not passes.traced
