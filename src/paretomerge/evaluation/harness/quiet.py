"""lm-eval as a guest: without its progress bars and messages, without the network, and with its own randomness."""

from __future__ import annotations

import importlib
import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

from paretomerge.errors import MissingExtraError

_LOGGERS = ("lm_eval", "datasets", "transformers", "huggingface_hub", "evaluate", "fsspec", "filelock")
_BARS = ("lm_eval.api.task", "lm_eval.api.model", "lm_eval.models.huggingface")
_OFFLINE = {
    "huggingface_hub.constants": ("HF_HUB_OFFLINE",),
    "datasets.config": ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"),
    "evaluate.config": ("HF_EVALUATE_OFFLINE",),
}
"""What libraries read of the environment once, when they are imported."""


def require_lm_eval() -> None:
    """Raise `MissingExtraError` unless lm-eval is installed; it is not imported."""
    if "lm_eval" not in sys.modules and importlib.util.find_spec("lm_eval") is None:
        raise MissingExtraError.of("lm_eval", "lm-eval")


@contextmanager
def as_guest(*, network: bool, seed: int | None = None) -> Iterator[None]:
    """Silent, offline unless `network`, and with lm-eval's seeds; everything is as before afterwards.

    Args:
        network: whether anything may be downloaded.
        seed: of Python, numpy and torch; lm-eval's own (0, 1234, 1234) when `None`.
    """
    require_lm_eval()
    with ExitStack() as stack:
        for name in _LOGGERS:
            stack.enter_context(_silent(logging.getLogger(name)))
        if not network:
            stack.enter_context(_offline())
        stack.enter_context(_without_bars())
        stack.enter_context(_seeded(seed))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _offline() -> Iterator[None]:
    """Nothing is downloaded: by the environment for what is imported later, by their settings for the others."""
    names = {name for each in _OFFLINE.values() for name in each}
    environment = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    for name in _OFFLINE:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            importlib.import_module(name)
    settings = [
        (sys.modules[place], name)
        for place, each in _OFFLINE.items()
        if place in sys.modules
        for name in each
        if hasattr(sys.modules[place], name)
    ]
    held = [getattr(module, name) for module, name in settings]
    for module, name in settings:
        setattr(module, name, True)
    try:
        yield
    finally:
        for (module, name), value in zip(settings, held, strict=True):
            setattr(module, name, value)
        for name, text in environment.items():
            if text is None:
                del os.environ[name]
            else:
                os.environ[name] = text


@contextmanager
def _without_bars() -> Iterator[None]:
    """lm-eval shows a bar for every model and task; redirecting standard error would hide those of others too."""
    bar = importlib.import_module("tqdm").tqdm

    def hidden(*arguments: Any, **named: Any) -> Any:
        return bar(*arguments, **{**named, "disable": True})

    modules = [importlib.import_module(name) for name in _BARS]
    held = [module.tqdm for module in modules]
    datasets = importlib.import_module("datasets")
    shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    for module in modules:
        module.tqdm = hidden  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module, own in zip(modules, held, strict=True):
            module.tqdm = own  # type: ignore[attr-defined]
        if shown:
            datasets.enable_progress_bars()


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """lm-eval draws from the global generators: they are seeded as it does, and put back."""
    python, array = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        random.seed(0 if seed is None else seed)
        np.random.seed(1234 if seed is None else seed)
        torch.manual_seed(1234 if seed is None else seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(array)
