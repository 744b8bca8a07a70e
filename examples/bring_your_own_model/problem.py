"""The same model and data as paretomerge sees them: twenty lines."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from model import TASKS, Network, load_images

from paretomerge import Problem


def build() -> Problem:
    """How to build the model, and the batches of every task and split."""
    images = {task: load_images(task) for task in TASKS}
    return Problem(tuple(TASKS), Network, lambda task, split: [images[task][split]])
