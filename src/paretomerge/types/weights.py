"""Task weights `alpha` and scaling coefficients `c`, with the task names that give their order.

Shapes: `T` tasks, `K` weightings, `G` parameter groups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from paretomerge.errors import WeightsError, nearest

SIMPLEX_TOLERANCE = 1e-6


@dataclass(frozen=True, eq=False)
class Weights:
    """`alpha`: a weight `>= 0` on each task's mean loss.

    Args:
        tasks: the `T` task names, in the order of the last axis of `values`.
        values: `[..., T]`, float64; one weighting or a batch of `K`.
        on_simplex: whether each weighting must sum to one.

    Raises:
        WeightsError: negative or non-finite values, a wrong shape, or a sum other than one.

    >>> Weights(("a", "b"), [0.6, 0.4]).as_mapping()
    {'a': 0.6, 'b': 0.4}
    """

    tasks: tuple[str, ...]
    values: np.ndarray = field()
    on_simplex: bool = True

    def __post_init__(self) -> None:
        """Check and freeze."""
        object.__setattr__(self, "tasks", _checked_tasks(self.tasks))
        values = _checked_values(self.values, self.tasks, "weights")
        if (values < 0).any():
            raise WeightsError(
                f"weights are negative: {_show(self.tasks, values[(values < 0).any(axis=-1)])}. "
                "Task weights multiply losses and must be >= 0; for scaling coefficients of any sign "
                "use a rule such as task_arithmetic"
            )
        if self.on_simplex:
            _require_simplex(self.tasks, values)
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, weights: Any, tasks: Sequence[str], on_simplex: bool = True) -> Weights:
        """From a mapping task → weight, an array `[T]` or `[K, T]`, or `Weights` in any task order."""
        if isinstance(weights, Weights):
            order = _order_of(tuple(tasks), weights.tasks)
            return cls(tuple(tasks), weights.values[..., order], on_simplex)
        return cls(tuple(tasks), _values_from(weights, tasks), on_simplex)

    @property
    def batch(self) -> np.ndarray:
        """`values` as `[K, T]`."""
        return self.values.reshape(-1, len(self.tasks))

    @property
    def totals(self) -> np.ndarray:
        """`a = Σ_t alpha_t` of each weighting, `[K]`."""
        return self.batch.sum(axis=-1)

    def as_mapping(self) -> dict[str, float]:
        """The single weighting as task → weight; raises `WeightsError` for a batch."""
        return _single_mapping(self.tasks, self.values)


@dataclass(frozen=True, eq=False)
class Coefficients:
    """`c`: scaling coefficients of task vectors, any sign, `[..., G, T]` for `G` parameter groups.

    >>> Coefficients.of({"a": 1.2, "b": -0.1}, ("a", "b")).values.shape
    (1, 2)
    """

    tasks: tuple[str, ...]
    values: np.ndarray
    groups: tuple[str, ...] = ("model",)

    def __post_init__(self) -> None:
        """Check and freeze."""
        object.__setattr__(self, "tasks", _checked_tasks(self.tasks))
        values = _checked_values(self.values, self.tasks, "coefficients")
        if values.ndim < 2 or values.shape[-2] != len(self.groups):
            raise WeightsError(
                f"coefficients have shape {list(values.shape)}, expected [..., {len(self.groups)} groups, "
                f"{len(self.tasks)} tasks]"
            )
        values.setflags(write=False)
        object.__setattr__(self, "values", values)

    @classmethod
    def of(cls, coefficients: Any, tasks: Sequence[str]) -> Coefficients:
        """From a mapping, an array `[T]` or `[K, T]` (one group), `Weights`, or `Coefficients`."""
        if isinstance(coefficients, Coefficients):
            order = _order_of(tuple(tasks), coefficients.tasks)
            return cls(tuple(tasks), coefficients.values[..., order], coefficients.groups)
        if isinstance(coefficients, Weights):
            coefficients = coefficients.values[..., _order_of(tuple(tasks), coefficients.tasks)]
        return cls(tuple(tasks), _values_from(coefficients, tasks)[..., None, :])

    @property
    def batch(self) -> np.ndarray:
        """`values` as `[K, G, T]`."""
        return self.values.reshape(-1, len(self.groups), len(self.tasks))


def simplex_grid(tasks: int, divisions: int) -> np.ndarray:
    """Every weighting whose entries are multiples of `1/divisions`: `[K, T]`, `K = C(divisions+T-1, T-1)`.

    The Das–Dennis design (Das & Dennis, 1998, Normal-boundary intersection), corners first to last in
    lexicographic order.

    >>> simplex_grid(2, 2).tolist()
    [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    """
    if tasks < 1 or divisions < 1:
        raise WeightsError(f"a simplex grid needs tasks >= 1 and divisions >= 1, got {tasks} and {divisions}")
    rows = []
    for bars in combinations(range(divisions + tasks - 1), tasks - 1):
        edges = (-1, *bars, divisions + tasks - 1)
        rows.append([edges[i + 1] - edges[i] - 1 for i in range(tasks)])
    return np.asarray(rows, dtype=np.float64) / divisions


def require_tasks(named: Sequence[str], tasks: Sequence[str]) -> None:
    """Raise `WeightsError` unless `named` is exactly the set of `tasks`."""
    unknown = [name for name in named if name not in tasks]
    if unknown:
        raise WeightsError(f"unknown task {unknown[0]!r}{nearest(unknown[0], tasks)}: the tasks are {', '.join(tasks)}")
    missing = [task for task in tasks if task not in named]
    if missing:
        raise WeightsError(f"no weight for task {missing[0]!r}: give one for each of {', '.join(tasks)}")


def _checked_tasks(tasks: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tasks, str):
        raise WeightsError(f"tasks are a list of names, got the text {tasks!r}: write [{tasks!r}] for a single task")
    names = tuple(tasks)
    if not names:
        raise WeightsError("no tasks: at least one is needed")
    if len(set(names)) != len(names):
        raise WeightsError(f"task names repeat: {', '.join(names)}")
    return names


def _checked_values(values: Any, tasks: tuple[str, ...], what: str) -> np.ndarray:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{what} must be numbers, got {values!r}") from error
    if array.ndim == 0 or array.shape[-1] != len(tasks):
        raise WeightsError(
            f"{what} have shape {list(array.shape)}, but there are {len(tasks)} tasks ({', '.join(tasks)}): "
            "the last axis must have one entry per task"
        )
    if array.size == 0:
        raise WeightsError(f"{what} are empty: give at least one weighting")
    if not np.isfinite(array).all():
        bad = array[~np.isfinite(array).all(axis=-1)] if array.ndim > 1 else array
        raise WeightsError(f"{what} contain NaN or infinity: {_show(tasks, bad)}")
    return array


def _require_simplex(tasks: tuple[str, ...], values: np.ndarray) -> None:
    totals = values.sum(axis=-1)
    off = np.abs(totals - 1.0) > SIMPLEX_TOLERANCE
    if off.any():
        worst = values[off] if values.ndim > 1 else values
        raise WeightsError(
            f"weights sum to {np.atleast_1d(totals[off])[0]:.6g}, not 1: {_show(tasks, worst)}. Divide them by "
            "their sum, or give a prior (the base model) if less or more than the whole evidence is meant"
        )


def _values_from(weights: Any, tasks: Sequence[str]) -> np.ndarray:
    if isinstance(weights, Mapping):
        require_tasks(list(weights), tasks)
        weights = [weights[task] for task in tasks]
        if any(np.ndim(weight) for weight in weights):
            raise WeightsError("a mapping gives one number per task; for several weightings give an array [K, T]")
    if hasattr(weights, "detach"):
        weights = weights.detach().cpu().numpy()
    return _checked_values(weights, tuple(tasks), "weights")


def _order_of(wanted: tuple[str, ...], given: tuple[str, ...]) -> list[int]:
    require_tasks(given, wanted)
    return [given.index(task) for task in wanted]


def _show(tasks: tuple[str, ...], values: np.ndarray) -> str:
    row = values.reshape(-1, len(tasks))[0]
    return ", ".join(f"{task}={value:.6g}" for task, value in zip(tasks, row, strict=True))


def _single_mapping(tasks: tuple[str, ...], values: np.ndarray) -> dict[str, float]:
    if values.ndim != 1:
        raise WeightsError(f"{values.reshape(-1, len(tasks)).shape[0]} weightings where one was expected")
    return {task: float(value) for task, value in zip(tasks, values, strict=True)}
