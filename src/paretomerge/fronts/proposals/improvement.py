"""How much hypervolume one more point would add: exactly, for many candidates and many sets of points at once.

The region that a set does not dominate, below the reference point, is cut into disjoint boxes once; what a candidate
adds is then a sum of products,

    HVI(y) = Σ_B Π_m max(0, u_Bm - max(l_Bm, y_m)),

over all boxes `[l_B, u_B]`. The boxes belong to the local upper bounds of the set, kept with the points that define
them (Klamroth, Lacour & Vanderpooten, 2015, On the representation of the search region in multi-objective
optimization; Lacour, Klamroth & Fonseca, 2017, A box decomposition algorithm to compute the hypervolume indicator).
Their number is about `N` for two objectives, `2N` for three and `O(N²)` for four and five.

Everything is minimised. Shapes: `S` sets, `N` points each, `K` candidates, `M` objectives, `B` boxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from paretomerge.errors import DataError

# Candidates × boxes × objectives looked at together: 8 MB.
_CHUNK = 1_000_000


@dataclass(frozen=True, eq=False)
class Boxes:
    """The regions that `S` sets of points leave undominated, each cut into disjoint boxes.

    Attributes:
        lower: `[B, M]`; minus infinity where a box has no end.
        upper: `[B, M]`.
        owner: `[B]`, the set that a box belongs to, in increasing order.
        sets: `S`.
    """

    lower: np.ndarray
    upper: np.ndarray
    owner: np.ndarray
    sets: int

    def improvements(self, candidates: np.ndarray) -> np.ndarray:
        """`[S, K]`: the hypervolume that each candidate `[S, K, M]` adds to its set by itself.

        >>> boxes = undominated_boxes(np.array([[[1.0, 2.0], [2.0, 1.0]]]), np.array([3.0, 3.0]))
        >>> boxes.improvements(np.array([[[1.0, 1.0], [0.0, 2.5], [2.0, 2.0]]])).tolist()
        [[1.0, 0.5, 0.0]]
        """
        result = np.zeros(candidates.shape[:2])
        edges = np.searchsorted(self.owner, np.arange(self.sets + 1))
        for number, (start, end) in enumerate(pairwise(edges)):
            rows = max(1, _CHUNK // max(1, (end - start)))
            for first in range(0, candidates.shape[1], rows):
                block = candidates[number, first : first + rows]
                result[number, first : first + rows] = _sum_of_products(
                    self.lower[start:end], self.upper[start:end], block
                )
        return result


def undominated_boxes(points: np.ndarray, reference: np.ndarray) -> Boxes:
    """Cut the region below `reference [M]` that no point of a set `[S, N, M]` dominates into boxes.

    Points that are not below the reference in every objective, and dominated points, change nothing: sets of
    different sizes are filled up with infinity.

    Raises:
        DataError: shapes that disagree, NaN, or a reference that is not finite.
    """
    points, reference = np.asarray(points, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if points.ndim != 3 or reference.shape != points.shape[2:] or np.isnan(points).any():
        raise DataError(
            f"points have shape {list(points.shape)} and the reference {list(reference.shape)}, expected "
            "[sets, points, objectives] without NaN and [objectives]"
        )
    if not np.isfinite(reference).all():
        raise DataError(f"the reference point {reference.tolist()} contains NaN or infinity")
    sets, count, objectives = points.shape
    upper = np.tile(reference, (sets, 1))
    # The point that defines component k of a bound, at [.., k, :]; at first virtual points with -inf elsewhere.
    virtual = np.full((objectives, objectives), -np.inf)
    np.fill_diagonal(virtual, reference)
    defining = np.tile(virtual, (sets, 1, 1))
    owner = np.arange(sets)
    for number in range(count):
        upper, defining, owner = _inserted(points[:, number], upper, defining, owner)
    order = np.argsort(owner, kind="stable")
    upper, defining, owner = upper[order], defining[order], owner[order]
    lower = np.full_like(upper, -np.inf)
    for j in range(1, objectives):
        lower[:, j] = defining[:, :j, j].max(axis=1)
    full = (lower < upper).all(axis=1)
    return Boxes(lower[full], upper[full], owner[full], sets)


def _inserted(
    points: np.ndarray, upper: np.ndarray, defining: np.ndarray, owner: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The local upper bounds after one more point `[S, M]` per set (Klamroth et al., algorithm 5)."""
    point = points[owner]
    hit = (point < upper).all(axis=1)
    if not hit.any():
        return upper, defining, owner
    kept = ~hit
    uppers, definings, owners = [upper[kept]], [defining[kept]], [owner[kept]]
    old_upper, old_defining, old_owner, point = upper[hit], defining[hit], owner[hit], point[hit]
    objectives = upper.shape[1]
    for j in range(objectives):
        others = [k for k in range(objectives) if k != j]
        highest = old_defining[:, others, j].max(axis=1) if others else np.full(len(point), -np.inf)
        # Ties are kept: which of two equal components counts as the highest must not depend on the order of points.
        new = point[:, j] >= highest
        if not new.any():
            continue
        moved, definers = old_upper[new].copy(), old_defining[new].copy()
        moved[:, j] = point[new, j]
        definers[:, j] = point[new]
        uppers.append(moved)
        definings.append(definers)
        owners.append(old_owner[new])
    return np.concatenate(uppers), np.concatenate(definings), np.concatenate(owners)


def _sum_of_products(lower: np.ndarray, upper: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    volume = np.ones((len(candidates), len(lower)))
    for m in range(lower.shape[1]):
        side = upper[:, m] - np.maximum(lower[:, m], candidates[:, [m]])
        volume *= np.maximum(side, 0.0, out=side)
    return volume.sum(axis=1)
