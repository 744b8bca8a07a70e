"""Where a front is searched: the simplex of task weights, a box of scaling coefficients, or a box with groups.

Shapes: `K` points, `D` coordinates, `G` parameter groups, `T` tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch.quasirandom import SobolEngine

from paretomerge.errors import WeightsError
from paretomerge.types.weights import Coefficients, Weights

TOLERANCE = 1e-9


@runtime_checkable
class Domain(Protocol):
    """A convex set of points `[D]`; `names` are those of the coordinates, the `tasks` of `Scores`."""

    @property
    def names(self) -> tuple[str, ...]:
        """`[D]`."""
        ...

    def checked(self, points: Any) -> np.ndarray:
        """`points` as float64 `[K, D]` inside the domain, or `WeightsError`."""
        ...

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """The points of the domain nearest to `points [K, D]` (Euclidean)."""
        ...

    def from_cube(self, cube: np.ndarray) -> np.ndarray:
        """Points of the unit cube `[K, cube_dimension]` to points `[K, D]`; uniform stays uniform."""
        ...

    @property
    def cube_dimension(self) -> int:
        """Degrees of freedom: `D` for a box, `D - 1` for the simplex."""
        ...

    def spread(self, count: int, seed: int = 0) -> np.ndarray:
        """`count` points that fill the domain evenly (scrambled Sobol); a longer sequence starts with a shorter one."""
        ...


@dataclass(frozen=True)
class Simplex:
    """Task weights: `α >= 0`, `Σ α = 1`.

    >>> Simplex(("a", "b")).nearest(np.array([[0.8, 0.6]])).round(6).tolist()
    [[0.6, 0.4]]
    """

    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Names are a tuple, without repetition."""
        object.__setattr__(self, "names", _checked_names(self.names))

    @property
    def cube_dimension(self) -> int:
        """`T - 1`."""
        return len(self.names) - 1

    def checked(self, points: Any) -> np.ndarray:
        """`[K, T]` on the simplex, or `WeightsError`."""
        return Weights.of(points, self.names).batch

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """Euclidean projection (Duchi et al., 2008, Efficient projections onto the l1-ball)."""
        points = np.asarray(points, dtype=np.float64)
        ordered = -np.sort(-points, axis=1)
        excess = (ordered.cumsum(axis=1) - 1) / np.arange(1, points.shape[1] + 1)
        count = (ordered > excess).sum(axis=1)
        projected = np.maximum(points - excess[np.arange(len(points)), count - 1][:, None], 0.0)
        return projected / projected.sum(axis=1, keepdims=True)

    def from_cube(self, cube: np.ndarray) -> np.ndarray:
        """Gaps between the sorted coordinates (uniform on the simplex: Devroye, 1986, V.2)."""
        edges = np.sort(np.asarray(cube, dtype=np.float64), axis=1)
        ones = np.ones((len(edges), 1))
        return np.diff(np.concatenate([0 * ones, edges, ones], axis=1), axis=1)

    def spread(self, count: int, seed: int = 0) -> np.ndarray:
        """Evenly spread weightings `[count, T]`."""
        return self.from_cube(_sobol(self.cube_dimension, count, seed))


@dataclass(frozen=True)
class Box:
    """Scaling coefficients of any sign between two bounds each: `lower <= c <= upper`.

    Args:
        names: of the `D` coordinates.
        lower: one number, or one per coordinate.
        upper: one number, or one per coordinate, larger than `lower`.

    Raises:
        WeightsError: no coordinates, or bounds that leave nothing between them.
    """

    names: tuple[str, ...]
    lower: float | tuple[float, ...] = 0.0
    upper: float | tuple[float, ...] = 1.0

    def __post_init__(self) -> None:
        """Bounds become one number per coordinate."""
        object.__setattr__(self, "names", _checked_names(self.names))
        for side in ("lower", "upper"):
            try:
                bound = np.broadcast_to(np.asarray(getattr(self, side), dtype=np.float64), (len(self.names),))
            except (TypeError, ValueError) as error:
                raise WeightsError(
                    f"{side} bound {getattr(self, side)!r}: give one number, or one for each of {len(self.names)} "
                    "coordinates"
                ) from error
            object.__setattr__(self, side, tuple(bound.tolist()))
        empty = [name for name, low, high in zip(self.names, self.lower, self.upper, strict=True) if not low < high]  # type: ignore[arg-type]
        if empty or not np.isfinite([self.lower, self.upper]).all():
            raise WeightsError(
                f"the box is empty or unbounded at {(empty or self.names)[0]!r}: "
                "bounds must be finite, with lower < upper"
            )

    @property
    def cube_dimension(self) -> int:
        """`D`."""
        return len(self.names)

    @property
    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """`(lower, upper)`, each `[D]`."""
        return np.array(self.lower), np.array(self.upper)

    def checked(self, points: Any) -> np.ndarray:
        """`[K, D]` within the bounds, or `WeightsError`."""
        values = Coefficients.of(points, self.names).batch[:, 0]
        lower, upper = self.corners
        slack = TOLERANCE * (upper - lower)
        outside = (values < lower - slack) | (values > upper + slack)
        if outside.any():
            row, column = np.argwhere(outside)[0]
            raise WeightsError(
                f"coefficient {self.names[column]}={values[row, column]:.6g} is outside its bounds "
                f"[{lower[column]:.6g}, {upper[column]:.6g}]: widen the box or move the point"
            )
        return np.clip(values, lower, upper)

    def nearest(self, points: np.ndarray) -> np.ndarray:
        """Clipped to the bounds."""
        return np.clip(np.asarray(points, dtype=np.float64), *self.corners)

    def from_cube(self, cube: np.ndarray) -> np.ndarray:
        """Scaled to the bounds."""
        lower, upper = self.corners
        return lower + np.asarray(cube, dtype=np.float64) * (upper - lower)

    def spread(self, count: int, seed: int = 0) -> np.ndarray:
        """Evenly spread coefficients `[count, D]`."""
        return self.from_cube(_sobol(self.cube_dimension, count, seed))


def grouped_box(tasks: Sequence[str], groups: Sequence[str], lower: float = 0.0, upper: float = 1.0) -> Box:
    """One scaling coefficient per parameter group and task, named `group:task`, groups outermost.

    >>> grouped_box(("a", "b"), ("embed", "head")).names
    ('embed:a', 'embed:b', 'head:a', 'head:b')
    """
    return Box(tuple(f"{group}:{task}" for group in groups for task in tasks), lower, upper)


def _checked_names(names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise WeightsError(f"names are a list, got the text {names!r}: write [{names!r}] for a single coordinate")
    found = tuple(names)
    if not found or len(set(found)) != len(found):
        raise WeightsError(f"a domain needs coordinates with different names, got {', '.join(found) or 'none'}")
    return found


def _sobol(dimension: int, count: int, seed: int) -> np.ndarray:
    if not dimension or count < 1:
        return np.zeros((max(count, 0), dimension))
    return SobolEngine(dimension, scramble=True, seed=seed).draw(count, dtype=torch.float64).numpy()
