"""The loss of a joint finetuning: which share every example of a step has in it, and its value on some of them.

    L(θ) = Σ_t α_t / s_t · mean loss of task t          s_t: scales of the losses, 1 unless they are normalised

A step draws `n_t` examples of task `t`. Every example's loss is multiplied by its share `α_t / (s_t n_t)` and summed,
so the pieces of a step (of several processes, or of accumulated passes) only have to be added.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paretomerge.curvature.likelihoods import likelihood_of
from paretomerge.errors import DataError, ParetomergeError, TrainingError
from paretomerge.training.examples import ExamplePool
from paretomerge.training.inputs import join_inputs, join_targets
from paretomerge.types import Batch, Problem, call_module


@dataclass(frozen=True)
class TaskLoss:
    """The loss of single examples: of a likelihood, or the problem's own `loss_fn`.

    Law (tested): the sum over the pieces of a batch is the sum over the batch.
    """

    likelihood: str
    loss_fn: Callable[[nn.Module, Batch], Tensor] | None = None

    @classmethod
    def of(cls, problem: Problem) -> TaskLoss:
        """What a problem trains."""
        return cls(problem.likelihood, problem.loss_fn)

    def weighted(self, module: nn.Module, batch: Mapping[str, Batch], shares: Mapping[str, float]) -> Tensor:
        """`Σ_t share_t · Σ losses of the examples of task t`, a scalar.

        A likelihood takes the examples of all tasks in one forward pass; a `loss_fn` is called once per task.

        Args:
            module: the model.
            batch: task → examples, at least one task.
            shares: task → what the loss of each of its examples counts for.

        Raises:
            TrainingError: `loss_fn` raised, or returned something else than losses.
        """
        if self.loss_fn is not None:
            parts = [shares[task] * self._own(module, task, examples) for task, examples in batch.items()]
            return torch.stack(parts).sum()
        weights = torch.cat(
            [torch.full((len(targets),), shares[task], dtype=torch.float64) for task, (_, targets) in batch.items()]
        )
        outputs = call_module(module, join_inputs([inputs for inputs, _ in batch.values()]))
        # Reduced precision ends here: losses are summed in float32 or better.
        outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        targets = join_targets([targets for _, targets in batch.values()])
        losses = likelihood_of(self.likelihood).losses(outputs, targets)
        return (losses * weights.to(losses.device, losses.dtype)).sum()

    def _own(self, module: nn.Module, task: str, batch: Batch) -> Tensor:
        """The sum over the examples of one task, from losses `[n]` or their mean."""
        assert self.loss_fn is not None
        count = len(batch[1])
        try:
            found = self.loss_fn(module, batch)
        except (ParetomergeError, RuntimeError):
            raise
        except Exception as error:
            raise TrainingError(
                f"loss_fn raised {type(error).__name__} on {count} examples of task {task!r}: {error}"
            ) from error
        if not isinstance(found, Tensor) or found.shape not in ((), (count,)):
            seen = f"a tensor {list(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise DataError(
                f"loss_fn returned {seen} for {count} examples of task {task!r}: return one loss per example, "
                f"[{count}], or their mean"
            )
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        return found.sum() if found.ndim else found * count


def weighted_loss(
    module: nn.Module,
    pools: Mapping[str, ExamplePool],
    alpha: Mapping[str, float],
    counts: Mapping[str, int],
    likelihood: str,
) -> Tensor:
    """`Σ_t α_t · mean loss` over `counts[t]` fresh examples of every task, in one forward pass."""
    return loss_of_batch(module, {task: pool.draw(counts[task]) for task, pool in pools.items()}, alpha, likelihood)


def loss_of_batch(module: nn.Module, batch: Mapping[str, Batch], alpha: Mapping[str, float], likelihood: str) -> Tensor:
    """`Σ_t α_t · mean loss` over the examples of every task, in one forward pass."""
    shares = {task: alpha[task] / len(targets) for task, (_, targets) in batch.items()}
    return TaskLoss(likelihood).weighted(module, batch, shares)
