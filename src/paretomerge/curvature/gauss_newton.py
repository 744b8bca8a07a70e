"""Generalised Gauss-Newton matrices: `A = mean_b J_bᵀ H_b J_b`, never of size P × P unless asked.

The one idea: in a subspace `θ = origin + V c` the Jacobian of the outputs with respect to `c` is `J V`. With
`U = J V [D, B, C]` at hand (`tangents.py`), gradient and curvature are small products:

    b_d   = mean_b  g_bᵀ U_db               g_b = ∂ loss_b / ∂ outputs_b   [C]
    A_de  = mean_b  U_dbᵀ H_b U_eb          H_b = ∂² loss_b / ∂ outputs_b² [C, C]

Schraudolph, 2002, Fast Curvature Matrix-Vector Products for Second-Order Gradient Descent.
Shapes: `D` directions, `B` examples, `C` outputs (positions × vocabulary for token models), `P` parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from paretomerge.curvature.attention import differentiable_attention
from paretomerge.curvature.examples import split_batch, take_examples
from paretomerge.curvature.predictor import LossModel
from paretomerge.curvature.tangents import TangentMode, output_tangents
from paretomerge.posteriors import Basis
from paretomerge.types import Batch, Layout, Params

LARGEST_TANGENTS = 256 * 2**20
"""Bytes of `J V` at once, unless one example alone has more; what is computed from them takes three times as much."""


@dataclass(frozen=True, eq=False)
class Expansion:
    """Second-order expansion of a task's mean loss at a point: loss, gradient `[D]`, curvature `[D, D]`, float64."""

    loss: float
    gradient: Tensor
    curvature: Tensor
    examples: int
    passes: int = 0
    """What it cost: derivatives of single examples, along one direction or of one output."""


def expand_in_subspace(
    model: LossModel,
    params: Params,
    basis: Basis,
    batches: Iterable[Batch],
    limit: int | None = None,
    mode: TangentMode = "auto",
) -> Expansion:
    """Loss, gradient and Gauss-Newton matrix at `params` along the directions of `basis`.

    Costs one Jacobian-vector product per direction and example, or one backward pass per output and example,
    whichever is cheaper (`mode` forces one of them).
    """
    dimension = len(basis)
    gradient = torch.zeros(dimension, dtype=torch.float64)
    curvature = torch.zeros(dimension, dimension, dtype=torch.float64)
    loss, examples = 0.0, 0
    params = {name: tensor.detach() for name, tensor in params.items()}
    passes = 0
    # Forward-mode differentiation has no rule for fused attention kernels.
    with torch.no_grad(), differentiable_attention():
        for batch in take_examples(batches, limit):
            for inputs, targets in split_batch(batch, _examples_at_once(model, params, basis, batch)):
                outputs, tangents, cost = output_tangents(model, params, basis, inputs, targets, mode)
                passes += cost
                loss += float(model.likelihood.losses(outputs, targets).sum())
                slopes = model.likelihood.gradients(outputs, targets)
                gradient += (tangents.reshape(dimension, -1) @ slopes.reshape(-1)).to(torch.float64)
                curved = model.likelihood.curvature_product(outputs, tangents, targets)
                curvature += (tangents.reshape(dimension, -1) @ curved.reshape(dimension, -1).T).to(torch.float64)
                examples += len(targets)
    curvature = (curvature + curvature.T) / (2 * examples)
    return Expansion(loss / examples, gradient / examples, curvature, examples, passes)


def _examples_at_once(model: LossModel, params: Params, basis: Basis, batch: Batch) -> int:
    """How many examples' `J V` are held together: with a vocabulary of outputs per token, not a whole batch's.

    The outputs of one example tell how large they are, where there is one per token and more than one example.
    """
    inputs, targets = batch
    if targets.ndim < 2 or len(targets) == 1:
        return len(targets)
    first, _ = next(split_batch((inputs, targets), 1))
    outputs = model.predict(params, first)
    return max(1, LARGEST_TANGENTS // (len(basis) * outputs.numel() * outputs.element_size()))


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
    loss, examples, passes = 0.0, 0, 0
    with differentiable_attention():
        for inputs, targets in take_examples(batches, limit):

            def outputs_of(vector: Tensor, inputs: Any = inputs) -> Tensor:
                return model.predict({**fixed, **layout.unflatten(vector)}, inputs)

            outputs = outputs_of(start).detach()
            jacobian = torch.func.jacrev(outputs_of)(start).detach()  # [B, C, P]
            tangents = jacobian.movedim(-1, 0)
            loss += float(model.likelihood.losses(outputs, targets).sum())
            gradient += (tangents * model.likelihood.gradients(outputs, targets)).flatten(1).sum(1).to(torch.float64)
            curved = model.likelihood.curvature_product(outputs, tangents, targets).reshape(layout.size, -1)
            curvature += (tangents.reshape(layout.size, -1) @ curved.T).to(torch.float64)
            examples += len(targets)
            passes += outputs.numel()
    curvature = (curvature + curvature.T) / (2 * examples)
    return Expansion(loss / examples, gradient / examples, curvature, examples, passes)
