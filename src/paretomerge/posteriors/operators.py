"""A posterior's precision as an operator on parameters: `H v` and `H^-1 g`, for every family over plain parameters.

Subspace posteriors live in coordinates of their own and are not served here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import Elementwise, Posterior, cholesky
from paretomerge.posteriors.kronecker import Factored
from paretomerge.posteriors.low_rank import LowRank
from paretomerge.types import Params


def precision_product(posterior: Posterior, direction: Params) -> dict[str, Tensor]:
    """`H v`, float64, for a direction `v` of the parameters."""
    found: dict[str, Tensor] = {}
    for block in posterior.blocks():
        image = _product(posterior.natural(block), posterior.restrict(block, direction))
        found.update(posterior.displacement(block, image))
    return found


def precision_solve(posterior: Posterior, gradient: Params) -> dict[str, Tensor]:
    """`H^-1 g`, float64, for a gradient `g`; zero where a diagonal or factored precision is zero.

    Raises:
        PosteriorError: a dense precision that is singular, or a low-rank one with a zero diagonal.
    """
    found: dict[str, Tensor] = {}
    for block in posterior.blocks():
        step = _solution(posterior.natural(block), posterior.restrict(block, gradient))
        found.update(posterior.displacement(block, step))
    return found


def _product(natural: Any, x: Any) -> Any:
    if isinstance(natural, Elementwise):
        return natural.precision.to(torch.float64) * x
    if isinstance(natural, Factored):
        return natural.factors.apply(x)
    if isinstance(natural, LowRank):
        return natural.apply(x)
    return natural.precision @ x


def _solution(natural: Any, x: Any) -> Any:
    if isinstance(natural, Elementwise):
        return _ratio(x, natural.precision.to(torch.float64).expand(x.shape))
    if isinstance(natural, Factored):
        values = natural.factors.eigenvalues.to(torch.float64)
        return natural.factors.rotate_back(_ratio(natural.factors.rotate(x), values))
    if isinstance(natural, LowRank):
        return natural.solve(x)
    return torch.cholesky_solve(x[:, None], cholesky(natural.precision, "the precision"))[:, 0]


def _ratio(x: Tensor, precision: Tensor) -> Tensor:
    if bool((precision < 0).any()):
        raise PosteriorError("a precision is negative")
    return torch.where(precision > 0, x / torch.where(precision > 0, precision, 1.0), 0.0)
