"""How each family's posterior is made of measured curvature: one function and one row per family.

Every function measures at all `points`, averages, and puts the result around the task's mean.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from paretomerge.curvature.fisher import diagonal_fisher
from paretomerge.curvature.gauss_newton import dense_gauss_newton
from paretomerge.curvature.gradients import mean_loss
from paretomerge.curvature.kronecker import kronecker_curvature
from paretomerge.curvature.low_rank import low_rank_curvature
from paretomerge.curvature.methods import FitDense, FitDiagonal, FitKronecker, FitLowRank
from paretomerge.curvature.predictor import LossModel
from paretomerge.errors import PosteriorError
from paretomerge.posteriors import Curvature, Dense, Diagonal, Isotropic, Kronecker, Posterior, Product
from paretomerge.types import Batch, Params

LARGEST_DENSE = 20_000
"""Parameters of a dense posterior, at most: 3 GB per matrix, of which a merge holds several."""


@dataclass(frozen=True, eq=False)
class TaskData:
    """What the curvature of one task is measured with.

    Args:
        model: the model and its loss.
        mean: the finetuned parameters, the posterior's mean.
        batches: inputs and targets.
        generator: the randomness of sampled labels.
    """

    model: LossModel
    mean: Params
    batches: Sequence[Batch]
    generator: torch.Generator


@dataclass(frozen=True, eq=False)
class TaskCurvature:
    """The curvature of one task without prior, the mean loss at the first point, examples, and backward passes."""

    posterior: Curvature
    loss: float
    examples: int
    passes: int


def fit_diagonal(task: TaskData, points: Sequence[Params], method: FitDiagonal) -> TaskCurvature:
    """The diagonal of the Fisher or Gauss-Newton matrix."""
    found = [
        diagonal_fisher(task.model, point, task.batches, method.labels, method.examples, task.generator)
        for point in points
    ]
    names = task.model.trainable
    precision = {name: torch.stack([each.diagonal[name] for each in found]).mean(0) for name in names}
    posterior = Diagonal({name: task.mean[name] for name in names}, precision)
    return TaskCurvature(posterior, found[0].loss, found[0].examples, sum(each.passes for each in found))


def fit_kronecker(task: TaskData, points: Sequence[Params], method: FitKronecker) -> TaskCurvature:
    """K-FAC or EKFAC for the layers, the diagonal by the same labels for the rest."""
    found = kronecker_curvature(
        task.model,
        points,
        task.batches,
        method.labels,
        method.sharing,
        method.corrected,
        method.examples,
        task.generator,
    )
    covered = [name for factors in found.factors.values() for name in factors.names]
    parts: dict[str, Posterior] = {}
    if covered:
        parts["kronecker"] = Kronecker({name: task.mean[name] for name in covered}, found.factors)
    if found.rest:
        parts["rest"] = Diagonal({name: task.mean[name] for name in found.rest}, found.rest)
    posterior = Product(parts) if len(parts) > 1 else next(iter(parts.values()))
    return TaskCurvature(posterior, found.loss, found.examples, found.passes)


def fit_low_rank(task: TaskData, points: Sequence[Params], method: FitLowRank) -> TaskCurvature:
    """The leading eigenvectors of the Gauss-Newton matrix, and the rest of its diagonal."""
    posterior, passes = low_rank_curvature(task.model, task.mean, points, task.batches, method, task.generator)
    loss, examples = mean_loss(task.model, points[0], task.batches, method.examples)
    return TaskCurvature(posterior, loss, examples, passes)


def fit_dense(task: TaskData, points: Sequence[Params], method: FitDense) -> TaskCurvature:
    """The full Gauss-Newton matrix over some parameters; the rest is isotropic."""
    trainable = task.model.trainable
    names = [name for name in trainable if re.search(method.parameters, name)]
    if not names:
        raise PosteriorError(f"no parameter matches {method.parameters!r}; the first is {trainable[0]!r}")
    _require_small(sum(task.mean[name].numel() for name in names), method)
    found = [dense_gauss_newton(task.model, point, task.batches, names, method.examples) for point in points]
    curvature = torch.stack([each.curvature for each in found]).mean(0)
    dense = Dense({name: task.mean[name] for name in names}, curvature)
    rest = {name: task.mean[name] for name in trainable if name not in names}
    posterior: Posterior = Product({"dense": dense, "rest": Isotropic(rest)}) if rest else dense
    return TaskCurvature(posterior, found[0].loss, found[0].examples, sum(each.passes for each in found))


def _require_small(size: int, method: FitDense) -> None:
    """Refuse a matrix that would take the machine's memory, and with it whatever else runs there."""
    if size > LARGEST_DENSE:
        raise PosteriorError(
            f"parameters={method.parameters!r} matches {size:,} parameters, whose dense curvature is a matrix "
            f"of {8 * size**2 / 1e9:,.1f} GB; at most {LARGEST_DENSE:,} are taken. Name fewer, such as "
            "parameters='^head', or fit a kronecker, low_rank or subspace posterior, which need no such matrix"
        )


FAMILIES: dict[type, Callable[[TaskData, Sequence[Params], Any], TaskCurvature]] = {
    FitDiagonal: fit_diagonal,
    FitKronecker: fit_kronecker,
    FitLowRank: fit_low_rank,
    FitDense: fit_dense,
}
"""Settings → how the family is fitted, for those that fit each task by itself."""


def measured_part(posterior: Curvature) -> Curvature:
    """What was measured of a posterior: all but the isotropic part of a product."""
    if not isinstance(posterior, Product):
        return posterior
    parts = {part: inner for part, inner in posterior.parts.items() if not isinstance(inner, Isotropic)}
    return Product(parts) if len(parts) > 1 else next(iter(parts.values()))
