"""Random posteriors of every family beside their mean and precision as plain matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from paretomerge.posteriors import (
    Dense,
    Diagonal,
    Isotropic,
    Kronecker,
    KroneckerFactors,
    LowRank,
    Posterior,
    Product,
    Subspace,
)
from paretomerge.types import Layout, Params

FAMILIES = ("isotropic", "diagonal", "kronecker", "low_rank", "dense", "subspace", "product")
SHAPES = {"blocks.0.weight": (2, 2), "blocks.0.bias": (2,), "head.weight": (1, 3)}


@dataclass(frozen=True, eq=False)
class Gaussian:
    """A posterior; its mean `[D]` and precision `[D, D]` in its coordinates; and how parameters give those."""

    posterior: Posterior
    mean: Tensor
    precision: Tensor
    coordinates: Callable[[Params], Tensor]

    def log_density(self, point: Tensor) -> Tensor:
        """By PyTorch's own normal distribution."""
        normal = torch.distributions.MultivariateNormal(self.mean, precision_matrix=self.precision)
        return normal.log_prob(point)


def draw_gaussian(family: str, generator: torch.Generator, spread: float = 1.0, sharpness: float = 1.0) -> Gaussian:
    """A random one; all of a family have the same shapes, origin and directions. `spread` scales the means."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    mean = {name: spread * draw(*shape) for name, shape in SHAPES.items()}
    layout = Layout.of(mean)
    flat = layout.flatten(mean)

    def known(posterior: Posterior, precision: Tensor) -> Gaussian:
        return Gaussian(posterior, flat, precision, layout.flatten)

    if family == "isotropic":
        strength = sharpness * float(draw(1).exp())
        return known(Isotropic(mean, strength), strength * torch.eye(layout.size, dtype=torch.float64))
    if family == "diagonal":
        precision = {name: sharpness * draw(*shape).exp() for name, shape in SHAPES.items()}
        return known(Diagonal(mean, precision), torch.diag(layout.flatten(precision)))
    if family == "kronecker":
        factors, matrix = _layers(layout, draw, sharpness)
        return known(Kronecker(mean, factors), matrix)
    if family == "low_rank":
        diagonal = {name: sharpness * draw(*shape).exp() for name, shape in SHAPES.items()}
        rows = sharpness**0.5 * draw(2, layout.size)
        matrix = torch.diag(layout.flatten(diagonal)) + rows.T @ rows
        return known(LowRank(mean, diagonal, layout.unflatten(rows)), matrix)
    if family == "dense":
        matrix = sharpness * _definite(layout.size, draw)
        return known(Dense(mean, matrix), matrix)
    if family == "subspace":
        return _subspace(layout, draw, spread, sharpness)
    assert family == "product"
    matrix, strength = sharpness * _definite(6, draw), sharpness * float(draw(1).exp())
    body, head = {name: mean[name] for name in list(SHAPES)[:2]}, {"head.weight": mean["head.weight"]}
    whole = torch.block_diag(matrix, strength * torch.eye(3, dtype=torch.float64))
    return known(Product({"body": Dense(body, matrix), "head": Isotropic(head, strength)}), whole)


def _subspace(layout: Layout, draw: Callable[..., Tensor], spread: float, sharpness: float) -> Gaussian:
    fixed = torch.Generator().manual_seed(77)
    origin = torch.randn(layout.size, generator=fixed, dtype=torch.float64)
    directions = torch.randn(layout.size, 3, generator=fixed, dtype=torch.float64)
    matrix, mean = sharpness * _definite(3, draw), spread * draw(3)
    posterior = Subspace(layout.unflatten(origin), directions, matrix, matrix @ mean)
    inverse = torch.linalg.pinv(directions)
    return Gaussian(posterior, mean, matrix, lambda params: inverse @ (layout.flatten(params) - origin))


def _layers(
    layout: Layout, draw: Callable[..., Tensor], sharpness: float
) -> tuple[dict[str, KroneckerFactors], Tensor]:
    """One layer with a bias, one without; their precision as a matrix over all parameters."""
    matrix = torch.zeros(layout.size, layout.size, dtype=torch.float64)
    layers = {}
    for weight, bias in (("blocks.0.weight", "blocks.0.bias"), ("head.weight", None)):
        rows, columns = SHAPES[weight][0], SHAPES[weight][1] + (bias is not None)
        outputs, inputs = (torch.linalg.qr(draw(size, size)).Q for size in (rows, columns))
        values = sharpness * draw(rows, columns).exp()
        layers[weight] = KroneckerFactors(weight, bias, inputs, outputs, values)
        basis = torch.kron(outputs, inputs)
        places = _places(layout, weight, bias)
        matrix[places[:, None], places] = basis @ torch.diag(values.reshape(-1)) @ basis.T
    return layers, matrix


def _places(layout: Layout, weight: str, bias: str | None) -> Tensor:
    """Where the entries of the layer's matrix, bias last, lie in the vector of all parameters."""
    numbers = layout.unflatten(torch.arange(layout.size))
    columns = [numbers[weight], *([numbers[bias][:, None]] if bias else [])]
    return torch.cat(columns, 1).reshape(-1)


def _definite(size: int, draw: Callable[..., Tensor]) -> Tensor:
    root = draw(size, size + 2)
    return root @ root.T / size + 0.2 * torch.eye(size, dtype=torch.float64)
