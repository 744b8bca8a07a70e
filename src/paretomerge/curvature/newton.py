"""Newton correction: one gradient pass per task at a merged point removes its first-order error.

    θ ← θ - s S_α^-1 ∇L_α(θ),      L_α = Σ α_t l_t (+ the prior's part where weights do not sum to one)

A merge minimises surrogate losses; at the merged point the true gradient says how far they are off. The step is tried
at its full length first and halved until the weighted loss is lower than before, so a precision that is too small
somewhere cannot make things worse (Nocedal & Wright, 2006, Numerical Optimization, chapter 3).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paretomerge.curvature.examples import take_examples
from paretomerge.curvature.gradients import loss_gradient, mean_loss
from paretomerge.curvature.predictor import LossModel, parameters_of, require_likelihood
from paretomerge.errors import PosteriorError
from paretomerge.merging import MergedPrecision, collect_inputs
from paretomerge.posteriors import Posterior, precision_product
from paretomerge.types import Batch, Ledger, Params, Problem, Split, Weights


@dataclass(frozen=True, eq=False)
class NewtonCorrection:
    """The corrected parameters, the weighted loss before and after, the length of the step taken, and the cost.

    `length` is 1 for a full Newton step, 0 where no step lowered the loss and the point was left.
    """

    params: dict[str, Tensor]
    before: float
    after: float
    length: float
    ledger: Ledger


def newton_correct(
    problem: Problem,
    merged: Params,
    posteriors: Mapping[str, Posterior],
    weights: Mapping[str, float] | Sequence[float] | Weights,
    *,
    prior: Posterior | None = None,
    split: Split = "training",
    examples: int | None = None,
    halvings: int = 6,
) -> NewtonCorrection:
    """One Newton step of the weighted loss from a merged point, with the merge's own precision.

    Args:
        problem: model and data.
        merged: the merged model.
        posteriors: the damped posteriors it was merged from; the damping limits the step.
        weights: `α`, as for the merge.
        prior: as for the merge; its gradient `(1-a) H_0 (θ - m_0)` counts where weights do not sum to one.
        split: whose examples.
        examples: per task, all when `None`.
        halvings: how many times the step is halved before it is given up.

    Raises:
        PosteriorError: a merged precision that is not positive definite, or over parameters that the model lacks.
        WeightsError: weights that do not fit the posteriors.
        DataError: a split without examples, or a problem with a loss of its own.
    """
    started = time.perf_counter()
    alpha = Weights.of(weights, tuple(posteriors), on_simplex=prior is None).as_mapping()
    likelihood = require_likelihood(problem)
    module = problem.build()
    model = LossModel.of(module, likelihood)
    start = parameters_of(merged, module)
    _require_trained(posteriors, model)
    batches = {
        task: list(take_examples(problem.batches(task, split), examples)) for task, weight in alpha.items() if weight
    }
    objective = _Objective(model, batches, alpha, prior)
    before, gradient, passes = objective.slope(start)
    precision = MergedPrecision.of(collect_inputs(posteriors, prior), alpha)
    step = precision.solve(gradient)
    length, evaluations, after, moved = 1.0, 0, before, start
    for _ in range(halvings + 1):
        candidate = _moved(start, step, length)
        found, evaluations = objective.at(candidate), evaluations + 1
        if found < before:
            after, moved = found, candidate
            break
        length /= 2
    else:
        length = 0.0
    ledger = Ledger(gradient_passes=passes, evaluations=evaluations, seconds=time.perf_counter() - started)
    params = {name: moved.get(name, tensor) for name, tensor in merged.items()}
    return NewtonCorrection(params, before, after, length, ledger)


def _require_trained(posteriors: Mapping[str, Posterior], model: LossModel) -> None:
    for task, posterior in posteriors.items():
        for name, spec in posterior.specs.items():
            if spec.is_mergeable and name not in model.trainable:
                raise PosteriorError(
                    f"the posterior of {task!r} covers {name!r}, which is no trained parameter of the problem's model: "
                    "give the posteriors that the model was merged from"
                )


@dataclass(frozen=True, eq=False)
class _Objective:
    """`L_α` on fixed examples."""

    model: LossModel
    batches: Mapping[str, Sequence[Batch]]
    alpha: Mapping[str, float]
    prior: Posterior | None

    def slope(self, params: Params) -> tuple[float, dict[str, Tensor], int]:
        """Value, gradient, and single-example gradient passes."""
        total = {name: torch.zeros_like(params[name], dtype=torch.float64) for name in self.model.trainable}
        value, passes = self._prior_part(params, total), 0
        for task, batches in self.batches.items():
            found = loss_gradient(self.model, params, batches)
            value += self.alpha[task] * found.loss
            passes += found.examples
            for name, part in found.gradient.items():
                total[name] += self.alpha[task] * part.to(torch.float64)
        return value, total, passes

    def at(self, params: Params) -> float:
        """Value only; NaN where the model overflows, which is lower than nothing."""
        losses = {task: mean_loss(self.model, params, batches)[0] for task, batches in self.batches.items()}
        return self._prior_part(params) + sum(self.alpha[task] * loss for task, loss in losses.items())

    def _prior_part(self, params: Params, gradient: dict[str, Tensor] | None = None) -> float:
        rest = 1 - sum(self.alpha.values())
        if self.prior is None or abs(rest) < 1e-12:
            return 0.0
        origin = self.prior.mean
        covered = [name for name in self.model.trainable if name in origin]
        offset = {name: params[name].to(torch.float64) - origin[name].to(torch.float64) for name in covered}
        pull = precision_product(self.prior, offset)
        if gradient is not None:
            for name, part in pull.items():
                gradient[name] += rest * part
        return rest * 0.5 * sum(float((offset[name] * part).sum()) for name, part in pull.items())


def _moved(params: Params, step: Mapping[str, Tensor], length: float) -> dict[str, Tensor]:
    return {
        name: (tensor.to(torch.float64) - length * step[name]).to(tensor.dtype) if name in step else tensor
        for name, tensor in params.items()
    }
