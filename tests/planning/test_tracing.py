from __future__ import annotations

import pytest
import torch
from torch import nn

from paretomerge.planning import ModelSize, trace_passes
from paretomerge.planning.sizes import passes_of_size
from paretomerge.planning.tracing import Tally, on_meta, spread


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))


def batch(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(count, 8), torch.zeros(count, dtype=torch.long)


def test_products_of_a_perceptron_are_counted_by_hand() -> None:
    """Forward 2 (8·16 + 16·4) per example; backward twice that, less the gradient of the inputs."""
    passes = trace_passes(on_meta(perceptron), [batch(6)], [6])
    assert passes.forward.flops == 2 * (8 * 16 + 16 * 4)
    assert passes.gradient.flops == 3 * passes.forward.flops - 2 * 8 * 16
    assert (passes.outputs, passes.positions, passes.batch) == (4, 1, 6)


def test_traffic_is_what_activations_read_and_write() -> None:
    """Of the forward pass: the tanh alone, 16 numbers in and out; bias and product are one operation."""
    passes = trace_passes(on_meta(perceptron), [batch(6)], [6])
    assert passes.forward.traffic == 2 * 16 * 4
    assert passes.activations == (16 + 16 + 4) * 4


def test_counts_are_the_same_on_tensors_with_values() -> None:
    """Without values nothing else happens."""
    module, inputs = perceptron(), batch(5)[0]
    with torch.no_grad(), Tally() as tally:
        module(inputs)
    passes = trace_passes(on_meta(perceptron), [batch(5)], [5])
    assert tally.work.flops == pytest.approx(5 * passes.forward.flops)
    assert tally.work.traffic == pytest.approx(5 * passes.forward.traffic)


def test_batches_of_several_lengths_are_averaged_over_examples() -> None:
    """An example costs the same in a batch of any size."""
    one = trace_passes(on_meta(perceptron), [batch(2), batch(6)], [2, 6])
    assert one.forward.flops == trace_passes(on_meta(perceptron), [batch(4)], [4]).forward.flops
    assert one.batch == 4


class Hides(nn.Module):
    """Looks at values, as masks are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 4)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if bool((inputs > 0).all()):
            return self.linear(inputs)
        raise AssertionError("a tensor without values hides nothing")


def test_a_module_may_look_at_a_mask() -> None:
    """The answer is that nothing is hidden."""
    assert trace_passes(on_meta(Hides), [batch(3)], [3]).forward.flops == 2 * 8 * 4


def test_a_model_of_any_size_takes_no_memory() -> None:
    """Forty gigabytes of weights."""
    passes = trace_passes(
        on_meta(lambda: nn.Linear(100_000, 100_000)), [(torch.randn(1, 100_000), torch.zeros(1))], [1]
    )
    assert passes.forward.flops == 2e10


def test_a_transformer_from_sizes_is_near_its_count() -> None:
    """Two operations per weight and position, within a tenth; everything else within a factor of two."""
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=352,
        vocab_size=500,
    )
    module = on_meta(lambda: transformers.AutoModelForCausalLM.from_config(config))
    inputs = {"input_ids": torch.zeros(4, 32, dtype=torch.long), "attention_mask": torch.ones(4, 32, dtype=torch.long)}
    counted = trace_passes(module, [(inputs, torch.zeros(4, 32))], [4])
    sized = passes_of_size(ModelSize.of(module.state_dict()), counted.positions)
    assert counted.positions == 32
    assert sized.forward.flops == pytest.approx(counted.forward.flops, rel=0.1)
    assert sized.gradient.flops == pytest.approx(counted.gradient.flops, rel=0.1)
    assert 0.5 < sized.forward.traffic / counted.forward.traffic < 2


def test_what_is_spread_holds_both_ends() -> None:
    """At most so many, evenly."""
    assert spread(range(100), 3) == [0, 50, 99]
    assert spread([1, 2], 6) == [1, 2]
