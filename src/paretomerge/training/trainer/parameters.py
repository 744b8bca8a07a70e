"""What a training changes, under the names that its checkpoint gives it.

A full finetune is saved under the names of the bare model, whatever wraps it in training (data parallelism,
compilation). An adapter of peft is saved under the names of `adapter_model.safetensors`, without the adapter's own
name, and with whole modules (`modules_to_save`) under theirs. Posteriors use the same names, so that the merged mean of
several adapters **is** the content of an `adapter_model.safetensors`: put `adapter_config.json` beside it, and
`open_checkpoint(folder, base)` reads the merged model.

A posterior of an adapter is one over the matrices `A` and `B`, not over the weights `W + s·B·A` they stand for: the
average of matrices is not the average of models. It means something for adapters that started from the same `A`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from paretomerge.checkpoints.adapters.names import PEFT_PREFIX, WRAPPER_WORDS
from paretomerge.errors import MissingExtraError, PosteriorError


def bare_module(model: nn.Module) -> nn.Module:
    """The model without the wrappers of training: DistributedDataParallel, DataParallel, `torch.compile`."""
    while True:
        inner = getattr(model, "_orig_mod", None)
        if inner is None and isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = model.module
        if inner is None:
            return model
        model = inner


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, no dropout and no cache of keys and values; everything is as before afterwards."""
    modes = {inner: inner.training for inner in module.modules()}
    config: Any = getattr(module, "config", None)
    cache = getattr(config, "use_cache", None)
    try:
        module.eval()
        if cache:
            config.use_cache = False
        yield
    finally:
        for inner, mode in modes.items():
            inner.training = mode
        if cache:
            config.use_cache = cache


def base_module(model: nn.Module) -> Any:
    """The model itself, without wrappers and without an adapter around it."""
    module: Any = bare_module(model)
    return module.get_base_model() if hasattr(module, "get_base_model") else module


def trained_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Name in the checkpoint → parameter, of everything that requires a gradient; a tied parameter occurs once.

    Raises:
        PosteriorError: nothing is trained, or something that the adapter does not save.
        MissingExtraError: an adapter without peft installed.
    """
    module = bare_module(model)
    trained = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
    if not trained:
        raise PosteriorError("no parameter of the model requires a gradient: there is nothing to be uncertain about")
    if not hasattr(module, "peft_config"):
        return {_without_wrappers(name): parameter for name, parameter in trained.items()}
    saved = _saved_names(module, trained)
    left_out = [name for name, parameter in trained.items() if id(parameter) not in saved]
    if left_out:
        raise PosteriorError(
            f"{left_out[0]!r} is trained, but saving the adapter does not save it: freeze it, or name its module in "
            "modules_to_save"
        )
    return {saved[id(parameter)]: parameter for parameter in trained.values()}


def _saved_names(module: nn.Module, trained: Mapping[str, nn.Parameter]) -> dict[int, str]:
    """Identity of a parameter → its name in `adapter_model.safetensors`."""
    try:
        from peft import get_peft_model_state_dict
    except ImportError as error:
        raise MissingExtraError.of("peft", "hf") from error
    state: dict[str, Tensor] = dict(trained)
    # peft looks up whether the vocabulary was resized unless it is told not to save embeddings that nobody trained.
    saved = get_peft_model_state_dict(
        module, state_dict=state, adapter_name=_adapter_of(module), save_embedding_layers=False
    )
    return {id(tensor): _with_prefix(_without_wrappers(name)) for name, tensor in saved.items()}


def _adapter_of(module: nn.Module) -> str:
    """The name of the adapter in training: a text in peft, a list of them in transformers' own integration."""
    active = getattr(module, "active_adapter", None) or getattr(module, "active_adapters", None)
    names = active() if callable(active) else active
    found = [names] if isinstance(names, str) else list(names or ())
    if len(found) != 1:
        raise PosteriorError(f"{len(found)} adapters are active: activate the one that is trained")
    return found[0]


def _with_prefix(name: str) -> str:
    # transformers' own integration has no wrapper around the model, and adds the prefix when it saves.
    return name if name.startswith(PEFT_PREFIX) else PEFT_PREFIX + name


def _without_wrappers(name: str) -> str:
    for word in WRAPPER_WORDS:
        name = name.replace(word, "")
    return name
