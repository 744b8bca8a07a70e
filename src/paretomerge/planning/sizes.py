"""How large a model is: what the headers of its files say, or what a transformer of given widths would have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from paretomerge.planning.tracing import Passes
from paretomerge.planning.work import Work
from paretomerge.types import Params, TensorSpec, spec_of

PER_OUTPUT = 20.0
"""Bytes that everything but products moves, per output of a weight matrix and position: 12 to 35 in transformers."""

LOOKED_UP = ("embed", "wte", "wpe", "embd")
"""Parts of names of matrices whose rows are looked up, not multiplied."""


@dataclass(frozen=True, eq=False)
class ModelSize:
    """Shapes and dtypes of a model's tensors; no values.

    Args:
        specs: name → shape and dtype.
    """

    specs: Mapping[str, TensorSpec]

    @classmethod
    def of(cls, params: Params) -> ModelSize:
        """Of parameters or of an open checkpoint, whose headers alone are read."""
        return cls({name: spec_of(params, name) for name in params})

    @cached_property
    def parameters(self) -> int:
        """Numbers that can be merged."""
        return sum(spec.numel for spec in self.specs.values() if spec.is_mergeable)

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(spec.nbytes for spec in self.specs.values())

    @cached_property
    def largest(self) -> int:
        """Elements of the largest tensor."""
        return max((spec.numel for spec in self.specs.values()), default=0)

    @property
    def by_dtype(self) -> dict[str, int]:
        """Dtype → elements."""
        counts: Counter[str] = Counter()
        for spec in self.specs.values():
            counts[str(spec.dtype).removeprefix("torch.")] += spec.numel
        return dict(counts)

    @property
    def matrices(self) -> list[tuple[int, int]]:
        """`(outputs, inputs)` of every weight with two dimensions that inputs are multiplied with."""
        return [
            (spec.shape[0], spec.shape[1])
            for name, spec in self.specs.items()
            if len(spec.shape) == 2 and spec.is_mergeable and not any(part in name for part in LOOKED_UP)
        ]


def passes_of_size(size: ModelSize, positions: float, *, batch: float = 8.0, dtype: str = "float32") -> Passes:
    """Passes of one example through a model of which only sizes are known: two operations per weight and position.

    Attention between positions is left out: it is `positions / (6 · width)` of the rest of a layer. A gradient is taken
    for three forward passes. Kaplan et al., 2020, Scaling Laws for Neural Language Models.
    """
    products = 2.0 * positions * sum(outputs * inputs for outputs, inputs in size.matrices)
    written = positions * sum(outputs for outputs, _ in size.matrices)
    forward = Work(products, PER_OUTPUT * written, 4 * len(size.specs) / batch)
    last = float(size.matrices[-1][0]) if size.matrices else 1.0
    return Passes(forward, 3 * forward, PER_OUTPUT / 2 * written, last, positions, batch, dtype, traced=False)


def transformer_size(
    layers: int,
    width: int,
    inner: int,
    vocabulary: int,
    *,
    key_value_width: int | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> ModelSize:
    """A decoder with gated feed-forward parts and an untied output layer, as Llama has.

    >>> transformer_size(80, 8192, 28672, 128256, key_value_width=1024).parameters
    70553706496
    """
    narrow = width if key_value_width is None else key_value_width
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, width)}
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        for part, outputs in (("q", width), ("k", narrow), ("v", narrow), ("o", width)):
            shapes[f"{prefix}self_attn.{part}_proj.weight"] = (outputs, width)
        for part in ("gate", "up"):
            shapes[f"{prefix}mlp.{part}_proj.weight"] = (inner, width)
        shapes[f"{prefix}mlp.down_proj.weight"] = (width, inner)
        for part in ("input", "post_attention"):
            shapes[f"{prefix}{part}_layernorm.weight"] = (width,)
    shapes |= {"model.norm.weight": (width,), "lm_head.weight": (vocabulary, width)}
    return ModelSize({name: TensorSpec(shape, dtype) for name, shape in shapes.items()})
