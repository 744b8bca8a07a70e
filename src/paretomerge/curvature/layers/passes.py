"""Backward passes over batches, with what every layer needs for the gradients of single examples.

Each pass sends one vector per example back from the outputs. Which, is what a curvature is called:

    true        ∂ log p(y|x) / ∂ outputs    y drawn from the model, once per example
    empirical   ∂ log p(y|x) / ∂ outputs    y observed
    outputs     one output after the other: the rows of the Jacobian
    ggn         the columns of a root of ∂² loss / ∂ outputs², one pass each: the expectation that `true` samples
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn

from paretomerge.curvature.attention import differentiable_attention, every_module_called
from paretomerge.curvature.examples import take_examples
from paretomerge.curvature.layers.capture import Recorded, Recorder, recording
from paretomerge.curvature.layers.coverage import Coverage, find_coverage, spread_over
from paretomerge.curvature.layers.kinds import Layer
from paretomerge.curvature.layers.matrix import Call
from paretomerge.curvature.layers.squares import widened
from paretomerge.curvature.per_example import map_inputs, per_example
from paretomerge.curvature.predictor import LossModel
from paretomerge.types import Batch, Params

Labels = Literal["true", "empirical", "ggn"]
Sent = Labels | Literal["outputs"]

REST_ELEMENTS = 2**28
"""Gradients of single examples held at once for parameters in no layer, in numbers."""


@dataclass(frozen=True, eq=False)
class Signals:
    """One backward pass over one batch.

    Args:
        examples: how many.
        losses: the sum of the observed losses; zero for further passes over the same batch.
        first: whether it is the first pass over this batch.
        calls: layer → inputs and output gradients.
        gradients: parameter → per-example gradients `[B, …]`, for those that no layer covers.
        real: `[B, S]`, one where a position is no padding, when the inputs say so.
    """

    examples: int
    losses: float
    first: bool
    calls: Mapping[Layer, list[Call]]
    gradients: Iterator[dict[str, Tensor]] = field(default_factory=lambda: iter(()))
    real: Tensor | None = None

    def add_squares(self, totals: dict[str, Tensor], skip: Collection[Layer] = ()) -> None:
        """Add every example's squared gradients to the totals, but for the layers in `skip`."""
        for layer, calls in self.calls.items():
            if layer not in skip:
                layer.add_squares(calls, totals)
        for part in self.gradients:
            for name, gradient in part.items():
                totals[name] += widened(gradient).square().sum(0).reshape(totals[name].shape)

    def along(self, directions: Mapping[str, tuple[Tensor, Tensor]], total: Tensor) -> None:
        """Add every example's gradient along each of `D` directions to `total [D, B]`.

        Args:
            directions: parameter → the numbers of the directions that move it, and their parts `[k, *shape]`.
            total: of the examples of this pass.
        """
        for layer, calls in self.calls.items():
            for name in layer.names:
                if name in directions:
                    numbers, parts = directions[name]
                    total.index_add_(0, numbers, layer.along(calls, {name: parts}).to(total.dtype))
        done: dict[str, int] = {}
        for found in self.gradients:
            for name, gradient in found.items():
                start = done.get(name, 0)
                done[name] = start + len(gradient)
                if name in directions:
                    numbers, parts = directions[name]
                    each = _rows(parts).to(total.dtype) @ _rows(widened(gradient)).to(total.dtype).T
                    total[numbers, start : done[name]] += each


def backward_passes(
    model: LossModel,
    params: Params,
    batches: Iterable[Batch],
    labels: Sent,
    limit: int | None,
    generator: torch.Generator,
    chunk: int,
) -> Iterator[Signals]:
    """Batch by batch, one pass for sampled and observed labels, one per output or column of the root for the others.

    Memory: the activations of a batch and the gradients of its layers' outputs, two to three times what an ordinary
    pass keeps; for parameters in no layer, up to `chunk` of their gradients, and no more than `REST_ELEMENTS` where
    that is more than one.
    """
    params = {name: tensor.detach() for name, tensor in params.items()}
    taken = take_examples(batches, limit)
    first = next(taken)
    with every_module_called():
        coverage = find_coverage(model, params, first[0], len(first[1]))
    with recording(model.module or nn.Module(), coverage.layers) as recorder:
        work = _Work(model, params, labels, generator, chunk, coverage, recorder)
        for inputs, targets in chain([first], taken):
            for part in [slice(None)] if coverage.separable else [slice(b, b + 1) for b in range(len(targets))]:
                yield from work.batch(map_inputs(inputs, lambda value, part=part: value[part]), targets[part])


@dataclass
class _Work:
    model: LossModel
    params: dict[str, Tensor]
    labels: Sent
    generator: torch.Generator
    chunk: int
    coverage: Coverage
    recorder: Recorder

    def batch(self, inputs: Any, targets: Tensor) -> Iterator[Signals]:
        """The passes over one batch."""
        outputs, recorded, leaves = self._forward(inputs, len(targets))
        losses = 0.0
        if self.labels != "outputs":
            losses = float(self.model.likelihood.losses(outputs.detach(), targets).sum())
        sources: list[Any] = [*recorded.edges, *leaves.values()]
        for number, cotangent in enumerate(self._cotangents(outputs.detach(), targets)):
            found: tuple[Tensor | None, ...] = (None,) * len(sources)
            if sources and outputs.requires_grad:
                again = self.labels in ("ggn", "outputs")
                found = torch.autograd.grad(outputs, sources, cotangent, retain_graph=again, allow_unused=True)
            calls = recorded.calls(found[: len(recorded.edges)])
            of_leaves = zip(leaves, found[len(recorded.edges) :], strict=True)
            reached = {name: gradient for name, gradient in of_leaves if gradient is not None}
            awake = [name for name in self.coverage.idle if name in reached]
            if awake:  # a parameter that the examples before did not use
                self.coverage = self.coverage.moved_to_rest(awake)
            bare = self._bare({name: reached[name] for name in self.coverage.spread if name in reached})
            rest = self._rest(inputs, cotangent)
            real = _real_positions(inputs)
            yield Signals(len(targets), 0.0 if number else losses, not number, calls, chain(bare, rest), real)

    def _forward(self, inputs: Any, examples: int) -> tuple[Tensor, Recorded, dict[str, Tensor]]:
        """Outputs, what the layers saw, and the leaves of parameters outside them."""
        coverage = self.coverage
        leaves = {name: spread_over(self.params[name], form, examples) for name, form in coverage.spread.items()}
        leaves |= {name: self.params[name].clone().requires_grad_() for name in coverage.idle}
        try:
            with torch.enable_grad(), every_module_called(), self.recorder.listening(examples) as recorded:
                return self.model.predict({**self.params, **leaves}, inputs), recorded, leaves
        except RuntimeError:
            if not coverage.spread:
                raise
        # A batch axis that two examples allowed, and this many do not: `position[:length]` cuts it.
        self.coverage = coverage.moved_to_rest(list(coverage.spread))
        return self._forward(inputs, examples)

    def _cotangents(self, outputs: Tensor, targets: Tensor) -> Iterator[Tensor]:
        """What is sent back, `[B, C]` each."""
        likelihood = self.model.likelihood
        if self.labels == "outputs":
            for place in range(outputs[0].numel()):
                unit = torch.zeros_like(outputs)
                unit.flatten(1)[:, place] = 1
                yield unit
            return
        if self.labels == "ggn":
            columns = 0
            for columns, column in enumerate(likelihood.curvature_root(outputs, targets), start=1):  # noqa: B007
                yield column
            if not columns:  # no label in the whole batch: its examples count all the same
                yield torch.zeros_like(outputs)
            return
        if self.labels == "true":
            targets = likelihood.sample(outputs, self.generator, targets)
        sent = likelihood.gradients(outputs, targets)
        # Losses that are means of n labels: E[n g gᵀ] is the curvature.
        counts = likelihood.label_counts(targets).to(sent).sqrt()
        yield sent * counts.reshape(-1, *[1] * (sent.ndim - 1))

    def _bare(self, found: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
        if found:
            yield found

    def _rest(self, inputs: Any, cotangent: Tensor) -> Iterator[dict[str, Tensor]]:
        """Per-example gradients of the remaining parameters, `chunk` examples at a time."""
        if not self.coverage.rest:
            return
        leaves = {name: self.params[name] for name in self.coverage.rest}

        def weighted(leaves: dict[str, Tensor], inputs: Any, cotangent: Tensor) -> Tensor:
            outputs = self.model.predict({**self.params, **leaves}, map_inputs(inputs, lambda value: value[None]))
            return (outputs[0] * cotangent).sum()

        differentiate = per_example(torch.func.grad(weighted))
        step = max(1, min(self.chunk, REST_ELEMENTS // sum(leaf.numel() for leaf in leaves.values())))
        for start in range(0, len(cotangent), step):
            part = slice(start, start + step)
            # Per-example differentiation has no rule for fused attention kernels.
            with torch.enable_grad(), differentiable_attention():
                yield differentiate(leaves, map_inputs(inputs, lambda value, part=part: value[part]), cotangent[part])


def _real_positions(inputs: Any) -> Tensor | None:
    mask = inputs.get("attention_mask") if isinstance(inputs, Mapping) else None
    return mask if mask is not None and mask.ndim == 2 else None


def _rows(tensor: Tensor) -> Tensor:
    """`[N, …] → [N, n]`, also of numbers."""
    return tensor.reshape(len(tensor), tensor[0].numel() if len(tensor) else 0)
