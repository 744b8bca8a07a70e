"""Finding the state dict in what a training script saved, under the names its model has.

A file holds the state dict itself, or a training checkpoint that has it under some key beside the optimizer,
the epoch and the hyper-parameters. Frameworks that wrap a module also put their own word into the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from paretomerge.checkpoints.files.torch_pickles import StandIn, holds_objects
from paretomerge.errors import CheckpointError

KEYS = (
    *("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params", "weights"),
    *("ema", "ema_state_dict", "model_ema", "params_ema", "state_dict_ema"),
)
"""Where training scripts put the weights: Lightning, PyTorch's tutorials, DeepSpeed, timm, BasicSR, averages."""

NESTED_KEYS = (*KEYS, "state")  # MosaicML Composer: "state", then "model"
DEEPEST = 3

WRAPPER_PREFIXES = ("module.", "_orig_mod.")  # DistributedDataParallel and DeepSpeed; torch.compile
WRAPPER_PARTS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")  # never a module's own name


def find_state_dict(path: Path, loaded: Any) -> Mapping[str, Tensor]:
    """The state dict in the content of a file; `path` is for messages.

    Raises:
        CheckpointError: there is none, or there are several.
    """
    if _is_stand_in(loaded):
        raise holds_objects(path, loaded.stands_for)
    if not isinstance(loaded, Mapping):
        raise CheckpointError(
            f"{path}: holds a {type(loaded).__name__}, not a state dict: save model.state_dict() instead"
        )
    candidates = _candidates(loaded, DEEPEST)
    if len(candidates) > 1:
        found = ", ".join(".".join(keys) for keys in candidates)
        chosen = "".join(f"[{key!r}]" for key in next(iter(candidates)))
        raise CheckpointError(
            f"{path}: holds several state dicts ({found}), and nothing says which one is meant. Save the one you "
            f"want, for example  torch.save(torch.load(path, weights_only=True){chosen}, 'weights.pt')"
        )
    if candidates:
        return _without_objects(path, next(iter(candidates.values())))
    if not any(isinstance(value, Tensor) for value in loaded.values()):
        keys = ", ".join(repr(key) for key in list(loaded)[:6]) or "nothing"
        raise CheckpointError(
            f"{path}: no state dict found: it holds {keys}. Save model.state_dict(), alone or under 'state_dict'"
        )
    return _without_objects(path, loaded)


def without_wrappers(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The tensors under the names of the bare model.

    `module.` (DistributedDataParallel) and `_orig_mod.` (torch.compile) are removed from the front if every name
    has them, and the words that only wrappers use (`_orig_mod`, `_fsdp_wrapped_module`,
    `_checkpoint_wrapped_module`) wherever they stand. If two tensors would get one name, nothing is renamed.
    """
    names = {name: ".".join(part for part in name.split(".") if part not in WRAPPER_PARTS) for name in tensors}
    stripped = True
    while stripped:
        stripped = False
        for prefix in WRAPPER_PREFIXES:
            if all(name.startswith(prefix) and name != prefix for name in names.values()):
                names = {old: name.removeprefix(prefix) for old, name in names.items()}
                stripped = True
    if len(set(names.values())) < len(names):
        return tensors
    return {name: tensors[old] for old, name in names.items()}


def _candidates(loaded: Mapping[Any, Any], depth: int) -> dict[tuple[str, ...], Mapping[str, Tensor]]:
    """Where a state dict may be: keys from the outside in, and the mapping there."""
    if loaded and all(isinstance(value, Tensor) for value in loaded.values()):
        return {}
    found: dict[tuple[str, ...], Mapping[str, Tensor]] = {}
    for key in NESTED_KEYS:
        inner = loaded.get(key)
        if not isinstance(inner, Mapping) or not depth:
            continue
        deeper = _candidates(inner, depth - 1)
        if deeper:
            found |= {(key, *rest): value for rest, value in deeper.items()}
        elif key in KEYS and (not inner or any(isinstance(value, Tensor) for value in inner.values())):
            found[(key,)] = inner
    return found


def _without_objects(path: Path, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    for value in tensors.values():
        if _is_stand_in(value):
            raise holds_objects(path, value.stands_for)  # type: ignore[attr-defined]
    return tensors


def _is_stand_in(value: object) -> bool:
    return isinstance(value, StandIn) or (isinstance(value, type) and issubclass(value, StandIn))
