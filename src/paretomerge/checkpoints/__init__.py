"""Parameters on disk: opening them lazily, checking that they fit each other, writing them safely."""

from paretomerge.checkpoints.align import align
from paretomerge.checkpoints.checkpoint import Checkpoint
from paretomerge.checkpoints.findings import Alignment, Finding, PairCosine, TaskStatistics
from paretomerge.checkpoints.open import MANIFEST, Source, open_checkpoint
from paretomerge.checkpoints.posterior_files import load_posterior, save_posterior
from paretomerge.checkpoints.write import write_checkpoint, write_params

__all__ = [
    "MANIFEST",
    "Alignment",
    "Checkpoint",
    "Finding",
    "PairCosine",
    "Source",
    "TaskStatistics",
    "align",
    "load_posterior",
    "open_checkpoint",
    "save_posterior",
    "write_checkpoint",
    "write_params",
]
