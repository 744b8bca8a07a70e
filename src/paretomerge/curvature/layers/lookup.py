"""Embeddings: a linear map of one-hot inputs, of which only the rows that were looked up are touched.

Shapes: `B` examples, `S` positions, `V` rows of the table, `D` columns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from paretomerge.curvature.layers.matrix import Call, Sharing
from paretomerge.curvature.layers.squares import widened


@dataclass(frozen=True)
class LookupLayer:
    """`nn.Embedding`.

    Args:
        name: of the module.
        weight: name of the table `[V, D]`.
        rows: `V`.
        padding: the row whose gradient is zero by definition, when there is one.
    """

    name: str
    weight: str
    rows: int
    padding: int | None = None

    bias: None = None
    transposed: bool = True
    is_factored: bool = True
    channels_second: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The table."""
        return (self.weight,)

    def keep(self, module: nn.Module, given: Tensor) -> Tensor:
        """The row numbers."""
        return given

    def add_squares(self, calls: Sequence[Call], totals: dict[str, Tensor]) -> None:
        """Add every example's squared gradient to the rows it looked up."""
        rows, gradients = self._by_row(calls)
        total = totals[self.weight]
        total.index_add_(0, rows, gradients.square_().to(total.dtype))

    def along(self, calls: Sequence[Call], directions: Mapping[str, Tensor]) -> Tensor:
        """Every example's gradient along `k` directions of the table, `[k, V, D]`: `[k, B]`."""
        tokens, gradients = self._tokens(calls), self._gradients(calls)
        table = directions[self.weight]
        return torch.stack([(each[tokens].to(gradients.dtype) * gradients).sum((1, 2)) for each in table])

    def input_moment(self, calls: Sequence[Call], sharing: Sharing, real: Tensor | None) -> Tensor:
        """The diagonal `[V]` of `Σ_b (1/S) Σ_s a aᵀ` for one-hot `a`: how often each row is looked up.

        With `reduce` the matrix is not diagonal (rows of one example go together), and its diagonal stands for it.
        """
        tokens = self._tokens(calls)
        counted = tokens != self.padding if self.padding is not None else torch.ones_like(tokens, dtype=torch.bool)
        if real is not None and real.shape == tokens.shape:
            counted = counted & real.bool()
        share = counted.to(torch.float64) / counted.sum(1, keepdim=True).clamp(min=1)
        if sharing == "expand":
            return share.new_zeros(self.rows).index_add_(0, tokens.flatten(), share.flatten())
        keys = tokens + self.rows * torch.arange(len(tokens), device=tokens.device)[:, None]
        unique, inverse = keys.flatten().unique(return_inverse=True)
        each = share.new_zeros(len(unique)).index_add_(0, inverse, share.flatten())
        return share.new_zeros(self.rows).index_add_(0, unique % self.rows, each.square_())

    def output_moment(self, calls: Sequence[Call], sharing: Sharing) -> Tensor:
        """`Σ_b Σ_s g gᵀ [D, D]`, or with `reduce` of the summed gradient of each example."""
        outputs = self._gradients(calls)
        flat = outputs.sum(1) if sharing == "reduce" else outputs.flatten(0, 1)
        return flat.T @ flat

    def add_projected_squares(
        self, calls: Sequence[Call], inputs: Tensor | None, outputs: Tensor, total: Tensor
    ) -> None:
        """Add `Σ_b (U_Gᵀ Σ_s g aᵀ)²` to `total [D, V]`."""
        assert inputs is None
        rows, gradients = self._by_row(calls)
        total.T.index_add_(0, rows, (gradients @ outputs.to(gradients.dtype)).square_().to(total.dtype))

    def _by_row(self, calls: Sequence[Call]) -> tuple[Tensor, Tensor]:
        """The gradient of each row that an example looked up, and the row; repeated rows are summed per example."""
        tokens, gradients = self._tokens(calls), self._gradients(calls).flatten(0, 1)
        keys = tokens + self.rows * torch.arange(len(tokens), device=tokens.device)[:, None]
        unique, inverse = keys.flatten().unique(return_inverse=True)
        summed = gradients.new_zeros(len(unique), gradients.shape[-1]).index_add_(0, inverse, gradients)
        return unique % self.rows, summed

    def _tokens(self, calls: Sequence[Call]) -> Tensor:
        return torch.cat([kept.reshape(len(kept), -1) for kept, _ in calls], 1)

    def _gradients(self, calls: Sequence[Call]) -> Tensor:
        """`[B, S, D]`, zero where the padding row was looked up."""
        found = torch.cat([gradient.reshape(len(kept), -1, gradient.shape[-1]) for kept, gradient in calls], 1)
        found = widened(found)
        return found if self.padding is None else found * (self._tokens(calls) != self.padding)[..., None]
