"""Breadcrumbs: task vectors without their largest and smallest entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from paretomerge.errors import RecipeError
from paretomerge.merging.base import Domain, Inputs, Outputs
from paretomerge.merging.linear import floating_blocks
from paretomerge.merging.magnitudes import TrimByMagnitude
from paretomerge.merging.per_task import PerTask, for_tasks, frozen_setting, require_density, setting_numbers
from paretomerge.merging.task_arithmetic import TaskArithmetic
from paretomerge.merging.task_vectors import TaskVectors, merge_task_vectors


@dataclass(frozen=True)
class Breadcrumbs:
    """Each task vector loses its largest entries, as outliers, and its smallest; the rest is added.

        θ = θ_0 + scale · Σ c_t δ̂_t

    Of every tensor with `n` entries the `int(gamma · n)` largest are dropped, then the smallest until
    `int(density · n)` are left. Where the two shares are more than one together, fewer of the largest are dropped; at
    density 1, none.

    Davari & Belilovsky, 2023, Model breadcrumbs: scaling multi-task model merging with sparse masks.

    Args:
        density: the share of entries that is kept, in (0, 1]; one number, or task → number.
        gamma: the share of outliers, in [0, 1); one number, or task → number.
        scale: one factor on what is added to the base.
        elect_signs: add only the task vectors whose sign is that of their sum, as `Ties` does.
        normalize: divide by the sum of the coefficients (of those that agree).

    Raises:
        RecipeError: a share outside its range, or for unknown tasks.
        WeightsError: no base model was given, or coefficients to be normalised that sum to zero.
    """

    density: PerTask = 0.9
    gamma: PerTask = 0.01
    scale: float = 1.0
    elect_signs: bool = False
    normalize: bool = False

    domain: ClassVar[Domain] = "coefficients"

    def __post_init__(self) -> None:
        """Check the shares."""
        object.__setattr__(self, "density", frozen_setting("density", self.density))
        object.__setattr__(self, "gamma", frozen_setting("gamma", self.gamma))
        require_density(self.density)
        for whose, number in setting_numbers(self.gamma).items():
            if not 0 <= number < 1:
                raise RecipeError(
                    f"gamma{whose} is {number:g}: it is the share of the largest entries that is dropped, in [0, 1)"
                )

    def prepare(self, inputs: Inputs) -> TaskVectors:
        """The base has to be there, and the shares for every task; thresholds are found when a block is merged."""
        for_tasks("density", self.density, inputs.tasks)
        for_tasks("gamma", self.gamma, inputs.tasks)
        return TaskVectors.of(inputs)

    def blocks(self, state: TaskVectors) -> Sequence[str]:
        """Every floating-point tensor."""
        return floating_blocks(state.inputs)

    def merge_block(self, state: TaskVectors, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """One pass to find the thresholds, the first time, and one to merge."""
        densities = for_tasks("density", self.density, state.tasks)
        gammas = for_tasks("gamma", self.gamma, state.tasks)
        if min(densities) >= 1 and not self.elect_signs:
            yield from TaskArithmetic(self.scale, self.normalize).merge_block(state.inputs, values, block, out)
            return
        sources = state.read(block)
        dtype = state.inputs.sum_dtype(sources)
        trim = state.once(block, lambda: TrimByMagnitude.between(sources, densities, gammas, dtype))
        merge_task_vectors(state, sources, values, out[block], trim, self.scale, self.elect_signs, self.normalize)
        yield block
