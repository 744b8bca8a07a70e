"""Modules without memory for their parameters, for models that are put together where they will be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.weak import WeakIdKeyDictionary


def build_empty(build: Callable[[], nn.Module]) -> nn.Module:
    """What `build` makes, with parameters that have shapes and no memory (on the device `meta`), and real buffers.

    At no time more than one parameter has memory. Random numbers that the initialisation would draw are not drawn.
    Ties stay tied. A function that cannot build a module so (it computes with its parameters) builds it as usual.
    """
    try:
        with _no_memory():
            module = build()
    # Whatever its reason, it is raised again if it has nothing to do with memory.
    except Exception:
        return build()
    computed = any(buffer.is_meta for buffer in module.buffers())
    return build() if computed else module


@contextmanager
def _no_memory() -> Iterator[None]:
    """Inside, every parameter that any module registers loses its memory; not for several threads."""
    register = nn.Module.register_parameter
    emptied = WeakIdKeyDictionary()  # a parameter that is registered twice is tied

    def without_memory(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
        register(module, name, param)
        if param is None or param.is_meta:
            return
        if param not in emptied:
            made = type(param)(torch.empty_like(param, device="meta"), requires_grad=param.requires_grad)
            made.__dict__.update(param.__dict__)
            emptied[param] = made
        module._parameters[name] = emptied[param]

    nn.Module.register_parameter = without_memory  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]
