"""From finetunes and data to posteriors.

`fit_curvatures` serves all tasks of a problem at once (centred expansions need every finetune to know where merges
land); `fit_posterior` serves one checkpoint by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from paretomerge.curvature.fisher import diagonal_fisher
from paretomerge.curvature.gauss_newton import dense_gauss_newton
from paretomerge.curvature.methods import FitDense, FitDiagonal, FitIsotropic, FitMethod, FitSubspace
from paretomerge.curvature.predictor import LossModel, parameters_of
from paretomerge.curvature.subspaces import Progress, SubspaceFit, fit_at_finetunes, fit_centred
from paretomerge.errors import PosteriorError
from paretomerge.posteriors import (
    Dense,
    Diagonal,
    Isotropic,
    Posterior,
    PredictedLoss,
    Product,
    damp,
)
from paretomerge.types import Batch, Ledger, Params, Problem, Split, spec_of


@dataclass(frozen=True, eq=False)
class Curvatures:
    """The curvature of every task, without prior, and what measuring it cost.

    Args:
        method: the settings it was fitted with.
        losses: task → the task's loss as its curvature sees it; empty for isotropic posteriors, which measure
            nothing.
        bare: task → posterior without damping.
        ledger: gradient passes and seconds.
    """

    method: FitMethod
    bare: Mapping[str, Posterior]
    losses: Mapping[str, PredictedLoss] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger)

    def posteriors(self, damping: float | None = None) -> dict[str, Posterior]:
        """Posteriors with the method's damping, or another one."""
        return damp(self.bare, self.method.damping if damping is None else damping)


def fit_curvatures(
    problem: Problem,
    base: Params,
    finetunes: Mapping[str, Params],
    method: FitMethod = FitSubspace(),
    split: Split = "training",
    seed: int = 0,
    progress: Progress = lambda message: None,
) -> Curvatures:
    """Fit one posterior per task.

    Args:
        problem: model and data.
        base: the pretrained parameters `θ_0`.
        finetunes: task → finetuned parameters `θ_t`.
        method: family, route and location.
        split: whose examples the curvature is measured on.
        seed: the randomness of sampled labels.
        progress: called with a short message per task.

    Raises:
        DataError: a split without examples.
        AlignmentError: parameters that do not fit the model.
    """
    started = time.perf_counter()
    if isinstance(method, FitIsotropic):
        return isotropic_curvatures(finetunes, method)
    module = problem.build()
    model = LossModel.of(module, problem.likelihood)
    ready = {task: parameters_of(finetune, module) for task, finetune in finetunes.items()}
    fitted: dict[str, PredictedLoss] = {}
    bare: dict[str, Posterior] = {}
    passes = 0
    if isinstance(method, FitSubspace):
        batches = {task: problem.batches(task, split) for task in ready}
        fit = SubspaceFit(model, batches, parameters_of(base, module), ready, method, progress)
        fitted, passes = fit_centred(fit) if method.location == "centred" else fit_at_finetunes(fit)
        bare = {task: loss.curvature for task, loss in fitted.items()}
    else:
        centre = average(ready)
        for number, (task, finetune) in enumerate(ready.items()):
            progress(f"{method.family} curvature of {task}")
            generator = torch.Generator().manual_seed(seed + number)
            points = curvature_points(finetune, centre, method.location)
            bare[task], loss, examples = _fit_one(
                model, finetune, points, problem.batches(task, split), method, generator
            )
            fitted[task] = PredictedLoss.anchored(measured_part(bare[task]), points[0], loss, examples)
            passes += examples * len(points)
    return Curvatures(method, bare, fitted, Ledger(gradient_passes=passes, seconds=time.perf_counter() - started))


def isotropic_curvatures(finetunes: Mapping[str, Params], method: FitIsotropic) -> Curvatures:
    """Equal certainty everywhere: needs neither model nor data, measures nothing and costs nothing."""
    return Curvatures(method, {task: Isotropic(finetune) for task, finetune in finetunes.items()})


def fit_posterior(
    module: nn.Module,
    checkpoint: Params,
    batches: Sequence[Batch],
    method: FitMethod = FitDiagonal(),
    *,
    likelihood: str = "categorical",
    at: Sequence[Params] | None = None,
    seed: int = 0,
) -> Posterior:
    """Fit the posterior of one finetune by itself, with the method's damping.

    Args:
        module: a model of the right architecture.
        checkpoint: the finetuned parameters, the posterior's mean.
        batches: inputs and targets of the task.
        method: an isotropic, diagonal or dense fit. Subspace posteriors need all tasks: `fit_curvatures`.
        likelihood: `"categorical"` or `"gaussian"`.
        at: points the curvature is averaged over; at the checkpoint when `None`.
        seed: the randomness of sampled labels.

    Raises:
        PosteriorError: a subspace method.
        DataError: no examples.
    """
    if isinstance(method, FitIsotropic):
        return Isotropic(checkpoint)
    if isinstance(method, FitSubspace):
        raise PosteriorError(
            "a subspace posterior is spanned by the task vectors of all tasks: use fit_curvatures(problem, base, "
            "finetunes, method)"
        )
    model = LossModel.of(module, likelihood)
    params = parameters_of(checkpoint, module)
    points = [parameters_of(point, module) for point in at] if at else [params]
    posterior, _, _ = _fit_one(model, params, points, batches, method, torch.Generator().manual_seed(seed))
    return damp({"task": posterior}, method.damping)["task"]


def average(finetunes: Mapping[str, Params]) -> dict[str, Tensor]:
    """The uniform average of the finetunes; tensors that are not floating-point come from the first."""
    first = next(iter(finetunes.values()))
    merged = {}
    for name in first:
        if spec_of(first, name).is_mergeable:
            stacked = torch.stack([finetune[name] for finetune in finetunes.values()])
            merged[name] = stacked.to(torch.float64).mean(0).to(stacked.dtype)
        else:
            merged[name] = first[name]
    return merged


def curvature_points(finetune: Params, centre: Params, location: str) -> list[Params]:
    """Where curvature is taken: at the finetune, at the average, or at three points from one to the other."""
    fractions = {"finetune": (0.0,), "average": (1.0,), "segment": (0.0, 0.5, 1.0)}[location]
    return [
        {
            name: torch.lerp(value, centre[name], fraction) if value.is_floating_point() else value
            for name, value in finetune.items()
        }
        for fraction in fractions
    ]


def _fit_one(
    model: LossModel,
    mean: Params,
    points: Sequence[Params],
    batches: Sequence[Batch],
    method: FitDiagonal | FitDense,
    generator: torch.Generator,
) -> tuple[Posterior, float, int]:
    """Curvature averaged over `points`, the loss at the first of them, and the number of examples."""
    if isinstance(method, FitDiagonal):
        fishers = [
            diagonal_fisher(model, point, batches, method.labels, method.examples, generator) for point in points
        ]
        precision = {name: sum(f.diagonal[name] for f in fishers) / len(fishers) for name in model.trainable}
        covered = {name: mean[name] for name in model.trainable}
        return Diagonal(covered, precision), fishers[0].loss, fishers[0].examples  # type: ignore[arg-type]
    names = [name for name in model.trainable if re.search(method.parameters, name)]
    if not names:
        raise PosteriorError(f"no parameter matches {method.parameters!r}; the first is {model.trainable[0]!r}")
    expansions = [dense_gauss_newton(model, point, batches, names, method.examples) for point in points]
    curvature = torch.stack([expansion.curvature for expansion in expansions]).mean(0)
    dense = Dense({name: mean[name] for name in names}, curvature)
    rest = {name: mean[name] for name in model.trainable if name not in names}
    posterior: Posterior = Product({"dense": dense, "rest": Isotropic(rest)}) if rest else dense
    return posterior, expansions[0].loss, expansions[0].examples


def measured_part(posterior: Posterior) -> Posterior:
    """What was measured of a posterior: the dense part of a product."""
    return posterior.parts["dense"] if isinstance(posterior, Product) else posterior
