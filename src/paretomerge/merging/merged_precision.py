"""`S_α = (1-a) H_0 + Σ α_t H_t` of one merge as an operator: what a Newton step divides by, and what samples spread by.

Shapes: `S` terms (the tasks and, if there is one, the prior).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.merging.base import Inputs, collect_inputs
from paretomerge.merging.factored import FactoredTerms
from paretomerge.merging.low_rank import solve_low_rank
from paretomerge.merging.merge import merge_blocks
from paretomerge.merging.posterior import PosteriorMerge, with_prior
from paretomerge.merging.values import as_values
from paretomerge.posteriors import Elementwise, Factored, LendingCorrection, LowRank, Matrix, Posterior, cholesky
from paretomerge.types import Params


@dataclass(frozen=True, eq=False)
class MergedPrecision:
    """The precision of the merge at one weighting; make one with `MergedPrecision.of`."""

    members: Sequence[Posterior]
    weights: Tensor

    @classmethod
    def of(cls, inputs: Inputs, weights: Any) -> MergedPrecision:
        """From the inputs of a merge, and one weighting.

        Raises:
            WeightsError: several weightings, or weights outside the simplex.
            PosteriorError: members that are no Gaussians, such as mixtures.
        """
        values = torch.from_numpy(as_values(weights, inputs, PosteriorMerge()).copy())
        if len(values) != 1:
            raise PosteriorError(f"a merged precision belongs to one weighting, got {len(values)}")
        members, values = with_prior(inputs, values)
        return cls(members, values[0])

    def solve(self, gradient: Params) -> dict[str, Tensor]:
        """`S^-1 g`, float64: a gradient of the parameters turned into a step of them.

        Subspace posteriors see the part of the gradient along their directions. Parameters without any precision, and
        those that no posterior covers, do not move: their names are left out or their step is zero.

        Raises:
            PosteriorError: a merged precision that is not positive definite.
        """
        found: dict[str, Tensor] = {}
        for block in self._first.blocks():
            found.update(self._first.displacement(block, self._solve(block, self._first.restrict(block, gradient))))
        return found

    def spread(self, generator: torch.Generator) -> dict[str, Tensor]:
        """A draw from `N(0, S^-1)` as a step of the parameters, float64.

        `S^-1 ξ` with `ξ ~ N(0, S)`, of which every task gives its part: no factor of `S^-1` is ever needed
        (Papandreou & Yuille, 2010, Gaussian sampling by local perturbations).

        Raises:
            PosteriorError: a singular merged precision, or Kronecker or low-rank posteriors at weights that sum to
                more than one.
        """
        found: dict[str, Tensor] = {}
        for block in self._first.blocks():
            found.update(self._first.displacement(block, self._solve(block, self._root(block, generator), full=True)))
        return found

    @cached_property
    def _first(self) -> Posterior:
        return self.members[0]

    def _naturals(self, block: str) -> list[Any]:
        return [member.natural(block) for member in self.members]

    def _solve(self, block: str, right: Any, full: bool = False) -> Any:
        naturals = self._naturals(block)
        first = naturals[0]
        if isinstance(first, Elementwise):
            total = self._total(naturals)
            if bool((total < 0).any()) or (full and not bool((total > 0).all())):
                raise PosteriorError(f"the merged precision of {block!r} is not positive: add damping")
            return torch.where(total > 0, right / torch.where(total > 0, total, 1.0), 0.0)
        if isinstance(first, Factored):
            return self._factored(naturals).solve(self.weights, right)
        if isinstance(first, LowRank):
            steps = solve_low_rank(naturals, self.weights[None], lambda name: right[name][None])
            return {name: step[0] for name, step in steps}
        if (correction := self._lending(naturals)) is not None:
            right = correction.right(right)
        return torch.cholesky_solve(right[:, None], cholesky(self._matrix(naturals), "the merged precision"))[:, 0]

    def _root(self, block: str, generator: torch.Generator) -> Any:
        """A draw from `N(0, S)` in the coordinates of a block."""
        naturals = self._naturals(block)
        first = naturals[0]
        if isinstance(first, Elementwise):
            total = self._total(naturals)
            return total.clamp_min(0).sqrt() * torch.randn(total.shape, generator=generator, dtype=torch.float64)
        if isinstance(first, Factored):
            return self._factored(naturals).root(self.weights, generator)
        if isinstance(first, LowRank):
            return self._low_rank_root(naturals, generator)
        factor = cholesky(self._matrix(naturals), "the merged precision")
        return factor @ torch.randn(len(factor), generator=generator, dtype=torch.float64)

    def _low_rank_root(self, naturals: Sequence[LowRank], generator: torch.Generator) -> dict[str, Tensor]:
        if not bool((self.weights >= 0).all()):
            raise PosteriorError(
                "low-rank posteriors cannot be sampled at weights that sum to more than one: the prior then counts "
                "negatively. Scale the weights down"
            )
        drawn = [term.root(generator) for term in naturals]
        roots = self.weights.sqrt()
        return {
            name: torch.stack([root * part[name] for root, part in zip(roots, drawn, strict=True)]).sum(0)
            for name in drawn[0]
        }

    def _total(self, naturals: Sequence[Elementwise]) -> Tensor:
        shape = naturals[0].mean.shape
        return torch.stack(
            [
                weight * natural.precision.to(torch.float64).expand(shape)
                for weight, natural in zip(self.weights, naturals, strict=True)
            ]
        ).sum(0)

    def _matrix(self, naturals: Sequence[Matrix]) -> Tensor:
        total = torch.einsum("s,sij->ij", self.weights, torch.stack([natural.precision for natural in naturals]))
        correction = self._lending(naturals)
        return total if correction is None else correction.precision(total)

    def _lending(self, naturals: Sequence[Matrix]) -> LendingCorrection | None:
        return LendingCorrection.of([natural.lent for natural in naturals], self.weights)

    def _factored(self, naturals: Sequence[Factored]) -> FactoredTerms:
        return FactoredTerms([natural.factors for natural in naturals])


def sample_merged(
    posteriors: Mapping[str, Posterior | Params],
    weights: Any,
    generator: torch.Generator,
    *,
    examples: float = 1.0,
    prior: Posterior | None = None,
    base: Params | None = None,
) -> dict[str, Tensor]:
    """One model drawn from `N(μ_α, (N S_α)^-1)`, the merged posterior at one weighting.

    Args:
        posteriors: as `merge` takes them, damped (the precision has to be positive definite).
        weights: one weighting.
        generator: the randomness.
        examples: `N`; with curvature in units of one average example, the common number of examples that the
            posterior stands for. The spread shrinks with its root.
        prior: as for `merge`.
        base: as for `merge`.

    Raises:
        PosteriorError: a singular merged precision, `examples` that is not positive, or weights that sum to more than
            one with Kronecker or low-rank posteriors.
        WeightsError: weights outside the simplex.
    """
    if not examples > 0:
        raise PosteriorError(f"the number of examples must be positive, got {examples}")
    inputs = collect_inputs(posteriors, prior, base)
    spread = MergedPrecision.of(inputs, weights).spread(generator)
    drawn = {name: tensor[0] for name, tensor in merge_blocks(inputs, weights, PosteriorMerge())}
    for name, step in spread.items():
        drawn[name] = (drawn[name].to(torch.float64) + step / examples**0.5).to(drawn[name].dtype)
    return {name: drawn[name] for name in inputs.specs}
