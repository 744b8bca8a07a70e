"""Training a low-rank adapter of peft inside any module, and what it makes of the whole model.

The adapter goes into the module that the problem builds; nothing wraps it, so that a loss of the user's own finds the
module it expects. The base's weights are frozen. Names in the adapter are those of `adapter_model.safetensors`:
`base_model.model.<module>.lora_A.weight`, and `base_model.model.<name>` for what is trained whole.

Shapes: `A` `[r, inputs]`, `B` `[outputs, r]`, `W` `[outputs, inputs]`, or `[inputs, outputs]` in Conv1D of GPT-2.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from paretomerge.checkpoints.adapters.names import PEFT_PREFIX
from paretomerge.errors import MissingExtraError, RecipeError, nearest
from paretomerge.posteriors import Diagonal
from paretomerge.training.lora_settings import HEADS, LoraSettings
from paretomerge.types import tied_names

ADAPTER = "default"  # peft's own name for the only adapter


@dataclass(frozen=True, eq=False)
class Adapter:
    """A trained adapter: what `adapter_config.json` and `adapter_model.safetensors` hold."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class InjectedAdapter:
    """An adapter inside a module, in training.

    Args:
        module: with the adapter in it.
        config: as `adapter_config.json` has it.
        targets: the names of the layers with matrices, as they were before.
        whole: names of parameters and buffers that are trained, or move with what is trained, as they are.
    """

    module: nn.Module
    config: dict[str, Any]
    targets: tuple[str, ...]
    whole: frozenset[str]

    def params(self) -> dict[str, Tensor]:
        """All parameters of the model, `W + s·B·A` where there are matrices, under the names before the injection.

        Sums are taken in float32 or better, and have the dtype of `W` again.
        """
        found = {}
        for name, tensor in self.module.state_dict().items():
            plain = self._plain(name)
            if plain is not None:
                found[plain] = tensor.detach().clone()
        for target in self.targets:
            weight = found[f"{target}.weight"]
            layer: Any = self.module.get_submodule(target)
            with torch.no_grad():
                change = layer.get_delta_weight(ADAPTER)
            wide = torch.promote_types(weight.dtype, torch.float32)
            found[f"{target}.weight"] = (weight.to(wide) + change.to(wide)).to(weight.dtype)
        return found

    def adapter(self) -> Adapter:
        """A copy of what was trained."""
        state = self.module.state_dict()
        return Adapter(self.config, {new: state[old].detach().clone() for old, new in self._saved_names(state)})

    def posterior(self, found: Diagonal) -> Diagonal:
        """The posterior of what is trained, under the adapter's names."""
        names = dict(self._saved_names(found.mean))
        return Diagonal(
            {names[name]: tensor for name, tensor in found.mean.items() if name in names},
            {names[name]: tensor for name, tensor in found.precision.items() if name in names},
        )

    def is_matrix(self, name: str) -> bool:
        """Whether a tensor of the module is one of the adapter's matrices."""
        return self._plain(name) is None

    def _plain(self, name: str) -> str | None:
        """The name before the injection; `None` for the adapter's matrices."""
        target = self._target_of(name)
        if target is None:
            return name
        inner = name.removeprefix(f"{target}.")
        return f"{target}.{inner.removeprefix('base_layer.')}" if inner.startswith("base_layer.") else None

    def _saved_names(self, names: Collection[str]) -> Iterator[tuple[str, str]]:
        """Names in the module → names in the adapter's file."""
        for name in names:
            if self.is_matrix(name):
                yield name, PEFT_PREFIX + name.replace(f".{ADAPTER}.", ".")
            elif name in self.whole:
                yield name, PEFT_PREFIX + name

    def _target_of(self, name: str) -> str | None:
        return next((target for target in self.targets if name.startswith(f"{target}.")), None)


def inject_adapter(module: nn.Module, settings: LoraSettings) -> InjectedAdapter:
    """Put a fresh adapter into a module, in place, and freeze everything else.

    Args:
        module: at the parameters where training starts; `A` is drawn from torch's global generator, `B` is zero.
        settings: rank, scale, layers.

    Raises:
        RecipeError: a name that no layer has, a layer that is no linear one, or a weight that is tied to another.
        MissingExtraError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError.of("peft", "hf") from error
    whole = _whole_modules(module, settings)
    targets = _targets(module, settings, whole)
    _require_untied(module, targets, whole)
    held = frozenset(
        f"{name}.{inner}" for name in whole for inner in module.get_submodule(name).state_dict(keep_vars=True)
    )
    config = _config(module, settings, targets, whole)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about layers that are stored transposed, which peft then handles
        wanted = {key: value for key, value in config.items() if key not in ("peft_type", "modules_to_save")}
        inject_adapter_in_model(LoraConfig(**wanted), module, ADAPTER)
    injected = InjectedAdapter(module, config, targets, held)
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(injected.is_matrix(name) or name in held)
        if injected.is_matrix(name) and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()  # small steps would be rounded away
    return injected


def _whole_modules(module: nn.Module, settings: LoraSettings) -> tuple[str, ...]:
    """The outermost modules that are trained whole; peft compares the ends of their names."""
    names = [name for name, _ in module.named_modules() if name]
    for end in settings.modules_to_save or ():
        if not any(name.endswith(end) for name in names):
            raise RecipeError(
                f"lora.modules_to_save: the model has no module {end!r}{nearest(end, _last_words(names))}"
            )
    found = [name for name in names if name.endswith(_saved_ends(settings))]
    return tuple(name for name in found if not any(name.startswith(f"{other}.") for other in found))


def _saved_ends(settings: LoraSettings) -> tuple[str, ...]:
    return HEADS if settings.modules_to_save is None else settings.modules_to_save


def _targets(module: nn.Module, settings: LoraSettings, whole: Sequence[str]) -> tuple[str, ...]:
    """Names of the layers that get matrices."""
    linear = [name for name, layer in module.named_modules() if name and _is_linear(layer)]
    free = [name for name in linear if not any(f"{name}.".startswith(f"{other}.") for other in whole)]
    if settings.target_modules is None:
        output = getattr(module, "get_output_embeddings", lambda: None)()
        tied = _tied_modules(module)
        found = [name for name in free if module.get_submodule(name) is not output and name not in tied]
        if not found:
            raise RecipeError(
                "lora: the model has no linear layers to adapt beside its heads: name some in lora.target_modules, or "
                "train the whole model (leave lora out)"
            )
        return tuple(found)
    for end in settings.target_modules:
        if not _ending(free, end):
            raise RecipeError(
                f"lora.target_modules: the model has no linear layer {end!r}{nearest(end, _last_words(free))}; it has "
                f"{', '.join(sorted(set(_last_words(free))))}"
            )
    return tuple(name for name in free if any(_ending([name], end) for end in settings.target_modules))


def _is_linear(layer: nn.Module) -> bool:
    # Its subclasses need not call `forward`, as the output projection of nn.MultiheadAttention.
    return type(layer) is nn.Linear or _is_transposed(layer)


def _is_transposed(layer: nn.Module) -> bool:
    return type(layer).__name__ == "Conv1D" and type(layer).__module__.startswith("transformers.")


def _ending(names: Collection[str], end: str) -> list[str]:
    return [name for name in names if name == end or name.endswith(f".{end}")]


def _last_words(names: Collection[str]) -> list[str]:
    return [name.rpartition(".")[2] for name in names]


def _tied_modules(module: nn.Module) -> set[str]:
    """Modules with a parameter that another module has too."""
    second = tied_names(module)
    named = dict(module.named_parameters(remove_duplicate=False))
    shared = {id(named[name]) for name in second}
    return {name.rpartition(".")[0] for name, parameter in named.items() if id(parameter) in shared}


def _require_untied(module: nn.Module, targets: Sequence[str], whole: Sequence[str]) -> None:
    tied = _tied_modules(module)
    for name in (*targets, *whole):
        if any(other == name or other.startswith(f"{name}.") for other in tied):
            raise RecipeError(
                f"lora: the weight of {name!r} is used in another place too (an output layer tied to the embedding), "
                "which an adapter would leave as it was: leave that layer out"
            )


def _config(module: nn.Module, settings: LoraSettings, targets: Sequence[str], whole: Sequence[str]) -> dict[str, Any]:
    """What `adapter_config.json` says, without the base."""
    kind = type(module).__name__
    heads = any(name.endswith(HEADS) for name in whole)
    causal = kind.endswith(("ForCausalLM", "LMHeadModel"))
    return {
        "peft_type": "LORA",
        "task_type": "SEQ_CLS" if heads else "CAUSAL_LM" if causal else None,
        "r": settings.rank,
        "lora_alpha": int(settings.alpha) if settings.alpha == int(settings.alpha) else settings.alpha,
        "lora_dropout": settings.dropout,
        "use_rslora": settings.stabilised,
        "target_modules": _naming(module, targets),
        "modules_to_save": [end for end in _saved_ends(settings) if any(n.endswith(end) for n in whole)] or None,
        "fan_in_fan_out": any(_is_transposed(module.get_submodule(name)) for name in targets),
        "bias": "none",
    }


def _naming(module: nn.Module, targets: Sequence[str]) -> list[str] | str:
    """Ends of names that name exactly the targets, whole names where ends are ambiguous, or an expression."""
    names = [name for name, _ in module.named_modules() if name]
    for candidate in (sorted(set(_last_words(targets))), list(targets)):
        if {name for end in candidate for name in _ending(names, end)} == set(targets):
            return candidate
    return "|".join(re.escape(name) for name in targets)
