"""Squared gradients of a training as it goes: curvature that costs one pass over the parameters per step.

    h = mean over steps of  n_s · g_s²        g_s the gradient of the step's mean loss, over n_s labels

Scale convention: where the mean gradient is small, `n_s g_s²` is about the mean squared gradient of one label, so `h`
is about the empirical Fisher matrix of the mean loss, averaged along the trajectory. It is not a Fisher matrix: it adds
`n_s ×` the squared mean gradient, which is large early in training. Squared gradients as the precision of a finetune:
Daheim, Möllenhoff, Ponti, Gurevych & Khan, 2024, Model Merging by Uncertainty-Based Gradient Matching.

What the gradient has gone through when a trainer is about to step is undone: clipping, the loss scale of float16, and
micro-batches that were added up rather than averaged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

PROBE_ELEMENTS = 2**20
"""How many gradient entries are remembered to see what happened to all of them."""


@dataclass(frozen=True)
class StepSizes:
    """How many examples and micro-batches each optimizer step sees: the last one of an epoch may see fewer.

    Args:
        batch: examples of a micro-batch, over all processes.
        accumulated: micro-batches of a step.
        micro_batches: in an epoch; `None` where the length of the data is not known.
        examples: in an epoch; `None` likewise.
    """

    batch: int
    accumulated: int = 1
    micro_batches: int | None = None
    examples: int | None = None

    def of_step(self, step: int) -> tuple[int, int]:
        """Examples and micro-batches of the step with this number, counted from 0 over all epochs.

        >>> [StepSizes(4, 2, micro_batches=3, examples=10).of_step(step) for step in range(4)]
        [(8, 2), (2, 1), (8, 2), (2, 1)]
        """
        full = self.batch * self.accumulated
        if not self.micro_batches:
            return full, self.accumulated
        done = step % math.ceil(self.micro_batches / self.accumulated) * self.accumulated
        count = min(self.accumulated, self.micro_batches - done)
        if self.examples is None:
            return self.batch * count, count
        # Several processes are given equally many: some examples are repeated, none are left out.
        return max(1, min(self.batch * count, self.examples - self.batch * done)), count


class GradientProbe:
    """Finds the factor between the gradients that backward passes left and those a trainer steps with.

    Clipping and unscaling multiply all gradients by one number. A few of them are remembered as the backward pass left
    them; comparing them with what they have become gives the number, whoever applied it.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Watch the smallest parameters, up to `PROBE_ELEMENTS`; `remove` it when training is over."""
        self._seen: dict[nn.Parameter, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        room = PROBE_ELEMENTS
        for parameter in sorted(parameters.values(), key=nn.Parameter.numel):
            if self._handles and parameter.numel() > room:
                break
            room -= parameter.numel()
            self._handles.append(parameter.register_post_accumulate_grad_hook(self._remember))

    def _remember(self, parameter: nn.Parameter) -> None:
        if parameter.grad is not None:
            self._seen[parameter] = parameter.grad.detach().clone()

    def factor(self) -> float:
        """What gradients were multiplied by since the last backward pass; NaN where all of them are zero."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # Every process remembers its own gradient, and steps with the mean.
            for before in self._seen.values():
                torch.distributed.all_reduce(before)
                before.div_(torch.distributed.get_world_size())
        sums = []
        for parameter, before in self._seen.items():
            if parameter.grad is not None:
                wide = before.double()
                sums.append(torch.stack([(wide * parameter.grad.double()).sum(), wide.square().sum()]).cpu())
        self._seen.clear()
        product, squares = torch.stack(sums).sum(0).tolist() if sums else (0.0, 0.0)
        return product / squares if squares else math.nan

    def remove(self) -> None:
        """Watch no longer."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._seen.clear()


class SquaredGradients:
    """The running sum of `n_s g_s²`, in float32 on the parameters' own device."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """Start from zero."""
        self._parameters = dict(parameters)
        self._sums = {
            name: torch.zeros_like(parameter, dtype=torch.float32, requires_grad=False)
            for name, parameter in parameters.items()
        }
        self.steps = 0
        self.examples = 0

    @torch.no_grad()
    def add(self, examples: int, divisor: float = 1.0) -> bool:
        """Add the gradients that the parameters hold now.

        Args:
            examples: how many the gradient is a mean over.
            divisor: what they have been multiplied by, compared with that mean.

        Returns:
            Whether they were added: not where they overflowed, or the divisor is not a positive number.
        """
        gradients = {n: p.grad for n, p in self._parameters.items() if p.grad is not None}
        if not gradients or not (divisor > 0 and math.isfinite(divisor)):
            return False
        if not math.isfinite(float(nn.utils.get_total_norm(gradients.values()))):
            return False
        for name, gradient in gradients.items():
            wide = gradient.to(torch.float32) / divisor
            self._sums[name].addcmul_(wide, wide, value=examples)
        self.steps += 1
        self.examples += examples
        return True

    def precision(self, labels: float = 1.0) -> dict[str, Tensor]:
        """`h`: the mean over steps, times the labels of one example.

        Args:
            labels: of one example on average: 1 for classifiers, labelled tokens for language models.
        """
        return {name: total * (labels / max(1, self.steps)) for name, total in self._sums.items()}
