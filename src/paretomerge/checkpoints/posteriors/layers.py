"""The layers of a Kronecker posterior in a file: one layer is read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import ClassVar

from paretomerge.errors import PosteriorError
from paretomerge.posteriors import KroneckerFactors
from paretomerge.types import Params, spec_of


@dataclass(frozen=True)
class Layer:
    """What is known of a layer without reading its factors; see `KroneckerFactors`."""

    weight: str
    bias: str | None
    transposed: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Weight and bias."""
        return (self.weight,) if self.bias is None else (self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class StoredFactors(Mapping[str, KroneckerFactors]):
    """Layer → factors, read from `source` at every access.

    The factors of a layer are kept under the name of its weight, so that what reads ahead for the weight reads them
    ahead too, and lets them go with it.

    Args:
        layers: their names.
        inputs: weight → `U_A`, where it is not the identity.
        outputs: weight → `U_G`, where it is not the identity.
        eigenvalues: weight → `Λ`.
        source: the file, for messages.
    """

    layers: Mapping[str, Layer]
    inputs: Params
    outputs: Params
    eigenvalues: Params
    source: Path

    reads_lazily: ClassVar[bool] = True

    def __getitem__(self, layer: str) -> KroneckerFactors:
        """Read and check one layer.

        Raises:
            PosteriorError: impossible values; the message names the file.
        """
        found = self.layers[layer]
        try:
            return KroneckerFactors(
                found.weight,
                found.bias,
                self.inputs.get(found.weight),
                self.outputs.get(found.weight),
                self.eigenvalues[found.weight],
                found.transposed,
            )
        except PosteriorError as error:
            raise PosteriorError(f"{self.source}: {error}") from error

    def __iter__(self) -> Iterator[str]:
        """The layers."""
        return iter(self.layers)

    def __len__(self) -> int:
        """Number of layers."""
        return len(self.layers)

    def names_of(self, layer: str) -> tuple[str, ...]:
        """Weight and bias of a layer, without reading its factors."""
        return self.layers[layer].names

    def map_params(self, view: Callable[[Params], Params]) -> StoredFactors:
        """Views of the three sets of tensors."""
        return replace(self, inputs=view(self.inputs), outputs=view(self.outputs), eigenvalues=view(self.eigenvalues))

    def require_fits(self, mean: Params) -> StoredFactors:
        """Itself, or `ValueError` where names and shapes disagree with each other or with the mean; reads no values."""
        seen: set[str] = set()
        for layer, found in self.layers.items():
            for name in found.names:
                if name not in mean or name in seen:
                    raise ValueError(
                        f"{name!r} of the layer {layer!r} is {'there twice' if name in seen else 'missing'}"
                    )
                seen.add(name)
            self._require_shapes(layer, found, mean)
        left = [name for name in mean if name not in seen]
        if left:
            raise ValueError(f"{left[0]!r} is in no layer")
        return self

    def _require_shapes(self, layer: str, found: Layer, mean: Params) -> None:
        if found.weight not in self.eigenvalues:
            raise ValueError(f"the eigenvalues of the layer {layer!r} are missing")
        shape = spec_of(self.eigenvalues, found.weight).shape
        weight = spec_of(mean, found.weight).shape
        if len(shape) != 2:
            raise ValueError(
                f"the eigenvalues of the layer {layer!r} have shape {list(shape)}, expected two dimensions"
            )
        rows, columns = shape
        inner = columns - (found.bias is not None)
        flat = (prod(weight[:1]), prod(weight[1:]))
        fits = tuple(weight) == (inner, rows) if found.transposed else flat == (rows, inner)
        sizes = ((self.inputs, columns), (self.outputs, rows))
        square = all(
            spec_of(bases, found.weight).shape == (size, size) for bases, size in sizes if found.weight in bases
        )
        if not (fits and square):
            raise ValueError(f"the factors of the layer {layer!r} do not fit {found.weight!r} of shape {list(weight)}")
