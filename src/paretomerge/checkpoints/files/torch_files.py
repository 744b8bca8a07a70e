"""Reading a state dict that `torch.save` wrote.

Such a file is a pickle, and a pickle can run code: nothing of it is executed (see `torch_pickles`). The values
of files in the zip format (PyTorch >= 1.6) are memory-mapped, so opening reads little more than the names; files
in the older format are read whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.checkpoint import MemoryTensors, TensorSource
from paretomerge.checkpoints.files.byte_ranges import Stamp, require_unchanged, stamp_of
from paretomerge.checkpoints.files.state_dicts import find_state_dict, without_wrappers
from paretomerge.checkpoints.files.torch_pickles import load_pickle
from paretomerge.errors import CheckpointError
from paretomerge.types import TensorSpec

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")


class TorchFile:
    """One file of `torch.save`, memory-mapped where its format allows it. Make it with `open_torch_file`."""

    def __init__(self, path: Path, stamp: Stamp, tensors: Mapping[str, Tensor], part: bool = False) -> None:
        """Check the tensors; `stamp` is what the file had when they were loaded."""
        self.path = path
        self.stamp = stamp
        self._part = part
        self._held = MemoryTensors(tensors, str(path))

    def __reduce__(self) -> tuple[object, tuple[Path, Stamp, bool]]:
        """Another process opens the file again instead of receiving its values."""
        return _reopen, (self.path, self.stamp, self._part)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the state dict."""
        return self._held.names

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of one tensor."""
        return self._held.spec(name)

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """One tensor, contiguous; without a buffer the disk is read when its values are first used.

        Raises:
            StorageError: the file was replaced or written to since it was opened.
        """
        self.require_unchanged()
        tensor = self._held.read(name)
        if buffer is None:
            return tensor.contiguous()
        return self.spec(name).room(buffer).copy_(tensor)

    def locate(self, name: str) -> tuple[TensorSource, str]:
        """Itself, and the first name of the tensor: two names of one tensor (tied weights) are read once."""
        return self, self._held.locate(name)[1]

    def require_unchanged(self) -> None:
        """Raise `StorageError` if the file was replaced or written to since it was opened."""
        require_unchanged(self.path, self.stamp)


def open_torch_file(path: Path) -> TorchFile:
    """Open a state dict, alone or inside a training checkpoint, under the names of the bare model.

    Raises:
        CheckpointError: not such a file, truncated, holding code, without a state dict, or with several.
        StorageError: the disk refused to read.
    """
    return _open(path, part=False)


def open_torch_shard(path: Path) -> TorchFile:
    """Open one part of a sharded state dict; its names are those of the index and stay as they are."""
    return _open(path, part=True)


def _open(path: Path, part: bool) -> TorchFile:
    with storage_errors(path, "read"), path.open("rb") as handle:
        stamp = stamp_of(handle)
    loaded, _ = load_pickle(path)
    tensors = find_state_dict(path, loaded)
    opened = TorchFile(path, stamp, tensors if part or not _all_text(tensors) else without_wrappers(tensors), part)
    _require_held(opened)
    return opened


def _require_held(opened: TorchFile) -> None:
    """Raise for a tensor larger than the file: one number may stand for many, which take memory once they are read."""
    for name in opened.names:
        if opened.spec(name).nbytes > opened.stamp[2]:
            raise CheckpointError(
                f"{opened.path}: {name!r} would take {opened.spec(name).nbytes} bytes, the whole file has "
                f"{opened.stamp[2]}: it repeats few numbers many times (expand); save it with .contiguous()"
            )


def _reopen(path: Path, stamp: Stamp, part: bool) -> TorchFile:
    require_unchanged(path, stamp)
    return _open(path, part)


def _all_text(tensors: Mapping[str, Tensor]) -> bool:
    return bool(tensors) and all(isinstance(name, str) for name in tensors)
