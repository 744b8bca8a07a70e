"""Precisions with a constant added, tensor by tensor as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

from paretomerge.types import Params, TensorSpec, spec_of


@dataclass(frozen=True, eq=False)
class Shifted(Mapping[str, Tensor]):
    """`params + amount`, read lazily: what damps a diagonal precision without a second copy of it."""

    params: Params
    amount: float

    def __getitem__(self, name: str) -> Tensor:
        """One tensor, shifted."""
        return self.params[name] + self.amount

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self.params)

    def __len__(self) -> int:
        """How many."""
        return len(self.params)

    def spec(self, name: str) -> TensorSpec:
        """Shape and dtype, without reading."""
        return spec_of(self.params, name)
