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

    Args:
        strength: `Σ_t e_t [D]`.
        pull: `Σ_t α_t e_t ∘ a_t [D]`.
        absent: `[D]`, the coordinates of tasks without weight.
    """

    strength: Tensor
    pull: Tensor
    absent: Tensor

    @classmethod
    def of(cls, lent: Sequence[Lending | None], weights: Tensor) -> LendingCorrection | None:
        """From what every member of a merge lends; `None` where nobody lends anything."""
        lenders = [(lending, float(w)) for lending, w in zip(lent, weights, strict=True) if lending is not None]
        if not lenders:
            return None
        strength = torch.zeros_like(lenders[0][0].strength)
        pull, absent = torch.zeros_like(strength), torch.zeros_like(strength, dtype=torch.bool)
        for lending, weight in lenders:
            if weight < SMALLEST_WEIGHT:
                absent |= lending.strength > 0
                continue
            extra = lending.strength * (1 / (len(lenders) * weight) - 1)
            strength += extra
            pull += weight * extra * lending.centre
        return cls(strength, pull, absent)

    def precision(self, total: Tensor) -> Tensor:
        """The corrected precision `[D, D]`; absent coordinates are coupled to nothing, at the scale of the others."""
        found = total + torch.diag(self.strength)
        scale = total.diagonal().mean()
        found[self.absent, :] = 0.0
        found[:, self.absent] = 0.0
        found.diagonal()[self.absent] = scale
        return found

    def right(self, right: Tensor) -> Tensor:
        """A right-hand side `[D]` for which the solution is zero in absent coordinates."""
        return torch.where(self.absent, 0.0, right)
