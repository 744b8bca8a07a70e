from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from paretomerge.curvature import LossModel, parameters_of
from paretomerge.types import Batch, Params


class Attention(nn.Module):
    """Every way to attend in PyTorch: the function, the module, and the module with a fast path of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(4, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(4, 2, 6, batch_first=True, dropout=0.1)
        self.head = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.attend(inputs, inputs, inputs)[0]
        hidden = nn.functional.scaled_dot_product_attention(hidden[:, None], hidden[:, None], hidden[:, None])[:, 0]
        return self.head(self.layer(hidden).mean(1))


class Tied(nn.Module):
    """The output layer is the embedding, as in language models."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.mix = nn.Linear(3, 3)
        self.out = nn.Linear(3, 5, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(torch.tanh(self.mix(self.embed(tokens).mean(1))))


@dataclass(frozen=True, eq=False)
class Setup:
    """A module with random parameters, and batches of uneven sizes."""

    module: nn.Module
    model: LossModel
    params: Params
    batches: list[Batch]

    @property
    def whole(self) -> list[Batch]:
        """All examples in one batch."""
        inputs = torch.cat([x for x, _ in self.batches])
        return [(inputs, torch.cat([y for _, y in self.batches]))]


def make(module: nn.Module, inputs: Tensor, targets: Tensor, likelihood: str) -> Setup:
    module = module.double()
    # Copies: what a test does to the module must not change the parameters, or the other way round.
    params = parameters_of({name: tensor.clone() for name, tensor in module.state_dict().items()}, module)
    sizes = [4, 1, len(targets) - 5]
    batches = list(zip(inputs.split(sizes), targets.split(sizes), strict=True))
    return Setup(module, LossModel.of(module, likelihood), params, batches)


@pytest.fixture
def setup_of() -> Callable[[str], Setup]:
    """`mlp`, `regression`, `linear`, `attention` or `tied`."""

    def build(name: str) -> Setup:
        torch.manual_seed(7)
        inputs = torch.randn(9, 3, dtype=torch.float64)
        classes = torch.randint(0, 3, (9,))
        if name == "mlp":
            return make(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)), inputs, classes, "categorical")
        if name == "linear":
            return make(nn.Linear(3, 3), inputs, classes, "categorical")
        if name == "regression":
            targets = torch.randn(9, 2, dtype=torch.float64)
            return make(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), inputs, targets, "gaussian")
        if name == "attention":
            return make(Attention(), torch.randn(9, 5, 4, dtype=torch.float64), classes, "categorical")
        assert name == "tied"
        return make(Tied(), torch.randint(0, 5, (9, 2)), torch.randint(0, 5, (9,)), "categorical")

    return build


@pytest.fixture
def mean_loss() -> Callable[[Setup, Params], Tensor]:
    """The loss of all examples, by calling the module itself: the twin of what the package does."""

    def loss(setup: Setup, params: Params) -> Tensor:
        inputs, targets = setup.whole[0]
        outputs = torch.func.functional_call(setup.module, dict(params), (inputs,))
        if targets.dtype == torch.long:
            return nn.functional.cross_entropy(outputs, targets)
        return 0.5 * nn.functional.mse_loss(outputs, targets, reduction="sum") / len(targets)

    return loss


@pytest.fixture
def tiny_bert() -> Callable[[str], Setup]:
    """A one-layer BERT classifier on padded inputs; `attn_implementation` is `eager` or `sdpa`."""
    transformers = pytest.importorskip("transformers", reason="the optional extra hf is not installed")

    def build(attention: str) -> Setup:
        torch.manual_seed(3)
        config = transformers.BertConfig(
            vocab_size=12,
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=8,
            max_position_embeddings=6,
            num_labels=3,
            attn_implementation=attention,
        )
        module = transformers.BertForSequenceClassification(config).double().eval()
        params = parameters_of({name: tensor.clone() for name, tensor in module.state_dict().items()}, module)
        batches = []
        for size in (3, 2):
            lengths = torch.randint(2, 6, (size, 1))
            inputs = {
                # No token 0: backward passes leave the padding token's embedding out, forward passes do not.
                "input_ids": torch.randint(1, 12, (size, 5)),
                "attention_mask": (torch.arange(5)[None] < lengths).long(),
            }
            batches.append((inputs, torch.randint(0, 3, (size,))))
        return Setup(module, LossModel.of(module), params, batches)

    return build
