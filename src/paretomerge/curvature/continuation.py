"""Continuation: one joint finetune, and where joint finetuning with other weights would have ended.

A merge of single finetunes looks for the minimum of the weighted loss. Joint finetuning of a few hundred steps stops
before it, and says so: at its end `θ_J`, with weights `β`, the weighted gradient `Σ β_t b_t` is not zero. Taken as the
gradient that training leaves over at any weights, it is subtracted from every task's:

    l_t(θ_J + V c) ≈ l_t(θ_J) + (b_t - Σ_s β_s b_s)ᵀ c + ½ cᵀ A_t c
    c(α) = -(Σ α_t A_t + Λ)^-1 Σ (α_t - β_t) b_t          on the simplex; zero at α = β

(Allgower & Georg, 1990, Numerical Continuation Methods: a predictor step along the path of solutions.) These are
ordinary Gaussian posteriors over `c`, which merge by the ordinary rule. The origin is the joint finetune; the basis `V`
is that of the centred subspace family, task vectors and scaled gradients in groups, and beside them, group by group,
what joint finetuning has found and the average of the finetunes has not, `θ_J - Σ β_t θ_t`.

Where a task has little weight this is an extrapolation. `fade` leads to another merge there, that of the posteriors of
the single finetunes:

    θ(α) = f θ_J(α) + (1-f) θ_merge(α),   f = T (Π α_t)^(1/T)

the geometric over the arithmetic mean of the weights: one at equal weights, zero where a task has none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretomerge.curvature.enrichment import scaled_gradients
from paretomerge.curvature.gauss_newton import expand_in_subspace
from paretomerge.curvature.gradients import loss_gradient
from paretomerge.curvature.predictor import LossModel, parameters_of, require_likelihood
from paretomerge.errors import AlignmentError, PosteriorError
from paretomerge.posteriors import Grouping, Subspace, gradient_basis, relative_strength, task_vector_basis
from paretomerge.types import Ledger, Params, Problem, Split, Weights


@dataclass(frozen=True, eq=False)
class Continuation:
    """Posteriors around a joint finetune.

    Attributes:
        posteriors: task → Gaussian over `c`, damped; merged at the joint finetune's own weights they give it back.
        weights: `β`, of the joint finetune.
        strength: `[D]`, the absolute ridge on every direction.
        ledger: gradient passes and seconds; not the joint training itself.
    """

    posteriors: Mapping[str, Subspace]
    weights: Weights
    strength: Tensor
    ledger: Ledger


def continue_joint(
    problem: Problem,
    base: Params,
    finetunes: Mapping[str, Params],
    joint: Params,
    weights: Mapping[str, float] | Sequence[float] | Weights,
    *,
    groups: Grouping = "layer",
    damping: float = 0.1,
    examples: int | None = None,
    gradient_examples: int | None = None,
    split: Split = "training",
) -> Continuation:
    """Expand every task's loss at a joint finetune.

    Args:
        problem: model and data.
        base: the pretrained parameters, from which task vectors are counted.
        finetunes: task → its single finetune.
        joint: finetuned with all tasks, by the recipe of the single finetunes.
        weights: `β`, with which it was; on the simplex.
        groups: that directions are confined to.
        damping: the ridge `Λ` on `c`, relative to the tasks' average curvature along each direction; it limits how
            far one goes from the joint finetune.
        examples: per task for the curvature, all when `None`.
        gradient_examples: per task for the gradients, all when `None`.
        split: whose examples.

    Raises:
        PosteriorError: a damping that is not positive, or a joint finetune that is stationary for every task.
        WeightsError: weights off the simplex, or for other tasks.
        DataError: a split without examples, or a problem with a loss of its own.
    """
    started = time.perf_counter()
    if not damping > 0:
        raise PosteriorError(f"damping must be > 0, got {damping}: without it nothing limits the step")
    beta = Weights.of(weights, tuple(finetunes))
    module = problem.build()
    model = LossModel.of(module, require_likelihood(problem))
    place = parameters_of(joint, module)
    origin, trained = ({name: params[name] for name in model.trainable} for params in (place, base))
    tunes = {task: {name: tune[name] for name in model.trainable} for task, tune in finetunes.items()}
    slopes = {task: loss_gradient(model, place, problem.batches(task, split), gradient_examples) for task in finetunes}
    basis = task_vector_basis(trained, tunes, groups)
    basis = basis + gradient_basis(scaled_gradients(slopes), basis, groups)
    aside = _aside(origin, tunes, beta.as_mapping())
    if any(bool(tensor.any()) for tensor in aside.values()):
        basis = basis + gradient_basis({"joint": aside}, basis, groups, "other")
    gradients = {task: basis.project_gradient(slope.gradient) for task, slope in slopes.items()}
    left = sum((share * gradients[task] for task, share in beta.as_mapping().items()), torch.zeros(len(basis)))
    bare, passes = {}, sum(slope.examples for slope in slopes.values())
    for task, gradient in gradients.items():
        expansion = expand_in_subspace(model, place, basis, problem.batches(task, split), examples)
        passes += expansion.passes
        bare[task] = Subspace(origin, basis, expansion.curvature, left - gradient)
    strength, centre = relative_strength(bare, damping), torch.zeros(len(basis), dtype=torch.float64)
    posteriors = {task: posterior.with_ridge(strength, centre) for task, posterior in bare.items()}
    spent = Ledger(gradient_passes=passes, seconds=time.perf_counter() - started)
    return Continuation(posteriors, beta, strength, spent)


def fade(
    continued: Params, merged: Params, weights: Mapping[str, float] | Sequence[float] | Weights
) -> dict[str, Tensor]:
    """`f θ_J(α) + (1-f) θ_merge(α)`: a continued model led to another merge where a task has little weight.

    Tensors that are not floating-point are those of the continued model.

    Args:
        continued: at these weights.
        merged: at these weights, by another way.
        weights: `α`, on the simplex.

    Raises:
        WeightsError: weights off the simplex.
        AlignmentError: models with other parameters.
    """
    share = nearness(_values(weights))
    if set(continued) != set(merged):
        apart = sorted(set(continued) ^ set(merged))
        raise AlignmentError(f"{apart[0]!r} is in one of the two models only: give merges of the same finetunes")
    return {
        name: torch.lerp(merged[name].to(torch.float64), tensor.to(torch.float64), share).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in continued.items()
    }


def _aside(joint: Params, finetunes: Mapping[str, Params], beta: Mapping[str, float]) -> dict[str, Tensor]:
    """`Σ β_t θ_t - θ_J`, whose negative is a direction."""
    return {
        name: sum((share * finetunes[task][name] for task, share in beta.items()), torch.zeros_like(tensor)) - tensor
        for name, tensor in joint.items()
    }


def nearness(weights: Any) -> float:
    """`T (Π α_t)^(1/T)`: one at equal weights, zero where a task has none."""
    values = np.asarray(weights, dtype=np.float64)
    return float(len(values) * values.prod() ** (1 / len(values)))


def _values(weights: Mapping[str, float] | Sequence[float] | Weights) -> list[float]:
    if isinstance(weights, Weights):
        return list(weights.as_mapping().values())
    named = weights if isinstance(weights, Mapping) else {str(k): weight for k, weight in enumerate(weights)}
    return list(Weights.of(named, tuple(named)).as_mapping().values())
