"""Posteriors in the subspace of task vectors: one expansion per finetune, or all tasks at a common centre.

The one idea of the centred family: merges do not land at the finetunes, where every task looks solved and flat, but
near their average. Expanding every task's loss there, gradient included, serves all weightings at once; expanding a
second time where the first merge landed serves them better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor

from paretomerge.curvature.enrichment import descent_directions
from paretomerge.curvature.examples import Counted
from paretomerge.curvature.gauss_newton import Expansion, expand_in_subspace
from paretomerge.curvature.gradients import LossGradient, loss_gradient, mean_loss
from paretomerge.curvature.methods import FitSubspace
from paretomerge.curvature.pieces import Pieces
from paretomerge.curvature.predictor import LossModel
from paretomerge.errors import PosteriorError
from paretomerge.merging import merge_coordinates
from paretomerge.posteriors import (
    Basis,
    PredictedLoss,
    Subspace,
    damp,
    gradient_basis,
    task_vector_basis,
)
from paretomerge.types import Batch, Ledger, Params

Progress = Callable[[str], None]
MOST_RAISED = 1e4
"""Times the method's damping."""


@dataclass(frozen=True, eq=False)
class SubspaceFit:
    """What a subspace is fitted with: the model, the data of each task, the base and the finetunes.

    What was measured goes through `pieces`, in the order of the measurements. `validation` is needed where merges are
    validated.
    """

    model: LossModel
    batches: Mapping[str, Sequence[Batch]]
    base: Mapping[str, Tensor]
    finetunes: Mapping[str, Params]
    method: FitSubspace
    progress: Progress
    pieces: Pieces = field(default_factory=Pieces)
    validation: Mapping[str, Sequence[Batch]] = field(default_factory=dict)

    @property
    def origin(self) -> dict[str, Tensor]:
        """The trainable parameters of the base."""
        return {name: self.base[name] for name in self.model.trainable}

    def task_vectors(self) -> Basis:
        """The finetunes' task vectors in groups."""
        trained = {task: {name: tune[name] for name in self.model.trainable} for task, tune in self.finetunes.items()}
        return task_vector_basis(self.origin, trained, self.method.groups)

    def expand(self, task: str, at: Params, basis: Basis) -> Expansion:
        """The curvature of one task along the basis."""
        limit, what = self.method.examples, f"curvature of {task} in {len(basis)} directions"
        self.progress(what)
        batches = Counted(self.batches[task], limit, self.progress, what)
        measure = partial(expand_in_subspace, self.model, at, basis, batches, limit)
        return self.pieces.keep(f"expansion of {task}", Expansion, measure)

    def slope(self, task: str, at: Params) -> LossGradient:
        """The gradient of one task."""
        limit, what = self.method.gradient_examples, f"gradient of {task}"
        self.progress(what)
        measure = partial(loss_gradient, self.model, at, Counted(self.batches[task], limit, self.progress, what), limit)
        return self.pieces.keep(f"gradient of {task}", LossGradient, measure)

    def validation_loss(self, at: Params) -> float:
        """The mean over tasks of the mean loss on validation data."""
        losses = [mean_loss(self.model, at, self.validation[task])[0] for task in self.finetunes]
        return sum(losses) / len(losses)


def fit_at_finetunes(fit: SubspaceFit) -> tuple[dict[str, PredictedLoss], Ledger]:
    """Laplace at each finetune: curvature only, the finetune is taken for the minimum; and its cost."""
    basis, passes = fit.task_vectors(), 0
    fitted: dict[str, PredictedLoss] = {}
    for task, finetune in fit.finetunes.items():
        expansion = fit.expand(task, {**fit.base, **finetune}, basis)
        passes += expansion.passes
        fitted[task] = subspace_loss(fit.origin, basis, expansion, basis.corner(task))
    return fitted, Ledger(gradient_passes=passes)


def fit_centred(fit: SubspaceFit) -> tuple[dict[str, PredictedLoss], float, Ledger]:
    """Every task expanded at the average, then where the equal-weights merge landed, and so on; damping, and the cost.

    Where validated, the merge with equal weights has to be better on validation data than what it started from: the
    first expansion is damped more until it is, a further one is left out.
    """
    task_vectors = basis = fit.task_vectors()
    place = torch.stack([basis.corner(task) for task in fit.finetunes]).mean(0)
    validated, damping, cost, best = fit.method.validated, fit.method.damping, Ledger(), math.inf
    if validated:
        best, cost = fit.validation_loss({**fit.base, **basis.point(fit.origin, place)}), Ledger(evaluations=1)
        best = best if math.isfinite(best) else math.inf
    fitted: dict[str, PredictedLoss] = {}
    for number in range(fit.method.centres):
        if number:
            place = equal_weights_merge(fitted, damping)
        found, passes = expand_all(fit, task_vectors, basis, place)
        cost = cost + Ledger(gradient_passes=passes)
        if validated:
            loss, evaluations = merged_loss(fit, found, damping)
            if not number:
                loss, damping, tried = more_damped(fit, found, loss, best)
                evaluations += tried
            cost = cost + Ledger(evaluations=evaluations)
            if number and not loss < best:
                fit.progress(f"centre {number + 1} is left out: validation loss {loss:.4g}, {best:.4g} before")
                break
            best = loss
        fitted, basis = found, subspace_of(found).basis
    return fitted, damping, cost


def more_damped(
    fit: SubspaceFit, found: Mapping[str, PredictedLoss], loss: float, before: float
) -> tuple[float, float, int]:
    """The method's damping where its merge is no worse than the average; else more, as far as it helps.

    Too few examples for the directions, or finetunes too far apart, make expansions that lead astray; with more damping
    merges go back to the average. Ten times more at a time, until that is no longer better, or there in all but name.

    Args:
        fit: whose validation data decide.
        found: the expansion at the average.
        loss: of its merge with the method's own damping.
        before: of the average itself.

    Returns:
        the loss, the damping, and evaluations.
    """
    damping, evaluations = fit.method.damping, 0
    if loss <= before:
        return loss, damping, evaluations
    fit.progress(
        f"the merge with equal weights has the validation loss {loss:.4g}, the average of the finetunes {before:.4g}: "
        "more damping is tried"
    )
    while damping < MOST_RAISED * fit.method.damping:
        further, tried = merged_loss(fit, found, 10 * damping)
        evaluations += tried
        if loss <= before and not further < loss:
            break
        loss, damping = further, 10 * damping
    fit.progress(f"damping {damping:g}: validation loss {loss:.4g}")
    return loss, damping, evaluations


def merged_loss(fit: SubspaceFit, found: Mapping[str, PredictedLoss], damping: float) -> tuple[float, int]:
    """The validation loss of the merge with equal weights, infinite where there is none; and the evaluations.

    Few examples may lead so far away that nothing has any curvature there, and the merge no solution.
    """
    try:
        landed = equal_weights_merge(found, damping)
    except PosteriorError:
        return math.inf, 0
    loss = fit.validation_loss({**fit.base, **subspace_of(found).at(landed)})
    return (loss if math.isfinite(loss) else math.inf), 1


def expand_all(
    fit: SubspaceFit, task_vectors: Basis, basis: Basis, place: Tensor
) -> tuple[dict[str, PredictedLoss], int]:
    """Every task's loss around one place `[D]`, in a basis that has grown by the gradients there; gradient passes."""
    centre = {**fit.base, **basis.point(fit.origin, place)}
    slopes = {task: fit.slope(task, centre) for task in fit.finetunes}
    if fit.method.enrich != "none":
        found = gradient_basis(descent_directions(slopes, fit.method.enrich), task_vectors, fit.method.groups)
        basis = basis + found
        place = torch.cat([place, torch.zeros(len(found), dtype=torch.float64)])
    basis = Basis(basis.directions, basis.labels, shares(basis, place, tuple(fit.finetunes)))
    fitted, passes = {}, 0
    for task, slope in slopes.items():
        expansion = fit.expand(task, centre, basis)
        passes += expansion.passes + slope.examples
        fitted[task] = subspace_loss(fit.origin, basis, expansion, place, basis.project_gradient(slope.gradient))
    return fitted, passes


def subspace_of(fitted: Mapping[str, PredictedLoss]) -> Subspace:
    """The curvature of the first task: origin and basis are those of all."""
    first = next(iter(fitted.values())).curvature
    assert isinstance(first, Subspace)
    return first


def shares(basis: Basis, place: Tensor, tasks: Sequence[str]) -> dict[str, Tensor]:
    """Each task's share of the centre: `T × place` along the directions that come from the task, zero elsewhere.

    They are where the ridge pulls the tasks' posteriors: with equal weights to the centre, and a task without
    weight pulls nothing. At the average of the finetunes the shares are the finetunes themselves, `e_t`.
    """
    return {task: len(tasks) * place * basis.own(task) for task in tasks}


def equal_weights_merge(fitted: Mapping[str, PredictedLoss], damping: float) -> Tensor:
    """Coordinates of the merge with equal weights, where the next expansion is made."""
    damped = damp({task: loss.curvature for task, loss in fitted.items()}, damping)
    subspaces = {task: posterior for task, posterior in damped.items() if isinstance(posterior, Subspace)}
    return merge_coordinates(subspaces, [1 / len(subspaces)] * len(subspaces))[0]


def subspace_loss(
    origin: Params, basis: Basis, expansion: Expansion, coordinates: Tensor, gradient: Tensor | None = None
) -> PredictedLoss:
    """An expansion at `coordinates` as natural parameters: `(A, A c - b)`, and the constant that anchors its loss.

    Without a gradient it is a Laplace approximation, which takes the point for a minimum.
    """
    slope = torch.zeros_like(expansion.gradient) if gradient is None else gradient
    curvature = Subspace(origin, basis, expansion.curvature, expansion.curvature @ coordinates - slope)
    offset = expansion.loss - float(curvature.energy_at(coordinates))
    return PredictedLoss(curvature, offset, expansion.examples)
