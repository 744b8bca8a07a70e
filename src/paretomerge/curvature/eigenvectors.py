"""The leading eigenvectors of a Gauss-Newton matrix, from products with it: never of size P × P.

    A v = mean_b J_bᵀ H_b (J_b v)      one Jacobian-vector and one vector-Jacobian product per batch

by the Lanczos iteration of ARPACK (Lehoucq, Sorensen & Yang, 1998, ARPACK Users' Guide), to the precision of the
parameters. Shapes: `R` eigenvectors, `B` examples, `C` outputs, `P` parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretomerge.curvature.attention import differentiable_attention
from paretomerge.curvature.examples import take_examples
from paretomerge.curvature.predictor import LossModel
from paretomerge.errors import PosteriorError
from paretomerge.types import Batch, Layout, Params


@dataclass(frozen=True, eq=False)
class Eigenvectors:
    """Eigenvalues `[R]`, largest first, float64; eigenvectors per tensor `[R, *shape]`; and what they cost.

    `passes` counts products of single examples with the curvature, each about three forward passes.
    """

    values: Tensor
    vectors: dict[str, Tensor]
    examples: int
    passes: int


@dataclass(frozen=True, eq=False)
class GaussNewton:
    """`A = mean_b J_bᵀ H_b J_b` at some parameters, as something to multiply with."""

    model: LossModel
    params: Params
    batches: Sequence[Batch]

    @classmethod
    def of(cls, model: LossModel, params: Params, batches: Iterable[Batch], limit: int | None = None) -> GaussNewton:
        """Over (the first `limit`) examples."""
        detached = {name: tensor.detach() for name, tensor in params.items()}
        return cls(model, detached, list(take_examples(batches, limit)))

    @property
    def examples(self) -> int:
        """How many examples the mean is over."""
        return sum(len(targets) for _, targets in self.batches)

    def apply(self, direction: Params) -> dict[str, Tensor]:
        """`A v` for a direction over the trainable parameters."""
        leaves = {name: self.params[name] for name in self.model.trainable}
        fixed = {name: tensor for name, tensor in self.params.items() if name not in leaves}
        tangent = {name: direction[name].to(leaf.dtype) for name, leaf in leaves.items()}
        total = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
        # Forward-mode differentiation has no rule for fused attention kernels.
        with differentiable_attention():
            for inputs, targets in self.batches:

                def outputs_of(leaves: dict[str, Tensor], inputs: Any = inputs) -> Tensor:
                    return self.model.predict({**fixed, **leaves}, inputs)

                moved = torch.func.jvp(outputs_of, (leaves,), (tangent,))[1]
                outputs, pull_back = torch.func.vjp(outputs_of, leaves)[:2]
                curved = self.model.likelihood.curvature_product(outputs, moved[None], targets)[0]
                for name, part in pull_back(curved.to(outputs.dtype))[0].items():
                    total[name] += part.detach()
        return {name: tensor / self.examples for name, tensor in total.items()}


def leading_eigenvectors(curvature: GaussNewton, rank: int, seed: int = 0, tolerance: float = 1e-5) -> Eigenvectors:
    """The `rank` largest eigenvalues of a Gauss-Newton matrix with their eigenvectors.

    Memory is that of about `2·rank + 20` models. Eigenvalues that are zero within rounding are left out, so fewer than
    `rank` may come back.

    Args:
        curvature: the matrix.
        rank: `R`, from 1 to the number of parameters less one.
        seed: of the first direction.
        tolerance: of the eigenvalues, relative.

    Raises:
        PosteriorError: a rank that does not fit, curvature that is zero or not finite, or no convergence.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    layout = Layout({name: tuple(curvature.params[name].shape) for name in curvature.model.trainable})
    if not 1 <= rank < layout.size:
        raise PosteriorError(f"the rank must be from 1 to {layout.size - 1} (the parameters less one), got {rank}")
    dtype = np.float64 if any(curvature.params[name].dtype == torch.float64 for name in layout.shapes) else np.float32
    products = 0

    def apply(vector: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        image = layout.flatten(curvature.apply(layout.unflatten(torch.from_numpy(vector.astype(dtype).reshape(-1)))))
        return image.to(torch.float64).numpy().astype(dtype)

    start = np.random.default_rng(seed).standard_normal(layout.size).astype(dtype)
    if not np.isfinite(first := apply(start)).all() or not np.abs(first).max() > 0:
        raise PosteriorError(
            "the Gauss-Newton matrix is zero or not finite: no example reaches it, or a loss overflows"
        )
    operator = LinearOperator((layout.size, layout.size), matvec=apply, dtype=dtype)
    try:
        values, vectors = eigsh(
            operator, k=rank, which="LA", v0=start, tol=tolerance, ncv=min(layout.size, 2 * rank + 20)
        )
    except ArpackError as error:
        raise PosteriorError(f"the leading eigenvectors did not converge ({error}): ask for a lower rank") from error
    order = np.argsort(values)[::-1]
    resolved = order[values[order] > layout.size**0.5 * np.finfo(dtype).eps * values.max()]
    stacked = torch.from_numpy(np.ascontiguousarray(vectors[:, resolved].T))
    return Eigenvectors(
        torch.from_numpy(values[resolved].astype(np.float64)),
        layout.unflatten(stacked),
        curvature.examples,
        products * curvature.examples,
    )
