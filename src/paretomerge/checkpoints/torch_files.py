"""Reading a state dict that `torch.save` wrote.

Such a file is a pickle, and a pickle can run code. Only `weights_only=True` is used: tensors and plain
containers are accepted, everything else is refused without being executed. The values of files in the zip
format (PyTorch >= 1.6) are memory-mapped, so opening reads little more than the names.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paretomerge.checkpoints.atomic import storage_errors
from paretomerge.checkpoints.checkpoint import MemoryTensors, TensorSource
from paretomerge.errors import CheckpointError
from paretomerge.types import TensorSpec

WRAPPERS = ("state_dict", "model_state_dict", "model")


class TorchFile:
    """One file of `torch.save`, memory-mapped where its format allows it.

    Raises:
        CheckpointError: not such a file, truncated, holding code, or without a state dict.
        StorageError: the disk refused to read.
    """

    def __init__(self, path: Path) -> None:
        """Open and check the file."""
        self.path = path
        self._held = MemoryTensors(_state_dict(path, _load(path)), str(path))

    def __reduce__(self) -> tuple[type[TorchFile], tuple[Path]]:
        """Another process opens the file again instead of receiving its values."""
        return TorchFile, (self.path,)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the state dict."""
        return self._held.names

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of one tensor."""
        return self._held.spec(name)

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """One tensor; without a buffer the disk is read when its values are first used."""
        tensor = self._held.read(name)
        if buffer is None:
            return tensor
        count = tensor.numel() * tensor.dtype.itemsize
        held = buffer[:count].view(tensor.dtype).reshape(tensor.shape)
        return held.copy_(tensor)

    def locate(self, name: str) -> tuple[TensorSource, str]:
        """Itself."""
        return self, name


def _load(path: Path) -> Any:
    with storage_errors(path, "read"), path.open("rb") as handle:
        start = handle.read(8)
        zipped = zipfile.is_zipfile(handle)
    if start.startswith(b"version "):
        raise CheckpointError(f"{path}: this is a Git LFS pointer, not the weights: run `git lfs pull` there")
    if start.startswith(b"PK") and not zipped:
        raise CheckpointError(
            f"{path}: truncated: the end of the file, which lists its content, is missing "
            f"({path.stat().st_size} bytes are there): copy or download it again"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped or None)
    except pickle.UnpicklingError as error:
        raise _refused(path, str(error)) from None
    except OSError:
        with storage_errors(path, "read"):
            raise
    # torch.load has no exception of its own for broken bytes: whatever the pickle machine met comes through
    except Exception as error:
        raise CheckpointError(
            f"{path}: cannot be read as a PyTorch file ({type(error).__name__}): it is truncated or something "
            "else; copy it again, or give a .safetensors file"
        ) from error
    return None


def _refused(path: Path, message: str) -> CheckpointError:
    if "GLOBAL" not in message and "nsupported" not in message:
        return CheckpointError(
            f"{path}: cannot be read as a PyTorch file: it is not a pickle, or a broken one; copy it again, or "
            "give a .safetensors file"
        )
    found = re.search(r"GLOBAL ([\w.]+)", message)
    what = found.group(1) if found else "a Python object"
    return CheckpointError(
        f"{path}: holds {what}, not only tensors. Loading it would run code, so it was not executed. If you trust "
        "its author, convert it once where it was made:  "
        "torch.save(torch.load(path, weights_only=False).state_dict(), 'weights.pt')"
    )


def _state_dict(path: Path, loaded: Any) -> Mapping[str, Tensor]:
    if isinstance(loaded, Mapping):
        if any(isinstance(value, Tensor) for value in loaded.values()):
            return loaded
        for key in WRAPPERS:
            if isinstance(loaded.get(key), Mapping):
                return loaded[key]
        keys = ", ".join(repr(key) for key in list(loaded)[:6]) or "nothing"
        raise CheckpointError(
            f"{path}: no state dict found: it holds {keys}. Save model.state_dict(), alone or under 'state_dict'"
        )
    raise CheckpointError(f"{path}: holds a {type(loaded).__name__}, not a state dict: save model.state_dict() instead")
