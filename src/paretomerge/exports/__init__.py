"""What leaves the house: a merged checkpoint or adapter with its card, task weights, a mergekit configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretomerge.lazy import on_first_use

if TYPE_CHECKING:
    from paretomerge.exports.adapter import AdapterExport, export_adapter
    from paretomerge.exports.card import ModelCard, render_card
    from paretomerge.exports.checkpoint import export_checkpoint
    from paretomerge.exports.citations import citations_of
    from paretomerge.exports.mergekit import mergekit_config
    from paretomerge.exports.side_files import complete_side_files
    from paretomerge.exports.task_weights import export_task_weights

__all__ = [
    "AdapterExport",
    "ModelCard",
    "citations_of",
    "complete_side_files",
    "export_adapter",
    "export_checkpoint",
    "export_task_weights",
    "mergekit_config",
    "render_card",
]

_HOMES = {
    "AdapterExport": "adapter",
    "ModelCard": "card",
    "citations_of": "citations",
    "complete_side_files": "side_files",
    "export_adapter": "adapter",
    "export_checkpoint": "checkpoint",
    "export_task_weights": "task_weights",
    "mergekit_config": "mergekit",
    "render_card": "card",
}

__getattr__ = on_first_use("paretomerge.exports", _HOMES)
