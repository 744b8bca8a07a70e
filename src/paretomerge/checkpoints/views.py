"""Other names for the tensors of a checkpoint: a view reads nothing until a tensor is asked for.

`locate` of a view answers with the source that really holds the tensor, so a reader that goes through several
views of one model reads a shared tensor once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from paretomerge.checkpoints.checkpoint import Checkpoint, TensorSource
from paretomerge.types import Params, TensorSpec, spec_of


class NamedTensors:
    """Tensors under names of our own: name → (who holds it, its name there)."""

    def __init__(self, where: Mapping[str, tuple[Params, str]]) -> None:
        """Nothing is read."""
        self._where = dict(where)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order given."""
        return tuple(self._where)

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of one tensor."""
        return spec_of(*self._where[name])

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """The values of one tensor (see `TensorSource.read`)."""
        return read_into(*self._where[name], buffer)

    def locate(self, name: str) -> tuple[TensorSource, str]:
        """Who really holds it."""
        params, inner = self._where[name]
        return params.locate(inner) if isinstance(params, Checkpoint) else (self, name)


def read_into(params: Params, name: str, buffer: Tensor | None) -> Tensor:
    """`params[name]`, in `buffer` where `params` can use one."""
    read = getattr(params, "read", None)
    return params[name] if read is None else read(name, buffer)


def view(params: Params, names: Mapping[str, str]) -> Checkpoint:
    """`params` under other names, in the order of `names`: new name → name in `params`."""
    return view_like(params, (NamedTensors({name: (params, inner) for name, inner in names.items()}),))


def select(params: Params, names: Iterable[str]) -> Checkpoint:
    """Only these tensors of `params`, in this order."""
    return view(params, {name: name for name in names})


def view_like(
    params: Params, sources: tuple[TensorSource, ...], side_files: tuple[Path, ...] | None = None
) -> Checkpoint:
    """A checkpoint of `sources` that otherwise says of itself what `params` does."""
    if not isinstance(params, Checkpoint):
        return Checkpoint(sources, None, side_files or ())
    files = params.side_files if side_files is None else side_files
    return Checkpoint(sources, params.source, files, params.is_adapter, params.address)


def with_private(merged: Params, private: Params) -> Checkpoint:
    """The model of one task: the merged tensors, and the task's own instead of or beside them.

    A head that belongs to one task alone is left out of a merge and kept per task, in
    `private/<task>.safetensors` beside the merged weights. Where both have a tensor, the private one is taken,
    whatever its shape.

    Args:
        merged: the merged model, for example `open_checkpoint("merged")`.
        private: the tensors of the task, for example `open_checkpoint("merged/private/reviews.safetensors")`.

    >>> merged, head = {"trunk": torch.zeros(2), "head": torch.zeros(3)}, {"head": torch.ones(5)}
    >>> {name: tuple(tensor.shape) for name, tensor in with_private(merged, head).items()}
    {'trunk': (2,), 'head': (5,)}
    """
    where: dict[str, tuple[Params, str]] = {name: (merged, name) for name in merged}
    where |= {name: (private, name) for name in private}
    return view_like(merged, (NamedTensors(where),))


def same_values(one: Tensor, other: Tensor, piece: int = 1 << 16) -> bool:
    """Whether two tensors of one shape hold equal numbers; looks no further than the first difference."""
    first, second = one.reshape(-1), other.reshape(-1)
    for start in range(0, len(first), piece):
        if not torch.equal(first[start : start + piece], second[start : start + piece]):
            return False
    return True
