"""TIES: trim, elect signs, merge those that agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from paretomerge.merging.base import Domain, Inputs, Outputs
from paretomerge.merging.linear import floating_blocks
from paretomerge.merging.magnitudes import TrimByMagnitude
from paretomerge.merging.per_task import PerTask, for_tasks, frozen_setting, require_density
from paretomerge.merging.task_vectors import TaskVectors, merge_task_vectors


@dataclass(frozen=True)
class Ties:
    """Each task vector keeps its largest entries; per element the tasks vote, and those that agree are added.

        s = sign(Σ c_t δ̂_t),      θ = θ_0 + scale · Σ_{t: c_t δ̂_t has sign s} c_t δ̂_t  [/ Σ_{same t} c_t]

    Of every tensor the `int(density · n)` entries of largest magnitude are kept, at least one; of equal ones the first
    in memory. A vote of zero elects the positive sign.

    Yadav et al., 2023, TIES-merging: resolving interference when merging models.

    Args:
        density: the share of entries that is kept, in (0, 1]; one number, or task → number.
        scale: one factor on what is added to the base.
        normalize: divide by the sum of the coefficients of those that agree: their average instead of their sum.

    Raises:
        RecipeError: a density outside (0, 1], or for unknown tasks.
        WeightsError: no base model was given.
    """

    density: PerTask = 0.2
    scale: float = 1.0
    normalize: bool = True

    domain: ClassVar[Domain] = "coefficients"

    def __post_init__(self) -> None:
        """Check the densities."""
        object.__setattr__(self, "density", frozen_setting("density", self.density))
        require_density(self.density)

    def prepare(self, inputs: Inputs) -> TaskVectors:
        """The base has to be there, and a density for every task; thresholds are found when a block is merged."""
        for_tasks("density", self.density, inputs.tasks)
        return TaskVectors.of(inputs)

    def blocks(self, state: TaskVectors) -> Sequence[str]:
        """Every floating-point tensor."""
        return floating_blocks(state.inputs)

    def merge_block(self, state: TaskVectors, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """One pass to find the thresholds, the first time, and one to merge."""
        sources = state.read(block)
        densities = for_tasks("density", self.density, state.tasks)
        dtype = state.inputs.sum_dtype(sources)
        trim = state.once(block, lambda: TrimByMagnitude.largest(sources, densities, dtype))
        merge_task_vectors(state, sources, values, out[block], trim, self.scale, True, self.normalize)
        yield block
