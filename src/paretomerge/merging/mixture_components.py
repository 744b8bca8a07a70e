"""All components of all tasks side by side, and one pass over a group of blocks: merge, then measure log densities.

A pass merges the components with given weights, block by block, and adds up what every component says of the result.
Nothing of a block is kept, so a group may be larger than memory: its state between two passes is a few numbers.

Shapes: `T` tasks, `S` components of all tasks, `N` weightings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from paretomerge.errors import PosteriorError
from paretomerge.merging.base import Inputs
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.merging.tally import Tally
from paretomerge.posteriors import (
    Elementwise,
    Factored,
    LowRank,
    Matrix,
    Point,
    block_centre,
    components_of,
    half_distance,
    log_normaliser,
    without_lending,
)

ELEMENTS_AT_ONCE = 1 << 22
"""Elements of one block, times weightings, that a pass holds in float64."""

_POSTERIORS = PosteriorMerge()


@dataclass(frozen=True, eq=False)
class Components:
    """The components of all tasks.

    Args:
        inputs: the components as tasks of their own, in task order; sums as the merge's.
        counts: `R_t`, how many components each task has.
        log_weights: `log π [S]`.
    """

    inputs: Inputs
    counts: tuple[int, ...]
    log_weights: Tensor

    @classmethod
    def of(cls, inputs: Inputs) -> Components:
        """Mixtures taken apart; a Gaussian is its only component.

        Raises:
            PosteriorError: a prior that is a mixture.
        """
        if inputs.prior is not None and inputs.prior.family == "mixture":
            raise PosteriorError("the prior is a mixture: give one Gaussian of the components' family")
        taken = [components_of(posterior) for posterior in inputs.posteriors]
        counts = tuple(len(components) for components, _ in taken)
        members = tuple(component for components, _ in taken for component in components)
        if max(counts) > 1:
            members = tuple(map(without_lending, members))
        names = tuple(f"{task}#{k}" for task, count in zip(inputs.tasks, counts, strict=True) for k in range(count))
        flat = replace(inputs, tasks=names, posteriors=members)
        return cls(flat, counts, torch.cat([logs for _, logs in taken]))

    @cached_property
    def owners(self) -> Tensor:
        """The number of the task of each component, `[S]`."""
        return torch.repeat_interleave(torch.arange(len(self.counts)), torch.tensor(self.counts))

    @cached_property
    def equal(self) -> Tensor:
        """Equal responsibilities, `1/R_t`: `[S]`."""
        return 1 / torch.tensor(self.counts, dtype=torch.float64)[self.owners]

    def weights(self, values: Tensor, shares: Tensor) -> Tensor:
        """`α_t r_tk [N, S]` from `α [N, T]` and `r [N, S]`."""
        return values.to(torch.float64)[:, self.owners] * shares


@dataclass(frozen=True, eq=False)
class LogDensities:
    """What a pass found at `N` merged points.

    Args:
        components: `log N_tk(θ) [N, S]`.
        prior: `log p_0(θ) [N]`; zero without a prior.
        half_distances: `½‖θ-m‖²` of the components, `[N, S]`.
        magnitude: `|½ log det H/2π| + ½‖θ-m‖²` of components and prior, `[N, S]` and `[N]`: what rounding is relative
            to.
    """

    components: Tensor
    prior: Tensor
    half_distances: Tensor
    magnitude: tuple[Tensor, Tensor]


class Group:
    """The blocks that have their responsibilities in common."""

    def __init__(self, components: Components, blocks: Sequence[str]) -> None:
        """Read every component once, for what does not depend on the weights.

        Raises:
            PosteriorError: a component without precision in some direction, so without a density.
        """
        self.blocks = tuple(blocks)
        self._components = components
        # Sums in float64, and counts that the merge itself will make.
        self._inputs = replace(components.inputs, accumulate=torch.float64, tally=Tally())
        self._members = [*self._inputs.posteriors, *([] if self._inputs.prior is None else [self._inputs.prior])]
        self._centres: dict[tuple[int, str], Tensor | None] = {}
        self._normalisers = torch.zeros(len(self._members), dtype=torch.float64)
        for number, member in enumerate(self._members):
            for block in self.blocks:
                natural = member.natural(block)
                found = log_normaliser(natural)
                if found == -torch.inf:
                    raise PosteriorError(
                        f"{self._name(number)} has no precision somewhere in {block!r}, so it has no density there and "
                        "nothing says how responsible it is. Damp the mixtures (posteriors.damp)"
                    )
                self._normalisers[number] += found
                self._centres[number, block] = block_centre(natural)

    def measure(self, weights: Tensor) -> LogDensities:
        """Merge with the components' weights `[N, S]`, and measure their log densities there."""
        distances = torch.zeros(len(weights), len(self._members), dtype=torch.float64)
        for block in self.blocks:
            for rows in self._slices(block, len(weights)):
                distances[rows] += self._distances(block, weights[rows])
        logs, sizes = self._normalisers - distances, self._normalisers.abs() + distances
        count = len(self._inputs.posteriors)
        if len(self._members) == count:
            nothing = torch.zeros(len(weights), dtype=torch.float64)
            return LogDensities(logs, nothing, distances, (sizes, nothing))
        return LogDensities(logs[:, :count], logs[:, count], distances[:, :count], (sizes[:, :count], sizes[:, count]))

    def _distances(self, block: str, weights: Tensor) -> Tensor:
        naturals = [member.natural(block) for member in self._members]
        point = self._merge(block, naturals[0], weights)
        found = [
            half_distance(natural, point, self._centres[number, block]).cpu() for number, natural in enumerate(naturals)
        ]
        return torch.stack(found, 1)

    def _merge(self, block: str, like: object, weights: Tensor) -> Point:
        """The merged block in float64: the coordinates of a matrix, and tensors of all others."""
        if isinstance(like, Matrix):
            return _POSTERIORS.solve(self._inputs, weights, block)
        assert isinstance(like, Elementwise | Factored | LowRank)
        mean = next(iter(like.mean.values())) if isinstance(like, LowRank) else like.mean
        out = {
            name: torch.empty((len(weights), *self._inputs.specs[name].shape), dtype=torch.float64, device=mean.device)
            for name in self._members[0].names(block)
        }
        for _ in _POSTERIORS.merge_block(self._inputs, weights, block, out):
            pass
        if isinstance(like, Elementwise):
            return out[block] if block in out else next(iter(out.values()))
        if isinstance(like, Factored):
            rows = range(len(weights))
            return torch.stack([like.factors.gather({name: out[name][row] for name in out}) for row in rows])
        return out

    def _slices(self, block: str, count: int) -> list[slice]:
        size = sum(self._inputs.specs[name].numel for name in self._members[0].names(block))
        step = max(1, ELEMENTS_AT_ONCE // max(size, 1))
        return [slice(start, start + step) for start in range(0, count, step)]

    def _name(self, number: int) -> str:
        if number == len(self._inputs.posteriors):
            return "the prior"
        task, _, component = self._inputs.tasks[number].rpartition("#")
        return f"component {component} of the task {task!r}"


def distances_from_own_soup(components: Components, group: Group) -> tuple[Tensor, Tensor]:
    """At the soup of each task's own runs: their squared distances from it `[S]`, and their `log π_k N_k [S]`."""
    corners = torch.eye(len(components.counts), dtype=torch.float64)
    found = group.measure(components.weights(corners, components.equal.expand(len(corners), -1)))
    own = components.owners, torch.arange(len(components.owners))
    return 2 * found.half_distances[own], components.log_weights + found.components[own]
