"""A checked mergekit configuration, and what it means for the tensors of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from paretomerge.errors import RecipeError
from paretomerge.recipes.mergekit.models import USE_MERGEKIT, ModelPath
from paretomerge.recipes.mergekit.parameters import METHODS, Parameter, Settings, has_gradient, layer_positions, resolve
from paretomerge.recipes.mergekit.plan import MergekitPlan, Values, translate


@dataclass(frozen=True)
class MergekitRecipe:
    """A mergekit configuration, checked.

    Args:
        method: the `merge_method`.
        base: the `base_model`; without one, the first model (mergekit takes any).
        models: task → model, in the order of the file; without the base unless it is merged like the others.
        dtype: in which mergekit computes.
        out_dtype: in which it writes.
        tokenizer: how vocabularies are made to fit: the base's, their union, or not at all.
        parameters: of the whole file.
        slice_parameters: of the only slice, if models are given as one.
        model_parameters: task → parameters at the level of the model.
        layers: how many layers the slice covers.
        warnings: what was read and has no effect.
    """

    method: str
    base: ModelPath
    models: Mapping[str, ModelPath]
    dtype: str | None = None
    out_dtype: str | None = None
    tokenizer: Literal["base", "union"] | None = None
    parameters: Settings = field(default_factory=dict)
    slice_parameters: Settings = field(default_factory=dict)
    model_parameters: Mapping[str, Settings] = field(default_factory=dict)
    layers: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def output_dtype(self) -> str | None:
        """The dtype of the merged checkpoint; `None` is that of the inputs."""
        return self.out_dtype or self.dtype

    def plan(self, names: Sequence[str], num_layers: int | None = None, seed: int = 0) -> MergekitPlan:
        """Rules and coefficients for the tensors of a model.

        Args:
            names: the tensors to merge.
            num_layers: how many layers the model has (`num_hidden_layers` of its configuration); counted from the
                names by default.
            seed: of the methods that drop elements at random.

        Raises:
            RecipeError: a parameter without a value for a tensor, values the rule does not take, a slice that is not
                the whole model, or gradients over a model without numbered layers.
        """
        if not names:
            raise RecipeError("no tensors to merge: give the names of the floating-point tensors of the model")
        positions = layer_positions(names, num_layers)
        warnings = self._check_layers(positions, num_layers)
        rules, weights, more = translate(self.method, self.values(names, num_layers), seed)
        return MergekitPlan(tuple(self.models), rules, weights, (*self.warnings, *warnings, *more))

    def values(self, names: Sequence[str], num_layers: int | None = None) -> dict[str, Values]:
        """The parameters of the method for every tensor, as mergekit resolves them."""
        positions = layer_positions(names, num_layers)
        return {name: self._values(name, positions[name][1] if name in positions else 0.0) for name in names}

    def _values(self, tensor: str, position: float) -> Values:
        shared: dict[str, Any] = {}
        per_task: dict[str, dict[str, Any]] = {task: {} for task in self.models}
        levels = (self.slice_parameters, self.parameters)
        for name, parameter in METHODS[self.method].items():
            if parameter.scope == "shared":
                shared[name] = self._value(name, parameter, levels, tensor, position)
                continue
            for task, found in per_task.items():
                own = (self.model_parameters.get(task, {}), *levels)
                found[name] = self._value(name, parameter, own, tensor, position, task)
        return Values(shared, per_task)

    def _value(
        self, name: str, parameter: Parameter, levels: Sequence[Settings], tensor: str, position: float, task: str = ""
    ) -> Any:
        value = resolve(name, parameter, levels, tensor, position)
        if value is not None:
            return value
        whose = f" of {self.models[task]}" if task else ""
        hint = "add it, or a last condition without filter"
        if task and self.models[task] == self.base and self.method == "linear":
            hint = "in linear the base_model takes part: list it under models with a weight (0 to leave it out)"
        raise RecipeError(f"no {name!r}{whose} for the tensor {tensor}: {hint}")

    def _check_layers(self, positions: Mapping[str, tuple[int, float]], num_layers: int | None) -> tuple[str, ...]:
        gradients = self._has_gradients()
        if gradients and not positions:
            raise RecipeError(
                "a list of values is a gradient over layers, but no tensor name shows a layer number "
                "(model.layers.0.…): give single values or conditions {filter, value}"
            )
        counted = 1 + max((layer for layer, _ in positions.values()), default=-1)
        held = counted if num_layers is None else num_layers
        if self.layers is not None and self.layers != held:
            raise RecipeError(
                f"layer_range: [0, {self.layers}] is not the whole model, which has {held} layers: merge all of them, "
                f"or {USE_MERGEKIT}"
            )
        if counted <= held or not gradients:
            return ()
        return (f"layers from {held} on lie beyond the model's {held} layers: they get the last layer's values",)

    def _has_gradients(self) -> bool:
        known = METHODS[self.method]
        levels = (self.parameters, self.slice_parameters, *self.model_parameters.values())
        return any(has_gradient(setting) for level in levels for name, setting in level.items() if name in known)
