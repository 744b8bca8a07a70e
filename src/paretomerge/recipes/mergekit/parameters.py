"""What the parameters of a mergekit configuration mean for one tensor: scope, precedence, filters and gradients.

A parameter has a scope: `shared` (one value for all models: `lambda`, `normalize`, `t`), `input` (one value per
model), or `finetune` (one per model that is not the base). It is looked up in the levels that can hold it, from the
most to the least special, and the first level with an answer for this tensor wins:

    input, finetune:  model  →  slice  →  global  →  the method's default
    shared:                     slice  →  global  →  the method's default

A setting is a number, a list of numbers (a *gradient* over the layers), or a list of conditions
`{filter, value}` of which the first counts whose filter is part of the tensor's name (`*` and no filter always do).
Conditions none of which holds have no answer, so the next level is asked. A gradient `v` of `n` numbers at the
position `t` of a layer is

    (1 - f) v[i] + f v[i+1],      t (n-1) = i + f,      t = layer / (layers - 1)

and tensors outside the layers (embeddings, final norm, head) are at `t = 0`, the last ones too.
These are the rules of mergekit 0.1.5 (Goddard et al., 2024, Arcee's MergeKit: a toolkit for merging large language
models), checked against it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from paretomerge.errors import RecipeError, nearest

Scope = Literal["shared", "input", "finetune"]
Settings = Mapping[str, Any]

# The kind decides what mergekit accepts as a value ("1e-4" is a number, "yes" is true).
KINDS: dict[type, TypeAdapter[Any]] = {float: TypeAdapter(float), bool: TypeAdapter(bool)}
CONDITION_KEYS = ("filter", "value")
# The names that hold numbered layers in the architectures mergekit knows.
LAYER_LISTS = frozenset({"layers", "layer", "h", "block", "blocks", "deepstack_merger_list"})


@dataclass(frozen=True)
class Parameter:
    """One parameter of a method; without a default it must be given."""

    scope: Scope
    kind: type
    default: float | bool | None = None


def _task_arithmetic(normalize: bool, rescale: bool, **others: Parameter) -> dict[str, Parameter]:
    return {
        "weight": Parameter("finetune", float),
        "density": Parameter("finetune", float, 1.0),
        "lambda": Parameter("shared", float, 1.0),
        "normalize": Parameter("shared", bool, normalize),
        "rescale": Parameter("shared", bool, rescale),
        "int8_mask": Parameter("shared", bool, False),
        **others,
    }


_EPSILON = Parameter("finetune", float, 0.15)
_GAMMA = Parameter("finetune", float, 0.01)

# mergekit method → its parameters, with mergekit's defaults.
METHODS: dict[str, dict[str, Parameter]] = {
    "linear": {"weight": Parameter("input", float), "normalize": Parameter("shared", bool, True)},
    "slerp": {"t": Parameter("shared", float)},
    "task_arithmetic": _task_arithmetic(False, False),
    "ties": _task_arithmetic(True, False),
    "dare_linear": _task_arithmetic(False, True),
    "dare_ties": _task_arithmetic(False, True),
    "della": _task_arithmetic(True, True, epsilon=_EPSILON),
    "della_linear": _task_arithmetic(False, True, epsilon=_EPSILON),
    "breadcrumbs": _task_arithmetic(False, False, gamma=_GAMMA),
    "breadcrumbs_ties": _task_arithmetic(False, False, gamma=_GAMMA),
}
KNOWN_PARAMETERS = tuple(dict.fromkeys(name for table in METHODS.values() for name in table))


def check_settings(settings: Any, method: str, where: str, level: Literal["model", "slice", "global"]) -> list[str]:
    """Check one `parameters` section; returns what will have no effect, in words.

    Raises:
        RecipeError: a name no method has, or a value that is none.
    """
    if not isinstance(settings, Mapping):
        raise RecipeError(f"{where}: expected a mapping such as {{weight: 0.5}}, got {settings!r}")
    idle = []
    for name, setting in settings.items():
        if name not in KNOWN_PARAMETERS:
            raise RecipeError(
                f"{where}: unknown parameter {name!r}{nearest(name, KNOWN_PARAMETERS)}; {method} has "
                f"{', '.join(METHODS[method])}. mergekit would ignore it silently: correct or remove it"
            )
        parameter = METHODS[method].get(name)
        if parameter is None:
            idle.append(f"{where}.{name} has no effect with {method} (as in mergekit)")
            continue
        _check_setting(setting, parameter, f"{where}.{name}")
        if parameter.scope == "shared" and level == "model":
            idle.append(
                f"{where}.{name} has no effect: it is read from the parameters of the slice or of the whole file"
            )
    return idle


def resolve(name: str, parameter: Parameter, levels: Iterable[Settings], tensor: str, position: float) -> Any:
    """The value of a parameter for one tensor; `None` where no level answers and there is no default."""
    for settings in levels:
        if name in settings:
            value = evaluate(settings[name], parameter.kind, tensor, position)
            if value is not None:
                return value
    return parameter.default


def evaluate(setting: Any, kind: type, tensor: str, position: float) -> Any:
    """The value of one setting for one tensor at the position `t` of its layer; `None` if no condition holds.

    >>> evaluate([0.0, 1.0, 0.5], float, "model.layers.3.mlp", 0.75)
    0.75
    >>> evaluate([{"filter": "mlp", "value": 0.2}, {"value": 0.9}], float, "model.norm.weight", 0.0)
    0.9
    """
    if isinstance(setting, Mapping):
        setting = [setting]
    if not isinstance(setting, list):
        return KINDS[kind].validate_python(setting)
    if any(isinstance(element, Mapping) for element in setting):
        for condition in setting:
            wanted = condition.get("filter")
            if wanted is None or wanted == "*" or wanted in tensor:
                return evaluate(condition["value"], kind, tensor, position)
        return None
    return _interpolate([KINDS[kind].validate_python(value) for value in setting], kind, position) if setting else None


def has_gradient(setting: Any) -> bool:
    """Whether the setting depends on the layer."""
    if isinstance(setting, Mapping):
        return has_gradient(setting["value"])
    if isinstance(setting, list):
        return (len(setting) > 1 and not isinstance(setting[0], Mapping)) or any(map(has_gradient, setting))
    return False


def layer_positions(names: Sequence[str], num_layers: int | None) -> dict[str, tuple[int, float]]:
    """Tensor → (layer, position `t` in [0, 1]), for the tensors that belong to a layer.

    Each list of layers (`model.layers`, `encoder.block`, …) is counted for itself; `num_layers` is how many the only
    list of a model has, which its names need not show. A single layer is at `t = 1`.
    """
    found = {name: place for name in names if (place := _layer_of(name, LAYER_LISTS)) is not None}
    if not found:
        found = {name: place for name in names if (place := _layer_of(name, None)) is not None}
    counts: dict[str, int] = defaultdict(int)
    for prefix, layer in found.values():
        counts[prefix] = max(counts[prefix], layer + 1)
    if num_layers is not None and len(counts) == 1:
        counts = dict.fromkeys(counts, num_layers)
    return {
        name: (layer, min(layer / (counts[prefix] - 1), 1.0) if counts[prefix] > 1 else 1.0)
        for name, (prefix, layer) in found.items()
    }


def _layer_of(name: str, lists: frozenset[str] | None) -> tuple[str, int] | None:
    parts = name.split(".")
    for place in range(1, len(parts) - 1):
        if parts[place].isdecimal() and (lists is None or parts[place - 1] in lists):
            return ".".join(parts[:place]), int(parts[place])
    return None


def _interpolate(values: list[Any], kind: type, position: float) -> Any:
    scaled = position * (len(values) - 1)
    low = int(scaled)
    if kind is bool:
        return values[low]
    fraction = scaled - low
    return (1 - fraction) * values[low] + fraction * values[min(len(values) - 1, low + 1)]


def _check_setting(setting: Any, parameter: Parameter, where: str) -> None:
    if isinstance(setting, Mapping):
        setting = [setting]
    if not isinstance(setting, list):
        _check_value(setting, parameter, where)
    elif any(isinstance(element, Mapping) for element in setting):
        for number, condition in enumerate(setting):
            _check_condition(condition, parameter, f"{where}[{number}]")
    else:
        for value in setting:
            _check_value(value, parameter, where)


def _check_condition(condition: Any, parameter: Parameter, where: str) -> None:
    if not isinstance(condition, Mapping):
        raise RecipeError(f"{where}: {condition!r} stands among conditions: write it as {{value: {condition!r}}}")
    for key in condition:
        if key not in CONDITION_KEYS:
            raise RecipeError(
                f"{where}: unknown key {key!r}{nearest(key, CONDITION_KEYS)}: a condition is {{filter, value}}"
            )
    if not isinstance(condition.get("filter"), str | None):
        raise RecipeError(
            f"{where}.filter: expected a part of a tensor name, got {condition['filter']!r}: put it in quotes"
        )
    if "value" not in condition:
        raise RecipeError(f"{where}: a condition without value: write {{filter: self_attn, value: 0.5}}")
    value = condition["value"]
    for element in value if isinstance(value, list) else [value]:
        _check_value(element, parameter, f"{where}.value")


def _check_value(value: Any, parameter: Parameter, where: str) -> None:
    wanted = "a number" if parameter.kind is float else "true or false"
    if not isinstance(value, bool | int | float | str):
        raise RecipeError(f"{where}: expected {wanted}, a list of them, or conditions {{filter, value}}, got {value!r}")
    try:
        checked = KINDS[parameter.kind].validate_python(value)
    except ValidationError as error:
        raise RecipeError(f"{where}: expected {wanted}, got {value!r}") from error
    if not isfinite(checked):
        raise RecipeError(f"{where}: {value!r} is not a finite number")
