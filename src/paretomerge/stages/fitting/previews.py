"""Previews: merged models that stand for what joint finetuning with the same weights would reach.

One function serves the command line, the demo and the benchmarks: fit, choose the strength (damping, ridge or
scale) on validation data, merge at every weighting, recentre if asked.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from paretomerge.curvature import Curvatures, FitIsotropic, FitMethod, FitSubspace, fit_curvatures, recentre
from paretomerge.errors import RecipeError
from paretomerge.evaluation import SupervisedEvaluator
from paretomerge.merging import (
    Inputs,
    MergeRule,
    PosteriorMerge,
    TaskArithmetic,
    collect_inputs,
    merge_blocks,
    merge_coordinates,
)
from paretomerge.posteriors import Subspace, relative_strength
from paretomerge.stages.scoring.models import Progress, silent
from paretomerge.types import Ledger, Params, Problem, Split, simplex_grid


@dataclass(frozen=True)
class PreviewMethod:
    """A way to preview joint finetuning.

    Args:
        name: for tables.
        fit: how posteriors are fitted.
        rule: how they are merged.
        strengths: candidates for the one number that is chosen on validation data: the relative damping, or the
            scale of task arithmetic. With a single candidate nothing is chosen, see `only_strength`.
        recentre_steps: Gauss-Newton linearisations at each merged point.
        split: whose examples curvature is measured on.
    """

    name: str
    fit: FitMethod = field(default_factory=FitIsotropic)
    rule: MergeRule = field(default_factory=PosteriorMerge)
    strengths: tuple[float, ...] = (0.0,)
    recentre_steps: int = 0
    split: Split = "training"

    def __post_init__(self) -> None:
        """Recentring needs coordinates."""
        if self.recentre_steps and not isinstance(self.fit, FitSubspace):
            raise RecipeError(f"{self.name}: only subspace posteriors can be recentred")
        if not self.strengths:
            raise RecipeError(f"{self.name}: give at least one strength")


@dataclass(frozen=True, eq=False)
class Preview:
    """Merged models at `K` weightings, the strength that was chosen, and the cost."""

    method: PreviewMethod
    weights: np.ndarray
    models: list[dict[str, Tensor]]
    strength: float
    curvatures: Curvatures
    ledger: Ledger


def preview_models(
    problem: Problem,
    base: Params,
    finetunes: Mapping[str, Params],
    method: PreviewMethod,
    weights: np.ndarray,
    *,
    curvatures: Curvatures | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Preview:
    """Merge at every weighting `[K, T]`.

    Args:
        problem: model and data.
        base: the pretrained parameters.
        finetunes: task → finetuned parameters, in the order of the columns of `weights`.
        method: how.
        weights: `α`, on the simplex.
        curvatures: those of an earlier call with the same `fit`, to save measuring them again.
        seed: of sampled labels.
        progress: called with short messages.
    """
    if curvatures is None:
        curvatures = fit_curvatures(problem, base, finetunes, method.fit, method.split, seed, progress)
    started = time.perf_counter()
    strength, tried = choose_strength(problem, base, finetunes, method, curvatures, progress)
    ledger = curvatures.ledger + Ledger(evaluations=tried)
    if method.recentre_steps:
        models, cost = _recentred(problem, base, method, curvatures, strength, weights, progress)
        ledger = ledger + Ledger(gradient_passes=cost.gradient_passes)
    else:
        models = list(merged_models(base, method, curvatures, strength, weights))
    return Preview(
        method, weights, models, strength, curvatures, ledger + Ledger(seconds=time.perf_counter() - started)
    )


def merged_models(
    base: Params, method: PreviewMethod, curvatures: Curvatures, strength: float, weights: np.ndarray
) -> Iterator[dict[str, Tensor]]:
    """Merged parameters at each weighting, one model after the other: the memory is that of the models kept."""
    return merge_each(collect_inputs(curvatures.posteriors(strength), base=base), method.rule, strength, weights)


def merge_each(inputs: Inputs, rule: MergeRule, strength: float, weights: np.ndarray) -> Iterator[dict[str, Tensor]]:
    """Merged parameters at each weighting, from inputs that are read once."""
    strong = with_strength(rule, strength)
    for row in weights:
        yield {name: merged[0] for name, merged in merge_blocks(inputs, row, strong)}


def with_strength(rule: MergeRule, strength: float) -> MergeRule:
    """The rule that merges: the strength of task arithmetic is its scale, of the others the damping of posteriors."""
    return replace(rule, scale=strength) if isinstance(rule, TaskArithmetic) else rule


def choose_strength(
    problem: Problem,
    base: Params,
    finetunes: Mapping[str, Params],
    method: PreviewMethod,
    curvatures: Curvatures,
    progress: Progress = silent,
    divisions: int = 3,
) -> tuple[float, int]:
    """The candidate whose merged models have the lowest validation loss, and the number of evaluations it took.

    The criterion is `Σ_t α_t l_t` on the validation split, averaged over a coarse grid of weightings: a preview
    stands for the minimiser of the weighted loss, so lower is closer. Test data are never touched.
    """
    if len(method.strengths) == 1:
        return only_strength(method, curvatures), 0
    weights = simplex_grid(len(finetunes), divisions)
    weights = weights[weights.max(axis=1) < 1]
    if not len(weights):
        return method.strengths[0], 0  # a single task: every merge is its finetune
    losses = []
    evaluator = SupervisedEvaluator(problem, "validation")
    for strength in method.strengths:
        progress(f"validation of strength {strength:g}")
        models = merged_models(base, method, curvatures, strength, weights)
        losses.append(
            float(
                np.mean(
                    [
                        weighted_loss(evaluator, model, finetunes, row)
                        for model, row in zip(models, weights, strict=True)
                    ]
                )
            )
        )
    best = int(np.nanargmin(np.where(np.isfinite(losses), losses, np.inf)))
    return method.strengths[best], len(method.strengths) * len(weights)


def only_strength(method: PreviewMethod, curvatures: Curvatures) -> float:
    """The only candidate; where it is the fit's own damping, what a validated fit has raised it to."""
    [strength] = method.strengths
    is_own = isinstance(method.fit, FitSubspace) and strength == method.fit.damping
    return curvatures.method.damping if is_own and not isinstance(method.rule, TaskArithmetic) else strength


def weighted_loss(
    evaluator: SupervisedEvaluator, model: Params, tasks: Mapping[str, Params], weights: np.ndarray
) -> float:
    """`Σ_t α_t · mean loss of task t`."""
    return sum(
        float(weight) * float(evaluator(model, task)["loss"].double().mean())
        for task, weight in zip(tasks, weights, strict=True)
        if weight > 0
    )


def _recentred(
    problem: Problem,
    base: Params,
    method: PreviewMethod,
    curvatures: Curvatures,
    strength: float,
    weights: np.ndarray,
    progress: Progress,
) -> tuple[list[dict[str, Tensor]], Ledger]:
    posteriors: dict[str, Subspace] = curvatures.posteriors(strength)  # type: ignore[assignment]
    bare: dict[str, Subspace] = dict(curvatures.bare)  # type: ignore[arg-type]
    absolute = relative_strength(bare, strength)
    frame = next(iter(bare.values()))
    assert isinstance(method.fit, FitSubspace)
    models, total = [], Ledger()
    for row, start in zip(weights, merge_coordinates(posteriors, weights), strict=True):
        coordinates, cost = recentre(
            problem,
            base,
            bare,
            row.tolist(),
            start,
            absolute,
            steps=method.recentre_steps,
            split=method.split,
            examples=method.fit.examples,
            progress=progress,
        )
        total = total + cost
        models.append({**base, **frame.at(coordinates)})
    return models, total


def coordinates_loss(curvatures: Curvatures, strength: float, weights: np.ndarray) -> np.ndarray:
    """Predicted losses `[K, T]` of the merges at `weights [K, T]`: the zero-evaluation preview.

    Raises:
        RecipeError: isotropic posteriors, which measured nothing and predict nothing.
    """
    if not curvatures.losses:
        raise RecipeError("isotropic posteriors predict no losses: fit another family, or use the quadratic surrogate")
    posteriors = curvatures.posteriors(strength)
    if all(isinstance(posterior, Subspace) for posterior in posteriors.values()):
        coordinates = merge_coordinates(posteriors, weights)  # type: ignore[arg-type]
        return torch.stack([loss.at_coordinates(coordinates) for loss in curvatures.losses.values()], dim=1).numpy()
    # One model at a time: there may be a hundred weightings, and a model is as large as a model is.
    models = merge_each(collect_inputs(posteriors), PosteriorMerge(), strength, np.atleast_2d(weights))
    return np.array([[loss.at(model) for loss in curvatures.losses.values()] for model in models])
