"""Diagonal Fisher matrices from per-example gradients: mean curvature of one average example.

    true        F = mean_b E_{y ~ p(·|x_b)} [ (∂ log p(y|x_b))² ]   labels sampled from the model
    empirical   F = mean_b (∂ log p(y_b|x_b))²                       observed labels

Kunstner, Hennig & Balles, 2019, Limitations of the Empirical Fisher Approximation for Natural Gradient Descent:
the empirical one is no curvature near an optimum; it is offered, labelled, and ranked by measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from paretomerge.curvature.attention import differentiable_attention
from paretomerge.curvature.examples import take_examples
from paretomerge.curvature.per_example import map_inputs, per_example
from paretomerge.curvature.predictor import LossModel
from paretomerge.types import Batch, Params

FisherLabels = Literal["true", "empirical"]


@dataclass(frozen=True, eq=False)
class DiagonalFisher:
    """Mean squared per-example gradients, the mean loss at the same place, and the number of examples."""

    diagonal: dict[str, Tensor]
    loss: float
    examples: int


def diagonal_fisher(
    model: LossModel,
    params: Params,
    batches: Iterable[Batch],
    labels: FisherLabels = "true",
    limit: int | None = None,
    generator: torch.Generator | None = None,
    chunk: int = 32,
) -> DiagonalFisher:
    """Diagonal Fisher at `params`, one per-example gradient each (vectorised over `chunk` examples).

    Args:
        model: the model and its loss.
        params: where it is taken.
        batches: inputs and targets; the first `limit` examples are read.
        labels: `"true"` samples one label per example from the model, `"empirical"` takes the observed ones.
        limit: number of examples, all when `None`.
        generator: the randomness of the sampled labels.
        chunk: examples differentiated at once; memory is `chunk × P`.
    """
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    leaves = {name: params[name].detach() for name in model.trainable}
    fixed = {name: tensor.detach() for name, tensor in params.items() if name not in leaves}

    def loss_of_one(leaves: dict[str, Tensor], inputs: Any, target: Tensor) -> Tensor:
        outputs = model.predict({**fixed, **leaves}, map_inputs(inputs, lambda value: value[None]))
        return model.likelihood.losses(outputs, target[None])[0]

    differentiate = per_example(torch.func.grad(loss_of_one))
    total = {name: torch.zeros_like(leaf, dtype=torch.float64) for name, leaf in leaves.items()}
    loss, examples = 0.0, 0
    # Per-example differentiation has no rule for fused attention kernels.
    with differentiable_attention():
        for inputs, observed in take_examples(batches, limit):
            with torch.no_grad():
                outputs = model.predict({**fixed, **leaves}, inputs)
            loss += float(model.likelihood.losses(outputs, observed).sum())
            targets = observed if labels == "empirical" else model.likelihood.sample(outputs, generator)
            for start in range(0, len(targets), chunk):
                part = slice(start, start + chunk)
                gradients = differentiate(
                    leaves, map_inputs(inputs, lambda value, part=part: value[part]), targets[part]
                )
                for name, gradient in gradients.items():
                    total[name] += gradient.square().sum(0)
            examples += len(targets)
    diagonal = {name: (tensor / examples).to(leaves[name].dtype) for name, tensor in total.items()}
    return DiagonalFisher(diagonal, loss / examples, examples)
