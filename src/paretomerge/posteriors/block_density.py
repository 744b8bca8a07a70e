"""The log density of one block at given points, for every kind of block, in float64.

    log N(θ; m, H^-1) = ½ log det(H/2π) - ½‖θ-m‖²_H

The first part does not depend on the point, and a precision is large: whoever comes back with other points keeps the
number (`log_normaliser`) and asks for the second part only (`half_distance`).

A point of a block is, for each kind of natural parameters,

    elementwise   the tensor, [K, *shape]
    matrix        coordinates, [K, D]
    factored      the layer as a matrix, [K, O, I]
    low rank      name → tensor, [K, *shape] each

Shapes: `K` points, `D` coordinates of a block, `R` factors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from paretomerge.posteriors.base import Elementwise, Matrix, cholesky
from paretomerge.posteriors.kronecker import Factored
from paretomerge.posteriors.low_rank import LowRank

Point = Tensor | Mapping[str, Tensor]
"""`K` points of a block, see above."""

_LOG_TWO_PI = math.log(2 * math.pi)


def block_log_density(natural: Any, point: Point) -> Tensor:
    """`log N(θ; m, H^-1)` of one block at `K` points: `[K]`, float64; `-inf` where a precision is zero.

    Raises:
        PosteriorError: a singular matrix.
    """
    return log_normaliser(natural) - half_distance(natural, point)


def log_normaliser(natural: Any) -> float:
    """`½ log det(H/2π)`; `-inf` where a precision is zero.

    Raises:
        PosteriorError: a singular matrix.
    """
    if isinstance(natural, Elementwise):
        precision, count = natural.precision.to(torch.float64), natural.mean.numel()
        total = precision.log().sum() * (count / max(precision.numel(), 1))
        return 0.5 * (float(total) - count * _LOG_TWO_PI) if count else 0.0
    if isinstance(natural, Matrix):
        factor = cholesky(natural.precision, "the precision of a component")
        return float(factor.diagonal().log().sum()) - 0.5 * len(factor) * _LOG_TWO_PI
    if isinstance(natural, Factored):
        values = natural.factors.eigenvalues.to(torch.float64)
        return 0.5 * (float(values.log().sum()) - values.numel() * _LOG_TWO_PI)
    assert isinstance(natural, LowRank)
    return _low_rank_normaliser(natural)


def half_distance(natural: Any, point: Point, centre: Tensor | None = None) -> Tensor:
    """`½‖θ-m‖²_H` at `K` points: `[K]`, float64.

    Args:
        natural: natural parameters of the block.
        point: see the head of this file.
        centre: the mean of a matrix block, from `block_centre`; it is solved for when `None`.
    """
    if isinstance(natural, LowRank):
        assert isinstance(point, Mapping)
        return _low_rank_distance(natural, point)
    assert isinstance(point, Tensor)
    point = point.to(torch.float64)
    if isinstance(natural, Elementwise):
        offset = point.reshape(len(point), natural.mean.numel()) - natural.mean.reshape(-1).to(torch.float64)
        precision = natural.precision.to(torch.float64)
        if not precision.ndim:
            return 0.5 * precision * offset.square().sum(1)
        return 0.5 * (offset.square() @ precision.reshape(-1))
    if isinstance(natural, Matrix):
        mean = block_centre(natural) if centre is None else centre
        assert mean is not None
        offset = point - mean
        return 0.5 * ((offset @ natural.precision) * offset).sum(1)
    assert isinstance(natural, Factored)
    rotated = natural.factors.rotate(point - natural.mean)
    return 0.5 * (natural.factors.eigenvalues.to(torch.float64) * rotated.square()).sum((1, 2))


def block_centre(natural: Any) -> Tensor | None:
    """The mean of a matrix block, `A^-1 η [D]`; `None` for other kinds, which hold theirs.

    Raises:
        PosteriorError: a singular matrix.
    """
    if not isinstance(natural, Matrix):
        return None
    factor = cholesky(natural.precision, "the precision of a component")
    return torch.cholesky_solve(natural.precision_mean[:, None], factor)[:, 0]


def _low_rank_normaliser(natural: LowRank) -> float:
    """`det H = det(D) det(I + U D^-1 Uᵀ)` (Sylvester)."""
    plain, coupling = 0.0, torch.eye(natural.rank, dtype=torch.float64)
    for name in natural.names():
        _, diagonal, factors = natural.read(name)
        plain += 0.5 * (float(diagonal.log().sum()) - len(diagonal) * _LOG_TWO_PI)
        if plain == -math.inf:
            return plain
        coupling += (factors / diagonal) @ factors.T
    return plain + float(cholesky(coupling, "the coupling of the factors").diagonal().log().sum())


def _low_rank_distance(natural: LowRank, point: Mapping[str, Tensor]) -> Tensor:
    count = len(next(iter(point.values())))
    plain, along = torch.zeros(count, dtype=torch.float64), torch.zeros(count, natural.rank, dtype=torch.float64)
    for name in natural.names():
        mean, diagonal, factors = natural.read(name)
        offset = point[name].reshape(count, len(mean)).to(torch.float64) - mean
        plain += offset.square() @ diagonal
        along += offset @ factors.T
    return 0.5 * (plain + along.square().sum(1))
