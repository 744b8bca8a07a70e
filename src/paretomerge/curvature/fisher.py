"""Diagonal Fisher and Gauss-Newton matrices: mean curvature of one average example, without prior.

    true        F = mean_b E_{y ~ p(·|x_b)} [ (∂ log p(y|x_b))² ]   one sampled label per example
    ggn         the same expectation, exactly: the diagonal of mean_b J_bᵀ H_b J_b
    empirical   F = mean_b (∂ log p(y_b|x_b))²                       observed labels

Kunstner, Hennig & Balles, 2019, Limitations of the Empirical Fisher Approximation for Natural Gradient Descent:
the empirical one is no curvature near an optimum; it is offered, labelled, and ranked by measurement.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from paretomerge.curvature.layers import Labels, backward_passes
from paretomerge.curvature.predictor import LossModel
from paretomerge.types import Batch, Params


@dataclass(frozen=True, eq=False)
class DiagonalFisher:
    """Mean squared per-example gradients, the mean loss at the same place, and the number of examples."""

    diagonal: dict[str, Tensor]
    loss: float
    examples: int
    passes: int
    """Backward passes of single examples: one each, and one per output (less one for classes) for `"ggn"`."""


def diagonal_fisher(
    model: LossModel,
    params: Params,
    batches: Iterable[Batch],
    labels: Labels = "true",
    limit: int | None = None,
    generator: torch.Generator | None = None,
    chunk: int = 32,
) -> DiagonalFisher:
    """Diagonal Fisher or Gauss-Newton matrix at `params`, from the squared gradients of every example.

    The gradients of layers come from one ordinary backward pass per batch (`layers/`), so the cost is about that of
    training on the same examples; parameters in no layer are differentiated example by example.

    Args:
        model: the model and its loss.
        params: where it is taken.
        batches: inputs and targets; the first `limit` examples are read.
        labels: `"true"` samples one label per example from the model, `"ggn"` takes the expectation over all labels,
            at one pass per output; `"empirical"` takes the observed ones.
        limit: number of examples, all when `None`.
        generator: the randomness of the sampled labels.
        chunk: examples differentiated at once, at most, where no layer helps; memory is `chunk` times those parameters
            (fewer examples above a gigabyte), and otherwise two to three times that of an ordinary backward pass,
            with one float64 number per parameter.

    Raises:
        DataError: no examples.
    """
    generator = generator if generator is not None else torch.Generator().manual_seed(0)
    totals = {name: torch.zeros_like(params[name], dtype=torch.float64) for name in model.trainable}
    loss, examples, passes = 0.0, 0, 0
    for signals in backward_passes(model, params, batches, labels, limit, generator, chunk):
        signals.add_squares(totals)
        loss += signals.losses
        examples += signals.examples if signals.first else 0
        passes += signals.examples
    diagonal = {name: (total / examples).to(params[name].dtype) for name, total in totals.items()}
    return DiagonalFisher(diagonal, loss / examples, examples, passes)
