"""One small posterior of every family, and files changed behind its back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from paretomerge.checkpoints.files import safetensors_files
from paretomerge.posteriors import (
    Basis,
    Dense,
    Diagonal,
    DirectionLabel,
    Isotropic,
    Kronecker,
    KroneckerFactors,
    LowRank,
    Mixture,
    Posterior,
    Product,
    Subspace,
)

MEAN = {
    "w": torch.tensor([[1.0, 2.0]], dtype=torch.float64),
    "b": torch.tensor(3.0, dtype=torch.bfloat16),
    "n": torch.tensor([4]),
}
FLOATING = {"b": torch.tensor([3.0]), "w": torch.tensor([[1.0, 2.0]], dtype=torch.float64)}


def subspace() -> Subspace:
    labels = (DirectionLabel("task_vector", "a", "model"), DirectionLabel("gradient", "b", "h.0"), DirectionLabel())
    directions = ({"w": torch.ones(1, 2)}, {"b": torch.ones(1), "w": torch.tensor([[1.0, -1.0]])}, {})
    return Subspace(FLOATING, Basis(directions, labels), torch.eye(3) * 2, torch.tensor([1.0, 2.0, 0.0]))


def diagonal(prefix: str = "") -> Diagonal:
    mean = {prefix + name: tensor for name, tensor in MEAN.items()}
    precision = {prefix + "w": torch.tensor([[0.0, 2.5]]), prefix + "b": torch.tensor(1e-3)}
    return Diagonal(mean, precision)


def kronecker(seed: int = 0) -> Kronecker:
    """A linear layer with a bias, an embedding without bases, and a convolution with one basis."""
    generator = torch.Generator().manual_seed(seed)

    def basis(size: int) -> torch.Tensor:
        return torch.linalg.qr(torch.randn(size, size, generator=generator))[0]

    mean = {
        "fc.weight": torch.randn(2, 3, generator=generator),
        "fc.bias": torch.randn(2, generator=generator, dtype=torch.float64),
        "emb.weight": torch.randn(5, 2, generator=generator).to(torch.bfloat16),
        "conv.weight": torch.randn(2, 1, 2, 2, generator=generator),
    }
    factors = {
        "fc": KroneckerFactors("fc.weight", "fc.bias", basis(4), basis(2), torch.rand(2, 4, generator=generator)),
        "emb": KroneckerFactors("emb.weight", None, None, None, torch.rand(2, 5, generator=generator), transposed=True),
        "conv": KroneckerFactors("conv.weight", None, None, basis(2), torch.rand(2, 4, generator=generator)),
    }
    return Kronecker(mean, factors)


def low_rank() -> LowRank:
    diagonal = {"w": torch.tensor([[0.5, 2.5]]), "b": torch.tensor([1e-3])}
    factors = {"w": torch.tensor([[[1.0, 2.0]], [[0.0, -1.0]]]), "b": torch.tensor([[0.5], [4.0]])}
    return LowRank(FLOATING, diagonal, factors)


POSTERIORS: dict[str, Callable[[], Posterior]] = {
    "isotropic": lambda: Isotropic(MEAN, 0.1),
    "diagonal": diagonal,
    "kronecker": kronecker,
    "low_rank": low_rank,
    "dense": lambda: Dense(FLOATING, torch.tensor([[2.0, 1.0, 0.0], [1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])),
    "subspace": subspace,
    "product": lambda: Product({"head": subspace(), "body": Product({"x": diagonal("x."), "y": diagonal("y.")})}),
    "mixture": lambda: Mixture([kronecker(0), kronecker(1)], [0.5, 1.5]),
}


def description(path: Path) -> dict[str, Any]:
    """What a file says of itself."""
    return json.loads(safetensors_files.open_safetensors(path).metadata["paretomerge"])


def changed(path: Path, *, drop: str = "", tensors: dict[str, torch.Tensor] | None = None, **entries: object) -> Path:
    """The same file with other entries in its description, other tensors, or without one."""
    file = safetensors_files.open_safetensors(path)
    content = description(path) | entries
    held = {name: file.read(name) for name in file.names if name != drop} | (tensors or {})
    save_file(held, path, {"paretomerge": json.dumps(content)})
    return path
