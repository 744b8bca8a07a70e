"""`Params`, the one alias that carries the whole design: names to tensors, in memory or read lazily.

Shapes: `P` parameters in all, each name has a shape of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from paretomerge.errors import AlignmentError

Params = Mapping[str, Tensor]


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of one tensor: what can be known without reading its values."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def numel(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return self.numel * self.dtype.itemsize

    def room(self, buffer: Tensor | None = None) -> Tensor:
        """A tensor of this shape and dtype, not initialised: the beginning of `buffer` (uint8), or new memory."""
        if buffer is None:
            return torch.empty(self.shape, dtype=self.dtype)
        return buffer[: self.nbytes].view(self.dtype).reshape(self.shape)

    @property
    def is_mergeable(self) -> bool:
        """Whether arithmetic on it makes sense: counters, masks and token ids are only copied."""
        return self.dtype.is_floating_point


def spec_of(params: Params, name: str) -> TensorSpec:
    """Shape and dtype of `params[name]`, without reading its values when `params` reads lazily."""
    lazy = getattr(params, "spec", None)
    if lazy is not None:
        return lazy(name)
    tensor = params[name]
    return TensorSpec(tuple(tensor.shape), tensor.dtype)


@dataclass(frozen=True)
class Layout:
    """Names and shapes in their order: how parameters are concatenated into one vector of length `P`.

    >>> layout = Layout.of({"w": torch.zeros(2, 3), "b": torch.zeros(2)})
    >>> layout.size, layout.slices["b"]
    (8, slice(6, 8, None))
    """

    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, params: Params) -> Layout:
        """The layout of the mergeable (floating-point) tensors of `params`."""
        specs = {name: spec_of(params, name) for name in params}
        return cls({name: spec.shape for name, spec in specs.items() if spec.is_mergeable})

    @property
    def size(self) -> int:
        """`P`, the number of parameters."""
        return sum(prod(shape) for shape in self.shapes.values())

    @property
    def slices(self) -> dict[str, slice]:
        """Where each name lies in the vector."""
        found, start = {}, 0
        for name, shape in self.shapes.items():
            found[name] = slice(start, start + prod(shape))
            start += prod(shape)
        return found

    def flatten(self, params: Params) -> Tensor:
        """Concatenate `params` into one vector `[P]`.

        Raises:
            AlignmentError: a name is missing or has another shape.
        """
        missing = [name for name in self.shapes if name not in params]
        if missing:
            raise AlignmentError(f"parameters lack {', '.join(map(repr, missing[:5]))}")
        for name, shape in self.shapes.items():
            if tuple(params[name].shape) != shape:
                raise AlignmentError(
                    f"{name!r} has shape {list(params[name].shape)}, expected {list(shape)}: "
                    "these parameters belong to another model"
                )
        return torch.cat([params[name].reshape(-1) for name in self.shapes])

    def unflatten(self, vector: Tensor) -> dict[str, Tensor]:
        """Cut `[..., P]` into tensors `[..., *shape]`, views of `vector` where possible."""
        lead = vector.shape[:-1]
        return {name: vector[..., where].reshape((*lead, *self.shapes[name])) for name, where in self.slices.items()}


def compute_dtype(dtypes: Iterable[torch.dtype]) -> torch.dtype:
    """The dtype sums are accumulated in: float64 if any input is, else float32."""
    return torch.float64 if torch.float64 in set(dtypes) else torch.float32


def digest_params(params: Params) -> str:
    """SHA-256 over names, shapes, dtypes and bytes: equal digests mean equal parameters."""
    digest = hashlib.sha256()
    for name in sorted(params):
        tensor = params[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
