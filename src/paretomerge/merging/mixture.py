"""Mixture merging: several runs per task, and for each group of parameters which of them the merge relies on.

    maximise  Σ_t α_t τ_t log Σ_k (π_tk N_tk(θ))^(1/τ_t) + (1-a) log p_0(θ),      a = Σ α_t

With one component per task it is posterior merging, and with `τ → ∞` the soup: every run counts alike.

Why a temperature: log densities of `P` parameters differ by the order of `P`, so from about a hundred parameters on,
`τ = 1` leaves one run of each task with all the responsibility, whatever the others know.

Shapes: `T` tasks, `R` components of a task, `S` components of all tasks, `K` weightings.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from paretomerge.errors import RecipeError
from paretomerge.merging.base import Domain, Inputs, Outputs, collect_inputs
from paretomerge.merging.mixture_components import Components, Group, distances_from_own_soup
from paretomerge.merging.mixture_em import Expectation, maximise, starting_shares
from paretomerge.merging.posterior import PosteriorMerge
from paretomerge.merging.values import BlockValues
from paretomerge.posteriors import Grouping, Posterior, group_names, grouping_function
from paretomerge.types import Params

UNCONVERGED = "groups whose responsibilities had not settled"

_POSTERIORS = PosteriorMerge()


@dataclass(frozen=True)
class MixtureMerge:
    """Maximise `(1-a) log p_0 + Σ α_t log q_t` for mixtures `q_t`, with tempered responsibilities for each group.

    Blocks are grouped by the name of their first tensor; a posterior that couples all parameters is one group. Every
    step of expectation-maximisation reads all components of a group once. From a disk, a group of several tensors
    stays in memory. Where weights differ by patterns, each block is merged as if its group had the block's weights.

    Args:
        groups: what shares its responsibilities: `"tensor"`, `"layer"`, `"model"`, or a function of the name.
        tempering: `τ`. `"auto"`: for each group and task the effective number of parameters that the runs disagree
            about, `max(1, Σ_k ‖m_tk - m̄_t‖² / (R-1), largest difference of the log densities at m̄_t)`, in the norm of
            each run's precision, with `m̄_t` the soup of the task's own runs. For runs that are as far apart as
            their posteriors say, it is the number of parameters; for a scale of the precisions too large or too
            small it follows. `1.0` is the mixture as it is, `inf` the soup.
        responsibilities: `"em"`, or `"equal"` for the soup: the control.
        starts: how many points the search begins from, all side by side: the soup, single runs, and drawn ones.
        max_steps: at most, for each start.
        tolerance: of the change of responsibilities, below which a search has ended.
        seed: of the drawn starts.

    Raises:
        RecipeError: settings that mean nothing.
        PosteriorError: components without a density, or as `PosteriorMerge`.
        FailureError: the objective fell, which only a defect can cause.
    """

    groups: Grouping = "tensor"
    tempering: Literal["auto"] | float = "auto"
    responsibilities: Literal["em", "equal"] = "em"
    starts: int = 16
    max_steps: int = 200
    tolerance: float = 1e-8
    seed: int = 0

    domain: ClassVar[Domain] = "weights"
    reads_base: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        grouping_function(self.groups)
        if self.tempering != "auto" and not (isinstance(self.tempering, int | float) and self.tempering > 0):
            raise RecipeError(f"tempering is {self.tempering!r}: give 'auto', or a number > 0 (1 for none)")
        if self.responsibilities not in ("em", "equal"):
            raise RecipeError(f"responsibilities is {self.responsibilities!r}: one of em, equal")
        for name, value in (("starts", self.starts), ("max_steps", self.max_steps)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise RecipeError(f"{name} is {value!r}: at least 1")
        if not self.tolerance >= 0:
            raise RecipeError(f"tolerance is {self.tolerance!r}: it must be >= 0")

    def prepare(self, inputs: Inputs) -> _State:
        """Take the mixtures apart, and group the blocks; nothing is read."""
        components = Components.of(inputs)
        firsts = {inputs.posteriors[0].names(block)[0]: block for block in inputs.posteriors[0].blocks()}
        grouped = group_names(list(firsts), self.groups)
        members = {group: tuple(firsts[name] for name in names) for group, names in grouped.items()}
        return _State(inputs.tasks, components, members, {b: group for group, found in members.items() for b in found})

    def blocks(self, state: _State) -> Sequence[str]:
        """The blocks of the family."""
        return state.components.inputs.posteriors[0].blocks()

    def merge_block(self, state: _State, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """Find the group's responsibilities, the first time; then an ordinary merge of all components."""
        shares = self._solve(state, values, state.group_of[block]).shares
        yield from _POSTERIORS.merge_block(
            state.components.inputs, state.components.weights(values, shares), block, out
        )

    def _solve(self, state: _State, values: Tensor, group: str) -> GroupResponsibilities:
        key = group, tuple(map(tuple, values.tolist()))
        with state.lock:
            if key not in state.found:
                state.found[key] = self._search(state, values, group)
                unsettled = int((~state.found[key].converged).sum())
                state.components.inputs.tally.add(UNCONVERGED, unsettled)
            return state.found[key]

    def _search(self, state: _State, values: Tensor, group: str) -> GroupResponsibilities:
        components = state.components
        alone = all(count == 1 for count in components.counts)
        if alone or self.responsibilities == "equal" or self.tempering == math.inf:
            return GroupResponsibilities.soup(state.members[group], state.tasks, components, len(values))
        if group not in state.prepared:
            densities = Group(components, state.members[group])
            state.prepared[group] = densities, self._temperatures(components, densities)
        densities, temperatures = state.prepared[group]
        names, starts = starting_shares(components, state.tasks, self.starts, self.seed)
        found = maximise(
            lambda rows, shares: densities.measure(components.weights(rows, shares)),
            Expectation(components.counts, components.log_weights, temperatures),
            values.to(device="cpu", dtype=torch.float64),
            starts,
            self.max_steps,
            self.tolerance,
        )
        return GroupResponsibilities(
            state.members[group],
            state.tasks,
            components.counts,
            found.shares,
            temperatures,
            found.objective,
            tuple(names[number] for number in found.start.tolist()),
            found.steps,
            found.converged,
        )

    def _temperatures(self, components: Components, densities: Group) -> Tensor:
        """`τ [T]`."""
        if self.tempering != "auto":
            return torch.full((len(components.counts),), float(self.tempering), dtype=torch.float64)
        squared, logs = distances_from_own_soup(components, densities)
        found = []
        for away, heights in zip(squared.split(components.counts), logs.split(components.counts), strict=True):
            # divided by R - 1, as a sample variance: the soup of runs that are equally good is then stable
            spread = float(away.sum()) / max(len(away) - 1, 1)
            found.append(max(1.0, spread, float(heights.max() - heights.min())))
        return torch.tensor(found, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class GroupResponsibilities:
    """What the merge of one group relies on, at `K` weightings.

    Args:
        blocks: the blocks of the group.
        tasks: the task names.
        counts: `R_t`, components of each task.
        shares: responsibilities `r [K, S]`, the components of all tasks side by side.
        temperatures: `τ [T]`; infinite for the soup.
        objective: the value that was maximised, `[K]`; NaN for the soup, for which nothing is searched.
        start: which start it was reached from, for each weighting.
        steps: how many steps that took, `[K]`.
        converged: whether the responsibilities have settled, `[K]`.
    """

    blocks: tuple[str, ...]
    tasks: tuple[str, ...]
    counts: tuple[int, ...]
    shares: Tensor
    temperatures: Tensor
    objective: Tensor
    start: tuple[str, ...]
    steps: Tensor
    converged: Tensor

    @classmethod
    def soup(
        cls, blocks: tuple[str, ...], tasks: tuple[str, ...], components: Components, count: int
    ) -> GroupResponsibilities:
        """Equal responsibilities: nothing is searched for."""
        return cls(
            blocks,
            tasks,
            components.counts,
            components.equal.expand(count, -1),
            torch.full((len(tasks),), math.inf, dtype=torch.float64),
            torch.full((count,), math.nan, dtype=torch.float64),
            ("soup",) * count,
            torch.zeros(count, dtype=torch.int64),
            torch.ones(count, dtype=torch.bool),
        )

    def of(self, task: str) -> Tensor:
        """Responsibilities of one task's components, `[K, R]`."""
        return dict(zip(self.tasks, self.shares.split(self.counts, 1), strict=True))[task]


def mixture_responsibilities(
    posteriors: Mapping[str, Posterior | Params],
    weights: Any,
    prior: Posterior | None = None,
    rule: MixtureMerge = MixtureMerge(),
) -> dict[str, GroupResponsibilities]:
    """Which runs the merge by `rule` relies on, group by group; the arguments are those of `merge`.

    Raises:
        WeightsError, PosteriorError, FailureError: as the merge.
    """
    inputs = collect_inputs(posteriors, prior)
    values, state = BlockValues(weights, inputs, rule), rule.prepare(inputs)
    values.require_used(list(rule.blocks(state)))
    return {group: rule._solve(state, values[blocks[0]], group) for group, blocks in state.members.items()}


@dataclass(frozen=True, eq=False)
class _State:
    """The components, the groups, and what was found for them so far."""

    tasks: tuple[str, ...]
    components: Components
    members: Mapping[str, tuple[str, ...]]
    group_of: Mapping[str, str]
    prepared: dict[str, tuple[Group, Tensor]] = field(default_factory=dict)
    found: dict[tuple[str, Any], GroupResponsibilities] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
