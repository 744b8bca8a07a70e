"""Writing a LoRA adapter as peft reads it: `adapter_model.safetensors` and `adapter_config.json`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from paretomerge.checkpoints.adapters.config import CONFIG, parse_adapter_config
from paretomerge.checkpoints.adapters.low_rank import ADAPTER_FILES
from paretomerge.checkpoints.adapters.names import sort_names
from paretomerge.checkpoints.writing.writer import CheckpointWriter
from paretomerge.errors import CheckpointError
from paretomerge.types import Params, spec_of


def write_adapter(
    directory: str | os.PathLike[str],
    tensors: Params,
    config: Mapping[str, object],
    *,
    side_files: Iterable[Path] = (),
    texts: Mapping[str, str] | None = None,
    manifest: Mapping[str, object] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an adapter's folder, complete or not at all; `open_checkpoint(folder, base)` and peft read it.

    Args:
        directory: the folder to make.
        tensors: under the names of the file, `base_model.model.<module>.lora_A.weight`; read one after the other.
        config: what `adapter_config.json` says: at least `peft_type`, `r` and `lora_alpha`.
        side_files: files to copy beside the weights, such as the tokenizer's.
        texts: file name to text, further files to write, such as a `README.md`.
        manifest: JSON values to add to `paretomerge.json`.
        overwrite: replace an adapter of that name; without it a folder with files is refused.

    Returns:
        The folder.

    Raises:
        CheckpointError: the name is taken, the configuration is no LoRA that can be applied exactly, or a matrix
            lacks its partner.
        StorageError: the disk refused; nothing half-written is left.
    """
    folder = Path(directory)
    sort_names(folder, list(tensors))
    parse_adapter_config(folder, config)
    try:
        text = json.dumps(dict(config), indent=2, sort_keys=True, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the configuration of the adapter cannot be written as JSON: {error}") from error
    writer = CheckpointWriter(
        folder,
        {name: spec_of(tensors, name) for name in tensors},
        side_files=side_files,
        texts={**(texts or {}), CONFIG: text},
        overwrite=overwrite,
        weights_file=ADAPTER_FILES[0],
    )
    with writer:
        for name in tensors:
            writer.write(name, tensors[name])
        return writer.commit(manifest)
