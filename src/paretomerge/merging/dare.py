"""DARE: drop entries of the task vectors at random, and rescale the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from paretomerge.arithmetic import LANES, quantised, random_key, random_mask
from paretomerge.merging.base import Domain, Inputs, Outputs
from paretomerge.merging.linear import floating_blocks
from paretomerge.merging.per_task import PerTask, for_tasks, frozen_setting, require_density
from paretomerge.merging.task_arithmetic import TaskArithmetic
from paretomerge.merging.task_vectors import TaskVectors, merge_task_vectors


@dataclass(frozen=True)
class Dare:
    """Each entry of a task vector is kept with probability `density`, and then divided by it: unbiased.

        θ = θ_0 + scale · Σ c_t δ̂_t,      δ̂_t = δ_t / density  with probability density, else 0

    Which entries are kept depends on the seed, the task's name, the tensor's name and the entry's place; not on the
    weights, the other tasks or threads. The probability is rounded to a multiple of 2^-16, at least one, and it is the
    rounded one that is divided by.

    Yu et al., 2024, Language models are super Mario: absorbing abilities from homologous models as a free lunch.

    Args:
        density: the probability of keeping an entry, in (0, 1]; one number, or task → number.
        scale: one factor on what is added to the base.
        elect_signs: add only the task vectors whose sign is that of their sum, as `Ties` does.
        normalize: divide by the sum of the coefficients (of those that agree).
        rescale: divide what is kept by its probability.
        seed: of the random choices.

    Raises:
        RecipeError: a density outside (0, 1], or for unknown tasks.
        WeightsError: no base model was given, or coefficients to be normalised that sum to zero.
    """

    density: PerTask = 0.5
    scale: float = 1.0
    elect_signs: bool = False
    normalize: bool = False
    rescale: bool = True
    seed: int = 0

    domain: ClassVar[Domain] = "coefficients"
    drops_at_random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the densities."""
        object.__setattr__(self, "density", frozen_setting("density", self.density))
        require_density(self.density)

    def prepare(self, inputs: Inputs) -> TaskVectors:
        """The base has to be there, and a density for every task."""
        for_tasks("density", self.density, inputs.tasks)
        return TaskVectors.of(inputs)

    def blocks(self, state: TaskVectors) -> Sequence[str]:
        """Every floating-point tensor."""
        return floating_blocks(state.inputs)

    def merge_block(self, state: TaskVectors, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """One pass; the random numbers are drawn again for every call, which costs less than keeping them."""
        densities = for_tasks("density", self.density, state.tasks)
        if min(densities) >= 1 and not self.elect_signs:
            yield from TaskArithmetic(self.scale, self.normalize).merge_block(state.inputs, values, block, out)
            return
        drop = _DropAtRandom(
            tuple(random_key(self.seed, block, task) for task in state.tasks),
            tuple(quantised(density) for density in densities),
            self.rescale,
        )
        sources = state.read(block)
        merge_task_vectors(state, sources, values, out[block], drop, self.scale, self.elect_signs, self.normalize)
        yield block


@dataclass(frozen=True)
class _DropAtRandom:
    """Per task a key of random numbers, and the probability of keeping an entry in units of 2^-16."""

    keys: tuple[bytes, ...]
    units: tuple[int, ...]
    rescale: bool

    @property
    def factors(self) -> tuple[float, ...]:
        return tuple(LANES / units if self.rescale else 1.0 for units in self.units)

    def apply(self, number: int, delta: Tensor, start: int, spare: Tensor) -> None:
        if self.units[number] < LANES:
            delta.mul_(random_mask(self.keys[number], self.units[number], start, spare))
