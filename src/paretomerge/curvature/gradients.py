"""Loss and gradient of a task at given parameters, averaged over examples."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from paretomerge.curvature.examples import take_examples
from paretomerge.curvature.predictor import LossModel
from paretomerge.types import Batch, Params


@dataclass(frozen=True, eq=False)
class LossGradient:
    """Mean loss, its gradient, the mean of the squared batch gradients, and the number of examples."""

    loss: float
    gradient: dict[str, Tensor]
    squared: dict[str, Tensor]
    examples: int


def mean_loss(
    model: LossModel, params: Params, batches: Iterable[Batch], limit: int | None = None
) -> tuple[float, int]:
    """Mean loss over (the first `limit`) examples, and how many they are."""
    total, examples = 0.0, 0
    with torch.no_grad():
        for inputs, targets in take_examples(batches, limit):
            total += float(model.likelihood.losses(model.predict(params, inputs), targets).sum())
            examples += len(targets)
    return total / examples, examples


def loss_gradient(
    model: LossModel,
    params: Params,
    batches: Iterable[Batch],
    limit: int | None = None,
) -> LossGradient:
    """Mean loss and gradient over (the first `limit`) examples, one backward pass per batch."""
    leaves = {name: params[name].detach().clone().requires_grad_() for name in model.trainable}
    fixed = {name: tensor.detach() for name, tensor in params.items() if name not in leaves}
    total = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    squared = {name: torch.zeros_like(leaf) for name, leaf in leaves.items()}
    loss = 0.0
    examples = count = 0
    for inputs, targets in take_examples(batches, limit):
        losses = model.likelihood.losses(model.predict({**fixed, **leaves}, inputs), targets)
        # Parameters the outputs do not use (another task's head, a pooler) have gradient zero.
        gradients = torch.autograd.grad(losses.mean(), list(leaves.values()), materialize_grads=True)
        for name, gradient in zip(leaves, gradients, strict=True):
            total[name] += gradient * len(losses)
            squared[name] += gradient.square()
        loss += float(losses.detach().sum())
        examples += len(losses)
        count += 1
    return LossGradient(
        loss / examples,
        {name: tensor / examples for name, tensor in total.items()},
        {name: tensor / count for name, tensor in squared.items()},
        examples,
    )
