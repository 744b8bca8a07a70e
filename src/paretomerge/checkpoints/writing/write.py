"""Writing a checkpoint whose blocks are at hand, in one call."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from paretomerge.checkpoints.writing.writer import CheckpointWriter
from paretomerge.types import Params, TensorSpec, spec_of


def write_checkpoint(
    directory: str | os.PathLike[str],
    specs: Mapping[str, TensorSpec],
    blocks: Iterable[tuple[str, Tensor]],
    *,
    side_files: Iterable[Path] = (),
    texts: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
    manifest: Mapping[str, object] | None = None,
    max_shard_bytes: int = 5_000_000_000,
    overwrite: bool = False,
) -> Path:
    """Write a Hugging Face style folder that `transformers` and `open_checkpoint` read.

    Args:
        directory: the folder to make.
        specs: shape and dtype of every tensor, in the order in which they are best written.
        blocks: every tensor of `specs` once; the order of `specs` keeps one file open at a time. Each is
            converted to the dtype of its spec.
        side_files: files to copy beside the weights (`Checkpoint.side_files`).
        texts: file name to text, further files to write, such as a `README.md`.
        metadata: text to text, stored in the header of each weight file.
        manifest: JSON values to add to `paretomerge.json`.
        max_shard_bytes: largest size of one weight file.
        overwrite: replace a checkpoint of that name; without it a folder with files is refused.

    Returns:
        The folder.

    Raises:
        CheckpointError: the target is not empty, or blocks, side files and manifest do not fit the plan.
        StorageError: the disk refused; the temporary folder is removed and the target is untouched.
    """
    writer = CheckpointWriter(
        directory,
        specs,
        side_files=side_files,
        texts=texts,
        metadata=metadata,
        max_shard_bytes=max_shard_bytes,
        overwrite=overwrite,
    )
    with writer:
        for name, tensor in blocks:
            writer.write(name, tensor)
        return writer.commit(manifest)


def write_params(
    directory: str | os.PathLike[str],
    params: Params,
    *,
    side_files: Iterable[Path] = (),
    metadata: Mapping[str, str] | None = None,
    manifest: Mapping[str, object] | None = None,
    max_shard_bytes: int = 5_000_000_000,
    overwrite: bool = False,
) -> Path:
    """Write parameters that are in memory or read lazily; see `write_checkpoint`."""
    return write_checkpoint(
        directory,
        {name: spec_of(params, name) for name in params},
        ((name, params[name]) for name in params),
        side_files=side_files,
        metadata=metadata,
        manifest=manifest,
        max_shard_bytes=max_shard_bytes,
        overwrite=overwrite,
    )
