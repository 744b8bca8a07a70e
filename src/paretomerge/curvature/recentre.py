"""Recentring: one more linearisation where a merge landed, for the weightings one cares about (Gauss-Newton)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from paretomerge.curvature.fit import Progress
from paretomerge.curvature.gauss_newton import expand_in_subspace
from paretomerge.curvature.gradients import loss_gradient
from paretomerge.curvature.predictor import LossModel, parameters_of, require_likelihood
from paretomerge.posteriors import Subspace, cholesky
from paretomerge.types import Ledger, Params, Problem, Split, Weights


def recentre(
    problem: Problem,
    base: Params,
    posteriors: Mapping[str, Subspace],
    weights: Sequence[float],
    coordinates: Tensor,
    strength: Tensor,
    *,
    steps: int = 1,
    split: Split = "training",
    examples: int | None = None,
    progress: Progress = lambda message: None,
) -> tuple[Tensor, Ledger]:
    """Expand every task's loss anew at `θ(c)` and minimise the weighted sum, without a pull to the average:

        c ← c - (Σ α_t A_t(c) + diag(λ))^-1 Σ α_t b_t(c)

    a Levenberg-Marquardt step in the subspace. Costs one expansion per task and step.

    Args:
        problem: model and data.
        base: the pretrained parameters; buffers come from it.
        posteriors: any posteriors in the basis to move in (for origin and basis only).
        weights: `α [T]`, in the order of `posteriors`.
        coordinates: `c [D]`, where the merge landed.
        strength: `λ [D]`, absolute: it limits the step.
        steps: how many linearisations.
        split: whose examples.
        examples: per task for the curvature, all when `None`; the gradient takes the whole split.
        progress: called with a short message per step.

    Returns:
        The new coordinates `[D]`, and what it cost.

    Raises:
        WeightsError: weights that are negative, or not one per posterior.
        PosteriorError: a weighted curvature that is singular; a positive `strength` cures it.
        DataError: a problem with a loss of its own.
    """
    started = time.perf_counter()
    alpha = Weights.of(weights, tuple(posteriors), on_simplex=False).as_mapping()
    likelihood = require_likelihood(problem)
    module = problem.build()
    model = LossModel.of(module, likelihood)
    state = parameters_of(base, module)
    frame = next(iter(posteriors.values()))
    passes = 0
    for step in range(steps):
        progress(f"recentring step {step + 1} of {steps}")
        total, slope = torch.diag(strength), torch.zeros_like(coordinates)
        for task, weight in alpha.items():
            if weight == 0:
                continue
            at = {**state, **frame.at(coordinates)}
            batches = problem.batches(task, split)
            expansion = expand_in_subspace(model, at, frame.basis, batches, examples)
            measured = loss_gradient(model, at, batches)
            total = total + weight * expansion.curvature
            slope = slope + weight * frame.basis.project_gradient(measured.gradient)
            passes += expansion.passes + measured.examples
        factor = cholesky(total, "the recentred precision")
        coordinates = coordinates - torch.cholesky_solve(slope[:, None], factor)[:, 0]
    return coordinates, Ledger(gradient_passes=passes, seconds=time.perf_counter() - started)
