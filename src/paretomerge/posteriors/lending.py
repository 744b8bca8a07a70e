"""How far a task's directions reach into a merge: as far as the task has weight.

The one idea: a merge moves along `Σ_t α_t u_t`, where `u_t` is what task `t` brings along the directions that come
from it, and the ridge is on what each task brings, not on their sum:

    min over u_t with c = α_t u_t of   Σ_t α_t · ½ λ/T (u_t - a_t)²   =   Σ_t ½ λ/(T α_t) (c - α_t a_t)²

At equal weights that is the ordinary ridge `λ`; where a task has no weight, its coordinates are zero. A ridge that
does not know the weights leaves them where the other tasks' losses do not object, and a task that nobody asked for is
previewed as learnt.

Shapes: `T` tasks, `D` coordinates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST_WEIGHT = 1e-6
"""A task with less weight than this lends nothing: its coordinates are zero, exactly."""


@dataclass(frozen=True, eq=False)
class Lending:
    """The ridge on a task's own coordinates: strength `λ [D]` (zero elsewhere) and centre `a [D]`.

    Both are already part of the task's precision; they are kept so that a merge can correct them for its weights.
    """

    strength: Tensor
    centre: Tensor


@dataclass(frozen=True, eq=False)
class LendingCorrection:
    """What turns `Σ α_t (A_t, η_t)` into a merge in which every ridge is that of its task's weight.

        (Σ_t e_t,  Σ_t α_t e_t ∘ a_t),     e_t = λ_t (1/(T α_t) - 1)

    Any number of weightings at once: `[..., T]` weights give corrections with the same leading axes.

    Args:
        strength: `Σ_t e_t [..., D]`.
        pull: `Σ_t α_t e_t ∘ a_t [..., D]`.
        absent: `[..., D]`, the coordinates of tasks without weight.
    """

    strength: Tensor
    pull: Tensor
    absent: Tensor

    @classmethod
    def of(cls, lent: Sequence[Lending | None], weights: Tensor) -> LendingCorrection | None:
        """From what every member of a merge lends, at `weights [..., T]`; `None` where nobody lends anything."""
        lenders = [
            (lending, weight)
            for lending, weight in zip(lent, weights.to(torch.float64).unbind(-1), strict=True)
            if lending is not None
        ]
        if not lenders:
            return None
        shape = (*weights.shape[:-1], len(lenders[0][0].strength))
        strength, pull = (torch.zeros(shape, dtype=torch.float64) for _ in range(2))
        absent = torch.zeros(shape, dtype=torch.bool)
        for lending, weight in lenders:
            share = weight[..., None]
            gone = share < SMALLEST_WEIGHT
            absent |= gone & (lending.strength > 0)
            extra = lending.strength * (1 / (len(lenders) * share.clamp_min(SMALLEST_WEIGHT)) - 1)
            extra = torch.where(gone, 0.0, extra)
            strength += extra
            pull += share * extra * lending.centre
        return cls(strength, pull, absent)

    def precision(self, total: Tensor) -> Tensor:
        """The corrected precision `[..., D, D]`; absent coordinates are coupled to nothing, at the others' scale."""
        found = total + torch.diag_embed(self.strength)
        if bool(self.absent.any()):
            found = found.masked_fill(self.absent[..., :, None] | self.absent[..., None, :], 0.0)
            scale = total.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True)
            found = found + torch.diag_embed(torch.where(self.absent, scale, 0.0))
        return found

    def right(self, right: Tensor) -> Tensor:
        """A right-hand side `[..., D]` for which the solution is zero in absent coordinates."""
        return torch.where(self.absent, 0.0, right)
