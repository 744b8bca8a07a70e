"""Small models that use their layers in every way that per-example gradients must cope with.

Each row: how to build it, inputs of five examples, and which parameters are expected to be read off layers, spread
along a batch axis, idle, or left to differentiation example by example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from paretomerge.curvature import LossModel, parameters_of

COUNT, WIDTH, CLASSES = 5, 4, 3


@dataclass(frozen=True)
class Row:
    build: Callable[[], nn.Module]
    inputs: Callable[[], Tensor]
    spread: dict[str, int] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    separable: bool = True


class Sequence(nn.Module):
    """Something on `[B, S, 4]`, then the mean over positions and a head."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.inner(x)).mean(1))


class Images(nn.Module):
    """Convolutions, then the mean over places and a head."""

    def __init__(self, *inner: nn.Module) -> None:
        super().__init__()
        self.inner = nn.Sequential(*inner)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.inner(x)).flatten(2).mean(2))


class Tokens(nn.Module):
    """Words and positions; positions have one row for all examples, as in BERT."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.words = nn.Embedding(7, WIDTH, **options)
        self.places = nn.Embedding(6, WIDTH)
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, tokens: Tensor) -> Tensor:
        places = self.places(torch.arange(tokens.shape[1])[None])
        return self.head(torch.tanh(self.words(tokens) + places).sum(1))


class Scale(nn.Module):
    """A normalisation that PyTorch does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(1 + 0.1 * torch.randn(WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x / x.square().mean(-1, keepdim=True).sqrt()


class Bare(nn.Module):
    """Parameters without a layer: a class token, positions, and a temperature."""

    def __init__(self, sliced: bool = False) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.position = nn.Parameter(torch.randn(3, WIDTH))
        self.temperature = nn.Parameter(torch.tensor(1.3))
        self.body, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.sliced = sliced

    def forward(self, x: Tensor) -> Tensor:
        position = self.position[: x.shape[1]] if self.sliced else self.position
        x = torch.cat([self.token.expand(len(x), -1, -1), torch.tanh(self.body(x)) + position], 1)
        return self.head(torch.tanh(x).mean(1)) * self.temperature


class Calls(nn.Module):
    """One linear layer called in a way of its own."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.inner, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)
        if how == "zero head":
            nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hidden(x))

    def hidden(self, x: Tensor) -> Tensor:
        if self.how == "twice":
            return torch.tanh(self.inner(torch.tanh(self.inner(x)))).mean(1)
        if self.how in ("outside", "zero head"):
            return (torch.tanh(self.inner(x)) + functional.linear(x, self.inner.weight)).mean(1)
        if self.how == "folded":
            return torch.tanh(self.inner(x.flatten(0, 1))).unflatten(0, x.shape[:2]).mean(1)
        if self.how == "positions first":
            return torch.tanh(self.inner(x.transpose(0, 1))).mean(0)
        if self.how == "by name":
            return torch.tanh(self.inner(input=x)).mean(1)
        if self.how == "overwritten output":
            return torch.relu_(self.inner(x)).mean(1)
        assert self.how == "batch statistics"
        found = torch.tanh(self.inner(x)).mean(1)
        return found - 0.5 * found.mean(0)


class Doubled(nn.Linear):
    """A subclass that changes what its parent does."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)
        self.two.weight = self.one.weight
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.two(torch.tanh(self.one(x)))).mean(1))


class Unused(nn.Module):
    """A layer that only some inputs reach."""

    def __init__(self) -> None:
        super().__init__()
        self.head, self.extra = nn.Linear(WIDTH, CLASSES), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.mean(1)) + (self.extra(x.mean(1)) if x.shape[1] > 3 else 0)


def hooked() -> nn.Module:
    module = Sequence(nn.Linear(WIDTH, WIDTH))
    module.inner[0].register_forward_hook(lambda layer, args, output: 3 * output)
    return module


def frozen(*names: str) -> nn.Module:
    module = Sequence(nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH))
    for name in names:
        module.get_parameter(name).requires_grad_(False)
    return module


def sequence() -> Tensor:
    return torch.randn(COUNT, 3, WIDTH)


def images(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(COUNT, *shape)


def tokens() -> Tensor:
    return torch.tensor([[1, 1, 2, 0], [3, 4, 3, 3], [5, 0, 0, 6], [2, 1, 2, 1], [6, 6, 6, 6]])


INNER = ("inner.weight", "inner.bias")

ZOO: dict[str, Row] = {
    "perceptron": Row(lambda: nn.Sequential(nn.Linear(6, WIDTH), nn.Tanh(), nn.Linear(WIDTH, CLASSES)), images(6)),
    "no bias": Row(lambda: Sequence(nn.Linear(WIDTH, WIDTH, bias=False)), sequence),
    "large": Row(lambda: Sequence(nn.Linear(WIDTH, 300), nn.Tanh(), nn.Linear(300, 300), nn.Linear(300, 4)), sequence),
    "layer norm": Row(lambda: Sequence(nn.Linear(4, 4), nn.LayerNorm(4), nn.LayerNorm((3, 4)), nn.Tanh()), sequence),
    "rms norm": Row(lambda: Sequence(nn.Linear(4, 4), nn.RMSNorm(4), nn.LayerNorm(4, bias=False)), sequence),
    "own norm": Row(lambda: Sequence(nn.Linear(4, 4), Scale(), nn.Linear(4, 4)), sequence, {"inner.1.weight": 1}),
    "conv1d": Row(
        lambda: Images(nn.Conv1d(2, 6, 3, stride=2, padding=1), nn.Tanh(), nn.Conv1d(6, 4, 2, groups=2)), images(2, 9)
    ),
    "conv2d": Row(
        lambda: Images(
            nn.Conv2d(2, 4, (3, 2), padding=(2, 0), dilation=(2, 1)),
            nn.ReLU(inplace=True),
            nn.Conv2d(4, 4, 3, padding="same", padding_mode="reflect", bias=False),
            nn.GroupNorm(2, 4),
            nn.Conv2d(4, 4, 2, stride=(2, 1), padding="valid", groups=4),
        ),
        images(2, 5, 6),
    ),
    "conv3d": Row(lambda: Images(nn.Conv3d(1, 4, (2, 3, 1), stride=(1, 2, 1), padding=(0, 1, 0))), images(1, 3, 4, 2)),
    "batch norm": Row(lambda: Images(nn.Conv1d(2, 4, 2), nn.BatchNorm1d(4), nn.ReLU(inplace=True)), images(2, 6)),
    "transposed convolution": Row(
        lambda: Images(nn.ConvTranspose1d(2, 4, 2)), images(2, 4), rest=("inner.0.weight", "inner.0.bias")
    ),
    "embedding": Row(Tokens, tokens),
    "padding": Row(lambda: Tokens(padding_idx=0), tokens),
    "sparse embedding": Row(lambda: Tokens(sparse=True), tokens),
    "bare": Row(Bare, sequence, {"token": -1, "position": 0, "temperature": 1}),
    "sliced": Row(lambda: Bare(sliced=True), sequence, {"token": -1, "position": 0, "temperature": 1}),
    "twice": Row(lambda: Calls("twice"), sequence),
    "folded": Row(lambda: Calls("folded"), sequence),
    "by name": Row(lambda: Calls("by name"), sequence),
    "overwritten output": Row(lambda: Calls("overwritten output"), sequence),
    "outside": Row(lambda: Calls("outside"), sequence, {"inner.bias": 1}, rest=("inner.weight",)),
    "zero head": Row(lambda: Calls("zero head"), sequence, {"inner.bias": 1}, rest=("inner.weight",)),
    "positions first": Row(
        lambda: Calls("positions first"), sequence, rest=("inner.weight",), spread={"inner.bias": 0}
    ),
    "batch statistics": Row(lambda: Calls("batch statistics"), sequence, separable=False),
    "subclass": Row(lambda: Sequence(Doubled(4, 4)), sequence, {"inner.0.bias": 1}, rest=("inner.0.weight",)),
    "hooked": Row(hooked, sequence),
    "tied": Row(Tied, sequence, {"one.bias": 1}, rest=("one.weight",)),
    "unused": Row(Unused, sequence, idle=("extra.weight", "extra.bias")),
    "frozen weight": Row(lambda: frozen("inner.0.weight", "inner.1.bias", "inner.2.bias"), sequence),
    "frozen layers": Row(lambda: frozen("inner.0.weight", "inner.0.bias", "inner.1.weight"), sequence),
    "attention": Row(
        lambda: Sequence(nn.TransformerEncoderLayer(4, 2, 6, batch_first=True)),
        sequence,
        rest=(
            "inner.0.self_attn.in_proj_weight",
            "inner.0.self_attn.out_proj.weight",
            "inner.0.self_attn.out_proj.bias",
        ),
        spread={"inner.0.self_attn.in_proj_bias": 0},  # positions come first in there, so examples are second to last
    ),
}


def make(name: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Module, inputs and targets, in float64, from a seed of their own."""
    torch.manual_seed(11)
    row = ZOO[name]
    module = row.build().double()
    for buffer_name, buffer in module.named_buffers():
        if buffer_name.endswith("running_var"):
            buffer.add_(torch.rand_like(buffer))
    inputs = row.inputs()
    return module, inputs.double() if inputs.is_floating_point() else inputs, torch.randint(0, CLASSES, (COUNT,))


def squares_by_loop(model, params, batches, labels):
    """Mean squares of gradients, one example and one label (or output) after the other."""
    leaves = {name: params[name].clone().requires_grad_() for name in model.trainable}
    total = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    examples = 0
    for inputs, targets in batches:
        for b in range(len(targets)):
            outputs = model.predict({**params, **leaves}, inputs[b : b + 1])
            sent = [model.likelihood.gradients(outputs.detach(), targets[b : b + 1])]
            if labels == "ggn":
                p = outputs.detach()[0].softmax(-1)
                values, vectors = torch.linalg.eigh(p.diag() - p.outer(p))
                sent = list((vectors * values.clamp(min=0).sqrt()).T[:, None])
            for vector in sent:
                found = torch.autograd.grad(
                    outputs, list(leaves.values()), vector, retain_graph=True, allow_unused=True
                )
                for name, gradient in zip(leaves, found, strict=True):
                    if gradient is not None:
                        total[name] += (gradient.to_dense() if gradient.is_sparse else gradient) ** 2
            examples += 1
    return {name: tensor / examples for name, tensor in total.items()}


def loss_model(name):
    module, inputs, targets = make(name)
    return LossModel.of(module), parameters_of(module.state_dict(), module), inputs, targets


def require_equal(found, expected):
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert torch.allclose(found[name], tensor, rtol=1e-9, atol=1e-14), name
