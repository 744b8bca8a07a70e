"""A checkpoint in half precision, read as float32: what is merged from it is rounded no earlier than it is written."""

from __future__ import annotations

import torch
from torch import Tensor

from paretomerge.checkpoints.checkpoint import Checkpoint, TensorSource
from paretomerge.checkpoints.views import view_like
from paretomerge.types import TensorSpec


class WidenedTensors:
    """The tensors of a checkpoint, those of fewer than 32 bits as float32; each is converted when it is read."""

    def __init__(self, narrow: Checkpoint) -> None:
        """Nothing is read."""
        self._narrow = narrow

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in their order."""
        return tuple(self._narrow)

    def spec(self, name: str) -> TensorSpec:
        """Shape, and the wider dtype."""
        spec = self._narrow.spec(name)
        return TensorSpec(spec.shape, torch.float32) if _is_narrow(spec) else spec

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """The same values, in the wider dtype."""
        if not _is_narrow(self._narrow.spec(name)):
            return self._narrow.read(name, buffer)
        return self._narrow.read(name).to(torch.float32)

    def locate(self, name: str) -> tuple[TensorSource, str]:
        """Itself where it converts, else who really holds the tensor."""
        return (self, name) if _is_narrow(self._narrow.spec(name)) else self._narrow.locate(name)

    def require_unchanged(self) -> None:
        """Raise `StorageError` if a file behind it was replaced since it was opened."""
        self._narrow.require_unchanged()


def widened(params: Checkpoint) -> Checkpoint:
    """`params` with float16, bfloat16 and narrower tensors as float32; the values are the same.

    >>> from paretomerge.checkpoints import open_checkpoint
    >>> widened(open_checkpoint({"w": torch.ones(2, dtype=torch.bfloat16)})).spec("w").dtype
    torch.float32
    """
    return view_like(params, (WidenedTensors(params),))


def _is_narrow(spec: TensorSpec) -> bool:
    return spec.dtype.is_floating_point and spec.dtype.itemsize < torch.float32.itemsize
