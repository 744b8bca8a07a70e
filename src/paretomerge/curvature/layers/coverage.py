"""Which parameters' per-example gradients can be read off layers: found by trying, on two examples.

Four ways, from cheap to dear:

    layers   read off inputs and output gradients (`capture.py`)
    spread   given a batch axis, `[B, …]`, where the model broadcasts the parameter anyway: position embeddings, class
             tokens, the scales of a model's own normalisations
    idle     not used at all
    rest     differentiated example by example

Whatever the structure of a model promises, a way is taken only if its numbers equal the gradients of the examples
one by one. The trial is made at perturbed parameters, where nothing is zero by initialisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.curvature.layers.capture import Recorded, recording
from paretomerge.curvature.layers.kinds import Layer, layers_of
from paretomerge.curvature.per_example import map_inputs
from paretomerge.curvature.predictor import LossModel
from paretomerge.errors import PosteriorError
from paretomerge.types import Params

EXAMPLES = 2
"""More than one, so that a sum over examples shows; no more, because each costs some passes."""

SPREAD_ELEMENTS = 2**20
"""A parameter larger than this is not given a batch axis: memory would be `B` times its size."""

FORMS = (-1, 0, 1, 2)
"""Ways to a batch axis: instead of a leading 1, or in front with this many ones between."""


@dataclass(frozen=True)
class Coverage:
    """How each parameter's per-example gradient is found; `separable` says whether a batch is its examples."""

    layers: tuple[Layer, ...] = ()
    spread: Mapping[str, int] = field(default_factory=dict)
    idle: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    separable: bool = True

    def moved_to_rest(self, names: Sequence[str]) -> Coverage:
        """These parameters, none of them of a layer, are differentiated example by example from now on."""
        return replace(
            self,
            spread={name: form for name, form in self.spread.items() if name not in names},
            idle=tuple(name for name in self.idle if name not in names),
            rest=(*self.rest, *names),
        )


def spread_over(tensor: Tensor, form: int, examples: int) -> Tensor:
    """A copy of a parameter for every example, `[B, …]`, that requires a gradient."""
    shape = tensor.shape[1:] if form < 0 else (*[1] * form, *tensor.shape)
    return tensor.detach().reshape(1, *shape).expand(examples, *shape).clone().requires_grad_()


def find_coverage(model: LossModel, params: Params, inputs: Any, examples: int) -> Coverage:
    """Try every way on two of the `examples` of `inputs` (one, twice, where there are no more); once for a model."""
    if model.module is None:
        return Coverage(rest=model.trainable)
    kind = tuple(sorted(inputs)) if isinstance(inputs, Mapping) else ()
    if kind not in model.found:
        model.found[kind] = _try_all(model, model.module, params, inputs, examples)
    return model.found[kind]


def _try_all(model: LossModel, module: nn.Module, params: Params, inputs: Any, examples: int) -> Coverage:
    rows = torch.arange(EXAMPLES) % examples
    inputs = map_inputs(inputs, lambda value: value[rows.to(value.device)])
    trial = _Trial(model, _perturbed(params, model.trainable), inputs)
    if not trial.separable:
        return Coverage(rest=model.trainable, separable=False)
    layers = trial.confirmed(layers_of(module, model.trainable))
    covered = {name for layer in layers for name in layer.names}
    bare = [name for name in model.trainable if name not in covered]
    idle = tuple(name for name in bare if all(each[name] is None for each in trial.gradients))
    spread = trial.spread([name for name in bare if name not in idle])
    rest = tuple(name for name in bare if name not in idle and name not in spread)
    return Coverage(tuple(layers), spread, idle, rest)


class _Trial:
    """Two examples at perturbed parameters, and their gradients one by one."""

    def __init__(self, model: LossModel, params: dict[str, Tensor], inputs: Any) -> None:
        self.model, self.params, self.inputs = model, params, inputs
        with torch.no_grad():
            outputs = model.predict(params, inputs)
        generator = torch.Generator().manual_seed(0)
        self.cotangents = torch.randn(outputs.shape, generator=generator, dtype=torch.float64).to(outputs)
        self.tolerance = min(0.3, 30 * torch.finfo(outputs.dtype).eps ** 0.5)
        singles, self.gradients = [], []
        for example in range(EXAMPLES):
            leaves = {name: params[name].clone().requires_grad_() for name in model.trainable}
            with torch.enable_grad():
                output = model.predict({**params, **leaves}, map_inputs(inputs, lambda v, e=example: v[e : e + 1]))
            sent = self.cotangents[example : example + 1]
            found = torch.autograd.grad(output, list(leaves.values()), sent, allow_unused=True)
            self.gradients.append(dict(zip(leaves, found, strict=True)))
            singles.append(output.detach())
        # Gradients that are zero in theory, such as those of keys' biases in attention, are noise of this size.
        size = sum(float(self._squares(name).sum()) for name in model.trainable) ** 0.5
        self.noise = 30 * torch.finfo(outputs.dtype).eps * size
        self.separable = self._equal(outputs, torch.cat(singles))

    def confirmed(self, layers: list[Layer]) -> list[Layer]:
        """The layers whose squared gradients are those of the examples one by one."""
        assert self.model.module is not None
        with (
            torch.enable_grad(),
            recording(self.model.module, layers) as recorder,
            recorder.listening(EXAMPLES) as recorded,
        ):
            outputs = self.model.predict(self.params, self.inputs)
        if not outputs.requires_grad:
            return []
        gradients = torch.autograd.grad(outputs, recorded.edges, self.cotangents, allow_unused=True)
        return [layer for layer in layers if self._confirms(layer, recorded, gradients)]

    def _confirms(self, layer: Layer, recorded: Recorded, gradients: Sequence[Tensor | None]) -> bool:
        totals = {name: torch.zeros_like(self.params[name], dtype=torch.float64) for name in layer.names}
        try:
            calls = recorded.calls(gradients, layer).get(layer)
            if not calls:
                return False
            layer.add_squares(calls, totals)
        except (PosteriorError, RuntimeError):
            return False  # its inputs do not go by examples
        # Root mean squares: the numbers that are used, on the scale of the gradients.
        found = [totals[name].sqrt().flatten() for name in layer.names]
        expected = [self._squares(name).sqrt().flatten() for name in layer.names]
        return self._equal(torch.cat(found), torch.cat(expected))

    def _squares(self, name: str) -> Tensor:
        """The sum over examples of squared gradients, zero for one that is not used."""
        total = torch.zeros_like(self.params[name], dtype=torch.float64)
        for each in self.gradients:
            gradient = each[name]
            if gradient is not None:
                total += _dense(gradient).to(total.dtype).square()
        return total

    def spread(self, names: Sequence[str]) -> dict[str, int]:
        """The parameters that may have a batch axis, and its form; alike ones of alike modules are tried together."""
        groups: dict[tuple[Any, ...], list[str]] = {}
        for name in names:
            if self.params[name].numel() <= SPREAD_ELEMENTS:
                groups.setdefault(self._kind(name), []).append(name)
        found: dict[str, int] = {}
        for group in groups.values():
            form = next((form for form in FORMS if self._spreads(group, form)), None)
            if form is not None:
                found |= dict.fromkeys(group, form)
        return found

    def _kind(self, name: str) -> tuple[Any, ...]:
        owner, _, local = name.rpartition(".")
        assert self.model.module is not None
        return type(self.model.module.get_submodule(owner)), local, tuple(self.params[name].shape)

    def _spreads(self, names: list[str], form: int) -> bool:
        if form < 0 and (self.params[names[0]].ndim == 0 or len(self.params[names[0]]) != 1):
            return False
        leaves = {name: spread_over(self.params[name], form, EXAMPLES) for name in names}
        try:
            with torch.enable_grad():
                outputs = self.model.predict({**self.params, **leaves}, self.inputs)
            found = torch.autograd.grad(outputs, list(leaves.values()), self.cotangents)
        except (RuntimeError, ValueError, IndexError):
            return False  # the model does not broadcast it
        return all(
            each[name] is not None and self._equal(gradient[example].reshape(each[name].shape), each[name])
            for name, gradient in zip(leaves, found, strict=True)
            for example, each in enumerate(self.gradients)
        )

    def _equal(self, found: Tensor, expected: Tensor) -> bool:
        if found.shape != expected.shape:
            return False
        return float((found - expected).norm()) <= self.tolerance * float(expected.norm()) + self.noise


def _perturbed(params: Params, trainable: Sequence[str]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    moved = {name: tensor.detach() for name, tensor in params.items()}
    for name in trainable:
        tensor = moved[name]
        size = tensor.float().square().mean().sqrt()
        noise = torch.randn(tensor.shape, generator=generator).to(tensor)
        moved[name] = tensor + noise * (0.1 * size + 0.02 * (size == 0)).to(tensor)
    return moved


def _dense(gradient: Tensor) -> Tensor:
    return gradient.to_dense() if gradient.is_sparse else gradient
