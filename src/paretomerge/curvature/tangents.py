"""`J V`: how the outputs of a batch move along each direction of a basis, in forward or in reverse mode.

    forward   one Jacobian-vector product per direction, for the whole batch at once
    reverse   the Jacobian of each example, one backward pass per output, then a product with all directions

Forward wins for few directions, reverse for few outputs: a classifier of two classes and a hundred directions is
twenty times cheaper in reverse. Both give the same numbers.

Shapes: `D` directions, `B` examples, `C` outputs (positions × vocabulary for token models), `P` parameters.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from paretomerge.curvature.per_example import map_inputs, per_example
from paretomerge.curvature.predictor import LossModel
from paretomerge.posteriors import Basis
from paretomerge.types import Params

TangentMode = Literal["auto", "forward", "reverse"]

DIRECTIONS_PER_PASS = 16
JACOBIAN_ELEMENTS = 2**27
"""Largest Jacobian held at once, in numbers."""


def output_tangents(
    model: LossModel, params: Params, basis: Basis, inputs: Any, targets: Tensor, mode: TangentMode = "auto"
) -> tuple[Tensor, Tensor, int]:
    """Outputs `[B, C]`, `J V [D, B, C]`, and how many single-example derivatives it took."""
    if mode != "forward":
        outputs = model.predict(params, inputs)
        # A vectorised product along a direction costs about half of a single example's backward pass.
        if mode == "reverse" or 2 * outputs[0].numel() <= len(basis):
            return outputs, _reverse(model, params, basis, inputs, targets, outputs), outputs.numel()
    outputs, tangents = _forward(model, params, basis, inputs)
    return outputs, tangents, len(basis) * len(targets)


def _forward(model: LossModel, params: Params, basis: Basis, inputs: Any) -> tuple[Tensor, Tensor]:
    found: list[Tensor | None] = [None] * len(basis)
    outputs = None
    for members in _plan_passes(basis):
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


def _plan_passes(basis: Basis) -> list[list[int]]:
    """Directions that touch the same tensors go together: what they do not touch is computed once for all."""
    by_support: dict[tuple[str, ...], list[int]] = {}
    for index, direction in enumerate(basis.directions):
        by_support.setdefault(tuple(direction), []).append(index)
    step = DIRECTIONS_PER_PASS
    return [members[start : start + step] for members in by_support.values() for start in range(0, len(members), step)]


def _reverse(model: LossModel, params: Params, basis: Basis, inputs: Any, targets: Tensor, outputs: Tensor) -> Tensor:
    touched = basis.tensors()
    leaves = {name: params[name] for name in touched}
    fixed = {name: tensor for name, tensor in params.items() if name not in leaves}

    def outputs_of_one(leaves: dict[str, Tensor], inputs: Any, target: Tensor) -> Tensor:
        return model.predict({**fixed, **leaves}, map_inputs(inputs, lambda value: value[None]))[0]

    differentiate = per_example(torch.func.jacrev(outputs_of_one))
    size = outputs[0].numel() * sum(leaf.numel() for leaf in leaves.values())
    chunk = max(1, JACOBIAN_ELEMENTS // size)
    tangents = outputs.new_zeros(len(basis), *outputs.shape)
    for start in range(0, len(targets), chunk):
        part = slice(start, start + chunk)
        with torch.enable_grad():
            jacobian = differentiate(leaves, map_inputs(inputs, lambda value, part=part: value[part]), targets[part])
        for name, used in touched.items():
            stacked = torch.stack([basis.directions[d][name].reshape(-1) for d in used]).to(outputs.dtype)
            flat = jacobian[name].detach().reshape(*outputs[part].shape, stacked.shape[1])
            tangents[torch.tensor(used), part] += (flat @ stacked.T).movedim(-1, 0)  # [used, B, C]
    return tangents
