"""Fisher-weighted averaging: the merge of diagonal posteriors, and of nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.merging.base import Domain, Inputs, Outputs
from paretomerge.merging.posterior import PosteriorMerge


@dataclass(frozen=True)
class FisherWeighted:
    """`θ = Σ α_t F_t θ_t / Σ α_t F_t`, element by element, with the diagonal `F_t` of each task's Fisher matrix.

    It is `PosteriorMerge` for diagonal posteriors, under its own name and with the certainty that every task has
    one: given plain checkpoints, `PosteriorMerge` would average.

    Matena & Raffel, 2022, Merging models with Fisher-weighted averaging.

    Raises:
        PosteriorError: a task without a diagonal posterior.
    """

    domain: ClassVar[Domain] = "weights"
    reads_base: ClassVar[bool] = False

    def prepare(self, inputs: Inputs) -> Inputs:
        """Every posterior has to be diagonal."""
        for task, posterior in zip(inputs.tasks, inputs.posteriors, strict=True):
            if posterior.family != "diagonal":
                raise PosteriorError(
                    f"Fisher-weighted averaging needs a diagonal posterior of every task, {task!r} has an "
                    f"{posterior.family} one"
                    + (" (a checkpoint alone counts as that)" if posterior.family == "isotropic" else "")
                    + ": fit with the posterior family diagonal (FitDiagonal), or give the files of diagonal "
                    "posteriors that were saved"
                )
        return _POSTERIORS.prepare(inputs)

    def blocks(self, state: Inputs) -> Sequence[str]:
        """One block per tensor."""
        return _POSTERIORS.blocks(state)

    def merge_block(self, state: Inputs, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """As for any posteriors."""
        yield from _POSTERIORS.merge_block(state, values, block, out)


_POSTERIORS = PosteriorMerge()
