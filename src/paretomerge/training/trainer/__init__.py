"""Posteriors of runs of Hugging Face's Trainer: written while it trains, or read off its checkpoints.

`PosteriorCallback` needs transformers, which is imported when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretomerge.lazy import on_first_use

if TYPE_CHECKING:
    from paretomerge.training.trainer.callback import PosteriorCallback
    from paretomerge.training.trainer.optimizer_file import optimizer_posterior
    from paretomerge.training.trainer.parameters import trained_parameters

__all__ = ["PosteriorCallback", "optimizer_posterior", "trained_parameters"]

_HOMES = {
    "PosteriorCallback": "callback",
    "optimizer_posterior": "optimizer_file",
    "trained_parameters": "parameters",
}

__getattr__ = on_first_use("paretomerge.training.trainer", _HOMES)
