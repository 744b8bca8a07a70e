"""What leaves the house: a merged checkpoint with its model card, task weights, a mergekit configuration."""

from paretomerge.exports.card import ModelCard, render_card
from paretomerge.exports.checkpoint import export_checkpoint
from paretomerge.exports.mergekit_config import mergekit_config
from paretomerge.exports.task_weights import export_task_weights

__all__ = ["ModelCard", "export_checkpoint", "export_task_weights", "mergekit_config", "render_card"]
