"""From finetunes and data to posteriors.

`fit_curvatures` serves all tasks of a problem at once (centred expansions need every finetune to know where merges
land); `fit_posterior` serves one checkpoint by itself.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import nn

from paretomerge.curvature.centred import expand_centred
from paretomerge.curvature.families import FAMILIES, TaskCurvature, TaskData, measured_part
from paretomerge.curvature.methods import FitDiagonal, FitIsotropic, FitKronecker, FitMethod, FitSubspace
from paretomerge.curvature.pieces import Piece, Pieces, PieceStore, as_piece, piece_key
from paretomerge.curvature.points import average, curvature_points, posterior_points
from paretomerge.curvature.predictor import LossModel, parameters_of, require_likelihood
from paretomerge.curvature.subspaces import Progress, SubspaceFit, fit_at_finetunes, fit_centred
from paretomerge.errors import DataError, PosteriorError
from paretomerge.posteriors import Curvature, Expanded, Isotropic, Posterior, PredictedLoss, damp, share_bases
from paretomerge.types import Batch, Ledger, Params, Problem, Split


@dataclass(frozen=True, eq=False)
class Curvatures:
    """The curvature of every task, without prior, and what measuring it cost.

    Args:
        method: the settings it was fitted with; the damping is what a validated fit has raised it to.
        losses: task → the task's loss as its curvature sees it; empty for isotropic posteriors, which measure
            nothing.
        bare: task → posterior without damping.
        ledger: gradient passes, evaluations where merges are validated, and seconds.
    """

    method: FitMethod
    bare: Mapping[str, Curvature]
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
    store: PieceStore | None = None,
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
        store: where finished pieces are kept and found, so that an interrupted fit goes on; of this fit alone.

    Raises:
        DataError: a split without examples, the validation split too where merges are validated; or a problem with
            a loss of its own, which only isotropic posteriors can do with.
        AlignmentError: parameters that do not fit the model.
    """
    started = time.perf_counter()
    if isinstance(method, FitIsotropic):
        return isotropic_curvatures(finetunes, method)
    likelihood = require_likelihood(problem)
    module = problem.build()
    model = LossModel.of(module, likelihood)
    ready = {task: parameters_of(finetune, module) for task, finetune in finetunes.items()}
    fitted: dict[str, PredictedLoss] = {}
    bare: dict[str, Curvature] = {}
    cost, pieces = Ledger(), Pieces(store)
    if isinstance(method, FitSubspace):
        batches = {task: problem.batches(task, split) for task in ready}
        fit = SubspaceFit(
            model,
            batches,
            parameters_of(base, module),
            ready,
            method,
            progress,
            pieces,
            _validation(problem, ready, method),
        )
        if method.location == "centred":
            fitted, damping, cost = fit_centred(fit)
            method = replace(method, damping=damping)
        else:
            fitted, cost = fit_at_finetunes(fit)
        bare = {task: loss.curvature for task, loss in fitted.items()}
    else:
        centre, places = average(ready), {}
        found: dict[str, TaskCurvature] = {}
        for number, (task, finetune) in enumerate(ready.items()):
            progress(f"{method.family} curvature of {task}")
            data = TaskData(model, finetune, problem.batches(task, split), _generator(seed, number))
            points = curvature_points(finetune, centre, method.location)
            found[task] = pieces.keep(task, TaskCurvature, partial(_fit_one, data, points, method))
            places[task] = points[0]
            cost = cost + Ledger(gradient_passes=found[task].passes)
        bare = {task: each.posterior for task, each in found.items()}
        if isinstance(method, FitKronecker) and method.common_bases:
            bare = share_bases(bare)
        for task, each in found.items():
            fitted[task] = PredictedLoss.anchored(measured_part(bare[task]), places[task], each.loss, each.examples)
    seconds = time.perf_counter() - started + pieces.earlier
    return Curvatures(method, bare, fitted, cost + Ledger(seconds=seconds))


def fits_apart(method: object) -> bool:
    """Whether a task's curvature does not depend on that of the others, so that they can be measured side by side."""
    return type(method) in FAMILIES


def fit_piece(
    problem: Problem,
    finetunes: Mapping[str, Params],
    method: FitMethod,
    task: str,
    split: Split = "training",
    seed: int = 0,
) -> tuple[str, Piece]:
    """What `fit_curvatures` measures for one task, and the key under which its `store` would keep it.

    Raises:
        PosteriorError: a method that fits tasks together.
        DataError, AlignmentError: as `fit_curvatures`.
    """
    started = time.perf_counter()
    module = problem.build()
    model = LossModel.of(module, require_likelihood(problem))
    ready = {name: parameters_of(finetune, module) for name, finetune in finetunes.items()}
    number = list(ready).index(task)
    data = TaskData(model, ready[task], problem.batches(task, split), _generator(seed, number))
    location = getattr(method, "location", "finetune")
    found = _fit_one(data, curvature_points(ready[task], average(ready), location), method)
    return piece_key(number, task), as_piece(found, time.perf_counter() - started)


def _generator(seed: int, number: int) -> torch.Generator:
    """The randomness of one task."""
    return torch.Generator().manual_seed(seed + number)


def _validation(problem: Problem, tasks: Iterable[str], method: FitSubspace) -> dict[str, Sequence[Batch]]:
    """The validation examples of every task, where merges are validated; asked for before any measurement."""
    if not method.validated or method.location != "centred":
        return {}
    try:
        return {task: problem.batches(task, "validation") for task in tasks}
    except DataError as error:
        raise DataError(
            f"{error}. It is needed to see that merges are better than the average; with validated=False it is not"
        ) from error


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
        method: an isotropic, diagonal, Kronecker or dense fit. Subspace posteriors need all tasks: `fit_curvatures`.
        likelihood: as a `Problem` names it.
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
    data = TaskData(model, params, batches, torch.Generator().manual_seed(seed))
    return damp({"task": _fit_one(data, points, method).posterior}, method.damping)["task"]


def _fit_one(data: TaskData, points: Sequence[Params], method: FitMethod) -> TaskCurvature:
    """The curvature of one task averaged over `points`, or over draws from the posterior it gives."""
    fit = FAMILIES.get(type(method))
    if fit is None:
        raise PosteriorError(f"{type(method).__name__} cannot fit one task by itself")
    location = getattr(method, "location", "finetune")
    if location == "centred":
        return expand_centred(data, points[0], lambda task, places: fit(task, places, method))
    found = fit(data, points, method)
    if location != "posterior":
        return found
    assert isinstance(method, FitDiagonal | FitKronecker)
    assert not isinstance(found.posterior, Expanded)
    drawn = posterior_points(data.mean, found.posterior, method.damping, found.examples, method.samples, data.generator)
    under = fit(data, drawn, method)
    return TaskCurvature(under.posterior, found.loss, found.examples, found.passes + under.passes)
