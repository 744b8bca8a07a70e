"""Writing a checkpoint block by block, so that it appears under its name complete or not at all.

1. The headers are planned from the specs, and the free space is compared with their sizes.
2. The tensors go to a temporary folder beside the target as they come: memory is one block.
3. The side files follow, then the manifest `paretomerge.json`, last.
4. Everything is forced to the disk and the folder is renamed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from importlib import metadata as distributions
from pathlib import Path

from torch import Tensor

from paretomerge.checkpoints.atomic import free_bytes, storage_errors, sync_file, sync_folder, temporary_beside
from paretomerge.checkpoints.open import MANIFEST, WEIGHT_FILES
from paretomerge.checkpoints.shards import INDEX, Shard, index_of, plan_shards
from paretomerge.checkpoints.tensor_writer import TensorWriter
from paretomerge.errors import CheckpointError, StorageError
from paretomerge.types import Params, TensorSpec, spec_of

MANIFEST_FORMAT = 1


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
    target = Path(directory).expanduser().absolute()
    replaced = _require_free_target(target, overwrite)
    shards = plan_shards(specs, {"format": "pt", **_as_text(metadata)}, max_shard_bytes)
    if len(shards) > 1:
        texts = {**(texts or {}), INDEX: json.dumps(index_of(shards, specs), indent=2) + "\n"}
    copies = _plan_copies(side_files, texts or {}, shards)
    closing = _manifest_text(manifest, shards)
    temporary = temporary_beside(target)
    try:
        with storage_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            _require_space(target, shards, copies)
            temporary.mkdir()
        _write_tensors(TensorWriter(temporary, specs, shards, target), blocks)
        with storage_errors(target):
            for name, file in copies.items():
                shutil.copyfile(file, temporary / name)
                sync_file(temporary / name)
            for name, text in {**(texts or {}), MANIFEST: closing}.items():
                (temporary / name).write_text(text, encoding="utf-8")
                sync_file(temporary / name)
            sync_folder(temporary)
            _move_into_place(temporary, target, replaced)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


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


def _write_tensors(writer: TensorWriter, blocks: Iterable[tuple[str, Tensor]]) -> None:
    try:
        for name, tensor in blocks:
            writer.write(name, tensor)
        writer.require_complete()
    finally:
        writer.close()


def _require_free_target(target: Path, overwrite: bool) -> bool:
    """Whether there is a checkpoint to replace; raises if the name is taken by something else."""
    with storage_errors(target):
        if not (target.exists() or target.is_symlink()):
            return False
        if not target.is_dir() or target.is_symlink():
            raise CheckpointError(f"{target}: a file or link of this name exists; choose another folder")
        names = [file.name for file in target.iterdir()]
    if names and not overwrite:
        raise CheckpointError(
            f"{target}: the folder exists and holds {len(names)} files ({names[0]} …): choose another folder, or ask "
            "to overwrite it"
        )
    if names and not {MANIFEST, *WEIGHT_FILES} & set(names):
        raise CheckpointError(
            f"{target}: will not be overwritten: it holds no checkpoint ({names[0]} …); choose another folder"
        )
    return True


def _plan_copies(side_files: Iterable[Path], texts: Mapping[str, str], shards: tuple[Shard, ...]) -> dict[str, Path]:
    written = [MANIFEST, *texts, *(shard.file for shard in shards)]
    taken = set(written)
    for name in texts:
        if Path(name).name != name or written.count(name) > 1:
            raise CheckpointError(
                f"the text {name!r} needs a plain file name that is not the name of a file of the checkpoint"
            )
    copies: dict[str, Path] = {}
    for file in map(Path, side_files):
        if not file.is_file():
            raise CheckpointError(f"the side file {file} is missing, or is not a file")
        if file.name in taken:
            raise CheckpointError(f"the side file {file} has the name of a file that is written: leave it out")
        taken.add(file.name)
        copies[file.name] = file
    return copies


def _require_space(target: Path, shards: tuple[Shard, ...], copies: Mapping[str, Path]) -> None:
    needed = sum(shard.nbytes for shard in shards) + sum(file.stat().st_size for file in copies.values())
    free = free_bytes(target.parent)
    if needed > free:
        raise StorageError(
            f"cannot write {target}: {needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free: make room, or "
            "choose another disk"
        )


def _manifest_text(manifest: Mapping[str, object] | None, shards: tuple[Shard, ...]) -> str:
    content = {
        "format": MANIFEST_FORMAT,
        "written_by": f"paretomerge {tool_version()}",
        "files": {shard.file: shard.nbytes for shard in shards},
        **(manifest or {}),
    }
    try:
        return json.dumps(content, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"the manifest cannot be written as JSON: {error}") from error


def tool_version() -> str:
    """The installed version of this package."""
    with contextlib.suppress(distributions.PackageNotFoundError):
        return distributions.version("paretomerge")
    return "unknown"


def _as_text(metadata: Mapping[str, str] | None) -> dict[str, str]:
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise CheckpointError(f"metadata must be text to text, got {key!r}: {value!r}")
    return dict(metadata or {})


def _move_into_place(temporary: Path, target: Path, replaced: bool) -> None:
    if not replaced:
        os.rename(temporary, target)
        sync_folder(target.parent)
        return
    old = temporary_beside(target)
    os.rename(target, old)
    try:
        os.rename(temporary, target)
    except OSError:
        os.rename(old, target)
        raise
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)
