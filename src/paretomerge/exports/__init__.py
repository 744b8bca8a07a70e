"""What leaves the house: a merged checkpoint with its model card, task weights, a mergekit configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretomerge.lazy import on_first_use

if TYPE_CHECKING:
    from paretomerge.exports.card import ModelCard, render_card
    from paretomerge.exports.checkpoint import export_checkpoint
    from paretomerge.exports.mergekit import mergekit_config
    from paretomerge.exports.task_weights import export_task_weights

__all__ = ["ModelCard", "export_checkpoint", "export_task_weights", "mergekit_config", "render_card"]

_HOMES = {
    "ModelCard": "card",
    "export_checkpoint": "checkpoint",
    "export_task_weights": "task_weights",
    "mergekit_config": "mergekit",
    "render_card": "card",
}

__getattr__ = on_first_use("paretomerge.exports", _HOMES)
