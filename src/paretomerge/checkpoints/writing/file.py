"""Writing tensors to one `.safetensors` file under a name of the caller's, atomically."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from paretomerge.checkpoints.atomic import remove_abandoned_file, storage_errors, sync_folder, temporary_beside
from paretomerge.checkpoints.writing.shards import plan_file, require_writable
from paretomerge.checkpoints.writing.tensor_writer import TensorWriter
from paretomerge.types import Params, spec_of


def write_file(target: Path, tensors: Mapping[str, tuple[Params, str]], metadata: Mapping[str, str]) -> Path:
    """Write one file tensor by tensor; a file of that name is replaced when the new one is safe.

    Args:
        target: the file.
        tensors: name in the file → where the tensor is, and its name there.
        metadata: of the header.

    Raises:
        CheckpointError: no tensors, or a dtype that the format does not know.
        StorageError: the disk refused; what was there before stays.
    """
    specs = {key: spec_of(params, name) for key, (params, name) in tensors.items()}
    require_writable(specs)
    temporary = temporary_beside(target)
    writer = TensorWriter(temporary.parent, specs, (plan_file(temporary.name, specs, metadata),), target)
    try:
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            remove_abandoned_file(target)
        for key, (params, name) in tensors.items():
            writer.write(key, params[name])
        writer.require_complete()
        with storage_errors(target):
            os.replace(temporary, target)
            sync_folder(target.parent)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return target
