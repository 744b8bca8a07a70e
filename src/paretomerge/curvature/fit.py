"""From finetunes and data to posteriors.

`fit_curvatures` serves all tasks of a problem at once (centred expansions need every finetune to know where merges
land); `fit_posterior` serves one checkpoint by itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from paretomerge.curvature.enrichment import scaled_gradients
from paretomerge.curvature.fisher import diagonal_fisher
from paretomerge.curvature.gauss_newton import Expansion, dense_gauss_newton, expand_in_subspace
from paretomerge.curvature.gradients import loss_gradient
from paretomerge.curvature.methods import FitDense, FitDiagonal, FitIsotropic, FitMethod, FitSubspace
from paretomerge.curvature.predictor import LossModel, parameters_of
from paretomerge.errors import PosteriorError
from paretomerge.posteriors import (
    Basis,
    Dense,
    Diagonal,
    Isotropic,
    Posterior,
    PredictedLoss,
    Product,
    Subspace,
    damp,
    gradient_basis,
    task_vector_basis,
)
from paretomerge.types import Batch, Ledger, Params, Problem, Split, spec_of

Progress = Callable[[str], None]


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
        return Curvatures(method, {task: Isotropic(finetune) for task, finetune in finetunes.items()})
    module = problem.build()
    model = LossModel.of(module, problem.likelihood)
    ready = {task: parameters_of(finetune, module) for task, finetune in finetunes.items()}
    fitted: dict[str, PredictedLoss] = {}
    bare: dict[str, Posterior] = {}
    passes = 0
    if isinstance(method, FitSubspace):
        fitted, passes = _fit_subspaces(problem, model, parameters_of(base, module), ready, method, split, progress)
        bare = {task: loss.curvature for task, loss in fitted.items()}
    else:
        for number, (task, finetune) in enumerate(ready.items()):
            progress(f"{method.family} curvature of {task}")
            generator = torch.Generator().manual_seed(seed + number)
            points = curvature_points(finetune, average(ready), method.location)
            batches = problem.batches(task, split)
            bare[task], loss, examples = _fit_one(model, finetune, points, batches, method, generator)
            fitted[task] = PredictedLoss.anchored(_measured_part(bare[task]), finetune, loss, examples)
            passes += examples * len(points)
    return Curvatures(method, bare, fitted, Ledger(gradient_passes=passes, seconds=time.perf_counter() - started))


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


def _measured_part(posterior: Posterior) -> Posterior:
    """What was measured of a posterior: the dense part of a product."""
    return posterior.parts["dense"] if isinstance(posterior, Product) else posterior


def _fit_subspaces(
    problem: Problem,
    model: LossModel,
    base: Params,
    finetunes: Mapping[str, Params],
    method: FitSubspace,
    split: Split,
    progress: Progress,
) -> tuple[dict[str, PredictedLoss], int]:
    state = dict(base)
    origin = {name: base[name] for name in model.trainable}
    covered = {task: {name: params[name] for name in model.trainable} for task, params in finetunes.items()}
    task_vectors = basis = task_vector_basis(origin, covered, method.groups)
    corners = {task: task_vectors.corner(task) for task in finetunes}
    passes = 0
    fitted: dict[str, PredictedLoss] = {}
    for number in range(method.centres):
        if fitted:
            origin = _moved_origin(fitted, method.damping)
        centre = {**state, **_at(origin, task_vectors, sum(corners.values()) / len(corners))}  # type: ignore[arg-type]
        if method.enrich != "none":
            progress(f"gradients at centre {number + 1}")
            gradients = {
                task: loss_gradient(model, centre, problem.batches(task, split), method.examples) for task in finetunes
            }
            passes += sum(gradient.examples for gradient in gradients.values())
            directions = (
                scaled_gradients(gradients)
                if method.enrich == "scaled_gradient"
                else {task: found.gradient for task, found in gradients.items()}
            )
            basis = basis + gradient_basis(directions, task_vectors, method.groups)
        coordinates = {task: basis.corner(task) for task in finetunes}
        middle = torch.stack(list(coordinates.values())).mean(0)
        for task, finetune in finetunes.items():
            progress(f"expansion {number + 1} of {task} in {len(basis)} directions")
            centred = method.location == "centred"
            at = centre if centred else {**state, **finetune}
            expansion = expand_in_subspace(model, at, basis, problem.batches(task, split), method.examples)
            passes += expansion.examples * len(basis)
            place = middle if centred else coordinates[task]
            fitted[task] = subspace_loss(origin, basis, expansion, place, with_gradient=centred)
    return fitted, passes


def _moved_origin(fitted: Mapping[str, PredictedLoss], damping: float) -> dict[str, Tensor]:
    """The origin from which the average of the finetunes' coordinates lands where the equal-weights merge did.

    Moving the origin, not the coordinates, leaves the finetunes at `e_t`, so that the ridge pulls the merge for `α`
    to the new centre plus the shift from the average of the finetunes to their `α`-average.
    """
    bare: dict[str, Subspace] = {task: loss.curvature for task, loss in fitted.items()}  # type: ignore[misc]
    damped: list[Subspace] = list(damp(bare, damping).values())  # type: ignore[arg-type]
    frame = damped[0]
    precision = sum(posterior.precision for posterior in damped) / len(damped)
    weighted = sum(posterior.precision_mean for posterior in damped) / len(damped)
    landed = Subspace(frame.origin, frame.basis, precision, weighted).coordinates  # type: ignore[arg-type]
    middle = torch.stack([frame.basis.corner(task) for task in fitted]).mean(0)
    return frame.at(landed - middle)


def _at(origin: Params, basis: Basis, coordinates: Tensor) -> dict[str, Tensor]:
    return {
        name: (tensor + basis.combine(coordinates[None], name)[0]).to(tensor.dtype) for name, tensor in origin.items()
    }


def subspace_loss(
    origin: Params, basis: Basis, expansion: Expansion, coordinates: Tensor, with_gradient: bool = True
) -> PredictedLoss:
    """An expansion at `coordinates` as natural parameters: `(A, A c - b)`, and the constant that anchors its loss.

    Without the gradient it is a Laplace approximation, which takes the point for a minimum.
    """
    gradient = expansion.gradient if with_gradient else torch.zeros_like(expansion.gradient)
    curvature = Subspace(origin, basis, expansion.curvature, expansion.curvature @ coordinates - gradient)
    offset = expansion.loss - float(curvature.energy_at(coordinates))
    return PredictedLoss(curvature, offset, expansion.examples)
