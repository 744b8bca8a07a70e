"""`J V`: how the outputs of a batch move along each direction of a basis, in forward or in reverse mode.

    forward   one Jacobian-vector product per direction, for the whole batch at once
    reverse   one backward pass per output; what goes into each layer and comes back gives every example's gradient,
              and a product with all directions (`layers/`)

Forward wins for few directions, reverse for few outputs: a classifier of two classes and a hundred directions is
twenty times cheaper in reverse. Both give the same numbers.

Shapes: `D` directions, `B` examples, `C` outputs (positions × vocabulary for token models), `P` parameters.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from paretomerge.curvature.layers import backward_passes
from paretomerge.curvature.predictor import LossModel
from paretomerge.posteriors import Basis
from paretomerge.types import Params

TangentMode = Literal["auto", "forward", "reverse"]

DIRECTIONS_PER_PASS = 16
EXAMPLES_AT_ONCE = 32
"""Where parameters are in no layer, and examples are differentiated one by one."""


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
    directions = {
        name: (
            torch.tensor(used, device=params[name].device),
            torch.stack([basis.directions[d][name].to(params[name].device) for d in used]),
        )
        for name, used in basis.tensors().items()
    }
    places = outputs[0].numel()
    tangents = outputs.new_zeros(len(basis), len(targets), places)
    start = 0
    generator = torch.Generator()  # nothing is sampled
    passes = backward_passes(model, params, [(inputs, targets)], "outputs", None, generator, EXAMPLES_AT_ONCE)
    for number, signals in enumerate(passes):
        place = number % places
        signals.along(directions, tangents[:, start : start + signals.examples, place])
        start += signals.examples if place == places - 1 else 0
    return tangents.reshape(len(basis), *outputs.shape)
