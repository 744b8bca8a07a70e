from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from paretomerge.posteriors import Dense, Diagonal, Isotropic, Posterior, Product, Subspace
from paretomerge.types import Layout

SHAPES = {"w": (2, 2), "b": (2,), "s": (), "z": (0, 3)}
FAMILIES = ("isotropic", "diagonal", "dense", "subspace", "product")


@dataclass(frozen=True, eq=False)
class Known:
    """A posterior with its mean and precision in the coordinates it has a density over."""

    posterior: Posterior
    mean: Tensor
    precision: Tensor
    coordinates: Callable[[dict], Tensor]
    at: Callable[[Tensor], dict]


def definite(size: int, generator: torch.Generator) -> Tensor:
    root = torch.randn(size, size + 2, generator=generator, dtype=torch.float64)
    return root @ root.T / size + 0.2 * torch.eye(size, dtype=torch.float64)


@pytest.fixture
def known() -> Callable[[str], Known]:
    """A random posterior of one family, beside its mean and precision as plain matrices."""

    def build(family: str, seed: int = 0) -> Known:
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        params = {name: draw(*shape) for name, shape in SHAPES.items()}
        layout = Layout.of(params)
        flat = layout.flatten(params)
        if family == "isotropic":
            return Known(Isotropic(params, 1.7), flat, 1.7 * torch.eye(7).double(), layout.flatten, layout.unflatten)
        if family == "diagonal":
            precision = {name: draw(*shape).exp() for name, shape in SHAPES.items()}
            matrix = torch.diag(layout.flatten(precision))
            return Known(Diagonal(params, precision), flat, matrix, layout.flatten, layout.unflatten)
        if family == "dense":
            matrix = definite(7, generator)
            return Known(Dense(params, matrix), flat, matrix, layout.flatten, layout.unflatten)
        if family == "subspace":
            V, matrix, mean = draw(7, 3), definite(3, generator), draw(3)
            posterior = Subspace(params, V, matrix, matrix @ mean)
            inverse = torch.linalg.pinv(V)
            return Known(
                posterior,
                mean,
                matrix,
                lambda theta: inverse @ (layout.flatten(theta) - flat),
                lambda c: layout.unflatten(flat + V @ c),
            )
        assert family == "product"
        matrix = definite(4, generator)
        first = {"w": params["w"]}
        rest = {name: params[name] for name in SHAPES if name != "w"}
        whole = torch.block_diag(matrix, 0.6 * torch.eye(3).double())
        posterior = Product({"head": Dense(first, matrix), "rest": Isotropic(rest, 0.6)})
        return Known(posterior, flat, whole, layout.flatten, layout.unflatten)

    return build
