"""`Checkpoint`: parameters on disk or in memory behind one read-only mapping.

A tensor is read when it is asked for, and only that tensor, so a merge holds one block of each model at a
time whatever the size of the models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Protocol, final

import torch
from torch import Tensor

from paretomerge.errors import CheckpointError
from paretomerge.types import TensorSpec, digest_params


class TensorSource(Protocol):
    """Something that holds named tensors: a file, or memory."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order of the file."""

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype, without reading values."""

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """The values of one tensor.

        `buffer`, uint8 `[>= bytes of the tensor]`, may be used to hold them: the tensor is then a view of it and
        lives until the buffer is used again. A source whose values are in memory already ignores it.
        """

    def locate(self, name: str) -> tuple[TensorSource, str]:
        """Who really holds this tensor, and under which name: two views of one tensor give the same answer."""


class MemoryTensors:
    """Tensors that are already in memory; `read` gives them without a copy, detached from any graph.

    Raises:
        CheckpointError: no tensors, a name that is not text, or a value that is not a dense tensor.
    """

    def __init__(self, tensors: Mapping[str, Tensor], what: str = "the mapping") -> None:
        """Check every entry; `what` names the mapping in messages."""
        if not tensors:
            raise CheckpointError(f"{what} holds no tensors: give at least one parameter")
        for name, tensor in tensors.items():
            _require_dense(name, tensor, what)
        self._tensors = dict(tensors)
        self._first = _first_names(self._tensors)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in the order given."""
        return tuple(self._tensors)

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of one tensor."""
        tensor = self._tensors[name]
        return TensorSpec(tuple(tensor.shape), tensor.dtype)

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """One tensor, detached."""
        return self._tensors[name].detach()

    def locate(self, name: str) -> tuple[TensorSource, str]:
        """Itself, and the first name of the tensor: tied weights have two names and one place."""
        return self, self._first[name]


@final
class Checkpoint(Mapping[str, Tensor]):
    """A lazy, read-only `Mapping[str, Tensor]`; make one with `open_checkpoint`.

    Args:
        sources: where the tensors are; a name may occur once.
        source: the file or folder it was opened from, `None` for parameters in memory.
        side_files: the small files beside the weights (configuration, tokenizer) that a merged
            checkpoint needs as well.
        is_adapter: whether it is a low-rank adapter applied to a base while it is read: the tensors it changes
            are float32 or float64 whatever the dtype of the base, because their exact values do not fit into it.
        address: the pinned `hub://name@commit` it was downloaded from, `None` if it was not.
    """

    def __init__(
        self,
        sources: tuple[TensorSource, ...],
        source: Path | None = None,
        side_files: tuple[Path, ...] = (),
        is_adapter: bool = False,
        address: str | None = None,
    ) -> None:
        """Index the names of every source."""
        where: dict[str, TensorSource] = {}
        for held in sources:
            for name in held.names:
                if name in where:
                    raise CheckpointError(
                        f"{source}: the tensor {name!r} is in two files: delete the shards of an older "
                        "model that were left in the folder"
                    )
                where[name] = held
        self._where = where
        self.source = source
        self.side_files = side_files
        self.is_adapter = is_adapter
        self.address = address

    def __getitem__(self, name: str) -> Tensor:
        """Read one tensor."""
        return self._where[name].read(name)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tensor of this name; reads nothing."""
        return name in self._where

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self._where)

    def __len__(self) -> int:
        """Number of tensors."""
        return len(self._where)

    def __eq__(self, other: object) -> bool:
        """Identity: compare `digest` to compare contents."""
        return self is other

    def __hash__(self) -> int:
        """Identity."""
        return id(self)

    def __repr__(self) -> str:
        """Where it is from and how much it holds."""
        parameters = sum(self.spec(name).numel for name in self)
        where = self.address or str(self.source or "memory")
        return f"Checkpoint({where!r}, tensors={len(self)}, parameters={parameters})"

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype of one tensor, without reading its values."""
        return self._where[name].spec(name)

    def read(self, name: str, buffer: Tensor | None = None) -> Tensor:
        """The values of one tensor, in `buffer` where the source can use one (see `TensorSource.read`)."""
        return self._where[name].read(name, buffer)

    def locate(self, name: str) -> tuple[TensorSource, str]:
        """The source that really holds a tensor, and its name there."""
        return self._where[name].locate(name)

    def require_unchanged(self) -> None:
        """Raise `StorageError` if a file behind it was replaced or written to since it was opened."""
        seen: set[int] = set()
        for name, source in self._where.items():
            holder, _ = source.locate(name)
            check = getattr(holder, "require_unchanged", None)
            if check is not None and id(holder) not in seen:
                seen.add(id(holder))
                check()

    @property
    def revision(self) -> str | None:
        """The commit it was downloaded at, `None` if it was not downloaded."""
        return self.address.rpartition("@")[2] if self.address else None

    @property
    def main_dtype(self) -> torch.dtype:
        """The dtype of most of its parameters."""
        counts: Counter[torch.dtype] = Counter()
        for name in self:
            spec = self.spec(name)
            if spec.is_mergeable:
                counts[spec.dtype] += spec.numel
        return counts.most_common(1)[0][0]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, shapes, dtypes and values (see `digest_params`); reads everything once."""
        return digest_params(self)


def _require_dense(name: object, tensor: object, what: str) -> None:
    if not isinstance(name, str):
        raise CheckpointError(f"{what}: the name {name!r} is {type(name).__name__}, names must be text")
    if not isinstance(tensor, Tensor):
        raise CheckpointError(
            f"{what}: the entry {name!r} is {type(tensor).__name__}, not a tensor. Give a state dict (names to "
            "tensors); a training checkpoint usually holds it under a key such as 'state_dict'"
        )
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise CheckpointError(f"{what}: {name!r} is sparse or quantised: convert it to a dense tensor first")
    if tensor.device.type == "meta":
        raise CheckpointError(f"{what}: {name!r} is on the meta device and has no values: load the weights first")


def _first_names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """For each name the first name of the same tensor: same memory, shape, strides and dtype."""
    first: dict[tuple[object, ...], str] = {}
    found = {}
    for name, tensor in tensors.items():
        same = (tensor.device, tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        found[name] = first.setdefault(same, name) if tensor.numel() else name  # without values there is no memory
    return found
