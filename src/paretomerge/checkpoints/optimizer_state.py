"""Reading the state of an optimizer beside a training checkpoint, such as the `optimizer.pt` of a Hugging Face Trainer.

Such a file is a pickle; nothing in it is executed (see `files/torch_pickles`), and its tensors are memory-mapped.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.files.torch_pickles import load_pickle
from paretomerge.checkpoints.paths import user_path
from paretomerge.errors import CheckpointError

OPTIMIZER_FILE = "optimizer.pt"

_SHARDED = {
    "latest": "DeepSpeed",
    "zero_to_fp32.py": "DeepSpeed",
    "optimizer_0": "FSDP",
    "pytorch_model_fsdp_0": "FSDP",
    "optimizer.bin": "FSDP",
}
"""What a checkpoint folder holds instead when the state was sharded over machines, and who wrote it."""


def read_optimizer_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `optimizer.state_dict()` gave when the file was written: `state` and `param_groups`.

    Parameters go by number there, not by name: `curvature.adam_posterior` gives them their names.

    Args:
        path: the file, or a checkpoint folder that holds `optimizer.pt`.

    Raises:
        CheckpointError: no such file, a sharded state, truncated, holding code, or not the state of an optimizer.
        StorageError: the disk refused to read.
    """
    source = user_path(path)
    with storage_errors(source, "read"):
        if source.is_dir():
            source = _file_in(source)
        if not source.is_file():
            raise CheckpointError(
                f"{source}: there is no such file: give the {OPTIMIZER_FILE} of a checkpoint (a Trainer writes none "
                "with save_only_model=True)"
            )
    loaded, _ = load_pickle(source)
    if not (isinstance(loaded, dict) and isinstance(loaded.get("state"), dict) and loaded.get("param_groups")):
        raise CheckpointError(
            f"{source}: not the state of an optimizer, which has 'state' and 'param_groups': give the "
            f"{OPTIMIZER_FILE} that the training wrote beside the weights"
        )
    return dict(loaded)


def _file_in(folder: Path) -> Path:
    if (folder / OPTIMIZER_FILE).exists():
        return folder / OPTIMIZER_FILE
    for name, writer in _SHARDED.items():
        if (folder / name).exists():
            raise CheckpointError(
                f"{folder}: the optimizer's state is sharded by {writer} (it holds {name!r}): write the posterior in "
                "the training itself, with PosteriorCallback(route='adam'), or measure a Fisher matrix"
            )
    return folder / OPTIMIZER_FILE
