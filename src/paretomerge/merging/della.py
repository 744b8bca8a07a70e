"""DELLA: drop entries of the task vectors at random, the smaller ones more often."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from paretomerge.arithmetic import LANES, BitMask, keep_by_rank, random_key, random_lanes, run_in_parallel
from paretomerge.errors import RecipeError
from paretomerge.merging.base import Domain, Inputs, Outputs
from paretomerge.merging.linear import floating_blocks
from paretomerge.merging.per_task import PerTask, for_tasks, frozen_setting, require_density
from paretomerge.merging.task_arithmetic import TaskArithmetic
from paretomerge.merging.task_vectors import TaskVectors, merge_task_vectors

PIECE = 1 << 17
"""Elements that are ranked at once, at least one row."""


@dataclass(frozen=True)
class Della:
    """Each entry is kept with a probability that grows with its rank in its row, and what is left is rescaled.

        p = density - epsilon + 2 epsilon · rank / (columns - 1),      rank 0 is the smallest magnitude of a row
        θ = θ_0 + scale · Σ_{t agrees} c_t r_t δ̂_t  [/ Σ_{t agrees} c_t],      r_t = Σ |δ_t| / Σ |δ̂_t|

    A row is what one output reads: the first dimension counts rows, and a vector is one row. In a row of one entry
    `p = density`. Which entries are kept depends on the seed, the names of task and tensor, and the task vector alone.
    The paper divides every entry by its own `p`; here a tensor keeps its sum of magnitudes, as in mergekit.

    Deep, Bhardwaj & Poria, 2024, DELLA-merging: reducing interference in model merging through magnitude-based
    sampling.

    Args:
        density: the mean probability of keeping an entry, in (0, 1]; one number, or task → number. At 1 nothing is
            dropped.
        epsilon: how far the probabilities of the smallest and the largest entry are from it; `density ± epsilon` must
            be between 0 and 1. One number, or task → number.
        scale: one factor on what is added to the base.
        elect_signs: add only the task vectors whose sign is that of their sum, as `Ties` does.
        normalize: divide by the sum of the coefficients (of those that agree); by default where signs are elected.
        rescale: multiply by `r_t`.
        seed: of the random choices.

    Raises:
        RecipeError: probabilities outside (0, 1), or for unknown tasks.
        WeightsError: no base model was given, or coefficients to be normalised that sum to zero.
    """

    density: PerTask = 0.5
    epsilon: PerTask = 0.15
    scale: float = 1.0
    elect_signs: bool = True
    normalize: bool | None = None
    rescale: bool = True
    seed: int = 0

    domain: ClassVar[Domain] = "coefficients"
    drops_at_random: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the probabilities."""
        object.__setattr__(self, "density", frozen_setting("density", self.density))
        object.__setattr__(self, "epsilon", frozen_setting("epsilon", self.epsilon))
        if self.normalize is None:
            object.__setattr__(self, "normalize", self.elect_signs)
        require_density(self.density)
        for task in _tasks(self.density) | _tasks(self.epsilon) or {""}:
            _require_probabilities(_of(self.density, task), _of(self.epsilon, task), task)

    def prepare(self, inputs: Inputs) -> TaskVectors:
        """The base has to be there, and probabilities for every task; rows are ranked when a block is merged."""
        for_tasks("density", self.density, inputs.tasks)
        for_tasks("epsilon", self.epsilon, inputs.tasks)
        return TaskVectors.of(inputs)

    def blocks(self, state: TaskVectors) -> Sequence[str]:
        """Every floating-point tensor."""
        return floating_blocks(state.inputs)

    def merge_block(self, state: TaskVectors, values: Tensor, block: str, out: Outputs) -> Iterator[str]:
        """One pass that ranks and chooses, and one that merges.

        The choices are kept for further calls if the finetunes are in memory: one bit per entry.
        """
        densities = for_tasks("density", self.density, state.tasks)
        normalize = bool(self.normalize)
        if min(densities) >= 1 and not self.elect_signs:
            yield from TaskArithmetic(self.scale, normalize).merge_block(state.inputs, values, block, out)
            return
        sources = state.read(block)

        def choose() -> _Chosen:
            epsilons = for_tasks("epsilon", self.epsilon, state.tasks)
            keys = [random_key(self.seed, block, task) for task in state.tasks]
            dtype = state.inputs.sum_dtype(sources)
            return _Chosen.of(sources, densities, epsilons, keys, dtype, self.rescale)

        chosen = state.once(block, choose) if state.is_resident else choose()
        merge_task_vectors(state, sources, values, out[block], chosen, self.scale, self.elect_signs, normalize)
        yield block


@dataclass(frozen=True, eq=False)
class _Chosen:
    """Per task the entries that are kept (all of them where there is no mask), and the factor on them."""

    masks: tuple[BitMask | None, ...]
    factors: tuple[float, ...]

    @classmethod
    def of(
        cls,
        sources: Sequence[Tensor],
        densities: Sequence[float],
        epsilons: Sequence[float],
        keys: Sequence[bytes],
        dtype: torch.dtype,
        rescale: bool,
    ) -> _Chosen:
        origin, *tensors = (_as_rows(source.detach()) for source in sources)
        masks: list[BitMask | None] = []
        factors = []
        for tensor, density, epsilon, key in zip(tensors, densities, epsilons, keys, strict=True):
            if density >= 1 or not tensor.numel():
                masks.append(None)
                factors.append(1.0)
                continue
            kept, before, after = _choose(origin, tensor, _units(tensor.shape[1], density, epsilon), key, dtype)
            masks.append(BitMask.of(kept))
            factors.append(before / after if rescale and after > 0 else 1.0)
        return cls(tuple(masks), tuple(factors))

    def apply(self, number: int, delta: Tensor, start: int, spare: Tensor) -> None:
        mask = self.masks[number]
        if mask is not None:
            delta.mul_(mask.write(start, spare))


def _as_rows(tensor: Tensor) -> Tensor:
    return tensor.flatten(1) if tensor.ndim > 1 else tensor.reshape(1, tensor.numel())


def _choose(
    origin: Tensor, tensor: Tensor, units: np.ndarray, key: bytes, dtype: torch.dtype
) -> tuple[np.ndarray, float, float]:
    """Which entries `[R, C]` are kept, and the sum of magnitudes before and after."""
    rows, columns = tensor.shape
    step = max(PIECE // columns, 1)
    starts = range(0, rows, step)
    kept = np.empty((rows, columns), dtype=np.uint8)
    sums: dict[int, tuple[float, float]] = {}

    def run(numbers: range) -> None:
        for start in starts[numbers.start : numbers.stop]:
            piece = slice(start, min(start + step, rows))
            delta = tensor[piece].to(dtype) - origin[piece].to(dtype)
            magnitudes = delta.abs_().cpu()
            lanes = random_lanes(key, start * columns, piece.stop * columns)
            kept[piece] = keep_by_rank(magnitudes.numpy(), units, lanes)
            chosen = torch.from_numpy(kept[piece]).to(dtype)
            sums[start] = float(magnitudes.sum()), float(torch.dot(magnitudes.reshape(-1), chosen.reshape(-1)))

    run_in_parallel(run, range(len(starts)))
    before, after = (math.fsum(sums[start][which] for start in starts) for which in (0, 1))
    return kept, before, after


def _units(columns: int, density: float, epsilon: float) -> np.ndarray:
    """The probability of every rank in units of 2^-16."""
    ranks = np.arange(columns) / (columns - 1) if columns > 1 else np.full(1, 0.5)
    return np.clip(np.rint((density - epsilon + 2 * epsilon * ranks) * LANES), 1, LANES).astype(np.int64)


def _tasks(setting: PerTask) -> set[str]:
    return {task for task, _ in setting} if isinstance(setting, tuple) else set()


def _of(setting: PerTask, task: str) -> float | None:
    return dict(setting).get(task) if isinstance(setting, tuple) else setting  # type: ignore[return-value]


def _require_probabilities(density: float | None, epsilon: float | None, task: str) -> None:
    if density is None or epsilon is None or density == 1:
        return
    if epsilon < 0 or density - epsilon <= 0 or density + epsilon >= 1:
        whose = f" of {task!r}" if task else ""
        raise RecipeError(
            f"density {density:g} and epsilon {epsilon:g}{whose}: entries are kept with probabilities from "
            f"{density - epsilon:g} to {density + epsilon:g}, which must lie between 0 and 1. Take a smaller epsilon, "
            "but none below 0"
        )
