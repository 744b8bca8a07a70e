"""Models that fit on no single device: their layers on several, in the main memory, and on the disk.

The module is built without memory, each parameter gets its place, and hooks of accelerate bring what is not on a
device there when its layer is called. Places are empty: merged models are written straight into them, tensor by
tensor (`types.load_in_place`), so no second copy of a model is ever made.
"""

from __future__ import annotations

import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.errors import MissingExtraError, ParetomergeError, RecipeError, nearest
from paretomerge.types import PLACES, build_empty

WORDS = ("auto", "balanced", "balanced_low_0", "sequential")
"""Ways in which accelerate divides a model by itself."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class ModelPlacement:
    """Where the layers of a model are while it is measured.

    Args:
        device_map: one of `WORDS`; or layer → device, `"cpu"`, `"disk"`, `"cuda:1"` or its number, where a layer goes
            with the nearest that is named, and `""` names all.
        max_memory: device → bytes, or a text such as `"20GiB"`, for maps that are made by themselves.
        offload: the folder for layers on the disk; that of temporary files when `None`.
        dtype: of the parameters, one of `DTYPES`; as they are built when `None`.

    Raises:
        RecipeError: an unknown word or dtype.
    """

    device_map: str | Mapping[str, str | int] = "auto"
    max_memory: Mapping[str, str | int] | None = None
    offload: str | None = None
    dtype: str | None = None

    def __post_init__(self) -> None:
        """Refuse what nobody could place."""
        if isinstance(self.device_map, str) and self.device_map not in WORDS:
            raise RecipeError(
                f"placement.device_map: {self.device_map!r} is no way to place a model: one of {', '.join(WORDS)}, or "
                "a mapping of layers to devices"
            )
        if self.dtype is not None and self.dtype not in DTYPES:
            raise RecipeError(f"placement.dtype: {self.dtype!r} is none of {', '.join(DTYPES)}")


@dataclass(frozen=True)
class PlacedBuild:
    """Makes the module that `build` makes, with its layers where `placement` says, and nothing in its parameters."""

    build: Callable[[], nn.Module]
    placement: ModelPlacement

    def __call__(self) -> nn.Module:
        """Build.

        Raises:
            MissingExtraError: accelerate is not installed.
            RecipeError: a device that is not there, or layers the module has not.
            StorageError: no room on the disk.
        """
        return place_model(self.build, self.placement)


def place_model(build: Callable[[], nn.Module], placement: ModelPlacement) -> nn.Module:
    """See `PlacedBuild`."""
    try:
        import accelerate
    except ImportError as error:
        raise MissingExtraError.of("accelerate", "hf") from error
    module = build_empty(build).eval()
    if placement.dtype is not None:
        _convert(module, DTYPES[placement.dtype])
    with _explained():
        where = _device_map(module, placement)
        with _quiet():
            accelerate.utils.modeling.check_device_map(module, where)
        places = _settle(module, where, placement)
        offloaded = {"state_dict": places, "offload_index": {}} if places else {}
        with _quiet():
            accelerate.dispatch_model(
                module, where, skip_keys=getattr(module, "_skip_keys_device_placement", None), **offloaded
            )
    setattr(module, PLACES, places)
    return module


def _device_map(module: nn.Module, placement: ModelPlacement) -> dict[str, str | int]:
    """Layer → device."""
    if not isinstance(placement.device_map, str):
        given = {layer: _named(device) for layer, device in placement.device_map.items()}
        _require_layers(module, given)
        return _apart(module, given)
    from accelerate.utils import get_balanced_memory, infer_auto_device_map
    from accelerate.utils.modeling import get_max_memory

    whole = list(getattr(module, "_no_split_modules", None) or ())
    limits = None if placement.max_memory is None else {_named(k): v for k, v in placement.max_memory.items()}
    if placement.device_map == "sequential":
        room = get_max_memory(limits)
    else:
        low = placement.device_map == "balanced_low_0"
        room = get_balanced_memory(module, limits, no_split_module_classes=whole, low_zero=low)
    with _quiet():
        return _apart(module, dict(infer_auto_device_map(module, room, no_split_module_classes=whole)))


def _require_layers(module: nn.Module, layers: Mapping[str, str | int]) -> None:
    named = (module.named_modules(), module.named_parameters(), module.named_buffers())
    known = {name for names in named for name, _ in names}
    for layer in layers:
        if layer not in known:
            raise RecipeError(
                f"placement.device_map: {type(module).__name__} has no layer {layer!r}{nearest(layer, sorted(known))}"
            )


def _apart(module: nn.Module, where: Mapping[str, str | int]) -> dict[str, str | int]:
    """The same map with no layer inside another; what lies directly in a divided layer is never offloaded.

    Hooks bring the tensors of a layer when it is called, and a divided layer has tensors on several devices.

    Raises:
        RecipeError: a layer that has no place.
    """
    home = next((device for device in where.values() if device not in ("cpu", "disk")), "cpu")
    found: dict[str, str | int] = {}

    def visit(layer: str) -> None:
        if not any(_is_inside(other, layer) for other in where):
            found[layer] = _device_of(layer, where)
            return
        owner = module.get_submodule(layer)
        own = (*owner._parameters, *owner._buffers)
        found.update({f"{layer}.{name}".lstrip("."): home for name in own})
        for name, _ in owner.named_children():
            visit(f"{layer}.{name}".lstrip("."))

    visit("")
    return found


def _is_inside(other: str, layer: str) -> bool:
    return other != layer and (not layer or other.startswith(f"{layer}."))


def _settle(module: nn.Module, where: Mapping[str, str | int], placement: ModelPlacement) -> dict[str, Tensor]:
    """Give every parameter memory where it is to be; returns those that hooks bring to a device, by name."""
    devices = [device for device in where.values() if device not in ("cpu", "disk")]
    offloaded: dict[str, Tensor] = {}
    for names, parameter in _tied(module):
        found = {name: _device_of(name, where) for name in names}
        device = found[names[0]]
        other = next((name for name in names if found[name] != device), None)
        if other is not None:
            raise RecipeError(
                f"placement.device_map: {names[0]!r} and {other!r} are one tensor, and placed on {device} and "
                f"{found[other]}: place both layers together"
            )
        if device == "disk" or (device == "cpu" and devices):
            offloaded |= dict.fromkeys(names, _room(parameter, device, placement))
        elif parameter.is_meta:
            made = nn.Parameter(torch.empty_like(parameter, device=device), requires_grad=parameter.requires_grad)
            for name in names:
                layer, _, own = name.rpartition(".")
                module.get_submodule(layer)._parameters[own] = made
    return offloaded


def _tied(module: nn.Module) -> list[tuple[list[str], nn.Parameter]]:
    """Every parameter once, with all its names."""
    found: dict[int, tuple[list[str], nn.Parameter]] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), ([], parameter))[0].append(name)
    return list(found.values())


def _room(parameter: Tensor, device: str | int, placement: ModelPlacement) -> Tensor:
    """Memory for one parameter, in the main memory or in a file that is gone with the process."""
    if device == "cpu" or not parameter.numel():
        return torch.empty(parameter.shape, dtype=parameter.dtype)
    folder = Path(placement.offload or tempfile.gettempdir())
    size = parameter.numel() * parameter.element_size()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, file = tempfile.mkstemp(suffix=".paretomerge-offload", dir=folder)
        try:
            # Room is taken now: of a file with holes a full disk would kill the process where it is written.
            os.posix_fallocate(descriptor, 0, size)
            flat = torch.from_file(file, shared=True, size=parameter.numel(), dtype=parameter.dtype)
        finally:
            os.close(descriptor)
            os.unlink(file)  # the mapping holds it
    return flat.view(parameter.shape)


def _device_of(name: str, where: Mapping[str, str | int]) -> str | int:
    """The device of the nearest layer that is named."""
    layer = name
    while layer not in where and layer:
        layer = layer.rpartition(".")[0]
    if layer not in where:
        raise RecipeError(
            f"placement.device_map: it gives no device for {name!r}: name it, or everything else by the empty name ''"
        )
    return where[layer]


def _named(device: str | int) -> str | int:
    """Devices as accelerate calls them: recipes have the numbers of GPUs as texts."""
    text = str(device)
    return int(text) if text.isdigit() else text


def _convert(module: nn.Module, dtype: torch.dtype) -> None:
    """What a checkpoint holds, in another dtype, and numbers that come in with it; other buffers (positions) stay."""
    for layer in module.modules():
        for parameter in layer._parameters.values():
            if parameter is not None and parameter.is_floating_point() and parameter.dtype != dtype:
                parameter.data = parameter.data.to(dtype)
        for name, buffer in layer._buffers.items():
            if buffer is not None and buffer.is_floating_point() and name not in layer._non_persistent_buffers_set:
                layer._buffers[name] = buffer.to(dtype)
    module.register_forward_pre_hook(_Cast(dtype), with_kwargs=True)


@dataclass(frozen=True)
class _Cast:
    """Gives a module its floating-point inputs in its dtype."""

    dtype: torch.dtype

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return tuple(map(self._cast, arguments)), {name: self._cast(value) for name, value in named.items()}

    def _cast(self, value: Any) -> Any:
        return value.to(self.dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


@contextmanager
def _explained() -> Iterator[None]:
    """What accelerate and torch refuse is a setting that cannot be used here."""
    try:
        yield
    except ParetomergeError:
        raise
    except (ValueError, RuntimeError, AssertionError, KeyError) as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RecipeError(f"placement: the model cannot be placed so: {text[:300]}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """That parameters are on the device `meta` is the purpose, and maps made by accelerate name buffers."""
    logger = logging.getLogger("accelerate.big_modeling")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The following device_map keys")
            yield
    finally:
        logger.setLevel(before)
