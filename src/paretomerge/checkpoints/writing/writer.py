"""A checkpoint that is being written: it appears under its name complete, or not at all.

1. The headers are planned from the specs, and the free space is compared with their sizes.
2. The tensors go to a temporary folder beside the target as they come: memory is one block.
3. `commit` reads every tensor back and compares checksums; the side files follow, then the manifest
   `paretomerge.json`, last.
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
from types import TracebackType
from typing import Self

from torch import Tensor

from paretomerge.checkpoints.atomic import (
    free_bytes,
    make_folders,
    remove_abandoned,
    replace_folder,
    storage_errors,
    sync_file,
    sync_folder,
    temporary_beside,
)
from paretomerge.checkpoints.folders import MANIFEST, WEIGHT_FILES
from paretomerge.checkpoints.paths import user_path
from paretomerge.checkpoints.writing.shards import INDEX, Shard, index_of, plan_file, plan_shards, require_writable
from paretomerge.checkpoints.writing.tensor_writer import TensorWriter
from paretomerge.errors import CheckpointError, StorageError
from paretomerge.types import Params, TensorSpec, spec_of

MANIFEST_FORMAT = 1


class CheckpointWriter:
    """Writes one Hugging Face style folder that `transformers` and `open_checkpoint` read; a context manager.

    Left without `commit`, by an error or an interrupt, it removes what it wrote and the target is as it was.

    Args:
        directory: the folder to make.
        specs: shape and dtype of every tensor, in the order in which they are best written.
        side_files: files to copy beside the weights (`Checkpoint.side_files`).
        texts: file name to text, further files to write, such as a `README.md`.
        metadata: text to text, stored in the header of each weight file.
        max_shard_bytes: largest size of one weight file.
        overwrite: replace a checkpoint of that name; without it a folder with files is refused.
        weights_file: write one file of this name, instead of `model.safetensors` whole or in shards.

    Raises:
        CheckpointError: the target is not empty, or specs and side files do not fit each other.
        StorageError: the disk refused, or has too little room.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        specs: Mapping[str, TensorSpec],
        *,
        side_files: Iterable[Path] = (),
        texts: Mapping[str, str] | None = None,
        metadata: Mapping[str, str] | None = None,
        max_shard_bytes: int = 5_000_000_000,
        overwrite: bool = False,
        weights_file: str | None = None,
    ) -> None:
        """Plan and check; nothing is written before the `with` block is entered."""
        self.target = user_path(directory).absolute()
        self._overwrite = overwrite
        self._replaced = require_free_target(self.target, overwrite)
        about = {"format": "pt", **_as_text(metadata)}
        if weights_file is None:
            self._shards = plan_shards(specs, about, max_shard_bytes)
        else:
            require_writable(specs)
            self._shards = (plan_file(weights_file, specs, about),)
        self._texts = dict(texts or {})
        if len(self._shards) > 1:
            self._texts[INDEX] = json.dumps(index_of(self._shards, specs), indent=2) + "\n"
        self._copies = _plan_copies(side_files, self._texts, self._shards)
        self._temporary = temporary_beside(self.target)
        self._further: dict[str, int] = {}
        self._made: list[Path] = []
        self._tensors = TensorWriter(self._temporary, specs, self._shards, self.target)

    def __enter__(self) -> Self:
        """Make the temporary folder; what a killed process left behind is cleaned up first."""
        try:
            with storage_errors(self.target):
                self._made = make_folders(self.target.parent)
                remove_abandoned(self.target)
                self._replaced = require_free_target(self.target, self._overwrite)  # it may have been put back
                self.require_space(self.nbytes)
                self._temporary.mkdir()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was not committed."""
        self._tensors.close()
        self._remove()

    @property
    def nbytes(self) -> int:
        """Bytes of the planned weight files and the side files."""
        return sum(shard.nbytes for shard in self._shards) + sum(file.stat().st_size for file in self._copies.values())

    def require_space(self, needed: int) -> None:
        """Raise `StorageError` if this many bytes do not fit on the disk of the target."""
        free = free_bytes(self.target.parent)
        if needed > free:
            raise StorageError(
                f"cannot write {self.target}: {needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free: make "
                "room, or choose another disk"
            )

    def _remove(self) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)
        for folder in self._made:
            with contextlib.suppress(OSError):  # it is in use, as after a commit
                folder.rmdir()

    def write(self, name: str, tensor: Tensor) -> None:
        """Write one tensor, converted to the dtype of its spec; each once, in any order.

        Raises:
            CheckpointError: a tensor that was not planned, came before, or does not fit its spec.
            StorageError: the disk refused.
        """
        self._tensors.write(name, tensor)

    def add_file(self, name: str, params: Params) -> None:
        """Write further tensors into a `.safetensors` file of their own, which no index knows.

        Args:
            name: relative to the folder, such as `private/task.safetensors`.
            params: the tensors; read one after the other.

        Raises:
            CheckpointError: a name that leaves the folder or is taken, or no tensors.
            StorageError: the disk refused.
        """
        _require_inside(name)
        path = self._temporary / name
        taken = {*self._further, *(shard.file for shard in self._shards)}
        if path in {self._temporary / other for other in taken}:
            raise CheckpointError(f"{name!r} is the name of a file of this checkpoint already: choose another")
        specs = {tensor: spec_of(params, tensor) for tensor in params}
        require_writable(specs)
        with storage_errors(self.target):
            folders = make_folders(path.parent)
        tensors = TensorWriter(path.parent, specs, (plan_file(path.name, specs, {"format": "pt"}),), self.target)
        try:
            for tensor in params:
                tensors.write(tensor, params[tensor])
            tensors.require_complete()
            tensors.verify()
        finally:
            tensors.close()
        with storage_errors(self.target):
            for folder in dict.fromkeys((path.parent, *(made.parent for made in folders))):
                sync_folder(folder)
            self._further[name] = path.stat().st_size

    def commit(self, manifest: Mapping[str, object] | None = None) -> Path:
        """Verify, complete, and give the folder its name.

        Args:
            manifest: JSON values to add to `paretomerge.json`.

        Raises:
            CheckpointError: tensors are missing, or the manifest is no JSON.
            StorageError: the disk refused, or gave back other values than were written.
        """
        self._tensors.require_complete()
        closing = _manifest_text(manifest, self._shards, self._further)
        self._tensors.verify()
        with storage_errors(self.target):
            for name, file in self._copies.items():
                shutil.copyfile(file, self._temporary / name)
                sync_file(self._temporary / name)
            for name, text in {**self._texts, MANIFEST: closing}.items():
                (self._temporary / name).write_text(text, encoding="utf-8")
                sync_file(self._temporary / name)
            sync_folder(self._temporary)
            if self._replaced:
                replace_folder(self._temporary, self.target)
            else:
                os.rename(self._temporary, self.target)
                sync_folder(self.target.parent)
        return self.target


def require_free_target(target: Path, overwrite: bool) -> bool:
    """Whether there is a checkpoint to replace.

    Raises:
        CheckpointError: the name is taken by something else, or by a checkpoint that is not to be overwritten.
    """
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


def _require_inside(name: str) -> None:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or path.suffix != ".safetensors" or not path.stem.strip("."):
        raise CheckpointError(f"{name!r} is not the name of a .safetensors file inside the folder")


def _manifest_text(manifest: Mapping[str, object] | None, shards: tuple[Shard, ...], further: Mapping[str, int]) -> str:
    content = {
        "format": MANIFEST_FORMAT,
        "written_by": f"paretomerge {tool_version()}",
        "files": {shard.file: shard.nbytes for shard in shards} | dict(further),
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
