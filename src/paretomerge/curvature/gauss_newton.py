"""Generalised Gauss-Newton matrices: `A = mean_b J_bᵀ H_b J_b`, never of size P × P unless asked.

The one idea: in a subspace `θ = origin + V c` the Jacobian of the outputs with respect to `c` is `J V`, one
Jacobian-vector product per direction. With `U = J V [D, B, C]` at hand, loss, gradient and curvature follow with
no backward pass:

    b_d   = mean_b  g_bᵀ U_db               g_b = ∂ loss_b / ∂ outputs_b   [C]
    A_de  = mean_b  U_dbᵀ H_b U_eb          H_b = ∂² loss_b / ∂ outputs_b² [C, C]

Schraudolph, 2002, Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent.
Shapes: `D` directions, `B` examples, `C` outputs, `P` parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from paretomerge.curvature.examples import take_examples
from paretomerge.curvature.predictor import LossModel
from paretomerge.posteriors import Basis
from paretomerge.types import Batch, Layout, Params


@dataclass(frozen=True, eq=False)
class Expansion:
    """Second-order expansion of a task's mean loss at a point: loss, gradient `[D]`, curvature `[D, D]`, float64."""

    loss: float
    gradient: Tensor
    curvature: Tensor
    examples: int


def expand_in_subspace(
    model: LossModel,
    params: Params,
    basis: Basis,
    batches: Iterable[Batch],
    limit: int | None = None,
    directions_per_pass: int = 16,
) -> Expansion:
    """Loss, gradient and Gauss-Newton matrix at `params` along the directions of `basis`.

    Costs one Jacobian-vector product per direction and example; memory is `directions_per_pass` tangents of one
    batch, whatever the number of parameters.
    """
    dimension = len(basis)
    gradient = torch.zeros(dimension, dtype=torch.float64)
    curvature = torch.zeros(dimension, dimension, dtype=torch.float64)
    loss, examples = 0.0, 0
    params = {name: tensor.detach() for name, tensor in params.items()}
    passes = _plan_passes(basis, directions_per_pass)
    # Forward-mode differentiation has no rule for fused attention kernels.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        for inputs, targets in take_examples(batches, limit):
            outputs, tangents = _output_tangents(model, params, basis, passes, inputs)
            loss += float(model.likelihood.losses(outputs, targets).sum())
            gradient += (tangents * model.likelihood.gradients(outputs, targets)).sum((1, 2)).to(torch.float64)
            curved = model.likelihood.curvature_product(outputs, tangents)
            curvature += (tangents.reshape(dimension, -1) @ curved.reshape(dimension, -1).T).to(torch.float64)
            examples += len(targets)
    curvature = (curvature + curvature.T) / (2 * examples)
    return Expansion(loss / examples, gradient / examples, curvature, examples)


def dense_gauss_newton(
    model: LossModel,
    params: Params,
    batches: Iterable[Batch],
    names: Sequence[str],
    limit: int | None = None,
) -> Expansion:
    """The full Gauss-Newton matrix over the parameters `names` (concatenated in that order), `[P, P]`.

    For heads and small models: memory is `B × C × P` for the Jacobian of one batch, plus `P²`.
    """
    layout = Layout({name: tuple(params[name].shape) for name in names})
    fixed = {name: tensor.detach() for name, tensor in params.items() if name not in layout.shapes}
    start = layout.flatten(params).detach()
    gradient = torch.zeros(layout.size, dtype=torch.float64)
    curvature = torch.zeros(layout.size, layout.size, dtype=torch.float64)
    loss, examples = 0.0, 0
    with sdpa_kernel(SDPBackend.MATH):
        for inputs, targets in take_examples(batches, limit):

            def outputs_of(vector: Tensor, inputs: Any = inputs) -> Tensor:
                return model.predict({**fixed, **layout.unflatten(vector)}, inputs)

            outputs = outputs_of(start).detach()
            jacobian = torch.func.jacrev(outputs_of)(start).detach()  # [B, C, P]
            tangents = jacobian.permute(2, 0, 1)
            loss += float(model.likelihood.losses(outputs, targets).sum())
            gradient += (tangents * model.likelihood.gradients(outputs, targets)).sum((1, 2)).to(torch.float64)
            curved = model.likelihood.curvature_product(outputs, tangents).reshape(layout.size, -1)
            curvature += (tangents.reshape(layout.size, -1) @ curved.T).to(torch.float64)
            examples += len(targets)
    curvature = (curvature + curvature.T) / (2 * examples)
    return Expansion(loss / examples, gradient / examples, curvature, examples)


def _plan_passes(basis: Basis, limit: int) -> list[list[int]]:
    """Directions that touch the same tensors go together: what they do not touch is computed once for all."""
    by_support: dict[tuple[str, ...], list[int]] = {}
    for index, direction in enumerate(basis.directions):
        by_support.setdefault(tuple(direction), []).append(index)
    return [
        members[start : start + limit] for members in by_support.values() for start in range(0, len(members), limit)
    ]


def _output_tangents(
    model: LossModel, params: Params, basis: Basis, passes: Sequence[Sequence[int]], inputs: Any
) -> tuple[Tensor, Tensor]:
    """Outputs `[B, C]` and `J V [D, B, C]` of one batch."""
    found: list[Tensor | None] = [None] * len(basis)
    outputs = None
    for members in passes:
        names = list(basis.directions[members[0]])
        primal = {name: params[name] for name in names}
        stacked = {
            name: torch.stack([basis.directions[d][name].to(params[name].dtype) for d in members]) for name in names
        }

        def outputs_of(moved: dict[str, Tensor]) -> Tensor:
            return model.predict({**params, **moved}, inputs)

        def tangent_of(direction: dict[str, Tensor], primal: dict[str, Tensor] = primal) -> tuple[Tensor, Tensor]:
            value, tangent = torch.func.jvp(outputs_of, (primal,), (direction,))[:2]
            return value, tangent

        outputs, tangents = torch.func.vmap(tangent_of, out_dims=(None, 0))(stacked)  # type: ignore[arg-type]
        for index, tangent in zip(members, tangents, strict=True):
            found[index] = tangent
    assert outputs is not None
    return outputs, torch.stack([tangent for tangent in found if tangent is not None])
