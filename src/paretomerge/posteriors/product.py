"""Independent posteriors over disjoint parameters, for example dense on the head and diagonal on the body."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.posteriors.base import Posterior
from paretomerge.types import Params, TensorSpec


@dataclass(frozen=True, eq=False)
class Product:
    """The product of independent posteriors.

    Args:
        parts: name → posterior; no parameter may appear in two parts, no name may hold a slash.

    Raises:
        PosteriorError: a parameter appears twice, or a name with a slash.
    """

    parts: Mapping[str, Posterior]

    family: ClassVar[str] = "product"

    def __post_init__(self) -> None:
        """Check that the parts are disjoint."""
        object.__setattr__(self, "parts", dict(self.parts))
        seen: dict[str, str] = {}
        for part, posterior in self.parts.items():
            if "/" in part:
                raise PosteriorError(f"the part name {part!r} has a slash, which separates parts from blocks")
            for name in posterior.specs:
                if name in seen:
                    raise PosteriorError(f"parameter {name!r} is in the parts {seen[name]!r} and {part!r}")
                seen[name] = part

    @property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Shapes and dtypes of all parts."""
        return {name: spec for posterior in self.parts.values() for name, spec in posterior.specs.items()}

    @property
    def mean(self) -> Params:
        """The means of all parts."""
        return {name: tensor for posterior in self.parts.values() for name, tensor in posterior.mean.items()}

    def blocks(self) -> tuple[str, ...]:
        """`part/block` for every block of every part."""
        return tuple(f"{part}/{block}" for part, posterior in self.parts.items() for block in posterior.blocks())

    def natural(self, block: str) -> Any:
        """Natural parameters of one block of one part."""
        part, inner = block.split("/", 1)
        return self.parts[part].natural(inner)

    def names(self, block: str) -> tuple[str, ...]:
        """As the part says."""
        part, inner = block.split("/", 1)
        return self.parts[part].names(inner)

    def expand(self, block: str, solution: Tensor, out: Mapping[str, Tensor]) -> Iterator[str]:
        """As the part expands it."""
        part, inner = block.split("/", 1)
        return self.parts[part].expand(inner, solution, out)

    def restrict(self, block: str, gradient: Params) -> Any:
        """As the part says."""
        part, inner = block.split("/", 1)
        return self.parts[part].restrict(inner, gradient)

    def displacement(self, block: str, step: Any) -> dict[str, Tensor]:
        """As the part says."""
        part, inner = block.split("/", 1)
        return self.parts[part].displacement(inner, step)

    def map_params(self, view: Callable[[Params], Params]) -> Product:
        """Each part by itself."""
        return Product({part: posterior.map_params(view) for part, posterior in self.parts.items()})

    def require_same_kind(self, other: Posterior) -> None:
        """The same parts, each of the same kind."""
        if not isinstance(other, Product) or list(self.parts) != list(other.parts):
            raise PosteriorError("a product posterior merges only with a product of the same parts")
        for part, posterior in self.parts.items():
            posterior.require_same_kind(other.parts[part])

    def energy(self, params: Params) -> float:
        """Energies add."""
        return sum(posterior.energy(params) for posterior in self.parts.values())

    def log_density(self, params: Params) -> float:
        """Log densities add."""
        return sum(posterior.log_density(params) for posterior in self.parts.values())

    def sample(self, generator: torch.Generator) -> dict[str, Tensor]:
        """Each part by itself."""
        return {
            name: tensor for posterior in self.parts.values() for name, tensor in posterior.sample(generator).items()
        }

    @property
    def digest(self) -> str:
        """From the parts' digests."""
        parts = "|".join(f"{part}={posterior.digest}" for part, posterior in self.parts.items())
        return hashlib.sha256(f"{self.family}|{parts}".encode()).hexdigest()
