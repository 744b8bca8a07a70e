"""Recording what goes into each layer, and where the gradient of what comes out will pass.

Parameters need no gradient here: the first layer's output starts the graph, so a backward pass computes the
gradients of layer outputs and nothing else, two thirds of an ordinary one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from paretomerge.curvature.layers.kinds import Layer
from paretomerge.curvature.layers.matrix import Call
from paretomerge.errors import PosteriorError


@dataclass(eq=False)
class Visit:
    """One call of a layer: what it kept of its input, and the place its output's gradient passes."""

    layer: Layer
    kept: Tensor
    version: int
    edge: GradientEdge


@dataclass(eq=False)
class Recorded:
    """The visits of one forward pass."""

    examples: int
    visits: list[Visit] = field(default_factory=list)

    @property
    def edges(self) -> list[GradientEdge]:
        """What to differentiate with respect to."""
        return [visit.edge for visit in self.visits]

    def calls(self, gradients: Sequence[Tensor | None], only: Layer | None = None) -> dict[Layer, list[Call]]:
        """Layer → its inputs and the gradients of its outputs, `[B, …]`; layers that no gradient reaches are left out.

        Raises:
            PosteriorError: an input was overwritten after the layer had read it, or does not go by examples.
        """
        found: dict[Layer, list[Call]] = {}
        for visit, gradient in zip(self.visits, gradients, strict=True):
            if gradient is None or (only is not None and visit.layer != only):
                continue
            if visit.kept._version != visit.version:
                raise PosteriorError(
                    f"the model overwrites the input of {visit.layer.name!r} in place, so its gradients cannot be "
                    "told apart: use the operation that returns a new tensor"
                )
            call = self._by_example(visit.kept, visit.layer), self._by_example(gradient, visit.layer)
            found.setdefault(visit.layer, []).append(call)
        return found

    def _by_example(self, tensor: Tensor, layer: Layer) -> Tensor:
        """`[B, …]`, also where a model folds positions into the first axis, `[B × windows, …]`."""
        first = tensor.shape[0] if tensor.ndim else 0
        if first == self.examples:
            return tensor
        if first == 0 or first % self.examples or layer.channels_second:
            raise PosteriorError(
                f"the layer {layer.name!r} has {first} rows for {self.examples} examples: its inputs do not go by "
                "examples, though those of the first batch did"
            )
        return tensor.reshape(self.examples, first // self.examples, *tensor.shape[1:])


@dataclass(eq=False)
class Recorder:
    """Hooks on the layers of a module, quiet except inside `listening`."""

    current: Recorded | None = None

    @contextmanager
    def listening(self, examples: int) -> Iterator[Recorded]:
        """Record the layers of the forward pass inside."""
        recorded = self.current = Recorded(examples)
        try:
            yield recorded
        finally:
            self.current = None

    def hook_for(self, layer: Layer) -> Any:
        """What runs after a layer's forward method: its output becomes, or stays, a part of the graph."""

        def hook(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any], output: Tensor) -> Tensor:
            recorded = self.current
            if recorded is None:
                return output
            given = (args[0] if args else next(iter(named.values()))).detach()
            with torch.no_grad():
                kept = layer.keep(module, given)
            if len(output) == 1 != recorded.examples:
                # One row for all examples, such as position embeddings: a row each, so that gradients stay apart.
                kept = kept.expand(recorded.examples, *kept.shape[1:])
                output = output.expand(recorded.examples, *output.shape[1:]).clone()
            if not output.requires_grad:
                # The copy is no leaf, so that the model may overwrite it.
                output = output.detach().requires_grad_().clone()
            # The place in the graph rather than the tensor, which the model may overwrite (`nn.ReLU(inplace=True)`).
            recorded.visits.append(Visit(layer, kept, kept._version, get_gradient_edge(output)))
            return output

        return hook


@contextmanager
def recording(module: nn.Module, layers: Sequence[Layer]) -> Iterator[Recorder]:
    """Hooks on the layers; they are gone afterwards."""
    recorder = Recorder()
    inner = [module.get_submodule(layer.name) for layer in layers]
    # First of all hooks: others may change what the layer returns.
    handles = [
        found.register_forward_hook(recorder.hook_for(layer), prepend=True, with_kwargs=True)
        for layer, found in zip(layers, inner, strict=True)
    ]
    try:
        yield recorder
    finally:
        for handle in handles:
            handle.remove()
