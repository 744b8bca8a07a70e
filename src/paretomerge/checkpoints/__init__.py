"""Parameters on disk: opening them lazily, checking that they fit each other, writing them safely."""

from paretomerge.checkpoints.adapters.write import write_adapter
from paretomerge.checkpoints.checkpoint import Checkpoint
from paretomerge.checkpoints.files.hub import download
from paretomerge.checkpoints.findings import Alignment, Finding, PairCosine, TaskStatistics, TensorDistance
from paretomerge.checkpoints.folders import MANIFEST
from paretomerge.checkpoints.open import Source, open_checkpoint
from paretomerge.checkpoints.optimizer_state import read_optimizer_state
from paretomerge.checkpoints.posteriors.files import (
    holds_posterior,
    load_curvature,
    load_posterior,
    read_provenance,
    save_posterior,
)
from paretomerge.checkpoints.preflight.align import CheckValues, align, align_repaired
from paretomerge.checkpoints.preflight.estimate import Estimate, estimate_merge, measure_reading
from paretomerge.checkpoints.repairs.apply import Repaired, Repairs, apply_repairs
from paretomerge.checkpoints.repairs.renaming import Rename
from paretomerge.checkpoints.streams.prefetch import Prefetch
from paretomerge.checkpoints.streams.write_behind import WriteBehind
from paretomerge.checkpoints.views import with_private
from paretomerge.checkpoints.widening import widened
from paretomerge.checkpoints.writing.file import write_file
from paretomerge.checkpoints.writing.write import write_checkpoint, write_params
from paretomerge.checkpoints.writing.writer import CheckpointWriter

__all__ = [
    "MANIFEST",
    "Alignment",
    "CheckValues",
    "Checkpoint",
    "CheckpointWriter",
    "Estimate",
    "Finding",
    "PairCosine",
    "Prefetch",
    "Rename",
    "Repaired",
    "Repairs",
    "Source",
    "TaskStatistics",
    "TensorDistance",
    "WriteBehind",
    "align",
    "align_repaired",
    "apply_repairs",
    "download",
    "estimate_merge",
    "holds_posterior",
    "load_curvature",
    "load_posterior",
    "measure_reading",
    "open_checkpoint",
    "read_optimizer_state",
    "read_provenance",
    "save_posterior",
    "widened",
    "with_private",
    "write_adapter",
    "write_checkpoint",
    "write_file",
    "write_params",
]
